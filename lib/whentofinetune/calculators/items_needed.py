"""How many test items does a comparison need? Interval of one accuracy, smallest difference found, items needed. Standard library only.

As :mod:`tunewise.stats` and :mod:`tunewise.comparison` compute them for 0/1 outcomes of two methods without seeds, which the tests check.
"""

import json
import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from statistics import NormalDist

from whentofinetune.calculators.cost import Settings

LEVEL, POWER = 0.95, 0.8
MOST = 10_000_000


@dataclass(frozen=True)
class Design(Settings):
    """Two methods on test items.

    accuracy: of the first, in per cent. points: by how much the second is better, in percentage points. differ: items, in per cent, that
    exactly one of the two gets right. items: of the test set. same_items: both answer the same items; else each has ``items`` of its own.
    """

    accuracy: float = 70
    points: float = 5
    differ: float = 20
    items: float = 300
    same_items: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.items < 10 or self.items != round(self.items):
            raise ValueError(f"a test set has a whole number of items, 10 or more; not {self.items:g}")
        if not self.points > 0:
            raise ValueError("the difference to find must be above 0 points")
        best = self.accuracy + self.points
        if best > 100:
            sum_of = f"{self.points:g} points above {self.accuracy:g} %"
            raise ValueError(f"{sum_of} is more than 100 %: lower one of them")
        if self.same_items:
            most = min(self.accuracy + best, 200 - self.accuracy - best)
            if not self.points <= self.differ <= most:
                raise ValueError(
                    f"with {self.accuracy:g} % and {best:g} % right, between {self.points:g} % and {most:g} % of the items are right in "
                    f"exactly one method; not {self.differ:g} %"
                )


def wilson(share: float, n: float) -> tuple[float, float]:
    """The 95 % score interval of a share of ``n`` items (Wilson 1927)."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    centre, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


def t_quantile(p: float, df: float) -> float:
    """Student's t by its expansion in 1 / df (Abramowitz & Stegun 26.7.5); from 9 degrees of freedom on right to 1 in 1,000."""
    z = NormalDist().inv_cdf(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / df**i for i, term in enumerate(terms, 1))


def found(d: Design, n: float) -> float:
    """The smallest true difference, as a share, that ``n`` items find with 80 % power (Bloom 1995, Evaluation Review 19, 547-556).

    Its standard error is that at the difference ``d.points``.
    """
    gap, low = d.points / 100, d.accuracy / 100
    if d.same_items:
        variance, df = (d.differ / 100 - gap * gap) / (n - 1), n - 1
    else:
        variance = (low * (1 - low) + (low + gap) * (1 - low - gap)) / (n - 1)
        df = 2 * (n - 1)
    return (t_quantile((1 + LEVEL) / 2, df) + t_quantile(POWER, df)) * math.sqrt(variance)


def needed(d: Design) -> int:
    """The fewest items (of each method, where they have their own), from 10 on, that find ``d.points``; at most :data:`MOST`."""
    return 10 + bisect_left(range(10, MOST), True, key=lambda n: found(d, n) <= d.points / 100)


def items_json(settings: str) -> str:
    """The calculator's front: a JSON object of settings in, ``{"figures", "tables", "text"}`` out."""
    d = Design.from_dict(json.loads(settings))
    n, low, high = int(d.items), *wilson(d.accuracy / 100, d.items)
    least, wanted = found(d, n), needed(d)
    setting = f"Each of two methods answers {n:,} items of its own"
    if d.same_items:
        setting = (
            f"Two methods answer the same {n:,} items, and exactly one is right on {d.differ:g} % of them"
        )
    text = (
        f"To find a difference of {d.points:g} point{'s' * (d.points != 1)}, {wanted:,} items are needed{'' if d.same_items else ' for each method'}.\n"
        f"{setting}: a true difference of {100 * least:.1f} points is found in {100 * POWER:.0f} % of such tests.\n"
        f"An accuracy of {d.accuracy:g} % on {n:,} items has the {100 * LEVEL:.0f} % interval {100 * low:.1f} % to {100 * high:.1f} %."
    )
    return json.dumps({"figures": [_figure(d, wanted)], "tables": [_table(d)], "text": text})


def _figure(d: Design, wanted: int) -> dict:
    sizes = sorted({round(10 ** (1 + i / 12)) for i in range(1, 49)} | {int(d.items)})
    lines = {"smallest difference found": [100 * found(d, n) for n in sizes]}
    lines["wanted"] = [d.points] * len(sizes)
    data = [
        dict(type="scatter", mode="lines", name=name, x=sizes, y=[round(v, 4) for v in values])
        | dict(line={"width": 3, "dash": dash}, hovertemplate="%{x} items: %{y:.1f} points")
        for (name, values), dash in zip(lines.items(), ("solid", "dash"), strict=True)
    ]
    ticks = [10, 100, 1_000, 10_000, 100_000]
    x = dict(title={"text": "test items"}, type="log", tickvals=ticks, ticktext=[f"{t:,}" for t in ticks])
    y = {"title": {"text": "difference, points"}, "rangemode": "tozero"}
    layout = dict(title={"text": "The smallest difference that a test set finds"}, xaxis=x, yaxis=y)
    alt = f"A falling line: the more items, the smaller the difference that is found. To find {d.points:g} takes {wanted:,} items."
    return {"data": data, "layout": layout, "alt": alt}


def _table(d: Design) -> dict:
    rows = []
    for points in (1, 2, 3, 5, 10, 15, 20):
        try:
            other = replace(d, points=points)
        except ValueError:
            continue  # not possible with this accuracy and this share of items
        rows.append([f"{points} point{'s' * (points > 1)}", f"{needed(other):,}"])
    return {"caption": "Items needed for other differences", "header": ["Difference", "Items"], "rows": rows}


CONTROLS = Design.controls("items needed")
