"""What an instructor downloads from the page *For instructors*, put into the built site: ``make teaching`` calls this.

Slides, the book as PDF, the students' versions of the labs, and the quiz questions as polls. Solutions, hidden tests and the answers
to the quiz stay out: each file is read again, and nothing is put into the site if one tells any of them.
"""

import html
import io
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat
from pypdf import PdfReader

sys.path.insert(0, str(Path(__file__).resolve().parent))
import pdf
import printing
import slides
import sphinx_labs
from bs4 import BeautifulSoup

from whentofinetune.labs import course, quiz

LABS = printing.ROOT / "labs"
NOTE = re.compile(r'(<div id="teaching-files">)(.*?)(</div>)', re.DOTALL)  # on the instructors' page
LONG = 25  # characters; a shorter line of code may stand anywhere
SHOWN = {"when-to-fine-tune.pdf": "The whole book", "labs.zip": "All labs, the students' versions"}
SHOWN |= {"poll-moodle.xml": "The quiz questions as polls, for Moodle"}
SHOWN |= {"poll-qti.zip": "The quiz questions as polls, for Canvas"}


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def secrets(labs: Iterable[Path] = (), bank: dict | None = None) -> dict[str, list[str]]:
    """What must not be told, by name: the long lines of each solution and hidden test that no student's version has, each reason of the quiz."""
    cells = [(path.stem, c) for path in labs for c in nbformat.read(path, 4).cells]
    given = squeezed("\n".join(sphinx_labs.cleared(c.source, c.cell_type) for _, c in cells))
    found: dict[str, list[str]] = {}
    for lab, cell in cells:
        for region in sphinx_labs.REGION.finditer(cell.source):
            lines = [squeezed(line) for line in region[3].splitlines()]
            name = f"{lab}, {region[2].lower()} in {cell.source.splitlines()[0]}"
            found[name] = [line for line in lines if len(line) >= LONG and line not in given]
    for question in (q for questions in (bank or {}).values() for q in questions):
        for i, choice in enumerate(question.choices):
            found[f"{question.name}, reason {i + 1}"] = [squeezed(plain(choice.why))]
    return {name: lines for name, lines in found.items() if lines}


def plain(markup: str) -> str:
    """What a reader of HTML or XML sees, also where HTML stands in it as text."""
    for _ in range(2):
        markup = html.unescape(re.sub(r"</?[a-zA-Z!?][^>]*>", "", markup))
    return markup


def words(name: str, data: bytes) -> str:
    """All that a file says; of a zip file, all that its files say."""
    ending = Path(name).suffix
    if ending == ".zip":
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            return "\n".join(words(n, packed.read(n)) for n in packed.namelist())
    if ending == ".pdf":
        return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)
    text = data.decode()
    if ending == ".ipynb":
        return "\n".join(cell.source for cell in nbformat.reads(text, 4).cells)
    return plain(text)


def told(text: str, kept: dict[str, list[str]]) -> list[str]:
    """The names of what ``text`` tells: all lines of it stand there."""
    text = squeezed(text)
    return [name for name, lines in kept.items() if all(line in text for line in lines)]


def make(folder: Path, assignments: Path) -> None:
    """Write the files into ``folder``; slides and PDF as they were made before."""
    shutil.copytree(slides.SLIDES, folder / "slides")
    if pdf.OUT.exists():
        shutil.copy(pdf.OUT, folder)
    with zipfile.ZipFile(folder / "labs.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(assignments.glob("lab_*.ipynb")):
            packed.write(path, f"labs/{path.name}")
    polls = quiz.poll(quiz.read())
    quiz.write(polls, "moodle", folder / "poll-moodle.xml")
    quiz.write(polls, "qti", folder / "poll-qti.zip")


def listed(folder: Path, titles: dict[str, str]) -> str:
    """The links to the files in ``folder``, as the instructors' page shows them. titles: of the decks' chapters, in their order."""

    def link(path: Path, shown: str) -> str:
        kilobytes = path.stat().st_size / 1000
        size = f"{kilobytes / 1000:.1f} MB" if kilobytes > 1000 else f"{kilobytes:.0f} kB"
        address = f"../teaching/{path.relative_to(folder).as_posix()}"
        return f'<a href="{address}" download>{html.escape(shown)} ({path.suffix[1:].upper()}, {size})</a>'

    def decks() -> Iterator[str]:
        for chapter, title in titles.items():
            made = [
                p for p in (folder / "slides" / f"{chapter}{end}" for end in (".html", ".pdf")) if p.exists()
            ]
            if made:
                yield f"<li>{', '.join(link(p, f'Slides: {title}') for p in made)}</li>"

    files = [
        f"<li>{link(folder / name, shown)}</li>" for name, shown in SHOWN.items() if (folder / name).exists()
    ]
    return f"<ul>{''.join([*files, *decks()])}</ul>"


def main(site: Path = printing.SITE) -> int:
    if slides.main([]):
        return 1
    pdf.OUT.unlink(missing_ok=True)
    pdf.main()  # without a browser it says so, and the rest is put into the site
    return publish(site)


def publish(site: Path) -> int:
    """Make the files, look through them, put them into the site, and link them there."""
    kept = secrets(course.sources([LABS]), quiz.read())
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch, "teaching")
        make(made, site / "assignments")
        for path in sorted(p for p in made.rglob("*") if p.is_file()):
            if found := told(words(path.name, path.read_bytes()), kept):
                what = f"{path.name} tells {'; '.join(found[:5])}"
                print(
                    f"Nothing was put into the site: {what}. Was it built with TUNEWISE_SOLUTIONS=1?",
                    file=sys.stderr,
                )
                return 1
        folder, page = site / "teaching", site / "instructors" / "index.html"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made, folder)
    articles = {
        c: BeautifulSoup((site / "chapters" / f"{c}.html").read_text("utf-8"), "lxml")
        for c in slides.chapters()
    }
    titles = {c: slides.words(soup.h1).striptags() for c, soup in articles.items()}
    links = listed(folder, titles)
    page.write_text(NOTE.sub(lambda m: m[1] + links + m[3], page.read_text("utf-8")), encoding="utf-8")
    print(f"{links.count('<a ')} files for instructors: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
