"""A deck of slides for each chapter, from the built site: ``make slides`` calls this.

A deck is one HTML file that needs no network and no library: opening, predictions, figures, verdict boxes and take-aways, in the
chapter's own words. Where there is Chrome or Chromium, each deck is printed as PDF, too.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from bs4 import BeautifulSoup, Tag
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

sys.path.insert(0, str(Path(__file__).resolve().parent))
import printing

ROOT, SITE = printing.ROOT, printing.SITE
SLIDES = ROOT / "_build" / "slides"
REFERENCE = {"claims", "records"}  # lists, not chapters
ROWS = (
    "Tested",
    "We measured",
    "Verdict",
    "By model size",
    "Why",
)  # of a verdict box; the rest is for reading


def chapters() -> list[str]:
    """The chapters in the book's order."""
    text = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    found = [c["file"] for part in yaml.safe_load(text)["parts"] for c in part["chapters"]]
    return [f[9:] for f in found if f.startswith("chapters/") and f[9:] not in REFERENCE]


def words(tag: Tag) -> Markup:
    """What stands in ``tag``, with emphasis and code, without links: a slide leads nowhere."""
    copy = BeautifulSoup(str(tag), "lxml").find(tag.name)
    for link in copy.select("a.headerlink"):
        link.decompose()
    for link in copy.select("a, span"):
        link.unwrap()
    return Markup(copy.decode_contents().strip())


def slides(article: Tag) -> Iterator[dict]:
    """The slides of a chapter, in the order of its page. ``kind`` says what the other keys are (slides.html.jinja)."""
    top = article.find("h1").parent
    opening = [p for p in top.find_all("p", recursive=False) if not p.find("img")]
    yield {"kind": "title", "paragraphs": [words(p) for p in opening[:2]]}
    aims = article.find("td", string=re.compile("You will be able to")) or article.find(
        "strong", string="You will be able to"
    )
    if aims:
        told = aims.find_parent("tr").find_all("td")[1].get_text().split(";")
        yield {"kind": "points", "heading": "You will be able to", "points": [t.strip() for t in told]}
    heading = ""
    for tag in article.select("h2, h3, form.tw-predict, figure.tw-figure, .tw-verdict"):
        if tag.name in ("h2", "h3"):
            heading = words(tag)
            if heading == "Take away":
                points = tag.parent.find("ul", recursive=False).find_all("li", recursive=False)
                yield {"kind": "points", "heading": heading, "points": [words(li) for li in points]}
        elif tag.name == "form":
            asks = words(tag.select_one("fieldset > p"))
            choices = [words(label) for label in tag.select(".tw-radios label")]
            yield {"kind": "predict", "heading": "Predict before you look", "asks": asks, "choices": choices}
        elif tag.name == "figure":
            plot = tag.select_one(".tw-plot")
            yield {
                "kind": "figure",
                "heading": heading,
                "caption": words(tag.select_one(".tw-title")),
                "alt": plot["aria-label"],
                "picture": Markup(plot.find("svg")),
            }
        else:
            rows = {dt.get_text(): words(dt.find_next_sibling("dd")) for dt in tag.select("dt")}
            yield {
                "kind": "box",
                "heading": heading,
                "says": words(tag.select_one(".tw-verdict-head")),
                "colour": re.search(r"--tw-mark:(#\w+)", tag["style"])[1],
                "rows": [(name, rows[name]) for name in ROWS if name in rows],
            }


def deck(page: str) -> str:
    """The deck of a built page, as HTML."""
    article = BeautifulSoup(page, "lxml").find("article")
    made = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    title = words(article.find("h1")).striptags()
    return made.get_template("slides.html.jinja").render(title=title, slides=list(slides(article)))


def main(names: list[str]) -> int:
    if unknown := set(names) - set(chapters()):
        print(
            f"No chapter {', '.join(sorted(unknown))}: choose from {', '.join(chapters())}", file=sys.stderr
        )
        return 1
    if not printing.built():
        return 1
    if not names:
        shutil.rmtree(SLIDES, ignore_errors=True)
    SLIDES.mkdir(parents=True, exist_ok=True)
    made = []
    for name in names or chapters():
        made.append(SLIDES / f"{name}.html")
        made[-1].write_text(deck((SITE / "chapters" / f"{name}.html").read_text("utf-8")), encoding="utf-8")
    with printing.printer() as page:
        for path in made if page else ():
            page.goto(path.as_uri())
            page.pdf(path=path.with_suffix(".pdf"), width="1280px", height="720px", print_background=True)
    print(f"{len(made)} decks{', each also as PDF' if page else ''}: {SLIDES}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
