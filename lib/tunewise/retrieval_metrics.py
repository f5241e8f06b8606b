"""Did the right passage come back? One number a query, so that :mod:`tunewise.stats` can put an interval on their mean.

Everywhere ``found`` holds for each query the indices of the passages that came back, best first, and ``relevant`` those that bear on it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tunewise import stats


def recall_at_k(found: Sequence[Sequence[int]], relevant: Sequence[Collection[int]], k: int) -> list[float]:
    """For each query the share of its relevant passages that are among the first ``k``. Raises ValueError where a query has none."""
    if k < 1:
        raise ValueError(f"k must be 1 or more, not {k}")
    return [len(set(mine) & set(first[:k])) / len(set(mine)) for first, mine in _pairs(found, relevant)]


def reciprocal_ranks(found: Sequence[Sequence[int]], relevant: Sequence[Collection[int]]) -> list[float]:
    """For each query 1 / rank of the first relevant passage, the ranks beginning at 1; 0 if none came back."""
    return [
        next((1 / rank for rank, i in enumerate(first, 1) if i in mine), 0.0)
        for first, mine in _pairs(found, relevant)
    ]


def mrr(found: Sequence[Sequence[int]], relevant: Sequence[Collection[int]], seed: int = 0) -> dict:
    """The mean reciprocal rank (Voorhees 1999, TREC-8 question answering track), with a bootstrap interval over queries."""
    return stats.bootstrap(reciprocal_ranks(found, relevant), seed=seed)


def _pairs(
    found: Sequence[Sequence[int]], relevant: Sequence[Collection[int]]
) -> list[tuple[Sequence[int], Collection[int]]]:
    if len(found) != len(relevant):
        raise ValueError(f"{len(found)} results for {len(relevant)} queries: there must be one for each")
    if empty := [i for i, mine in enumerate(relevant) if not mine]:
        raise ValueError(f"query {empty[0]} has no relevant passage: leave it out, for it can't be found")
    return list(zip(found, relevant, strict=True))
