"""The page *What changes with size*: its groups and figures against the verdicts, and its words against the records."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from scipy import stats

from tunewise.comparison import compare_arrays
from whentofinetune import verdicts
from whentofinetune.pages import model_size as page
from whentofinetune.pages.board import board
from whentofinetune.pages.verdict import by_size

ROOT = Path(__file__).resolve().parents[1]
CELLS = {c.id: c.source for c in nbformat.read(ROOT / "chapters" / "size.ipynb", 4).cells}
SAID = {
    k: v
    for name in ("size-said", "size-said-open")
    for k, v in ast.literal_eval(ast.parse(CELLS[name]).body[0].value).items()
}


@pytest.fixture(scope="module")
def found():
    return page.groups()


@pytest.mark.parametrize(
    ("words", "group"),
    [
        (["agrees", "agrees"], page.HELD),
        (["no difference that matters", "no difference that matters"], page.HELD),
        (["agrees", "too small to matter", "agrees"], page.TURNED),
        (["agrees", "cannot tell", "does not agree"], page.TURNED),
        (["cannot tell", "agrees"], page.SOME),
        (["cannot tell", "cannot tell", "cannot tell"], page.OPEN),
    ],
)
def test_a_claim_is_put_where_its_verdicts_say(words, group):
    assert page.group(words) == group


def test_every_claim_with_two_sizes_stands_in_one_group(found):
    wanted = []
    for claim, entry in verdicts.claims().items():
        words = [verdicts.verdict(claim, model).word for model in verdicts.LADDER]
        if entry["kind"] == "effect" and words.count("not yet measured") < 2:
            wanted.append(claim)
    assert sorted(page.listed(found)) == sorted(wanted)


def test_the_three_sentences_count_the_groups(found):
    text = page.result(found).text
    assert len(re.findall(r"[.](?: [A-Z0-9]|$)", text)) == 3
    several, held, *_ = re.search(r"effect, (\d+) were .* and (\d+) of", text).groups()
    assert (int(several), int(held)) == (len(page.listed(found)), len(found[page.HELD]))
    for claim in page.listed(found):
        assert len(re.findall(rf"\b{claim}\b", text)) == 1
    nothing = page.result(dict.fromkeys(found, {})).text
    assert "None gets another verdict at another size. 0 are decided" in nothing


def test_the_figure_has_every_test_once_at_each_size(found):
    figure = page.figure(found)
    drawn = {
        (trace["name"], row): (x, y)
        for trace in figure.data
        for row, x, y in zip(trace["hovertext"], trace["x"], trace["y"], strict=True)
    }
    rows = {}
    for claims in found.values():
        for claim, sizes in claims.items():
            for size, v in sizes.items():
                for f in v.findings:
                    if f.unit in ("points", "relative"):
                        x, y = drawn.pop((size, f"{claim}: {f.says}"))
                        assert x == f.comparison.estimate
                        rows.setdefault(f"{claim}: {f.says}", []).append(y)
    assert not drawn
    at = dict(zip(figure.layout["yaxis"]["ticktext"], figure.layout["yaxis"]["tickvals"], strict=True))
    assert len(at) == len(rows)  # no two rows with one label
    for (label, y), (row, ys) in zip(at.items(), rows.items(), strict=True):
        assert label.split()[0].rstrip("abcdef") == row.split(":")[0]
        assert all(abs(y - found_y) <= 15 for found_y in ys)
    bands = [s for s in figure.layout["shapes"] if s["type"] == "rect"]
    margins = {
        f"{c}: {t['says']}": t["margin"] for c in page.listed(found) for t in verdicts.claims()[c]["tests"]
    }
    assert [band["x1"] for band in bands] == [margins[row] for row in rows]


def test_each_effect_claim_that_the_figure_could_draw_has_a_topic():
    drawn = {
        c for c, e in verdicts.claims().items() for t in e.get("tests", ()) if t.get("unit") != "correlation"
    }
    contrasts = {
        c
        for c, e in verdicts.claims().items()
        for t in e.get("tests", ())
        if "gain_" in t.get("contrast", "")
    }
    assert drawn - contrasts <= set(page.TOPICS) <= drawn


def test_a_change_is_welchs():
    """For two samples of differences, against scipy's own interval for unequal variances."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.1, 0.3, 40), rng.normal(0.3, 0.5, 90)
    small, large = (compare_arrays([values], [np.zeros_like(values)]) for values in (x, y))
    change = page.change(small, large, level=0.9)
    interval = stats.ttest_ind(y, x, equal_var=False).confidence_interval(0.9)
    assert (change.low, change.high) == pytest.approx(tuple(interval), rel=1e-9)


@pytest.mark.parametrize("step", [("135M", "0.5B"), ("0.5B", "1.5B")])
def test_all_changes_of_a_step_are_corrected_together(found, step):
    every = page.changes(found, *step)
    assert {c.level for c in every.values()} == {1 - 0.05 / len(every)}
    text = page.changes_table(found, *step).text
    clear = [name for name, c in every.items() if c.low > 0 or c.high < 0]
    assert text.startswith(f"From {step[0]} to {step[1]}, {len(clear)} of {len(every)} differences")
    assert all(name in text for name in clear)
    halves = sorted((c.high - c.low) / 2 for c in every.values())
    wide = int(re.search(r"more than (\d+) points", text)[1])
    assert sum(100 * h >= wide - 0.5 for h in halves) >= len(halves) / 2


def test_a_comparison_that_claims_share_is_counted_once(found):
    names = list(page.steps(found, "135M", "0.5B"))
    claims = [claim for name in names for claim in re.findall(r"\bC\d+[a-f]?\b", name)]
    assert len(claims) == len(set(claims)) > len(names)
    assert "C9, C35a a voice" in names  # one comparison of claims.yml, word for word
    first, other = verdicts.claims()["C9"]["tests"][0], verdicts.claims()["C35"]["tests"][0]
    assert {k: first[k] for k in ("a", "b", "metric")} == {k: other[k] for k in ("a", "b", "metric")}


def test_what_a_larger_model_was_taught_more_is_read_from_the_records():
    rows = [line.split() for line in page.taught().text.splitlines()[2:]]
    params = {
        model: yaml.safe_load((ROOT / f"data/runs/{model}/rag_hybrid.full.json").read_text())["params"]
        for model in ("smollm2-135m", "qwen2.5-coder-0.5b")
    }
    asked = [str(p["readings"]) for p in params.values()]
    assert (["rag_hybrid", *asked] in rows) == (len(set(asked)) > 1)
    assert all(len(set(counts)) > 1 for _, *counts in rows)


# -- the words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", SAID)
def test_the_sentence_on_a_claim_goes_with_the_records(claim):
    expected, sentence = SAID[claim]
    assert page.goes_with(expected, by_size(claim)), f"write the sentence on {claim} anew"
    assert sentence.endswith(".") and expected


def test_a_sentence_for_other_verdicts_is_left_out(found):
    some = found[page.HELD]
    claim, sizes = next(iter(some.items()))
    size, verdict = next(iter(sizes.items()))
    right, wrong = ({size: word} for word in (verdict.word, "another"))
    assert "Told." in page.notes({claim: sizes}, {claim: (right, "Told.")}).html
    assert "Told." not in page.notes({claim: sizes}, {claim: (wrong, "Told.")}).html
    assert not page.goes_with({"70B": "agrees"}, sizes)


def test_part_of_a_claim_can_be_named():
    sizes = by_size("C24")
    first, second = sizes["135M"].findings
    assert page.goes_with({"135M a": first.verdict, "135M b": second.verdict}, sizes)
    assert not page.goes_with({"135M a": second.verdict}, sizes) and first.verdict != second.verdict


def test_the_notes_give_each_test_at_each_size_and_lead_to_the_box(found):
    for claims in found.values():
        source = page.notes(claims, SAID).html
        assert source.count("<li") == len(claims)
        for claim in claims:
            assert f'{verdicts.claims()[claim]["chapter"]}.html#{claim}"' in source
        assert source.count("<small>") == sum(len(verdicts.claims()[c]["tests"]) for c in claims)


def test_what_the_prose_says_of_single_claims_follows_from_the_records(found):
    """Sentences of the text cells that no verdict box and no note holds."""
    assert "teaches to read a passage among others, whether it gives a reply its form" in CELLS["size-some"]
    assert (
        "(C6), the judge of groundedness (C24), facts in the weights (C34), and the voice when its content"
        in CELLS["size-some"]
    )
    assert (
        "(C35), are the other way round; the four tests of C1 add up to a verdict at 0.5B only"
        in CELLS["size-some"]
    )
    assert [f.verdict for f in by_size("C1")["1.5B"].findings].count("does not agree") == 3
    some = {
        claim: [v.word == "cannot tell" for v in sizes.values()] for claim, sizes in found[page.SOME].items()
    }
    assert (
        some["C23"] == [True, False] and some["C10"] == [True, False, False] and some["C24"] == [False, True]
    )
    assert some["C6"] == [False, True] and some["C35"] == [False, False, True]
    assert some["C1"] == [True, False, True] and some["C34"] == [False, True]
    assert 2 * sum(is_open[0] and not is_open[-1] for is_open in some.values()) > len(some)  # most
    assert "facts in the weights" in CELLS["size-facts"]
    large = by_size("C32")["0.5B"].findings
    assert [f.verdict for f in large] == ["agrees", "does not agree"]
    family, larger = page.changes(found, "0.5B", "1.5B"), page.changes(found, "135M", "0.5B")
    assert (
        "random examples cost the smaller one accuracy and bring the larger one some (C26)"
        in CELLS["size-changes-text"]
    )
    assert (
        all(family[f"C26{part} examples"].low > 0 for part in "ab") and family["C30b near examples"].low > 0
    )
    assert [v.word for v in by_size("C26").values()][1:] == ["does not agree", "agrees"]
    assert "lose ground to it (C1)" in CELLS["size-changes-text"] and family["C1a small classifier"].high < 0
    clear = {name.split()[0] for name, c in family.items() if c.significant}
    assert "nearly all that changed clearly is what a prompt brings" in CELLS["size-result"]
    assert clear - {"C25a"} == {"C26a", "C26b", "C29", "C30b", "C1a", "C1c"}  # with a prompt on one side
    assert family["C25a long context"].high < 0
    assert (
        "to be filled from a text (C10, C17), and what retrieved passages bring grows (C32)"
        in CELLS["size-result"]
    )
    assert larger["C17b notes"].high < 0 and larger["C10c JSON"].high < 0
    assert larger["C32a RAG first"].low > 0
    assert "in C17, C20 and C32 the word stays while a difference changed clearly" in CELLS["size-held"]
    assert {"C17", "C20", "C32"} <= set(found[page.HELD])
    assert larger["C17b notes"].high < 0 < larger["C32a RAG first"].low
    assert page.changes(found, "135M", "1.5B")["C20 short prompt"].high < 0
    *_, last = by_size("C29").values()
    assert last.word == "agrees"  # the self-check: lose at one size, not at the next, and again


def test_published_figures_come_from_sources_that_were_read():
    read = {e["source"] for c in verdicts.claims().values() for e in c["evidence"] if e["sure"] == "read"}
    told, ladders = CELLS["size-when"].split("**Ladders of sizes.**")
    cited = set(re.findall(r"\{cite:p\}`(\w+)`", told + CELLS["size-facts-text"]))
    assert cited and cited <= read
    assert not re.search(
        r"\d+(\.\d+)? ?%|0\.\d\d", ladders
    )  # known by their abstracts only: no figure is quoted


def test_figures_of_others_stand_in_the_evidence():
    evidence = " ".join(e["text"] for c in verdicts.claims().values() for e in c["evidence"])
    told = CELLS["size-when"]
    numbers = re.findall(r"\b\d\.\d{2,3}\b|\b\d{2}(?:\.\d+)?(?= ?%| to \d)", told)
    assert len(numbers) > 10 and not [n for n in numbers if n not in evidence]


# -- the board and the book ------------------------------------------------------------------------------------------------


def test_a_board_of_some_claims_leads_to_the_page_of_all():
    shown = board("C30", "C1", page="claims.html")
    assert [line.split(".")[0] for line in shown.text.splitlines()] == ["C30", "C1"]
    links = re.findall(r'href="([^"]+)"', shown.html)
    assert links == ["claims.html#tests-C30"] * 3 + ["claims.html#tests-C1"] * 3


def test_the_page_stands_in_the_contents_and_is_linked():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [c["file"] for part in toc["parts"] for c in part["chapters"]]
    assert "chapters/size" in files
    for name in (
        "chapters/claims.ipynb",
        "chapters/introduction.ipynb",
        "index.md",
        "instructors/chapters.md",
    ):
        assert "size.ipynb" in (ROOT / name).read_text(encoding="utf-8"), name
