"""What the experiments on retrieval share: the company's handbook as a corpus, questions on it, and how answers are marked.

Facts are learned from and tested on different *wordings* of their questions; reading passages is learned on the training entities and tested on
the test entities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from tunewise.experiments.base import Bench
from tunewise.measure import answers as mark
from tunewise.measure import stats
from tunewise.methods import rag
from tunewise.methods.finetune import Tuned, Tuning
from tunewise.tasks import company

HELD_OUT = -1  # the last wording of each question is kept for testing


class Handbook:
    """The handbook (with facts ``changed``, if any) and a way to find passages in it.

    how: ``bm25``, ``dense`` or ``hybrid``.
    """

    def __init__(self, bench: Bench, how: str = "hybrid", changed: Mapping[str, str] | None = None):
        from tunewise.methods.retrieval import Retriever

        self.passages = company.passages(changed)
        self.texts = [p.text for p in self.passages]
        self.place = {p.id: i for i, p in enumerate(self.passages)}
        self.retriever = Retriever(self.texts, bench.embed, how)

    def find(self, questions: Sequence[str], k: int) -> list[list[int]]:
        """The places of the k passages found for each question, best first."""
        return [[hit.index for hit in hits] for hits in self.retriever.search(questions, k)]

    def gold(self, question: company.Question) -> list[set[int]]:
        """For each fact that the answer needs, the places of the passages that state it."""
        return [{self.place[p] for p in ids} for ids in question.passages]

    def show(self, places: Sequence[int]) -> list[str]:
        return [self.texts[i] for i in places]


@lru_cache(maxsize=1)
def by_id() -> Mapping[str, company.Question]:
    """All questions by their id."""
    return {q.id: q for q in company.questions()}


def drawn(items: Sequence, n: int, seed: int) -> list:
    """``n`` items (all, if there are fewer), drawn with ``seed``, in their own order."""
    if n >= len(items):
        return list(items)
    return [items[i] for i in sorted(np.random.default_rng([7, seed]).choice(len(items), size=n, replace=False))]


def wordings(questions: Sequence[company.Question], seed: int) -> list[str]:
    """One wording of each question, drawn with ``seed``."""
    rng = np.random.default_rng([8, seed])
    return [q.ask[rng.integers(len(q.ask))] for q in questions]


def marked(answers: Sequence[rag.Answer], right: Sequence[Sequence[str]], said: bool = True) -> dict:
    """Scores of answers, with one letter an item (R right, W wrong, A abstained) and the answers themselves.

    right: the right answers of each item; none where abstaining is right.
    """
    texts = [a.text for a in answers]
    outcomes = [mark.outcome(t, r) for t, r in zip(texts, right, strict=True)]
    n = len(texts)
    scores = {
        "right": stats.proportion(outcomes.count("R"), n),
        "abstained": stats.proportion(outcomes.count("A"), n),
        "outcomes": "".join(outcomes),
    }
    if any(right):
        scores["exact"] = stats.proportion(sum(mark.exact_match(t, r) for t, r in zip(texts, right, strict=True)), n)
        scores["f1"] = stats.bootstrap([mark.token_f1(t, r) for t, r in zip(texts, right, strict=True)])
    return scores | ({"said": texts} if said else {})


# -- the two ways to tune --------------------------------------------------------------------------------------------


def fact_set(n_facts: int, n_multihop: int, split: str = "test") -> tuple[list[str], list[company.Question]]:
    """Ids of ``n_facts`` facts of a split, and ``n_multihop`` questions that need two of them each."""
    multihop, facts, known = [], {}, by_id()
    two = company.questions("multihop", split)
    for q in (two[i] for i in np.random.default_rng(6).permutation(len(two))):
        fresh = [f for f in q.facts if f not in facts]
        if len(multihop) < n_multihop and len(fresh) == 2 and all(f"direct/{f}" in known for f in q.facts):
            multihop.append(q)
            facts |= dict.fromkeys(q.facts)
    rest = [q.facts[0] for q in company.questions("direct", split) if q.facts[0] not in facts and f"reversed/{q.facts[0]}" in known]
    facts |= dict.fromkeys(drawn(rest, n_facts - len(facts), 1))
    return list(facts), multihop


def fact_pairs(facts: Sequence[str], phrasings: int, exposures: int, values: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Question-answer pairs without passages, each fact ``exposures`` times in all, in its first ``phrasings`` wordings.

    values: fact id -> value, for facts that have changed.
    """
    if exposures % phrasings:
        raise ValueError(f"{exposures} exposures cannot be shared equally among {phrasings} phrasings")
    pairs = []
    for fact in facts:
        question = by_id()[f"direct/{fact}"]
        value = (values or {}).get(fact, question.answers[0])
        pairs += [(rag.prompt(ask), rag.target(value)) for ask in question.ask[:phrasings]] * (exposures // phrasings)
    return pairs


def knows(bench: Bench, params: dict, phrasings: int, seed: int, values: Mapping[str, str] | None = None):
    """The model with the facts of ``params`` tuned in (a ``with`` block)."""
    facts, _ = fact_set(params["facts"], params["multihop"])
    settings = {
        "method": "facts", "facts": params["facts"], "multihop": params["multihop"], "phrasings": phrasings, "exposures": params["exposures"],
        "n_labels": len(facts) * params["exposures"], "seed": seed, "values": dict(values or {}),
    }  # fmt: skip
    tuning = Tuning(seed=seed, **params["fact_recipe"])
    return bench.adapter(settings, tuning, lambda: fact_pairs(facts, phrasings, params["exposures"], values), rag.FROM_MEMORY)


def reads(bench: Bench, params: dict, seed: int, *, distractors: int, without: float):
    """The model tuned on questions with passages, about the training entities only (a ``with`` block)."""
    settings = {
        "method": "reading", "n_labels": params["readings"], "distractors": distractors, "without": without, "seed": seed,
    }  # fmt: skip
    tuning = Tuning(seed=seed, **params["reading_recipe"])
    return bench.adapter(settings, tuning, lambda: reading_pairs(bench, params["readings"], distractors, without, seed), rag.WITH_PASSAGES)


def reading_pairs(bench: Bench, n: int, distractors: int, without: float, seed: int) -> list[tuple[str, str]]:
    """``n`` questions of the training split with the passage that holds the answer and its nearest neighbours."""
    book = Handbook(bench)
    rng = np.random.default_rng([9, seed])
    pool = company.questions("direct", "train")
    chosen = [pool[i] for i in rng.choice(len(pool), size=n, replace=False)]
    asks = wordings(chosen, seed)
    found = book.find(asks, distractors + 4)
    gold = [book.gold(q)[0] for q in chosen]

    def near(i: int) -> list[int]:
        return [p for p in found[i] if p not in gold[i]]

    asked = [(ask, q.answers[0]) for ask, q in zip(asks, chosen, strict=True)]
    return rag.raft_pairs(
        asked, [min(g) for g in gold], near, book.texts, distractors=distractors, without=without, rng=rng
    )


FACTS = {
    "facts": 40, "multihop": 10, "exposures": 16,
    "fact_recipe": {"learning_rate": 2e-3, "epochs": 1, "batch_size": 16},
}  # fmt: skip
READING = {"readings": 160, "reading_recipe": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 8}}


def untuned(bench: Bench) -> Tuned:
    """The model as it is, in the shape of a tuned one."""
    return Tuned(bench.lm.model, bench.lm.tokenizer, [], 0.0, 0, 0)


def asker(tuned: bool = False, *, examples: int = 96, seed: int = 0, **options):
    """A function (question, k) -> the answer from the k passages found: ``{"answer", "cited", "passages": [{"id", "title", "text"}]}``.

    tuned: by the model after tuning to read on ``examples`` questions (a minute or two, once). options: for
    :func:`tunewise.models.load.load`; the model is loaded at the first question.
    """
    from tunewise import runs
    from tunewise.models.device import choose
    from tunewise.models.load import model_checksum

    held: dict = {}

    def prepare() -> None:
        name, precision = options.get("name", "smollm2-135m"), options.get("precision") or choose()
        bench = Bench(name, runs.Work({"model": model_checksum(name), "dtype": str(precision.dtype)}, say=None), precision)
        held["book"], held["lm"] = Handbook(bench), untuned(bench)
        if tuned:
            stay = reads(bench, READING | {"readings": examples}, seed, distractors=2, without=0.2)
            held["lm"], held["open"] = stay.__enter__(), stay

    def ask(question: str, k: int = 3) -> dict:
        held or prepare()
        book = held["book"]
        places = book.find([question], k)[0] if k else []
        said = rag.answer(held["lm"], [question], [book.show(places)])[0]
        shown = [{"id": p.id, "title": p.title, "text": p.text} for p in (book.passages[i] for i in places)]
        return {"answer": said.text, "cited": said.cited, "passages": shown}

    return ask
