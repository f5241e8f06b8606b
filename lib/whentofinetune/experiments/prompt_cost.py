"""What do examples in the prompt cost? (C20, C28)

Seconds and tokens a call against their number, with and without a prefix cache.
"""

import time
from collections.abc import Iterator, Sequence

import numpy as np

from tunewise.experiment import Condition, Context, Params, Scores
from tunewise.prompting import TEMPLATES
from tunewise.scoring import label_logprobs, prompt_tokens
from whentofinetune.classification import sample


def conditions(p: Params) -> Iterator[Condition]:
    for k in p.k:
        yield Condition("latency", k=k)


def evaluate(ctx: Context, c: Condition) -> Scores:
    task, template, lm = ctx.task(ctx.params.tasks[0]), TEMPLATES[ctx.params.wording], ctx.lm
    answers = template.answers(task.labels)
    queries = [template.query(task, e.text) for e in task.valid[: ctx.params.calls]]
    prefix = template.prefix(task, sample(task, c.k, 0))
    label_logprobs(lm, prefix, queries[:1], answers)  # warm up
    single = []
    for query in queries:  # one call an item, nothing kept between calls
        start = time.perf_counter()
        label_logprobs(lm, prefix, [query], answers)
        single.append(time.perf_counter() - start)
    start = time.perf_counter()
    label_logprobs(lm, prefix, queries, answers, row_tokens=1)  # one row an item, prefix computed once
    return Scores(
        facts={
            "prompt_tokens": round(prompt_tokens(lm, prefix, queries), 1),
            "seconds": _middle(single),
            "seconds_all": [round(s, 4) for s in single],
            "seconds_cached": round((time.perf_counter() - start) / len(queries), 4),
        }
    )


def _middle(seconds: Sequence[float]) -> dict:
    """Median seconds a call with the 95 % bootstrap interval of the median."""
    rng = np.random.default_rng(0)
    draws = np.median(rng.choice(seconds, size=(2000, len(seconds))), axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    found = {"value": np.median(seconds), "low": low, "high": high}
    return {name: round(float(x), 4) for name, x in found.items()} | {"n": len(seconds)}
