"""Figures and tables, as plain dictionaries that Plotly draws: no plotly.py is needed to make one.

A number to be drawn is either a metric of a run record, ``{"value", "n", "low", "high"}``, whose 95 % interval becomes
an error bar, or a plain number. ``None`` stands for *not yet measured* and leaves a gap.
"""

from __future__ import annotations

import copy
import html
import sys
from collections.abc import Callable, Mapping, Sequence

from tunewise.report.numbers import pct, plain, points

PLOTLY = "application/vnd.plotly.v1+json"

# Okabe and Ito's colours for all kinds of colour vision, without black and yellow, which vanish on one of the two
# backgrounds. Series also differ in marker and dash, and parts of a bar in pattern, so that colour never carries alone.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D46", "#7F7F7F")
MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "triangle-down")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")
PATTERNS = ("", "/", ".", "\\", "x", "-", "+", "|")

# What every figure shares, also those that a calculator makes in the browser. The page sets colours of text and
# ground by the reader's theme.
STYLE = {
    "colorway": list(PALETTE),
    "margin": {"l": 62, "r": 16, "t": 40, "b": 56},
    "height": 400,
    "hovermode": "closest",
    "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0},
    "font": {"size": 14},
    "xaxis": {"automargin": True},
    "yaxis": {"automargin": True},
}


def styled(layout: Mapping) -> dict:
    """``layout`` over :data:`STYLE`, dictionary by dictionary."""

    def over(low, high):
        if isinstance(low, Mapping) and isinstance(high, Mapping):
            return {**low, **{k: over(low[k], v) if k in low else v for k, v in high.items()}}
        return high

    whole = over(copy.deepcopy(STYLE), copy.deepcopy(dict(layout)))
    if (whole.get("title") or {}).get("text") and "t" not in (layout.get("margin") or {}):
        whole["margin"]["t"] = (
            84  # the title above the legend; the book's page sets the title as text of its own
        )
    return whole


class Figure:
    """A Plotly figure: ``data`` (list of traces), ``layout``, and ``alt``, what it shows in a sentence.

    ``alt`` is what a screen reader says and what a terminal prints. Raises ValueError without one.
    """

    def __init__(self, data: Sequence[Mapping], layout: Mapping, alt: str):
        if not alt.strip():
            raise ValueError(
                "a figure needs alt: one sentence that says what it shows, for those who cannot see it"
            )
        self.data = [dict(trace) for trace in data]
        self.layout = styled(layout)
        self.alt = " ".join(alt.split())

    def to_dict(self) -> dict:
        """``{"data", "layout"}`` as Plotly reads it; the alternative text is in ``layout["meta"]["alt"]``."""
        return {"data": self.data, "layout": {**self.layout, "meta": {"alt": self.alt}}}

    @classmethod
    def from_dict(cls, figure: Mapping) -> Figure:
        """A figure from ``{"data", "layout", "alt"}`` (or with the text in ``layout["meta"]["alt"]``)."""
        layout = dict(figure.get("layout") or {})
        meta = layout.pop("meta", None) or {}
        return cls(figure["data"], layout, figure.get("alt") or meta.get("alt", ""))

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        bundle = {PLOTLY: self.to_dict(), "text/plain": self.alt}
        if "google.colab" in sys.modules:  # Colab draws no Plotly MIME type; it has plotly.py, and a network
            from plotly.io import to_html

            bundle["text/html"] = to_html(
                self.to_dict(), include_plotlyjs="cdn", full_html=False, validate=False
            )
            del bundle[PLOTLY]
        return bundle

    def __repr__(self) -> str:
        return f"Figure: {self.alt}"


def value_of(metric) -> float | None:
    """The number of a metric or of a number; None for what is not measured."""
    return metric["value"] if isinstance(metric, Mapping) else metric


def line_with_interval(
    series: Mapping[str, Sequence[tuple]],
    x_title: str,
    y_title: str,
    alt: str,
    *,
    title: str = "",
    percent: bool = True,
    log_x: bool = False,
    log_y: bool = False,
) -> Figure:
    """Lines over a numeric x. series: name -> [(x, metric or number or None), ...].

    percent: y is a share in [0, 1], shown in per cent. log_x: a logarithmic x axis, with x as tick labels.
    """
    data = []
    for i, (name, found) in enumerate(series.items()):
        found = sorted(found, key=lambda p: p[0])
        aside = (
            1.025 ** (i - (len(series) - 1) / 2) if log_x else 1
        )  # side by side, so that intervals do not cover each other
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": [x * aside for x, _ in found],
                **_values("y", [m for _, m in found], percent),
                "text": [f"{x:,g}" for x, _ in found],
                "line": {"color": PALETTE[i % 8], "dash": DASHES[i % 8], "width": 2},
                "marker": {"symbol": MARKERS[i % 8], "size": 9, "color": PALETTE[i % 8]},
            }
        )
    layout = _axes(title, x_title, y_title, percent)
    if log_x:
        ticks = _ticks({x for found in series.values() for x, _ in found if x > 0})
        layout["xaxis"].update(type="log", tickvals=ticks, ticktext=[f"{x:,}" for x in ticks], tickangle=0)
        for trace in data:
            trace["hovertemplate"] = trace["hovertemplate"].replace("%{x}", "%{text}")
    if log_y:
        layout["yaxis"].update(type="log")
        layout["yaxis"].pop("rangemode", None)
    layout["showlegend"] = len(series) > 1
    return Figure(data, layout, alt)


def _ticks(values: set) -> list:
    """The values of a logarithmic axis that can be labelled without one label covering the next."""
    kept: list = []
    apart = (max(values) / min(values)) ** 0.06
    for x in sorted(values):
        if not kept or x >= kept[-1] * apart:
            kept.append(x)
    return kept


def bars_with_interval(
    bars: Mapping[str, object],
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
        {
            "type": "bar",
            "name": name,
            "orientation": "h" if horizontal else "v",
            category: list(cells),
            **_values(number, list(cells.values()), percent),
            "marker": {
                "color": PALETTE[i % 8],
                "pattern": {"shape": PATTERNS[i % 8], "fgcolor": "#ffffff", "fillmode": "overlay"},
            },
        }
        for i, (name, cells) in enumerate(series.items())
    ]
    layout = {
        **_axes(title, x_title, y_title, percent, horizontal),
        "barmode": "group",
        "showlegend": grouped,
    }
    if horizontal:
        layout["yaxis"]["autorange"] = "reversed"
    if line:
        level, name = line
        ends = {f"{number}0": level, f"{number}1": level, f"{category}0": 0, f"{category}1": 1}
        layout["shapes"] = [
            {
                "type": "line",
                f"{category}ref": "paper",
                **ends,
                "line": {"dash": "dot", "width": 2, "color": "#7F7F7F"},
            }
        ]
        place = (
            {"x": level, "y": 1, "yref": "paper", "yanchor": "bottom"}
            if horizontal
            else {"x": 1, "y": level, "xref": "paper", "xanchor": "right", "yanchor": "bottom"}
        )
        layout["annotations"] = [{"text": name, "showarrow": False, **place}]
    return Figure(data, layout, alt)


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
    data = [
        {
            "type": "bar",
            "name": part,
            "orientation": "h" if horizontal else "v",
            category: list(bars),
            number: [bars[b].get(part, 0) for b in bars],
            "hovertemplate": f"%{{{category}}}: {part} %{{{number}:.4~g}} {unit}<extra></extra>",
            "marker": {
                "color": PALETTE[i % 8],
                "pattern": {"shape": PATTERNS[i % 8], "fgcolor": "#ffffff", "fillmode": "overlay"},
            },
        }
        for i, part in enumerate(parts)
    ]
    layout = {
        **_axes(title, "", y_title, False, horizontal),
        "barmode": "stack",
        "legend": {"traceorder": "normal"},
    }
    if horizontal:
        layout["yaxis"]["autorange"] = "reversed"
    return Figure(data, layout, alt)


def differences(
    rows: Mapping[str, Mapping],
    x_title: str,
    alt: str,
    *,
    margins: Mapping[str, float] | None = None,
    series: str = "difference",
) -> Figure:
    """Paired differences against zero: a dot and its interval each, the margin as a band. rows: name -> metric, or series -> {name -> metric}.

    margins: name -> the smallest difference that matters. Labels stand above their rows, so that a telephone can show them.
    """
    several = rows if all("value" not in m for m in rows.values()) else {series: rows}
    names = list(dict.fromkeys(name for found in several.values() for name in found))
    place = {name: len(names) - i for i, name in enumerate(names)}
    shift = {name: 0.18 * ((len(several) - 1) / 2 - i) for i, name in enumerate(several)}
    data: list[dict] = []
    for i, (label, found) in enumerate(several.items()):
        metrics = list(found.values())
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": label,
                "y": [place[name] + shift[label] for name in found],
                "x": [m["value"] for m in metrics],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [m["high"] - m["value"] for m in metrics],
                    "arrayminus": [m["value"] - m["low"] for m in metrics],
                },
                "text": [f"{name}: {points(m)}" for name, m in found.items()],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"color": PALETTE[i], "symbol": MARKERS[i], "size": 10},
            }
        )
    bands = [
        {
            "type": "rect",
            "x0": -m,
            "x1": m,
            "y0": place[n] - 0.4,
            "y1": place[n] + 0.4,
            "fillcolor": "#7F7F7F",
            "opacity": 0.18,
            "line": {"width": 0},
        }
        for n, m in (margins or {}).items()
    ]
    zero = {
        "type": "line",
        "x0": 0,
        "x1": 0,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "line": {"color": "#7F7F7F", "width": 1},
    }
    labels = [
        {
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": place[n] + 0.42,
            "yanchor": "middle",
            "text": n,
            "showarrow": False,
            "font": {"size": 12},
        }
        for n in names
    ]
    layout = {
        "height": 110 + 74 * len(names),
        "shapes": [*bands, zero],
        "annotations": labels,
        "xaxis": {"title": {"text": x_title}, "tickformat": "+.0%", "zeroline": False},
        "yaxis": {"visible": False, "range": [0.4, len(names) + 0.7]},
        "showlegend": len(several) > 1,
    }
    return Figure(data, styled(layout), alt)


def heatmap(
    values: Sequence[Sequence],
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

    def cell(v) -> str:
        return "not yet measured" if v is None else (f"{v:.0%}" if percent else f"{v:.3g}")

    data = []
    for row, name in zip(reversed(numbers), reversed(list(y)), strict=True):  # the first row on top
        data.append(
            {
                "type": "bar",
                "name": str(name),
                "x": [str(c) for c in x],
                "y": [1] * len(x),
                "showlegend": False,
                "text": ["" if v is None else cell(v) for v in row],
                "textposition": "inside",
                "insidetextanchor": "middle",
                "textangle": 0,
                "customdata": [cell(v) for v in row],
                "hovertemplate": f"{y_title} {name}, {x_title} %{{x}}: %{{customdata}}<extra></extra>",
                "marker": {"color": row, "coloraxis": "coloraxis", "line": {"width": 0}},
            }
        )
    ticks = [i + 0.5 for i in range(len(y))]
    layout = _axes(title, x_title, y_title, False) | {"barmode": "stack", "bargap": 0, "showlegend": False}
    layout["xaxis"]["type"] = "category"
    layout["yaxis"] = {
        "title": {"text": y_title},
        "tickvals": ticks,
        "ticktext": [str(n) for n in reversed(list(y))],
        "range": [0, len(y)],
        "showgrid": False,
        "zeroline": False,
    }
    layout["coloraxis"] = {
        "colorscale": "Cividis",
        "cmin": low,
        "cmax": high,
        "colorbar": {"tickformat": ".0%" if percent else ""},
    }
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
    for i, figure in enumerate(shown):
        data += [{**trace, "visible": i == 0} for trace in figure.data]
    for i, (name, figure) in enumerate(figures.items()):
        visible = [j == i for j, f in enumerate(shown) for _ in f.data]
        change = {
            k: figure.layout.get(k)
            for k in ("title", "shapes", "annotations")
            if any(k in f.layout for f in shown)
        }
        change["meta"] = {"alt": figure.alt}
        steps.append({"label": str(name), "method": "update", "args": [{"visible": visible}, change]})
    layout = copy.deepcopy(shown[0].layout)
    if kind == "sliders":
        layout["sliders"] = [
            {"active": 0, "currentvalue": {"prefix": f"{label}: "}, "pad": {"t": 50}, "steps": steps}
        ]
    else:
        layout["updatemenus"] = [
            {
                "active": 0,
                "buttons": steps,
                "name": label,
                "x": 0,
                "xanchor": "left",
                "y": 1.3,
                "yanchor": "top",
            }
        ]
    return Figure(
        data, layout, alt or f"{shown[0].alt} Choose {label} to see others: {', '.join(map(str, names))}."
    )


class Html:
    """A piece of HTML that a notebook and the book show, with ``text`` for where there is no HTML."""

    def __init__(self, source: str, text: str):
        self.html, self.text = source, text

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def table(
    rows: Sequence[Mapping],
    caption: str,
    columns: Mapping[str, str] | None = None,
    *,
    show: Mapping[str, Callable] | None = None,
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
    header: Sequence[str], rows: Sequence[Sequence], caption: str, show: Sequence[Callable | None] = ()
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
    numeric = [
        all(isinstance(row[i], (int, float, Mapping)) or row[i] is None for row in rows) and i > 0
        for i in range(len(header))
    ]
    out = [
        f'<div class="tw-table" role="group" tabindex="0" aria-label="{html.escape(caption)}" style="overflow-x:auto">',
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>",
        *(
            f'<th scope="col"{_num(numeric[i])}>{html.escape(h)}</th>' if h else "<td></td>"
            for i, h in enumerate(header)
        ),
        "</tr></thead><tbody>",
    ]
    for row in texts:
        cells = [f'<th scope="row">{html.escape(row[0])}</th>']
        cells += [f"<td{_num(numeric[i])}>{html.escape(c)}</td>" for i, c in enumerate(row) if i]
        out.append(f"<tr>{''.join(cells)}</tr>")
    out.append("</tbody></table></div>")
    widths = [max(len(str(c)) for c in column) for column in zip(header, *texts, strict=True)]
    lines = [
        "  ".join(str(c).ljust(w) for c, w in zip(r, widths, strict=True)).rstrip()
        for r in [list(header), *texts]
    ]
    return Html("".join(out), "\n".join([caption, *lines]))


def _num(numeric: bool) -> str:
    return ' class="tw-num" style="text-align:right"' if numeric else ""


def _cell(value, way: Callable | None = None, n: bool = True) -> str:
    if value is None:
        return "not yet measured"
    if isinstance(value, Mapping) and "value" in value:
        return (way or pct)(value, n=n)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _values(axis: str, metrics: Sequence, percent: bool) -> dict:
    """The trace keys of a list of metrics: numbers, error bars, hover texts."""
    show = pct if percent else plain
    numbers = [value_of(m) for m in metrics]
    found = {
        axis: numbers,
        "customdata": ["not yet measured" if m is None else show(m) for m in metrics],
        "hovertemplate": f"%{{{'x' if axis == 'y' else 'y'}}}: %{{customdata}}<extra>%{{fullData.name}}</extra>",
    }
    if any(isinstance(m, Mapping) for m in metrics):
        up = [m["high"] - m["value"] if isinstance(m, Mapping) else 0 for m in metrics]
        down = [m["value"] - m["low"] if isinstance(m, Mapping) else 0 for m in metrics]
        found[f"error_{axis}"] = {
            "type": "data",
            "symmetric": False,
            "array": up,
            "arrayminus": down,
            "thickness": 1.5,
            "width": 5,
        }
    return found


def _axes(title: str, x_title: str, y_title: str, percent: bool, horizontal: bool = False) -> dict:
    number = {"title": {"text": y_title}, "rangemode": "tozero"}
    if percent:
        number |= {"tickformat": ".0%"}
    category = {"title": {"text": x_title}}
    layout = {"xaxis": number, "yaxis": category} if horizontal else {"xaxis": category, "yaxis": number}
    if title:
        layout["title"] = {"text": title}
    return layout
