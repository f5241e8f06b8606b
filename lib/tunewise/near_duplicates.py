"""Texts that are one text in two wordings."""

import re
from collections import defaultdict
from collections.abc import Sequence


def plain(text: str) -> str:
    """Lower-case words and digits only: two texts that differ in case and punctuation are the same text."""
    return " ".join(_words(text))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def near_duplicates(texts: Sequence[str], share: float = 0.6) -> list[tuple[int, int]]:
    """Pairs of texts that are one text in two wordings: equal but for case and punctuation, or with a run of three words
    in common (two, when both have at most five words) and at least ``share`` of their different words (Jaccard)."""
    words = [_words(t) for t in texts]
    sets = [set(w) for w in words]
    same, runs = defaultdict(list), defaultdict(list)
    for i, w in enumerate(words):
        same[" ".join(w) or texts[i]].append(i)
        for n in (2, 3) if len(w) <= 5 else (3,):
            for run in {tuple(w[k : k + n]) for k in range(len(w) - n + 1)}:
                runs[run].append(i)
    pairs = [(group[0], i) for group in same.values() for i in group[1:]]
    seen = set()
    for group in runs.values():
        most = 100 if len(group) <= 100 else 10  # of a common phrase: enough to chain texts of one template
        for k, i in enumerate(group):
            for j in group[k + 1 : k + 1 + most]:
                if (i, j) not in seen:
                    seen.add((i, j))
                    if len(sets[i] & sets[j]) >= share * len(sets[i] | sets[j]):
                        pairs.append((i, j))
    return pairs
