"""Slides and the book as PDF: what they take from a page, and, from the built site, that all of it is there and nothing is cut."""

import re
import unicodedata
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from conftest import load
from pypdf import PdfReader

from tunewise import report as rp

ROOT = Path(__file__).resolve().parents[1]
slides, pdf = load(ROOT / "book" / "slides.py"), load(ROOT / "book" / "pdf.py")
site_pages = load(ROOT / "book" / "sphinx_site.py")
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PAGE = """<article><section><h1>A <em>chapter</em><a class="headerlink" href="#a">#</a></h1><p>It opens with <a href="x.html">a link</a> &amp; a sign.</p>
<table><tr><td><strong>You will be able to</strong></td><td>read it; say no</td></tr></table>
<section><h2>Measured</h2>
<form class="tw-predict"><fieldset><legend>Predict</legend><p>How many?</p><div class="tw-radios"><label for="a">none</label><label for="b">all</label></div></fieldset></form>
<figure class="tw-figure"><p class="tw-title">Shares</p><div class="tw-plot" aria-label="two &lt; three"><svg viewBox="0 0 9 9"><path d="M 0 0"></path></svg></div><script>{}</script></figure>
<div class="tw-verdict" style="--tw-mark:#009E73;padding:0"><p class="tw-verdict-head">C1. It helps.</p><dl><dt>Verdict</dt><dd><strong>agrees</strong></dd><dt>Others found</dt><dd>much</dd></dl></div>
</section><section><h2>Take away</h2><ul><li>One.</li><li>Two.</li></ul></section></section></article>"""


def test_a_deck_has_opening_prediction_figure_verdict_and_take_away_in_this_order():
    deck = BeautifulSoup(slides.deck(PAGE), "html.parser")
    assert [s["class"] for s in deck.select("section")] == [
        [kind] for kind in ("title", "points", "predict", "figure", "box", "points")
    ]
    assert deck.title.get_text() == deck.h1.get_text() == "A chapter"
    assert "a link & a sign." in deck.select_one(".title p").get_text() and not deck.select("a")
    assert [li.get_text() for li in deck.select("section:nth-of-type(2) li")] == ["read it", "say no"]
    assert [li.get_text() for li in deck.select(".predict li")] == ["none", "all"]
    figure = deck.select_one(".figure")
    assert figure.svg.path and figure.select_one("[role=img]")["aria-label"] == "two < three"
    assert deck.select_one("section.figure h2").get_text() == "Measured"
    box = deck.select_one(".box")
    assert "agrees" in box.get_text() and "much" not in box.get_text() and "#009E73" in str(box)


def page_of(asks: str, shown: str, truth: str = "61.5", unit: str = "%", choices: str = "") -> BeautifulSoup:
    form = f'<form class="tw-predict" data-truth="{truth}" data-unit="{unit}"><fieldset><p>{asks}</p>{choices}</fieldset></form>'
    cells = "".join(f'<div class="cell">{c}</div>' for c in (form, shown))
    page = f"<article><section><h1>A</h1><section><h2>B</h2>{cells}</section></section></article>"
    return BeautifulSoup(slides.deck(page), "html.parser")


def choice(*names: str) -> str:
    bars = {
        n: rp.dots({"seen": 0.2, "new": 0.615 if n == names[-1] else 0.3}, "right", "Right") for n in names
    }
    return site_pages.figure_html(rp.choose(bars, "phrasings").to_dict())


def captions(deck: BeautifulSoup) -> list[str]:
    return [p.get_text() for p in deck.select(".figure .caption")]


def test_the_state_that_answers_a_prediction_comes_first_then_the_others():
    deck = page_of("How many with the most phrasings?", choice("1", "4", "8"))
    assert captions(deck) == [f"Right. phrasings: {n}" for n in (8, 1, 4)]
    first, *others = deck.select("section.figure")
    assert first.select_one(".answer").get_text() == "Measured: 61.5 %"
    assert not any(s.select(".answer") for s in others)
    assert "new 62 %" in first.select_one("[role=img]")["aria-label"]
    named = page_of("How many with QLoRA?", choice("full", "LoRA", "QLoRA", "8-bit", "SGD"), "1")
    assert captions(named) == ["Right. phrasings: QLoRA"], "of many states the one that is asked for"
    assert len(captions(page_of("How many?", choice(*"abcdef"), "7"))) == slides.STATES


def test_short_tables_are_slides_and_a_prediction_without_an_answer_is_left_out():
    def table(rows: int) -> str:
        return rp.table([{"method": f"way {i}", "right": 0.5} for i in range(rows)], "Ways").html

    deck = page_of("How many?", table(slides.LONGEST))
    assert [s["class"] for s in deck.select("section")] == [["title"], ["predict"], ["table"]]
    assert deck.select_one(".table .caption").get_text() == "Ways" and len(deck.select("table tr")) == 11
    radios = '<div class="tw-radios"><label>none</label><label>all</label></div>'
    assert page_of("Which?", table(2), "1", choices=radios).select_one(".answer strong").get_text() == "all"
    assert [s["class"] for s in page_of("?", table(11)).select("section")] == [["title"]]
    assert [s["class"] for s in page_of("?", "words").select("section")] == [["title"]]
    assert not page_of("?", f"<details>{table(2)}</details>").select(".predict, .table")
    assert not page_of("?", f'<div class="tw-live">{table(2)}</div>').select(".predict, .table")


def test_a_calculators_figure_says_what_it_was_made_for():
    fields = (
        '<div class="tw-control"><label>Method</label><select><option>full</option><option selected>LoRA</option></select></div>'
        '<div class="tw-control"><label>Rank <span class="tw-value"><output>8</output> <span class="tw-unit">of 64</span></span></label><input type="range" value="8"></div>'
        '<div class="tw-control"><input type="checkbox"><label>Accumulated</label></div>'
    )
    deck = page_of("?", f'<section class="tw-live">{fields}{choice("a")}</section>')
    assert deck.select_one(".setting").get_text() == "Method: LoRA; Rank: 8 of 64"


def test_an_unknown_chapter_is_named(capsys):
    assert slides.main(["tones"]) == 1
    assert "No chapter tones: choose from introduction, decide" in capsys.readouterr().err


def test_without_a_site_it_says_what_to_do(tmp_path, capsys):
    assert not slides.printing.built(tmp_path)
    assert "`make slides` and `make pdf` build it first" in capsys.readouterr().err


def test_each_chapter_has_a_deck_and_the_book_has_every_page_once():
    chapters = {p.stem for p in (ROOT / "chapters").glob("*.ipynb")} - slides.REFERENCE
    assert set(slides.chapters()) == chapters
    pages = [name for _, names in pdf.contents(TOC) for name in names]
    assert len(pages) == len(set(pages)) and {
        "index",
        "licence",
        *(f"chapters/{c}" for c in chapters),
    } <= set(pages)
    for name in pages:
        assert any((ROOT / f"{name}{ending}").exists() for ending in (".md", ".ipynb")), name


def test_sections_stand_behind_their_page_and_what_is_left_out_is_left_out():
    toc = {
        "root": "index",
        "parts": [
            {
                "caption": "A",
                "chapters": [{"file": "a", "sections": [{"file": "a1"}]}, {"file": "api"}, {"file": "b"}],
            }
        ],
    }
    assert pdf.contents(toc) == [("", ["index"]), ("A", ["a", "a1", "b"])]


# -- the built site ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", slides.chapters())
def test_a_deck_shows_every_figure_and_verdict_and_loads_nothing(site, name):
    page = (site / "chapters" / f"{name}.html").read_text(encoding="utf-8")
    article = BeautifulSoup(page, "lxml").find("article")
    deck = BeautifulSoup(slides.deck(page), "lxml")
    assert len(deck.select(".figure svg")) >= len(article.select("figure.tw-figure")) or name == "decide"
    if name == "decide":
        assert len(deck.select("section:nth-of-type(2) ol li")) == 8 and not deck.select(".figure")
    assert len(deck.select("section.box")) == len(article.select(".tw-verdict"))
    asked = deck.select("section.predict")
    forms = article.select("form.tw-predict")
    assert len(asked) == sum(
        bool(slides.answering(form)) for form in forms
    )  # a long table answers on no slide
    assert len(asked) >= len(forms) - 1
    assert all(s.find_next_sibling("section").select_one(".answer") for s in asked)
    for form in article.select("form.tw-predict"):
        for figure in (t for t in slides.answering(form) if t.name == "figure"):
            _, first, _ = slides.states(figure, form)[0]
            assert figure.select_one(".tw-plot")["aria-label"].startswith(first), "page and deck differ"
    assert name == "decide" or [h.get_text() for h in deck.select("h2")][-1] == "Take away"
    assert not deck.select("[src], link") and "url(" not in deck.style.get_text()
    ids = [t["id"] for t in deck.find_all(id=True)]
    assert len(ids) == len(set(ids))


def test_no_slide_is_cut_and_the_keys_turn_them(browser, site, tmp_path):
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page, wrong, asked = context.new_page(), [], []
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.on("request", lambda r: asked.append(r.url))
    try:
        for name in slides.chapters():
            deck = slides.deck((site / "chapters" / f"{name}.html").read_text(encoding="utf-8"))
            (tmp_path / f"{name}.html").write_text(deck, encoding="utf-8")
            page.goto((tmp_path / f"{name}.html").as_uri())
            over = "(s) => s.scrollHeight > s.clientHeight + 1 || s.scrollWidth > s.clientWidth + 1"
            assert not page.evaluate(f"slides.filter({over}).map((s) => s.innerText.slice(0, 80))"), name
            sizes = page.evaluate("slides.map((s) => parseFloat(getComputedStyle(s).fontSize))")
            assert min(sizes) > 12, f"{name}: words too small to read from the last row"
        page.keyboard.press("End")
        page.wait_for_function("Math.round(scrollY / innerHeight) === slides.length - 1")
        page.keyboard.press("ArrowLeft")
        page.wait_for_function("Math.round(scrollY / innerHeight) === slides.length - 2")
        assert not wrong and all(url.startswith(tmp_path.as_uri()) for url in asked)
    finally:
        context.close()


def test_two_pages_of_the_book_as_pdf(browser, site, tmp_path):
    """Bookmarks lead to the page with their words, contents and feet have the same numbers, no link leads into this machine."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    page.emulate_media(media="print")
    try:
        pdf.bind(page, config, [("", ["index"]), ("Part", ["chapters/forgetting"])], site).write(
            tmp_path / "b.pdf"
        )
    finally:
        context.close()
    made = PdfReader(tmp_path / "b.pdf")
    texts = [re.sub(r"\s+", " ", unicodedata.normalize("NFKC", sheet.extract_text())) for sheet in made.pages]

    def bookmarks(outline, level=0):
        for item in outline:
            if isinstance(item, list):
                yield from bookmarks(item, level + 1)
            else:
                yield level, item.title, made.get_destination_page_number(item)

    found = list(bookmarks(made.outline))
    assert {(0, "When to Fine-Tune"), (0, "Part"), (1, "What fine-tuning takes away"), (2, "By hand")} <= {
        (level, title) for level, title, _ in found
    }
    for _, title, at in found:
        assert title == "Part" or title in texts[at], title
    start = next(at for _, title, at in found if title == "What fine-tuning takes away")
    assert re.search(rf"What fine-tuning takes away {start + 1}\b", texts[1])
    assert all(re.search(rf"\b{i + 1}$", text.strip()) for i, text in enumerate(texts))
    assert "Verdict" in " ".join(texts) and "Take away" in " ".join(texts[-2:])
    links = [a.get_object()["/A"] for sheet in made.pages for a in sheet.get("/Annots") or ()]
    links = [str(link.get_object()["/URI"]) for link in links if "/URI" in link.get_object()]
    assert links and not [link for link in links if not re.match("https?:|mailto:", link)]
    assert any(link.startswith(config["html"]["baseurl"]) for link in links)
