"""Figures and tables, as plain dictionaries that Plotly draws: no plotly.py is needed to make one.

A number to be drawn is either a metric of a run record, ``{"value", "n", "low", "high"}``, whose 95 % interval becomes
an error bar, or a plain number. ``None`` stands for *not yet measured* and leaves a gap.
"""

from __future__ import annotations

import copy
import html
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunewise.report.numbers import pct, plain, points

Cell = Mapping[str, Any] | float | None  # a metric, a number, or what is not measured
Show = Callable[..., str]
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
    margin=dict(l=62, r=16, t=40, b=56),
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
        whole["margin"]["t"] = (
            84  # the title stands above the legend; the book's page makes it a text of its own
        )
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


def value_of(metric: Cell) -> float | None:
    """The number of a metric or of a number; None for what is not measured."""
    return metric["value"] if isinstance(metric, Mapping) else metric


def line_with_interval(
    series: Mapping[str, Sequence[tuple[float, Cell]]],
    x_title: str,
    y_title: str,
    alt: str,
    *,
    title: str = "",
    percent: bool = True,
    log_x: bool = False,
) -> Figure:
    """Lines over a numeric x. series: name -> [(x, metric or number or None), ...].

    percent: y is a share in [0, 1], shown in per cent. log_x: a logarithmic x axis, with x as tick labels.
    """
    data = []
    for i, (name, found) in enumerate(series.items()):
        found = sorted(found, key=lambda p: p[0])
        # on a logarithmic axis side by side, so that intervals do not cover each other
        aside = 1.025 ** (i - (len(series) - 1) / 2) if log_x else 1
        trace: dict[str, Any] = dict(type="scatter", mode="lines+markers", name=name)
        trace["x"] = [x * aside for x, _ in found]
        trace |= _values("y", [m for _, m in found], percent) | dict(text=[f"{x:,g}" for x, _ in found])
        trace["line"] = dict(color=PALETTE[i % 8], dash=DASHES[i % 8], width=2)
        trace["marker"] = dict(symbol=MARKERS[i % 8], size=9, color=PALETTE[i % 8])
        data.append(trace)
    layout = _axes(title, x_title, y_title, percent)
    if log_x:
        ticks = _ticks({x for found in series.values() for x, _ in found if x > 0})
        layout["xaxis"].update(type="log", tickvals=ticks, ticktext=[f"{x:,}" for x in ticks], tickangle=0)
        for trace in data:
            trace["hovertemplate"] = trace["hovertemplate"].replace("%{x}", "%{text}")
    layout["showlegend"] = len(series) > 1
    return Figure(data, layout, alt)


def _ticks(values: set[float]) -> list[float]:
    """The values of a logarithmic axis that can be labelled without one label covering the next."""
    kept: list[float] = []
    apart = (max(values) / min(values)) ** 0.06
    for x in sorted(values):
        if not kept or x >= kept[-1] * apart:
            kept.append(x)
    return kept


def bars_with_interval(
    bars: Mapping[str, Any],
    y_title: str,
    alt: str,
    *,
    x_title: str = "",
    title: str = "",
    percent: bool = True,
    horizontal: bool = False,
    line: tuple[float, str] | None = None,
) -> Figure:
    """Bars, one a category, or in groups. bars: category -> metric; or series -> {category -> metric}.

    line: a level to compare with, and its name, such as ``(1 / 3, "chance")``. horizontal: for long names.
    """
    grouped = all(isinstance(v, Mapping) and "value" not in v for v in bars.values())
    series = bars if grouped else {y_title: bars}
    category, number = ("y", "x") if horizontal else ("x", "y")
    data = [
        _bar(i, name, horizontal, list(cells)) | _values(number, list(cells.values()), percent)
        for i, (name, cells) in enumerate(series.items())
    ]
    layout = _axes(title, x_title, y_title, percent, horizontal) | dict(barmode="group", showlegend=grouped)
    if horizontal:
        layout["yaxis"]["autorange"] = "reversed"
    if line:
        level, name = line
        ends: dict[str, Any] = {
            f"{number}0": level,
            f"{number}1": level,
            f"{category}0": 0,
            f"{category}1": 1,
        }
        ends |= {f"{category}ref": "paper"}
        layout["shapes"] = [dict(type="line", line=dict(dash="dot", width=2, color="#7F7F7F"), **ends)]
        place = dict(x=level, y=1, yref="paper") if horizontal else dict(x=1, y=level, xref="paper")
        place |= {} if horizontal else dict(xanchor="right")
        layout["annotations"] = [dict(text=name, showarrow=False, yanchor="bottom", **place)]
    return Figure(data, layout, alt)


def _bar(i: int, name: str, horizontal: bool, categories: list[str]) -> dict[str, Any]:
    """What the ``i``-th series of bars or part of a stack looks like."""
    pattern = dict(shape=PATTERNS[i % 8], fgcolor="#ffffff", fillmode="overlay")
    way, category = ("h", "y") if horizontal else ("v", "x")
    trace = dict(type="bar", name=name, orientation=way, marker=dict(color=PALETTE[i % 8], pattern=pattern))
    return trace | {category: categories}


def stacked_bars(
    bars: Mapping[str, Mapping[str, float]],
    y_title: str,
    alt: str,
    *,
    title: str = "",
    unit: str = "",
    horizontal: bool = False,
) -> Figure:
    """What a whole is made of. bars: category -> {part -> number}; parts keep their colour and pattern across bars."""
    parts = list(dict.fromkeys(part for cells in bars.values() for part in cells))
    category, number = ("y", "x") if horizontal else ("x", "y")
    data = []
    for i, part in enumerate(parts):
        hover = f"%{{{category}}}: {part} %{{{number}:.4~g}} {unit}<extra></extra>"
        heights = {number: [cells.get(part, 0) for cells in bars.values()]}
        data.append(_bar(i, part, horizontal, list(bars)) | heights | dict(hovertemplate=hover))
    layout = _axes(title, "", y_title, False, horizontal)
    layout |= dict(barmode="stack", legend=dict(traceorder="normal"))
    if horizontal:
        layout["yaxis"]["autorange"] = "reversed"
    return Figure(data, layout, alt)


def differences(
    rows: Mapping[str, Mapping[str, Any]],
    x_title: str,
    alt: str,
    *,
    margins: Mapping[str, float] | None = None,
) -> Figure:
    """Paired differences against zero: a dot and its interval each, the margin as a band. rows: name -> metric, or series -> {name -> metric}.

    margins: name -> the smallest difference that matters. Labels stand above their rows, broken into lines, so that a telephone shows them.
    """
    several = rows if all("value" not in m for m in rows.values()) else {"difference": rows}
    names = list(dict.fromkeys(name for found in several.values() for name in found))
    place = {name: len(names) - i for i, name in enumerate(names)}
    shift = {name: 0.15 * ((len(several) - 1) / 2 - i) - 0.05 for i, name in enumerate(several)}
    data = []
    for i, (label, found) in enumerate(several.items()):
        trace: dict[str, Any] = dict(type="scatter", mode="markers", name=label)
        trace |= dict(
            y=[place[name] + shift[label] for name in found], x=[m["value"] for m in found.values()]
        )
        trace |= dict(error_x=_error(list(found.values())))
        trace |= dict(text=[f"{name}: {points(m)}" for name, m in found.items()])
        trace |= dict(hovertemplate="%{text}<extra></extra>")
        data.append(trace | dict(marker=dict(color=PALETTE[i], symbol=MARKERS[i], size=10)))
    band = dict(type="rect", fillcolor="#7F7F7F", opacity=0.18, line=dict(width=0))
    bands = [
        dict(x0=-m, x1=m, y0=place[n] - 0.28, y1=place[n] + 0.18, **band) for n, m in (margins or {}).items()
    ]
    zero = dict(type="line", x0=0, x1=0, yref="paper", y0=0, y1=1, line=dict(color="#7F7F7F", width=1))
    words = dict(x=0, xref="paper", xanchor="left", yanchor="bottom", align="left", showarrow=False)
    labels = {name: "<br>".join(textwrap.wrap(name, 48)) for name in names}
    layout = dict(
        height=120 + 92 * len(names),
        shapes=[*bands, zero],
        annotations=[dict(y=place[n] + 0.2, text=labels[n], font=dict(size=12), **words) for n in names],
        xaxis=dict(title=dict(text=x_title), tickformat="+.0%", zeroline=False),
        margin=dict(l=24),
        yaxis=dict(visible=False, range=[0.6, len(names) + 0.85]),
        showlegend=len(several) > 1,
    )
    return Figure(data, layout, alt)


def heatmap(
    values: Sequence[Sequence[Cell]],
    x: Sequence[str],
    y: Sequence[str],
    alt: str,
    *,
    x_title: str = "",
    y_title: str = "",
    title: str = "",
    percent: bool = True,
) -> Figure:
    """A grid of numbers, each printed in its cell: ``values[row][column]``, rows named ``y``, columns ``x``.

    Drawn as stacked bars of height one, which the small Plotly build of the site has.
    """
    numbers = [[value_of(v) for v in row] for row in values]
    known = [v for row in numbers for v in row if v is not None] or [0.0]
    low, high = (0.0, 1.0) if percent else (min(known), max(known) or 1.0)

    def cell(v: float | None) -> str:
        return "not yet measured" if v is None else (f"{v:.0%}" if percent else f"{v:.3g}")

    data = []
    for row, name in zip(reversed(numbers), reversed(list(y)), strict=True):  # the first row on top
        trace = dict(type="bar", name=str(name), x=[str(c) for c in x], y=[1] * len(x), showlegend=False)
        trace |= dict(text=["" if v is None else cell(v) for v in row], customdata=[cell(v) for v in row])
        trace |= dict(textposition="inside", insidetextanchor="middle", textangle=0)
        trace |= dict(hovertemplate=f"{y_title} {name}, {x_title} %{{x}}: %{{customdata}}<extra></extra>")
        data.append(trace | dict(marker=dict(color=row, coloraxis="coloraxis", line=dict(width=0))))
    layout = _axes(title, x_title, y_title, False) | dict(barmode="stack", bargap=0, showlegend=False)
    layout["xaxis"]["type"] = "category"
    layout["yaxis"] = dict(
        title=dict(text=y_title),
        tickvals=[i + 0.5 for i in range(len(y))],
        ticktext=[str(n) for n in reversed(list(y))],
        range=[0, len(y)],
        showgrid=False,
        zeroline=False,
    )
    bar = dict(tickformat=".0%" if percent else "")
    layout["coloraxis"] = dict(colorscale="Cividis", cmin=low, cmax=high, colorbar=bar)
    return Figure(data, layout, alt)


def with_slider(figures: Mapping[str, Figure], label: str, alt: str = "") -> Figure:
    """One figure out of several, chosen with a slider: position name -> figure. It needs no kernel and no server."""
    return _switch(figures, label, alt, "sliders")


def with_menu(figures: Mapping[str, Figure], label: str, alt: str = "") -> Figure:
    """One figure out of several, chosen from a menu: entry -> figure. It needs no kernel and no server."""
    return _switch(figures, label, alt, "updatemenus")


def _switch(figures: Mapping[str, Figure], label: str, alt: str, kind: str) -> Figure:
    if not figures:
        raise ValueError("there is no figure to choose from")
    names, shown = list(figures), list(figures.values())
    data, steps = [], []
    changed = [k for k in ("title", "shapes", "annotations") if any(k in f.layout for f in shown)]
    for i, (name, figure) in enumerate(figures.items()):
        data += [{**trace, "visible": i == 0} for trace in figure.data]
        visible = [j == i for j, f in enumerate(shown) for _ in f.data]
        change = {k: figure.layout.get(k) for k in changed} | dict(meta=dict(alt=figure.alt))
        steps.append(dict(label=str(name), method="update", args=[dict(visible=visible), change]))
    layout = copy.deepcopy(shown[0].layout)
    if kind == "sliders":
        layout[kind] = [dict(active=0, currentvalue=dict(prefix=f"{label}: "), pad=dict(t=50), steps=steps)]
    else:
        place = dict(x=0, xanchor="left", y=1.3, yanchor="top")
        layout[kind] = [dict(active=0, buttons=steps, name=label, **place)]
    alt = alt or f"{shown[0].alt} Choose {label} to see others: {', '.join(map(str, names))}."
    return Figure(data, layout, alt)


class Html:
    """A piece of HTML that a notebook and the book show, with ``text`` for where there is no HTML."""

    def __init__(self, source: str, text: str) -> None:
        self.html, self.text = source, text

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def table(
    rows: Sequence[Mapping[str, Any]],
    caption: str,
    columns: Mapping[str, str] | None = None,
    *,
    show: Mapping[str, Show] | None = None,
) -> Html:
    """A table from rows that are dictionaries. columns: key -> heading, in order; else the keys of the first row.

    Metrics are printed with interval and n, by ``pct`` unless ``show`` names another way for their key (``points``,
    ``plain``). An n that all of a column share stands in its heading. Numbers are right-aligned; the first column names its row.
    Wide tables scroll inside themselves. Raises ValueError without rows or caption.
    """
    if not rows or not caption.strip():
        raise ValueError("a table needs at least one row and a caption")
    heads = dict(columns) if columns else {k: str(k) for k in rows[0]}
    body = [[row.get(k) for k in heads] for row in rows]
    return table_from_lists(list(heads.values()), body, caption, [(show or {}).get(k) for k in heads])


def table_from_lists(
    header: Sequence[str], rows: Sequence[Sequence[Any]], caption: str, show: Sequence[Show | None] = ()
) -> Html:
    """As :func:`table`, from a list of headings and rows of cells."""
    header, texts = list(header), [["" for _ in row] for row in rows]
    for i, way in enumerate([*show, *[None] * (len(header) - len(show))]):
        counts = {row[i]["n"] for row in rows if isinstance(row[i], Mapping)}
        shared = len(counts) == 1 and len(rows) > 1
        if shared:
            header[i] += f" (n\u00a0=\u00a0{counts.pop():,})"
        for text, row in zip(texts, rows, strict=True):
            text[i] = _cell(row[i], way, n=not shared)
    kinds = (int, float, Mapping, type(None))
    numeric = [i > 0 and all(isinstance(row[i], kinds) for row in rows) for i in range(len(header))]
    heads = [
        f'<th scope="col"{_num(n)}>{html.escape(h)}</th>' if h else "<td></td>"
        for h, n in zip(header, numeric, strict=True)
    ]
    out = [
        f'<div class="tw-table" role="group" tabindex="0" aria-label="{html.escape(caption)}" style="overflow-x:auto">',
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{''.join(heads)}</tr></thead><tbody>",
    ]
    for row in texts:
        cells = [f'<th scope="row">{html.escape(row[0])}</th>']
        cells += [f"<td{_num(numeric[i])}>{html.escape(c)}</td>" for i, c in enumerate(row) if i]
        out.append(f"<tr>{''.join(cells)}</tr>")
    out.append("</tbody></table></div>")
    grid = [header, *texts]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in grid]
    return Html("".join(out), "\n".join([caption, *lines]))


def _num(numeric: bool) -> str:
    return ' class="tw-num" style="text-align:right"' if numeric else ""


def _cell(value: Any, way: Show | None = None, n: bool = True) -> str:
    if value is None:
        return "not yet measured"
    if isinstance(value, Mapping) and "value" in value:
        return (way or pct)(value, n=n)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _values(axis: str, metrics: Sequence[Cell], percent: bool) -> dict[str, Any]:
    """The trace keys of a list of metrics: numbers, error bars, hover texts."""
    show, other = pct if percent else plain, "x" if axis == "y" else "y"
    found = {
        axis: [value_of(m) for m in metrics],
        "customdata": ["not yet measured" if m is None else show(m) for m in metrics],
        "hovertemplate": f"%{{{other}}}: %{{customdata}}<extra>%{{fullData.name}}</extra>",
    }
    if any(isinstance(m, Mapping) for m in metrics):
        found[f"error_{axis}"] = _error(metrics) | dict(thickness=1.5, width=5)
    return found


def _error(metrics: Sequence[Cell]) -> dict[str, Any]:
    """The intervals of a list of metrics as Plotly's error bars; none for a plain number."""
    up = [m["high"] - m["value"] if isinstance(m, Mapping) else 0 for m in metrics]
    down = [m["value"] - m["low"] if isinstance(m, Mapping) else 0 for m in metrics]
    return dict(type="data", symmetric=False, array=up, arrayminus=down)


def _axes(title: str, x_title: str, y_title: str, percent: bool, horizontal: bool = False) -> dict[str, Any]:
    number: dict[str, Any] = dict(title=dict(text=y_title), rangemode="tozero")
    if percent:
        number |= dict(tickformat=".0%")
    category: dict[str, Any] = dict(title=dict(text=x_title))
    layout = dict(xaxis=number, yaxis=category) if horizontal else dict(xaxis=category, yaxis=number)
    return layout | (dict(title=dict(text=title)) if title else {})
