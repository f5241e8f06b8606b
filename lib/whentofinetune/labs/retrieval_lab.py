"""The material of the labs "Build RAG" and "Retriever or reader?": pages, questions and recorded answers, a slice for each student."""

from __future__ import annotations

from dataclasses import dataclass

from tunewise.record import Record, Row
from tunewise.written_answers import contains
from whentofinetune.book_records import load
from whentofinetune.datasets import company
from whentofinetune.handbook import by_id
from whentofinetune.labs import Variant


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
    for item, said in zip(row.items, row["predictions"], strict=True):
        i = kept.items.index(item)
        shown = tuple(kept["found"][i][: row["k"]])
        out.append(Case(kept["asked"][i], by_id()[item].answers, shown, tuple(kept["gold"][i]), said))
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
