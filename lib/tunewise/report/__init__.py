"""Figures, tables and numbers in words, made from run records: the same for the book and for own data."""

from tunewise.report.estimates import gap, mean
from tunewise.report.figures import (
    Figure,
    Html,
    bars_with_interval,
    differences,
    heatmap,
    line_with_interval,
    stacked_bars,
    table,
    with_menu,
    with_slider,
)
from tunewise.report.notes import measured, not_yet_measured, prose, provenance
from tunewise.report.numbers import in_words, pct, plain, points

__all__ = [
    "Figure",
    "Html",
    "bars_with_interval",
    "differences",
    "gap",
    "heatmap",
    "in_words",
    "line_with_interval",
    "mean",
    "measured",
    "not_yet_measured",
    "pct",
    "plain",
    "points",
    "prose",
    "provenance",
    "stacked_bars",
    "table",
    "with_menu",
    "with_slider",
]
