"""Does the cited passage hold the answer, and is what it says so? (C39)

Two ways to cite. The model names a passage itself; or the passage is found afterwards, by looking for the answer in the passages that were
shown. Then a wrong source is planted: a copy of the right passage with another value in it.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

from tunewise import rag
from tunewise import written_answers as score
from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from whentofinetune import handbook as hb


def conditions(p: Params) -> Conditions:
    for shown in ("found", "planted"):
        yield Condition("base", condition=shown)
    for seed, shown in product(p.seeds, ("found", "planted")):
        yield Condition("reading", condition=shown, seed=seed)


def evaluate(ctx: Context, c: Condition) -> Scores:
    p, k = ctx.params, ctx.params.k
    questions = hb.drawn(hb.other_questions(p.facts, p.multihop), p.questions, 13)
    wrong = hb.changes([q.facts[0] for q in questions], 1.0)
    questions = [q for q in questions if q.facts[0] in wrong]
    asks, rng = hb.wordings(questions, 13), np.random.default_rng(13)
    book, forged = hb.Handbook(ctx), hb.Handbook(ctx, changed=wrong)
    gold, found = [book.gold(q)[0] for q in questions], book.find(asks, k + 4)
    places = [[(i, False) for i in f[:k]] for f in found]
    if c.condition == "planted":
        both = [
            [(min(g), False), (min(g), True), *((i, False) for i in [i for i in f if i not in g][: k - 2])]
            for f, g in zip(found, gold, strict=True)
        ]
        places = [[mine[j] for j in rng.permutation(len(mine))] for mine in both]
    texts = [[(forged if lie else book).texts[i] for i, lie in mine] for mine in places]
    said = hb.answer(ctx, hb.training(ctx, c.method, c.seed), asks, texts)
    true = [[i in g and not lie for i, lie in mine] for mine, g in zip(places, gold, strict=True)]
    cites = [cited(*row) for row in zip(said, texts, true, strict=True)]
    planted = [score.contains(a.text, (wrong[q.facts[0]],)) for a, q in zip(said, questions, strict=True)]
    return hb.scored(
        questions, said, planted=planted, **{name: [c[name] for c in cites] for name in cites[0]}
    )


def cited(answer: rag.Answer, texts: Sequence[str], true: Sequence[bool]) -> dict[str, bool]:
    """What an answer cites, ``own`` by the model itself and ``after`` found afterwards: is there a citation (``given``), does the cited passage
    hold the words of the answer (``holds``), is it one that states the fact as it is (``source``)? ``true`` says that of each passage."""
    after = [i for i, t in enumerate(texts) if score.tokens(answer.text) and score.contains(t, [answer.text])]
    found = {}
    for who, places in (("own", answer.cited), ("after", after)):
        found[f"{who}.given"] = bool(places)
        found[f"{who}.holds"] = bool(places) and places[0] in after
        found[f"{who}.source"] = bool(places) and true[places[0]]
    return found


sources = hb.sources
