"""The material of the labs "Build RAG" and "Retriever or reader?": pages, questions and recorded answers, a slice for each student."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tunewise.record import Record, Row
from tunewise.written_answers import contains
from whentofinetune.book_records import load
from whentofinetune.datasets import company
from whentofinetune.labs import Variant
from whentofinetune.pages import hybrid


@dataclass(frozen=True)
class Case:
    """One recorded answer. answers: what counts as right. shown, gold: ids of the passages in the prompt, and of those that state the fact."""

    question: str
    answers: tuple[str, ...]
    shown: tuple[str, ...]
    gold: tuple[str, ...]
    said: str


def pages_and_questions(
    v: Variant, valid: int = 20, test: int = 30, pages: int = 120
) -> tuple[dict[str, str], list[company.Question], list[company.Question]]:
    """Pages of the handbook (id -> text), validation questions and test questions that they answer."""
    rng = v.rng("handbook")
    drawn = []
    for split, n in (("valid", valid), ("test", test)):
        pool = company.questions("direct", split)
        drawn.append([pool[i] for i in rng.choice(len(pool), n, replace=False)])
    needed = {p for q in [*drawn[0], *drawn[1]] for p in q.passages[0]}
    others = [p.id for p in company.passages() if p.id not in needed]
    kept = needed | {others[i] for i in rng.permutation(len(others))[: max(0, pages - len(needed))]}
    return {p.id: p.text for p in company.passages() if p.id in kept}, *drawn


def cases(record: Record, row: Row) -> list[Case]:
    """The answers of a row of ``rag_hybrid`` that read the passages found."""
    kept, out = record.one(method="retrieval"), []
    answers = {q.id: q.answers for q in company.questions("direct")}
    for item, said in zip(row.items, row["predictions"], strict=True):
        i = kept.items.index(item)
        shown = tuple(kept["found"][i][: row["k"]])
        out.append(Case(kept["asked"][i], answers[item], shown, tuple(kept["gold"][i]), said))
    return out


def ten_wrong(v: Variant) -> list[Case]:
    """Ten wrong answers of the base model and of those after RAG fine-tuning, no question twice; two to four of them without a right passage."""
    rng, record = v.rng("wrong"), load("rag_hybrid")
    rows = [
        r
        for m in ("base", "reading")
        for p in ("found", "sweep found")
        for r in record.where(method=m, passages=p)
    ]
    wrong = [c for r in rows if r["k"] in (1, 3) for c in cases(record, r) if not contains(c.said, c.answers)]
    wrong = [wrong[i] for i in rng.permutation(len(wrong))]
    picked: dict[str, Case] = {}
    for lost, n in ((True, int(rng.integers(2, 5))), (False, 10)):
        for case in wrong:
            if len(picked) < n and lost == (not set(case.shown) & set(case.gold)):
                picked.setdefault(case.question, case)
    ten = list(picked.values())
    return [ten[i] for i in rng.permutation(len(ten))]


def quadrants(v: Variant, n: int = 30) -> tuple[str, dict[str, np.ndarray]]:
    """What tuning taught, and for each quadrant (``neither``, ``retrieval alone``, ``tuning alone``, ``both``), on the same n questions, the
    share of the training runs with a right answer. ``page given`` is the base model with the right passage alone; ``found``: was a right one found?
    """
    rng, record = v.rng("quadrants"), load("rag_hybrid")
    kept = np.sort(rng.choice(len(record.one(method="retrieval").items), n, replace=False))
    taught = str(rng.choice(list(hybrid.TAUGHT)))
    rows = {
        **hybrid.quadrant(record, taught),
        "page given": record.where(method="base", passages="gold", k=1),
    }
    shares = {name: np.mean([r.outcomes("right") for r in of], axis=0)[kept] for name, of in rows.items()}
    found = np.array(hybrid.found_among(record, record.params["k"]))[kept]
    return hybrid.TAUGHT[taught], shares | {"found": found}


def searches(v: Variant, n: int = 30) -> list[Case]:
    """The base model's answers to n questions; ``shown`` holds all ten pages that the search ranked, of which the first three were shown."""
    rng, record = v.rng("searches"), load("rag_hybrid")
    base, kept = record.one(method="base", passages="found"), record.one(method="retrieval")
    deep = [replace(c, shown=tuple(f)) for c, f in zip(cases(record, base), kept["found"], strict=True)]
    return [deep[i] for i in np.sort(rng.choice(len(deep), n, replace=False))]
