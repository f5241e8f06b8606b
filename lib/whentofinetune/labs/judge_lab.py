"""The material of the lab "Judge with order swap": verdicts that were recorded, verdicts made at random, pairs for the model to judge.

A pair is shown twice: text 0 first, then text 1 first. A verdict is the *place* that the judge named, 0 or 1.
"""

import numpy as np

from whentofinetune import book_records
from whentofinetune.datasets.judged_texts import Pair, pairwise
from whentofinetune.labs import Variant

# How much each judge sees of the better text, and how much it likes the first place (in standard deviations of its noise).
_KINDS = {"sees little": (0.2, 2.0), "torn": (1.0, 1.0), "sees": (1.0, 0.1)}


def invented(v: Variant, n: int = 120) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """Three judges' verdicts [n] in the two orders, and the better text of each pair [n]; *made at random*, measured on nothing.

    Text 0 is the better one in four pairs of five: the author of the pairs mostly wrote the right one down first.
    """
    rng = v.rng("judges")
    truth = rng.permutation(np.repeat([0, 1], [4 * n // 5, n - 4 * n // 5]))
    judges = {}
    for name, kind in zip("PQR", rng.permutation(list(_KINDS)), strict=True):
        sees, likes = _KINDS[str(kind)]
        better_first = np.stack(
            [1 - 2 * truth, 2 * truth - 1]
        )  # [2, n]: 1 where the better text stands first
        leaning = sees * better_first + likes + rng.normal(size=(2, n))
        judges[name] = tuple((leaning <= 0).astype(int))
    return judges, truth


def recorded(v: Variant) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """One of the judges in the book's record ``judge``: its name, its verdicts in the two orders [24 each], the better text of each pair [24]."""
    rows = book_records.load("judge").where(scheme="pair")
    row = rows[int(v.rng("recorded").integers(len(rows)))]
    first, right = np.array(row["predictions"]), np.array(row.outcomes("accuracy")) == 1
    turned = np.where(np.array(row.outcomes("consistent")) == 1, first, 1 - first)  # the text named, swapped
    name = row["method"] + (f", seed {row['seed']}" if "seed" in row else "")
    return name, first, 1 - turned, np.where(right, first, 1 - first)


def pairs(v: Variant, split: str, n: int) -> list[Pair]:
    """``n`` pairs of texts of the invented company; which of the two keeps more of its rules, a program has checked."""
    return pairwise(split, n, v.seed)


def scores(lm, shown: list[Pair]) -> np.ndarray:
    """Log-probabilities of " A" and " B" for each pair in the two orders: [pairs, 2 orders, 2 places]."""
    from tunewise.scoring import label_logprobs  # brings torch, which the other cells do not need
    from whentofinetune.judging import PAIR

    queries = [p.shown + PAIR.closing for pair in shown for p in (pair, pair.swapped)]
    return label_logprobs(lm, PAIR.opening, queries, PAIR.answers).reshape(len(shown), 2, 2)
