"""Is one condition better than another? The one comparison that a verdict may rest on, and the rule for the verdict.

>>> found = compare(record, {"method": "lora"}, {"method": "prompt"}, "accuracy")  # doctest: +SKIP
>>> judge(found, margin=0.05, predicted="above")  # doctest: +SKIP

A test is stated before its result: two conditions, a metric, the direction that is predicted, and a margin, the smallest
difference that would change a decision. The interval of a - b then decides (:func:`judge`). Several tests of one claim are
corrected together (:func:`family`); a claim of several parts gets one verdict from theirs (:func:`combine`).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from scipy import stats as distributions

from tunewise import stats
from tunewise.record import Record, Row
from tunewise.stats import LEVEL
from tunewise.words import counted, signed

AGREES = "agrees"
IN_PART = "agrees in part"
TOO_SMALL = "too small to matter"
NO_DIFFERENCE = "no difference that matters"
DISAGREES = "does not agree"
CANNOT_TELL = "cannot tell"
VERDICTS = (AGREES, TOO_SMALL, NO_DIFFERENCE, DISAGREES, CANNOT_TELL)
POWER = 0.8
Predicted = Literal["above", "below", "equal", "not below"]
Where = Mapping[str, Any]
Rows = Sequence[Row]
SIDES = ("the first condition", "the second condition")
NOT_SETTINGS = ("items", "outcomes", "facts", "predictions", "seed")


@dataclass(frozen=True)
class Comparison:
    """Condition a minus condition b on the same items.

    Parameters
    ----------
    estimate, se, df
        The mean difference; its standard error over new seeds and new items; degrees of freedom of its t distribution.
    mean_a, mean_b
        Means of the two, in units of the metric.
    n, groups, dropped
        Items compared; groups of items that belong together; items left out because the metric does not apply.
    seeds_a, seeds_b
        Rows behind each arm.
    one_seed
        An arm has one row with a seed: what other seeds would give is not known, and the interval says too little.
    seeds_variance, seeds_df
        The part of se² that more items do not reduce, and its degrees of freedom.
    binary
        All outcomes are 0 or 1, so that differences lie in [-1, 1] and are said in points.
    level
        Confidence level of :attr:`low` and :attr:`high`.
    differs
        Whether the difference from 0 is significant; set by :func:`family`, else ``p < 1 - level``.
    """

    estimate: float
    se: float
    df: float
    mean_a: float
    mean_b: float
    n: int
    groups: int
    seeds_a: int = 1
    seeds_b: int = 1
    one_seed: bool = False
    dropped: int = 0
    seeds_variance: float = 0.0
    seeds_df: float = 1.0
    binary: bool = True
    level: float = LEVEL
    differs: bool | None = None

    @property
    def low(self) -> float:
        """Lower bound of the interval."""
        return max(self.estimate - self._half, -1.0 if self.binary else -math.inf)

    @property
    def high(self) -> float:
        """Upper bound of the interval."""
        return min(self.estimate + self._half, 1.0 if self.binary else math.inf)

    def metric(self) -> dict[str, float]:
        """The difference as a metric dictionary: ``value``, ``low``, ``high`` and ``n``."""
        return {"value": self.estimate, "n": self.n, "low": self.low, "high": self.high}

    @property
    def p(self) -> float:
        """Two-sided p of no difference; below 0.05 where the 95 % interval excludes 0."""
        if self.se == 0:
            return float(self.estimate == 0)
        return 2 * float(special.stdtr(self.df, -abs(self.estimate) / self.se))  # quicker than stats.t.sf

    @property
    def significant(self) -> bool:
        """Whether the difference is told from 0, by Holm's procedure within a :func:`family`, else by the interval."""
        return self.p < 1 - self.level if self.differs is None else self.differs

    @property
    def detectable(self) -> float:
        """The smallest true difference that this design finds with 80 % power.

        (t of the level + t of the power) x standard error: H. S. Bloom (1995), Evaluation Review 19, 547-556.
        """
        return self._half + float(distributions.t.ppf(POWER, self.df)) * self.se

    def items_to_settle(self, margin: float, predicted: Predicted = "above") -> int | None:
        """The number of items with which :func:`judge` would decide, were the estimate and all variances to stay.

        A predicted difference is decided where the interval excludes 0 or lies inside ± margin; equality where it does not hold
        the margin. The present number where it is decided already; None where no number does it, because the seeds' part is too
        large or there is one seed only. Groups of items keep their present size.
        """
        gap = abs(margin - abs(self.estimate))
        wanted = gap if predicted == "equal" else max(abs(self.estimate), margin - abs(self.estimate))
        if predicted == "not below":
            wanted = abs(self.estimate + margin)

        def decided(groups: int) -> bool:
            found = self.with_groups(groups)
            return found.se == 0 or found._half < wanted

        if self.one_seed or not decided(10**9):
            return None
        groups = bisect.bisect_left(range(10**9), True, lo=self.groups, key=decided)
        return math.ceil(groups * self.n / self.groups)

    def with_groups(self, groups: int) -> Comparison:
        """The same with so many groups of items, were the estimate and all variances to stay: the seeds' part does not shrink."""
        items = (self.se**2 - self.seeds_variance) * self.groups / groups
        total = items + self.seeds_variance
        df = float(groups - 1)
        if self.seeds_variance:
            t_items, t_seeds = (float(distributions.t.ppf(0.975, d)) for d in (df, self.seeds_df))
            df = float(stats.df_of((t_items * items + t_seeds * self.seeds_variance) / total))
        n = round(self.n * groups / self.groups)
        return replace(self, se=math.sqrt(total), df=df, groups=groups, n=n)

    def relative(self) -> Comparison:
        """The difference as a share of the mean of b, which counts as known."""
        share = 1 / abs(self.mean_b)
        scaled = {name: getattr(self, name) * share for name in ("estimate", "se", "mean_a", "mean_b")}
        return replace(self, **scaled, seeds_variance=self.seeds_variance * share**2, binary=False)

    @property
    def _half(self) -> float:
        return self._quantile(self.df) * self.se

    def _quantile(self, df: float) -> float:
        return float(distributions.t.ppf((1 + self.level) / 2, df))


class _Arm(NamedTuple):
    """One condition: outcomes [seeds, items] with NaN where the metric does not apply, ids, groups, whether one seed stands alone."""

    outcomes: stats.Array
    items: list[str]
    groups: list[str]
    one_seed: bool


def _arm(rows: Rows, metric: str, said: str) -> _Arm:
    """The rows of one condition, one a seed, as an array; ``said`` names the condition in errors."""
    if not rows:
        raise ValueError(f"no row matches {said}")
    settings = [{k: v for k, v in r.raw.items() if k not in NOT_SETTINGS} for r in rows]
    varied = sorted({k for s in settings for k in (*s, *settings[0]) if s.get(k) != settings[0].get(k)})
    if varied:
        said = f"{len(rows)} rows match {said} but differ in {', '.join(varied)}: say which is meant"
        raise ValueError(said)
    seeds = [r.raw.get("seed") for r in rows]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{len(rows)} rows match {said}, and two have the same seed: say which is meant")
    items = rows[0].items
    if not items or len(set(items)) < len(items):
        raise ValueError(f"the rows of {said} name no items, or an item twice; a - b is paired by item")
    group = dict(zip(items, rows[0].groups, strict=True))
    outcomes = np.empty((len(rows), len(items)))
    for n, row in enumerate(rows):
        by_item = dict(zip(row.items, row.outcomes(metric), strict=True))
        if by_item.keys() != group.keys():
            raise ValueError(f"the seeds of {said} were not asked about the same items")
        outcomes[n] = [math.nan if by_item[i] is None else by_item[i] for i in items]
    return _Arm(outcomes, items, list(group.values()), len(rows) == 1 and seeds[0] is not None)


def compare(
    record: Record, a: Where, b: Where, metric: str, *, other: Record | None = None, level: float = LEVEL
) -> Comparison:
    """Condition a minus condition b, paired by item, over all their seeds.

    Parameters
    ----------
    record
        Where the rows of a are, and those of b unless ``other`` is given.
    a, b
        Settings that pick one condition each: one row, or one row a seed. A row without a seed is deterministic.
    metric
        Name of a metric of both; an item to which it does not apply in any row is left out of both arms.
    other
        Another record with the rows of b, as of another model, on the same items.
    level
        Confidence level of the interval.

    Raises
    ------
    ValueError
        Where settings match nothing or several conditions, the items differ, or fewer than two groups of items are left.
    KeyError
        For an unknown metric, with the names that there are.

    Notes
    -----
    Estimator, sources and coverage: :func:`tunewise.stats.crossed`.
    """
    sides = ((record, a), (other or record, b))
    first, second = (source.where(**where) for source, where in sides)
    said = [f"{dict(where)} in {source.experiment}.{source.scale}" for source, where in sides]
    return compare_rows(first, second, metric, level=level, said=(said[0], said[1]))


def compare_rows(
    a: Rows, b: Rows, metric: str, *, level: float = LEVEL, said: tuple[str, str] = SIDES
) -> Comparison:
    """As :func:`compare`, from the rows of two conditions, one a seed; ``said`` names them in errors."""
    first, second = (_arm(rows, metric, name) for rows, name in zip((a, b), said, strict=True))
    if set(first.items) != set(second.items):
        shared = len(set(first.items) & set(second.items))
        counts = f"{len(first.items)} and {len(second.items)}, {shared} of them shared"
        raise ValueError(f"{said[0]} and {said[1]} were not asked about the same items: {counts}")
    place = {item: n for n, item in enumerate(second.items)}
    second = second._replace(outcomes=second.outcomes[:, [place[i] for i in first.items]])
    x, y, groups = _applying(first.groups, first.outcomes, second.outcomes)
    found = compare_arrays(x, y, groups, level=level)
    return replace(found, one_seed=first.one_seed or second.one_seed, dropped=len(first.items) - len(groups))


def compare_arrays(
    a: ArrayLike, b: ArrayLike, groups: Sequence[Hashable] | None = None, *, level: float = LEVEL
) -> Comparison:
    """As :func:`compare`, from outcomes: a is [seeds of a, n], b is [seeds of b, n], groups [n] or None where items stand alone."""
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    binary = bool(np.isin(np.concatenate([x, y]), (0, 1)).all())
    found = stats.crossed([x, y], groups, binary=binary)
    numbers: dict[str, Any] = {name: float(getattr(found, name)) for name in ("estimate", "se", "df")}
    numbers |= {"seeds_variance": float(found.seeds), "seeds_df": float(found.df_seeds)}
    numbers |= {"mean_a": float(x.mean()), "mean_b": float(y.mean()), "seeds_a": len(x), "seeds_b": len(y)}
    return Comparison(**numbers, n=x.shape[1], groups=found.groups, binary=binary, level=level)


def _applying(groups: Sequence[Hashable], *arms: stats.Array) -> tuple[Any, ...]:
    """The arms without the items to which the metric does not apply in some row, and the groups of the rest."""
    kept: Any = ~np.isnan(np.concatenate(arms)).any(axis=0)
    if not kept.any():
        raise ValueError("the metric applies to no item in all rows")
    return (*(a[:, kept] for a in arms), [g for g, k in zip(groups, kept, strict=True) if k])


def mean(
    rows: Rows, metric: str = "accuracy", items: Container[str] | None = None
) -> dict[str, float] | None:
    """The mean of one condition over its seeds, with its 95 % interval over new seeds and new items.

    Parameters
    ----------
    rows
        One a seed, all asked about the same items.
    items
        Ids of the only items that count; all for None.

    Returns
    -------
    dict or None
        A metric (``value``, ``n``, ``low``, ``high``) with ``seeds`` added. One row gets :func:`tunewise.stats.mean_interval`. None where
        there is no row or no item.

    Raises
    ------
    ValueError
        For rows that are not one condition's.
    """
    if items is not None:
        rows = [_only(r, metric, items) for r in rows if any(i in items for i in r.items)]
    if not rows:
        return None
    arm = _arm(rows, metric, "the condition")
    x, groups = _applying(arm.groups, arm.outcomes)
    return mean_arrays(x, groups) | {"seeds": len(x)}


def mean_arrays(
    x: ArrayLike, groups: Sequence[Hashable] | None = None, level: float = LEVEL
) -> dict[str, float]:
    """As :func:`mean`, from outcomes: x is [seeds, n], groups [n] or None where items stand alone."""
    x = np.asarray(x, dtype=float)
    if len(x) == 1:
        return stats.mean_interval(x[0].tolist(), groups, level)
    binary = bool(np.isin(x, (0, 1)).all())
    found = stats.crossed([x], groups, binary=binary)
    value = float(found.estimate)
    half = float(distributions.t.ppf((1 + level) / 2, found.df) * found.se)
    low, high = (max(value - half, 0.0), min(value + half, 1.0)) if binary else (value - half, value + half)
    return {"value": value, "n": x.shape[1], "low": low, "high": high}


def gap(a: Rows, b: Rows, metric: str = "accuracy") -> dict[str, float] | None:
    """Condition a minus condition b, paired by item, with its 95 % interval; None where a side has no rows."""
    return compare_rows(a, b, metric).metric() if a and b else None


def _only(row: Row, metric: str, items: Container[str]) -> Row:
    """A row as if the metric did not apply to other items."""
    kept = [o if i in items else None for i, o in zip(row.items, row.outcomes(metric), strict=True)]
    return Row({**row.raw, "outcomes": {metric: kept}}, row._item_sets)


class Judgement(NamedTuple):
    """A verdict, one of :data:`VERDICTS`, and the sentence with the figures that it follows from."""

    verdict: str
    reason: str


def judge(found: Comparison, margin: float, predicted: Predicted) -> Judgement:
    """The verdict on one test, from its interval alone.

    Parameters
    ----------
    found
        The comparison a - b.
    margin
        The smallest difference that would change a decision, in units of the metric: a difference of just this size matters.
    predicted
        What the claim says of a - b: ``above`` or ``below`` 0, ``equal``, or ``not below`` by the margin or more.

    Returns
    -------
    Judgement
        For a difference that is predicted: *agrees* where the interval lies on the predicted side of 0 and reaches the margin; *too
        small to matter* where it lies there but short of the margin; *does not agree* where it lies on the other side; *no difference
        that matters* where it holds 0 and lies inside ± margin. For equality: *agrees* where it lies inside ± margin, *does not
        agree* where it lies wholly at or beyond the margin. For no loss (``not below``): *agrees* where it lies above -margin, *does not
        agree* where it lies wholly at or below it. *Cannot tell* everywhere else, and where one seed stands for many.

    Raises
    ------
    ValueError
        For a negative margin, or no margin where equality is predicted; an unknown prediction.
    """
    if predicted not in get_args(Predicted):
        raise ValueError(f"predicted is {', '.join(get_args(Predicted))}, got {predicted!r}")
    if margin < 0 or (margin == 0 and predicted in ("equal", "not below")):
        raise ValueError(f"a margin is a positive difference, got {margin}")
    size = _size(found, found.estimate, sign=True)
    low, high = (_size(found, v, sign=True) for v in (found.low, found.high))
    limit = _size(found, margin)
    shown = f"the difference is {size} ({low} to {high}, n = {found.n:,})"
    undecided = Judgement(CANNOT_TELL, f"{shown}; {remedy(found, margin, predicted)}.")
    if found.one_seed:
        return undecided
    inside = -margin < found.low and found.high < margin
    if predicted in ("equal", "not below"):
        if predicted == "not below":
            agrees, disagrees = found.low > -margin, found.high <= -margin
            within, beyond = f"above the loss of {limit}", f"loss of {limit}"
        else:
            agrees, disagrees = inside, found.low >= margin or found.high <= -margin
            within, beyond = f"wholly inside the ± {limit}", limit
        if agrees:
            return Judgement(AGREES, f"{shown}, {within} that would matter.")
        if disagrees:
            return Judgement(DISAGREES, f"{shown}, wholly beyond the {beyond} that would matter.")
        return undecided
    sign = 1 if predicted == "above" else -1
    reach = found.high if sign > 0 else -found.low
    if found.significant and found.estimate * sign > 0:
        if reach >= margin:
            return Judgement(AGREES, f"{shown}, {predicted} 0 as predicted.")
        short = f"but short of the {limit} that would matter."
        return Judgement(TOO_SMALL, f"{shown}, {predicted} 0 as predicted, {short}")
    if found.significant:
        return Judgement(DISAGREES, f"{shown}, on the other side of 0 than predicted.")
    if inside:
        return Judgement(NO_DIFFERENCE, f"{shown}, around 0 and wholly inside ± {limit}.")
    return undecided


def remedy(
    found: Comparison,
    margin: float,
    predicted: Predicted,
    what: str = "item",
    say: Callable[[float], str] | None = None,
) -> str:
    """What would settle a test that cannot tell, in words: items, seeds, or a larger effect.

    Parameters
    ----------
    found, margin, predicted
        As for :func:`judge`.
    what
        What one item is called, in the singular.
    say
        How a difference is written; in points or three figures unless given.
    """
    if found.one_seed:
        return "an arm was run with one seed only, and more seeds would settle it"
    least = say(found.detectable) if say else _size(found, found.detectable)
    finds = f"this design finds differences from {least} on"
    more = found.items_to_settle(margin, predicted)
    if more is not None:
        return f"{finds}, and about {counted(more, what)} would settle it ({found.n:,} so far)"
    if not found.seeds_variance:
        return f"{finds}, and this one lies too near the margin for any number of {what}s"
    seeds = max(found.seeds_a, found.seeds_b)
    return f"{finds}, and more {what}s alone would not settle it: the seeds differ, so it takes more of them ({seeds} so far)"


def _size(found: Comparison, value: float, *, sign: bool = False) -> str:
    """A difference in words: points for right and wrong, else three figures."""
    plus = "+" if sign else ""
    return f"{signed(100 * value, '.1f', plus)} points" if found.binary else signed(value, ".3g", plus)


def family(found: Sequence[Comparison], alpha: float = 1 - LEVEL) -> list[Comparison]:
    """All tests of one claim together, so that the chance of any false difference stays at ``alpha``.

    The interval of each, which is drawn, is Bonferroni's, at level 1 - alpha / m for m tests. Whether a difference is told from 0
    (:attr:`Comparison.significant`) is decided by Holm's procedure, which finds at least as many: S. Holm (1979), Scand. J.
    Stat. 6, 65-70.
    """
    m, holds = len(found), True
    differs = [False] * m
    for rank, n in enumerate(sorted(range(m), key=lambda i: found[i].p)):
        holds = holds and found[n].p < alpha / (m - rank)
        differs[n] = holds
    return [replace(f, level=1 - alpha / m, differs=d) for f, d in zip(found, differs, strict=True)]


def combine(verdicts: Sequence[str]) -> str:
    """One verdict on a claim of several parts.

    *Agrees in part* needs a part that agrees and a part that was shown not to: contradicted, or too small, or no difference that
    matters where one was claimed. A part that cannot tell is never counted as half an agreement: without such a pair it leaves
    the whole undecided.

    Raises
    ------
    ValueError
        For no verdicts, or an unknown one.
    """
    if not verdicts or set(verdicts) - set(VERDICTS):
        raise ValueError(f"a claim needs verdicts out of {', '.join(VERDICTS)}; got {list(verdicts)}")
    kinds = set(verdicts)
    against = kinds - {AGREES, CANNOT_TELL}
    if AGREES in kinds and against:
        return IN_PART
    if CANNOT_TELL in kinds:
        return CANNOT_TELL
    return kinds.pop() if len(kinds) == 1 else DISAGREES
