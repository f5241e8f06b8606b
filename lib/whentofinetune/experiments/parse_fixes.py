"""How much of what tuning brings is only that its answers can be read? (C15)

The model writes its answer before and after LoRA on a few labels. It is marked twice: an answer that cannot be read counts as wrong, as in most
harnesses; and by label scoring, where form cannot fail. What the first gains above the second is form.
"""

from __future__ import annotations

import numpy as np

from tunewise import baselines, stats
from tunewise.finetune import Recipe
from tunewise.generation import generate
from tunewise.prompt_templates import WORDINGS
from whentofinetune.experiments.wordings import parse
from whentofinetune.old_bench import Bench, Experiment, outcome, public, sample, subset


def marked(bench: Bench, lm, task, wording, items) -> dict:
    """What ``lm`` writes, read strictly, and what it scores; -1 stands for an answer that cannot be read."""
    labels, answers = [e.label for e in items], wording.answers(task.labels)
    texts = generate(lm, [wording.query(task, e.text) for e in items], prefix=wording.prefix(task))
    read = [parse(t, answers) for t in texts]
    right = sum(p == y for p, y in zip(read, labels, strict=True))
    readable = sum(p is not None for p in read)
    return {
        "strict": {
            "accuracy": stats.proportion(right, len(items)),
            "predictions": "".join("-" if p is None else str(p) for p in read),
        },
        "readable": stats.proportion(readable, len(items)),
        "of_readable": stats.proportion(right, readable) if readable else None,
        "scored": outcome(bench.scores(lm, wording, task, items).argmax(axis=1), labels),
        "samples": texts[:4],
    }


def run(bench: Bench, params: dict) -> list[dict]:
    rows = []
    for name in params["tasks"]:
        rows += rivals(bench, name, params)
    for name, word in params["asked"]:
        task, wording = bench.task(name), WORDINGS[word]
        items, answers = subset(task.test, params["test_n"]), wording.answers(task.labels)
        same = {"task": name, "wording": word, "test_n": params["test_n"], "data": bench.fingerprint(name)}
        before = bench.work.step(
            {"method": "before", **same}, lambda t=task, w=wording, i=items: marked(bench, bench.lm, t, w, i)
        )
        after = []
        for seed in params["seeds"]:
            tuning = Recipe(method="lora", seed=seed, **params["recipe"])
            settings = {
                "method": "lora",
                "n_labels": params["labels"],
                "seed": seed,
                "recipe": params["recipe"],
                **same,
            }

            def tuned(
                task=task, wording=wording, items=items, answers=answers, tuning=tuning, settings=settings
            ):
                def pairs():
                    return [
                        (wording.query(task, t), answers[y])
                        for t, y in sample(task, params["labels"], tuning.seed)
                    ]

                with bench.adapter(
                    {k: v for k, v in settings.items() if k != "test_n"}, tuning, pairs, wording.prefix(task)
                ) as lm:
                    return marked(bench, lm, task, wording, items)

            after.append(bench.work.step(settings, tuned))
        rows += [public(r) for r in (before, *after)]
        rows.append(
            {
                "method": "gain",
                "task": name,
                "wording": word,
                **gains(before, after, [e.label for e in items]),
            }
        )
    return rows


def rivals(bench: Bench, name: str, params: dict) -> list[dict]:
    """Logistic regression on sentence embeddings of the same labels, one row a seed."""
    task = bench.task(name)
    items, rows = subset(task.test, params["test_n"]), []
    for seed in params["seeds"]:

        def measure(seed=seed):
            texts, y = zip(*sample(task, params["labels"], seed), strict=True)
            said = baselines.embeddings(bench.embed(texts), y, bench.embed([e.text for e in items]))
            return outcome(said, [e.label for e in items])

        settings = {
            "method": "embeddings",
            "task": name,
            "n_labels": params["labels"],
            "seed": seed,
            "test_n": params["test_n"],
        }
        rows.append(public(bench.work.step({**settings, "data": bench.fingerprint(name)}, measure)))
    return rows


def gains(before: dict, after: list[dict], labels: list[int]) -> dict:
    """What tuning adds to the strict score (``strict``), to the scored one (``scored``), and what it adds to the first above the second
    (``form``), each paired by item with its interval over seeds and items."""
    truth = np.asarray(labels)

    def right(row: dict, how: str) -> np.ndarray:
        return np.array([-1 if p == "-" else int(p) for p in row[how]["predictions"]]) == truth

    def gained(row: dict, how: str) -> np.ndarray:
        return right(row, how).astype(float) - right(before, how)

    def over_seeds(of) -> dict:
        return stats.mean_over_seeds(
            [stats.bootstrap(of(row), seed=s, resamples=1000) for s, row in enumerate(after)],
            bounds=(-2.0, 2.0),
        )

    return {
        "strict": over_seeds(lambda row: gained(row, "strict")),
        "scored": over_seeds(lambda row: gained(row, "scored")),
        "form": over_seeds(lambda row: gained(row, "strict") - gained(row, "scored")),
    }


_RECIPE = {"learning_rate": 1e-3, "epochs": 1, "min_steps": 6}
_COMMON = {"model": "smollm2-135m", "labels": 32, "recipe": _RECIPE}
_ASKED = [
    ["tweets", "instruction"],
    ["tweets", "bare"],
    ["tweets-polarity", "bare"],
    ["tweets-subjectivity", "bare"],
    ["domain", "bare"],
]
_TASKS = ["tweets", "tweets-polarity", "tweets-subjectivity", "domain"]

EXPERIMENT = Experiment(
    name="parse_fixes",
    question="How much of a gain is only that the answers can be read?",
    claims=("C15",),
    run=run,
    scales={
        "smoke": _COMMON
        | {
            "tasks": ["tweets-polarity"],
            "asked": [["tweets-polarity", "bare"]],
            "labels": 8,
            "seeds": [0],
            "test_n": 8,
            "recipe": _RECIPE | {"min_steps": 1},
        },
        "laptop": _COMMON | {"tasks": ["tweets"], "asked": [["tweets", "bare"]], "seeds": [0], "test_n": 60},
        "full": _COMMON | {"tasks": _TASKS, "asked": _ASKED, "seeds": [0, 1, 2, 3, 4], "test_n": 60},
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "tasks": _TASKS,
            "asked": _ASKED,
            "seeds": [0, 1, 2, 3, 4],
            "test_n": 300,
        },
    },
)
