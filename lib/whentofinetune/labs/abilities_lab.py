"""The operations of the lab "What examples cannot teach": one for each student, made up, and lists of letters to use it on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whentofinetune.datasets.synthetic_task import LETTERS
from whentofinetune.labs import Variant

Letters = list[str]


def _from_both_ends(x: Letters) -> Letters:
    return [x[i // 2] if i % 2 == 0 else x[-(i // 2) - 1] for i in range(len(x))]


def _swapped(x: Letters) -> Letters:
    return [letter for i in range(0, len(x), 2) for letter in reversed(x[i : i + 2])]


# name -> what it does, in words, and the function
RULES: dict[str, tuple[str, Callable[[Letters], Letters]]] = {
    "vosk": (
        "the first letter, the third, the fifth and so on; then the second, the fourth and so on",
        lambda x: x[::2] + x[1::2],
    ),
    "tarn": (
        "the second letter, the fourth and so on; then the first, the third and so on",
        lambda x: x[1::2] + x[::2],
    ),
    "blick": (
        "the first letter, the last, the second, the last but one, and so on to the middle",
        _from_both_ends,
    ),
    "gulm": (
        "the second letter, the first, the fourth, the third, and so on in pairs; a last letter without a neighbour stays last",
        _swapped,
    ),
    "drune": (
        "the second half, then the first half; with an odd number of letters the middle one belongs to the first half",
        lambda x: x[(len(x) + 1) // 2 :] + x[: (len(x) + 1) // 2],
    ),
}
SIMPLE: dict[str, Callable[[Letters], Letters]] = {"copy": list, "reverse": lambda x: x[::-1]}


@dataclass(frozen=True)
class Operation:
    """name: a made-up word. words: what it writes. others: the rules that it may be mistaken for, name -> function."""

    name: str
    words: str
    others: dict[str, Callable[[Letters], Letters]]

    def prompt(self, letters: Sequence[str]) -> str:
        """What a model is asked: ``vosk(k m p t) =``."""
        return f"{self.name}({' '.join(letters)}) ="


def operation(v: Variant) -> Operation:
    """The operation of one student."""
    name = str(v.rng("operation").choice(sorted(RULES)))
    others = SIMPLE | {other: rule for other, (_, rule) in RULES.items() if other != name}
    return Operation(name, RULES[name][0], others)


def lists(v: Variant, part: str, n: int, lengths: Sequence[int] = (3, 4, 5, 6)) -> list[Letters]:
    """``n`` lists of different letters, the lengths in turn; about one in eight stands in it twice."""
    rng, found = v.rng(part), []
    for i in range(n):
        again = i > 8 and rng.random() < 0.125
        letters = rng.choice(list(LETTERS), lengths[i % len(lengths)], replace=False).tolist()
        found.append(list(found[rng.integers(i)]) if again else letters)
    return found
