"""New facts: into the weights, into the prompt, or looked up? (C32, C34)

The same facts are asked for in the wording that was trained on, in one that was not, reversed (the value is given, the thing asked for), and
two at a time. Facts are tuned in with one, four or eight phrasings of each question, each fact seen equally often.
"""

from __future__ import annotations

from collections.abc import Iterator

from tunewise import rag
from tunewise.experiment import Condition, Context, Experiment, Params, Scores
from whentofinetune import handbook as hb
from whentofinetune.datasets.company import Question

KINDS = ("same wording", "reworded", "reversed", "two facts")
METHODS = {"rag fine-tuning": "reading", "tuned": "facts"}  # others ask the base model


def conditions(p: Params) -> Iterator[Condition]:
    for kind in KINDS:
        yield Condition("closed book", asked=kind)
    for kind in KINDS[1:]:
        yield Condition("rag", asked=kind)
    if p.whole_corpus:
        yield Condition("whole corpus", asked="reworded")
    for seed in p.seeds:
        for phrasings in p.phrasings:
            for kind in KINDS:
                yield Condition("tuned", phrasings=phrasings, seed=seed, asked=kind)
        for kind in KINDS[1:] if p.readings else ():
            yield Condition("rag fine-tuning", seed=seed, asked=kind)


def evaluate(ctx: Context, c: Condition) -> Scores:
    p, book = ctx.params, hb.Handbook(ctx)
    questions, asks = asked(p, c.asked)
    if c.method == "whole corpus":
        return whole_corpus(ctx, book, questions)
    looked_up = c.method.startswith("rag")
    passages = [book.show(f) for f in book.find(asks, p.k)] if looked_up else [[] for _ in asks]
    how = hb.training(ctx, METHODS.get(c.method, "base"), c.seed, c.phrasings)
    return hb.scored(questions, hb.answer(ctx, how, asks, passages))


def asked(p: Params, kind: str) -> tuple[list[Question], list[str]]:
    """The questions of a kind, and the wording in which each is asked."""
    questions, wording = hb.fact_questions(p.facts, p.multihop), 0 if kind == "same wording" else hb.HELD_OUT
    if kind == "reversed":
        questions = [
            hb.by_id()[f"reversed/{q.facts[0]}"] for q in questions if f"reversed/{q.facts[0]}" in hb.by_id()
        ]
    if kind == "two facts":
        questions, wording = hb.fact_set(p.facts, p.multihop)[1], 0
    return questions, [q.ask[wording] for q in questions]


def whole_corpus(ctx: Context, book: hb.Handbook, questions: list[Question]) -> Scores:
    """All passages of a small corpus in one prompt: those that state the first of the facts, and every question that they answer."""
    few = list(dict.fromkeys(min(book.gold(q)[0]) for q in questions))[: ctx.params.whole_corpus]
    questions = [q for q in questions if book.gold(q)[0] & set(few)]
    asks = [q.ask[hb.HELD_OUT] for q in questions]
    said = rag.answer_from_all(ctx.lm, asks, book.show(few), max_new_tokens=hb.NEW_TOKENS)
    return hb.scored(questions, said, facts={"passages": len(few)})


_COMMON = hb.COMMON | {"whole_corpus": 20}

EXPERIMENT = Experiment(
    "rag_knowledge",
    conditions,
    evaluate,
    question="New facts: into the weights, into the prompt, or looked up?",
    claims=("C32", "C34"),
    sources=lambda p: hb.fingerprint(),
    scales={
        "smoke": _COMMON | hb.SMOKE | {"phrasings": [2], "readings": 0, "whole_corpus": 3, "seeds": [0]},
        "laptop": _COMMON | hb.LAPTOP | {"phrasings": [1, 8], "readings": 0, "whole_corpus": 8},
        "full": _COMMON | {"phrasings": [1, 4, 8], "seeds": [0, 1, 2, 3, 4]},
        "gpu": _COMMON | hb.GPU | {"phrasings": [1, 4, 8], "whole_corpus": 60},
    },
)
