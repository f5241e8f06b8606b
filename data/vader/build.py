"""Make ``data/vader/groups.json``, which of the rated texts belong together, and the agreement of raters that the card gives.

python data/vader/build.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tunewise.data import Example
from tunewise.near_duplicates import near_duplicates
from whentofinetune.datasets import vader


def build(target: Path) -> None:
    """Write ``groups.json``: source -> for each of its texts the number of its group."""
    lines = ",\n".join(f' "{source}": {json.dumps(groups(source))}' for source in vader.FILES)
    (target / "groups.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8", newline="\n")


def groups(source: str) -> list[int]:
    """Texts of the same review or article (products, news) and near-duplicates are one group."""
    rows, first = vader.read(source), {}
    pairs = list(near_duplicates([r.text for r in rows]))
    pairs += [(first.setdefault(r.id.split("_")[0], i), i) for i, r in enumerate(rows) if "_" in r.id]
    ends = np.array(pairs, dtype=int).reshape(-1, 2).T
    joined = coo_array((np.ones(ends.shape[1]), tuple(ends)), shape=(len(rows), len(rows)))
    return connected_components(joined, directed=False)[1].tolist()


def ratings(source: str) -> dict[str, tuple[int, ...]]:
    """id -> what each rater said, -4 to 4."""
    table = vader.table(source, "anonDataRatings")
    return {f"{source}/{number}": tuple(json.loads(said)) for number, _, _, said in table}


def rater_agreement(examples: Sequence[Example]) -> float:
    """How often a single rater, taken as saying positive above 0, neutral at 0 and negative below, is of one mind with the label
    that all raters' mean gives. Mean over examples of a three-class sentiment task.

    What a method can reach is not bounded by it (the mean is steadier than one rater), but it tells how clear the texts are.
    """
    shares, of = [], {source: ratings(source) for source in {e.id.split("/")[0] for e in examples}}
    for e in examples:
        said = of[e.id.split("/")[0]][e.id]
        shares.append(np.mean([(0 if r > 0 else 2 if r < 0 else 1) == e.label for r in said]))
    return float(np.mean(shares))


if __name__ == "__main__":
    build(Path(__file__).parent)
