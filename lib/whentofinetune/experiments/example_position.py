"""Does the model use an example wherever it stands? The decisive example at each position of the prompt (C29).

The examples file invented words under kinds. The query is one of these words again: the answer stands in the prompt, once, and
nowhere else, since no model can know what an invented word means. Each arrangement of k examples is asked k times, once for
each word, so the position of the decisive example varies while everything else stays.
"""

from __future__ import annotations

import numpy as np

from tunewise import stats
from tunewise.scoring import label_logprobs
from whentofinetune.old_bench import Bench, Experiment, public

KINDS = ("tool", "fruit", "animal", "city")
_ONSETS = ("bl", "br", "d", "f", "gl", "gr", "k", "l", "m", "n", "pl", "r", "sk", "sn", "t", "tr", "v", "z")
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("b", "ck", "d", "ft", "g", "lp", "m", "nd", "p", "rk", "sh", "x")


def invented_words(n: int, rng: np.random.Generator) -> list[str]:
    """n different words of two made-up syllables."""
    words: dict[str, None] = {}
    while len(words) < n:
        one, two = (rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(2))
        words[f"{one}{two}{rng.choice(_CODAS)}"] = None
    return list(words)


def run(bench: Bench, params: dict) -> list[dict]:
    rows = []
    for k in params["k"]:

        def ask(k=k):
            hits = np.zeros((params["arrangements"], k), dtype=int)
            for a in range(params["arrangements"]):
                rng = np.random.default_rng([a, k])
                words = invented_words(k, rng)
                kinds = rng.permutation(np.resize(np.arange(len(KINDS)), k))
                prefix = (
                    "".join(f"Word: {w}\nKind: {KINDS[y]}\n\n" for w, y in zip(words, kinds, strict=True))
                    + "Word:"
                )
                scores = label_logprobs(
                    bench.lm, prefix, [f" {w}\nKind:" for w in words], [" " + x for x in KINDS]
                )
                hits[a] = scores.argmax(axis=1) == kinds
            return {
                "positions": [stats.proportion(int(hits[:, p].sum()), len(hits)) for p in range(k)],
                "accuracy": stats.bootstrap(hits.mean(axis=1)) | {"n": int(hits.size)},
                "predictions": ["".join(map(str, row)) for row in hits],
            }

        settings = {"method": "position", "k": k, "arrangements": params["arrangements"]}
        rows.append(public(bench.work.step(settings, ask)))
    return rows


_COMMON = {"model": "smollm2-135m", "seeds": []}

EXPERIMENT = Experiment(
    name="example_position",
    question="Does the model use an example wherever it stands?",
    claims=("C29",),
    run=run,
    scales={
        "smoke": _COMMON | {"k": [4], "arrangements": 3},
        "laptop": _COMMON | {"k": [8], "arrangements": 40},
        "full": _COMMON | {"k": [8, 16, 32, 64], "arrangements": 60},
        "gpu": _COMMON | {"model": "qwen2.5-1.5b", "k": [8, 16, 32, 64, 128], "arrangements": 400},
    },
)
