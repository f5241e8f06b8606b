"""Does a model that lacks a company's words need training, or a glossary? (C16)

Multiple-choice questions on terms whose questions were never trained on (:mod:`whentofinetune.datasets.glossary`). *lookup* finds entries
by exact term: those of all terms that the question or its options name. *search* finds them by meaning instead (MiniLM).

The way to score (likelihood above the habitual one, :func:`tunewise.scoring.choose`) and the training were chosen on train and
valid terms; smaller batches, twice the rate and a second pass did no better there.
"""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.scoring import choose, prompt_tokens
from whentofinetune.datasets import company
from whentofinetune.datasets.company import JargonQuestion, Term
from whentofinetune.datasets.glossary import entry, named, query, training_pairs

NEUTRAL = "Answer:"


def conditions(p: Params) -> Conditions:
    yield Condition("base")
    yield Condition("glossary")
    yield Condition("lookup", entries=True)
    yield Condition("search", k=p.k)
    for kind in p.training:
        for entries in {"questions": [False], "definitions": [False, True], "entries": [True]}[kind]:
            told = {"training": kind, "entries": entries, "n_labels": p.questions, "exposures": p.exposures}
            yield from (Condition("lora", **told, seed=seed) for seed in p.seeds)


def evaluate(ctx: Context, c: Condition) -> Scores:
    terms, test = company.terms(), company.jargon("test")[: ctx.params.test_n]
    entries = [named(q, terms) if c.entries else [] for q in test]
    if c.method == "glossary":
        return ask(ctx.lm, test, entries, prefix="".join(map(entry, terms)))
    if c.method == "search":
        likeness = ctx.embed([q.question for q in test]) @ ctx.embed([entry(t) for t in terms]).T
        entries = [[terms[i] for i in sorted(np.argsort(-row, kind="stable")[: c.k])] for row in likeness]
        own = [any(t.term == q.term for t in mine) for q, mine in zip(test, entries, strict=True)]
        return ask(ctx.lm, test, entries, found=round(float(np.mean(own)), 4))
    if c.method != "lora":
        return ask(ctx.lm, test, entries)
    pairs = training_pairs(c.training, c.n_labels, c.exposures, c.seed)
    with ctx.adapter(pairs, Recipe(seed=c.seed, **ctx.params.recipe)) as lm:
        return ask(lm, test, entries, train_seconds=round(lm.seconds, 1), examples_seen=lm.examples)


def ask(
    lm, test: Sequence[JargonQuestion], entries: Sequence[Sequence[Term]], prefix: str = "", **facts
) -> Scores:
    queries = [query(q, mine) for q, mine in zip(test, entries, strict=True)]
    found = choose(lm, prefix, queries, [[f" {o}" for o in q.options] for q in test], neutral=NEUTRAL)
    facts["prompt_tokens"] = round(prompt_tokens(lm, prefix, queries), 1)
    right = [int(o) == q.answer for o, q in zip(found, test, strict=True)]
    return Scores(test, predictions=found, accuracy=right, facts=facts)


def sources(p: Params) -> list:
    return [asdict(x) for x in (*company.jargon(), *company.terms())]
