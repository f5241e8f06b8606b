"""Is a short written answer right? Exact match, token F1, containment, and whether it declines to answer.

The first two follow SQuAD's evaluation (Rajpurkar et al. 2016, arXiv 1606.05250): lower case, no punctuation, no articles, the best over
all right answers. One thing differs: a number with its decimals or minutes, and a code with its dash, is one token, so that ``43.7``
does not match ``43``, nor ``L8-015`` a 15.
"""

import re
from collections import Counter
from collections.abc import Sequence

OUTCOMES = ("right", "wrong", "abstained")
_TOKEN = re.compile(r"\w+(?:-\w+|[.,:]\d+\w*)*|%")
_ARTICLES = {"a", "an", "the"}
_DECLINED = re.compile(
    r"\b(not|n't|never|no longer) (been )?(stated|mentioned|given|known|provided|specified|listed|included|available|clear|found|in the)\b"
    r"|\b(do|does|did|is|are|can)(es)?( not|n't) (say|know|state|mention|specify|provide|tell|contain|include|answer|give|hold)\b"
    r"|\bno (information|mention|answer)\b|\b(cannot|can't|unable to|unknown)\b",
    re.IGNORECASE,
)


def tokens(text: str) -> list[str]:
    """The words and numbers of a text, in lower case, without articles and punctuation."""
    return [t for t in _TOKEN.findall(text.lower()) if t not in _ARTICLES]


def exact_match(said: str, right: Sequence[str]) -> bool:
    """Is the answer one of the right ones, word for word?"""
    return any(tokens(said) == tokens(r) for r in right)


def token_f1(said: str, right: Sequence[str]) -> float:
    """2 PR / (P + R) over the tokens that answer and right answer share, the best of the right ones; 0 for none shared."""

    def one(wanted: str) -> float:
        a, b = Counter(tokens(said)), Counter(tokens(wanted))
        shared = sum((a & b).values())
        return 2 * shared / (sum(a.values()) + sum(b.values())) if shared else 0.0

    return max(map(one, right), default=0.0)


def contains(text: str, right: Sequence[str]) -> bool:
    """Does the text hold one of the right answers, token after token?"""
    inside = tokens(text)

    def holds(wanted: list[str]) -> bool:
        n = len(wanted)
        return n > 0 and any(inside[i : i + n] == wanted for i in range(len(inside) - n + 1))

    return any(holds(tokens(r)) for r in right)


def declined(said: str) -> bool:
    """Does the answer say that it does not know, or that nothing is stated? An empty answer does."""
    return not tokens(said) or _DECLINED.search(said) is not None


def outcome(said: str, right: Sequence[str]) -> str:
    """One of :data:`OUTCOMES`: ``right`` holds a right answer. Where no answer is right (``right`` empty) abstaining is what is wanted, and
    everything else is wrong."""
    if right and contains(said, right):
        return "right"
    return "abstained" if declined(said) else "wrong"
