"""English and Hindi, from Django's message catalogues: short sentences of one kind, translated by people. Card: ``data/hindi/README.md``."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from whentofinetune import book_files
from whentofinetune.datasets import drawn, of_split, read_lines


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
    return of_split(read_lines(book_files.data_dir() / "hindi" / "pairs.jsonl", Pair), split)


def choices(found: Sequence[Pair]) -> list[list[int]]:
    """For each pair four places in ``found``: itself and the three whose English is most nearly as long, so that length tells little.

    The right one stands first, second, third, fourth in turn.
    """
    lengths, options = [len(p.en) for p in found], []
    for i, length in enumerate(lengths):
        nearest = sorted(range(len(found)), key=lambda j, n=length: (abs(lengths[j] - n), j))
        others = [j for j in nearest if j != i][:3]
        others.insert(i % 4, i)
        options.append(others)
    return options


def right(found: Sequence[Pair], chosen: Sequence[int]) -> list[bool]:
    """Which of the chosen places among :func:`choices` are right?"""
    return [mine[s] == i for i, (mine, s) in enumerate(zip(choices(found), chosen, strict=True))]


def word_table(train: Sequence[Pair]) -> Callable[[str, str], float]:
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
        ours, theirs = [h for h in words(hindi) if h in both], words(english)
        best = (max((2 * both[h][e] / (left[h] + right[e]) for h in ours), default=0.0) for e in theirs)
        return sum(best) / max(1, len(theirs))

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
    return "".join(f"{before}{after}\n\n" for before, after in training_pairs(n, seed, 32))


def training_pairs(n: int, seed: int, stream: int = 31) -> list[tuple[str, str]]:
    """Prompts and completions of ``n`` training pairs, drawn with ``stream`` and ``seed``, each once in either direction."""
    found = drawn(pairs("train"), n, stream, seed)
    return [(prompt(p, task), completion(p, task)) for p in found for task in TASKS]


def without_a_model(
    method: str, task: str, test: Sequence[Pair], options: Sequence[Sequence[int]]
) -> list[int]:
    """The option of each pair by ``length`` (whose length fits best) or ``words`` (a table of words that go together, :func:`word_table`)."""
    train = pairs("train")
    ratio = sum(len(p.hi) for p in train) / sum(len(p.en) for p in train)
    fit = word_table(train) if method == "words" else lambda h, e: -abs(len(h) - ratio * len(e))
    chosen = []
    for i, mine in enumerate(options):
        sides = [(test[i].hi, test[j].en) if task == "meaning" else (test[j].hi, test[i].en) for j in mine]
        chosen.append(int(np.argmax([fit(*side) for side in sides])))
    return chosen
