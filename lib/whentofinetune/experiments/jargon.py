"""Does a model that lacks a company's words need training, or a glossary? (C16)

Multiple-choice questions on terms whose questions were never trained on. What may be trained on is said exactly: the questions of the *train* terms, and
the definitions of *all* terms, for a company has its own glossary; never a question of a test term. Looking up is by exact term: the entries of
all terms that the question or its options name, so that the entry alone does not give the answer away. *search* finds entries by meaning instead (MiniLM).

The way to score (likelihood above the habitual one, :func:`tunewise.multiple_choice.choose`) and the training were chosen on train and valid terms; smaller batches, twice the
rate and a second pass did no better there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from tunewise.finetune import Recipe
from tunewise.multiple_choice import choose
from tunewise.scoring import prompt_tokens
from whentofinetune.book_records import digest
from whentofinetune.datasets import company
from whentofinetune.old_bench import Bench, Experiment, outcome, public

NEUTRAL = "Answer:"


def entry(term: company.Term) -> str:
    return f"{term.term}: {term.definition}\n"


def named(question: company.JargonQuestion, terms: Sequence[company.Term]) -> list[company.Term]:
    """The terms that the question or one of its options names, in the order of the glossary."""
    text = " | ".join((question.question, *question.options))
    return [t for t in terms if re.search(rf"(?<![\w-]){re.escape(t.term)}(?![\w-])", text, re.IGNORECASE)]


def query(question: company.JargonQuestion, entries: Sequence[company.Term] = ()) -> str:
    held = "".join(map(entry, entries))
    return f"{held}Question: {question.question}\nAnswer:"


def definitions(terms: Sequence[company.Term]) -> list[tuple[str, str]]:
    """What a glossary teaches, as pairs: the entry, the meaning of a word, the word for a meaning."""
    return [
        pair
        for t in terms
        for pair in (
            (f"Glossary\n{t.term}:", f" {t.definition}"),
            (f'Question: What does "{t.term}" mean in this house?\nAnswer:', f" {t.gloss}"),
            (f"Question: What is the word of the house for this: {t.gloss}?\nAnswer:", f" {t.term}"),
        )
    ]


def lessons(kind: str, params: dict, seed: int) -> list[tuple[str, str]]:
    """The training pairs of one way to tune: ``questions``, ``definitions`` (and questions), or ``entries`` (questions with their entries)."""
    rng, terms = np.random.default_rng([21, seed]), company.terms()
    asked = company.jargon("train")
    chosen = [asked[i] for i in rng.permutation(len(asked))[: params["questions"]]]
    pairs = [
        (query(q, named(q, terms) if kind == "entries" else ()), " " + q.options[q.answer]) for q in chosen
    ]
    if kind == "definitions":
        pairs += definitions(terms) * params["exposures"]
    return pairs


def run(bench: Bench, params: dict) -> list[dict]:
    """One row a way to answer (and seed); first a row that tells each test question's kind and right option."""
    terms, test = company.terms(), company.jargon("test")[: params["test_n"]]
    options, right = [[f" {o}" for o in q.options] for q in test], [q.answer for q in test]
    same = {"data": digest([vars(q) for q in test] + [vars(t) for t in terms]), "test_n": params["test_n"]}
    rows = [
        {
            "method": "items",
            "kinds": "".join(q.kind[0] for q in test),
            "labels": "".join(map(str, right)),
            "old": "".join("o" if t.kind == "old" else "n" for q in test for t in terms if t.term == q.term),
        }
    ]
    by_term = [named(q, terms) for q in test]

    def ask(lm, entries=None, prefix: str = "") -> dict:
        queries = [query(q, entries[i] if entries else ()) for i, q in enumerate(test)]
        found = choose(lm, prefix, queries, options, neutral=NEUTRAL)
        return outcome(found, right) | {"prompt_tokens": round(prompt_tokens(lm, prefix, queries), 1)}

    def searched() -> list[list[company.Term]]:
        likeness = bench.embed([q.question for q in test]) @ bench.embed([entry(t) for t in terms]).T
        return [
            [terms[i] for i in sorted(np.argsort(-row, kind="stable")[: params["k"]])] for row in likeness
        ]

    def step(settings: dict, measure) -> None:
        rows.append(public(bench.work.step(settings | same, measure)))

    step({"method": "base"}, lambda: ask(bench.lm))
    step({"method": "glossary"}, lambda: ask(bench.lm, prefix="".join(map(entry, terms))))
    step({"method": "lookup"}, lambda: ask(bench.lm, by_term))

    def by_search() -> dict:
        entries = searched()
        hit = np.mean([any(t.term == q.term for t in mine) for q, mine in zip(test, entries, strict=True)])
        return ask(bench.lm, entries) | {"found": round(float(hit), 4)}

    step({"method": "search", "k": params["k"]}, by_search)
    for kind in params["lessons"]:
        for seed in params["seeds"]:
            tuning = Recipe(seed=seed, **params["recipe"])
            told = {
                "method": "lora",
                "lessons": kind,
                "n_labels": params["questions"],
                "exposures": params["exposures"],
                "seed": seed,
            }
            settings = {**told, "tuning": vars(tuning) | {"targets": list(tuning.targets)}}

            def tuned(kind=kind, seed=seed, told=told, tuning=tuning):
                with bench.adapter(
                    told | {"of": "jargon"} | same, tuning, lambda: lessons(kind, params, seed)
                ) as lm:
                    cost = {"train_seconds": round(lm.seconds, 1), "examples_seen": lm.examples}
                    asked = ask(lm, by_term if kind == "entries" else None)
                    also = {"with_entries": ask(lm, by_term)} if kind == "definitions" else {}
                    return asked | also | cost

            step(settings, tuned)
    return rows


_RECIPE = {"learning_rate": 1e-3, "epochs": 1, "batch_size": 8, "min_steps": 1}
_COMMON = {"model": "smollm2-135m", "recipe": _RECIPE, "k": 4}
_ALL = ["questions", "definitions", "entries"]

EXPERIMENT = Experiment(
    name="jargon",
    question="Does a model that lacks a company's words need training, or a glossary?",
    claims=("C16",),
    run=run,
    scales={
        "smoke": _COMMON
        | {"test_n": 6, "lessons": ["questions"], "questions": 2, "exposures": 1, "seeds": [0]},
        "laptop": _COMMON
        | {"test_n": 60, "lessons": ["entries"], "questions": 72, "exposures": 1, "seeds": [0]},
        "full": _COMMON
        | {"test_n": 120, "lessons": _ALL, "questions": 64, "exposures": 2, "seeds": [0, 1, 2, 3, 4]},
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "test_n": 120,
            "lessons": _ALL,
            "questions": 216,
            "exposures": 6,
            "seeds": [0, 1, 2, 3, 4],
        },
    },
)
