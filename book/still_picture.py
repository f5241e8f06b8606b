"""A figure as a still picture (SVG): what stands on the page before Plotly draws, without JavaScript, and in print.

It draws from the same dictionary as Plotly does, by matplotlib, which only the build of the book needs.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunewise.report.figures import DARK, DASHES, MARKERS, PALETTE, Figure

_LINES = dict(zip(DASHES, ("-", "--", ":", "-.", (0, (8, 4)), (0, (8, 3, 1, 3))), strict=False))
_MARKS = dict(zip(MARKERS, "osD^X*Pv", strict=True))
_HATCH = {"": "", "/": "//", ".": "..", "\\": "\\\\", "x": "xx", "-": "--", "+": "++", "|": "||"}
_INK, _GROUND = "#010203", "#010204"  # stand for the page's colours of text and ground, whatever its theme


def svg(figure: Figure) -> str:
    """``figure`` as an inline SVG in the page's own text colour. Raises ValueError for a trace that it cannot draw."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    layout = figure.layout
    inked = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
    )
    style: dict[Any, Any] = inked | {
        "svg.fonttype": "none",
        "svg.hashsalt": "tunewise",
        "hatch.color": "white",
    }
    style |= {"font.family": "sans-serif", "font.size": 10, "text.parse_math": False}
    style |= {"axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(style):
        traces = [t for t in figure.data if t.get("visible", True) is True]
        rows = -(-len(traces) // _columns(traces)) if layout.get("showlegend", len(traces) > 1) else 0
        canvas = Canvas(figsize=(7.2, layout["height"] / 100 + 0.2 * max(0, rows - 1)), layout="constrained")
        FigureCanvasSVG(canvas)
        axes = canvas.add_subplot()
        _bars(axes, [t for t in traces if t["type"] == "bar"], layout)
        floor = None  # of a stack of areas, as high as what is drawn already
        for i, trace in enumerate(traces):
            if trace.get("stackgroup"):
                floor = _area(axes, trace, i, floor)
            elif trace["type"] == "scatter":
                _line(axes, trace, i)
            elif trace["type"] != "bar":
                raise ValueError(
                    f"the site's small Plotly and its saved pictures have no trace {trace['type']!r}; use scatter or bar"
                )
        _dress(axes, layout, traces)
        out = io.StringIO()
        canvas.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    source = out.getvalue()
    source = re.sub(r"<metadata>.*?</metadata>", "", source[source.index("<svg") :], flags=re.DOTALL)
    head = r'<svg class="tw-picture" viewBox="\1" aria-hidden="true" focusable="false">'
    source = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', head, source, count=1)
    mark = hashlib.sha256((figure.alt + str(figure.data)[:2000]).encode()).hexdigest()[6:12]
    source = re.sub(r'\bid="([^"]+)"', rf'id="p{mark}-\1"', source)  # ids must be unique on the page
    source = re.sub(r'(href="#|url\(#)', rf"\g<1>p{mark}-", source)
    source = source.replace(_INK, "currentColor").replace(_GROUND, "var(--tw-ground, #fff)")
    source = source.replace("xlink:href", "href")
    return re.sub(r"\s*\n\s*", " ", source).strip()


def _colour(trace: Mapping[str, Any], i: int) -> str:
    colour = (trace.get("line") or {}).get("color") or (trace.get("marker") or {}).get("color")
    return colour if isinstance(colour, str) else PALETTE[i % len(PALETTE)]


def _spread(trace: Mapping[str, Any], axis: str) -> list[list[float]] | None:
    error = trace.get(f"error_{axis}")
    return [error.get("arrayminus") or error["array"], error["array"]] if error else None


def _known(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if v is None else v for v in values]


def _line(axes: Any, trace: Mapping[str, Any], i: int) -> None:
    names = [label.get_text() for label in axes.get_xticklabels()]  # of the bars, which stand at 0, 1, 2, ...
    across = [names.index(x) if isinstance(x, str) and x in names else x for x in trace["x"]]
    mode, marker = trace.get("mode", "lines"), (trace.get("marker") or {}).get("symbol", "circle")
    dash = (trace.get("line") or {}).get("dash", DASHES[0])
    axes.errorbar(
        across,
        _known(trace["y"]),
        **dict(yerr=_spread(trace, "y"), xerr=_spread(trace, "x"), capsize=3, elinewidth=1.2, linewidth=2),
        color=_colour(trace, i),
        linestyle=_LINES.get(dash, "-") if "lines" in mode else "none",
        label=trace.get("name"),
        marker=_MARKS.get(marker, "o") if "markers" in mode else None,
    )


def _area(axes: Any, trace: Mapping[str, Any], i: int, floor: list[float] | None) -> list[float]:
    """One layer of a stack of areas. Returns the height of the stack so far."""
    low = floor or [0.0] * len(trace["y"])
    high = [a + b for a, b in zip(low, trace["y"], strict=True)]
    look = dict(color=trace.get("fillcolor") or _colour(trace, i), label=trace.get("name"))
    axes.fill_between(trace["x"], low, high, linewidth=0, step="post", **look)
    return high


def _bars(axes: Any, traces: list[dict[str, Any]], layout: Mapping[str, Any]) -> None:
    if not traces:
        return
    import matplotlib

    flat = traces[0].get("orientation") == "h"
    category, number = ("y", "x") if flat else ("x", "y")
    names = list(dict.fromkeys(str(c) for t in traces for c in t[category]))
    stacked = layout.get("barmode") == "stack"
    width = 1 - layout.get("bargap", 0.25) if stacked else 0.8 / len(traces)
    base = dict.fromkeys(names, 0.0)
    scale = layout.get("coloraxis")
    draw, start, error = (axes.barh, "left", "xerr") if flat else (axes.bar, "bottom", "yerr")
    plain = dict(error_kw={"capsize": 3, "ecolor": _INK}, edgecolor="none", linewidth=0)

    def shade(value: float) -> float:
        return float((value - scale["cmin"]) / ((scale["cmax"] - scale["cmin"]) or 1)) if scale else 1.0

    for i, trace in enumerate(traces):
        marker = trace.get("marker") or {}
        aside = 0 if stacked else (i - (len(traces) - 1) / 2) * width
        where = [names.index(str(c)) + aside for c in trace[category]]
        heights, starts = _known(trace[number]), [base[str(c)] if stacked else 0 for c in trace[category]]
        starts = trace.get("base", starts)
        shaded = marker["color"] if scale and isinstance(marker.get("color"), list) else None
        colour: Any = _colour(trace, i)
        if shaded:
            cividis = matplotlib.colormaps["cividis"]
            colour = [(0, 0, 0, 0) if v is None else cividis(shade(v)) for v in shaded]
        hatch = _HATCH.get((marker.get("pattern") or {}).get("shape", ""), "")
        options = {"color": colour, "label": trace.get("name"), "hatch": hatch, error: _spread(trace, number)}
        draw(where, heights, width, **{start: starts}, **options, **plain)
        for j, text in enumerate(trace.get("text") or []):
            dark = shaded and shaded[j] is not None and shade(shaded[j]) < DARK
            middle = dict(ha="center", va="center", color="white" if dark else "black")
            axes.text(where[j], starts[j] + heights[j] / 2, text, **middle)
        for c, h in zip(trace[category], heights, strict=True):
            base[str(c)] += 0 if h != h else h
    (axes.set_yticks if flat else axes.set_xticks)(range(len(names)), names)


def _dress(axes: Any, layout: Mapping[str, Any], traces: list[dict[str, Any]]) -> None:
    from matplotlib.ticker import PercentFormatter

    for which, lowest in (("x", "left"), ("y", "bottom")):
        axis, drawn = layout.get(f"{which}axis") or {}, getattr(axes, f"{which}axis")
        limit = getattr(axes, f"set_{which}lim")
        drawn.set_label_text((axis.get("title") or {}).get("text", ""))
        if axis.get("type") == "log":
            getattr(axes, f"set_{which}scale")("log")
        else:
            if axis.get("rangemode") == "tozero":
                limit(**{lowest: 0})
            if axis.get("range"):
                limit(*axis["range"])
        if axis.get("tickvals"):
            names = axis.get("ticktext") or axis["tickvals"]
            drawn.set_ticks(axis["tickvals"], [str(name).replace("<br>", "\n") for name in names])
            drawn.minorticks_off()
        elif "%" in str(axis.get("tickformat", "")):
            drawn.set_major_formatter(PercentFormatter(1, decimals=0))
        if axis.get("autorange") == "reversed":
            getattr(axes, f"invert_{which}axis")()
    for shape in layout.get("shapes") or []:
        if shape.get("type") == "line":
            across = shape.get("xref") == "paper"
            level = axes.axhline if across else axes.axvline
            level(shape["y0"] if across else shape["x0"], color="#7F7F7F", linestyle=":", linewidth=1.5)
        elif shape.get("type") == "rect":
            look = dict(color=shape.get("fillcolor", "#7F7F7F"), alpha=shape.get("opacity", 0.2), linewidth=0)
            axes.fill_between([shape["x0"], shape["x1"]], shape["y0"], shape["y1"], **look)
    for note in layout.get("annotations") or []:
        if note.get("xref") == "paper" and "yref" not in note:  # a label above its row
            where = dict(transform=axes.get_yaxis_transform(), ha="left", va=note.get("yanchor", "bottom"))
            where |= dict(bbox=dict(facecolor=_GROUND, edgecolor="none", pad=1))
            axes.text(note["x"], note["y"], note["text"].replace("<br>", "\n"), fontsize=9, **where)
    for part in (axes.yaxis, axes.spines["left"]):
        part.set_visible((layout.get("yaxis") or {}).get("visible", True))
    if layout.get("showlegend", len(traces) > 1):
        # of the whole picture: beside the axes' long names, a legend as wide as the picture would be cut
        axes.figure.legend(frameon=False, ncols=_columns(traces), loc="outside upper left")


def _columns(traces: list[dict[str, Any]]) -> int:
    """As many columns of the legend as the figure is wide: one that is wider leaves the axes no room."""
    longest = max(len(str(t.get("name") or "")) for t in traces)
    return max(1, min(4, len(traces), 90 // (longest + 8)))
