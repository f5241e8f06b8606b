"""Metrics with their uncertainty, and tests that respect pairing.

A metric is the dictionary ``{"value", "n", "low", "high"}``: the estimate, the number of items behind it and the bounds
of its interval, 95 % unless asked otherwise. All values are plain Python numbers, so a metric goes into JSON as it is.
Needs numpy and scipy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95


def wilson(k: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval for a proportion: ``k`` successes out of ``n``. Returns (low, high), both in [0, 1].

    Unlike value ± 1.96 standard errors it keeps its promise for small n and near 0 and 1.
    Source: E. B. Wilson (1927), J. Am. Stat. Assoc. 22, 209-212; recommended by Brown, Cai & DasGupta (2001),
    Statistical Science 16, 101-133. Computed by ``scipy.stats.binomtest``.
    Raises ValueError unless 0 <= k <= n and n >= 1.
    """
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"a proportion needs 0 <= k <= n and n >= 1, got k = {k}, n = {n}")
    found = stats.binomtest(int(k), int(n)).proportion_ci(confidence_level=level, method="wilson")
    return float(found.low), float(found.high)


def proportion(k: int, n: int, level: float = LEVEL) -> dict:
    """The metric of ``k`` successes out of ``n``, with :func:`wilson`'s interval."""
    low, high = wilson(k, n, level)
    return {"value": k / n, "n": int(n), "low": low, "high": high}


def accuracy(predictions: Sequence, labels: Sequence, level: float = LEVEL) -> dict:
    """Share of items whose prediction equals the label, with :func:`wilson`'s interval.

    An answer that could not be read counts as wrong if it is given as something that is no label (``None``, -1).
    Raises ValueError for different lengths or no items.
    """
    return proportion(int(_correct(predictions, labels).sum()), len(labels), level)


def mcnemar(a: Sequence, b: Sequence, labels: Sequence, level: float = LEVEL) -> dict:
    """Exact paired test: do two methods, asked about the same items, differ in accuracy?

    Only the items that exactly one of them gets right count. If both are equally good, each such item is a fair coin.
    Returns ``{"p", "a_only", "b_only", "difference"}``: two-sided p; the items that only a, only b gets right; and the
    metric of accuracy(a) - accuracy(b), in [-1, 1].

    Sources: Q. McNemar (1947), Psychometrika 12, 153-157, as an exact binomial test. Interval: Wald's with the
    adjustment of Bonett & Price (2012), J. Educ. Behav. Stat. 37, 479-488, recommended by Fagerland, Lydersen &
    Laake (2014), Stat. Med. 33, 2850-2875.
    """
    right_a, right_b = _correct(a, labels), _correct(b, labels)
    a_only, b_only = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    n = len(labels)
    p = stats.binomtest(a_only, a_only + b_only).pvalue if a_only + b_only else 1.0
    share_a, share_b = (a_only + 1) / (n + 2), (b_only + 1) / (n + 2)
    centre = share_a - share_b
    half = _z(level) * np.sqrt((share_a + share_b - centre**2) / (n + 2))
    difference = _metric((a_only - b_only) / n, n, centre - half, centre + half, (-1.0, 1.0))
    return {"p": float(p), "a_only": a_only, "b_only": b_only, "difference": difference}


def bootstrap(
    values, statistic: Callable = np.mean, seed: int = 0, *, resamples: int = 2000, level: float = LEVEL
) -> dict:
    """Any statistic with a bootstrap interval, over items drawn again with replacement.

    values: one sequence [n], or a tuple of such that belong together item by item (drawn together).
    statistic: takes as many arrays as were given, returns a number.

    Method: bias-corrected and accelerated (BCa), Efron (1987), J. Am. Stat. Assoc. 82, 171-185, by
    ``scipy.stats.bootstrap``; where BCa is not defined (as when all values are equal) plain percentiles.
    Raises ValueError for fewer than two items.
    """
    data = tuple(np.asarray(v) for v in (values if isinstance(values, tuple) else (values,)))
    n = len(data[0])
    if n < 2 or any(len(v) != n for v in data):
        raise ValueError(
            f"a bootstrap needs two items or more, as many in each sequence; got {[len(v) for v in data]}"
        )
    value = float(statistic(*data))

    def interval(method: str):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # percentiles follow
            return stats.bootstrap(
                data,
                statistic,
                paired=True,
                vectorized=False,
                n_resamples=resamples,
                confidence_level=level,
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval

    if all(np.all(v == v[0]) for v in data):
        return _metric(value, n, value, value)
    found = interval("BCa")
    if not np.isfinite([found.low, found.high]).all():
        found = interval("percentile")
    return _metric(value, n, found.low, found.high)


def mean_over_seeds(
    metrics: Sequence[dict], level: float = LEVEL, bounds: tuple[float, float] | None = (0.0, 1.0)
) -> dict:
    """The mean of one metric over several seeds *that were tested on the same items*, and its interval.

    metrics: one a seed. Returns a metric whose n is the number of items (of the smallest), with ``"seeds"`` added.
    The interval answers: what would the mean be with other seeds and other test items? It has two parts, because more
    seeds do not make the test set any larger:

    - seeds: the variance of the seeds' values, divided by their number S;
    - items: the mean of the variances that the seeds' own intervals stand for (half width / z, squared). The items are
      common to all seeds, so this part is not divided by S.

    The mean ± t times the root of their sum, with Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946,
    110-114). This is the crossed random-effects model of seeds and items; the seed x item interaction is counted in
    both parts, so the interval errs on the wide side. With one seed the seeds' part cannot be known: the result
    is that seed's own interval, and says too little.
    bounds: what the metric cannot leave; None for a metric without bounds.
    """
    if not metrics:
        raise ValueError("no metrics to average: run at least one seed")
    n = min(m["n"] for m in metrics)
    values = np.array([m["value"] for m in metrics])
    if len(metrics) == 1:
        return _metric(values[0], n, metrics[0]["low"], metrics[0]["high"], bounds) | {"seeds": 1}
    halves = np.array([m["high"] - m["low"] for m in metrics]) / 2
    parts = [
        (values.var(ddof=1) / len(values), len(values) - 1),
        (float(np.mean((halves / _z(level)) ** 2)), n - 1),
    ]
    return _satterthwaite(values.mean(), n, parts, level, bounds) | {"seeds": len(metrics)}


def difference_over_seeds(
    a: Sequence[Sequence], b: Sequence[Sequence], labels: Sequence, level: float = LEVEL
) -> dict:
    """Accuracy of method a minus that of b, each run with one or several seeds, all on the same n items.

    a, b: predictions [seeds of a, n] and [seeds of b, n]. A method without randomness has one row.
    Returns a metric in [-1, 1]. The interval is that of :func:`mean_over_seeds`, but paired by item: its second part is
    the variance of each item's difference (share of a's seeds that get it right, minus that of b's), divided by n.
    Where both have one row, use :func:`mcnemar`.
    """
    right = [np.array([_correct(row, labels) for row in rows], dtype=float) for rows in (a, b)]
    if not all(len(r) for r in right):
        raise ValueError("each method needs the predictions of at least one seed")
    n = len(labels)
    if n < 2:
        raise ValueError("a difference needs two items or more")
    by_item = right[0].mean(axis=0) - right[1].mean(axis=0)
    parts = [(r.mean(axis=1).var(ddof=1) / len(r), len(r) - 1) for r in right if len(r) > 1]
    parts.append((by_item.var(ddof=1) / n, n - 1))
    return _satterthwaite(by_item.mean(), n, parts, level, (-1.0, 1.0)) | {"seeds": max(map(len, right))}


def spearman(x: Sequence[float], y: Sequence[float], level: float = LEVEL) -> dict:
    """Spearman's rank correlation of two sequences [n], with its interval and the two-sided ``"p"``.

    Interval: Fisher's z with the variance (1 + r²/2) / (n - 3) of Bonett & Wright (2000), Psychometrika 65, 23-28.
    Where |r| is 1, which has no z, the inner bound is that of the nearest value n untied ranks can take. p: over all
    permutations for n up to 8, else from the t distribution (``scipy.stats.spearmanr``).
    Raises ValueError for fewer than four pairs, or where one side does not vary.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    n = len(x)
    if len(y) != n or n < 4:
        raise ValueError(f"a rank correlation needs four pairs or more, got {n} and {len(y)} values")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError(
            "a rank correlation needs both sides to vary; one of them has the same value everywhere"
        )
    found = stats.spearmanr(x, y)
    value, p = float(np.clip(found.statistic, -1, 1)), found.pvalue
    if n <= 8:
        p = stats.permutation_test(
            (x,), lambda v: stats.spearmanr(v, y).statistic, permutation_type="pairings", n_resamples=np.inf
        ).pvalue
    nearest = 1 - 12 / (n * (n**2 - 1))
    r = float(np.clip(value, -nearest, nearest))
    half = _z(level) * np.sqrt((1 + r**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)
    return _metric(value, n, min(low, value), max(high, value)) | {"p": float(p)}


def macro_f1(
    predictions: Sequence[int],
    labels: Sequence[int],
    n_labels: int,
    seed: int = 0,
    *,
    resamples: int = 2000,
    level: float = LEVEL,
) -> dict:
    """Mean over the labels of F1 = 2 TP / (2 TP + FP + FN): a label that is never predicted pulls it down.

    predictions, labels: label indices 0..n_labels-1; any other prediction (-1 for an answer that could not be read) is
    wrong for its item and belongs to no label. A label that is neither present nor predicted scores 0, as in
    scikit-learn. Interval: percentiles of a bootstrap over items (drawn as counts of the confusion matrix).
    """
    truth, said = np.asarray(labels), np.asarray(predictions)
    n = len(_correct(predictions, labels))
    if truth.min() < 0 or truth.max() >= n_labels:
        raise ValueError(f"labels must be 0..{n_labels - 1}, got {sorted(set(truth.tolist()))}")
    said = np.where((said >= 0) & (said < n_labels), said, n_labels)
    table = np.zeros((n_labels, n_labels + 1))
    np.add.at(table, (truth, said), 1)
    drawn = np.random.default_rng(seed).multinomial(n, table.ravel() / n, size=resamples)

    def score(tables: np.ndarray) -> np.ndarray:
        tables = tables.reshape(-1, n_labels, n_labels + 1)
        hit = np.diagonal(tables, axis1=1, axis2=2)
        both = tables.sum(axis=2) + tables[:, :, :n_labels].sum(axis=1)
        return (2 * hit / np.maximum(both, 1)).mean(axis=1)

    low, high = np.quantile(score(drawn), [(1 - level) / 2, (1 + level) / 2])
    return _metric(score(table)[0], n, low, high)


def _correct(predictions: Sequence, labels: Sequence) -> np.ndarray:
    """Boolean [n]: which predictions equal their label."""
    if len(predictions) != len(labels):
        raise ValueError(
            f"{len(predictions)} predictions for {len(labels)} labels: there must be one for each item"
        )
    if len(labels) == 0:
        raise ValueError("no items to measure on")
    return np.array([p is not None and bool(p == y) for p, y in zip(predictions, labels, strict=True)])


def _z(level: float) -> float:
    return float(stats.norm.ppf((1 + level) / 2))


def _satterthwaite(value, n: int, parts: Sequence[tuple[float, int]], level: float, bounds) -> dict:
    """value ± t · sqrt(sum of the variances); parts: (variance, its degrees of freedom)."""
    total = sum(v for v, _ in parts)
    half = 0.0
    if total > 0:
        degrees = total**2 / sum(v**2 / max(df, 1) for v, df in parts)
        half = stats.t.ppf((1 + level) / 2, degrees) * np.sqrt(total)
    return _metric(value, n, value - half, value + half, bounds)


def _metric(value, n: int, low, high, bounds: tuple[float, float] | None = None) -> dict:
    if bounds:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return {"value": float(value), "n": int(n), "low": float(low), "high": float(high)}
