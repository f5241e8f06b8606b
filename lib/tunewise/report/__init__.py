"""Figures, tables and numbers in words, made from run records: the same for the book and for own data."""

from tunewise.comparison import gap, mean
from tunewise.report.figures import Figure, choose, curves, differences, dots, heatmap, stacked_bars
from tunewise.report.numbers import in_words, pct, plain, points, relative
from tunewise.report.sentences import measured, prose, provenance
from tunewise.report.tables import Html, conditions, conditions_table, gaps, means, table, table_from_lists

__all__ = ["Figure", "Html", "choose", "conditions", "conditions_table", "curves", "differences", "dots"]
__all__ += ["gap", "gaps", "heatmap", "in_words", "mean", "means", "measured", "pct"]
__all__ += ["plain", "points", "prose", "provenance", "relative", "stacked_bars", "table", "table_from_lists"]
