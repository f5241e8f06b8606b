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
from tunewise.pages.records import measured, not_yet_measured, pct, plain, points, prose, provenance
from tunewise.pages.try_it import TryIt
from tunewise.pages.verdict import verdict

__all__ = [
    "Figure", "Html", "Live", "TryIt", "bars_with_interval", "heatmap", "line_with_interval", "measured", "not_yet_measured",
    "pct", "plain", "points", "prose", "provenance", "stacked_bars", "table", "verdict", "with_menu", "with_slider",
]  # fmt: skip
