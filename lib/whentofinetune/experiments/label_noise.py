"""What do wrong labels cost, and what does looking at the flagged rows bring back? (C44)

Training labels are made wrong on purpose; test labels are left alone. The check's flags are compared with what was made wrong.
"""

from collections.abc import Sequence
from itertools import product

from tunewise import prompting
from tunewise.data import Example
from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.prompting import TEMPLATES
from whentofinetune.classification import adapter, answered, label_scores, plain_and_calibrated, without_llm
from whentofinetune.datasets import drawn, only, public_texts
from whentofinetune.wrong_labels import cleaned, flagged, flipped

CHEAP = ("tfidf", "embeddings", "neighbours")


def conditions(p: Params) -> Conditions:
    for name, seed in product(p.sets, p.seeds):
        for share, kind in p.noise:
            wrong = {"set": name, "share": share} | ({"kind": kind} if share else {})
            yield Condition("check", **wrong, seed=seed)
            for arm, labels in product(CHEAP, p.cleaning if share else ("",)):
                yield Condition(arm, **wrong, **({"labels": labels} if labels else {}), seed=seed)
    for name, (share, labels), arm, seed in product(p.asked, p.asked_noise, ("lora", "few-shot"), p.seeds):
        if (arm, labels) != ("few-shot", "relabelled"):  # of eight examples one or two are flagged at most
            wrong = {"kind": "uniform", "labels": labels} if share else {}
            yield Condition(arm, set=name, share=share, **wrong, seed=seed)


def evaluate(ctx: Context, c: Condition) -> Scores:
    p = ctx.params
    task = public_texts.load(c.set, p.pool, p.test_n)
    given = drawn(task.train, p.labels, 53, c.seed)
    texts, right = [e.text for e in given], [e.label for e in given]
    labels = flipped(right, ctx.embed(texts), c.share, c.kind, c.seed) if c.share else right
    found = ctx.memo(["flags", texts, labels], lambda: flagged(texts, labels))
    if c.method == "check":
        wrong = [a != b for a, b in zip(labels, right, strict=True)]
        suspect = [i in found for i in range(len(given))]
        precision, recall = only(wrong, suspect), only(suspect, wrong)
        return Scores(given, flagged=suspect, precision=precision, recall=recall)
    train = cleaned(list(zip(texts, labels, strict=True)), right, found, c.labels or "noisy", c.seed)
    if c.method in CHEAP:
        return answered(task.test, without_llm(ctx, c.method, train, task.test))
    template, asked = TEMPLATES["instruction"], task.test[: p.asked_n]
    if c.method == "few-shot":
        shots = prompting.random_shots(train, p.shots, c.seed)
        return of_first(task.test, plain_and_calibrated(ctx, template, task, asked, shots)[0][1])
    with adapter(ctx, task, train, Recipe(seed=c.seed, **p.recipe), template) as lm:
        return of_first(task.test, label_scores(lm, template, task, asked).argmax(axis=1))


def of_first(test: Sequence[Example], predictions: Sequence[int]) -> Scores:
    """As of all test items, of which the first alone were asked, so that it can be compared with what answered all."""
    right = [int(p) == e.label for p, e in zip(predictions, test, strict=False)]
    return Scores(test, accuracy=right + [None] * (len(test) - len(right)))


def sources(p: Params) -> list:
    return [s.sha256 for s in public_texts.SOURCES]
