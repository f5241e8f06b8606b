"""What instructors download from the site: it is all there, linked once it is there, and tells no answer."""

import io
import zipfile
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from conftest import load
from nbformat.v4 import new_code_cell, new_notebook
from pypdf import PdfWriter

from whentofinetune.labs import course, quiz

ROOT = Path(__file__).resolve().parents[1]
teaching = load(ROOT / "book" / "teaching.py")
LABS = sorted((ROOT / "labs").glob("lab_*.ipynb"))
ANSWER = "    return sum(value for value in values if value > 0)"
LAB = f"# lab:sums\ndef positive(values):\n    ### BEGIN SOLUTION\n{ANSWER}\n    ### END SOLUTION"


@pytest.fixture(scope="module")
def kept():
    return teaching.secrets(LABS, quiz.read())


@pytest.fixture(scope="module")
def assignments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assignments")
    for path in LABS[:2]:
        course.make(path, folder)
    return folder


def test_the_secrets_are_those_of_every_lab_and_question(kept):
    for path in LABS:
        assert sum(name.startswith(f"{path.stem}, solution") for name in kept) >= 5, path.stem
        assert sum(name.startswith(f"{path.stem}, hidden tests") for name in kept) >= 5, path.stem
    choices = [c for questions in quiz.read().values() for q in questions for c in q.choices]
    assert sum(", reason" in name for name in kept) == len(choices)


def test_what_is_made_tells_none_of_them_and_the_sources_do(kept, assignments, tmp_path, monkeypatch):
    monkeypatch.setattr(teaching.slides, "SLIDES", tmp_path / "decks")
    # not the PDF that may lie here: reading it takes long, and `make teaching` does
    monkeypatch.setattr(teaching.pdf, "OUT", tmp_path / "when-to-fine-tune.pdf")
    (tmp_path / "decks").mkdir()
    teaching.make(tmp_path / "made", assignments)
    made = {p.name: p for p in (tmp_path / "made").iterdir() if p.is_file()}
    assert {"labs.zip", "poll-moodle.xml", "poll-qti.zip"} <= set(made)
    for path in made.values():
        assert not teaching.told(teaching.words(path.name, path.read_bytes()), kept), path
    with zipfile.ZipFile(made["labs.zip"]) as packed:
        assert packed.namelist() == [f"labs/{path.name}" for path in LABS[:2]]
    source = teaching.told(teaching.words(LABS[0].name, LABS[0].read_bytes()), kept)
    assert {name for name in kept if name.startswith(LABS[0].stem)} <= set(source)
    for kind in ("moodle.xml", "qti.zip"):
        path = quiz.write(quiz.read(), kind[:-4].strip("."), tmp_path / kind)
        found = teaching.told(teaching.words(path.name, path.read_bytes()), kept)
        assert {name for name in kept if ", reason" in name} <= set(found)


def pdf_with(browser, body: str) -> bytes:
    page = browser.new_page()
    try:
        page.set_content(body)
        return page.pdf(format="A5")
    finally:
        page.close()


@pytest.mark.parametrize("kind", ["html", "highlighted", "zip", "notebook"])
def test_a_solution_is_found_whatever_the_file(kind, tmp_path):
    nbformat.write(new_notebook(cells=[new_code_cell(LAB)]), tmp_path / "lab_x.ipynb")
    secret = teaching.secrets([tmp_path / "lab_x.ipynb"])
    page = f"<p>So:</p><pre>{ANSWER.replace('>', '&gt;')}</pre>".encode()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as packed:
        packed.writestr("deck.html", page)
    files = {
        "html": ("a.html", page),
        "highlighted": ("a.html", page.replace(b"sum", b'<span class="nb">sum</span>')),
        "zip": ("a.zip", zipped.getvalue()),
        "notebook": ("a.ipynb", (tmp_path / "lab_x.ipynb").read_bytes()),
    }
    assert teaching.told(teaching.words(*files[kind]), secret) == ["lab_x, solution in # lab:sums"]
    assert not teaching.told(teaching.words("a.html", b"<p>return sum(values)</p>"), secret)


def test_a_solution_is_found_in_a_pdf(browser, tmp_path):
    nbformat.write(new_notebook(cells=[new_code_cell(LAB)]), tmp_path / "lab_x.ipynb")
    secret = teaching.secrets([tmp_path / "lab_x.ipynb"])
    shown = f"<pre style='white-space: pre-wrap; width: 5cm'>{ANSWER}</pre>"
    assert teaching.told(teaching.words("a.pdf", pdf_with(browser, shown)), secret)
    assert not teaching.told(teaching.words("a.pdf", pdf_with(browser, "nothing")), secret)


@pytest.fixture
def small_site(tmp_path, monkeypatch, assignments):
    """A site of one chapter, slides and PDF made before."""
    monkeypatch.setattr(teaching.slides, "SLIDES", tmp_path / "decks")
    monkeypatch.setattr(teaching.slides, "chapters", lambda: ["tone"])
    monkeypatch.setattr(teaching.pdf, "OUT", tmp_path / "when-to-fine-tune.pdf")
    pages = {"chapters/tone": "<h1>Tone &amp; form<a class='headerlink' href='#t'>#</a></h1>"}
    pages["instructors/index"] = '<p>a</p><div id="teaching-files"><p>Not here.</p></div><p>b</p>'
    for name, text in pages.items():
        path = tmp_path / "site" / f"{name}.html"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "decks").mkdir()
    (tmp_path / "decks" / "tone.html").write_text("<h1>Tone</h1>")
    book = PdfWriter()
    book.add_blank_page(100, 100)
    book.write(tmp_path / "when-to-fine-tune.pdf")
    (tmp_path / "site" / "assignments").symlink_to(assignments)
    return tmp_path / "site"


def test_the_page_links_what_is_there_and_nothing_else(small_site):
    for _ in range(2):  # made again, it is the same
        assert teaching.publish(small_site) == 0
        soup = BeautifulSoup((small_site / "instructors" / "index.html").read_text(), "html.parser")
        links = [a["href"] for a in soup.select("#teaching-files a")]
        there = {
            p.relative_to(small_site).as_posix()
            for p in (small_site / "teaching").rglob("*.*")
            if p.is_file()
        }
        assert {link.removeprefix("../") for link in links} == there and len(links) == len(there) == 5
        assert "Not here" not in soup.get_text() and [p.get_text() for p in soup("p")] == ["a", "b"]
        assert "Slides: Tone & form (HTML, 0 kB)" in soup.get_text()


def test_a_site_with_solutions_gets_no_files(small_site, tmp_path, capsys, kept):
    (_, lines), *_ = ((n, v) for n, v in kept.items() if n.startswith(f"{LABS[0].stem}, solution"))
    (tmp_path / "decks" / "tone.html").write_text(" ".join(lines))
    assert teaching.publish(small_site) == 1
    assert "tone.html tells lab_" in capsys.readouterr().err and not (small_site / "teaching").exists()
    assert "Not here." in (small_site / "instructors" / "index.html").read_text()


def test_the_instructors_page_has_the_place_for_them():
    text = (ROOT / "instructors" / "index.md").read_text(encoding="utf-8")
    assert len(teaching.NOTE.findall(text)) == 1


def test_no_page_of_the_site_tells_a_solution(site):
    labs = teaching.secrets(LABS)
    for path in sorted(p for p in site.rglob("*") if p.suffix in (".html", ".ipynb", ".xml", ".zip")):
        if "_static" not in path.relative_to(site).parts:
            assert not teaching.told(teaching.words(path.name, path.read_bytes()), labs), path
