"""The whole book as one PDF, with contents, page numbers and bookmarks, from the built site: ``make pdf`` calls this.

Each page of the site is printed by Chrome or Chromium: figures as the pictures that the build saved, folds open, code that only draws left out.
"""

import datetime
import html
import io
import re
import sys
from pathlib import Path

import yaml
from pypdf import PdfReader, PdfWriter

sys.path.insert(0, str(Path(__file__).resolve().parent))
import printing

ROOT, SITE = printing.ROOT, printing.SITE
OUT = ROOT / "_build" / "when-to-fine-tune.pdf"
LEFT_OUT = {"api"}  # to look things up in, not to read
MARGIN = {"top": "18mm", "bottom": "20mm", "left": "18mm", "right": "18mm"}
# what would draw over the saved pictures, or cover them
SCRIPTS = re.compile(r"/_static/(figures|live|decide|questions|wllama-model)\.m?js")
# Links into the site become links to where it is published; returns level and words of each heading that is shown.
PREPARE = r"""({from, to}) => {
  const here = location.href.replace(/#.*/, "");
  for (const a of document.querySelectorAll("article a[href]")) {
    if (a.href.startsWith(here + "#")) a.setAttribute("href", a.hash);
    else if (a.protocol === "file:") a.href = to + a.href.slice(from.length);
  }
  document.querySelectorAll("article details").forEach((fold) => { fold.open = true; });
  document.querySelectorAll(".toggle-hidden").forEach((fold) => fold.classList.remove("toggle-hidden"));
  const shown = [...document.querySelectorAll("article :is(h1, h2, h3)")].filter((h) => h.checkVisibility());
  return shown.map((h) => [Number(h.tagName[1]), h.innerText.replace(/\s*#?\s*$/, "").replace(/\s+/g, " ")]);
}"""
COVER = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 10.5pt/1.45 system-ui, "DejaVu Sans", sans-serif }} h1 {{ font-size: 30pt; margin: 60mm 0 5mm }}
.contents {{ break-before: page }} .contents h1 {{ font-size: 20pt; margin: 0 }} h2 {{ font-size: 12pt; margin: 4mm 0 1mm; break-after: avoid }}
.line {{ display: flex; gap: 2mm }} .line::before {{ content: ""; order: 1; flex: 1; border-bottom: 1px dotted #888; margin-bottom: 1.5mm }} .line span {{ order: 2 }}
</style><h1>{title}</h1><p>{author}</p><p>As of {day}. The figures and calculators answer at <a href="{site}">{site}</a>.</p>
<p>Text: CC BY 4.0. Code: MIT. The last chapter says what may be copied.</p><div class="contents"><h1>Contents</h1>{lines}</div></html>"""
FEET = "<style>body {{ margin: 0; font: 8pt sans-serif }} p {{ height: 296mm; margin: 0; padding-top: 284mm; box-sizing: border-box; text-align: center; break-after: page }}</style>{}"


def contents(toc: dict) -> list[tuple[str, list[str]]]:
    """The parts of the book, each with the names of its pages in order. toc: what ``_toc.yml`` holds."""

    def files(entries: list[dict]) -> list[str]:
        found = [f for e in entries for f in (e["file"], *files(e.get("sections", [])))]
        return [f for f in found if f not in LEFT_OUT]

    return [("", [toc["root"]]), *((part["caption"], files(part["chapters"])) for part in toc["parts"])]


def pdf_of(page, **more) -> PdfReader:
    """What the browser shows, printed on A4."""
    return PdfReader(io.BytesIO(page.pdf(format="A4", print_background=True, **more)))


def printed(page, name: str, site: Path, published: str) -> tuple[PdfReader, list[tuple[int, str, int]]]:
    """A page of the site as PDF, and its headings: level, words, page (from 0)."""
    page.goto((site / f"{name}.html").as_uri())
    page.evaluate("window.MathJax?.startup?.promise")
    page.add_style_tag(path=Path(__file__).with_name("pdf.css"))
    headings = page.evaluate(PREPARE, {"from": f"{site.as_uri()}/", "to": published})
    made = pdf_of(page, margin=MARGIN, outline=True, tagged=True)

    def places(outline: list):
        for item in outline:
            if isinstance(item, list):
                yield from places(item)
            else:
                yield made.get_destination_page_number(item)

    # the outline's own words are cut where a heading breaks into lines, so they are taken from the page
    marks = [(*h, place) for h, place in zip(headings, places(made.outline), strict=True)]
    return made, marks


def bind(page, config: dict, parts: list[tuple[str, list[str]]], site: Path = SITE) -> PdfWriter:
    """Cover, contents and all pages as one document. page: a browser's (:func:`printing.printer`); config: what ``_config.yml`` holds."""
    published, made = config["html"]["baseurl"], {}
    page.route(SCRIPTS, lambda route: route.abort())
    for name in (name for _, names in parts for name in names):
        made[name] = printed(page, name, site, published)
        print(f"{len(made[name][0].pages):4} pages  {name}", flush=True)
    words = {key: html.escape(config[key]) for key in ("title", "author")}
    words |= {"site": published, "day": str(datetime.datetime.now(datetime.UTC).date())}

    def cover(before: int) -> PdfReader:
        lines, at = "", before
        for caption, names in parts:
            lines += f"<h2>{html.escape(caption)}</h2>"
            for pdf, marks in (made[name] for name in names):
                lines += f'<div class="line">{html.escape(marks[0][1])}<span>{at + 1}</span></div>'
                at += len(pdf.pages)
        page.set_content(COVER.format(**words, lines=lines))
        return pdf_of(page, margin=MARGIN)

    book = PdfWriter()
    book.append(cover(len(cover(0).pages)))  # as long as the one with other numbers
    for caption, names in parts:
        above = None
        for pdf, marks in (made[name] for name in names):
            at = len(book.pages)
            book.append(pdf, import_outline=False)
            if caption and above is None:  # a bookmark needs a page that is there
                above = book.add_outline_item(title=caption, page_number=at, bold=True)
            parents = {0: above}
            for level, title, place in marks:
                parent = next(parents[n] for n in range(level - 1, -1, -1) if n in parents)
                parents = {n: p for n, p in parents.items() if n < level}
                parents[level] = book.add_outline_item(
                    title=title, page_number=at + place, parent=parent, is_open=False
                )
    page.set_content(FEET.format("".join(f"<p>{i}</p>" for i in range(1, len(book.pages) + 1))))
    for sheet, foot in zip(book.pages, pdf_of(page).pages, strict=True):
        sheet.merge_page(foot)
        sheet.compress_content_streams()
    book.add_metadata({"/Title": config["title"], "/Author": config["author"]})
    book.page_mode = "/UseOutlines"
    book.compress_identical_objects()
    return book


def main() -> int:
    if not printing.built():
        return 1
    config, toc = (yaml.safe_load((ROOT / f"_{name}.yml").read_text("utf-8")) for name in ("config", "toc"))
    with printing.printer() as page:
        if page is None:
            return 1
        book = bind(page, config, contents(toc))
    book.write(OUT)
    print(f"{len(book.pages)} pages, {OUT.stat().st_size / 1e6:.0f} MB: {OUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
