"""A figure as a still picture (SVG): what stands on the page before Plotly draws, without JavaScript, and in print.

It draws from the same dictionary as Plotly does, by matplotlib, which only the build of the book needs.
"""

from __future__ import annotations

import io
import re

from tunewise.report.figures import DASHES, PALETTE, Figure

_LINES = {
    "solid": "-",
    "dash": "--",
    "dot": ":",
    "dashdot": "-.",
    "longdash": (0, (8, 4)),
    "longdashdot": (0, (8, 3, 1, 3)),
}
_MARKS = dict(
    zip(
        ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "triangle-down"),
        "osD^X*Pv",
        strict=True,
    )
)
_HATCH = {"": "", "/": "//", ".": "..", "\\": "\\\\", "x": "xx", "-": "--", "+": "++", "|": "||"}
_INK = "#010203"  # stands for the page's text colour, whatever its theme


def svg(figure: Figure) -> str:
    """``figure`` as an inline SVG in the page's own text colour. Raises ValueError for a trace that it cannot draw."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    layout = figure.layout
    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "tunewise",
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "hatch.color": "white",
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,
    }
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
    source = source[source.index("<svg") :]
    source = re.sub(r"<metadata>.*?</metadata>", "", source, flags=re.DOTALL)
    source = re.sub(
        r'<svg [^>]*?viewBox="([^"]+)"[^>]*>',
        r'<svg class="tw-picture" viewBox="\1" aria-hidden="true" focusable="false">',
        source,
        count=1,
    )
    mark = format(
        abs(hash_text(figure.alt + str(figure.data)[:2000])) % 16**6, "06x"
    )  # ids must be unique on the page
    source = re.sub(r'\bid="([^"]+)"', rf'id="p{mark}-\1"', source)
    source = re.sub(r'(href="#|url\(#)', rf"\g<1>p{mark}-", source)
    return (
        re.sub(r"\s*\n\s*", " ", source.replace(_INK, "currentColor")).replace("xlink:href", "href").strip()
    )


def hash_text(text: str) -> int:
    import hashlib

    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16)


def _colour(trace: dict, i: int):
    colour = (trace.get("line") or {}).get("color") or (trace.get("marker") or {}).get("color")
    return colour if isinstance(colour, str) else PALETTE[i % len(PALETTE)]


def _spread(trace: dict, axis: str):
    error = trace.get(f"error_{axis}")
    if not error:
        return None
    up = error["array"]
    return [error.get("arrayminus") or up, up]


def _known(values) -> list:
    return [float("nan") if v is None else v for v in values]


def _line(axes, trace: dict, i: int) -> None:
    mode = trace.get("mode", "lines")
    dash = (trace.get("line") or {}).get("dash", DASHES[0])
    axes.errorbar(
        trace["x"],
        _known(trace["y"]),
        yerr=_spread(trace, "y"),
        xerr=_spread(trace, "x"),
        color=_colour(trace, i),
        capsize=3,
        elinewidth=1.2,
        linewidth=2,
        linestyle=_LINES.get(dash, "-") if "lines" in mode else "none",
        label=trace.get("name"),
        marker=_MARKS.get((trace.get("marker") or {}).get("symbol", "circle"), "o")
        if "markers" in mode
        else None,
    )


def _area(axes, trace: dict, i: int, floor):
    """One layer of a stack of areas. Returns the height of the stack so far."""
    low = floor or [0.0] * len(trace["y"])
    high = [a + b for a, b in zip(low, trace["y"], strict=True)]
    axes.fill_between(
        trace["x"],
        low,
        high,
        color=trace.get("fillcolor") or _colour(trace, i),
        label=trace.get("name"),
        linewidth=0,
        step="post",
    )
    return high


def _bars(axes, traces: list[dict], layout: dict) -> None:
    if not traces:
        return
    import matplotlib

    flat = traces[0].get("orientation") == "h"
    category, number = ("y", "x") if flat else ("x", "y")
    names = list(dict.fromkeys(str(c) for t in traces for c in t[category]))
    stacked = layout.get("barmode") == "stack"
    width = (1 if layout.get("bargap") == 0 else 0.75) if stacked else 0.8 / len(traces)
    base = dict.fromkeys(names, 0.0)
    scale = layout.get("coloraxis")
    for i, trace in enumerate(traces):
        marker = trace.get("marker") or {}
        where = [
            names.index(str(c)) + (0 if stacked else (i - (len(traces) - 1) / 2) * width)
            for c in trace[category]
        ]
        heights, starts = _known(trace[number]), [base[str(c)] if stacked else 0 for c in trace[category]]
        colour = _colour(trace, i)
        if scale and not isinstance(marker.get("color"), str):
            shade = matplotlib.colormaps["cividis"]
            spread = (scale["cmax"] - scale["cmin"]) or 1
            colour = [
                (0, 0, 0, 0) if v is None else shade((v - scale["cmin"]) / spread) for v in marker["color"]
            ]
        error = _spread(trace, number)
        options = {
            "color": colour,
            "label": trace.get("name"),
            "hatch": _HATCH.get((marker.get("pattern") or {}).get("shape", ""), ""),
        }
        draw, extra = (
            (axes.barh, {"left": starts, "xerr": error})
            if flat
            else (axes.bar, {"bottom": starts, "yerr": error})
        )
        draw(
            where,
            heights,
            width,
            **options,
            **extra,
            error_kw={"capsize": 3, "ecolor": _INK},
            edgecolor="none",
            linewidth=0,
        )
        for j, text in enumerate(trace.get("text") or []):
            value = marker["color"][j] if isinstance(marker.get("color"), list) else None
            dark = (
                scale
                and value is not None
                and (value - scale["cmin"]) / ((scale["cmax"] - scale["cmin"]) or 1) < 0.55
            )
            axes.text(
                where[j],
                starts[j] + heights[j] / 2,
                text,
                ha="center",
                va="center",
                color="white" if dark else "black",
            )
        for c, h in zip(trace[category], heights, strict=True):
            base[str(c)] += 0 if h != h else h
    (axes.set_yticks if flat else axes.set_xticks)(range(len(names)), names)


def _dress(axes, layout: dict, traces: list[dict]) -> None:
    for which in "xy":
        axis = layout.get(f"{which}axis") or {}
        title = (axis.get("title") or {}).get("text", "")
        (axes.set_xlabel if which == "x" else axes.set_ylabel)(title)
        if axis.get("type") == "log":
            (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        if axis.get("rangemode") == "tozero" and axis.get("type") != "log":
            (axes.set_xlim if which == "x" else axes.set_ylim)(
                **({"left": 0} if which == "x" else {"bottom": 0})
            )
        if axis.get("range") and axis.get("type") != "log":
            (axes.set_xlim if which == "x" else axes.set_ylim)(*axis["range"])
        if axis.get("tickvals"):
            part = axes.xaxis if which == "x" else axes.yaxis
            part.set_ticks(axis["tickvals"], axis.get("ticktext") or [str(v) for v in axis["tickvals"]])
            part.minorticks_off()
        elif "%" in str(axis.get("tickformat", "")):
            from matplotlib.ticker import PercentFormatter

            (axes.xaxis if which == "x" else axes.yaxis).set_major_formatter(PercentFormatter(1, decimals=0))
        if axis.get("autorange") == "reversed":
            (axes.invert_xaxis if which == "x" else axes.invert_yaxis)()
    for shape in layout.get("shapes") or []:
        if shape.get("type") == "line":
            across = shape.get("xref") == "paper"
            (axes.axhline if across else axes.axvline)(
                shape["y0"] if across else shape["x0"], color="#7F7F7F", linestyle=":", linewidth=1.5
            )
    several = layout.get("showlegend", len(traces) > 1)
    if several:
        axes.legend(
            frameon=False,
            ncols=_columns(traces),
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            borderaxespad=0.2,
        )


def _columns(traces: list[dict]) -> int:
    """As many columns of the legend as the figure is wide: one that is wider leaves the axes no room."""
    longest = max(len(str(t.get("name") or "")) for t in traces)
    return max(1, min(4, len(traces), 90 // (longest + 8)))
