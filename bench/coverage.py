"""How often the interval of a comparison holds the true difference: simulated, with known truth.

    python bench/coverage.py

Items, groups of items, seeds and their interaction are random effects on the logit of being right (or on the score itself where it is
continuous). Prints the share of intervals that hold the truth in each cell and writes all of it to
``data/bench/coverage.json``; ``tests/test_comparison.py`` runs the same with fewer draws.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy import stats as distributions

from tunewise import stats

ITEMS = (20, 40, 100, 300)
GROUP_SIZES = (1, 3)
SEEDS = ((1, 1), (1, 2), (1, 3), (1, 5), (2, 2), (3, 3), (5, 5))  # 1: deterministic, no seed effect
SEED_SD = {"small": 0.15, "large": 0.4}
OUTCOMES = {"right or wrong": (0.8, 0.2), "mostly right": (3.0, 2.2), "continuous": (0.8, 0.2)}
ITEM_SD, ARM_SD, INTERACTION_SD, GROUP_SD, ARM_GROUP_SD = 1.0, 0.6, 0.5, 0.8, 0.5
BAND = (0.93, 0.97)


def draw(
    rng: np.random.Generator,
    draws: int,
    n: int,
    seeds: tuple[int, int],
    group_size: int,
    seed_sd: float,
    outcome: str,
) -> tuple[list[np.ndarray], np.ndarray, float]:
    """Two arms [draws, seeds, n], the group of each item [n], and the true mean difference (by Gauss-Hermite quadrature)."""
    groups = np.arange(n) // group_size
    count = groups[-1] + 1 if group_size > 1 else 0

    def effect(rows: int, item_sd: float, group_sd: float) -> np.ndarray:
        made = item_sd * rng.standard_normal((draws, rows, n))
        return made + group_sd * rng.standard_normal((draws, rows, count))[..., groups] if count else made

    common, arms, means = effect(1, ITEM_SD, GROUP_SD), [], []
    nodes, weights = hermegauss(80)
    for s, level in zip(seeds, OUTCOMES[outcome], strict=True):
        logit = level + common + effect(1, ARM_SD, ARM_GROUP_SD)
        variance = ITEM_SD**2 + ARM_SD**2 + (GROUP_SD**2 + ARM_GROUP_SD**2 if count else 0)
        if s > 1:
            logit = logit + seed_sd * rng.standard_normal((draws, s, 1)) + effect(s, INTERACTION_SD, 0)
            variance += seed_sd**2 + INTERACTION_SD**2
        if outcome == "continuous":
            arms.append(logit)
            means.append(level)
        else:
            arms.append((rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(float))
            means.append(float(weights @ (1 / (1 + np.exp(-level - variance**0.5 * nodes))) / weights.sum()))
    return arms, groups, means[0] - means[1]


def coverage(draws: int, seed: int = 0, level: float = stats.LEVEL) -> list[dict]:
    """One row a cell: its design, the share of intervals that hold the truth, their median half width, and the root mean
    estimated variance over the true standard deviation."""
    rng, rows = np.random.default_rng(seed), []
    for outcome, seeds, (effect, sd), size, n in itertools.product(
        OUTCOMES, SEEDS, SEED_SD.items(), GROUP_SIZES, ITEMS
    ):
        if max(seeds) == 1 and effect == "large":
            continue
        arms, groups, truth = draw(rng, draws, n, seeds, size, sd, outcome)
        found = stats.crossed(arms, groups.tolist(), binary=outcome != "continuous")
        half = distributions.t.ppf((1 + level) / 2, found.df) * found.se
        rows.append(
            {
                "outcome": outcome,
                "seeds": list(seeds),
                "seed_effect": effect if max(seeds) > 1 else "none",
                "group_size": size,
                "n": n,
                "coverage": round(float(np.mean(abs(found.estimate - truth) <= half)), 4),
                "half_width": round(float(np.median(half)), 4),
                "se_ratio": round(float(np.sqrt(np.mean(found.se**2)) / found.estimate.std()), 3),
            }
        )
    return rows


def table(rows: list[dict]) -> str:
    """The coverage in percent: a line a design, a column a number of items."""
    lines = [
        f"{'outcome':15}{'seeds':>7}  {'seed effect':12}{'group of':>8}" + "".join(f"{n:>7}" for n in ITEMS)
    ]
    for k in range(0, len(rows), len(ITEMS)):
        r = rows[k]
        said = (
            f"{r['outcome']:15}{'{}, {}'.format(*r['seeds']):>7}  {r['seed_effect']:12}{r['group_size']:>8}"
        )
        lines.append(said + "".join(f"{100 * c['coverage']:7.1f}" for c in rows[k : k + len(ITEMS)]))
    return "\n".join(lines)


def main(draws: int = 10000) -> None:
    rows = coverage(draws)
    print(table(rows))
    outside = [r for r in rows if not BAND[0] <= r["coverage"] <= BAND[1]]
    print(f"\n{len(rows) - len(outside)} of {len(rows)} cells cover {BAND[0]:.0%} to {BAND[1]:.0%}")
    made = {"draws": draws, "level": stats.LEVEL, "cells": rows}
    text = json.dumps(made | {"cells": []})[:-3] + "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]}\n"
    path = Path(__file__).parents[1] / "data" / "bench" / "coverage.json"
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
