"""Prompts for classification: templates, examples put before the item, the probabilities of the labels, calibration.

A prompt falls into a ``prefix`` (the same for all items: instruction and examples) and a ``query`` (the item). The cut
lies before a space, so that both can be tokenised apart.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax, softmax

from tunewise.control_tokens import inert

if TYPE_CHECKING:
    from tunewise.data import Task
    from tunewise.models.packing import LanguageModel

Shot = tuple[str, int]  # a text and the index of its label


@dataclass(frozen=True)
class PromptTemplate:
    """One prompt template.

    Parameters
    ----------
    opening
        The instruction; ``{noun}`` is what the texts are (``tweet``), ``{aspect}`` what is asked of them (``sentiment``), ``{Aspect}`` the
        same with a capital, ``{labels}`` the list of labels; they may stand in ``after`` too.
    before, after
        What surrounds the text.
    verbal
        The word that stands for each label, in the order of the task's labels (None: the labels themselves).
    separator
        What follows an example's answer.
    """

    name: str
    opening: str
    before: str
    after: str
    verbal: tuple[str, ...] | None = None
    separator: str = "\n\n"

    def answers(self, labels: Sequence[str]) -> list[str]:
        """The strings that are scored, with their leading space, in the order of ``labels``."""
        words = self.verbal or tuple(labels)
        if len(words) != len(labels):
            there = f"{len(words)} words for {len(labels)} labels {[*labels]}"
            raise ValueError(f"prompt template {self.name!r} has {there}")
        return [" " + w for w in words]

    def query(self, task: Task, text: str) -> str:
        """The part of the prompt that belongs to one item. Line breaks in the text become spaces, control tokens stay text."""
        return " " + inert(" ".join(text.split())) + self.after.format(**self._words(task))

    def instruction(self, task: Task) -> str:
        """What is said once, before all examples."""
        return self.opening.format(**self._words(task))

    def prefix(self, task: Task, shots: Sequence[tuple[str, int]] = ()) -> str:
        """Instruction and examples (pairs of text and label index), up to where the item's text begins."""
        answers = self.answers(task.labels)
        done = (f"{self.before}{self.query(task, text)}{answers[y]}{self.separator}" for text, y in shots)
        return self.instruction(task) + "".join(done) + self.before

    def _words(self, task: Task) -> dict[str, str]:
        noun, aspect = ASKED.get(task.name, ("text", "label"))
        labels = ", ".join(task.labels[:-1]) + " or " + task.labels[-1]
        return {"noun": noun, "aspect": aspect, "Aspect": aspect.capitalize(), "labels": labels}


_TABLE = tomllib.loads(Path(__file__).with_name("prompt_templates.toml").read_text("utf-8"))
# What the texts of a task are, and what is asked of them; a reader's own data are plain texts with labels.
ASKED: dict[str, tuple[str, str]] = {name: (noun, aspect) for name, (noun, aspect) in _TABLE["asked"].items()}


class _Named(dict[str, PromptTemplate]):
    def __missing__(self, name: str) -> PromptTemplate:
        raise ValueError(f"no prompt template is called {name!r}; there are {', '.join(self)}")


def _listed(name: str, verbal: Sequence[str] = (), **parts: str) -> PromptTemplate:
    return PromptTemplate(name, **parts, verbal=tuple(verbal) or None)


TEMPLATES = _Named({name: _listed(name, **row) for name, row in _TABLE["templates"].items()})


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
    """For each query [n, d] the k examples [N, d] with the highest cosine similarity, the nearest last (next to the item)."""
    return [[pool[i] for i in reversed(row)] for row in _nearest(pool_vectors, query_vectors, k)]


def nearest_vote(
    labels: Sequence[int], pool_vectors: np.ndarray, query_vectors: np.ndarray, k: int
) -> np.ndarray:
    """The k-nearest-neighbour vote without any language model; ties go to the nearer example. Returns int [n]."""
    y = np.asarray(labels)[_nearest(pool_vectors, query_vectors, k)]
    weight = 1.0 + 1e-6 * np.arange(k, 0, -1)
    votes = np.stack([((y == c) * weight).sum(axis=1) for c in range(int(max(labels)) + 1)], axis=1)
    winners: np.ndarray = votes.argmax(axis=1)
    return winners


def _nearest(pool_vectors: np.ndarray, query_vectors: np.ndarray, k: int) -> np.ndarray:
    """Places [n, k] of the k examples with the highest cosine similarity, the nearest first."""
    return np.argsort(-(query_vectors @ pool_vectors.T), axis=1, kind="stable")[:, :k]


def calibrate(scores: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Contextual calibration (Zhao et al. 2021, arXiv 2102.09690): divide by what the prompt says of an empty text.

    scores [n, m]: label log-probabilities. empty [e, m]: the same for e texts without content ("N/A", "", "[MASK]").
    Their label probabilities, renormalised over the labels and averaged, are the prompt's bias. Returns
    renormalised log-probabilities [n, m] with that bias divided out.
    """
    return log_softmax(log_softmax(scores, axis=1) - label_bias(empty), axis=1)


def label_bias(empty: np.ndarray) -> np.ndarray:
    """What a prompt says of texts without content, as log-probabilities of the labels [m], from scores [e, m] of such texts."""
    return np.log(softmax(empty, axis=1).mean(axis=0))


EMPTY_TEXTS = ("N/A", "[MASK]", "...")


def label_probabilities(
    lm: LanguageModel, template: PromptTemplate, task: Task, text: str, shots: Sequence[Shot] = ()
) -> dict[str, float]:
    """Probability of each label of ``task`` for one text after ``shots``, renormalised over the labels."""
    from tunewise.scoring import label_logprobs

    answers = template.answers(task.labels)
    logs = label_logprobs(lm, template.prefix(task, shots), [template.query(task, text)], answers)
    return dict(zip(task.labels, softmax(logs[0]).tolist(), strict=True))
