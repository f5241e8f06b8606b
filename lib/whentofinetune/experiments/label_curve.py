"""A rule that was never written down: describe it, show it, or learn it, and how many labels does that take? (C12, C37)

The invented company's complaints go to one of three desks (:func:`whentofinetune.datasets.company.desk`). Prompts get the names of the desks, a
description of the rule, twenty examples, or both; learners get 10 to 300 labels. Half of the test texts are worded as in training.

LoRA's recipe was chosen on valid: one pass at a rate of 1e-3 learned next to nothing of this rule from 300 labels, three at 2e-3 did.
"""

from __future__ import annotations

import math

import numpy as np

from tunewise import baselines, prompting, stats
from tunewise.data import Example, Task, fingerprint
from tunewise.finetune import Recipe
from tunewise.prompt_templates import WORDINGS, Wording
from tunewise.scoring import label_logprobs, prompt_tokens
from whentofinetune import book_records
from whentofinetune.datasets import company
from whentofinetune.old_bench import Bench, Experiment, outcome, public, sample

TASK = "desks"
PARTS = ("seen", "new")


def _rule(name: str, says: str) -> Wording:
    return Wording(name, f"{says.strip()}\n\n", "Complaint:", "\nDesk:")


# What a prompt can say of the desks: only their names, or the rule in words. Which of each is used on test is chosen on valid.
NAMES = (
    WORDINGS["instruction"],
    _rule("sent to", "Each complaint is sent to one of three desks: bench, road or letter."),
)
RULES = (
    _rule(
        "short",
        """
Send each complaint to a desk. Noises with a beat and dead drives: bench. Water and torn cloth: road. Bills, looks and even noises: letter.""",
    ),
    _rule(
        "desks",
        """
Each complaint goes to one of three desks.
letter: what can be answered in writing. Bills and orders, marks and colours, and an even noise such as a hum.
road: a fitter drives out. Water, torn or loose cloth, and a mark or a hum that the customer has written about before.
bench: the drive is sent in to us. A noise with a beat, such as a knock, and a drive that does nothing. If it hangs high, or in a public place such as a
hotel or a school, the fitter drives out instead: road.
If an installer or a dealer writes, noises and dead drives go to the bench, and water and cloth get a letter.""",
    ),
    _rule(
        "steps",
        """
Send each complaint to a desk. Take the first line that fits.
1. A bill or an order: letter.
2. A mark or a colour: letter. Written about before: road.
3. An installer or dealer writes: letter for water and cloth, bench for the rest.
4. Water, or torn or loose cloth: road.
5. An even noise: letter. Written about before: road.
6. A noise with a beat, or a dead drive: road if it hangs high or in a public place, else bench.""",
    ),
    _rule(
        "story",
        """
Ask what it takes to put a complaint right. If a few lines will do, as for a bill, a stain or a hum, it gets a letter, but who has to complain of a stain
or a hum a second time gets a visit: road. Rain and torn cloth are for the fitter on the road. Knocks and dead drives are mended on our bench, if the
owner can take the thing down; in a hotel, a school or high up we fetch it: road. Installers have ladders: they send in what is broken, bench, and mend
water and cloth with a letter from us.""",
    ),
)


def desks(test_n: int | None = None) -> Task:
    """The labelled complaints as a classification task with the labels of ``company.DESKS``.

    test_n: as many test items, a sixth of them from each desk and wording (all 240 for None).
    Raises ValueError if ``test_n`` is no multiple of six or more than there are.
    """
    groups = len(company.DESKS) * len(PARTS)

    def examples(items) -> tuple[Example, ...]:
        return tuple(Example(i.text, company.DESKS.index(i.label), i.id) for i in items)

    test = company.labelled("test")
    if test_n is not None:
        if test_n < groups or test_n % groups or test_n > len(test):
            raise ValueError(
                f"test_n must be a multiple of {groups} from {groups} to {len(test)}, not {test_n}"
            )
        kept = [
            i.id
            for d in company.DESKS
            for p in PARTS
            for i in [t for t in test if (t.label, t.wording) == (d, p)][: test_n // groups]
        ]
        test = [t for t in test if t.id in set(kept)]
    return Task(
        TASK,
        company.DESKS,
        examples(company.labelled("train")),
        examples(company.labelled("valid")),
        examples(test),
    )


def apart(predictions: str, task: Task) -> dict:
    """Accuracy on the test texts that are worded as in training (``seen``) and on the others (``new``)."""
    wording = {i.id: i.wording for i in company.labelled("test")}
    scores = {}
    for part in PARTS:
        pairs = [
            (int(p), e.label) for p, e in zip(predictions, task.test, strict=True) if wording[e.id] == part
        ]
        scores[part] = stats.accuracy(*zip(*pairs, strict=True))
    return scores


def by_trouble(task: Task) -> list[int]:
    """What one would say who knows each text's trouble, and nothing else of the rule: the desk most such training texts go to."""
    signs = {i.id: i.signs["trouble"] for i in company.labelled()}
    usual = {
        t: int(baselines.majority([e.label for e in task.train if signs[e.id] == t], 1)[0])
        for t in {signs[e.id] for e in task.train}
    }
    return [usual[signs[e.id]] for e in task.test]


def run(bench: Bench, params: dict) -> list[dict]:
    task, rows = desks(params["test_n"]), []
    bench.data[TASK] = task, fingerprint(task)
    texts, labels = [e.text for e in task.test], [e.label for e in task.test]

    def step(measure, **settings) -> dict:
        row = public(
            bench.work.step(
                {**settings, "task": TASK, "test_n": params["test_n"], "data": bench.fingerprint(TASK)},
                measure,
            )
        )
        rows.append(row if settings.get("split") == "valid" else row | apart(row["predictions"], task))
        return rows[-1]

    def ask(wording: Wording, items, shots=()) -> dict:
        """Answers after one prompt, plain and calibrated."""
        prefix, queries = wording.prefix(task, shots), [wording.query(task, e.text) for e in items]
        empty = [wording.query(task, t) for t in prompting.EMPTY_TEXTS]
        scores = label_logprobs(bench.lm, prefix, queries + empty, wording.answers(task.labels))
        plain, mended = scores[: len(items)], prompting.calibrate(scores[: len(items)], scores[len(items) :])
        truth = [e.label for e in items]
        return outcome(plain.argmax(axis=1), truth) | {
            "calibrated": outcome(mended.argmax(axis=1), truth),
            "prompt_tokens": round(prompt_tokens(bench.lm, prefix, queries), 1),
        }

    def chosen(method: str, wordings) -> tuple[Wording, bool]:
        """The wording, plain or calibrated, that does best on the validation texts (the first of them on a tie)."""
        tried = []
        for wording in wordings:
            row = step(
                lambda w=wording: ask(w, task.valid),
                method=method,
                prompt=wording.name,
                says=wording.opening,
                split="valid",
            )
            tried += [
                (row["accuracy"]["value"], wording, False),
                (row["calibrated"]["accuracy"]["value"], wording, True),
            ]
        return max(tried, key=lambda t: t[0])[1:]

    def prompted(method: str, choice: tuple[Wording, bool], shots=(), **settings) -> None:
        """One row on the test texts: the chosen way of asking, the other beside it."""
        wording, mend = choice

        def measure() -> dict:
            row = ask(wording, task.test, shots)
            other = row.pop("calibrated")
            plain = {k: row.pop(k) for k in ("accuracy", "predictions")}
            kept, left = (other, plain) if mend else (plain, other)
            return {**kept, **row, "other": left}

        step(measure, method=method, prompt=wording.name, calibrated=mend, split="test", **settings)

    step(
        lambda: outcome(baselines.majority([e.label for e in task.train], len(labels)), labels),
        method="majority",
    )
    step(lambda: outcome(by_trouble(task), labels), method="trouble known")
    names, rule = chosen("names", NAMES), chosen("rule", RULES[: params["rules"]])
    prompted("names", names)
    prompted("rule", rule)
    for seed in params["seeds"]:
        shots = sample(task, params["k"], seed)
        prompted("examples", names, shots, k=params["k"], seed=seed)
        prompted("rule and examples", rule, shots, k=params["k"], seed=seed)
    for seed in params["seeds"]:
        for n in params["labels"]:
            train = sample(task, n, seed)
            known, y = zip(*train, strict=True)
            step(
                lambda train=train: outcome(baselines.tfidf(train, texts), labels),
                method="tfidf",
                n_labels=n,
                seed=seed,
            )
            step(
                lambda known=known, y=y: outcome(
                    baselines.embeddings(bench.embed(known), y, bench.embed(texts)), labels
                ),
                method="embeddings",
                n_labels=n,
                seed=seed,
            )
    for n in params["tuned"]:
        for seed in params["seeds"]:
            row = bench.tuned(
                TASK, n, Recipe(method="lora", seed=seed, **params["recipe"]), params["wording"]
            )
            rows.append(row | apart(row["predictions"], task))
    rows += forecasts(TASK, rows, labels, params)
    if params["tweets"]:
        rows += forecasts("tweets", *tweets(bench), params)
    return rows


# -- how far do few labels predict many? -------------------------------------------------------------------------------

LEARNERS = ("tfidf", "embeddings", "lora")


def extrapolate(law: str, sizes: tuple[int, int], scores: tuple[float, float], to: int) -> float:
    """The accuracy at ``to`` labels, from those at two smaller numbers of labels.

    law: ``line`` (accuracy is a straight line in the logarithm of n), ``power`` (the error rate is a power of n, as in Hestness et al.
    2017, arXiv 1712.00409, without a floor) or ``flat`` (it stays as it is). Returns a value in [0, 1].
    """
    (first, second), (low, high) = sizes, scores
    reach = math.log(to / second) / math.log(second / first)
    if law == "flat":
        return high
    if law == "line":
        return min(1.0, max(0.0, high + (high - low) * reach))
    if law == "power":
        return (
            1.0
            if high == 1
            else max(0.0, 1 - (1 - high) * ((1 - high) / (1 - low)) ** reach)
            if low < 1
            else 0.0
        )
    raise ValueError(f"law must be 'flat', 'line' or 'power', not {law!r}")


def forecasts(name: str, rows: list[dict], labels: list[int], params: dict) -> list[dict]:
    """For each learner and law: forecast minus measured accuracy at the largest size, a seed at a time and their mean.

    rows: with ``method``, ``n_labels``, ``seed`` and ``predictions`` of the same items, whose labels are ``labels``. A learner that was
    not run at all three sizes is left out.
    """
    *sizes, to = params["forecast"]
    truth, found = np.asarray(labels), []
    right = {
        (r["method"], r["n_labels"], r["seed"]): np.array([*map(int, r["predictions"])]) == truth
        for r in rows
        if "n_labels" in r
    }
    for learner in LEARNERS:
        seeds = [s for s in params["seeds"] if all((learner, n, s) in right for n in (*sizes, to))]
        for law in ("flat", "line", "power") if seeds else ():

            def off(low, high, real, law=law) -> float:
                return extrapolate(law, sizes, (low.mean(), high.mean()), to) - real.mean()

            each = [
                stats.bootstrap(
                    tuple(right[learner, n, s] for n in (*sizes, to)), off, seed=s, resamples=1000
                )
                for s in seeds
            ]
            found.append(
                {
                    "method": "forecast",
                    "task": name,
                    "learner": learner,
                    "law": law,
                    "from": sizes,
                    "to": to,
                    "error": stats.mean_over_seeds(each, bounds=(-1.0, 1.0)),
                    "by_seed": [round(e["value"], 4) for e in each],
                }
            )
    return found


def tweets(bench: Bench) -> tuple[list[dict], list[int]]:
    """The rows of the book's learning curve on real tweets, and the labels of its test items; nothing where it has none."""
    try:
        record = book_records.load("learning_curve")
    except book_records.NotMeasured:
        return [], []
    return record.results, [e.label for e in bench.task("tweets").test]


_COMMON = {
    "model": "smollm2-135m",
    "wording": "instruction",
    "k": 20,
    "rules": len(RULES),
    "tweets": False,
    "forecast": [10, 30, 300],
    "recipe": {"learning_rate": 2e-3, "epochs": 3, "batch_size": 8, "min_steps": 40},
}

EXPERIMENT = Experiment(
    name="label_curve",
    question="A rule that nobody wrote down: describe it, show it, or learn it?",
    claims=("C12", "C37"),
    run=run,
    scales={
        "smoke": _COMMON
        | {
            "k": 3,
            "rules": 1,
            "labels": [6, 12, 24],
            "tuned": [6],
            "forecast": [6, 12, 24],
            "seeds": [0],
            "test_n": 12,
            "recipe": {"learning_rate": 1e-3, "epochs": 1, "min_steps": 2},
        },
        "laptop": _COMMON | {"labels": [10, 30, 100, 300], "tuned": [100], "seeds": [0], "test_n": 60},
        "full": _COMMON
        | {
            "labels": [10, 30, 100, 300],
            "tuned": [10, 30, 100, 300],
            "seeds": [0, 1, 2, 3, 4],
            "test_n": 150,
            "tweets": True,
        },
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "labels": [10, 30, 100, 300],
            "tuned": [10, 30, 100, 300],
            "seeds": [0, 1, 2, 3, 4],
            "test_n": None,
            "recipe": {"learning_rate": 5e-4, "epochs": 3, "batch_size": 8, "min_steps": 40},
        },
    },
)
