"""Texts that keep the house's rules or break some, alone and in pairs, for judges: the teacher is a program.

Four rules of the invented company's voice, each of which says what a text must not have (:func:`whentofinetune.datasets.company.check_voice`).
A text is two sentences of a reply and two more that were put in, each of which breaks one rule or none; the sentences for test are not
those for training.
"""

import re
from dataclasses import dataclass
from functools import cache

import numpy as np

from whentofinetune.book_files import read_yaml
from whentofinetune.datasets import company

RULES = ("calm", "house", "full_words", "plain")


@cache
def inserts() -> dict[str | None, list[str]]:
    """Sentences by the rule that each breaks (None: no rule), from ``inserts.yaml``; the first half is for training, the second for test."""
    found = read_yaml("company/inserts.yaml")
    return {None: found.pop("none"), **found}


@dataclass(frozen=True)
class Text:
    """broken: how many of the four rules it breaks, as the teacher says. group: the mail whose reply it is made of."""

    id: str
    group: str
    text: str
    broken: int

    label = property(lambda self: int(self.broken > 0))  # is any rule broken?
    shown = property(lambda self: f" {self.text}")  # as it stands in a prompt


@dataclass(frozen=True)
class Pair:
    """Two texts of one mail, of which one breaks fewer rules; label: the place of the better one."""

    first: Text
    second: Text
    id = property(lambda self: f"{self.first.id} {self.second.id}")
    group = property(lambda self: self.first.group)
    label = property(lambda self: int(self.second.broken < self.first.broken))
    shown = property(lambda self: f" {self.first.text}\nB: {self.second.text}")
    swapped = property(lambda self: Pair(self.second, self.first))


def body(mail: company.Mail) -> str:
    """The first two sentences of a reply, without its greeting."""
    middle = " ".join(mail.reply.split("\n\n")[1:-1])
    return " ".join(re.split(r"(?<=[.?!])\s+", middle)[:2])


def teacher(text: str) -> int:
    """How many of the four rules a text breaks."""
    checked = company.check_voice(text, "")
    return sum(not checked[rule] for rule in RULES)


def _made(id: str, mail: company.Mail, broken: int, rng: np.random.Generator) -> Text:
    """A text of ``mail``'s reply that breaks ``broken`` rules, 0 to 2."""
    rules = [RULES[i] for i in rng.permutation(len(RULES))[:broken]] + [None] * (2 - broken)
    half = len(inserts()[None]) // 2
    part = slice(half, None) if mail.split == "test" else slice(half)
    sentences: list[str] = []
    for i in rng.permutation(2):
        left = [s for s in inserts()[rules[i]][part] if s not in sentences]
        sentences.append(left[int(rng.integers(len(left)))])
    text = f"{sentences[0]} {body(mail)} {sentences[1]}"
    return Text(id, mail.id, text, teacher(text))


def _drawn(split: str, n: int, rng: np.random.Generator) -> list[company.Mail]:
    mails = company.mails(split)
    return [mails[i] for i in np.resize(rng.permutation(len(mails)), n)]


def pointwise(split: str, n: int, seed: int) -> list[Text]:
    """``n`` texts, every other one of which keeps all rules; of the rest half break one rule and half two."""
    rng = np.random.default_rng([21, seed, company.SPLITS.index(split)])
    mails = _drawn(split, n, rng)
    return [_made(f"{split}/{seed}/{i}", m, (0, 1, 0, 2)[i % 4], rng) for i, m in enumerate(mails)]


def pairwise(split: str, n: int, seed: int) -> list[Pair]:
    """``n`` pairs of texts of one mail each, of which one breaks fewer rules; the better one stands first in every other pair."""
    rng = np.random.default_rng([22, seed, company.SPLITS.index(split)])
    pairs = []
    for i, mail in enumerate(_drawn(split, n, rng)):
        two = [_made(f"{split}/{seed}/{i}-{b}", mail, b, rng) for b in ((0, 1), (0, 2), (1, 2))[i // 2 % 3]]
        pairs.append(Pair(*two) if i % 2 else Pair(*reversed(two)))
    return pairs


def rubric() -> str:
    """The four rules as a prompt states them."""
    said = {rule.name: rule.says for rule in company.voice()}
    return "Rules of the house:\n" + "".join(f"- {said[name]}\n" for name in RULES) + "\n"
