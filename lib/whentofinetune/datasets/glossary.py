"""Prompts and training pairs about the invented company's words, and the entries of its glossary.

What may be trained on is said exactly: the questions of the *train* terms, and the definitions of *all* terms, for a company has its own
glossary; never a question of a test term.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from whentofinetune.datasets import company
from whentofinetune.datasets.company import JargonQuestion, Term


def entry(term: Term) -> str:
    """A term's line in the glossary."""
    return f"{term.term}: {term.definition}\n"


def named(question: JargonQuestion, terms: Sequence[Term]) -> list[Term]:
    """The terms that the question or one of its options names, in the order of the glossary: one entry alone would give the answer away."""
    text = " | ".join((question.question, *question.options))
    return [t for t in terms if re.search(rf"(?<![\w-]){re.escape(t.term)}(?![\w-])", text, re.IGNORECASE)]


def query(question: JargonQuestion, entries: Sequence[Term] = ()) -> str:
    """A question as a prompt, after entries of the glossary."""
    return f"{''.join(map(entry, entries))}Question: {question.question}\nAnswer:"


def definitions(terms: Sequence[Term]) -> list[tuple[str, str]]:
    """What a glossary teaches, as pairs of prompt and completion: the entry, the meaning of a word, the word for a meaning."""
    return [
        pair
        for t in terms
        for pair in (
            (f"Glossary\n{t.term}:", f" {t.definition}"),
            (f'Question: What does "{t.term}" mean in this house?\nAnswer:', f" {t.gloss}"),
            (f"Question: What is the word of the house for this: {t.gloss}?\nAnswer:", f" {t.term}"),
        )
    ]


def training_pairs(kind: str, n: int, exposures: int, seed: int) -> list[tuple[str, str]]:
    """Pairs from ``n`` questions: ``questions``, ``definitions`` (these as well, ``exposures`` times) or ``entries`` (questions with their entries)."""
    rng, terms, asked = np.random.default_rng([21, seed]), company.terms(), company.jargon("train")
    chosen = [asked[i] for i in rng.permutation(len(asked))[:n]]
    pairs = [
        (query(q, named(q, terms) if kind == "entries" else ()), " " + q.options[q.answer]) for q in chosen
    ]
    return pairs + (definitions(terms) * exposures if kind == "definitions" else [])
