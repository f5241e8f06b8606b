"""What a reader sees: figures, tables, verdicts, numbers in the prose, live calculators, the site's own parts."""

from tunewise.pages.figures import (
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
from tunewise.pages.live import Live
from tunewise.pages.records import not_yet_measured, pct, plain, points, provenance
from tunewise.pages.verdict import verdict

__all__ = [
    "Figure", "Html", "Live", "bars_with_interval", "heatmap", "line_with_interval", "not_yet_measured", "pct", "plain",
    "points", "provenance", "stacked_bars", "table", "verdict", "with_menu", "with_slider",
]  # fmt: skip
