"""Some of the facts change: what does it take to be right again? (C38)

With an index, and with weights.
"""

from collections.abc import Mapping

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from whentofinetune import handbook as hb
from whentofinetune.timing import timed

INDEX = ("stale index", "index brought up to date")
WEIGHTS = ("stale weights", "weights trained again")


def conditions(p: Params) -> Conditions:
    for share in p.shares:
        for method in INDEX:
            yield Condition(method, share=share, reader="base")
        for seed in p.seeds:
            for method in INDEX:
                yield Condition(method, share=share, reader="reading", seed=seed)
            for method in WEIGHTS:
                yield Condition(method, share=share, seed=seed)


def evaluate(ctx: Context, c: Condition) -> Scores:
    p, now = ctx.params, c.method in (INDEX[1], WEIGHTS[1])
    questions = hb.fact_questions(p.facts, p.multihop)
    asks, passages = [q.ask[hb.HELD_OUT] for q in questions], [[] for _ in questions]
    new = hb.changes([q.facts[0] for q in questions], c.share)
    if c.method in INDEX:
        told, book = index_facts(ctx, new) if now else {}, hb.Handbook(ctx, changed=new if now else None)
        passages = [book.show(f) for f in book.find(asks, p.k)]
        how = hb.training(ctx, c.reader, c.seed)
    else:
        how = hb.training(ctx, "facts", c.seed, max(p.phrasings), new if now else None)
        with ctx.adapter(*how) as lm:
            told = {"train_seconds": round(lm.seconds, 1)}
    changed = [q.facts[0] in new for q in questions]
    return hb.scored(
        questions,
        hb.answer(ctx, how, asks, passages),
        [(new[q.facts[0]],) if q.facts[0] in new else q.answers for q in questions],
        parts={"changed": changed, "unchanged": [not x for x in changed]},
        facts=told,
    )


def index_facts(ctx: Context, new: Mapping[str, str]) -> dict:
    """How many passages change, and the seconds to put them into the old index in place of those they replace: none is embedded yet."""
    old, fresh = hb.Handbook(ctx), hb.Handbook(ctx, changed=new)
    texts = {i: b for i, (a, b) in enumerate(zip(old.texts, fresh.texts, strict=True)) if a != b}
    seconds = ctx.memo(["replaced", texts], lambda: round(timed(old.retriever.update, fresh.texts), 2))
    return {"passages_replaced": len(texts), "index_seconds": seconds}


sources = hb.sources
