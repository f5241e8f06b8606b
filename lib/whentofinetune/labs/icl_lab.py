"""The material of the lab "In-context learning or fine-tuning?": a slice of it for each student.

The scores were measured once by ``python data/labs/build.py`` (real model, real tweets), which also says what its fields are; the two
comparisons are drawn at random and say so.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import binomtest

from tunewise.record import Row
from whentofinetune import book_files
from whentofinetune.labs import Variant


@functools.cache
def measured() -> dict:
    """The measured scores and the tweets they belong to."""
    return json.loads((book_files.data_dir() / "labs" / "icl_scores.json").read_text(encoding="utf-8"))


def _slice(v: Variant, part: str, size: int) -> np.ndarray:
    """``size`` items, as many of each label, in random order."""
    rng, labels = v.rng(part), np.array(measured()["labels"])
    kinds = np.unique(labels)
    chosen = [rng.choice(np.flatnonzero(labels == y), size // len(kinds), replace=False) for y in kinds]
    return rng.permutation(np.concatenate(chosen))


def token_scores(v: Variant, size: int = 60) -> tuple[list[dict[str, list[float]]], list[int]]:
    """For each item: label string -> log-probability of each of its tokens; and the items' true labels (0, 1, 2)."""
    data, chosen = measured(), _slice(v, "tokens", size)
    scores = [dict(zip(data["phrases"], data["phrase_tokens"][i], strict=True)) for i in chosen]
    return scores, [data["labels"][i] for i in chosen]


def label_scores(v: Variant, size: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """After a prompt with eight examples: log-probabilities [size, 3] of the labels, those [3, 3] of the same prompt with
    an empty text, and the true labels [size]."""
    logprobs, empty, labels = (np.array(measured()[k]) for k in ("logprobs", "empty_logprobs", "labels"))
    chosen = _slice(v, "labels", size)
    return logprobs[chosen], empty, labels[chosen]


def two_comparisons(v: Variant, n: int = 201) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and the answers of methods A, B and C [n each]; made at random, measured on nothing.

    B and C are right equally often, both more often than A. One of them, which one depends on the student, is A with a few
    more right; the other errs on other items than A.
    """
    rng = v.rng("comparisons")
    labels = np.tile([0, 1, 2], n // 3)
    gain, right_a = int(rng.integers(11, 14)), int(rng.integers(115, 125))
    order = rng.permutation(n)
    out = [_answers(labels, np.isin(np.arange(n), order[:right_a]), rng)]
    for only_a in rng.permutation([rng.integers(1, 3), rng.integers(38, 45)]):
        right, both, only_other = np.zeros(n, dtype=bool), right_a - only_a, only_a + gain
        right[order] = np.repeat([1, 0, 1, 0], [both, only_a, only_other, n - right_a - only_other])
        out.append(_answers(labels, right, rng))
    return labels, *out


def _answers(labels: np.ndarray, right: np.ndarray, rng) -> np.ndarray:
    return np.where(right, labels, (labels + rng.integers(1, 3, len(labels))) % 3)


def splits(v: Variant, part: str = "splits") -> tuple[list[str], list[str], list[int]]:
    """Training tweets, test tweets, and which test tweets (their places) also stand in training: someone retweeted them,
    changed capitals or spaces, or pasted another link or mention."""
    # no two that a solver could call the same
    by_letters = {re.sub(r"http\S+|@\w+|\W", "", t.lower()): t for t in measured()["texts"]}
    retweet = re.compile(r"(\W|@\w+)*rt\b")
    texts = [t for letters, t in by_letters.items() if len(letters) > 12 and not retweet.match(t.lower())]
    rng = v.rng(part)
    order = rng.permutation(len(texts))
    train, test = [texts[i] for i in order[:60]], [texts[i] for i in order[60:95]]
    disguises = [
        lambda t: t,
        str.upper,
        lambda t: f"RT @{rng.choice(['sam', 'news24', 'ola_k'])}: {t}",
        lambda t: "  " + t.replace(" ", "  ") + "\n",
        lambda t: f"{t} http://t.co/{rng.integers(1e6):x}",
        lambda t: f"@{rng.choice(['kim', 'theo99'])} {t.lower()}",
    ]
    copied = rng.choice(60, len(disguises), replace=False)
    planted = [change(train[i]) for change, i in zip(disguises, copied, strict=True)]
    mixed = [(t, False) for t in test] + [(t, True) for t in planted]
    mixed = [mixed[i] for i in rng.permutation(len(mixed))]
    return train, [t for t, _ in mixed], [i for i, (_, leaked) in enumerate(mixed) if leaked]


def exact_p(a: np.ndarray, b: np.ndarray, labels: np.ndarray) -> float:
    """McNemar's test as an exact binomial one: do two methods, asked about the same items, differ in accuracy?"""
    right_a, right_b = a == labels, b == labels
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def invented_curve(
    clears_at: int | None, *, lucky: int | None = None, sizes=(10, 30, 100, 300), seeds: int = 5
) -> list[Row]:
    """Rows like those of the record ``learning_curve``, *invented* to test a function: accuracy 0.75 from ``clears_at`` labels on,
    0.50 below; and by luck 0.75 at ``lucky`` labels too."""
    right = {n: 150 if (clears_at and n >= clears_at) or n == lucky else 100 for n in sizes}
    return invented_rows({n: [right[n] + (s % 3) - 1 for s in range(seeds)] for n in sizes})


def invented_rows(right: Mapping[int, Sequence[int]], *, from_the_end: bool = False) -> list[Row]:
    """Number of labels -> how many of 200 items each seed gets right, the first ones or the last, as rows of a record."""
    items = {"test": {"ids": [str(i) for i in range(200)]}}
    return [
        Row(
            {"method": "lora", "n_labels": n, "seed": seed, "items": "test"}
            | {"outcomes": {"accuracy": ("1" * k + "0" * (200 - k))[:: -1 if from_the_end else 1]}},
            items,
        )
        for n, of_seeds in right.items()
        for seed, k in enumerate(of_seeds)
    ]
