"""Figures, tables and numbers in words, made from run records: the same for the book and for own data."""

from tunewise.comparison import gap, mean
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
from tunewise.report.numbers import in_words, pct, plain, points
from tunewise.report.sentences import measured, not_yet_measured, prose, provenance

__all__ = ["Figure", "Html", "bars_with_interval", "differences", "gap", "heatmap", "in_words"]
__all__ += ["line_with_interval", "mean", "measured", "not_yet_measured", "pct", "plain", "points", "prose"]
__all__ += ["provenance", "stacked_bars", "table", "with_menu", "with_slider"]
