"""Labels made wrong on purpose, found again by the health check of a comparison, and put right."""

from collections.abc import Collection, Sequence

import numpy as np

from tunewise.compare.base import Item
from tunewise.compare.label_errors import label_errors

KINDS = ("uniform", "confusable")


def flipped(labels: Sequence[int], vectors: np.ndarray, share: float, kind: str, seed: int) -> list[int]:
    """The labels with a ``share`` of them wrong.

    Parameters
    ----------
    labels, vectors
        [n]; sentence embeddings [n, d].
    kind
        ``uniform``: a wrong label is any other, all alike; ``confusable``: the one whose texts lie nearest on average (the highest cosine of the
        mean embeddings), as with people who mix up two labels.
    """
    y, rng = np.array(labels), np.random.default_rng([51, seed])
    known = np.unique(y)
    means = np.stack([vectors[y == label].mean(axis=0) for label in known])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    alike = means @ means.T - 2 * np.eye(len(known))
    nearest = dict(zip(known.tolist(), known[alike.argmax(axis=1)].tolist(), strict=True))
    wrong = y.tolist()
    for i in rng.permutation(len(y))[: round(share * len(y))]:
        others = known[known != y[i]]
        wrong[i] = int(rng.choice(others)) if kind == "uniform" else nearest[int(y[i])]
    return wrong


def flagged(texts: Sequence[str], labels: Sequence[int]) -> list[int]:
    """Places of the labels that the health check takes to be wrong, the same code and thresholds as in ``tunewise check``."""
    items = [
        Item(f"{i}", i, text, f"{y}", f"{i}") for i, (text, y) in enumerate(zip(texts, labels, strict=True))
    ]
    return sorted(row for finding in label_errors("training", items) for row in finding.rows)


def cleaned(
    rows: Sequence[tuple[str, int]], right: Sequence[int], found: Collection[int], how: str, seed: int
) -> list[tuple[str, int]]:
    """Training rows (text, label) after the flagged places ``found`` were acted on.

    how: ``noisy``: nothing was done; ``dropped``: they were left out; ``relabelled``: a person looked at them, so they have the ``right`` label;
    ``at random``: a person looked at as many rows that were drawn, which is what the same hour brings without a check.
    """
    if how == "dropped":
        return [row for i, row in enumerate(rows) if i not in found]
    looked_at = {"noisy": (), "relabelled": found}.get(how)
    if looked_at is None:
        looked_at = np.random.default_rng([52, seed]).permutation(len(rows))[: len(found)].tolist()
    return [(text, right[i] if i in set(looked_at) else y) for i, (text, y) in enumerate(rows)]
