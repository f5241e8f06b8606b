"""The built site as its files are: links, hosts, sizes, figures, headings; and as a browser shows it: axe, widths, themes, errors."""

from __future__ import annotations

import functools
import gzip
import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup

from tunewise.report.figures import PLOTLY
from whentofinetune.pages.browser_model import BROWSER_MODEL
from whentofinetune.pages.live import LIVE

ROOT = Path(__file__).resolve().parents[1]
# A page is read on a phone in a train: at 1.5 MB it is there in about four seconds at 3 Mbit/s, and compressed in one. Figures
# are in the page twice, as a picture and as numbers, so a figure with very many points is what usually breaks this.
LARGEST_PAGE = 1_500_000
# The theme's own: its search button and theme switch are labelled otherwise than shown, its logo stands outside of landmarks.
THEMES_OWN = {"label-content-name-mismatch", "region"}
MADE_BY_SPHINX = {"genindex.html", "py-modindex.html", "search.html"}


@pytest.fixture(scope="module")
def pages(site) -> dict[str, BeautifulSoup]:
    """Every page of the site by its path. What lies in _static is the theme's, in teaching are slides."""
    paths = {p.relative_to(site).as_posix(): p for p in sorted(site.rglob("*.html"))}
    found = {name: p for name, p in paths.items() if not name.startswith(("_static/", "teaching/"))}
    assert "index.html" in found
    return {name: BeautifulSoup(path.read_text(encoding="utf-8"), "lxml") for name, path in found.items()}


@functools.cache
def names_of_pages() -> list[str]:
    """The pages by the table of contents: known before the site is built."""
    import yaml

    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))

    def files(part) -> list[str]:
        if isinstance(part, list):
            return [f for p in part for f in files(p)]
        if isinstance(part, dict):
            own = [part["file"]] if "file" in part else []
            return own + [f for key in ("parts", "chapters", "sections") for f in files(part.get(key, []))]
        return []

    return [f"{name}.html" for name in [toc["root"], *files(toc)]]


# -- the files -----------------------------------------------------------------------------------------------------------


def test_every_page_of_the_contents_is_there(pages):
    assert set(names_of_pages()) <= set(pages)


def test_no_local_link_or_anchor_is_broken(site, pages):
    anchors = {
        name: {t.get("id") or t.get("name") for t in soup.find_all(lambda t: t.get("id") or t.get("name"))}
        for name, soup in pages.items()
    }
    broken = []
    for name, soup in pages.items():
        for tag in soup.find_all(["a", "link", "script", "img", "source", "form", "iframe"]):
            link = tag.get("href") or tag.get("src") or tag.get("action")
            if not link or re.match(r"(https?:|mailto:|data:|javascript:|//)", link):
                continue
            parts = urlsplit(link)
            target = (site / name).parent / unquote(parts.path) if parts.path else site / name
            target = target.resolve()
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                broken.append(f"{name}: {link}")
            elif parts.fragment and target.suffix == ".html":
                inside = target.relative_to(site.resolve()).as_posix()
                if unquote(parts.fragment) not in anchors.get(inside, ()):
                    broken.append(f"{name}: {link} (no such anchor)")
    assert not broken


def test_nothing_is_loaded_from_another_host(site, pages):
    """The book works without a network, and tells no third party who reads it."""
    outside = []
    for name, soup in pages.items():
        for tag in soup.find_all(["script", "img", "iframe", "source", "video", "audio", "object", "embed"]):
            if re.match(r"(https?:)?//", tag.get("src") or tag.get("data") or ""):
                outside.append(f"{name}: {tag.name} {tag.get('src')}")
        for tag in soup.find_all("link"):
            if re.match(r"(https?:)?//", tag.get("href") or "") and not {"canonical", "license"} & set(
                tag.get("rel", [])
            ):
                outside.append(f"{name}: link {tag['href']}")
    for path in (site / "_static").rglob("*.css"):
        outside += [
            f"{path.name}: {u}"
            for u in re.findall(
                r"(?:url\(|@import\s)\s*[\"']?((?:https?:)?//[^\"')]+)", path.read_text(encoding="utf-8")
            )
        ]
    assert not outside


def test_no_notebook_error_and_no_warning_is_shown(pages):
    for name, soup in pages.items():
        shown = soup.select(
            ".output.traceback, .highlight-ipythontb, .output.stderr, .system-message, .cell_output .error"
        )
        assert not shown, f"{name}: {shown[0].get_text()[:300]}"
        assert "Traceback (most recent call last)" not in soup.get_text(), name


def test_as_many_figures_and_calculators_as_in_the_notebook(site, pages):
    """A figure whose type the page does not know is dropped in silence: so they are counted."""
    from jupyter_cache import get_cache

    ran, counted = get_cache(site.parent / ".jupyter_cache"), 0
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        name = f"chapters/{path.stem}.html"
        if name not in pages:
            continue
        _, nb = ran.merge_match_into_notebook(nbformat.read(path, 4))
        figures = live = 0
        for cell in nb.cells:
            if cell.cell_type != "code" or {"remove-cell", "remove-output"} & set(
                cell.metadata.get("tags", [])
            ):
                continue
            for output in cell.outputs:
                data = output.get("data", {})
                if LIVE in data:
                    live += 1
                    figures += len(data[LIVE]["result"].get("figures", []))
                elif PLOTLY in data and BROWSER_MODEL not in data:  # there the figure is for other fronts
                    figures += 1
        soup = pages[name]
        assert (len(soup.select("figure.tw-figure")), len(soup.select("section.tw-live"))) == (
            figures,
            live,
        ), name
        counted += figures
    assert counted


def test_forms_that_need_a_kernel_show_what_they_saved(pages):
    for name, soup in pages.items():
        assert not soup.select('script[type*="widget-view"]'), f"{name}: an empty space where a widget was"
    asked = pages["chapters/rag_facts.html"]
    assert asked.select(".tw-browser details"), "the passages that came back must stand on the page"
    assert "kept" in pages["chapters/tone.html"].select_one("#try-it").get_text()


def test_every_figure_has_a_picture_words_and_data(pages):
    for name, soup in pages.items():
        for figure in soup.select("figure.tw-figure"):
            plot = figure.select_one(".tw-plot")
            assert plot["role"] == "img" and len(plot["aria-label"]) > 20, (
                f"{name}: a figure without a description"
            )
            assert len(plot.select("svg path")) > 5, f"{name}: no saved picture of {plot['aria-label'][:60]}"
            spec = json.loads(figure.select_one("script.tw-plotly").string)
            drawn = [
                t for t in spec["data"] if any(v is not None for v in (*t.get("x", ()), *t.get("y", ())))
            ]
            assert drawn, f"{name}: an empty figure: {plot['aria-label'][:60]}"


def test_a_saved_picture_leaves_room_for_its_axes_whatever_the_names(recwarn):
    from still_picture import svg

    from tunewise.report.figures import Figure

    names = [f"a way of tuning with a long name, number {i}" for i in range(9)]
    traces = [
        {"type": "scatter", "mode": "markers", "name": n, "x": [i], "y": [i], "error_x": {"array": [1.0]}}
        for i, n in enumerate(names)
    ]
    source = svg(Figure(traces, {"height": 400, "showlegend": True}, "nine points"))
    assert not [w for w in recwarn if "collapsed" in str(w.message)] and all(n in source for n in names)


def test_a_saved_picture_cuts_no_name_of_its_legend():
    """Beside long names of bars, which leave the axes half of the width. Widths of the names by matplotlib's font."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath
    from still_picture import svg

    from tunewise import report as rp

    parts = ["weights", "gradients", "optimiser", "saved activations", "logits", "quantisation constants"]
    bars = {f"a bar with rather a long name, number {i}": dict.fromkeys(parts, 0.1) for i in range(3)}
    source = svg(rp.stacked_bars(bars, "share", "Bars"))
    width = float(re.search(r'viewBox="0 0 ([\d.]+) ', source)[1])
    for name in parts:
        left = float(re.search(rf'<text [^>]*? x="([\d.]+)"[^>]*>{name}<', source)[1])
        assert left + TextPath((0, 0), name, prop=FontProperties(size=10)).get_extents().width < width, name


def test_ids_are_unique(pages):
    for name, soup in pages.items():
        ids = [t["id"] for t in soup.find_all(id=True)]
        assert not {i for i in ids if ids.count(i) > 1} if len(ids) < 400 else len(set(ids)) == len(ids), name


def test_no_page_is_too_large(site, pages):
    sizes = {name: (site / name).stat().st_size for name in pages}
    assert not {n: s for n, s in sizes.items() if s > LARGEST_PAGE}


def test_what_a_page_loads_before_it_can_be_read_is_below_a_megabyte(site, pages):
    """Scripts and style sheets of the page itself, packed as a web server sends them; pictures, and what a control fetches, come later."""
    for name, page in pages.items():
        parts = [
            e.get("src") or e.get("href") for e in page.select("script[src], link[rel=stylesheet][href]")
        ]
        files = {(site / name).parent / urlsplit(p).path for p in parts if not urlsplit(p).netloc}
        packed = sum(len(gzip.compress(f.read_bytes(), 6)) for f in {f.resolve() for f in files})
        assert packed + len(gzip.compress((site / name).read_bytes(), 6)) < 1_000_000, name


def test_what_is_not_measured_says_how_to_measure_it(pages):
    from tunewise.record import SCALES
    from whentofinetune import experiments

    for name, soup in pages.items():
        for note in soup.select(".tw-missing"):
            command = note.select_one("code").get_text().split()
            assert command[:2] == ["tunewise", "run"], name
            scale = command[command.index("--scale") + 1]
            assert scale in SCALES and scale in experiments.get(command[2]).scales, (
                f"{name}: {' '.join(command)} does not run"
            )


def test_every_page_has_a_language_a_title_a_description_and_one_heading(pages):
    for name, soup in pages.items():
        assert soup.html.get("lang") and soup.title.get_text().strip(), name
        shown = [
            h for h in soup.find_all("h1") if not h.find_parent(id="jb-print-docs-body")
        ]  # the theme's, for print only
        assert len(shown) == 1, f"{name}: {[h.get_text() for h in shown]}"
        if name not in MADE_BY_SPHINX:
            assert len(soup.find("meta", attrs={"name": "description"})["content"]) > 40, name
        assert "width=device-width" in soup.find("meta", attrs={"name": "viewport"})["content"], name


def test_a_shared_link_has_a_title_and_a_picture(site, pages):
    for name in names_of_pages():
        said = {m["property"]: m["content"] for m in pages[name].select('meta[property^="og:"]')}
        assert said["og:title"] and said["og:site_name"] == "When to Fine-Tune", name
        assert said["og:image"].startswith("https://")
        assert (site / "_images" / said["og:image"].partition("/_images/")[2]).is_file(), name


def test_tables_say_what_they_show(pages):
    for name, soup in pages.items():
        for table in soup.select(".tw-table table"):
            assert table.caption and table.find("th", attrs={"scope": "col"}), name


def test_figures_and_tables_are_numbered_in_their_order(pages):
    """So that one can be cited; what a form draws anew, and the numbers of a figure, stand in no order."""
    for name, page in pages.items():
        for kind, caption in (("figure", ".tw-title"), ("table", "caption")):
            inside = ".tw-live" if kind == "figure" else ".tw-live, figure"
            own = [x for x in page.select(f".tw-{kind}") if not x.css.closest(inside)]
            numbers = [str(i + 1) for i in range(len(own))]
            assert [x.get("id") for x in own] == [f"{kind}-{n}" for n in numbers], name
            assert [x.select_one(caption).get("data-number") for x in own] == numbers, name


def test_hindi_is_said_to_be_hindi(pages):
    """A screen reader takes its voice for the language from there; drawings, which have words of their own, aside."""
    devanagari = re.compile("[\u0900-\u097f]+")
    found = [
        t
        for soup in pages.values()
        for article in soup.select("article")
        for t in article.find_all(string=devanagari)
    ]
    texts = [t for t in found if not t.find_parent(["script", "svg"])]
    assert texts and all(t.find_parent(attrs={"lang": "hi"}) for t in texts)


def test_a_reference_begins_with_the_name_by_which_it_is_cited(pages):
    entries = {
        e["id"]: e.p.get_text().replace("\xa0", " ") for e in pages["references.html"].select(".citation")
    }
    cited = [a for soup in pages.values() for a in soup.select('article a[href*="references.html#"]')]
    assert len(cited) > 50
    for link in cited:
        name = re.split(r" and | et\s+al|, ", link.get_text().replace("\xa0", " "))[0].strip()
        assert entries[link["href"].partition("#")[2]].startswith(name), name


def test_labs_are_shown_and_given_out_without_their_answers(site, pages):
    labs = [name for name in pages if name.startswith("labs/lab_")]
    assert labs
    for name in labs:
        given = [
            site / "assignments" / f"{Path(name).stem}.ipynb",
            site / "_sources" / Path(name).with_suffix(".ipynb"),
        ]
        for text in (pages[name].get_text(), *(p.read_text(encoding="utf-8") for p in given)):
            assert (
                "BEGIN SOLUTION" not in text and "BEGIN HIDDEN TESTS" not in text and "YOUR CODE HERE" in text
            ), name


# -- in a browser ----------------------------------------------------------------------------------------------------------


def settle(page) -> None:
    """Look at each figure until it is drawn, and go back to the top."""
    # a figure that waits for the reader's prediction is shown
    page.evaluate("document.querySelectorAll('.tw-covered').forEach((c) => c.classList.remove('tw-covered'))")
    # A slow machine misses a figure that is only scrolled past.
    page.wait_for_function(
        """() => {
            const waits = [...document.querySelectorAll('.tw-plot')].find((p) => !p.querySelector('.main-svg'));
            (waits ?? document.documentElement).scrollIntoView({ behavior: 'instant' });
            return !waits;
        }""",
        timeout=60_000,
    )


# Of every figure that is drawn: is it as wide as its column, is a text cut, does an axis say a thing twice?
UNREADABLE = """() => [...document.querySelectorAll('.tw-plot')].flatMap((plot) => {
    const found = [], { left, right, bottom } = plot.getBoundingClientRect();
    if (Math.abs(plot._fullLayout.width - plot.clientWidth) > 1) found.push(`${plot._fullLayout.width} px wide in ${plot.clientWidth}`);
    for (const text of plot.querySelectorAll('.main-svg text')) {
        const at = text.getBoundingClientRect();
        if (at.width && (at.left < left - 1 || at.right > right + 1 || at.bottom > bottom + 1)) found.push(`cut: ${text.textContent}`);
    }
    for (const ground of plot.querySelectorAll('.annotation .bg')) {
        if (getComputedStyle(ground).fillOpacity !== '1') found.push(`a line crosses: ${ground.parentElement.textContent}`);
    }
    for (const axis of ['x', 'y']) {
        const words = [...plot.querySelectorAll(`.${axis}tick text`)].map((t) => t.textContent).filter((w) => w);
        if (new Set(words).size < words.length) found.push(`twice on ${axis}: ${words}`);
    }
    return found.map((what) => `${plot.closest('figure').querySelector('.tw-title').textContent}: ${what}`);
})"""


# In the dark: which colours of a figure have less than three times the light of what they stand on, or a third of it?
FAINT = """() => {
    const light = (css) => css.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
        .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0.05);
    const ground = (e) => { const css = getComputedStyle(e).backgroundColor; return /, 0\\)/.test(css) ? ground(e.parentElement) : css; };
    const rgb = (hex) => `rgb(${[1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16))})`;
    return [...document.querySelectorAll('.tw-plot')].flatMap((plot) => plot._fullData.flatMap((t) => [t.marker?.color, t.line?.color])
        .filter((hex) => /^#[0-9a-f]{6}$/i.test(hex)).filter((hex) => {
            const [a, b] = [light(rgb(hex)), light(ground(plot))];
            return Math.max(a, b) < 3 * Math.min(a, b);
        }));
}"""
SCROLLING = "[...document.querySelectorAll('.tw-table, .pst-scrollable-table-container')].filter((t) => t.scrollWidth > t.clientWidth).map((t) => t.textContent.slice(0, 60))"


@pytest.fixture(scope="module")
def axe() -> str:
    return (ROOT / "_build" / "npm" / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", names_of_pages())
def test_a_page_in_the_browser(browser, served, axe, name, width, theme):
    """Accessible by axe, no wider than the screen, no error, no request elsewhere: wide and narrow, light and dark."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    wrong, requests = [], []
    page.on(
        "console", lambda m: wrong.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda e: wrong.append(f"page error: {e}"))
    page.on("response", lambda r: wrong.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    page.on("request", lambda r: requests.append(r.url))
    try:
        page.goto(f"{served}{name}")
        settle(page)
        assert page.locator("html").get_attribute("data-theme") == theme
        assert (
            page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        ), "wider than the screen"
        for figure in page.locator(".tw-figure").all():
            box = figure.bounding_box()
            assert box and box["width"] > 250 and box["height"] > 150, f"a figure of {box}"
        assert not page.evaluate(UNREADABLE)
        assert theme == "light" or not page.evaluate(FAINT)
        assert not page.evaluate(SCROLLING)
        page.evaluate(axe)
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        violations = [
            f"{v['id']} ({v['impact']}): {v['nodes'][0]['html'][:160]}"
            for v in found
            if v["id"] not in THEMES_OWN
        ]
        assert not violations
        assert not wrong
        assert not [r for r in requests if not r.startswith((served, "data:", "blob:"))]
    finally:
        context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_figure_has_its_place_before_it_is_drawn_and_follows_its_column(browser, served, width):
    """The saved picture is not narrower than a column for text needs, and nothing below it moves; no window is resized."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    page, held = context.new_page(), []
    page.route("**/plotly-basic.min.js", lambda route: held.append(route))
    heights = "[...document.querySelectorAll('.tw-plot')].map((p) => p.getBoundingClientRect().height)"
    try:
        page.goto(f"{served}chapters/size.html")
        page.evaluate(
            "document.querySelectorAll('.tw-covered').forEach((c) => c.classList.remove('tw-covered'))"
        )
        page.locator(".tw-figure").first.scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        before = page.evaluate(heights)
        narrower = "(p) => p.firstChild.getBoundingClientRect().width < 0.9 * p.clientWidth"
        assert held and not page.evaluate(f"[...document.querySelectorAll('.tw-plot')].some({narrower})")
        held[0].continue_()
        settle(page)
        assert page.evaluate(heights) == pytest.approx(before, abs=2)
        page.evaluate("document.querySelectorAll('.tw-figure').forEach((f) => { f.style.width = '330px'; })")
        page.wait_for_timeout(600)
        assert not page.evaluate(UNREADABLE)
    finally:
        context.close()


def test_a_wide_table_shows_that_it_scrolls_and_a_key_scrolls_it(browser, served):
    """On what is too wide for cards and too narrow for all columns."""
    context = browser.new_context(viewport={"width": 640, "height": 900})
    page = context.new_page()
    try:
        page.goto(f"{served}chapters/accuracy.html")
        page.evaluate(
            "document.querySelectorAll('.tw-covered').forEach((c) => c.classList.remove('tw-covered'))"
        )
        tables = page.locator(".tw-table:visible")
        wide = tables.evaluate_all("(all) => all.findIndex((t) => t.scrollWidth > t.clientWidth + 20)")
        table = tables.nth(wide)
        assert wide >= 0 and "local" in table.evaluate("(t) => getComputedStyle(t).backgroundAttachment")
        grounds = "(t) => [...t.querySelectorAll('tr, :is(th, td):not(:first-child)')].map((c) => getComputedStyle(c).backgroundColor)"
        assert not [c for c in table.evaluate(grounds) if c.startswith("rgb(")], "a cell covers the shadow"
        assert table.evaluate(
            "(t) => !t.querySelector('caption') || t.querySelector('caption').scrollWidth <= t.clientWidth"
        )
        table.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("document.activeElement.scrollLeft > 0")
    finally:
        context.close()


# Options, and words of code in tables, that stand on more than one line.
BROKEN = """() => [...document.querySelectorAll('.tw-option, :is(td, th) code .pre')].filter((e) => e.offsetParent
    && e.getBoundingClientRect().height > 2.5 * parseFloat(getComputedStyle(e).fontSize)).map((e) => e.textContent)"""


def test_on_a_telephone_no_option_is_broken_and_the_arrow_to_the_next_page_is_whole(browser, served):
    context = browser.new_context(viewport={"width": 390, "height": 900})
    page = context.new_page()
    try:
        for name in ("chapters/records.html", "instructors/index.html", "labs/lab_will_it_fit.html"):
            page.goto(f"{served}{name}")
            assert page.locator(".tw-option, td code .pre").count() and not page.evaluate(BROKEN)
        page.goto(f"{served}index.html")
        arrow = page.locator(".right-next .fa-angle-right").bounding_box()
        assert arrow and arrow["x"] + arrow["width"] <= 390
    finally:
        context.close()


def test_what_is_printed_is_light(browser, served):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    page = context.new_page()
    try:
        page.goto(f"{served}chapters/decide.html")
        ink = "getComputedStyle(document.querySelector('article p')).color.match(/[0-9]+/g).every((v) => v < 100)"
        for event, light in (("beforeprint", True), ("afterprint", False)):
            page.evaluate(f"dispatchEvent(new Event('{event}'))")
            assert page.evaluate(ink) is light
    finally:
        context.close()


def test_opened_as_a_file_it_shows_saved_results_and_says_so(browser, site, pages):
    """Browsers run no module there: the figures stand, and a calculator must not look alive."""
    names = [name for name, soup in pages.items() if soup.select("section.tw-live")]
    assert names
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, requests = context.new_page(), []
    page.on("request", lambda r: requests.append(r.url))
    try:
        for name in names:
            page.goto((site / name).resolve().as_uri())
            settle(page)
            assert page.locator("article h1").is_visible()
            for live, saved in zip(
                page.locator(".tw-live").all(), pages[name].select("section.tw-live"), strict=True
            ):
                assert "opened as a file" in live.locator(".tw-status").inner_text()
                assert live.locator("fieldset:not([disabled])").count() == 0
                assert live.locator(".tw-figures .main-svg").count() >= len(saved.select("figure.tw-figure"))
                assert live.locator(".tw-tables table").count() == len(saved.select(".tw-tables table"))
        assert all(r.startswith(("file:", "data:", "blob:")) for r in requests)
    finally:
        context.close()


def test_the_book_can_be_walked_through_by_its_links(browser, served):
    """Next, next, next: from the first page to the last; and the search finds a word."""
    context = browser.new_context()
    page = context.new_page()
    try:
        page.goto(f"{served}index.html")
        seen = 1
        while page.locator("a.right-next").count():
            page.locator("a.right-next").click()
            page.wait_for_load_state()
            seen += 1
        assert seen == len(names_of_pages())
        page.goto(f"{served}search.html?q=calibration")
        page.wait_for_selector("#search-results li", timeout=20_000)
        assert page.locator("#search-results li").count()
        page.goto(f"{served}search.html?q=should+I+fine-tune")
        first = page.locator("#search-results li a").first
        first.wait_for(timeout=20_000)
        assert re.search(r"/(index|decide)\.html", first.evaluate("(a) => a.href"))
    finally:
        context.close()
