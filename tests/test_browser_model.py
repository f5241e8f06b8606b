"""The bundled model in a browser: fetched only when asked for, it answers as transformers does; where it cannot run, the page says why."""

from __future__ import annotations

import contextlib
from pathlib import Path

import nbformat
import pytest
from browser_model_page import browser_model_html, carry
from conftest import ROOT, lacking, serving

from whentofinetune.pages.browser_model import (
    BROWSER_MODEL,
    EXAMPLES,
    BrowserModel,
    gguf,
)

WAIT_MS = 300_000  # a busy machine reads a few tokens a second
# wllama computes products of 4-bit weights in 8 bits, transformers in 32: probabilities differ by a few points.
APART = 0.06
LABELS = ("positive", "neutral", "negative")


def made_up() -> dict:
    """A spec whose model would not be needed."""
    saved = [dict.fromkeys(LABELS, 0.0) | {LABELS[i % 3]: 1.0} for i in range(len(EXAMPLES))]
    prefixes = [f"{k} examples\n\nText:" for k in EXAMPLES]
    tokens = dict(zip(LABELS, (2731, 9174, 3524), strict=True))
    told = {"text": "A <b>tweet</b>.", "examples": EXAMPLES, "prefixes": prefixes, "after": "\nSentiment:"}
    return told | {"tokens": tokens, "saved": saved, "file": "model.gguf", "bytes": 98_000_000}


@contextlib.contextmanager
def opened(browser, folder: Path, spec: dict, carried: bool = True, before=lambda page: None):
    """A page that holds the block alone, with the site's own script; and the addresses that were asked for."""
    if not (ROOT / "assets" / "vendor" / "wllama").exists():
        lacking("wllama is not here: `make book` fetches it")
    page_html = f'<!doctype html><html lang="en"><head><title>t</title><link rel="icon" href="data:,"></head><body>{browser_model_html(spec, carried)}'
    (folder / "index.html").write_text(
        f'{page_html}<script type="module" src="_static/wllama-model.mjs"></script></body></html>'
    )
    static = folder / "_static"
    static.mkdir()
    for name in ("wllama-model.mjs", "vendor"):
        (static / name).symlink_to(ROOT / "assets" / name)
    context = browser.new_context()
    asked: list[str] = []
    try:
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        context.on("request", lambda r: asked.append(r.url))
        with serving(folder) as address:
            before(page)
            page.goto(address)
            page.wait_for_function("!document.querySelector('.tw-model fieldset').disabled")
            yield page, asked
    finally:
        context.close()


def until(page, words: str) -> str:
    """Wait until the status line says this."""
    status = "document.querySelector('.tw-status').textContent"
    page.wait_for_function(f"(words) => {status}.includes(words)", arg=words)
    return page.locator(".tw-status").inner_text()


def column(page, i: int) -> dict[str, str]:
    """What a column of the table says, by label."""
    rows = page.locator(".tw-model tbody tr").all()
    return {r.locator("th").inner_text(): r.locator("td").nth(i).inner_text() for r in rows}


def test_the_model_answers_in_the_browser_as_it_does_here(browser, tmp_path):
    """By keyboard alone: load, ask, another number of examples is not asked by itself."""
    spec = BrowserModel().spec()
    carry(gguf(), tmp_path / "_static-model")
    with opened(browser, tmp_path, spec) as (page, asked):
        (tmp_path / "_static" / "model").symlink_to(tmp_path / "_static-model")
        page.wait_for_timeout(300)
        assert not [a for a in asked if "wllama/" in a or "gguf" in a], "fetched before the reader asked"
        assert "98 MB" in page.locator(".tw-model button").inner_text()
        page.locator(".tw-model button").focus()
        page.keyboard.press("Enter")
        until(page, "Answered in your browser")
        theirs = {label: float(p.rstrip("%")) / 100 for label, p in column(page, 1).items()}
        assert theirs == pytest.approx(spec["saved"][0], abs=APART)
        assert page.evaluate("document.activeElement.textContent") == "Ask the model"
        assert all(a.startswith((page.url, "blob:", "data:")) for a in asked)
        page.locator(".tw-model input[type=range]").focus()
        page.keyboard.press("ArrowRight")
        assert page.locator(".tw-model output").inner_text() == "1"
        assert set(column(page, 1).values()) == {"not asked yet"}
        assert (
            page.locator(".tw-prompt").text_content()
            == f"{spec['prefixes'][1]} {spec['text']}{spec['after']}"
        )
        print(page.locator(".tw-model").evaluate("(m) => ({ ...m.dataset })"))


def test_what_was_saved_moves_with_the_examples_and_the_text(browser, tmp_path):
    spec = made_up()
    with opened(browser, tmp_path, spec) as (page, _):
        assert column(page, 0)["positive"] == "100%"
        page.locator(".tw-model input[type=range]").press("End")
        assert column(page, 0) == {
            label: "0.0%" if p == 0 else "100%" for label, p in spec["saved"][-1].items()
        }
        page.locator(".tw-model textarea").fill("Another\n  one <|im_end|>")
        assert set(column(page, 0).values()) == {"-"}
        assert (
            page.locator(".tw-prompt").text_content()
            == "16 examples\n\nText: Another one < |im_end|>\nSentiment:"
        )
        page.locator(".tw-model textarea").fill(" ")
        page.locator(".tw-model button").click()
        until(page, "Write a tweet first")


def test_cancel_stops_the_download_and_gives_the_button_back(browser, tmp_path):
    with opened(browser, tmp_path, made_up(), before=lambda p: p.route("**/model.gguf", lambda r: None)) as (
        page,
        _,
    ):
        button = page.locator(".tw-model button")
        button.click()
        page.wait_for_function("document.querySelector('.tw-model button').textContent === 'Cancel'")
        button.click()
        assert "Nothing is kept running" in until(page, "Cancelled")
        assert button.inner_text().startswith("Load the model")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("delete globalThis.WebAssembly", "has no WebAssembly, or a setting forbids it"),
        ("WebAssembly.validate = () => false", "64-bit memory; a current Chrome, Edge or Firefox has"),
        ("", "its file is not on this site: 404"),
    ],
)
def test_where_it_cannot_run_the_page_says_why(browser, tmp_path, script, words):
    with opened(browser, tmp_path, made_up(), before=lambda p: p.add_init_script(script)) as (page, _):
        page.locator(".tw-model button").click()
        assert "The saved answers stay" in until(page, words)


def test_a_file_that_arrives_cut_short_is_not_loaded(browser, tmp_path):
    cut = dict(status=200, body=b"GGUF")
    with opened(
        browser, tmp_path, made_up(), before=lambda p: p.route("**/model.gguf", lambda r: r.fulfill(**cut))
    ) as (page, asked):
        page.locator(".tw-model button").click()
        until(page, "arrived incomplete: try again")
        assert not [a for a in asked if a.endswith(".wasm")]


def test_a_site_built_without_the_model_says_so_and_keeps_the_saved_answers(browser, tmp_path):
    with opened(browser, tmp_path, made_up(), carried=False) as (page, _):
        assert "built without the model's file" in page.locator(".tw-status").inner_text()
        assert (
            page.locator(".tw-model button").is_hidden() and page.locator(".tw-model textarea").is_disabled()
        )
        page.locator(".tw-model input[type=range]").press("ArrowRight")
        assert column(page, 0)["neutral"] == "100%"


def test_text_on_the_page_is_no_html():
    made = browser_model_html(made_up() | {"after": "</script>"}, True)
    assert "<b>" not in made.split("<script")[0] and made.count("</script>") == 1


def test_the_file_is_copied_once_and_a_stump_is_replaced(tmp_path):
    source = tmp_path / "m.gguf"
    source.write_bytes(b"GGUF and more")
    target = carry(source, tmp_path / "site" / "model")
    target.write_bytes(b"GGUF")
    carry(source, tmp_path / "site" / "model")
    assert target.read_bytes() == b"GGUF and more"
    before = target.stat().st_mtime_ns
    assert carry(source, tmp_path / "site" / "model").stat().st_mtime_ns == before


@pytest.mark.parametrize("carried", [True, False])
def test_the_switch_leaves_the_file_out_of_the_site(tmp_path, carried, sphinx_app):
    """Sphinx, as the book sets it up, on one notebook that holds the block."""
    output = nbformat.v4.new_output("display_data", {BROWSER_MODEL: made_up(), "text/plain": "a form"})
    nb = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# A page"),
            nbformat.v4.new_code_cell("1", outputs=[output], execution_count=1),
        ]
    )
    nbformat.write(nb, tmp_path / "index.ipynb")
    settings = {
        "extensions": ["myst_nb", "sphinx_site"],
        "nb_execution_mode": "off",
        "browser_model": carried,
    }
    out = tmp_path / "out"
    app = sphinx_app(tmp_path, None, out, tmp_path / "trees", "html", settings, status=None, warning=None)
    app.build()
    page = (out / "index.html").read_text(encoding="utf-8")
    assert 'id="browser-model"' in page and "wllama-model.mjs" in page
    assert ("built without the model's file" in page) is not carried
    assert (out / "_static" / "model" / gguf().name).exists() is carried


def test_a_label_of_two_tokens_is_refused():
    with pytest.raises(ValueError, match="tokens long; the browser reads one"):
        BrowserModel(task="domain").spec()
