"""In-context learning: choose examples, put them before the item, score the labels, calibrate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tunewise.data import Task
    from tunewise.models.packing import LanguageModel
    from tunewise.prompt_templates import PromptTemplate

Shot = tuple[str, int]  # a text and the index of its label


def random_shots(pool: Sequence[Shot], k: int, seed: int) -> list[Shot]:
    """k examples drawn without regard to their labels."""
    rng = np.random.default_rng(seed)
    return [pool[i] for i in rng.choice(len(pool), size=k, replace=False)]


def balanced_shots(pool: Sequence[Shot], k: int, n_labels: int, seed: int) -> list[Shot]:
    """k examples, as nearly the same number of each label as k allows, in random order."""
    rng = np.random.default_rng(seed)
    first = rng.permutation(n_labels)
    chosen: list[Shot] = []
    for place, label in enumerate(first):
        of_label = [i for i, (_, y) in enumerate(pool) if y == label]
        want = k // n_labels + (place < k % n_labels)
        if want > len(of_label):
            raise ValueError(f"{want} examples of label {label} wanted, the pool has {len(of_label)}")
        chosen += [pool[i] for i in rng.choice(of_label, size=want, replace=False)]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def nearest_shots(
    pool: Sequence[Shot], pool_vectors: np.ndarray, query_vectors: np.ndarray, k: int
) -> list[list[Shot]]:
    """For each query the k examples with the highest cosine similarity, the nearest last (next to the item).

    pool_vectors [N, d], query_vectors [n, d]: unit length.
    """
    order = np.argsort(-(query_vectors @ pool_vectors.T), axis=1, kind="stable")[:, :k]
    return [[pool[i] for i in reversed(row)] for row in order]


def nearest_vote(
    labels: Sequence[int], pool_vectors: np.ndarray, query_vectors: np.ndarray, k: int
) -> np.ndarray:
    """The k-nearest-neighbour vote without any language model; ties go to the nearer example. Returns int [n]."""
    order = np.argsort(-(query_vectors @ pool_vectors.T), axis=1, kind="stable")[:, :k]
    y = np.asarray(labels)[order]
    weight = 1.0 + 1e-6 * np.arange(k, 0, -1)
    votes = np.stack([((y == c) * weight).sum(axis=1) for c in range(int(max(labels)) + 1)], axis=1)
    winners: np.ndarray = votes.argmax(axis=1)
    return winners


def calibrate(scores: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Contextual calibration (Zhao et al. 2021, arXiv 2102.09690): divide by what the prompt says of an empty text.

    scores [n, m]: label log-probabilities. empty [e, m]: the same for e texts without content ("N/A", "", "[MASK]").
    Their label probabilities, renormalised over the labels and averaged, are the prompt's bias. Returns
    renormalised log-probabilities [n, m] with that bias divided out.
    """

    def normal(logs: np.ndarray) -> np.ndarray:
        return logs - np.logaddexp.reduce(logs, axis=1, keepdims=True)

    bias = np.log(np.exp(normal(empty)).mean(axis=0))
    return normal(normal(scores) - bias)


EMPTY_TEXTS = ("N/A", "[MASK]", "...")


def label_probabilities(
    lm: LanguageModel, wording: PromptTemplate, task: Task, text: str, shots: Sequence[Shot] = ()
) -> dict[str, float]:
    """Probability of each label of ``task`` for one text after ``shots``, renormalised over the labels."""
    from tunewise.scoring import label_logprobs

    logs = label_logprobs(
        lm, wording.prefix(task, shots), [wording.query(task, text)], wording.answers(task.labels)
    )[0]
    return dict(zip(task.labels, np.exp(logs - np.logaddexp.reduce(logs)).tolist(), strict=True))
