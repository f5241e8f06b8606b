"""The table of all claims: nothing in it may differ from the boxes in the chapters."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from whentofinetune import book_records, experiments
from whentofinetune.pages import scoreboard
from whentofinetune.pages.verdict import claims

ROOT = Path(__file__).resolve().parents[1]


def cells(chapter: str) -> str:
    notebook = json.loads((ROOT / "chapters" / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    return "\n".join("".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code")


def test_each_box_stands_in_its_chapter_and_is_judged_by_the_same_function():
    for claim, box in scoreboard.BOXES.items():
        found = re.search(rf"""(?:verdict|judge)\("{claim}", \*?(?:\w+\.)?(\w+)""", cells(box.chapter))
        assert found, f"{box.chapter} has no box for {claim}"
        assert box.judge is None or found[1] == box.judge.__name__


def test_every_claim_of_the_scenarios_and_of_the_eight_questions_has_a_box():
    assert set(claims()) - set(scoreboard.BOXES) == {"C43", "C44"}  # advice on how to go about it


def test_each_box_is_fed_by_experiments_that_say_they_test_it():
    for claim, box in scoreboard.BOXES.items():
        own = [name for name in box.records if claim in experiments.get(name).claims]
        assert own or not box.records, claim


def test_what_is_recorded_is_in_the_table():
    text, page = scoreboard.board().text, scoreboard.board()._repr_html_()
    for claim, box in scoreboard.BOXES.items():
        line = next(x for x in text.splitlines() if x.startswith(f"{claim}. "))
        there = all(book_records.committed(name).exists() for name in box.records)
        assert line.endswith("not yet measured") != there or box.judge is None, line
        assert f'<a href="{box.chapter}.html">' in page
    assert page.count("<li ") == len(claims())


def test_the_summary_counts_the_table():
    words = [line.rsplit(" | ", 1)[1] for line in scoreboard.board().text.splitlines()]
    found = [int(n) for n in re.findall(r"\d+", scoreboard.summary().text)]
    counts = [words.count(w) for w in ("agrees", "agrees in part", "does not agree")]
    assert found == [44, *counts, 44 - sum(counts)]


def test_a_claim_without_its_record_is_not_judged(monkeypatch):
    def missing(name):
        raise book_records.NotMeasured(name, "full")

    monkeypatch.setattr(scoreboard.book_records, "load", missing)
    assert scoreboard.found("C1") is None and scoreboard.found("C43") is None
    assert scoreboard.found("C2") is not None  # calculated, without a record
    assert "C1." in scoreboard.board().text and "not yet measured" in scoreboard.board().text


def test_a_figure_that_is_not_there_is_named():
    with pytest.raises(LookupError, match="C14.*begins with 'gain'.*there is zero-shot"):
        scoreboard.figure_of("C14", {"zero-shot": "43 %"})


def test_numbers_do_not_end_a_sentence():
    assert scoreboard._first("At 1.5 points it is small. The rest is noise.") == "At 1.5 points it is small."
    assert scoreboard._first("Only one sentence.") == "Only one sentence."
