"""Can a small model be tuned as a judge: is this answer supported by this passage? (C24)

Items with planted errors (:mod:`whentofinetune.datasets.grounded_claims`), trained on training entities and tested on test entities. The strongest rivals are no judges at
all: *contains* looks whether the answer stands in the passage; *features* is logistic regression on three numbers (contained or not, how many words of the question
stand in the sentence or table row with the answer, how near that sentence is to question and answer by MiniLM). The ``stale`` items are a kind of error that training does not have.

The recipe: three trials on valid, with 128 to 256 items, rates of 5e-4 to 2e-3 and batches of 4 to 16, all stayed near guessing; what is recorded trains on fewer still, for want of time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from tunewise.finetune import Recipe
from tunewise.scoring import label_logprobs, prompt_tokens
from whentofinetune.book_records import digest
from whentofinetune.datasets import company, grounded_claims
from whentofinetune.datasets.grounded_claims import Item
from whentofinetune.old_bench import Bench, Experiment, outcome, public

PREFIX = "Is the answer supported by the passage?\n\n"
ANSWERS = [" yes", " no"]


def query(item: Item) -> str:
    return f"Passage: {item.passage}\nQuestion: {item.question}\nAnswer: {item.answer}\nSupported:"


def lessons(n: int, seed: int) -> list[tuple[str, str]]:
    """``n`` training items, in pairs of right and wrong, as prompt and verdict."""
    train = grounded_claims.items("train")
    chosen = np.random.default_rng([41, seed]).permutation(len(train) // 2)[: n // 2]
    return [(query(train[i]), ANSWERS[train[i].label]) for p in chosen for i in (2 * p, 2 * p + 1)]


def sentences(passage: str) -> list[str]:
    """Sentences, and rows of tables."""
    return [s for s in re.split(r"(?<=[.!?;])\s+|\s*\|\s+\|\s*", passage) if re.search(r"\w", s)]


def features(bench: Bench, items: Sequence[Item]) -> np.ndarray:
    """[n, 3]: is the answer in the passage, share of the question's longer words beside it, likeness of its sentence."""
    rows = []
    best = [
        max(sentences(i.passage), key=lambda s, i=i: (company.says(s, i.answer), _overlap(s, i.question)))
        for i in items
    ]
    near = (bench.embed(best) * bench.embed([f"{i.question} {i.answer}" for i in items])).sum(axis=1)
    for item, sentence, likeness in zip(items, best, near, strict=True):
        rows.append((company.says(item.passage, item.answer), _overlap(sentence, item.question), likeness))
    return np.array(rows, dtype=float)


def _overlap(sentence: str, question: str) -> float:
    wanted = {w for w in re.findall(r"\w+", question.lower()) if len(w) > 3}
    return len(wanted & set(re.findall(r"\w+", sentence.lower()))) / max(1, len(wanted))


def run(bench: Bench, params: dict) -> list[dict]:
    """One row a judge (and seed), with its verdicts on the test items and, apart, on the stale ones; first the items' labels and errors."""
    test, stale = (
        grounded_claims.items("test")[: params["test_n"]],
        grounded_claims.items("test", "stale")[: params["stale_n"]],
    )
    both = [*test, *stale]
    labels = [i.label for i in both]
    same = {
        "data": digest([vars(i) for i in both + list(grounded_claims.items("train"))]),
        "test_n": params["test_n"],
        "stale_n": params["stale_n"],
    }
    rows = [
        {"method": "items", "labels": "".join(map(str, labels)), "errors": "".join(i.error[0] for i in both)}
    ]

    def verdicts(found) -> dict:
        found = [int(f) for f in found]
        return outcome(found[: len(test)], labels[: len(test)]) | {
            "stale": outcome(found[len(test) :], labels[len(test) :])
        }

    def step(settings: dict, measure) -> None:
        rows.append(public(bench.work.step(settings | same, measure)))

    def judge(lm) -> dict:
        queries = [query(i) for i in both]
        scores = label_logprobs(lm, PREFIX, queries, ANSWERS)
        lean = np.median(
            scores[:, 0] - scores[:, 1]
        )  # half of the answers are right: what a threshold could at best mend
        return verdicts(scores.argmax(axis=1)) | {
            "centred": verdicts(scores[:, 0] - scores[:, 1] <= lean),
            "prompt_tokens": round(prompt_tokens(lm, PREFIX, queries), 1),
        }

    step({"method": "contains"}, lambda: verdicts(not company.says(i.passage, i.answer) for i in both))

    def regression(seed: int) -> dict:
        from sklearn.linear_model import LogisticRegression

        train = grounded_claims.items("train")
        chosen = [
            train[i]
            for p in np.random.default_rng([41, seed]).permutation(len(train) // 2)[: params["items"] // 2]
            for i in (2 * p, 2 * p + 1)
        ]
        fitted = LogisticRegression(C=10.0).fit(features(bench, chosen), [i.label for i in chosen])
        return verdicts(fitted.predict(features(bench, both)))

    for seed in params["seeds"]:
        step({"method": "features", "n_labels": params["items"], "seed": seed}, lambda s=seed: regression(s))
    step({"method": "untuned"}, lambda: judge(bench.lm))
    for seed in params["seeds"]:
        tuning = Recipe(seed=seed, **params["recipe"])
        told = {"method": "lora", "n_labels": params["items"], "seed": seed}

        def tuned(seed=seed, told=told, tuning=tuning):
            with bench.adapter(
                told | {"of": "groundedness"} | same, tuning, lambda: lessons(params["items"], seed), PREFIX
            ) as lm:
                return judge(lm) | {"train_seconds": round(lm.seconds, 1), "examples_seen": lm.examples}

        step(told | {"tuning": vars(tuning) | {"targets": list(tuning.targets)}}, tuned)
    return rows


_RECIPE = {"learning_rate": 1e-3, "epochs": 1, "batch_size": 8, "min_steps": 1}
_COMMON = {"model": "smollm2-135m", "recipe": _RECIPE}

EXPERIMENT = Experiment(
    name="groundedness",
    question="Can a small model be tuned as a judge of whether an answer is supported?",
    claims=("C24",),
    run=run,
    scales={
        "smoke": _COMMON | {"test_n": 4, "stale_n": 2, "items": 8, "seeds": [0]},
        "laptop": _COMMON | {"test_n": 40, "stale_n": 10, "items": 60, "seeds": [0]},
        "full": _COMMON | {"test_n": 80, "stale_n": 24, "items": 64, "seeds": [0, 1, 2, 3, 4]},
        "gpu": _COMMON
        | {"model": "qwen2.5-1.5b", "test_n": 258, "stale_n": 58, "items": 400, "seeds": [0, 1, 2, 3, 4]},
    },
)
