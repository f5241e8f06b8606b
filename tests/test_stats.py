"""Metrics and tests, held against statsmodels, scikit-learn, published figures and simulation."""

import json

import numpy as np
import pytest
from scipy.stats import spearmanr, t
from statsmodels.stats.proportion import proportion_confint

from tunewise import stats


@pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (34, 100), (1, 1), (67, 201), (849, 900)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_equals_statsmodels(k, n, level):
    assert stats.wilson(k, n, level) == pytest.approx(
        proportion_confint(k, n, 1 - level, method="wilson"), abs=1e-12
    )


def test_wilson_equals_the_published_example():
    """Newcombe (1998), Stat. Med. 17, 857-872, table I: 81 of 263 and 15 of 148, method 3 (Wilson)."""
    assert np.round(stats.wilson(81, 263), 4).tolist() == [0.2553, 0.3662]
    assert np.round(stats.wilson(15, 148), 4).tolist() == [0.0624, 0.1605]


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_impossible_counts(k, n):
    with pytest.raises(ValueError, match="0 <= k <= n"):
        stats.wilson(k, n)


def test_accuracy_counts_unreadable_answers_as_wrong_and_goes_into_json():
    metric = stats.accuracy([0, 1, None, -1, 2], [0, 1, 1, 1, 0])
    assert metric["value"] == 0.4 and metric["n"] == 5 and metric["low"] < 0.4 < metric["high"]
    assert json.loads(json.dumps(metric)) == metric
    assert stats.accuracy(np.array([0, 1]), np.array([0, 0]))["value"] == 0.5


def test_accuracy_refuses_unequal_lengths_and_nothing():
    with pytest.raises(ValueError, match="3 predictions for 2 labels"):
        stats.accuracy([0, 1, 2], [0, 1])
    with pytest.raises(ValueError, match="no items"):
        stats.accuracy([], [])


def test_bootstrap_of_a_mean_is_near_the_normal_interval_and_repeats():
    values = np.random.default_rng(1).normal(10, 3, 400)
    metric = stats.bootstrap(values, np.mean, seed=4)
    half = 1.96 * values.std(ddof=1) / 20
    assert metric["value"] == pytest.approx(values.mean())
    assert metric["low"] == pytest.approx(values.mean() - half, abs=0.05)
    assert metric["high"] == pytest.approx(values.mean() + half, abs=0.05)
    assert metric == stats.bootstrap(values, np.mean, seed=4)
    assert metric != stats.bootstrap(values, np.mean, seed=5)


def test_bootstrap_keeps_pairs_together():
    x = np.arange(50.0)
    metric = stats.bootstrap((x, x + 3), lambda a, b: np.mean(b - a), seed=0)
    assert metric["low"] == metric["high"] == pytest.approx(3.0)


def test_bootstrap_of_equal_values_has_no_width_and_of_one_value_is_refused():
    assert stats.bootstrap([1.0] * 9)["low"] == 1.0
    with pytest.raises(ValueError, match="two items"):
        stats.bootstrap([1.0])


def test_mean_interval_is_wilsons_or_a_t_interval_over_groups():
    rng = np.random.default_rng(0)
    right, scores, groups = rng.integers(0, 2, 60), rng.normal(3, 1, 60), np.repeat(np.arange(12), 5)
    assert stats.mean_interval(right) == stats.proportion(int(right.sum()), 60)
    for values, by in ((scores, None), (scores.reshape(12, 5).mean(axis=1), groups.tolist())):
        metric = stats.mean_interval(scores, by)
        half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        assert metric["n"] == 60 and metric["value"] == pytest.approx(scores.mean())
        assert (metric["low"], metric["high"]) == pytest.approx((scores.mean() - half, scores.mean() + half))
    with pytest.raises(ValueError, match="no items"):
        stats.mean_interval([])
    with pytest.raises(ValueError, match="two items or more"):
        stats.mean_interval([0.5, 0.7], ["one", "one"])


def test_mean_interval_of_right_and_wrong_in_groups_covers_the_truth():
    """Groups of four share a probability of beta(8, 2); also where all are right the interval says how few groups that was."""
    rng, groups, hits = np.random.default_rng(1), np.repeat(np.arange(15), 4).tolist(), 0
    for _ in range(1000):
        metric = stats.mean_interval(rng.random(60) < np.repeat(rng.beta(8, 2, 15), 4), groups)
        hits += metric["low"] <= 0.8 <= metric["high"]
    assert 0.93 <= hits / 1000 <= 0.98
    assert 0.75 < stats.mean_interval([1] * 60, groups)["low"] < 0.8 < stats.mean_interval([1] * 60)["low"]


def test_crossed_counts_the_interaction_once():
    """Three seeds by hand: the seeds' part is V_S - V_SI, the items' part V_I."""
    y = np.array([[1.0, 2, 4, 5], [3, 4, 4, 9], [2, 3, 7, 8]])
    found = stats.crossed([y])
    means, items = y.mean(axis=1), y.mean(axis=0)
    rest = y - means[:, None] - items + y.mean()
    v_si = (rest**2).sum() / (2 * 3) / 12
    assert found.estimate == y.mean() and found.items == pytest.approx(items.var(ddof=1) / 4)
    assert found.seeds == pytest.approx(means.var(ddof=1) / 3 - v_si)
    # three equal seeds: nothing but items
    same = stats.crossed([np.tile(y[0], (3, 1))])
    assert same.seeds == 0 and same.df == pytest.approx(3)


def test_crossed_works_out_repetitions_at_once_and_refuses_what_does_not_fit():
    rng, groups = np.random.default_rng(0), ["a", "b", "b", "c", "c", "c", "d", "e"]
    x, y = rng.integers(0, 2, (4, 3, 8)), rng.integers(0, 2, (4, 1, 8))
    together = stats.crossed([x, y], groups, binary=True)
    for n in range(4):
        one = stats.crossed([x[n], y[n]], groups, binary=True)
        assert (one.estimate, one.se, one.df) == pytest.approx(
            (together.estimate[n], together.se[n], together.df[n])
        )
    with pytest.raises(ValueError, match="same items"):
        stats.crossed([x, y[..., 1:]])
    with pytest.raises(ValueError, match="one group"):
        stats.crossed([x], ["a"] * 8)


def test_spearman_value():
    x, y = [1, 2, 3, 4, 5], [2, 1, 4, 3, 5]
    metric = stats.spearman(x, y)
    assert metric["value"] == pytest.approx(1 - 6 * 4 / (5 * 24))  # sum of squared rank differences is 4
    assert -1 < metric["low"] < 0.8 < metric["high"] < 1


def test_spearman_interval_covers_and_perfect_order_is_not_certainty():
    perfect = stats.spearman(range(6), range(6))
    assert perfect["value"] == perfect["high"] == 1.0 and 0 < perfect["low"] < 0.9
    rng, hits = np.random.default_rng(5), 0
    truth = 6 / np.pi * np.arcsin(0.6 / 2)  # Spearman's rho of a bivariate normal with correlation 0.6
    for _ in range(300):
        x = rng.normal(size=40)
        y = 0.6 * x + 0.8 * rng.normal(size=40)
        metric = stats.spearman(x, y)
        assert metric["value"] == pytest.approx(spearmanr(x, y).statistic)
        hits += metric["low"] <= truth <= metric["high"]
    assert hits / 300 >= 0.92


def test_spearman_refuses_too_little():
    with pytest.raises(ValueError, match="four pairs"):
        stats.spearman([1, 2, 3], [1, 2, 3])
    with pytest.raises(ValueError, match="vary"):
        stats.spearman([1, 1, 1, 1], [1, 2, 3, 4])
