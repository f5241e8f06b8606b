"""The material of the lab "A specialist's words": messages with their tokens, recorded answers on jargon, sentences with a gap; a slice for each student."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whentofinetune.book_records import load
from whentofinetune.datasets import company, hindi_pairs
from whentofinetune.labs import Variant

_ARMS = {
    "the question alone": {"method": "base"},
    "entries looked up": {"method": "lookup"},
    "entries found by meaning": {"method": "search"},
    "definitions trained in": {"method": "lora", "training": "definitions", "entries": False},
}


@dataclass(frozen=True)
class Message:
    """The same message in English and in Hindi, and the tokens that the bundled model's tokenizer cuts it into."""

    en: str
    hi: str
    en_tokens: int
    hi_tokens: int


def messages(v: Variant, n: int = 60) -> list[Message]:
    """n messages of a web framework, translated by people; their tokens as the book's record counted them."""
    record, pairs = load("new_language"), {p.id: p for p in hindi_pairs.pairs()}
    en, hi = (record.one(method="tokens", language=language) for language in ("en", "hi"))
    counted = list(zip(en.items, en.outcomes("tokens"), hi.outcomes("tokens"), strict=True))
    drawn = [counted[i] for i in v.rng("messages").choice(len(counted), n, replace=False)]
    return [Message(pairs[item].en, pairs[item].hi, int(a), int(b)) for item, a, b in drawn]


def answers(v: Variant, n: int = 14) -> tuple[list[str], dict[str, np.ndarray]]:
    """The term of each question, six questions a term; and for each method 1 for a right answer, 0 for another (the mean over training runs)."""
    record = load("jargon")
    terms = record.one(method="base").groups
    kept = v.rng("terms").choice(sorted(set(terms)), n, replace=False)
    mine = np.isin(terms, kept)
    arms = {
        name: np.mean([r.outcomes("accuracy") for r in record.where(**settings)], axis=0)[mine]
        for name, settings in _ARMS.items()
    }
    return [t for t, kept_term in zip(terms, mine, strict=True) if kept_term], arms


def sentences(v: Variant, n: int = 6) -> list[tuple[company.Term, str]]:
    """n terms, two sentences each: the term, and the sentence up to the place where it stands."""
    terms = {t.id: t for t in company.terms("test")}
    drawn = v.rng("sentences").choice(sorted(terms), n, replace=False)
    gaps = [q for q in company.jargon("test") if q.kind == "gap" and q.term in drawn]
    return [(terms[q.term], q.question.split("___")[0].rstrip()) for q in gaps]
