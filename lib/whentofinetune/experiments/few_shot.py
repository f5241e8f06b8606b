"""What do examples in the prompt bring, which ones, and what do they cost? (C26, C28, C30)"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product

from tunewise import prompting
from tunewise.experiment import Condition, Context, Experiment, Params, Scores
from tunewise.prompt_templates import WORDINGS
from tunewise.scoring import label_logprobs, prompt_tokens
from whentofinetune.classification import answered, pool_size, sample, subset


def conditions(p: Params) -> Iterator[Condition]:
    yield Condition("zero-shot", k=0)
    for method in ("random", "balanced", "vote", "nearest"):
        for seed, k in product(p.seeds, p[method]):
            yield Condition(method, k=k, seed=seed)


def evaluate(ctx: Context, c: Condition) -> Scores:
    task, template = ctx.task(ctx.params.tasks[0]), WORDINGS[ctx.params.wording]
    test = subset(task.test, ctx.params.test_n)
    pool = [] if c.method == "zero-shot" else sample(task, pool_size(task, ctx.params.pool), c.seed)
    if c.method in ("vote", "nearest"):
        pool_vectors = ctx.embed([t for t, _ in pool])
        vectors = ctx.embed([e.text for e in test])
    if c.method == "vote":
        return answered(test, prompting.nearest_vote([y for _, y in pool], pool_vectors, vectors, c.k))
    queries, opening = [template.query(task, e.text) for e in test], template.instruction(task)
    if c.method == "nearest":  # each test item after its own examples: nothing but the instruction is shared
        chosen = prompting.nearest_shots(pool, pool_vectors, vectors, c.k)
        queries = [template.prefix(task, s)[len(opening) :] + q for s, q in zip(chosen, queries, strict=True)]
        prefix, empty = opening, []
    else:
        shots = {
            "zero-shot": lambda: [],
            "random": lambda: prompting.random_shots(pool, c.k, c.seed),
            "balanced": lambda: prompting.balanced_shots(pool, c.k, len(task.labels), c.seed),
        }[c.method]()
        prefix, empty = template.prefix(task, shots), [template.query(task, t) for t in prompting.EMPTY_TEXTS]
    lm, start = ctx.lm, time.perf_counter()
    found = label_logprobs(lm, prefix, queries + empty, template.answers(task.labels))
    seconds, scores = time.perf_counter() - start, found[: len(test)]
    said = answered(
        test,
        scores.argmax(axis=1),
        prompt_tokens=round(prompt_tokens(lm, prefix, queries), 1),
        seconds=round(seconds, 2),
    )
    if empty:
        said.add("calibrated", answered(test, prompting.calibrate(scores, found[len(test) :]).argmax(axis=1)))
    return said


_COMMON = {"model": "smollm2-135m", "tasks": ["tweets"], "wording": "instruction", "pool": 300}
_FULL = {"random": [1, 2, 4, 8, 16, 32], "vote": [1, 4, 8, 16], "seeds": [0, 1, 2, 3, 4], "test_n": None}

EXPERIMENT = Experiment(
    "few_shot",
    conditions,
    evaluate,
    question="What do examples in the prompt bring?",
    claims=("C26", "C28", "C30"),
    scales={
        "smoke": _COMMON
        | {"random": [2], "balanced": [3], "nearest": [1], "vote": [3], "seeds": [0], "test_n": 18},
        "laptop": _COMMON
        | {"random": [4, 16], "balanced": [8], "nearest": [], "vote": [8], "seeds": [0], "test_n": 150},
        "full": _COMMON | _FULL | {"balanced": [8, 32], "nearest": [4]},
        "gpu": _COMMON
        | _FULL
        | {"model": "qwen2.5-1.5b", "balanced": [4, 8, 16, 32], "nearest": [1, 4, 8, 16, 32]},
    },
)
