"""How often the verdict on own data is right, and how often its printed intervals hold: simulated, with known truths.

    python bench/compare_simulation.py

A data set draws true shares of right answers for three to eight arms, whose outcomes on an item go together, and prices. The verdict is
wrong where the arm to use is the margin or more below the arm that is truly best, where *use* names an arm that is not the best, and
where *none is good enough* though one is. The printed intervals hold where all of them hold the true difference at once. Writes
``data/bench/compare-simulation.json``; ``tests/compare/test_compare_simulation.py`` runs fewer.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logit
from scipy.stats import binomtest

from tunewise.compare.base import ArmResult, Columns, Cost, Item, OwnData, Settings
from tunewise.compare.decision import decide

SETS = 200
ITEMS = (60, 100, 200, 500)
NODES = np.linspace(-4, 4, 161)
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()
MEMORY = (2e8, 2e8, 6e9, 12e9)  # bytes: three prices


def true_share(level: float, spread: float) -> float:
    """The share right where the logit has this mean and standard deviation."""
    return float(WEIGHTS @ expit(level + spread * NODES))


def data_set(
    rng: np.random.Generator, n: int, scenario: str, group: int
) -> tuple[OwnData, list[ArmResult], dict[str, float]]:
    """Own data, its arms, and the true share of each arm. Items of a group share their difficulty."""
    arms = int(rng.integers(3, 9))
    best = rng.uniform(0.7, 0.95)
    if scenario == "as they come":
        below = np.concatenate([[0.0], rng.exponential(0.08, arms - 1)])
    elif scenario == "all equal":
        below = np.zeros(arms)
    else:  # the worst case for "take the cheaper": all others just beyond the margin
        below = np.concatenate([[0.0], np.full(arms - 1, 0.03)])
    levels = logit(np.clip(best - below, 0.05, 0.99))
    common, own = 1.5, 0.7
    difficulty = np.repeat(rng.standard_normal(-(-n // group)), group)[:n]
    columns = Columns("classification", "text", "label")
    test = tuple(Item(f"{i}", i + 2, "", "a", f"{i // group}") for i in range(n))
    data = OwnData("simulated", columns, ("a", "b"), (), (), test)
    order, truth, made = rng.permutation(arms), {}, []
    for k in order:
        p = expit(levels[k] + common * difficulty + own * rng.standard_normal(n))
        right = (rng.random(n) < p).astype(float)
        name = f"arm {len(made)}"
        truth[name] = true_share(levels[k], float(np.hypot(common, own)))
        cost = Cost(100, memory=int(rng.choice(MEMORY)))
        made.append(ArmResult(name, name, "prompt", {}, ["a"] * n, {"accuracy": right.tolist()}, cost))
    return data, made, truth


def judged(
    data: OwnData, arms: list[ArmResult], truth: dict[str, float], settings: Settings
) -> dict[str, Any]:
    """The verdict, whether it is wrong, and whether the printed intervals all hold."""
    found = decide(data, arms, settings)
    best = max(truth.values())
    wrong = False
    if found.kind == "none_good_enough":
        wrong = best >= (settings.need or 0)
    elif found.winner:
        wrong = truth[found.winner] <= best - settings.margin + 1e-9
        wrong |= found.kind == "use" and truth[found.winner] < best
    held = [c.low <= truth[a] - truth[b] <= c.high for (a, b), c in found.comparisons.items()]
    return {"kind": found.kind, "wrong": wrong, "held": all(held), "each": held}


def simulate(sets: int, seed: int = 0) -> list[dict[str, Any]]:
    """One row for each scenario, size of groups and number of items."""
    rng, rows = np.random.default_rng(seed), []
    for scenario in ("as they come", "all equal", "just beyond the margin"):
        for group in (1, 4):
            for n in ITEMS:
                settings = Settings(need=0.85 if scenario == "as they come" and group == 4 else None)
                found = [judged(*data_set(rng, n, scenario, group), settings) for _ in range(sets)]
                each = [h for f in found for h in f["each"]]
                decided = [f for f in found if f["kind"] != "cannot_tell"]
                rows.append(
                    {
                        "scenario": scenario,
                        "group_size": group,
                        "n": n,
                        "sets": sets,
                        "kinds": dict(sorted(Counter(f["kind"] for f in found).items())),
                        "decided": len(decided),
                        "wrong": sum(f["wrong"] for f in decided),
                        "all_intervals_hold": round(float(np.mean([f["held"] for f in found])), 4),
                        "intervals": len(each),
                        "intervals_that_hold": round(float(np.mean(each)), 4),
                    }
                )
    return rows


def main() -> None:
    rows = simulate(SETS)
    for r in rows:
        print(
            f"{r['scenario']:24}{r['group_size']:>3}{r['n']:>5}  decided {r['decided']:>4} of {r['sets']}, wrong {r['wrong']:>3}; "
            f"all intervals hold {r['all_intervals_hold']:.3f}  {r['kinds']}"
        )
    made: dict[str, Any] = {"sets": SETS, "level": 0.95, "margin": Settings.margin}
    for scenario in dict.fromkeys(r["scenario"] for r in rows):
        mine = [r for r in rows if r["scenario"] == scenario]
        sets, decided, wrong = (sum(r[k] for r in mine) for k in ("sets", "decided", "wrong"))
        low, high = binomtest(decided - wrong, max(decided, 1)).proportion_ci(method="wilson")
        made[scenario] = {
            "decided": decided,
            "of": sets,
            "right_where_decided": round(1 - wrong / max(decided, 1), 4),
            "interval": [round(float(low), 4), round(float(high), 4)],
            "wrong_of_all": round(wrong / sets, 4),
            "all_intervals_hold": round(float(np.mean([r["all_intervals_hold"] for r in mine])), 4),
        }
        print(scenario, made[scenario])
    text = (
        json.dumps(made | {"cells": []}, indent=1)[:-4] + "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]}\n"
    )
    path = Path(__file__).parents[1] / "data" / "bench" / "compare-simulation.json"
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
