"""Means and differences of rows of a record, as metric dictionaries for figures and tables."""

from __future__ import annotations

from collections.abc import Container, Sequence

from tunewise.comparison import compare_rows, over_seeds
from tunewise.record import Row

Metric = dict[str, float]


def mean(rows: Sequence[Row], metric: str = "accuracy", items: Container[str] | None = None) -> Metric | None:
    """The mean of a condition's rows (one a seed), with its 95 % interval over new seeds and items.

    items: ids of the only items that count (all for None). None where there is no row or no item.
    """
    if items is not None:
        rows = [_only(r, metric, items) for r in rows if any(i in items for i in r.items)]
    return over_seeds(rows, metric) if rows else None


def gap(a: Sequence[Row], b: Sequence[Row], metric: str = "accuracy") -> Metric | None:
    """Condition a minus condition b, paired by item, with its 95 % interval; None where a side has no rows."""
    return compare_rows(a, b, metric).metric() if a and b else None


def _only(row: Row, metric: str, items: Container[str]) -> Row:
    """A row as if the metric did not apply to other items."""
    kept = [o if i in items else None for i, o in zip(row.items, row.outcomes(metric), strict=True)]
    return Row({**row.raw, "outcomes": {metric: kept}}, row._item_sets)
