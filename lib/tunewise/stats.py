"""Metrics with their uncertainty.

A metric is the dictionary ``{"value", "n", "low", "high"}``: the estimate, the number of items behind it and the bounds
of its interval, 95 % unless asked otherwise. All values are plain Python numbers, so a metric goes into JSON as it is.
"""

import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVEL = 0.95
Array = NDArray[Any]
Metric = dict[str, Any]


def wilson(k: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval for a proportion, which keeps its promise for small n and near 0 and 1.

    Parameters
    ----------
    k, n
        ``k`` successes out of ``n``.

    Returns
    -------
    tuple of float
        (low, high), both in [0, 1].

    Raises
    ------
    ValueError
        Unless 0 <= k <= n and n >= 1.

    Notes
    -----
    E. B. Wilson (1927), J. Am. Stat. Assoc. 22, 209-212; recommended by Brown, Cai & DasGupta (2001), Statistical Science 16, 101-133.
    """
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"a proportion needs 0 <= k <= n and n >= 1, got k = {k}, n = {n}")
    found = stats.binomtest(int(k), int(n)).proportion_ci(confidence_level=level, method="wilson")
    return float(found.low), float(found.high)


def proportion(k: int, n: int, level: float = LEVEL) -> Metric:
    """The metric of ``k`` successes out of ``n``, with :func:`wilson`'s interval."""
    return _metric(k / n, n, *wilson(k, n, level))


def accuracy(predictions: Sequence[Any], labels: Sequence[Any]) -> Metric:
    """Share of items whose prediction equals the label, with :func:`wilson`'s interval; ``None`` or -1 counts as wrong.

    Raises
    ------
    ValueError
        For different lengths or no items.
    """
    if len(predictions) != len(labels):
        said = f"{len(predictions)} predictions for {len(labels)} labels: one for each item is wanted"
        raise ValueError(said)
    if len(labels) == 0:
        raise ValueError("no items to measure on")
    right = sum(p is not None and bool(p == y) for p, y in zip(predictions, labels, strict=True))
    return proportion(right, len(labels))


def bootstrap(values: Any, statistic: Callable[..., Any] = np.mean, seed: int = 0) -> Metric:
    """Any statistic with a 95 % bootstrap interval, over items drawn again with replacement.

    Parameters
    ----------
    values
        One sequence [n], or a tuple of such that belong together item by item (drawn together).
    statistic
        Takes as many arrays as were given, returns a number.

    Raises
    ------
    ValueError
        For fewer than two items.

    Notes
    -----
    Bias-corrected and accelerated (BCa), Efron (1987), J. Am. Stat. Assoc. 82, 171-185; where that is not defined (as when all values
    are equal) plain percentiles.
    """
    data = tuple(np.asarray(v) for v in (values if isinstance(values, tuple) else (values,)))
    n = len(data[0])
    if n < 2 or any(len(v) != n for v in data):
        said = f"a bootstrap needs two items or more, as many in each; got {[len(v) for v in data]}"
        raise ValueError(said)
    value = float(statistic(*data))

    def interval(method: str) -> Any:
        options: dict[str, Any] = dict(n_resamples=2000, confidence_level=LEVEL, method=method)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # percentiles follow
            rng = np.random.default_rng(seed)
            found = stats.bootstrap(data, statistic, paired=True, vectorized=False, rng=rng, **options)
        return found.confidence_interval

    if all(np.all(v == v[0]) for v in data):
        return _metric(value, n, value, value)
    found = interval("BCa")
    if not np.isfinite([found.low, found.high]).all():
        found = interval("percentile")
    return _metric(value, n, found.low, found.high)


def mean_interval(
    values: Sequence[float], groups: Sequence[Hashable] | None = None, level: float = LEVEL
) -> Metric:
    """The mean of one value an item, with its interval.

    Without groups Wilson's score interval where all values are 0 or 1, else the t interval. With groups the variance is that between
    groups (:func:`crossed`); 0/1 values then get Wilson's interval for the number of independent items that has this variance,
    shrunk by (z / t)² for the few groups.

    Parameters
    ----------
    values
        One an item, [n].
    groups
        The group that each item belongs to, [n]; left out where every item stands alone.

    Returns
    -------
    dict
        A metric: ``value``, ``n`` (items), ``low``, ``high``.

    Raises
    ------
    ValueError
        For no items; for fewer than two groups of values other than 0 and 1.

    Notes
    -----
    Effective sample size: E. L. Korn & B. I. Graubard (1998), Survey Methodology 24, 193-201; with Wilson's interval: C. Franco and
    others (2019), J. Surv. Stat. Methodol. 7, 334-364.
    """
    x = np.asarray(values, dtype=float)
    if not len(x):
        raise ValueError("no items to measure on")
    binary, mean = bool(np.isin(x, (0, 1)).all()), float(x.mean())
    if binary and (groups is None or len(set(groups)) == len(x)):
        return proportion(int(x.sum()), len(x), level)
    found = crossed([x[None]], groups)
    if not binary:
        half = stats.t.ppf((1 + level) / 2, found.df) * float(found.se)
        return _metric(mean, len(x), mean - half, mean + half)
    size = float(found.groups)
    if 0 < mean < 1:
        between = float(found.items)
        size = min(mean * (1 - mean) / between, len(x)) if between > 0 else len(x)
    z = stats.t.ppf((1 + level) / 2, found.groups - 1)
    centre, spread = 1 + z**2 / size, z * np.sqrt(mean * (1 - mean) / size + z**2 / (4 * size**2))
    middle = mean + z**2 / (2 * size)
    low, high = (middle - spread) / centre, (middle + spread) / centre
    low, high = min(low, mean), max(high, mean)  # equal but for rounding at 0 and 1
    return _metric(mean, len(x), max(low, 0.0), min(high, 1.0))


@dataclass(frozen=True)
class Crossed:
    """What :func:`crossed` finds; arrays have the leading axes of its input.

    Parameters
    ----------
    estimate
        The mean, or the mean of the first arm minus that of the second.
    items, seeds
        The two parts of its variance: what more items (groups) reduce, and what only more seeds reduce.
    df, df_seeds
        Degrees of freedom of the t distribution that its interval uses, and of the seeds' part alone.
    groups
        Number of groups.
    """

    estimate: Array
    items: Array
    seeds: Array
    df: Array
    df_seeds: Array
    groups: int

    @property
    def se(self) -> Array:
        """Standard error of the estimate."""
        return np.asarray(np.sqrt(self.items + self.seeds))


def crossed(
    arms: Sequence[ArrayLike], groups: Sequence[Hashable] | None = None, *, binary: bool = False
) -> Crossed:
    """Mean of one arm, or difference of two, where seeds and items are both random and crossed, and items come in groups.

    Parameters
    ----------
    arms
        One or two arrays [..., seeds, n]: one outcome a seed and item. All arms have the same n items, each its own seeds; an
        arm without randomness has one row. Leading axes are repetitions, worked out all at once.
    groups
        The group of each item, [n]; left out where every item stands alone.
    binary
        The outcomes are 0 or 1: keep the interval from shrinking to nothing where hardly an item differs.

    Raises
    ------
    ValueError
        For other than one or two arms, arms with different items, or fewer than two groups.

    Notes
    -----
    Let V_S be the variance of an arm's seed means over S; V_I that of the items' differences over n; V_SI that
    of the seed x item residuals over S n. With groups, the last two are sums over groups of squared summed
    residuals, each over 1 - the group's share of the items (CR2: Bell & McCaffrey 2002, Survey Methodology 28,
    169-181). V_S and V_I both hold the interaction once, so V_S + V_I - V_SI is unbiased: the analysis of variance
    of a crossed design (Searle, Casella & McCulloch 1992, *Variance Components*, ch. 4), as used for readers and
    cases (Hillis 2014, Stat. Med. 33, 330-360) and as multiway clustering (Cameron, Gelbach & Miller 2011,
    J. Bus. Econ. Stat. 29, 238-249). The seeds' part, V_S - V_SI summed over the arms, is not let below 0.

    Degrees of freedom: groups - 1 for the items' part (Kish's effective number of groups - 1 where their
    sizes differ); Satterthwaite's (1946, Biometrics Bulletin 2, 110-114) for the seeds' part of both arms.
    Satterthwaite's formula for items and seeds together covers only 91 % where three seeds meet an arm without
    any: when the seeds happen to lie close, the error looks small *and* well known. Therefore the two t
    quantiles are averaged, weighted by the variances (Cochran 1964, Biometrics 20, 191-195), and ``df`` is that
    of the t distribution with this 97.5 % quantile. With two seeds in an arm even that covers only 90 %; there
    the interaction is not taken off, and the multiple of the standard error is the root of the weighted mean of
    t², which does not cover too little but is wide (Banerjee 1960, Sankhya 22, 357-358): run three seeds.

    The seeds of two arms count as independent also where they have the same numbers. Seeds that share a draw of
    labels go up and down together, so this is on the wide side; pairing them would halve the degrees of freedom,
    and with three seeds its intervals are wider even at a correlation of 0.5.

    Where outcomes are 0 or 1 and all but two groups or fewer show the same difference, the spread seen says little; the items' part
    is then at least 2 / (n + 2)², what the two items that Bonett & Price (2012, J. Educ. Behav. Stat. 37, 479-488) add amount to.

    Coverage of all this: ``data/bench/coverage.json``.
    """
    data = [np.asarray(a, dtype=float) for a in arms]
    n = data[0].shape[-1]
    if len(data) not in (1, 2) or any(a.shape[-1] != n for a in data) or (groups and len(groups) != n):
        raise ValueError("needs one or two arms with outcomes, and a group, for the same items")
    _, member = np.unique([str(g) for g in groups] if groups else np.arange(n), return_inverse=True)
    order = np.argsort(member, kind="stable")
    data, sizes = [a[..., order] for a in data], np.bincount(member)
    if len(sizes) < 2:
        raise ValueError("needs two items or more that do not belong to one group")
    starts, share = np.cumsum(sizes) - sizes, sizes / n

    def spread(residuals: Array) -> Array:
        sums = residuals if len(sizes) == n else np.add.reduceat(residuals, starts, axis=-1)
        return np.asarray((sums**2 / (1 - share)).sum(axis=-1) / n**2)

    by_item = data[0].mean(axis=-2) - (data[1].mean(axis=-2) if len(data) == 2 else 0)
    estimate = by_item.mean(axis=-1)
    items = spread(by_item - estimate[..., None])
    if binary:
        sums = np.add.reduceat(by_item, starts, axis=-1) / sizes
        differ = np.min([(abs(sums - v) > 1e-9).sum(axis=-1) for v in (-1, 0, 1)], axis=0)
        items = np.where(differ < 3, np.maximum(items, 2 / (n + 2) ** 2), items)
    between, squares, within = np.zeros_like(items), np.zeros_like(items), np.zeros_like(items)
    for a in data:
        s = a.shape[-2]
        if s > 1:
            means = a.mean(axis=-1, keepdims=True)
            variance = means[..., 0].var(axis=-1, ddof=1) / s
            rest = a - means - a.mean(axis=-2, keepdims=True) + means.mean(axis=-2, keepdims=True)
            between, squares = between + variance, squares + variance**2 / (s - 1)
            within = within + spread(rest).sum(axis=-1) / (s * (s - 1))
    few = any(a.shape[-2] == 2 for a in data)
    seeds = between if few else np.maximum(between - within, 0)
    df_seeds = np.maximum(between**2 / np.where(squares > 0, squares, 1), 1)
    t_items, t_seeds = (stats.t.ppf(0.975, d) for d in (1 / (share**2).sum() - 1, df_seeds))
    total = np.where(items + seeds > 0, items + seeds, 1)
    weighted = (t_items * items + t_seeds * seeds) / total
    together = np.sqrt((t_items**2 * items + t_seeds**2 * seeds) / total) if few else weighted
    df = np.where(seeds > 0, df_of(together), 1 / (share**2).sum() - 1)
    return Crossed(estimate, items, seeds, df, df_seeds, len(sizes))


_DF = np.concatenate([np.linspace(1, 30, 2901), np.geomspace(30, 1e6, 2000)[1:]])
_QUANTILE = stats.t.ppf(0.975, _DF)


def df_of(quantile: ArrayLike) -> Array:
    """Degrees of freedom of the t distribution with this 97.5 % quantile, from a table between whose rows it is linear."""
    return np.asarray(np.interp(-np.asarray(quantile), -_QUANTILE, _DF))


def spearman(x: Sequence[float], y: Sequence[float], level: float = LEVEL) -> Metric:
    """Spearman's rank correlation of two sequences [n], with its interval.

    Raises
    ------
    ValueError
        For fewer than four pairs, or where one side does not vary.

    Notes
    -----
    Interval: Fisher's z with the variance (1 + r²/2) / (n - 3) of Bonett & Wright (2000), Psychometrika 65, 23-28. Where |r| is 1, which
    has no z, the inner bound is that of the nearest value n untied ranks can take.
    """
    n = len(x)
    if len(y) != n or n < 4:
        raise ValueError(f"a rank correlation needs four pairs or more, got {n} and {len(y)} values")
    if min(np.ptp(x), np.ptp(y)) == 0:
        raise ValueError("a rank correlation needs both sides to vary; one has the same value everywhere")
    value = float(np.clip(stats.spearmanr(x, y).statistic, -1, 1))
    nearest = 1 - 12 / (n * (n**2 - 1))
    r = float(np.clip(value, -nearest, nearest))
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt((1 + r**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)
    return _metric(value, n, min(low, value), max(high, value))


def _metric(value: float, n: int, low: float, high: float) -> Metric:
    return {"value": float(value), "n": int(n), "low": float(low), "high": float(high)}
