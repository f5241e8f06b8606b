"""Make ``data/company/built/grounded.jsonl``, questions with a right and a wrong answer: ``python data/company/build_grounded.py``.

A pair has the question, the passage that is shown, and both answers. Run it after ``build.py``, whose facts, passages and questions it reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

import numpy as np

from whentofinetune.datasets import company
from whentofinetune.datasets.grounded_claims import ERRORS


def build(target: Path) -> None:
    """Write the pairs of all splits and kinds of error."""
    kinds = product(company.SPLITS, ERRORS)
    lines = (
        json.dumps(pair, ensure_ascii=False) + "\n" for split, kind in kinds for pair in pairs(split, kind)
    )
    (target / "grounded.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")


def pairs(split: str, error: str) -> Iterator[dict]:
    """The pairs of one split and kind of error."""
    facts, held = company.facts(), {p.id: p for p in company.passages()}
    rng, found = np.random.default_rng([company.SPLITS.index(split), ERRORS.index(error)]), []
    stale = error == "stale"
    for q in company.questions("changed" if stale else "direct", split):
        if stale and q.aspect != "now":
            continue
        fact, fitting = facts[q.facts[0]], [held[p] for p in q.passages[0]]
        if split == "train":
            fitting = [p for p in fitting if all(facts[f].split == "train" for f in p.facts)]
        options = [(p, w) for p in fitting for w in wrong(fact, p, facts, error)]
        if options:
            passage, other = options[rng.integers(len(options))]
            told = {"id": q.id, "passage": passage.id, "question": q.ask[rng.integers(len(q.ask))]}
            found.append({"split": split, "error": error, **told, "answers": [fact.value, other]})
    yield from (found[i] for i in rng.permutation(len(found)))


def wrong(
    fact: company.Fact, passage: company.Passage, facts: Mapping[str, company.Fact], error: str
) -> list[str]:
    """Wrong answers of one kind for a fact that the passage states."""
    if error == "stale":
        return [fact.was] if fact.id in passage.changes and company.says(passage.text, fact.was) else []
    if error == "present":
        stated = [facts[f].value for f in passage.facts if f != fact.id and facts[f].value != fact.value]
        return [v for v in stated if shape(v) == shape(fact.value) and company.says(passage.text, v)]
    alike = [f for f in facts.values() if (f.attribute, f.split) == (fact.attribute, fact.split)]
    others = dict.fromkeys(f.value for f in alike if f.value != fact.value)
    return [v for v in others if not company.says(passage.text, v)][:20]


def shape(value: str) -> str:
    """What a value looks like, coarsely: digits, capitals and words, so that a wrong answer is of the right kind."""
    words = value.split()[:2]
    return " ".join("9" if re.search(r"\d", w) else "A" if w[0].isupper() else w for w in words)


if __name__ == "__main__":
    build(Path(__file__).parent / "built")
