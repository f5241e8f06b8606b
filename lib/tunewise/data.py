"""Labelled texts: a text in, one of a few labels out.

mine = own_data("tickets.csv", text="subject", label="queue")
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunewise.step_cache import digest

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Example:
    """text, the index of its label in the task's ``labels``, and an id that leads back to the source."""

    text: str
    label: int
    id: str


@dataclass(frozen=True)
class Task:
    """Examples in random order, in three splits that share no text.

    The splits of the built-in tasks are balanced (as many examples of each label); those of own data keep its shares.
    """

    name: str
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    valid: tuple[Example, ...]
    test: tuple[Example, ...]


def own_data(
    source: str | Path,
    text: str | None = None,
    label: str | None = None,
    *,
    seed: int = 0,
    **options: Any,
) -> Task:
    """A reader's own labelled texts, read and split by :func:`tunewise.compare.intake.prepare`.

    The labels are sorted by name; a prompt shows them as they are, so words beat codes. What is seriously wrong with the rows (a text
    with two labels, likely label errors) is said in a warning for each.

    Parameters
    ----------
    source
        Path of a CSV, TSV, JSONL, JSON, Parquet or Excel file; a pandas frame; a list of dicts.
    text, label
        Names of columns; guessed where not given.
    options
        More of ``prepare``'s, such as ``group``, ``time`` or ``split``.

    Raises
    ------
    tunewise.compare.text_encoding.DataError
        For what can't be read or learnt from, with file, row and remedy.
    """
    from tunewise.compare.intake import prepare

    mine = prepare(source, text=text, label=label, task="classification", seed=seed, **options)
    for finding in mine.findings:
        if finding.serious:
            warnings.warn(f"{finding.said} Done: {finding.done}.", stacklevel=2)
    labels = tuple(sorted(mine.labels))
    rng = np.random.default_rng(seed)
    splits = {}
    for split in SPLITS:
        items = getattr(mine, split)
        mixed = [items[i] for i in rng.permutation(len(items))]
        splits[split] = tuple(
            Example(item.text, labels.index(item.target), f"{mine.name}:{item.row}") for item in mixed
        )
    return Task(Path(mine.name).stem, labels, **splits)


def is_file_name(name: str) -> bool:
    """Is this the path of a reader's own file, and not the name of a task?"""
    return name.lower().endswith((".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".xlsx"))


def fingerprint(task: Task) -> str:
    """SHA-256 of everything in the task but its name: the same data gives the same fingerprint on any machine."""
    content: list = [list(task.labels)]
    content += [[[e.id, e.text, e.label] for e in getattr(task, split)] for split in SPLITS]
    return digest(content)
