"""Prompts and training pairs about the invented company's words, and the entries of its glossary.

What may be trained on is said exactly: the questions of the *train* terms, and the definitions of *all* terms, for a company has its own
glossary; never a question of a test term.
"""

import re
from collections.abc import Sequence

from whentofinetune.datasets import company, drawn
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
    pairs = []
    for t in terms:
        pairs.append((f"Glossary\n{t.term}:", f" {t.definition}"))
        pairs.append((f'Question: What does "{t.term}" mean in this house?\nAnswer:', f" {t.gloss}"))
        pairs.append((f"Question: What is the word of the house for this: {t.gloss}?\nAnswer:", f" {t.term}"))
    return pairs


def training_pairs(kind: str, n: int, exposures: int, seed: int) -> list[tuple[str, str]]:
    """Pairs from ``n`` questions: ``questions``, ``definitions`` (these as well, ``exposures`` times) or ``entries`` (questions with their entries)."""
    terms, chosen = company.terms(), drawn(company.jargon("train"), n, 21, seed)
    prompts = [query(q, named(q, terms) if kind == "entries" else ()) for q in chosen]
    pairs = [(prompt, " " + q.options[q.answer]) for prompt, q in zip(prompts, chosen, strict=True)]
    return pairs + (definitions(terms) * exposures if kind == "definitions" else [])
