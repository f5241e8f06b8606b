"""A deck of slides for each chapter, from the built site: ``make slides`` calls this.

A deck is one HTML file that needs no network and no library: opening, predictions, figures, short tables, verdict boxes and
take-aways, in the chapter's own words. Where there is Chrome or Chromium, each deck is printed as PDF, too.
"""

import json
import math
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
import still_picture

from tunewise.report import Figure

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
LONGEST = 10  # rows of a table that is read from a slide
STATES = 4  # of a figure with a choice: more slides than that nobody turns


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


def shown(tag: Tag) -> bool:
    """Whether a figure or a table becomes a slide: not what is folded away, a table of a calculator's answer, or a long table."""
    if tag.find_parent("details"):
        return False
    return (
        tag.name == "figure" or not tag.find_parent(class_="tw-live") and len(tag.select("tr")) <= LONGEST + 1
    )


def answering(form: Tag) -> list[Tag]:
    """The slides that answer a prediction: what the page covers until it is made, the next cell that shows a figure or a table."""
    tag = form.find_next(lambda t: t.name == "figure" or "tw-table" in (t.get("class") or ()))
    cell = tag and tag.find_parent(class_="cell")
    found = cell.select("figure.tw-figure, .tw-table") if cell else [tag] if tag else []
    return [t for t in found if shown(t)]


def answer(form: Tag) -> str:
    """What was measured, as the page says it after a prediction."""
    truth, labels = form.get("data-truth", ""), form.select(".tw-radios label")
    if labels and truth:
        return labels[int(truth)].get_text()
    return f"{float(truth):,.4g} {form.get('data-unit', '')}".strip() if truth else ""


def asked(form: Tag, names: list[str], figures: list[Figure]) -> int | None:
    """Which state of a figure a prediction asks for: the one that its question names, else the one that has its number."""

    def tokens(text: str) -> list[str]:
        return re.findall(r"[\w.]*\w", text.lower())

    said = set(tokens(form.select_one("fieldset > p").get_text()))
    shares = [sum(t in said for t in tokens(name)) / (len(tokens(name)) or 1) for name in names]
    if max(shares) >= 0.6:
        return shares.index(max(shares))
    if form.select(".tw-radios label") or not form.get("data-truth"):
        return None
    truth = float(form["data-truth"])
    for i, figure in enumerate(figures):
        numbers = [v for t in figure.data for axis in "xy" for v in t[axis] if isinstance(v, int | float)]
        if any(math.isclose(v, t, rel_tol=1e-3) for v in numbers for t in (truth, truth / 100)):
            return i
    return None


def states(tag: Tag, form: Tag | None) -> list[tuple[str, str, Markup]]:
    """Caption, description and picture of each state of a figure that is shown; what ``form`` asks for comes first."""
    plot, title = tag.select_one(".tw-plot"), words(tag.select_one(".tw-title"))
    script = tag.select_one("script.tw-plotly")
    spec = json.loads(script.string) if script else {}
    layout = spec.get("layout", {})
    menu = next(iter(layout.get("updatemenus", [])), None)
    if not menu:
        return [(title, plot["aria-label"], Markup(plot.find("svg")))]
    steps, name = menu["buttons"], menu["name"]
    figures = []
    for step in steps:
        visible, change = step["args"]
        data = [t for t, seen in zip(spec["data"], visible["visible"], strict=True) if seen]
        data = [t | {"visible": True} for t in data]
        figures.append(Figure.from_dict({"data": data, "layout": layout | change}))
    names = [step["label"] for step in steps]
    first = asked(form, names, figures) if form else None
    order = [first] if first is not None else []
    if first is None or len(steps) <= STATES:
        order += [i for i in range(len(steps)) if i != first]
    made = []
    for i in order[:STATES]:
        title = (figures[i].layout.get("title") or {}).get("text", "")
        setting = "" if names[i].lower() in title.lower() else f"{name}: {names[i]}"
        caption = ". ".join(filter(None, (title, setting)))
        made.append((caption, figures[i].alt, Markup(still_picture.svg(figures[i]))))
    return made


def setting(tag: Tag) -> str:
    """What a calculator's figure was made for: the labels and values of its form."""
    said = []
    for control in tag.select(".tw-control"):
        label, field = control.find("label"), control.find(["select", "input"])
        if field is None or field.get("type") == "checkbox" and not field.has_attr("checked"):
            continue
        chosen = field.select_one("option[selected]") or field.find("option")
        value = chosen.get_text() if chosen else "yes" if field["type"] == "checkbox" else field["value"]
        unit = control.select_one(".tw-unit")
        name = "".join(label.find_all(string=True, recursive=False)).strip()
        said.append(f"{name}: {value} {unit.get_text() if unit else ''}".strip())
    return "; ".join(said)


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
    answers = {id(tags[0]): form for form in article.select("form.tw-predict") if (tags := answering(form))}
    asks = {id(form) for form in answers.values()}  # the others are left out: no slide would answer them
    eight = article.select_one("#live-decide")
    heading = ""
    for tag in article.select(
        "h2, h3, form.tw-predict, figure.tw-figure, .tw-table, .tw-verdict, #live-decide"
    ):
        form = answers.get(id(tag))
        found = {"heading": heading, "answer": answer(form) if form else ""}
        if tag.name in ("h2", "h3"):
            heading = words(tag)
            if heading == "Take away":
                points = tag.parent.find("ul", recursive=False).find_all("li", recursive=False)
                yield {"kind": "points", "heading": heading, "points": [words(li) for li in points]}
        elif tag is eight:
            rows = [(c.find("label"), c.find("small")) for c in tag.select(".tw-control")]
            asked_for = [Markup("<strong>{}</strong> {}").format(*map(_text, row)) for row in rows]
            title = tag.select_one(".tw-live-title").get_text()
            yield {"kind": "points", "numbered": True, "heading": title, "points": asked_for}
        elif tag.name == "form":
            if id(tag) in asks:
                question = words(tag.select_one("fieldset > p"))
                choices = [words(label) for label in tag.select(".tw-radios label")]
                head = "Predict before you look"
                yield {"kind": "predict", "heading": head, "asks": question, "choices": choices}
        elif tag.name == "figure" and not eight:  # that page's deck is its questions
            live = tag.find_parent(class_="tw-live")
            for caption, alt, picture in states(tag, form) if shown(tag) else ():
                said = {"caption": caption, "alt": alt, "picture": picture}
                yield {"kind": "figure", **found, **said, "setting": setting(live) if live else ""}
                found["answer"] = ""  # stands on the first
        elif "tw-table" in tag["class"] and shown(tag):
            table = tag.find("table")
            said = {"caption": words(table.caption) if table.caption else "", "table": words(table)}
            yield {"kind": "table", **found, **said}
        elif "tw-verdict" in tag["class"]:
            rows = {dt.get_text(): words(dt.find_next_sibling("dd")) for dt in tag.select("dt")}
            yield {
                "kind": "box",
                "heading": heading,
                "says": words(tag.select_one(".tw-verdict-head")),
                "colour": re.search(r"--tw-mark:(#\w+)", tag["style"])[1],
                "rows": [(name, rows[name]) for name in ROWS if name in rows],
            }


def _text(tag: Tag | None) -> str:
    """Words of a label, without the number that the list gives."""
    return re.sub(r"^\d+\. ", "", tag.get_text()) if tag else ""


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
