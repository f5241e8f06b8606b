"""How well W + BA of rank r can stand for what full fine-tuning added to a weight matrix. Standard library only.

The update was saved by ``data/pieces/build.py``. The best approximation of rank r keeps the r largest singular values; its relative error
(Frobenius norm) is the root of the share of their squares that is left out (Eckart & Young 1936).
"""

import json
import math
import operator
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from whentofinetune.calculators import read

MOST = 64
RANDOM = "random numbers"


@cache
def updates() -> dict[str, Any]:
    """Name -> what was saved of a matrix's update, all divided by its largest singular value."""
    return read("update")


def error(singular: Sequence[float], rank: int) -> float:
    """Relative error (Frobenius norm) of the best approximation of that rank: the root of the share of squares left out, 0 to 1."""
    return math.sqrt(math.fsum(s * s for s in singular[rank:]) / math.fsum(s * s for s in singular))


def numbers(shape: Sequence[int], rank: int) -> int:
    """Numbers in B [out, rank] and A [rank, in]."""
    return rank * sum(shape)


def corner(update: Mapping[str, Any], rank: int) -> list[list[float]]:
    """The saved corner of the best approximation of that rank: B A."""
    columns = list(zip(*update["right"][:rank], strict=True))
    return [[math.fsum(map(operator.mul, row, column)) for column in columns] for row in update["left"]]


def low_rank_json(settings: str) -> str:
    """The piece's front: ``{"matrix", "rank"}`` as JSON in, ``{"figures", "text"}`` out. Raises ValueError, in words, for either unknown."""
    given = json.loads(settings)
    name, rank = given.get("matrix", next(iter(updates()))), given.get("rank", 8)
    if name not in updates():
        raise ValueError(f"no update of {name!r} is saved; there are {', '.join(updates())}")
    if not isinstance(rank, int) or not 1 <= rank <= MOST:
        raise ValueError(f"the rank is a whole number from 1 to {MOST}, not {rank!r}")
    update = updates()[name]
    (rows, columns), left = update["shape"], error(update["singular"], rank)
    chance = error(updates()[RANDOM]["singular"], rank)
    few, all_of = numbers(update["shape"], rank), rows * columns
    text = (
        f"Rank {rank}: B has {rows} × {rank} numbers and A {rank} × {columns}, {few:,} in all. That is {100 * few / all_of:.1f} % of the {all_of:,} numbers of the full update.\n"
        f"The best BA of this rank holds {100 * (1 - left**2):.0f} % of the update's sum of squares, where random numbers leave {100 * (1 - chance**2):.0f} %; its relative error is {100 * left:.0f} %."
    )
    return json.dumps({"figures": [_curve(name, rank), _corners(update, name, rank)], "text": text})


def _curve(name: str, rank: int) -> dict:
    ranks = list(range(1, MOST + 1))
    data = [
        dict(type="scatter", mode="lines", name=shown, x=ranks, line={"width": 3, "dash": dash})
        | dict(y=[round(error(updates()[shown]["singular"], r), 4) for r in ranks])
        | dict(hovertemplate="rank %{x}: %{y:.0%}")
        for shown, dash in zip(dict.fromkeys([name, RANDOM]), ("solid", "dash"), strict=False)
    ]
    here = error(updates()[name]["singular"], rank)
    dot = dict(type="scatter", mode="markers", x=[rank], y=[round(here, 4)], marker={"size": 12})
    data.append(dot | {"name": f"rank {rank}"})
    x = {"title": {"text": "rank r"}}
    y = {"title": {"text": "relative error"}, "tickformat": ".0%", "range": [0, 1.02]}
    layout = dict(title={"text": "What the best BA of each rank misses"}, xaxis=x, yaxis=y)
    ends = (error(updates()[name]["singular"], r) for r in (1, MOST))
    alt = f"A falling line for {name}: from {100 * next(ends):.0f} % at rank 1 to {100 * next(ends):.0f} % at rank {MOST}; {100 * here:.0f} % at rank {rank}."
    return {"data": data, "layout": layout, "alt": alt}


def _corners(update: Mapping[str, Any], name: str, rank: int) -> dict:
    """The update's corner and its approximation side by side, as stacked bars of height one, which the small Plotly of the site has."""
    pair = [update["corner"], corner(update, rank)]
    most = max(abs(v) for row in update["corner"] for v in row)
    size = len(pair[0])
    places = [f"{part} {j}" for part in ("update", "BA") for j in range(1, size + 1)]
    bar = dict(type="bar", x=places, y=[1] * len(places), showlegend=False, hovertemplate="%{x}")
    shaded = {"coloraxis": "coloraxis", "line": {"width": 0}}
    colours = [[round(v, 5) for part in pair for v in part[i]] for i in range(size)]
    data = [
        bar | {"name": f"row {i + 1}", "marker": shaded | {"color": colours[i]}}
        for i in reversed(range(size))
    ]
    axis = {"showgrid": False, "zeroline": False}
    ticks = dict(tickvals=[size // 2, size + size // 2], ticktext=["the update", f"BA, rank {rank}"])
    x = axis | ticks | {"type": "category", "title": {"text": ""}}
    layout = dict(barmode="stack", bargap=0, showlegend=False, xaxis=x)
    layout["title"] = {"text": f"A corner of {size} rows and {size} columns"}
    layout["yaxis"] = axis | dict(range=[0, size], visible=False)
    layout["coloraxis"] = dict(colorscale="Cividis", cmin=-most, cmax=most, showscale=False)
    alt = f"Two coloured grids: a corner of the update of {name}, and of its best BA of rank {rank}."
    return {"data": data, "layout": layout, "alt": alt}


CONTROLS = [
    dict(name="rank", label="Rank r", kind="range", min=1, max=MOST, step=1, value=8),
    dict(name="matrix", label="What is approximated", kind="select", options=list(updates()))
    | dict(value=next(iter(updates()))),
]
