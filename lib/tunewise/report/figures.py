"""Figures, as plain dictionaries that Plotly draws: no plotly.py is needed to make one.

A number to be drawn is either a metric of a run record, ``{"value", "n", "low", "high"}``, whose 95 % interval becomes
an error bar, or a plain number. ``None`` stands for *not yet measured* and is left out. Every figure is made of a caption and of
numbers by name; the text for those who cannot see it and the table of its numbers come from the same.
"""

from __future__ import annotations

import copy
import math
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tunewise.report.numbers import in_words, pct, plain, points, relative
from tunewise.report.tables import Html, Show, table_from_lists
from tunewise.words import signed

Cell = Mapping[str, Any] | float | None  # a metric, a number, or what is not measured
Rows = Mapping[str, Any]  # name -> cell, or series -> {name -> cell}
PLOTLY = "application/vnd.plotly.v1+json"

# Okabe and Ito's colours for all kinds of colour vision, without black and yellow, which vanish on one of the two
# backgrounds. Series also differ in marker and dash, and parts of a bar in pattern, so that colour never carries alone.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D46", "#7F7F7F")
MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "triangle-down")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")
PATTERNS = ("", "/", ".", "\\", "x", "-", "+", "|")

# What every figure shares, also those that a calculator makes in the browser. The page sets colours of text and
# ground by the reader's theme.
STYLE = dict(
    colorway=list(PALETTE),
    margin=dict(l=62, r=28, t=40, b=56),  # r: half a label at the end of the axis, such as 100%
    height=400,
    hovermode="closest",
    legend=dict(orientation="h", yanchor="bottom", y=1.02, xanchor="left", x=0),
    font=dict(size=14),
    xaxis=dict(automargin=True),
    yaxis=dict(automargin=True),
)


def styled(layout: Mapping[str, Any]) -> dict[str, Any]:
    """``layout`` over :data:`STYLE`, dictionary by dictionary."""

    def over(low: Any, high: Any) -> Any:
        if isinstance(low, Mapping) and isinstance(high, Mapping):
            return {**low, **{k: over(low[k], v) if k in low else v for k, v in high.items()}}
        return high

    whole: dict[str, Any] = over(copy.deepcopy(STYLE), copy.deepcopy(dict(layout)))
    if (whole.get("title") or {}).get("text") and "t" not in (layout.get("margin") or {}):
        # the title stands above the legend; the book's page makes it a text of its own
        whole["margin"]["t"] = 84
    return whole


class Figure:
    """A Plotly figure: ``data`` (list of traces), ``layout``, and ``alt``, what it shows in a sentence.

    ``alt`` is what a screen reader says and what a terminal prints. Raises ValueError without one.
    """

    def __init__(self, data: Sequence[Mapping[str, Any]], layout: Mapping[str, Any], alt: str) -> None:
        if not alt.strip():
            said = "a figure needs alt: a sentence that says what it shows to those who cannot see it"
            raise ValueError(said)
        self.data = [dict(trace) for trace in data]
        self.layout = styled(layout)
        self.alt = " ".join(alt.split())

    def to_dict(self) -> dict[str, Any]:
        """``{"data", "layout"}`` as Plotly reads it; the alternative text is in ``layout["meta"]["alt"]``."""
        return {"data": self.data, "layout": {**self.layout, "meta": {"alt": self.alt}}}

    @classmethod
    def from_dict(cls, figure: Mapping[str, Any]) -> Figure:
        """A figure from ``{"data", "layout", "alt"}`` (or with the text in ``layout["meta"]["alt"]``)."""
        layout = dict(figure.get("layout") or {})
        meta = layout.pop("meta", None) or {}
        return cls(figure["data"], layout, figure.get("alt") or meta.get("alt", ""))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {PLOTLY: self.to_dict(), "text/plain": self.alt}
        if "google.colab" in sys.modules:  # Colab draws no Plotly MIME type; it has plotly.py, and a network
            from plotly.io import to_html

            drawn = bundle.pop(PLOTLY)
            bundle["text/html"] = to_html(drawn, include_plotlyjs="cdn", full_html=False, validate=False)
        return bundle

    def __repr__(self) -> str:
        return f"Figure: {self.alt}"

    def table(self) -> Html | None:
        """What is drawn, number by number: choice, series, point and value. None where the traces do not say their numbers."""
        rows = [
            [t.get("meta", ""), t.get("name", ""), at, said]
            for t in self.data
            for at, said in zip(t.get("hovertext", ()), t.get("customdata", ()), strict=False)
        ]
        kept = [i for i in range(4) if i > 1 or len({row[i] for row in rows}) > 1]
        header = ["chosen", "series", "at", "value"]
        caption = (self.layout.get("title") or {}).get("text") or self.alt
        picked = [[row[i] for i in kept] for row in rows]
        return table_from_lists([header[i] for i in kept], picked, caption) if rows else None


# What an axis looks like, by how its numbers are said.
FORMATS: dict[Show, dict[str, Any]] = {
    pct: dict(tickformat=".0%", rangemode="tozero"),
    points: {},
    relative: {},
    plain: dict(rangemode="tozero"),
}


def value_of(metric: Cell) -> float | None:
    """The number of a metric or of a number; None for what is not measured."""
    return metric["value"] if isinstance(metric, Mapping) else metric


def dots(
    rows: Rows, x_title: str, caption: str, *, line: tuple[float, str] | None = None, show: Show = pct
) -> Figure:
    """A dot with its interval a row, one colour a series. line: a level to compare with, and its name, such as ``(1 / 3, "chance")``.

    Labels stand above their rows, broken into lines, so that a telephone shows them.
    """
    figure = _dotted(rows, x_title, caption, show, {})
    figure.layout["xaxis"] |= {"range": [-0.02, 1.02]} if show is pct else {}
    if line:
        level, name = line
        dotted = dict(line=dict(dash="dot", width=2, color="#7F7F7F"))
        figure.layout["shapes"].append(_upright(level) | dotted)
        place = dict(x=level, y=0, yref="paper", xanchor="left", yanchor="bottom")
        figure.layout["annotations"].append(dict(text=name, showarrow=False, **place))
    return figure


def differences(
    rows: Rows,
    x_title: str,
    caption: str,
    *,
    margins: Mapping[str, float] | None = None,
    show: Show = points,
) -> Figure:
    """Paired differences against zero: the default figure of a comparison. margins: name -> the smallest difference that matters, a band."""
    figure = _dotted(rows, x_title, caption, show, margins or {})
    figure.layout["xaxis"] |= dict(zeroline=False)
    if show is not plain:
        figure.layout["xaxis"] |= _signed_ticks(figure, "x", show)
    if show is points:
        figure.layout["xaxis"]["title"] = dict(text=f"{x_title}, points")
    figure.layout["shapes"].append(_upright(0) | dict(line=dict(color="#7F7F7F", width=1)))
    return figure


def _signed_ticks(figure: Figure, axis: str, show: Show) -> dict[str, Any]:
    """Ticks of an axis of differences, at most nine, no two alike, in per cent for ``relative`` and else in points; a zero has no sign.

    Plotly can write a share in per cent only, and signs a zero.
    """
    low, high = _reach(figure.data, axis)
    step = next(s for s in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1) if high - low <= 7 * s or s == 1)
    ticks = [round(i * step, 3) for i in range(math.floor(low / step), math.ceil(high / step) + 1)]
    words = [signed(100 * t, "g") + "%" * (show is relative) for t in ticks]
    return dict(tickvals=ticks, ticktext=words)


def _reach(traces: Sequence[Mapping[str, Any]], axis: str) -> tuple[float, float]:
    """How far the intervals of all traces reach along an axis, from zero."""
    ends = [0.0]
    for trace in traces:
        values = trace[axis]
        bars = trace.get(f"error_{axis}") or dict.fromkeys(("array", "arrayminus"), [0] * len(values))
        for value, up, down in zip(values, bars["array"], bars["arrayminus"], strict=True):
            ends += [value - down, value + up]
    return min(ends), max(ends)


def row_places(rows: Mapping[str, tuple[int, int]], apart: int = 32) -> tuple[dict[str, list[int]], int]:
    """The one rule for the height of rows of dots, in pixels. rows: name -> how many dots, and how many lines of words above them.

    Returns the places of each row's dots, from the top, which is 0, downwards; and the height of all. The words end ``WORDS`` above the first
    dot, the others follow ``DOT`` by ``DOT``, and a row ends ``apart`` below its last one.
    """
    places, y = {}, 0
    for name, (dots_in_row, lines) in rows.items():
        y -= WORDS + 16 * lines if lines else 0
        places[name] = [y - DOT * i for i in range(dots_in_row)]
        y = places[name][-1] - apart
    return places, -y


DOT, WORDS = 15, 14  # pixels from dot to dot, and from a row's first dot up to its words
AROUND = 120  # pixels of a figure that are no rows: legend, ticks and the title of the axis


def band(margin: float, places: Sequence[float]) -> dict[str, Any]:
    """The smallest difference that matters, as a band behind the dots of a row."""
    look = dict(type="rect", fillcolor="#7F7F7F", opacity=0.18, line=dict(width=0))
    return dict(x0=-margin, x1=margin, y0=places[-1] - 10, y1=places[0] + 10, **look)


def _dotted(rows: Rows, x_title: str, caption: str, show: Show, margins: Mapping[str, float]) -> Figure:
    several = all(isinstance(cells, Mapping) and "value" not in cells for cells in rows.values())
    found = rows if several else {x_title: rows}
    series = {label: {n: m for n, m in cells.items() if m is not None} for label, cells in found.items()}
    dots_in = Counter(name for cells in series.values() for name in cells)
    labels = {name: textwrap.wrap(name, 48) for name in dots_in}
    places, height = row_places({name: (dots_in[name], len(labels[name])) for name in dots_in})
    free, data = {name: iter(place) for name, place in places.items()}, []
    for i, (label, cells) in enumerate(series.items()):
        trace = _trace(i, label, "markers", list(cells), [show(m) for m in cells.values()])
        data.append(trace | _values("x", list(cells.values())) | dict(y=[next(free[n]) for n in cells]))
    words = dict(x=0, xref="paper", xanchor="left", yanchor="bottom", align="left", showarrow=False)
    words |= dict(font=dict(size=12), bgcolor="#fff")  # no line of the grid crosses them
    notes = [dict(y=place[0] + WORDS, text="<br>".join(labels[n]), **words) for n, place in places.items()]
    layout = dict(
        title=dict(text=caption),
        height=AROUND + height,
        shapes=[band(m, places[n]) for n, m in margins.items()],
        annotations=notes,
        xaxis=dict(title=dict(text=x_title)) | FORMATS.get(show, {}),
        margin=dict(l=24),
        yaxis=dict(visible=False, range=[-max(height, 1), 0]),
        showlegend=len(series) > 1,
    )
    return Figure(data, layout, f"{caption}. {in_words(rows, show)}.")


def curves(
    series: Mapping[str, Mapping[float, Cell] | Sequence[tuple[Cell, Cell]]],
    x_title: str,
    y_title: str,
    caption: str,
    *,
    show: Show = pct,
    show_x: Show = plain,
    log_x: bool = False,
    levels: Mapping[str, Cell] | None = None,
    upright: tuple[float, str] | None = None,
) -> Figure:
    """Lines with intervals, or single points. series: name -> {x -> y} or [(x, y), ...]; x may be a metric as well, with its own interval.

    show, show_x: how the numbers of an axis are said, which also formats it. log_x: a logarithmic x axis, with x as tick labels.
    levels: name -> what does not depend on x: a level line, with its interval as a band.
    upright: an x to mark, and its name, such as ``(8192, "trained length")``.
    """
    data, ends, xs = [], [], set()
    for i, (name, found) in enumerate(series.items()):
        known = sorted(found.items()) if isinstance(found, Mapping) else found
        pairs: list[tuple[Any, Any]] = [(x, y) for x, y in known if y is not None]
        at = [f"{x:,g}" if show_x is plain else show_x(x, n=False) for x, _ in pairs]
        mode = "lines+markers" if len(pairs) > 1 else "markers"
        trace = _trace(i, name, mode, at, [show(y) for _, y in pairs])
        trace |= _values("x", [x for x, _ in pairs]) | _values("y", [y for _, y in pairs])
        xs |= {x for x in trace["x"] if x > 0}
        if log_x:  # side by side, so that intervals do not cover each other
            trace["x"] = [x * 1.025 ** (i - (len(series) - 1) / 2) for x in trace["x"]]
        data.append(trace | dict(line=dict(color=PALETTE[i % 8], dash=DASHES[i % 8], width=2)))
        said = [f"{x}, {show(y, n=False)}" for x, (_, y) in zip(at, pairs, strict=True)]
        ends += [f"{name}: {'; '.join(dict.fromkeys([*said[:1], *said[-1:]]))}"]
    known_levels = {name: level for name, level in (levels or {}).items() if level is not None}
    bands = []
    across_all = [x for trace in data for x in trace["x"]]
    for i, (name, level) in enumerate(known_levels.items(), len(series)):
        trace = _trace(i, name, "lines", [name] * 2, [show(level)] * 2)
        trace |= dict(x=[min(across_all), max(across_all)], y=[value_of(level)] * 2)
        data.append(trace | dict(line=dict(color=PALETTE[i % 8], dash=DASHES[i % 8], width=2)))
        if isinstance(level, Mapping) and level["low"] is not None:
            look = dict(fillcolor=PALETTE[i % 8], opacity=0.12, line=dict(width=0), layer="below")
            ends_at = dict(x0=0, x1=1, y0=level["low"], y1=level["high"])
            bands.append(dict(type="rect", xref="paper") | ends_at | look)
        ends.append(f"{name}: {show(level, n=False)} throughout")
    if upright:
        at_x, name = upright
        dotted = dict(line=dict(color="#7F7F7F", dash="dot", width=2), hoverinfo="name")
        line = dict(type="scatter", mode="lines", name=name, x=[at_x] * 2, y=[*_reach(data, "y")])
        data.append(line | dotted)
        ends.append(f"marked: {name}")
    layout: dict[str, Any] = dict(title=dict(text=caption), showlegend=len(data) > 1)
    layout |= dict(shapes=bands) if bands else {}
    across = FORMATS.get(show_x, {}) if show_x is not plain else {}
    layout["xaxis"] = dict(title=dict(text=x_title)) | across
    layout["yaxis"] = dict(title=dict(text=y_title)) | FORMATS.get(show, {})
    if log_x:
        ticks = _ticks(xs)
        layout["xaxis"] |= dict(type="log", tickvals=ticks, ticktext=[f"{x:,}" for x in ticks], tickangle=0)
    figure = Figure(data, layout, f"{caption}. {'; '.join(ends)}.")
    if show in (points, relative):
        figure.layout["yaxis"] |= _signed_ticks(figure, "y", show)
    return figure


def _ticks(values: set[float]) -> list[float]:
    """The values of a logarithmic axis that can be labelled without one label covering the next."""
    kept: list[float] = []
    for x in sorted(values):
        apart = (max(values) / min(values)) ** (0.01 + 0.014 * len(f"{x:,}"))
        if not kept or x >= kept[-1] * apart:
            kept.append(x)
    return kept


def stacked_bars(
    bars: Mapping[str, Mapping[str, Cell]],
    x_title: str,
    caption: str,
    *,
    unit: str = "",
    looks: Mapping[str, tuple[str, str]] | None = None,
) -> Figure:
    """What a whole is made of. bars: category -> {part -> number}; parts keep their colour and pattern. Without a unit they are shares.

    looks: part -> colour and pattern, for parts that several figures share; else both go by the order of the parts.
    """
    said: Show = pct if not unit else lambda v, n=True: plain(v, unit, n=n)
    data = []
    for i, part in enumerate(dict.fromkeys(part for cells in bars.values() for part in cells)):
        cells = {category: parts[part] for category, parts in bars.items() if part in parts}
        color, shape = (looks or {}).get(part, (PALETTE[i % 8], PATTERNS[i % 8]))
        pattern = dict(shape=shape, fgcolor="#ffffff", fillmode="overlay")
        trace = _trace(i, part, "", list(cells), list(map(said, cells.values())))
        trace |= dict(type="bar", orientation="h", x=[value_of(m) for m in cells.values()], y=list(cells))
        data.append(trace | dict(marker=dict(color=color, pattern=pattern)))
    number = dict(title=dict(text=x_title)) | ({} if unit else dict(tickformat=".0%", range=[0, 1]))
    order = dict(autorange="reversed", categoryorder="array", categoryarray=list(bars))
    layout = dict(title=dict(text=caption), barmode="stack", legend=dict(traceorder="normal"), xaxis=number)
    return Figure(data, layout | dict(yaxis=order), f"{caption}. {in_words(bars, said)}.")


def heatmap(
    values: Mapping[str, Mapping[str, Cell]], x_title: str, y_title: str, caption: str, alt: str = ""
) -> Figure:
    """A grid of shares, each printed in its cell in per cent: row -> {column -> share}. alt: what it shows, if not all of it.

    Drawn as bars a row above the other, with gaps between the cells: the small Plotly build of the site has bars.
    """
    data, gap = [], 0.06
    for row, (name, cells) in enumerate(list(values.items())[::-1]):  # the first row on top
        numbers = [value_of(v) for v in cells.values()]
        trace = dict(type="bar", name=name, x=list(cells), y=[1 - gap] * len(cells), showlegend=False)
        trace |= dict(base=[row + gap / 2] * len(cells))
        trace |= dict(text=["" if v is None else f"{100 * v:.0f}" for v in numbers], hovertext=list(cells))
        trace |= dict(customdata=[pct(v) for v in cells.values()], hovertemplate=HOVER)
        trace |= dict(textposition="inside", insidetextanchor="middle", textangle=0)
        inks = ["#fff" if v is not None and v < DARK else "#000" for v in numbers]
        trace |= dict(insidetextfont=dict(color=inks, size=13))
        data.append(trace | dict(marker=dict(color=numbers, coloraxis="coloraxis", line=dict(width=0))))
    names = ["<br>".join(textwrap.wrap(name, 16)) for name in values]
    tall = max(name.count("<br>") for name in names) + 1
    layout = dict(title=dict(text=caption), barmode="stack", bargap=gap, showlegend=False)
    layout["height"] = max(400, AROUND + len(names) * (16 * tall + 8))
    layout["uniformtext"] = dict(mode="show", minsize=11)
    layout["xaxis"] = dict(
        title=dict(text=f"{x_title} (cells in %)"), type="category", dtick=1, showgrid=False
    )
    layout["yaxis"] = dict(
        title=dict(text=y_title),
        tickvals=[i + 0.5 for i in range(len(values))],
        ticktext=names[::-1],
        range=[0, len(values)],
        showgrid=False,
        zeroline=False,
    )
    layout["coloraxis"] = dict(colorscale="Cividis", cmin=0.0, cmax=1.0, colorbar=dict(tickformat=".0%"))
    return Figure(data, layout, f"{caption}. {alt or in_words(values)}.")


# Values of Cividis below it carry white text, others black: each has the higher contrast of the two.
DARK = 0.45


def choose(figures: Mapping[str, Figure], label: str, active: str | None = None) -> Figure:
    """One figure out of several, from a menu: entry -> figure. It needs no kernel and no server.

    ``active`` is the entry that is shown before the reader chooses, such as the one that a prediction asks for; without it,
    the first. Raises ValueError for no figure, an entry that is not there, or a figure that has a menu itself.
    """
    if not figures:
        raise ValueError("there is no figure to choose from")
    if nested := [str(name) for name, figure in figures.items() if "updatemenus" in figure.layout]:
        raise ValueError(f"{label}: {', '.join(nested)} has a menu itself: make one menu of both")
    if active is not None and active not in figures:
        raise ValueError(f"{label}: no entry {active!r} among {', '.join(map(str, figures))}")
    shown, data, steps = list(figures.values()), [], []
    start = 0 if active is None else list(figures).index(active)
    for axis in ("xaxis", "yaxis"):  # shares from none to all, so that entries can be compared
        if all(f.layout[axis].get("tickformat") == ".0%" for f in shown):
            for f in shown:
                f.layout[axis].setdefault("range", [0, 1])
    keys = dict.fromkeys(k for f in shown for k in f.layout)
    changed = [k for k in keys if any(f.layout.get(k) != shown[0].layout.get(k) for f in shown)]
    for i, (name, figure) in enumerate(figures.items()):
        data += [{**trace, "visible": i == start, "meta": str(name)} for trace in figure.data]
        visible = [j == i for j, f in enumerate(shown) for _ in f.data]
        change = {k: figure.layout.get(k) for k in changed} | dict(meta=dict(alt=figure.alt))
        steps.append(dict(label=str(name), method="update", args=[dict(visible=visible), change]))
    layout = copy.deepcopy(shown[start].layout)
    place = dict(x=0, xanchor="left", y=1.3, yanchor="top", buttons=steps, name=label)
    layout["updatemenus"] = [dict(active=start, **place)]
    alt = f"{shown[start].alt} Choose {label} to see others: {', '.join(map(str, figures))}."
    return Figure(data, layout, alt)


HOVER = "%{hovertext}: %{customdata}<extra>%{fullData.name}</extra>"


def _trace(i: int, name: str, mode: str, at: Sequence[str], said: Sequence[str]) -> dict[str, Any]:
    """The ``i``-th series: its look, and for each point where it is and what it says."""
    marker = dict(symbol=MARKERS[i % 8] + "-open" * (i > 7), size=9, color=PALETTE[i % 8])
    words = dict(hovertext=list(at), customdata=list(said), hovertemplate=HOVER)
    return dict(type="scatter", name=name, **({"mode": mode} if mode else {}), marker=marker, **words)


def _values(axis: str, cells: Sequence[Cell]) -> dict[str, Any]:
    """Numbers along an axis, and their intervals as Plotly's error bars, where they have some."""
    found: dict[str, Any] = {axis: [value_of(m) for m in cells]}
    if any(isinstance(m, Mapping) and m["low"] is not None for m in cells):
        ends = [(m["low"], m["value"], m["high"]) if isinstance(m, Mapping) else None for m in cells]
        known = [(e[1] - e[0], e[2] - e[1]) if e and e[0] is not None else (0, 0) for e in ends]
        minus, plus = ([k[side] for k in known] for side in (0, 1))
        bars = dict(type="data", symmetric=False, array=plus, arrayminus=minus, thickness=1.5, width=5)
        found[f"error_{axis}"] = bars
    return found


def _upright(x: float) -> dict[str, Any]:
    """A line from the bottom of the figure to its top."""
    return dict(type="line", x0=x, x1=x, yref="paper", y0=0, y1=1)
