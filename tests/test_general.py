"""The general items: counts, balance, nothing given away, and what counts as right."""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
import pytest

from whentofinetune import book_files
from whentofinetune.datasets.general_items import items, right

KINDS = ("knowledge", "sense", "number", "words", "grammar")


def words(text):
    return set(re.findall(r"\w+", text.lower()))


def scores_for(answers):
    """Scores by which a model chooses these."""
    return [np.where(np.arange(4) == a, -1.0, -2.0) for a in answers]


def test_each_kind_has_24_items():
    assert Counter(i.kind for i in items()) == dict.fromkeys(KINDS, 24)
    assert len({i.id for i in items()}) == len({i.prompt.lower() for i in items()}) == 120


def test_answers_are_balanced_in_every_kind():
    for kind in KINDS:
        assert Counter(i.answer for i in items() if i.kind == kind) == {0: 6, 1: 6, 2: 6, 3: 6}


def test_kinds_are_mixed():
    first = Counter(i.kind for i in items()[:40])
    assert set(first) == set(KINDS) and max(first.values()) < 20


@pytest.mark.parametrize("item", items(), ids=lambda i: i.id)
def test_item_is_fair(item):
    assert len(item.choices) == len({c.lower() for c in item.choices}) == 4
    assert item.prompt == item.prompt.strip() and "<|" not in item.prompt
    assert len(item.prompt) <= 120
    for choice in item.choices:
        assert choice == choice.strip() and 1 <= len(choice.split()) <= 3
        assert not words(choice) & words(item.prompt), f"{choice!r} is in the prompt"
    lengths = [len(c) for c in item.choices]
    assert max(lengths) - min(lengths) <= 5
    assert item.labels == tuple(" " + c for c in item.choices)


def test_the_longest_or_shortest_choice_is_no_way_to_the_answer():
    for pick in (max, min):
        hits = sum(
            len(i.choices[i.answer]) == pick(map(len, i.choices))
            and Counter(map(len, i.choices))[len(i.choices[i.answer])] == 1
            for i in items()
        )
        assert hits < 40


def test_sums_are_right():
    """The written-out arithmetic, reckoned by Python."""
    sums = [i for i in items() if re.fullmatch(r"\d+ [-+x] \d+ =", i.prompt)]
    assert len(sums) == 7
    for item in sums:
        assert int(item.choices[item.answer]) == eval(item.prompt.rstrip(" =").replace("x", "*"))


def test_card_states_the_counts():
    card = (book_files.data_dir() / "general" / "README.md").read_text(encoding="utf-8")
    for kind in KINDS:
        assert f"| `{kind}` | 24 |" in card
    assert "CC BY 4.0" in card


def test_lines_have_no_other_field():
    for line in (book_files.data_dir() / "general" / "items.jsonl").read_text(encoding="utf-8").splitlines():
        assert list(json.loads(line)) == ["id", "kind", "prompt", "choices", "answer"]


def test_right():
    some = items()[:8]
    assert right(scores_for([i.answer for i in some]), some) == [True] * 8
    assert right(scores_for([(i.answer + 1) % 4 for i in some]), some) == [False] * 8
    assert right(scores_for([0] * 120), items()).count(True) == 30  # a model that always says the first


def test_right_takes_arrays_of_one_row_and_counts_ties_as_wrong():
    some = items()[:3]
    assert right([s[None] for s in scores_for([i.answer for i in some])], some) == [True] * 3
    assert right([np.zeros(4)] * 3, some) == [False] * 3


@pytest.mark.parametrize("scores", [[np.zeros(4)] * 2, [np.zeros(3)] * 3, []])
def test_right_refuses_scores_of_another_shape(scores):
    with pytest.raises(ValueError, match="four scores"):
        right(scores, items()[:3])


def test_right_refuses_scores_that_are_not_numbers():
    with pytest.raises(ValueError, match="not numbers"):
        right([np.full(4, np.nan)], items()[:1])
