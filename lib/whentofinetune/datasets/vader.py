"""The rated texts of Hutto & Gilbert (2014): read, cleaned, put into groups of texts that belong together, and split.

Card: ``data/vader/README.md``. The texts are not part of this repository; they come from the source distribution of
``vaderSentiment`` on PyPI, checked by SHA-256.
"""

from __future__ import annotations

import html
import json
import tarfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tunewise.data import near_duplicates, plain
from tunewise.models.download import Source, fetch

SDIST = Source(
    project="vaderSentiment",
    version="3.3.2",
    filename="vaderSentiment-3.3.2.tar.gz",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    size=2466783,
    what="the rated texts of vaderSentiment",
    members={
        "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz": "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
    },
    strip="vaderSentiment-3.3.2/additional_resources/",
)

# our name -> beginning of the file's name in the distribution
FILES = {
    "tweets": "tweets",
    "products": "amazonReviewSnippets",
    "films": "movieReviewSnippets",
    "news": "nytEditorialSnippets",
}
THRESHOLD = (
    0.8  # mean rating (-4 to 4) from which a text counts as positive, and below minus which as negative
)
TEST_A_CLASS, VALID_A_CLASS = 100, 50


@dataclass(frozen=True)
class Rated:
    """One text. id: as in the source, ``tweets/17`` or ``news/131_5``. rating: mean of its raters, -4 to 4."""

    id: str
    text: str
    rating: float

    @property
    def sentiment(self) -> str:
        return (
            "positive" if self.rating >= THRESHOLD else "negative" if self.rating <= -THRESHOLD else "neutral"
        )


@lru_cache(maxsize=4)
def read(source: str) -> tuple[Rated, ...]:
    """All texts of one source in the order of its file: HTML entities decoded, white space made single; texts without a letter
    are left out."""
    rows = []
    for number, rating, text in _table(source, "GroundTruth"):
        text = " ".join(html.unescape(text).split())
        if any(c.isalpha() for c in text):
            rows.append(Rated(f"{source}/{number}", text, float(rating)))
    return tuple(rows)


@lru_cache(maxsize=4)
def ratings(source: str) -> dict[str, tuple[int, ...]]:
    """id -> what each rater said, -4 to 4."""
    return {
        f"{source}/{number}": tuple(json.loads(said))
        for number, _, _, said in _table(source, "anonDataRatings")
    }


def rater_agreement(examples: Sequence) -> float:
    """How often a single rater, taken as saying positive above 0, neutral at 0 and negative below, is of one mind with the label
    that all raters' mean gives. Mean over examples (with ``id`` and ``label``) of a three-class sentiment task.

    What a method can reach is not bounded by it (the mean is steadier than one rater), but it tells how clear the texts are.
    """
    shares = []
    for e in examples:
        said = ratings(e.id.split("/")[0])[e.id]
        shares.append(np.mean([(0 if r > 0 else 2 if r < 0 else 1) == e.label for r in said]))
    return float(np.mean(shares))


def _table(source: str, kind: str) -> list[list[str]]:
    """The fields of each line of one file of the distribution."""
    if source not in FILES:
        raise ValueError(f"no source is called {source!r}; the names are {', '.join(FILES)}")
    with tarfile.open(fetch(SDIST) / "hutto_ICWSM_2014.tar.gz") as tar:
        raw = tar.extractfile(f"hutto_ICWSM_2014/{FILES[source]}_{kind}.txt").read()
    return [line.split("\t") for line in raw.decode("utf-8-sig").replace("\r\n", "\n").split("\n") if line]


@lru_cache(maxsize=4)
def groups(source: str) -> tuple[int, ...]:
    """For each text of :func:`read` the number of its group. Texts of the same review or article (products, news) and
    near-duplicates are one group; a group is never spread over two splits."""
    rows = read(source)
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(i: int, j: int) -> None:
        a, b = sorted((root(i), root(j)))
        parent[b] = a

    first: dict[str, int] = {}
    for i, row in enumerate(rows):
        if "_" in row.id:
            join(first.setdefault(row.id.split("_")[0], i), i)
    for i, j in near_duplicates([r.text for r in rows]):
        join(i, j)
    return tuple(root(i) for i in range(len(rows)))


def split(source: str, seed: int = 0) -> dict[str, list[Rated]]:
    """``{"train", "valid", "test"}`` of one source, in random order: whole groups, drawn until test has 100 texts and validation 50
    of each sentiment; the rest is training. Not balanced yet. Of texts that are equal but for case and
    punctuation, the first is kept."""
    rows, group_of = read(source), groups(source)
    members = defaultdict(list)
    seen = set()
    for row, group in zip(rows, group_of, strict=True):
        if (key := plain(row.text)) not in seen:
            seen.add(key)
            members[group].append(row)
    rng = np.random.default_rng([seed, list(FILES).index(source)])
    numbers = list(members)
    order = [numbers[i] for i in rng.permutation(len(numbers))]
    out: dict[str, list[Rated]] = {"train": [], "valid": [], "test": []}
    for name, wanted in (("test", TEST_A_CLASS), ("valid", VALID_A_CLASS)):
        have, rest = Counter(), []
        for group in order:
            sentiments = {r.sentiment for r in members[group]}
            if any(have[s] < wanted for s in sentiments):
                out[name] += members[group]
                have.update(r.sentiment for r in members[group])
            else:
                rest.append(group)
        order = rest
    for group in order:
        out["train"] += members[group]
    return {name: [part[i] for i in rng.permutation(len(part))] for name, part in out.items()}
