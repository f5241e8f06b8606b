"""The rated texts of Hutto & Gilbert (2014): read, cleaned, put into groups of texts that belong together, and split.

Card: ``data/vader/README.md``. The texts are not part of this repository; they come from the source distribution of
``vaderSentiment`` on PyPI, checked by SHA-256.
"""

import html
import json
import tarfile
import tomllib
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tunewise.models.download import Source, fetch
from tunewise.near_duplicates import plain
from whentofinetune import book_files
from whentofinetune.datasets import check_one_of

_TABLE = tomllib.loads(Path(__file__).with_name("sources.toml").read_text(encoding="utf-8"))
PACKAGES = {name: Source(**row) for name, row in _TABLE.items()}
SDIST = PACKAGES["vader"]

# our name -> what a text of it is, and the beginning of the file's name in the distribution
_NAMES = ("tweets", "amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets")
KINDS = {"tweets": "tweet", "products": "product review", "films": "film review", "news": "newspaper"}
FILES = dict(zip(KINDS, _NAMES, strict=True))
THRESHOLD = 0.8  # mean rating (-4 to 4) from which a text is positive, and below minus which negative
TEST_A_CLASS, VALID_A_CLASS = 100, 50


@dataclass(frozen=True)
class Rated:
    """One text. id: as in the source, ``tweets/17`` or ``news/131_5``. rating: mean of its raters, -4 to 4."""

    id: str
    text: str
    rating: float

    @property
    def sentiment(self) -> str:
        """``positive``, ``neutral`` or ``negative``, by :data:`THRESHOLD`."""
        signs = {1: "positive", 0: "neutral", -1: "negative"}
        return signs[(self.rating >= THRESHOLD) - (self.rating <= -THRESHOLD)]


@lru_cache(maxsize=4)
def read(source: str) -> tuple[Rated, ...]:
    """All texts of one source in the order of its file: HTML entities decoded, white space made single; texts without a letter
    are left out."""
    rows = []
    for number, rating, text in table(source, "GroundTruth"):
        text = " ".join(html.unescape(text).split())
        if any(c.isalpha() for c in text):
            rows.append(Rated(f"{source}/{number}", text, float(rating)))
    return tuple(rows)


def table(source: str, kind: str) -> list[list[str]]:
    """The fields of each line of one file of the distribution. Raises ValueError for an unknown source."""
    check_one_of(source, FILES, "source")
    with tarfile.open(fetch(SDIST) / "hutto_ICWSM_2014.tar.gz") as tar:
        raw = tar.extractfile(f"hutto_ICWSM_2014/{FILES[source]}_{kind}.txt").read()
    return [line.split("\t") for line in raw.decode("utf-8-sig").replace("\r\n", "\n").split("\n") if line]


@lru_cache(maxsize=4)
def groups(source: str) -> tuple[int, ...]:
    """For each text of :func:`read` the number of its group. Texts of the same review or article (products, news) and
    near-duplicates are one group; a group is never spread over two splits. ``python data/vader/build.py`` finds them."""
    held = json.loads((book_files.data_dir() / "vader" / "groups.json").read_text(encoding="utf-8"))
    return tuple(held[source])


def split(source: str, seed: int = 0) -> dict[str, list[Rated]]:
    """``{"train", "valid", "test"}`` of one source, in random order: whole groups, drawn until test has 100 texts and validation 50
    of each sentiment; the rest is training. Not balanced yet. Of texts that are equal but for case and
    punctuation, the first is kept."""
    rows, group_of = read(source), groups(source)
    members, firsts = defaultdict(list), {}
    for row, group in zip(rows, group_of, strict=True):
        if firsts.setdefault(plain(row.text), row) is row:
            members[group].append(row)
    rng = np.random.default_rng([seed, list(FILES).index(source)])
    order = [list(members)[i] for i in rng.permutation(len(members))]
    out: dict[str, list[Rated]] = {"train": [], "valid": [], "test": []}
    for name, wanted in (("test", TEST_A_CLASS), ("valid", VALID_A_CLASS)):
        have, rest = Counter(), []
        for group in order:
            if any(have[r.sentiment] < wanted for r in members[group]):
                out[name] += members[group]
                have.update(r.sentiment for r in members[group])
            else:
                rest.append(group)
        order = rest
    out["train"] = [row for group in order for row in members[group]]
    return {name: [part[i] for i in rng.permutation(len(part))] for name, part in out.items()}
