"""Where an arm goes wrong: confusion, most confident mistakes, slices, and what changes between two arms. Always with row numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats as distributions

from tunewise.stats import LEVEL

if TYPE_CHECKING:
    from tunewise.compare.base import ArmResult, Item, OwnData

OTHER = "(no label)"
SMALLEST = 8  # items of a slice, and of the rest
MOST_VALUES = 12  # of a column that is no number: with more, it names no slices
Array = NDArray[Any]


@dataclass(frozen=True)
class Mistake:
    """One wrong answer: what was right, what was said, and with what probability."""

    item: Item
    predicted: str
    confidence: float | None


@dataclass(frozen=True)
class Slice:
    """Items that share something, against all others.

    Parameters
    ----------
    name
        Such as ``label: billing`` or ``length: 12 words or fewer``.
    n, mean, others
        Items; the arm's mean outcome on them, and on the rest.
    rival
        The other arm's mean outcome on them, None without one.
    p
        Of no difference between slice and rest, times the number of slices not better (Holm), at most 1.
    """

    name: str
    n: int
    mean: float
    others: float
    rival: float | None
    p: float


@dataclass(frozen=True)
class LabelScore:
    """Recall, precision and F1 of one label, and how many test items have it."""

    label: str
    n: int
    recall: float
    precision: float
    f1: float


def wrong(data: OwnData, arm: ArmResult) -> Array:
    """Which test items the arm did not get wholly right, [n]; an open-ended score has no wrong ones."""
    if data.metric == "score":
        return np.zeros(len(data.test), dtype=bool)
    return np.asarray(arm.outcomes[data.metric], dtype=float) < 1


def confusion(data: OwnData, arm: ArmResult) -> tuple[list[str], list[list[int]]]:
    """Column names, and counts [label, column]; a last column for answers that are no label, where there are any."""
    known = set(data.labels)
    said = [p if p in known else OTHER for p in arm.predictions]
    columns = [*data.labels, *([OTHER] if OTHER in said else [])]
    counts = Counter(zip((i.target for i in data.test), said, strict=True))
    return columns, [[counts[row, column] for column in columns] for row in data.labels]


def label_scores(data: OwnData, arm: ArmResult) -> list[LabelScore]:
    """One a label, in the order of ``data.labels``."""
    from sklearn.metrics import precision_recall_fscore_support

    targets = [i.target for i in data.test]
    found = precision_recall_fscore_support(
        targets, list(arm.predictions), labels=list(data.labels), zero_division=0.0
    )
    precision, recall, f1, n = (v.tolist() for v in found)
    rows = zip(data.labels, n, recall, precision, f1, strict=True)
    return [LabelScore(*row) for row in rows]


def macro_f1(data: OwnData, arm: ArmResult) -> float:
    """The mean F1 of the labels that the test items have."""
    return float(np.mean([s.f1 for s in label_scores(data, arm) if s.n]))


def confident_mistakes(data: OwnData, arm: ArmResult, count: int = 10) -> list[Mistake]:
    """The wrong answers that the arm was surest of, surest first; in the order of the file where it gives no probabilities.

    Labels that are wrong in the file are found here.
    """
    sure = arm.confidences
    found = [
        Mistake(data.test[n], arm.predictions[n], None if sure is None else float(sure[n]))
        for n in np.flatnonzero(wrong(data, arm)).tolist()
    ]
    return sorted(found, key=lambda m: -(m.confidence or 0))[:count]


def flips(data: OwnData, a: ArmResult, b: ArmResult) -> tuple[list[int], list[int]]:
    """Places of the test items on which ``a`` did better, and of those on which ``b`` did."""
    gap = np.subtract(a.outcomes[data.metric], b.outcomes[data.metric])
    return np.flatnonzero(gap > 0).tolist(), np.flatnonzero(gap < 0).tolist()


def slices(data: OwnData, arm: ArmResult, rival: ArmResult | None = None) -> list[Slice]:
    """All slices of :data:`SMALLEST` items or more, least p first; outcomes are means over training runs, as those that decide.

    Notes
    -----
    Slice against rest by Welch's t, whose variances are sums over groups where items come in groups; ungrouped right-or-wrong outcomes
    by Fisher's exact test. All p together by Holm's procedure, so that of many slices none looks bad by chance alone.
    """
    y = arm.runs(data.metric).mean(axis=0)
    other = None if rival is None else rival.runs(data.metric).mean(axis=0)
    _, member = np.unique([i.group for i in data.test], return_inverse=True)
    found = []
    for name, inside in _slices(data):
        n = int(inside.sum())
        if n < SMALLEST or len(y) - n < SMALLEST:
            continue
        own = None if other is None else float(other[inside].mean())
        p = _p(y, inside, member)
        found.append(Slice(name, n, float(y[inside].mean()), float(y[~inside].mean()), own, p))
    found.sort(key=lambda s: s.p)
    corrected, highest = [], 0.0
    for rank, s in enumerate(found):
        highest = max(highest, min(1.0, s.p * (len(found) - rank)))
        corrected.append(Slice(s.name, s.n, s.mean, s.others, s.rival, highest))
    return corrected


def weak_slices(found: Sequence[Slice]) -> list[Slice]:
    """Those in which the arm is worse than elsewhere, by the corrected test."""
    return [s for s in found if s.mean < s.others and s.p < 1 - LEVEL]


def _slices(data: OwnData) -> Iterator[tuple[str, Array]]:
    """Name and members [n] of each slice: by label, length, group, and the other columns."""
    test = data.test
    if data.kind == "classification":
        yield from _by_value("label", [i.target or "" for i in test], most=len(data.labels))
    yield from _by_number("length", [len(i.text.split()) for i in test], "words")
    if data.columns.group:
        yield from _by_value(data.columns.group, [i.group for i in test])
    for name in {key: None for i in test for key in i.features}:
        values = [i.features.get(name, "") for i in test]
        numbers = _numbers(values)
        if name == data.columns.time or _dates(values):
            yield from _by_time(name, values)
        elif numbers is not None and len(set(numbers)) > MOST_VALUES:
            yield from _by_number(name, numbers)
        else:
            yield from _by_value(name, values)


def _by_value(name: str, values: Sequence[str], most: int = MOST_VALUES) -> Iterator[tuple[str, Array]]:
    kinds = sorted(set(values))
    if 2 <= len(kinds) <= most:
        for value in kinds:
            yield f"{name}: {value or '(empty)'}", np.array([v == value for v in values])


def _by_number(name: str, values: Sequence[float], unit: str = "") -> Iterator[tuple[str, Array]]:
    x, unit = np.asarray(values, dtype=float), f" {unit}" if unit else ""
    low, high = np.quantile(x, [1 / 3, 2 / 3])
    if low < high:
        yield f"{name}: at most {low:g}{unit}", x <= low
        yield f"{name}: more than {high:g}{unit}", x > high


def _by_time(name: str, values: Sequence[str]) -> Iterator[tuple[str, Array]]:
    """The earliest and the latest third; dates in ISO form sort as text."""
    ordered = sorted(values)
    first, last = ordered[len(ordered) // 3], ordered[2 * len(ordered) // 3]
    if first < last:
        yield f"{name}: before {last}", np.array([v < last for v in values])
        yield f"{name}: before {first}", np.array([v < first for v in values])


def _numbers(values: Sequence[str]) -> list[float] | None:
    try:
        found = [float(v) for v in values]
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def _dates(values: Sequence[str]) -> bool:
    return all(len(v) >= 10 and v[4] == v[7] == "-" and v[:4].isdigit() for v in values)


def _p(y: Array, inside: Array, member: Array) -> float:
    if len(set(member)) == len(y) and np.isin(y, (0, 1)).all():
        table = [[int(y[s].sum()), int((1 - y[s]).sum())] for s in (inside, ~inside)]
        return float(distributions.fisher_exact(table).pvalue)
    gap = y[inside].mean() - y[~inside].mean()
    influence = np.where(
        inside, (y - y[inside].mean()) / inside.sum(), -(y - y[~inside].mean()) / (~inside).sum()
    )
    sums = np.bincount(member, weights=influence)
    used = min(len(set(member[inside])), len(set(member[~inside])))
    if used < 2:
        return 1.0
    se = np.sqrt((sums**2).sum() * used / (used - 1))
    return float(2 * distributions.t.sf(abs(gap) / se, used - 1)) if se > 0 else float(gap == 0)
