"""Can a small model take over a judge's verdicts, and what does a verdict cost? (C21)

The teacher is a program (:mod:`whentofinetune.datasets.judged_texts`). *Pointwise*, a judge says whether a text keeps all four rules;
*pairwise*, which of two texts breaks fewer; *alone*, the same pairs with each text judged pointwise. A judge that says A should say B when
the two change places. Labels are scored: no judge writes reasons. The recipe was chosen by three trials on valid, which has the sentences of
training in other replies.
"""

from itertools import product

import numpy as np

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from whentofinetune.classification import answered, without_llm
from whentofinetune.datasets import company
from whentofinetune.datasets.judged_texts import inserts, pairwise, pointwise, rubric, teacher
from whentofinetune.judging import PAIR, POINT, verdicts
from whentofinetune.timing import one_by_one

VERSION = 2


def conditions(p: Params) -> Conditions:
    for method, scheme in product(("asked", "rubric"), ("point", "alone", "pair")):
        yield Condition(method, scheme=scheme)
    for seed in p.seeds:
        for scheme, n in (("point", p.texts), ("alone", p.texts), ("pair", p.texts // 2)):
            yield Condition("tuned", scheme=scheme, n_labels=n, seed=seed)
        for method in ("tfidf", "embeddings"):
            yield Condition(method, scheme="point", n_labels=p.texts, seed=seed)
    yield Condition("rules", scheme="point")


def evaluate(ctx: Context, c: Condition) -> Scores:
    p, form = ctx.params, PAIR if c.scheme == "pair" else POINT
    items = pointwise("test", p.points, 0) if c.scheme == "point" else pairwise("test", p.pairs, 0)
    if c.method == "rules":
        return Scores(facts=one_by_one(lambda t: teacher(t.text), np.resize(items, p.calls)))
    if c.method in ("asked", "rubric"):
        return verdicts(ctx.lm, c.scheme, form, items, p.calls, rubric() if c.method == "rubric" else "")
    train = (pairwise if c.scheme == "pair" else pointwise)("train", c.n_labels, c.seed)
    if c.method != "tuned":
        taught = [(t.text, t.label) for t in train]
        return answered(items, without_llm(ctx, c.method, taught, items))
    pairs = [(t.shown + form.closing, form.answers[t.label]) for t in train]
    with ctx.adapter(pairs, Recipe(seed=c.seed, **p.recipe), form.opening) as lm:
        outcome = verdicts(lm, c.scheme, form, items, p.calls, tuned=True)
        outcome.facts |= {"train_seconds": round(lm.seconds, 2), "examples_seen": lm.examples}
    return outcome


def sources(p: Params) -> list:
    return [[m.reply for m in company.mails()], *inserts().values()]
