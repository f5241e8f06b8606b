"""Means and differences of rows of a record, as metric dictionaries for figures and tables."""

from __future__ import annotations

from collections.abc import Sequence

from tunewise.comparison import compare_rows, over_seeds
from tunewise.record import Row

Metric = dict[str, float]


def mean(rows: Sequence[Row], metric: str = "accuracy") -> Metric | None:
    """The mean of a condition's rows (one a seed), with its 95 % interval over new seeds and items; None for no rows."""
    return over_seeds(rows, metric) if rows else None


def gap(a: Sequence[Row], b: Sequence[Row], metric: str = "accuracy") -> Metric | None:
    """Condition a minus condition b, paired by item, with its 95 % interval; None where a side has no rows."""
    return compare_rows(a, b, metric).metric() if a and b else None
