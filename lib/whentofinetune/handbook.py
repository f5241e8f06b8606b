"""What the experiments on retrieval share: the company's handbook as a corpus, questions on it, and how answers are marked.

Facts are learned from and tested on different *wordings* of their questions; reading passages is learned on the training entities and tested on
the test entities.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tunewise import rag, stats
from tunewise import written_answers as mark
from tunewise.finetune import Recipe, Tuned
from whentofinetune.book_records import digest
from whentofinetune.datasets import company
from whentofinetune.old_bench import Bench

HELD_OUT = -1  # the last wording of each question is kept for testing


class Handbook:
    """The handbook (with facts ``changed``, if any) and a way to find passages in it.

    how: ``bm25``, ``dense`` or ``hybrid``.
    """

    def __init__(self, bench: Bench, how: str = "hybrid", changed: Mapping[str, str] | None = None):
        from tunewise.retrieval import Retriever

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


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """A hash of handbook and questions: what was learned from other ones is not found again."""
    return digest(
        [[p.text for p in company.passages()], [[q.id, q.ask, q.answers] for q in company.questions()]]
    )


def drawn(items: Sequence, n: int, seed: int) -> list:
    """``n`` items (all, if there are fewer), drawn with ``seed``, in their own order."""
    if n >= len(items):
        return list(items)
    return [
        items[i] for i in sorted(np.random.default_rng([7, seed]).choice(len(items), size=n, replace=False))
    ]


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
        scores["exact"] = stats.proportion(
            sum(mark.exact_match(t, r) for t, r in zip(texts, right, strict=True)), n
        )
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
    rest = [
        q.facts[0]
        for q in company.questions("direct", split)
        if q.facts[0] not in facts and f"reversed/{q.facts[0]}" in known
    ]
    facts |= dict.fromkeys(drawn(rest, n_facts - len(facts), 1))
    return list(facts), multihop


def fact_pairs(
    facts: Sequence[str], phrasings: int, exposures: int, values: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """Question-answer pairs without passages, each fact ``exposures`` times in all, in its first ``phrasings`` wordings.

    values: fact id -> value, for facts that have changed.
    """
    if exposures % phrasings:
        raise ValueError(f"{exposures} exposures cannot be shared equally among {phrasings} phrasings")
    pairs = []
    for fact in facts:
        question = by_id()[f"direct/{fact}"]
        value = (values or {}).get(fact, question.answers[0])
        pairs += [(rag.prompt(ask), rag.target(value)) for ask in question.ask[:phrasings]] * (
            exposures // phrasings
        )
    return pairs


@dataclass
class Reader:
    """The model after a way of tuning, with every answer that it has given kept: experiments that ask it the same get the same answer.

    way: ``untouched``; ``facts`` (question and answer of ``params["facts"]`` facts, in ``phrasings`` wordings, with ``values`` for those that have
    changed); ``reading`` (questions with the right passage among ``params["distractors"]`` others, about the training entities, and a share
    ``params["without"]`` with no right passage); ``gold only`` (with the right passage alone). seed: of the tuning.
    """

    bench: Bench
    params: dict
    way: str = "untouched"
    seed: int | None = None
    phrasings: int = 8
    values: Mapping[str, str] | None = None

    def settings(self) -> dict:
        """What tells this model from others."""
        p, told = self.params, {"method": self.way, "data": fingerprint()}
        if self.way == "facts":
            told |= {name: p[name] for name in ("facts", "multihop", "exposures")} | {
                "phrasings": self.phrasings
            }
            told |= {
                "values": dict(self.values or {}),
                "n_labels": p["facts"] * p["exposures"],
                "seed": self.seed,
            }
        elif self.way in ("reading", "gold only"):
            reads = (p["distractors"], p["without"]) if self.way == "reading" else (0, 0.0)
            told |= {
                "n_labels": p["readings"],
                "distractors": reads[0],
                "without": reads[1],
                "seed": self.seed,
            }
        elif self.way != "untouched":
            raise ValueError(
                f"no way of tuning is called {self.way!r}; there are untouched, facts, reading, gold only"
            )
        return told

    def tuning(self) -> Recipe:
        return Recipe(
            seed=self.seed or 0, **self.params["fact_recipe" if self.way == "facts" else "reading_recipe"]
        )

    def open(self):
        """The model itself, for the length of a ``with`` block."""
        if self.way == "untouched":
            return contextlib.nullcontext(untuned(self.bench))
        told = self.settings()
        if self.way == "facts":
            facts, _ = fact_set(told["facts"], told["multihop"])

            def pairs():
                return fact_pairs(facts, self.phrasings, told["exposures"], self.values)
        else:

            def pairs():
                return reading_pairs(
                    self.bench, told["n_labels"], told["distractors"], told["without"], self.seed
                )

        opening = rag.FROM_MEMORY if self.way == "facts" else rag.WITH_PASSAGES
        return self.bench.adapter(told, self.tuning(), pairs, opening)

    def answer(self, asks: Sequence[str], passages: Sequence[Sequence[str]]) -> list[rag.Answer]:
        """Answers to ``asks``, each from its own ``passages`` (none: from memory)."""
        prompts = [rag.prompt(a, p) for a, p in zip(asks, passages, strict=True)]
        told = self.settings()
        recipe = (
            {} if self.way == "untouched" else vars(self.tuning()) | {"targets": list(self.tuning().targets)}
        )
        path = self.bench.work.path({"answers": told, "recipe": recipe})
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        missing = [i for i, p in enumerate(prompts) if p not in kept]
        self.bench.work.seconds += sum(kept[p][1] for p in prompts if p in kept)
        if missing:
            with self.open() as lm:
                for first in range(0, len(missing), 32):
                    part, start = missing[first : first + 32], time.perf_counter()
                    said = rag.answer(
                        lm, [asks[i] for i in part], [passages[i] for i in part], max_new_tokens=20
                    )
                    seconds = round((time.perf_counter() - start) / len(part), 3)
                    kept |= {prompts[i]: [a.said, seconds] for i, a in zip(part, said, strict=True)}
                    half = path.with_suffix(".part")
                    half.write_text(json.dumps(kept), encoding="utf-8")
                    os.replace(half, path)
        return [rag.read(kept[p][0], len(own)) for p, own in zip(prompts, passages, strict=True)]


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
    "facts": 40,
    "multihop": 10,
    "exposures": 16,
    "fact_recipe": {"learning_rate": 2e-3, "epochs": 1, "batch_size": 16},
}
READING = {
    "readings": 80,
    "distractors": 2,
    "without": 0.2,
    "reading_recipe": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 4},
}
SMOKE = {
    "facts": 6,
    "multihop": 2,
    "exposures": 2,
    "readings": 8,
    "fact_recipe": {"learning_rate": 2e-3, "epochs": 1, "batch_size": 4, "min_steps": 2},
    "reading_recipe": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 2, "min_steps": 2},
}


def untuned(bench: Bench) -> Tuned:
    """The model as it is, in the shape of a tuned one."""
    return Tuned(bench.lm.model, bench.lm.tokenizer, [], 0.0, 0, 0)


def asker(tuned: bool = False, *, examples: int = 80, seed: int = 0, **options):
    """A function (question, k) -> the answer from the k passages found: ``{"answer", "cited", "passages": [{"id", "title", "text"}]}``.

    tuned: by the model after tuning to read on ``examples`` questions (a minute or two, once). options: for
    :func:`tunewise.models.load.load`; the model is loaded at the first question.
    """
    from tunewise.models.device import choose
    from tunewise.models.load import model_checksum
    from whentofinetune.old_steps import Work

    held: dict = {}

    def prepare() -> None:
        name, precision = options.get("name", "smollm2-135m"), options.get("precision") or choose()
        bench = Bench(
            name, Work({"model": model_checksum(name), "dtype": str(precision.dtype)}, say=None), precision
        )
        held["book"], held["lm"] = Handbook(bench), untuned(bench)
        if tuned:
            params = READING | {
                "readings": examples,
                "reading_recipe": READING["reading_recipe"] | {"min_steps": 1},
            }
            held["open"] = Reader(bench, params, "reading", seed).open()
            held["lm"] = held["open"].__enter__()

    def ask(question: str, k: int = 3) -> dict:
        held or prepare()
        book = held["book"]
        places = book.find([question], k)[0] if k else []
        said = rag.answer(held["lm"], [question], [book.show(places)])[0]
        shown = [{"id": p.id, "title": p.title, "text": p.text} for p in (book.passages[i] for i in places)]
        return {"answer": said.text, "cited": said.cited, "passages": shown}

    return ask
