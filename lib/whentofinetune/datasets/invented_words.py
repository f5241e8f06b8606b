"""Invented words filed under kinds: facts that stand in the prompt and, since no model can know an invented word, nowhere else."""

import numpy as np

from tunewise.scoring import label_logprobs

KINDS = ("tool", "fruit", "animal", "city")
_ONSETS = ("bl", "br", "d", "f", "gl", "gr", "k", "l", "m", "n", "pl", "r", "sk", "sn", "t", "tr", "v", "z")
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("b", "ck", "d", "ft", "g", "lp", "m", "nd", "p", "rk", "sh", "x")


def invented_words(n: int, rng: np.random.Generator) -> list[str]:
    """n different words of two made-up syllables."""
    words: dict[str, None] = {}
    while len(words) < n:
        words["".join(rng.choice(part) for part in (_ONSETS, _VOWELS, _ONSETS, _VOWELS, _CODAS))] = None
    return list(words)


def recalled(lm, k: int, rng: np.random.Generator) -> np.ndarray:
    """Show k invented words with their kinds, then ask for the kind of each again: bool [k], right or not, in the order shown."""
    words = invented_words(k, rng)
    kinds = rng.permutation(np.resize(np.arange(len(KINDS)), k))
    shown = "".join(f"Word: {w}\nKind: {KINDS[y]}\n\n" for w, y in zip(words, kinds, strict=True)) + "Word:"
    scores = label_logprobs(lm, shown, [f" {w}\nKind:" for w in words], [" " + x for x in KINDS])
    return scores.argmax(axis=1) == kinds
