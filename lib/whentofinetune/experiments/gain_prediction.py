"""Do a few prompted examples predict what fine-tuning will bring? Seven tasks, two gains each (C27)."""

from __future__ import annotations

import numpy as np

from tunewise import stats
from tunewise.finetune import Recipe
from tunewise.prompt_templates import WORDINGS
from whentofinetune.old_bench import Bench, Experiment, outcome, public, sample, subset


def run(bench: Bench, params: dict) -> list[dict]:
    rows = []
    wording = WORDINGS[params["wording"]]
    for name in params["tasks"]:
        task = bench.task(name)
        test = subset(task.test, params["test_n"])
        labels = [e.label for e in test]

        def score(shots, task=task, test=test, labels=labels):
            return outcome(bench.scores(bench.lm, wording, task, test, shots).argmax(axis=1), labels)

        same = {
            "task": name,
            "wording": wording.name,
            "test_n": params["test_n"],
            "data": bench.fingerprint(name),
        }
        rows.append(public(bench.work.step({"method": "zero-shot", **same}, lambda score=score: score([]))))
        for seed in params["seeds"]:
            shots = sample(task, params["k"], seed)
            settings = {"method": "few-shot", "k": params["k"], "seed": seed, **same}
            rows.append(public(bench.work.step(settings, lambda score=score, shots=shots: score(shots))))
        for seed in params["seeds"]:
            tuning = Recipe(method="lora", seed=seed, **params["recipe"])
            rows.append(bench.tuned(name, params["labels"], tuning, wording.name, params["test_n"]))
    rows.append({"method": "summary", **agreement(rows, params["tasks"])})
    return rows


def gains(rows: list[dict], tasks: list[str]) -> list[dict]:
    """For each task: zero-shot accuracy, and how much few-shot and LoRA add to it (means over seeds)."""
    table = []
    for name in tasks:
        of = {
            m: np.mean([r["accuracy"]["value"] for r in rows if r.get("task") == name and r["method"] == m])
            for m in ("zero-shot", "few-shot", "lora")
        }
        table.append(
            {
                "task": name,
                "zero-shot": float(of["zero-shot"]),
                "few-shot gain": float(of["few-shot"] - of["zero-shot"]),
                "lora gain": float(of["lora"] - of["zero-shot"]),
            }
        )
    return table


def agreement(rows: list[dict], tasks: list[str]) -> dict:
    """Rank correlations over tasks: of LoRA's gain with few-shot's gain, and with the (negative) starting score."""
    table = gains(rows, tasks)
    if len(table) < 4:
        return {}
    lora = [t["lora gain"] for t in table]
    return {
        "spearman_few_shot": stats.spearman([t["few-shot gain"] for t in table], lora),
        "spearman_start": stats.spearman([-t["zero-shot"] for t in table], lora),
    }


_TASKS = ["tweets", "products", "films", "news", "tweets-polarity", "tweets-subjectivity", "domain"]
_RECIPE = {"learning_rate": 1e-3, "epochs": 1, "min_steps": 6}
_COMMON = {"model": "smollm2-135m", "wording": "instruction", "recipe": _RECIPE, "k": 8, "labels": 32}

EXPERIMENT = Experiment(
    name="gain_prediction",
    question="Do a few prompted examples predict what fine-tuning will bring?",
    claims=("C15", "C27"),
    run=run,
    scales={
        "smoke": _COMMON
        | {
            "tasks": ["tweets-polarity"],
            "k": 2,
            "labels": 8,
            "seeds": [0],
            "test_n": 12,
            "recipe": _RECIPE | {"min_steps": 1},
        },
        "laptop": _COMMON | {"tasks": ["tweets-polarity", "domain"], "seeds": [0], "test_n": 60},
        "full": _COMMON | {"tasks": _TASKS, "seeds": [0, 1, 2, 3, 4], "test_n": 100},
        "gpu": _COMMON | {"model": "qwen2.5-1.5b", "tasks": _TASKS, "seeds": [0, 1, 2, 3, 4], "test_n": 300},
    },
)
