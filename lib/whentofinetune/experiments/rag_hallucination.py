"""When does a model say something that is not so, and when that it does not know? (C11, C36)

What a good and a bad retriever, RAG fine-tuning, and tuning on new facts do to hallucination: right, wrong or "not stated". Half or a third of the questions have no answer in the handbook. A bad retriever gives passages that do not hold the answer, so that *not stated* is the
only honest thing to say to any question. The second part follows a tuning on new facts: what happens to questions that it does not touch?
"""

from itertools import product

import numpy as np

from tunewise import rag
from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from whentofinetune import handbook as hb
from whentofinetune.datasets import company, general_items

VERSION = 2  # a further rival from memory
LEAVE = "none, may abstain"  # as the prompt with passages does
ASKED, PROBES = ("answerable", "unanswerable"), ("learned", "others", "general")


def conditions(p: Params) -> Conditions:
    for asked, retriever in product(ASKED, ("none", LEAVE, "good", "bad")):
        yield Condition("base", part="retriever", asked=asked, retriever=retriever)
    for seed, asked, retriever in product(p.seeds, ASKED, ("good", "bad")):
        yield Condition("reading", part="retriever", asked=asked, retriever=retriever, seed=seed)
    for probe in PROBES:
        yield Condition("base", part="epochs", share=0.0, asked=probe)
    for seed, share, probe in product(p.epoch_seeds, p.stops, PROBES):
        yield Condition("facts", part="epochs", share=share, asked=probe, seed=seed)


def evaluate(ctx: Context, c: Condition) -> Scores:
    if c.part == "retriever":
        questions, asks, passages = shown(ctx, c.asked, c.retriever)
        told = rag.MAY_ABSTAIN if c.retriever == LEAVE else rag.FROM_MEMORY
        how = hb.training(ctx, c.method, c.seed)
        return hb.scored(questions, hb.answer(ctx, how, asks, passages, from_memory=told))
    found = hb.while_learning(ctx, c.seed)[str(c.share)]
    if c.asked == "general":
        return Scores(general_items.items()[: ctx.params["items"]], facts=found["facts"], **found["general"])
    answers = [rag.read(text, 0) for text in found[c.asked]]
    return hb.scored(hb.probes(ctx.params)[c.asked], answers, facts=found["facts"])


def shown(
    ctx: Context, asked: str, retriever: str
) -> tuple[list[company.Question], list[str], list[list[str]]]:
    """Questions, their wording, and the passages that a retriever gives for each: none, those found, or some that do not hold the answer."""
    book, rng, n, k = hb.Handbook(ctx), np.random.default_rng(4), ctx.params.questions, ctx.params.k
    stated = hb.other_questions(ctx.params.facts, ctx.params.multihop)
    for kind, pool in zip(ASKED, (stated, company.questions("unanswerable", "test")), strict=True):
        questions = hb.drawn(pool, n, 3)
        gold = [set().union(*book.gold(q)) for q in questions]
        bad = [[int(i) for i in rng.permutation(len(book.texts)) if i not in g][:k] for g in gold]
        if kind == asked:
            break
    asks = hb.wordings(questions, 3)
    empty = dict.fromkeys(("none", LEAVE), lambda: [[]] * n)
    places = {**empty, "good": lambda: book.find(asks, k), "bad": lambda: bad}[retriever]()
    return questions, asks, [book.show(p) for p in places[: len(asks)]]


sources = hb.sources
