"""Retrieval, fine-tuning, or both? (C23, C33, C42)

The four quadrants, and what tuning has to teach for both to add up. Two things can be tuned. *Facts*: question and answer, without passages. *Reading*: question with passages and answer, on other entities than
those that are asked about; with distractors beside the passage that holds the answer (after RAFT), or without. Each is asked with and without
retrieval, on the same questions.
"""

import numpy as np

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from whentofinetune import handbook as hb


def conditions(p: Params) -> Conditions:
    yield Condition("retrieval")
    arms = [("base", {}), *((method, {"seed": seed}) for method in p.methods for seed in p.seeds)]
    for method, seed in arms:
        yield Condition(method, **seed, passages="none", k=0)
        yield Condition(method, **seed, passages="found", k=p.k)
        for d in (0, p.distractors) if method != "facts" else ():
            yield Condition(method, **seed, passages="gold", k=1 + d)
    for method, seed in arms:
        if method in ("base", "reading") and seed.get("seed") in (None, *p.sweep_seeds):
            for k in p.sweep:
                yield Condition(method, **seed, passages="sweep found", k=k)
            for d in p.sweep_distractors:
                yield Condition(method, **seed, passages="sweep gold", k=1 + d)


def evaluate(ctx: Context, c: Condition) -> Scores:
    p, book = ctx.params, hb.Handbook(ctx)
    questions = hb.fact_questions(p.facts, p.multihop)
    asks = [q.ask[hb.HELD_OUT] for q in questions]
    found = book.find(asks, max([p.k, *p.sweep, *(d + 4 for d in p.sweep_distractors)]))
    gold = [book.gold(q)[0] for q in questions]
    if c.method == "retrieval":
        ids = [[book.passages[i].id for i in f] for f in found]
        right = [sorted(book.passages[i].id for i in g) for g in gold]
        return Scores(questions, facts={"asked": asks, "found": ids, "gold": right})
    n = p.sweep_n if c.passages.startswith("sweep") else None
    pick = among if c.passages.endswith("gold") else lambda f, g, k: f[:k]
    shown = [pick(f, g, c.k) for f, g in zip(found[:n], gold[:n], strict=True)]
    how = hb.training(ctx, c.method, c.seed, max(p.phrasings))
    said = hb.answer(ctx, how, asks[:n], [book.show(s) for s in shown])
    cites = [bool(a.cited) and s[a.cited[0]] in g for a, s, g in zip(said, shown, gold[:n], strict=True)]
    return hb.scored(questions[:n], said, cites_gold=cites)


def among(found: list[int], gold: set[int], k: int) -> list[int]:
    """The passage that holds the answer and the k - 1 nearest that do not, in an order drawn for these passages."""
    mixed = [p for p in found if p not in gold][: k - 1] + [min(gold)]
    return [mixed[i] for i in np.random.default_rng(mixed).permutation(len(mixed))]


sources = hb.sources
