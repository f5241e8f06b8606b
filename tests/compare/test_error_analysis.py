"""Where an arm goes wrong: counts by hand and by scikit-learn, row numbers, and slices that are not found by chance."""

from __future__ import annotations

from dataclasses import replace

import made_up
import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from tunewise.compare import error_analysis
from tunewise.compare.base import Columns


def test_confusion_and_label_scores_equal_scikit_learns():
    own = made_up.data(90)
    arm = made_up.drawn("tfidf", 0.7, own)
    columns, counts = error_analysis.confusion(own, arm)
    targets = [i.target for i in own.test]
    assert columns == list(own.labels)
    assert counts == confusion_matrix(targets, arm.predictions, labels=own.labels).tolist()
    assert error_analysis.macro_f1(own, arm) == pytest.approx(
        f1_score(targets, arm.predictions, average="macro")
    )
    # an answer that is no label gets a column of its own
    strange = replace(arm, predictions=["I am not sure", *arm.predictions[1:]])
    columns, counts = error_analysis.confusion(own, strange)
    assert columns[-1] == error_analysis.OTHER and sum(map(sum, counts)) == 90


def test_confident_mistakes_come_surest_first_with_their_rows():
    own = made_up.data(6)
    arm = made_up.arm("lora", [1, 0, 0, 1, 0, 1], own, confidences=[0.99, 0.5, 0.9, 0.99, 0.7, 0.1])
    found = error_analysis.confident_mistakes(own, arm, 2)
    assert [(m.item.row, m.confidence) for m in found] == [(4, 0.9), (6, 0.7)]
    unsure = error_analysis.confident_mistakes(own, replace(arm, confidences=None))
    assert [m.item.row for m in unsure] == [3, 4, 6]


def test_flips_are_the_items_that_change():
    own = made_up.data(5)
    a, b = made_up.arm("lora", [1, 1, 0, 0, 1], own), made_up.arm("tfidf", [1, 0, 1, 0, 0], own)
    assert error_analysis.flips(own, a, b) == ([1, 4], [2])


def test_a_slice_that_is_really_worse_is_found_and_others_are_not():
    own = made_up.data(200)
    right = [i.features["channel"] == "mail" or n % 5 == 1 for n, i in enumerate(own.test)]
    rival = made_up.arm("tfidf", [True] * 200, own)
    found = error_analysis.slices(own, made_up.arm("lora", right, own), rival)
    (weak,) = error_analysis.weak_slices(found)
    assert weak.name == "channel: telephone" and weak.n == 100
    assert (weak.mean, weak.others, weak.rival) == (0.2, 1.0, 1.0)
    names = {s.name for s in found}
    assert {"label: billing", "channel: mail", "length: more than 16 words"} <= names
    assert any(n.startswith("day: before 2026-0") for n in names)


def test_slices_are_of_the_mean_over_training_runs():
    """What one run gets wrong, and the others right, is no weakness of what was judged by their mean."""
    own = made_up.data(200)
    right = [float(i.features["channel"] == "mail" or n % 5 == 1) for n, i in enumerate(own.test)]
    arm = made_up.arm("lora", right, own, repeats=[{"accuracy": [1.0] * 200}] * 3)
    found = {s.name: s for s in error_analysis.slices(own, arm, arm)}["channel: telephone"]
    assert found.mean == found.rival == pytest.approx(0.8)


@pytest.mark.parametrize("group_size", [1, 5])
def test_of_many_slices_none_is_weak_by_chance(group_size):
    """With errors at random (whole groups at a time) one data set in twenty may show one."""
    rng, seen = np.random.default_rng(0), 0
    own = replace(
        made_up.data(100, group_size), columns=Columns("classification", "text", "label", time="day")
    )
    for _ in range(60):
        right = np.repeat(rng.random(100 // group_size) < 0.8, group_size)
        seen += bool(error_analysis.weak_slices(error_analysis.slices(own, made_up.arm("lora", right, own))))
    assert seen <= 7


def test_small_slices_and_scores_without_right_and_wrong():
    own = made_up.data(10)
    arm = made_up.drawn("lora", 0.5, own)
    assert error_analysis.slices(own, arm) == []
    scored = replace(own, metric="score")
    arm = replace(arm, outcomes={"score": [float(i) for i in range(10)]})
    assert error_analysis.confident_mistakes(scored, arm) == []
