"""Would more labels help: the band against known curves; which rows to label next."""

from __future__ import annotations

from dataclasses import replace

import made_up
import numpy as np
import pytest

from tunewise.compare import more_data
from tunewise.compare.more_data import forecast, label_next, learning_curve

LABELS = (50, 100, 200)


def simulated(rng, error, slope, floor, noise, n=150):
    """Outcomes [3, n] of a power law with a floor, whose points go up and down with each training; the true share at twice the labels."""

    def share(labels):
        return 1 - floor - error * (labels / LABELS[0]) ** -slope * np.exp(noise * rng.standard_normal())

    hard = rng.random(n)  # an item is right in all points or in none, but for a tenth
    right = [np.where(rng.random(n) < 0.1, rng.random(n), hard) < share(k) for k in LABELS]
    return np.array(right, dtype=float), share(2 * LABELS[-1])


CURVES = (
    (0.4, 0.6, 0, 0.05),
    (0.3, 0.3, 0, 0.15),
    (0.3, 0, 0, 0.1),
    (0.3, 0.8, 0.1, 0.1),
    (0.5, 0.1, 0, 0.05),
)


def test_the_band_holds_what_twice_the_labels_give():
    """Steep, noisy, flat, with a floor, slow: 90% bands, so that 80 of them miss 15 at most (binomial, 1 in 100)."""
    rng, hits = np.random.default_rng(3), 0
    for curve in CURVES * 16:
        outcomes, truth = simulated(rng, *curve)
        found = forecast(LABELS, outcomes, range(outcomes.shape[1]))[0]
        hits += found.low <= truth <= found.high
    assert hits >= 65


def test_a_steep_curve_says_label_more_and_a_flat_one_enough():
    own = made_up.data(600)

    def curve(*shares):
        arms = [
            made_up.drawn(name, s, own, seed=0, labels=k)
            for name, s, k in zip(("lora@40", "lora@80", "lora"), shares, (40, 80, 160), strict=True)
        ]
        return learning_curve(replace(made_up.report(own=own), arms=arms[-1:], curve=arms[:2]), "lora")

    steep = curve(0.3, 0.55, 0.75)
    assert steep.advice == "label more" and steep.points == ((40, 0.3), (80, 0.55), (160, 0.75))
    assert "With 320 labels, twice as many, LoRA would be at" in steep.sentence
    assert (
        f"the chance of a gain of 3 points or more is about {100 * steep.forecasts[0].chance:.0f}%"
        in steep.sentence
    )
    assert curve(0.98, 0.98, 0.98).advice == "enough"
    # a gain may be likely while a loss is not ruled out
    assert steep.forecasts[0].low < 0.75 and steep.sentence.endswith("the band starts below today's value.")
    assert curve(0.8, 0.83, 0.84).advice == "cannot tell"
    assert steep.forecasts[1].labels == 640 and steep.forecasts[1].high > steep.forecasts[0].high


def test_no_curve_without_points_or_for_an_open_ended_score():
    report = made_up.report()
    assert learning_curve(report, "tfidf") is None
    assert learning_curve(replace(report, data=replace(report.data, metric="score")), "lora") is None
    with pytest.raises(ValueError, match="two numbers of labels"):
        forecast([10, 10], np.ones((2, 5)), range(5))


def test_rows_to_label_next_are_disputed_and_spread(monkeypatch):
    own = made_up.data()
    same = [replace(i, text="the same question again and again") for i in own.pool[:40]]
    odd = [
        replace(i, text=f"{w} of a quite different kind")
        for i, w in zip(own.pool[40:], "abcdefghijklmnopqrst", strict=True)
    ]
    pool = tuple([*same, *odd])
    agreed = [["other"] * 60] * 3
    disputed = [[LABELS if n in (50, 55) else "other" for n in range(60)] for LABELS in ("a", "b", "c")]
    own = replace(own, pool=pool)
    monkeypatch.setattr(more_data, "_committee", lambda *made: agreed)
    found = label_next(own)
    assert sum("again" in i.text for i in found) <= 2 and len({i.id for i in found}) == 20
    monkeypatch.setattr(more_data, "_committee", lambda *made: disputed)
    monkeypatch.setattr(more_data, "NEXT", 2)
    found = label_next(own)
    assert {i.row for i in found} == {pool[50].row, pool[55].row}


def test_quick_classifiers_vote_and_a_small_pool_is_taken_whole():
    own = made_up.data()
    assert len(label_next(own)) == 20
    assert label_next(replace(own, pool=own.pool[:5])) == own.pool[:5]
    assert label_next(replace(own, pool=())) == ()
