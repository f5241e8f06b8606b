"""New facts: into the weights, into the prompt, or looked up? (C32, C34)

The same facts are asked for in the wording that was trained on, in one that was not, reversed (the value is given, the thing asked for), and
two at a time. Facts are tuned in with one or eight phrasings of each question, each fact seen equally often. Retrieval searches the whole
handbook, or (``same facts``) only the passages that state the facts that are tuned in. The plainest rival of all looks up the question
that is nearest among those tuned on, and gives its answer. On the facts and questions of the validation split
each side chooses: the base model how it is asked, both trainings their recipe.
"""

from itertools import product

from tunewise import rag
from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.retrieval import Retriever
from whentofinetune import handbook as hb
from whentofinetune.datasets.company import Question

VERSION = 2
KINDS = ("same wording", "reworded", "reversed", "two facts")
SAME = ", same facts"


def conditions(p: Params) -> Conditions:
    yield from hb.trials(p)
    for kind in KINDS:
        yield Condition("closed book", asked=kind)
        yield Condition("nearest question", asked=kind)
    for kind, corpus in product(KINDS[1:], ("", SAME)):
        yield Condition("rag" + corpus, asked=kind)
    if p.whole_corpus:
        yield Condition("whole corpus", asked="reworded")
    read = p.seeds[: p.reading_seeds]  # a training on passages takes half an hour of one core
    for seed in p.seeds:
        for phrasings, kind in product(p.phrasings, KINDS):
            yield Condition("tuned", phrasings=phrasings, seed=seed, asked=kind)
        for kind, corpus in product(KINDS[1:], ("", SAME)) if p.readings and seed in read else ():
            yield Condition("rag fine-tuning" + corpus, seed=seed, asked=kind)


def evaluate(ctx: Context, c: Condition) -> Scores:
    p, method = ctx.params, c.method.removesuffix(SAME)
    facts = hb.fact_set(p.facts, p.multihop)[0] if c.method.endswith(SAME) else []
    stated = {i for f in facts for ids in hb.by_id()[f"direct/{f}"].passages for i in ids}
    book = hb.Handbook(ctx, only=stated or None)
    questions = hb.trial_questions(p, method) if c.trial else asked(p, c.asked)
    asks = [q.ask[0 if c.asked in ("same wording", "two facts") else hb.HELD_OUT] for q in questions]
    if method == "nearest question":
        return nearest_question(ctx, questions, asks)
    if method == "whole corpus":
        return whole_corpus(ctx, book, questions)
    found = [book.show(f) for f in book.find(asks, p.k)] if method.startswith("rag") else [[]] * len(asks)
    return hb.scored(questions, hb.fair_answer(ctx, c, method, asks, found))


def asked(p: Params, kind: str) -> list[Question]:
    """The questions of a kind."""
    facts, two = hb.fact_set(p.facts, p.multihop)
    ids = [f"{'reversed' if kind == 'reversed' else 'direct'}/{f}" for f in facts]
    return two if kind == "two facts" else [hb.by_id()[i] for i in ids if i in hb.by_id()]


def nearest_question(ctx: Context, questions: list[Question], asks: list[str]) -> Scores:
    """The answer that belongs to the nearest of the questions that facts are tuned in with: no language model."""
    p = ctx.params
    facts = hb.fact_questions(p.facts, p.multihop)
    known = [(ask, q.answers[0]) for q in facts for ask in q.ask[: max(p.phrasings)]]
    hits = Retriever([ask for ask, _ in known], ctx.embed).search(asks, 1)
    return hb.scored(questions, [rag.read(known[one.index][1], 0) for one, *_ in hits])


def whole_corpus(ctx: Context, book: hb.Handbook, questions: list[Question]) -> Scores:
    """All passages of a small corpus in one prompt: those that state the first of the facts, and every question that they answer."""
    few = list(dict.fromkeys(min(book.gold(q)[0]) for q in questions))[: ctx.params.whole_corpus]
    questions = [q for q in questions if book.gold(q)[0] & set(few)]
    asks = [q.ask[hb.HELD_OUT] for q in questions]
    said = rag.answer_from_all(ctx.lm, asks, book.show(few), max_new_tokens=hb.NEW_TOKENS)
    return hb.scored(questions, said, facts={"passages": len(few)})


sources = hb.sources
