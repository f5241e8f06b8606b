"""An operation that nobody has seen, and an easy task beside it, on short lists of letters.

``frell`` takes the last letter, then the first, then the last but one, then the second, and so on: ``frell(k m p t)`` is ``t k p m``. It was made up for this
book. ``easy`` only asks whether the letter x is in the list: whatever can be trained learns that. Nothing is stored: lists are drawn with a seed,
and no list of training is in a test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tunewise.experiment import Scores
from tunewise.scoring import written
from whentofinetune.datasets import check_one_of, only

LETTERS = "bcdfghjklmnpqrstvwz"  # no x, which the easy task asks for, and no vowels, so that no words arise
LENGTHS, LONGER = (3, 4, 5), (6,)
TEST_SEED, LONG_SEED = 1000, 1001
RULE = (
    "frell is an operation on a list of letters. It writes the last letter, then the first, then the last but one, then the second, "
    "and so on, until every letter has been written once.\n\n"
)


@dataclass(frozen=True)
class Item:
    """A list of ``length`` letters as a prompt, and the answer that continues it."""

    prompt: str
    answer: str
    length: int
    id = property(lambda self: self.prompt)


def frell(letters: list[str]) -> list[str]:
    """Last, first, last but one, second, ..."""
    left, out = list(letters), []
    while left:
        out.append(left.pop(-1 if len(out) % 2 == 0 else 0))
    return out


def items(
    task: str, n: int, seed: int, lengths: tuple[int, ...] = LENGTHS, *, without: set[str] = frozenset()
) -> list[Item]:
    """``n`` different items, the lengths in turn, none whose prompt is in ``without``. task: ``frell`` or ``easy`` (every other list has the x).

    Raises ValueError for another task.
    """
    check_one_of(task, ("frell", "easy"), "task")
    rng, found, seen = np.random.default_rng([51, seed, len(lengths)]), [], set(without)
    while len(found) < n:
        length = lengths[len(found) % len(lengths)]
        letters = [LETTERS[i] for i in rng.choice(len(LETTERS), size=length, replace=False)]
        marked = (len(found) // len(lengths)) % 2 == 0
        if task == "easy" and marked:
            letters[rng.integers(length)] = "x"
        prompt = f"{task}({' '.join(letters)}) ="
        if prompt not in seen:
            seen.add(prompt)
            answer = " ".join(frell(letters)) if task == "frell" else ("yes" if marked else "no")
            found.append(Item(prompt, f" {answer}", length))
    return found


def tests(task: str, n: int, longer: int) -> dict[str, list[Item]]:
    """The test items of a task: ``n`` new lists of the trained lengths, and for frell ``longer`` ones of one letter more."""
    found = {"same": items(task, n, TEST_SEED)}
    return found | ({"longer": items(task, longer, LONG_SEED, LONGER)} if task == "frell" else {})


def by_kind(asked: Mapping[str, Sequence[Item]], metrics: Mapping[str, Sequence]) -> dict[str, list]:
    """``kind.metric`` -> one outcome an item of all kinds, None for items of another kind."""
    kinds = [kind for kind, found in asked.items() for _ in found]
    inside = {kind: [k == kind for k in kinds] for kind in asked}
    return {f"{k}.{name}": only(values, inside[k]) for name, values in metrics.items() for k in asked}


def scored(lm, asked: dict[str, list], prefix: str = "", ends: bool = True, **facts) -> Scores:
    """For each kind of list: exact answers, and the share of right letters (each after the right ones before it).

    ends: whether the end of the text must follow; in a prompt with examples a line break does.
    """
    every = [i for found in asked.values() for i in found]
    hits = written(lm, [i.prompt for i in every], [i.answer for i in every], prefix=prefix)
    hits = hits if ends else [h[:-1] for h in hits]
    shares = [sum(h[: len(h) - ends]) / (len(h) - ends) for h in hits]
    metrics = {"exact": [all(h) for h in hits], "letters": shares}
    return Scores(every, facts=facts, **by_kind(asked, metrics))
