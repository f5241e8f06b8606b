"""Figures, tables and numbers in words, made from run records: the same for the book and for own data."""

from tunewise.report.figures import (
    Figure,
    Html,
    bars_with_interval,
    heatmap,
    line_with_interval,
    stacked_bars,
    table,
    with_menu,
    with_slider,
)
from tunewise.report.numbers import measured, not_yet_measured, pct, plain, points, prose, provenance

__all__ = [
    "Figure",
    "Html",
    "bars_with_interval",
    "heatmap",
    "line_with_interval",
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
