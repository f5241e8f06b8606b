"""What do examples in the prompt bring, which ones, and what do they cost? (C26, C28, C30)"""

from __future__ import annotations

import time

import numpy as np

from tunewise import prompting
from tunewise.prompt_templates import WORDINGS
from tunewise.scoring import label_logprobs, prompt_tokens
from whentofinetune.datasets.rated_tasks import load_task
from whentofinetune.old_bench import Bench, Experiment, outcome, pool_size, public, sample, subset


def run(bench: Bench, params: dict) -> list[dict]:
    name = params["tasks"][0]
    task, wording, rows = bench.task(name), WORDINGS[params["wording"]], []
    test = subset(task.test, params["test_n"])
    labels, queries = [e.label for e in test], [wording.query(task, e.text) for e in test]
    answers = wording.answers(task.labels)
    empty = [wording.query(task, t) for t in prompting.EMPTY_TEXTS]

    def step(settings: dict, measure):
        settings |= {
            "task": name,
            "wording": wording.name,
            "test_n": params["test_n"],
            "data": bench.fingerprint(name),
        }
        rows.append(public(bench.work.step(settings, measure)))

    def shared(shots):
        """All test items after the same examples: the prefix is computed once. Calibrated answers come with it."""
        prefix = wording.prefix(task, shots)
        start = time.perf_counter()
        scores = label_logprobs(bench.lm, prefix, queries + empty, answers)
        seconds = time.perf_counter() - start
        mended = prompting.calibrate(scores[: len(test)], scores[len(test) :])
        return outcome(scores[: len(test)].argmax(axis=1), labels) | {
            "calibrated": outcome(mended.argmax(axis=1), labels),
            "prompt_tokens": round(prompt_tokens(bench.lm, prefix, queries), 1),
            "seconds": round(seconds, 2),
        }

    step({"method": "zero-shot", "k": 0}, lambda: shared([]))
    for seed in params["seeds"]:
        pool = sample(task, pool_size(task, params["pool"]), seed)
        for k in params["random"]:
            step(
                {"method": "random", "k": k, "seed": seed},
                lambda k=k, pool=pool, seed=seed: shared(prompting.random_shots(pool, k, seed)),
            )
        for k in params["balanced"]:
            step(
                {"method": "balanced", "k": k, "seed": seed},
                lambda k=k, pool=pool, seed=seed: shared(
                    prompting.balanced_shots(pool, k, len(task.labels), seed)
                ),
            )
    if not params["nearest"] and not params["vote"]:
        return rows
    vectors = {}

    def embedded(seed):
        if seed not in vectors:
            pool = sample(task, pool_size(task, params["pool"]), seed)
            vectors[seed] = pool, bench.embed([t for t, _ in pool]), bench.embed([e.text for e in test])
        return vectors[seed]

    def nearest(k, seed):
        """Each test item after its own examples: nothing but the instruction is shared."""
        pool, pool_vectors, query_vectors = embedded(seed)
        opening = wording.instruction(task)
        own = []
        for shots, query in zip(
            prompting.nearest_shots(pool, pool_vectors, query_vectors, k), queries, strict=True
        ):
            own.append(wording.prefix(task, shots)[len(opening) :] + query)
        start = time.perf_counter()
        scores = label_logprobs(bench.lm, opening, own, answers)
        return outcome(scores.argmax(axis=1), labels) | {
            "prompt_tokens": round(prompt_tokens(bench.lm, opening, own), 1),
            "seconds": round(time.perf_counter() - start, 2),
        }

    for seed in params["seeds"]:
        for k in params["vote"]:

            def vote(k=k, seed=seed):
                pool, pool_vectors, query_vectors = embedded(seed)
                return outcome(
                    prompting.nearest_vote([y for _, y in pool], pool_vectors, query_vectors, k), labels
                )

            step({"method": "vote", "k": k, "seed": seed}, vote)
    for k in params["nearest"]:
        for seed in params["seeds"]:
            step({"method": "nearest", "k": k, "seed": seed}, lambda k=k, seed=seed: nearest(k, seed))
    return rows


def asker(task_name: str = "tweets", wording_name: str = "instruction", *, seed: int = 0, **options):
    """A function (text, k) -> {label: probability}: the model's answer on ``text`` after k random examples.

    The probabilities are the label log-probabilities, normalised over the labels. options: for
    :func:`tunewise.models.load.load`; the model is loaded at the first question.
    """
    from tunewise.models.load import load

    task, wording = load_task(task_name), WORDINGS[wording_name]
    pool = sample(task, 300, seed)
    models = []

    def ask(text: str, k: int = 0) -> dict[str, float]:
        models or models.append(load(**options))
        prefix = wording.prefix(task, prompting.random_shots(pool, k, seed) if k else [])
        scores = label_logprobs(models[0], prefix, [wording.query(task, text)], wording.answers(task.labels))[
            0
        ]
        weights = np.exp(scores - scores.max())
        return dict(zip(task.labels, (weights / weights.sum()).tolist(), strict=True))

    return ask


_COMMON = {"model": "smollm2-135m", "tasks": ["tweets"], "wording": "instruction", "pool": 300}

EXPERIMENT = Experiment(
    name="few_shot",
    question="What do examples in the prompt bring?",
    claims=("C26", "C28", "C30"),
    run=run,
    scales={
        "smoke": _COMMON
        | {"random": [2], "balanced": [3], "nearest": [1], "vote": [3], "seeds": [0], "test_n": 18},
        "laptop": _COMMON
        | {"random": [4, 16], "balanced": [8], "nearest": [], "vote": [8], "seeds": [0], "test_n": 150},
        "full": _COMMON
        | {
            "random": [1, 2, 4, 8, 16, 32],
            "balanced": [8, 32],
            "nearest": [4],
            "vote": [1, 4, 8, 16],
            "seeds": [0, 1, 2, 3, 4],
            "test_n": None,
        },
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "random": [1, 2, 4, 8, 16, 32],
            "balanced": [4, 8, 16, 32],
            "nearest": [1, 4, 8, 16, 32],
            "vote": [1, 4, 8, 16],
            "seeds": [0, 1, 2, 3, 4],
            "test_n": None,
        },
    },
)
