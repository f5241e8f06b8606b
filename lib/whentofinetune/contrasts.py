"""Comparisons that are not of two conditions on the same items; tests in ``data/claims.yml`` name them.

Each takes a function that loads a record by name, and the confidence level; it returns a Comparison.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunewise import stats
from tunewise.comparison import Comparison, compare, compare_arrays
from tunewise.record import Record

Load = Callable[[str], Record]


@dataclass(frozen=True)
class RankCorrelation(Comparison):
    """A rank correlation over tasks in the place of a difference; its interval is not symmetric."""

    lower: float = -1.0
    upper: float = 1.0

    low = property(lambda self: self.lower)
    high = property(lambda self: self.upper)
    detectable = property(lambda self: math.tanh(Comparison.detectable.fget(self)))  # se is of Fisher's z
    significant = property(lambda self: self.lower > 0 or self.upper < 0)


def _correlation(x: list[float], y: list[float], level: float) -> RankCorrelation:
    found = stats.spearman(x, y, level=level)
    n, bounds = len(x), {"lower": found["low"], "upper": found["high"]}
    se = (1 + found["value"] ** 2 / 2) ** 0.5 / (n - 3) ** 0.5
    values = (found["value"], se, n - 2, float(np.mean(x)), float(np.mean(y)), n, n)
    return RankCorrelation(*values, binary=False, level=level, **bounds)


def gain_against_start(load: Load, level: float) -> Comparison:
    """Over tasks: does a low start go with a large gain from LoRA?

    The start is taken on one half of the test items and the gain on the other: on the same items a low start by chance would be
    a large gain by chance.
    """
    found = _on_halves(load("gain_prediction"))
    return _correlation(
        [1 - first["zero-shot"] for first, _ in found], [_gain(second, "lora") for _, second in found], level
    )


def gain_against_gain(load: Load, level: float) -> Comparison:
    """Over tasks: does the gain from examples in the prompt go with the gain from LoRA?

    Each gain is taken on its own half of the test items: on the same ones both would start from the same score, with the same chance in it.
    """
    found = _on_halves(load("gain_prediction"))
    return _correlation(
        [_gain(first, "few-shot") for first, _ in found],
        [_gain(second, "lora") for _, second in found],
        level,
    )


def _on_halves(record: Record) -> list[tuple[dict[str, float], dict[str, float]]]:
    """For each task the accuracy of each method, mean over seeds, on the one half of the items and on the other."""
    found = []
    for task in record.by("task", method="zero-shot"):
        right = {
            m: np.mean([r.outcomes("accuracy") for r in record.where(method=m, task=task)], axis=0)
            for m in ("zero-shot", "few-shot", "lora")
        }
        first, second = ({m: float(x[half::2].mean()) for m, x in right.items()} for half in (0, 1))
        found.append((first, second))
    return found


def _gain(half: Mapping[str, float], method: str) -> float:
    return half[method] - half["zero-shot"]


def few_minus_many_examples(load: Load, level: float) -> Comparison:
    """Accuracy with the fewest examples minus that with the most; an arrangement of words is a group."""
    rows = sorted(load("example_position").where(method="position"), key=lambda r: r["k"])
    means = []
    for row in (rows[0], rows[-1]):
        found: dict[str, list[float | None]] = {}
        for group, hit in zip(row.groups, row.outcomes("accuracy"), strict=True):
            found.setdefault(group, []).append(hit)
        means.append([[float(np.mean(found[g])) for g in sorted(found)]])
    return compare_arrays(*means, level=level)


def own_adapter_against_mixed(load: Load, level: float) -> Comparison:
    """A task's own adapter minus one adapter trained on all tasks with as many labels of each; all tasks' items together."""
    record = load("task_diversity")
    tasks = [r["tested"] for r in record.where(method="prompt")]
    arms = []
    for arm in (None, "mixed"):
        rows = [record.where(method="lora", tested=t, trained=arm or t) for t in tasks]
        arms.append(np.concatenate([[r.outcomes("accuracy") for r in seeds] for seeds in rows], axis=1))
    return compare_arrays(*arms, level=level)


def loss_at_equal_accuracy(load: Load, level: float) -> Comparison:
    """Bits of neutral text: full fine-tuning minus LoRA of rank 8, each at its lowest rate and its first stop with the accuracy that all reach."""
    record = load("forgetting")
    of = {"full": {"method": "full"}, "lora": {"method": "lora", "rank": 8}}
    arms = [{**of[m], "learning_rate": min(r["learning_rate"] for r in record.where(**of[m]))} for m in of]
    stops = record.params["stops"]
    reached = min(max(_on_task(record, m, s) for s in stops) for m in record.params["methods"])
    at = ({**arm, "step": next(s for s in stops if _on_task(record, arm, s) >= reached)} for arm in arms)
    return compare(record, *at, "bits", level=level)


def _on_task(record: Record, method: Mapping[str, Any], step: int) -> float:
    """Mean accuracy on the task's validation items at a stop, over seeds."""
    return float(np.mean([r["task"]["value"] for r in record.where(**method, step=step)]))
