"""Does the right passage come back? (C32)

BM25, sentence embeddings, and both together, before any language model reads them.
"""

from itertools import product

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.retrieval import reciprocal_ranks
from whentofinetune import handbook as hb
from whentofinetune.datasets import company


def conditions(p: Params) -> Conditions:
    for how, kind in product(p.hows, p.kinds):
        yield Condition(how, asked=kind)


def evaluate(ctx: Context, c: Condition) -> Scores:
    """A question over two facts counts as found when passages for both are among the k."""
    questions, ks = hb.drawn(company.questions(c.asked, "test"), ctx.params.questions, 17), ctx.params.ks
    book = hb.Handbook(ctx, c.method)
    found, gold = book.find(hb.wordings(questions, 17), max(ks)), [book.gold(q) for q in questions]
    recall = {
        f"recall.{k}": [all(set(f[:k]) & g for g in gs) for f, gs in zip(found, gold, strict=True)]
        for k in ks
    }
    ranks = reciprocal_ranks(found, [set().union(*gs) for gs in gold])
    return Scores(questions, **recall, mrr=ranks)


sources = hb.sources
