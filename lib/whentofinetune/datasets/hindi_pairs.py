"""English and Hindi, from Django's message catalogues: short sentences of one kind, translated by people. Card: ``data/hindi/README.md``."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from whentofinetune import book_files

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Pair:
    """en, hi: the same message. app: the part of Django that it is from."""

    id: str
    split: str
    en: str
    hi: str
    app: str


@cache
def pairs(split: str | None = None) -> tuple[Pair, ...]:
    """All pairs of a split (None: all), in the order of the file."""
    if split is not None and split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
    lines = (book_files.data_dir() / "hindi" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(p for p in (Pair(**json.loads(line)) for line in lines) if split in (None, p.split))


def choices(found: Sequence[Pair]) -> list[list[int]]:
    """For each pair four places in ``found``: itself and the three whose English is most nearly as long, so that length tells little.

    The right one stands first, second, third, fourth in turn.
    """
    options = []
    for i, pair in enumerate(found):
        others = sorted(
            (j for j in range(len(found)) if j != i), key=lambda j: (abs(len(found[j].en) - len(pair.en)), j)
        )[:3]
        others.insert(i % 4, i)
        options.append(others)
    return options


def right(found: Sequence[Pair], said: Sequence[int]) -> list[bool]:
    """Which of the chosen places among :func:`choices` are right?"""
    return [mine[s] == i for i, (mine, s) in enumerate(zip(choices(found), said, strict=True))]


def word_table(train: Sequence[Pair]):
    """A rival without a language model: Dice's coefficient of word and word over the training pairs.

    Returns a function (hindi, english) -> mean over the English words of the best coefficient with any of the Hindi words; a word of
    which training has nothing scores nothing.
    """
    both, left, right = defaultdict(Counter), Counter(), Counter()
    for p in train:
        ours, theirs = set(words(p.hi)), set(words(p.en))
        left.update(ours)
        right.update(theirs)
        for h in ours:
            both[h].update(theirs)

    def score(hindi: str, english: str) -> float:
        known = words(english)
        best = [
            max((2 * both[h][e] / (left[h] + right[e]) for h in words(hindi) if h in both), default=0.0)
            for e in known
        ]
        return sum(best) / max(1, len(known))

    return score


def words(text: str) -> list[str]:
    """Lower-case words without the punctuation around them."""
    bare = (w.strip(".,:;!?()\"'।“”‘’").lower() for w in text.split())
    return [w for w in bare if w]


# -- prompts, training pairs, and answers without a language model -------------------------------------------------------

TASKS = ("meaning", "writing")
NEUTRAL = {"meaning": "English:", "writing": "Hindi:"}  # prompts that ask nothing


def prompt(pair: Pair, task: str) -> str:
    """``meaning``: the Hindi, to be said in English; ``writing``: the reverse."""
    return f"Hindi: {pair.hi}\nEnglish:" if task == "meaning" else f"English: {pair.en}\nHindi:"


def completion(pair: Pair, task: str) -> str:
    """What follows :func:`prompt`."""
    return f" {pair.en if task == 'meaning' else pair.hi}"


def shots(n: int, seed: int) -> str:
    """``n`` training pairs to stand in a prompt, each in both directions."""
    return "".join(f"{prompt(p, t)}{completion(p, t)}\n\n" for p in _drawn(n, [32, seed]) for t in TASKS)


def training_pairs(n: int, seed: int) -> list[tuple[str, str]]:
    """Prompts and completions of ``n`` training pairs, each once in either direction."""
    return [(prompt(p, t), completion(p, t)) for p in _drawn(n, [31, seed]) for t in TASKS]


def _drawn(n: int, seed: list[int]) -> list[Pair]:
    train = pairs("train")
    return [train[i] for i in np.random.default_rng(seed).permutation(len(train))[:n]]


def without_a_model(
    method: str, task: str, test: Sequence[Pair], options: Sequence[Sequence[int]]
) -> list[int]:
    """The option of each pair by ``length`` (whose length fits best) or ``words`` (a table of words that go together, :func:`word_table`)."""
    train = pairs("train")
    ratio = sum(len(p.hi) for p in train) / sum(len(p.en) for p in train)
    table = word_table(train)
    said = []
    for i, mine in enumerate(options):
        sides = [(test[i].hi, test[j].en) if task == "meaning" else (test[j].hi, test[i].en) for j in mine]
        fit = [-abs(len(h) - ratio * len(e)) if method == "length" else table(h, e) for h, e in sides]
        said.append(int(np.argmax(fit)))
    return said
