"""120 easy questions about anything but the book's tasks, to see what a model forgets. Card: ``data/general/README.md``.

A model answers with the choice that it thinks most likely after the prompt:

    scores = [label_logprobs(lm, "", [item.prompt], item.labels)[0] for item in items()]
    right(scores, items())
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from whentofinetune import book_files
from whentofinetune.datasets import read_lines


@dataclass(frozen=True)
class Item:
    """prompt: plain text that the right choice continues. choices: four. answer: index of the right one, 0 to 3."""

    id: str
    kind: str
    prompt: str
    choices: tuple[str, ...]
    answer: int

    @property
    def labels(self) -> tuple[str, ...]:
        """The choices with the space that parts them from the prompt."""
        return tuple(f" {choice}" for choice in self.choices)


@cache
def items() -> tuple[Item, ...]:
    """All items in the order of the file, the kinds mixed."""
    return read_lines(book_files.data_dir() / "general" / "items.jsonl", Item)


def right(scores: Sequence[np.ndarray], items: Sequence[Item]) -> list[bool]:
    """Is the highest of an item's four scores that of its answer? A tie for the highest counts as wrong.

    scores: float [items, 4], higher is likelier. Raises ValueError for another shape, and for scores
    that are not numbers (a model that has diverged).
    """
    table = np.array([np.ravel(row) for row in scores], dtype=float)
    if table.shape != (len(items), 4):
        raise ValueError(f"need four scores for each of the {len(items)} items, not the shape {table.shape}")
    if np.isnan(table).any():
        raise ValueError("some scores are not numbers: has the model diverged?")
    best = [np.flatnonzero(row == row.max()).tolist() for row in table]
    return [found == [item.answer] for found, item in zip(best, items, strict=True)]
