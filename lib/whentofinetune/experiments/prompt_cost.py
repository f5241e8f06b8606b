"""What do examples in the prompt cost? Seconds and tokens a call against their number, with and without a prefix cache (C20, C28)."""

from __future__ import annotations

import time

import numpy as np

from tunewise.prompt_templates import WORDINGS
from tunewise.scoring import label_logprobs, prompt_tokens
from whentofinetune.old_bench import Bench, Experiment, public, sample


def run(bench: Bench, params: dict) -> list[dict]:
    name = params["tasks"][0]
    task, wording, rows = bench.task(name), WORDINGS[params["wording"]], []
    answers = wording.answers(task.labels)
    items = [wording.query(task, e.text) for e in task.valid[: params["calls"]]]

    for k in params["k"]:

        def clock(k=k):
            prefix = wording.prefix(task, sample(task, k, 0) if k else [])
            label_logprobs(bench.lm, prefix, items[:1], answers)  # warm up
            single = []
            for query in items:  # one call an item, nothing kept between calls
                start = time.perf_counter()
                label_logprobs(bench.lm, prefix, [query], answers)
                single.append(time.perf_counter() - start)
            start = time.perf_counter()
            label_logprobs(
                bench.lm, prefix, items, answers, row_tokens=1
            )  # one row an item, prefix computed once
            return {
                "prompt_tokens": round(prompt_tokens(bench.lm, prefix, items), 1),
                "seconds": _middle(single),
                "seconds_all": [round(s, 4) for s in single],
                "seconds_cached": round((time.perf_counter() - start) / len(items), 4),
            }

        settings = {
            "method": "latency",
            "k": k,
            "task": name,
            "calls": params["calls"],
            "data": bench.fingerprint(name),
        }
        rows.append(public(bench.work.step(settings, clock)))
    return rows


def _middle(seconds: list[float]) -> dict:
    """Median seconds a call with the 95 % bootstrap interval of the median."""
    rng = np.random.default_rng(0)
    draws = np.median(rng.choice(seconds, size=(2000, len(seconds))), axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return {
        "value": round(float(np.median(seconds)), 4),
        "n": len(seconds),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }


_COMMON = {"model": "smollm2-135m", "tasks": ["tweets"], "wording": "instruction", "seeds": [0]}

EXPERIMENT = Experiment(
    name="prompt_cost",
    question="What do examples in the prompt cost?",
    claims=("C20", "C28"),
    run=run,
    scales={
        "smoke": _COMMON | {"k": [0, 2], "calls": 2},
        "laptop": _COMMON | {"k": [0, 4, 16], "calls": 10},
        "full": _COMMON | {"k": [0, 2, 4, 8, 16, 32, 64], "calls": 40},
        "gpu": _COMMON | {"model": "qwen2.5-1.5b", "k": [0, 2, 4, 8, 16, 32, 64, 128], "calls": 100},
    },
)
