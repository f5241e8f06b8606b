"""Can a small encoder or a linear model take over from a tuned language model, by learning from its labels? (C19)

The teacher is the language model, tuned on a few human labels. It labels real tweets whose human labels are hidden from it. Two students learn from its labels: MiniLM
with logistic regression, and TF-IDF with the same. Beside them the same students learn from the human labels of those tweets, and, the rival
that needs no teacher at all, from the few labels that the teacher was tuned on. All are asked on easy tweets (rated far from where one label ends and the next begins),
hard ones, and reviews of products. The teacher's recipe was chosen by two trials on valid.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from tunewise import baselines, stats
from tunewise.finetune import Recipe
from tunewise.prompt_templates import WORDINGS
from tunewise.scoring import label_logprobs
from whentofinetune.datasets import vader
from whentofinetune.old_bench import Bench, Experiment, outcome, public, sample, subset

STUDENTS = ("embeddings", "tfidf")
SLICES = ("easy", "hard", "shifted")


def slices(bench: Bench, params: dict) -> dict[str, list]:
    """The test items: tweets in two halves by how far their rating is from a threshold of the labels, and texts from another source."""
    home, away = params["tasks"]
    rating = {r.id: r.rating for r in vader.read(home)}
    by_distance = sorted(
        bench.task(home).test, key=lambda e: (abs(abs(rating[e.id]) - vader.THRESHOLD), e.id)
    )
    half = len(by_distance) // 2
    whole = {"easy": by_distance[half:], "hard": by_distance[:half], "shifted": bench.task(away).test}
    return {name: subset(items, params["test_n"]) for name, items in whole.items()}


def unlabelled(task, known: Sequence[str], n: int, seed: int) -> list[tuple[str, int]]:
    """``n`` training tweets as they come, not balanced, that are not among the texts ``known``: (text, the human label to be hidden)."""
    rows = [r for r in vader.split(task.name)["train"] if r.text not in set(known)]
    chosen = np.random.default_rng([19, seed]).permutation(len(rows))[:n]
    return [(rows[i].text, task.labels.index(rows[i].sentiment)) for i in chosen]


def run(bench: Bench, params: dict) -> list[dict]:
    """One row for each model, source of its labels, slice and seed; one a seed on the teacher's labels; one a model on its time."""
    task, wording = bench.task(params["tasks"][0]), WORDINGS[params["wording"]]
    answers, tests = wording.answers(task.labels), slices(bench, params)
    asked = [e for name in SLICES for e in tests[name]]
    rows = [
        {"method": "items", "slice": name, "labels": "".join(str(e.label) for e in tests[name])}
        for name in SLICES
    ]
    same = {"test_n": params["test_n"], "data": [bench.fingerprint(name) for name in params["tasks"]]}

    def parted(found) -> dict:
        """Answers to all items, slice by slice."""
        ends = np.cumsum([len(tests[name]) for name in SLICES])[:-1]
        return {
            name: outcome(part, [e.label for e in tests[name]])
            for name, part in zip(SLICES, np.split(np.asarray(found), ends), strict=True)
        }

    def add(row: dict, found: dict) -> None:
        rows.extend({**row, "slice": name, **scored} for name, scored in found.items())

    def student(kind: str, lessons: Sequence[tuple[str, int]]) -> dict:
        if (
            len({y for _, y in lessons}) == 1
        ):  # a teacher with one answer for everything has a student with one
            return parted(baselines.majority([y for _, y in lessons], len(asked)))
        if kind == "tfidf":
            return parted(baselines.tfidf(lessons, [e.text for e in asked]))
        vectors = [bench.embed([t for t, _ in lessons]), bench.embed([e.text for e in asked])]
        return parted(baselines.embeddings(vectors[0], [y for _, y in lessons], vectors[1]))

    for seed in params["seeds"]:
        few = sample(task, params["labels"], seed)
        pool = unlabelled(task, [t for t, _ in few], params["pool"], seed)
        tuning = Recipe(seed=seed, **params["recipe"])
        told = {
            "method": "lora",
            "task": task.name,
            "n_labels": params["labels"],
            "seed": seed,
            "wording": params["wording"],
            "data": same["data"],
        }

        def teach(few=few, pool=pool, tuning=tuning, told=told) -> dict:
            prefix = wording.prefix(task)
            with bench.adapter(
                told, tuning, lambda: [(wording.query(task, t), answers[y]) for t, y in few], prefix
            ) as tuned:
                start = time.perf_counter()
                said = label_logprobs(
                    tuned, prefix, [wording.query(task, t) for t, _ in pool], answers
                ).argmax(axis=1)
                spent = time.perf_counter() - start
                scored = bench.scores(tuned, wording, task, asked).argmax(axis=1)
                clock = _one_by_one(
                    lambda t: label_logprobs(tuned, prefix, [wording.query(task, t)], answers),
                    pool[: params["calls"]],
                )
            return {
                "labels": outcome(said, [y for _, y in pool]),
                "asked": parted(scored),
                "train_seconds": round(tuned.seconds, 2),
                "label_seconds": round(spent, 2),
                "clock": clock | {"batched": round(spent / len(pool), 5)},
            }

        settings = {
            **told,
            **same,
            "method": "teacher",
            "pool": params["pool"],
            "calls": params["calls"],
            "recipe": params["recipe"],
        }
        found = bench.work.step(settings, teach)
        add({"method": "teacher", "seed": seed, "n_labels": params["labels"]}, found["asked"])
        rows.append(
            {
                "method": "labelling",
                "seed": seed,
                "n": len(pool),
                **found["labels"],
                "train_seconds": found["train_seconds"],
                "label_seconds": found["label_seconds"],
            }
        )
        if seed == params["seeds"][0]:
            rows.append({"method": "clock", "of": "teacher", **found["clock"]})
        said = [(t, int(p)) for (t, _), p in zip(pool, found["labels"]["predictions"], strict=True)]
        for source, lessons in {"teacher": said, "human": pool, "few human": few}.items():
            for kind in STUDENTS:
                settings = {
                    "method": kind,
                    "source": source,
                    "n_labels": len(lessons),
                    "seed": seed,
                    "of": params["labels"],
                    "recipe": params["recipe"] if source == "teacher" else None,
                    **same,
                }
                row = bench.work.step(
                    settings, lambda kind=kind, lessons=lessons: {"asked": student(kind, lessons)}
                )
                add(public({k: row[k] for k in ("method", "source", "n_labels", "seed")}), row["asked"])
    texts = [t for t, _ in unlabelled(task, [], max(params["calls"], params["pool"]), 0)]
    for kind in STUDENTS:
        settings = {"method": "clock", "of": kind, "calls": params["calls"], "pool": params["pool"], **same}
        rows.append(
            public(
                bench.work.step(
                    settings, lambda kind=kind: _student_clock(bench, kind, texts, params["calls"])
                )
            )
        )
    return rows


def _student_clock(bench: Bench, kind: str, texts: list[str], calls: int) -> dict:
    """What an answer of a student takes. Learning is not timed; what it learned makes no difference to that, so the lessons are made up."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    turn = (
        bench.embedder.encode
        if kind == "embeddings"
        else TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(texts).transform
    )
    model = LogisticRegression().fit(turn(texts[: max(9, calls)]), np.arange(max(9, calls)) % 3)
    single = _one_by_one(lambda t: model.predict(turn([t])), [(t, 0) for t in texts[:calls]])
    start = time.perf_counter()
    model.predict(turn(texts))
    return single | {"batched": round((time.perf_counter() - start) / len(texts), 5)}


def _one_by_one(call: Callable[[str], object], items: Sequence[tuple[str, int]]) -> dict:
    """Seconds a call, each text alone, with the interval of their mean; the first call is not counted."""
    waits = []
    for text, _ in [items[0], *items]:
        start = time.perf_counter()
        call(text)
        waits.append(time.perf_counter() - start)
    return {
        "single": {
            k: round(v, 6) if isinstance(v, float) else v for k, v in stats.bootstrap(waits[1:]).items()
        }
    }


_RECIPE = {"learning_rate": 2e-3, "epochs": 3, "min_steps": 1, "batch_size": 8}
_COMMON = {
    "model": "smollm2-135m",
    "tasks": ["tweets", "products"],
    "wording": "instruction",
    "recipe": _RECIPE,
}

EXPERIMENT = Experiment(
    name="distillation",
    question="Can a far smaller model take over a tuned language model's work, by learning from its labels?",
    claims=("C19",),
    run=run,
    scales={
        "smoke": _COMMON
        | {"labels": 9, "pool": 12, "seeds": [0], "test_n": 6, "calls": 2, "recipe": _RECIPE | {"epochs": 1}},
        "laptop": _COMMON | {"labels": 45, "pool": 100, "seeds": [0], "test_n": 50, "calls": 5},
        "full": _COMMON | {"labels": 60, "pool": 300, "seeds": [0, 1, 2, 3, 4], "test_n": 75, "calls": 20},
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "labels": 300,
            "pool": 1500,
            "seeds": [0, 1, 2, 3, 4],
            "test_n": 150,
            "calls": 100,
            "recipe": _RECIPE | {"batch_size": 16, "learning_rate": 5e-4},
        },
    },
)
