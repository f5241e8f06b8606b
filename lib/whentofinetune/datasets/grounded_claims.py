"""Is this answer supported by this passage? Items with planted errors, from the invented company's handbook.

Each question is asked twice, once with the right answer and once with a wrong one of the same form:

- ``absent``: the value of another entity, which is not in the passage; looking whether the value is there finds it out;
- ``present``: another value that *is* in the passage, as of a neighbour in a table; one has to read;
- ``stale``: the passage tells that the value has changed, and the answer is the old one. This kind is kept for testing.

The passages of training state facts of training entities only; those of a split state at least one of it, the one asked for.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from tunewise.experiment import Scores
from whentofinetune.datasets import check_one_of, company, only, read_lines

LABELS = ("yes", "no")
ERRORS = ("absent", "present", "stale")


@dataclass(frozen=True)
class Item:
    """label: index into :data:`LABELS`. error: of the pair's wrong answer, which kind; both items of a pair have it, and are one group."""

    id: str
    passage: str
    question: str
    answer: str
    label: int
    error: str
    group = property(lambda self: self.id.rsplit("/", 1)[0])


@cache
def items(split: str, error: str | None = None) -> tuple[Item, ...]:
    """All items of a split and kind of error (None: ``absent`` and ``present``, as many of each as there are of the rarer), in a fixed shuffle.

    Raises ValueError for another kind of error.
    """
    if error is not None:
        check_one_of(error, ERRORS, "error")
    kinds = [_pairs()[split, e] for e in (ERRORS[:2] if error is None else (error,))]
    pairs = [pair for kind in kinds for pair in kind[: min(map(len, kinds))]]
    order = np.random.default_rng(0).permutation(len(pairs))
    return tuple(item for i in order for item in pairs[i])


@cache
def _pairs() -> dict[tuple[str, str], list[tuple[Item, ...]]]:
    """(split, kind of error) -> pairs of right and wrong, in the order in which ``data/company/build_grounded.py`` drew them."""
    texts, found = {p.id: " ".join(p.text.split()) for p in company.passages()}, defaultdict(list)
    for row in read_lines(company.folder() / "built" / "grounded.jsonl", dict):
        told, kind = (texts[row["passage"]], row["question"]), row["error"]
        answers = enumerate(zip(LABELS, row["answers"], strict=True))
        pair = tuple(Item(f"{row['id']}/{kind}/{label}", *told, a, y, kind) for y, (label, a) in answers)
        found[row["split"], kind].append(pair)
    return found


def training_items(n: int, seed: int) -> list[Item]:
    """``n`` training items, in pairs of right and wrong, drawn with ``seed``."""
    train = items("train")
    chosen = np.random.default_rng([41, seed]).permutation(len(train) // 2)[: n // 2]
    return [train[i] for p in chosen for i in (2 * p, 2 * p + 1)]


def features(asked: Sequence[Item], embed: Callable[[Sequence[str]], np.ndarray]) -> np.ndarray:
    """Three numbers an item, float [n, 3]: is the answer in the passage; the share of the question's longer words in the sentence (or table
    row) with the answer; how near that sentence is to question and answer, by sentence embeddings."""

    def fit(sentence: str, item: Item) -> tuple[bool, float]:
        return company.says(sentence, item.answer), _overlap(sentence, item.question)

    best = [max(_sentences(i.passage), key=lambda s, i=i: fit(s, i)) for i in asked]
    near = (embed(best) * embed([f"{i.question} {i.answer}" for i in asked])).sum(axis=1)
    there = [company.says(i.passage, i.answer) for i in asked]
    shared = [_overlap(s, i.question) for s, i in zip(best, asked, strict=True)]
    return np.array(list(zip(there, shared, near, strict=True)), dtype=float)


def _sentences(passage: str) -> list[str]:
    return [s for s in re.split(r"(?<=[.!?;])\s+|\s*\|\s+\|\s*", passage) if re.search(r"\w", s)]


def _overlap(sentence: str, question: str) -> float:
    wanted = {w for w in re.findall(r"\w+", question.lower()) if len(w) > 3}
    return len(wanted & set(re.findall(r"\w+", sentence.lower()))) / max(1, len(wanted))


def scored(asked: Sequence[Item], predictions: Sequence[int], **facts) -> Scores:
    """Accuracy on the items whose kind of error training has, and of each kind (``stale.accuracy``); ``facts`` are figures."""
    right = [int(p) == i.label for p, i in zip(predictions, asked, strict=True)]

    parts = {f"{kind}.accuracy": only(right, [i.error == kind for i in asked]) for kind in ERRORS}
    trained = only(right, [i.error in ERRORS[:2] for i in asked])
    return Scores(asked, predictions=predictions, facts=facts, accuracy=trained, **parts)
