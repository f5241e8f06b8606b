"""The interactive pieces of the pages: their arithmetic against the library's and statsmodels', and that they draw in a browser."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from conftest import ROOT, lacking, serving
from sphinx_site import live_html, pack_calculators
from statsmodels.stats.proportion import power_proportions_2indep

from tunewise import comparison, prompting, stats
from whentofinetune.calculators import calibration, items_needed, low_rank, read, voice_check
from whentofinetune.calculators.items_needed import Design
from whentofinetune.datasets import company
from whentofinetune.pages import Live, predict

# -- items needed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "n"), [(0, 10), (7, 10), (210, 300), (5000, 5000)])
def test_the_interval_is_the_librarys(right, n):
    ours, theirs = items_needed.wilson(right / n, n), stats.proportion(right, n)
    assert ours == pytest.approx((theirs["low"], theirs["high"]), abs=1e-9)


@pytest.mark.parametrize(("p", "df"), [(0.975, 9), (0.8, 9), (0.975, 40), (0.8, 1000)])
def test_the_quantile_is_scipys(p, df):
    from scipy.stats import t

    assert items_needed.t_quantile(p, df) == pytest.approx(t.ppf(p, df), rel=1e-3)


@pytest.mark.parametrize(("n", "only_first", "only_second"), [(100, 5, 15), (300, 20, 40), (1000, 90, 120)])
def test_the_smallest_difference_found_is_the_comparisons(n, only_first, only_second):
    first, second = np.zeros(n), np.zeros(n)
    first[:only_first] = second[only_first : only_first + only_second] = 1
    first[n // 2 :] = second[n // 2 :] = 1
    theirs = comparison.compare_arrays([second], [first])
    points, differ = 100 * (only_second - only_first) / n, 100 * (only_first + only_second) / n
    design = Design(accuracy=100 * first.mean(), points=points, differ=differ)
    assert items_needed.found(design, n) == pytest.approx(theirs.detectable, rel=1e-3)


def test_the_items_needed_have_the_power_promised():
    """Separate items: statsmodels' power at that number; the same items: drawn again and again and compared by the library."""
    separate = Design(accuracy=70, points=8, same_items=False)
    n = items_needed.needed(separate)
    assert power_proportions_2indep(0.08, 0.7, n, return_results=False) == pytest.approx(0.8, abs=0.01)
    paired = Design(accuracy=70, points=8, differ=20)
    n, draw = items_needed.needed(paired), np.random.default_rng(0)
    kinds = draw.choice(4, p=[0.06, 0.14, 0.64, 0.16], size=(2000, n))  # only first, only second, both, none
    first, second = np.isin(kinds, (0, 2)), np.isin(kinds, (1, 2))
    found = [comparison.compare_arrays([b], [a]).significant for a, b in zip(first, second, strict=True)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"items": 3}, "a whole number of items, 10 or more"),
        ({"points": 0}, "must be above 0"),
        ({"accuracy": 98, "points": 5}, "more than 100 %"),
        ({"points": 25}, "right in exactly one method"),
        ({"accuracy": 95, "points": 2, "differ": 20}, "between 2 % and 8 %"),
    ],
)
def test_a_design_that_cannot_be_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        items_needed.items_json(json.dumps(settings))


# -- the voice ---------------------------------------------------------------------------------------------------------


def test_the_page_checks_replies_as_the_chapter_does():
    for mail in company.mails("test")[:40]:
        for reply in (mail.reply, mail.text, mail.reply.replace("we", "I")):
            answer = json.loads(voice_check.voice_json(json.dumps({"sender": mail.sender, "reply": reply})))
            kept = [said == "kept" for _, said in answer["tables"][0]["rows"]]
            assert kept == list(company.check_voice(reply, mail.sender).values())
            assert answer["text"].startswith(f"{sum(kept)} of 9 rules")


def test_without_a_reply_it_asks_for_one():
    with pytest.raises(ValueError, match="a reply first"):
        voice_check.voice_json('{"reply": "  "}')


# -- calibration -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", calibration.EXAMPLES)
def test_calibration_is_the_librarys(k):
    saved = read("label_scores")
    scores, empty = np.array(saved["scores"][str(k)]), np.array(saved["empty"][str(k)])
    bias = calibration.leaning(empty.tolist())
    assert bias == pytest.approx(prompting.label_bias(empty))
    assert (
        calibration.answers(scores.tolist(), bias, 1)
        == prompting.calibrate(scores, empty).argmax(axis=1).tolist()
    )
    text = json.loads(calibration.calibration_json(json.dumps({"examples": k, "taken": 100})))["text"]
    right = (scores.argmax(axis=1) == saved["truth"]).mean()
    assert f"Right, as scored: {100 * right:.0f} % of 300" in text and "Right, calibrated" in text


def test_scores_that_are_not_saved_are_refused():
    with pytest.raises(ValueError, match="not for 3"):
        calibration.calibration_json('{"examples": 3}')


# -- W + BA ------------------------------------------------------------------------------------------------------------


def test_error_and_corner_of_random_numbers_are_numpys():
    """The saved random matrix is drawn again; its best approximations come from numpy."""
    import torch

    saved = low_rank.updates()[low_rank.RANDOM]
    matrix = torch.randn(saved["shape"], generator=torch.Generator().manual_seed(0)).double().numpy()
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    for rank in (1, 8, 64):
        best = (u[:, :rank] * s[:rank]) @ v[:rank]
        missed = np.linalg.norm(matrix - best) / np.linalg.norm(matrix)
        assert low_rank.error(saved["singular"], rank) == pytest.approx(missed, abs=1e-3)
        size = len(saved["corner"])
        assert np.array(low_rank.corner(saved, rank)) == pytest.approx(best[:size, :size] / s[0], abs=1e-3)


def test_training_moved_weights_in_fewer_directions_than_chance_would():
    random = low_rank.updates()[low_rank.RANDOM]["singular"]
    for name, update in low_rank.updates().items():
        assert sorted(update["singular"], reverse=True) == update["singular"]
        assert len(update["singular"]) == min(update["shape"])
        if name != low_rank.RANDOM:
            assert low_rank.error(update["singular"], 8) < low_rank.error(random, 8)


def test_numbers_are_those_of_a_lora_adapter():
    import torch
    from peft import LoraConfig, get_peft_model

    out, into = next(iter(low_rank.updates().values()))["shape"]
    adapted = get_peft_model(
        torch.nn.Sequential(torch.nn.Linear(into, out)), LoraConfig(r=8, target_modules=["0"])
    )
    assert low_rank.numbers((out, into), 8) == adapted.get_nb_trainable_parameters()[0]


@pytest.mark.parametrize(
    ("settings", "words"), [({"rank": 65}, "from 1 to 64"), ({"matrix": "x"}, "no update of")]
)
def test_a_rank_that_is_not_there_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        low_rank.low_rank_json(json.dumps(settings))


# -- in a browser ------------------------------------------------------------------------------------------------------

PIECES = {
    "items-needed": (items_needed, "items_json", "points", "10"),
    "voice-check": (voice_check, "voice_json", "reply", "Good day, Odile Farrant."),
    "calibration": (calibration, "calibration_json", "taken", "100"),
    "low-rank": (low_rank, "low_rank_json", "rank", "3"),
}


@pytest.fixture(scope="module")
def page_of_pieces(browser, tmp_path_factory):
    """A page with the four pieces, and what its scripts complained of."""
    if not (ROOT / "assets" / "vendor" / "pyodide").exists():
        lacking("Pyodide is not here: `make book` fetches it")
    folder = tmp_path_factory.mktemp("pieces")
    static = folder / "_static"
    pack_calculators(static / "calculators.zip")
    for name in ("figures.js", "live.mjs", "live-worker.mjs", "site.css", "vendor"):
        (static / name).symlink_to(ROOT / "assets" / name)
    made = [Live(n, m.CONTROLS, f"{m.__name__}:{front}") for n, (m, front, *_) in PIECES.items()]
    head = '<title>t</title><link rel="icon" href="data:,"><link rel="stylesheet" href="_static/site.css"><meta name="viewport" content="width=device-width">'
    scripts = '<script defer src="_static/figures.js"></script><script type="module" src="_static/live.mjs"></script>'
    body = "".join(live_html(live.spec()) for live in made)
    (folder / "index.html").write_text(
        f'<!doctype html><html lang="en"><head>{head}{scripts}</head><body>{body}'
    )
    page, wrong = browser.new_page(), []
    page.set_default_timeout(120_000)
    page.on("pageerror", lambda e: wrong.append(str(e)))
    with serving(folder) as address:
        page.goto(address)
        page.wait_for_function("!document.querySelector('fieldset').disabled")
        yield page, wrong
        page.close()


@pytest.mark.parametrize("name", PIECES)
def test_a_piece_computes_in_the_page_what_it_computes_here(page_of_pieces, name):
    page, wrong = page_of_pieces
    module, front, control, value = PIECES[name]
    field = page.locator(f"#{name}-{control}")
    before = page.evaluate("performance.now()")
    field.fill(value)
    page.wait_for_function("(id) => document.getElementById(id).dataset.draws", arg=f"live-{name}")
    print(name, "first value after", round(page.evaluate("performance.now()") - before), "ms")
    settings = {control: value if control == "reply" else int(value)}
    expected = json.loads(getattr(module, front)(json.dumps(settings)))
    words = page.locator(f"#live-{name} .tw-text").inner_text().split()
    assert words == expected["text"].split()
    assert page.locator(f"#live-{name} .tw-figures figure").count() == len(expected.get("figures", []))
    page.wait_for_function(
        "(n) => document.querySelector(`#live-${n} .tw-status`).textContent.startsWith('Computed')", arg=name
    )
    assert ("Odile" not in page.url) and (control == "reply" or f"{name}.{control}={value}" in page.url)
    assert not wrong


@pytest.mark.parametrize("choices", [(), ("up", "down")])
def test_a_result_is_shown_only_after_a_prediction(browser, tmp_path, choices):
    """A slider that was not touched is no prediction; its middle may be meant, and is one once it was clicked."""
    (tmp_path / "questions.js").symlink_to(ROOT / "assets" / "questions.js")
    asked = predict("gain", "How much?", "up" if choices else 50, choices=choices)._repr_html_()
    cells = (
        f'<div class="cell">{asked}</div><div class="cell" id="shown"><div class="tw-table">50</div></div>'
    )
    (tmp_path / "index.html").write_text(
        f'<!doctype html><style>.tw-covered {{ display: none }}</style>{cells}<script src="questions.js"></script>'
    )
    page = browser.new_page()
    with serving(tmp_path) as address:
        page.goto(address)
        assert page.locator("button").is_disabled() and not page.locator("#shown").is_visible()
        page.locator("label, input[type=range]").last.click()
        page.locator("button").click()
        assert page.locator("#shown").is_visible()
        assert page.locator(".tw-answer").inner_text().startswith("You predicted")
        page.reload()
        assert page.locator("#shown").is_visible() and page.locator("button").is_enabled()
        page.close()


def test_a_label_score_is_the_models(tmp_path):
    """The first tweets, asked again."""
    from whentofinetune.classification import label_scores
    from whentofinetune.pages.browser_model import BrowserModel

    piece, saved = BrowserModel(), read("label_scores")
    found = label_scores(piece.model(), piece.template, piece.task, piece.task.test[:2], piece.shots[:4])
    assert found == pytest.approx(np.array(saved["scores"]["4"][:2]), abs=0.01)
    assert saved["truth"] == [e.label for e in piece.task.test] and not math.isnan(found.sum())
