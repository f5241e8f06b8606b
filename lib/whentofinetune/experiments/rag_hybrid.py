"""Retrieval, fine-tuning, or both? The four quadrants, and what tuning has to teach for both to add up (C23, C33, C42).

Two things can be tuned. *Facts*: question and answer, without passages. *Reading*: question with passages and answer, on other entities than
those that are asked about; with distractors beside the passage that holds the answer (RAFT), or without. Each is asked with and without
retrieval, on the same questions.
"""

from __future__ import annotations

import numpy as np

from whentofinetune import handbook as hb
from whentofinetune.old_bench import Bench, Experiment, public


def run(bench: Bench, params: dict) -> list[dict]:
    facts, _ = hb.fact_set(params["facts"], params["multihop"])
    questions = [hb.by_id()[f"direct/{f}"] for f in facts]
    asks = [q.ask[hb.HELD_OUT] for q in questions]
    right = [q.answers for q in questions]
    book = hb.Handbook(bench)
    found = book.find(
        asks, max([params["k"], *params["sweep"], *(d + 4 for d in params["sweep_distractors"])])
    )
    gold = [book.gold(q)[0] for q in questions]
    sizes = {
        "facts": params["facts"],
        "multihop": params["multihop"],
        "exposures": params["exposures"],
        "readings": params["readings"],
    }
    rows = []

    def step(
        way: str, seed: int | None, passages: str, k: int, chosen: list[list[int]], n: int | None = None
    ) -> None:
        settings = {
            "method": way,
            "seed": seed,
            "passages": passages,
            "k": k,
            **sizes,
            "distractors": params["distractors"],
            "without": params["without"],
            "recipes": [params["fact_recipe"], params["reading_recipe"]],
            "n_asked": n,
            "data": hb.fingerprint(),
        }

        def measure() -> dict:
            reader = hb.Reader(bench, params, way, seed, max(params["phrasings"]))
            said = reader.answer(asks[:n], [book.show(p) for p in chosen[:n]])
            cited = [
                bool(a.cited) and p[a.cited[0]] in g
                for a, p, g in zip(said, chosen[:n], gold[:n], strict=True)
            ]
            return hb.marked(said, right[:n]) | {"cites_gold": "".join(str(int(c)) for c in cited)}

        rows.append(public(bench.work.step({k: v for k, v in settings.items() if v is not None}, measure)))

    arms = [("untouched", None)] + [(way, seed) for way in params["ways"] for seed in params["seeds"]]
    for way, seed in arms:
        step(way, seed, "none", 0, [[] for _ in asks])
        step(way, seed, "found", params["k"], [f[: params["k"]] for f in found])
        for d in (0, params["distractors"]) if way != "facts" else ():
            step(way, seed, "gold", 1 + d, [_among(f, g, d) for f, g in zip(found, gold, strict=True)])
    for way, seed in arms:
        if way in ("untouched", "reading") and (seed is None or seed in params["sweep_seeds"]):
            for k in params["sweep"]:
                step(way, seed, "sweep found", k, [f[:k] for f in found], params["sweep_n"])
            for d in params["sweep_distractors"]:
                step(
                    way,
                    seed,
                    "sweep gold",
                    1 + d,
                    [_among(f, g, d) for f, g in zip(found, gold, strict=True)],
                    params["sweep_n"],
                )
    rows.append(
        {
            "method": "retrieval",
            "questions": [q.id for q in questions],
            "asked": asks,
            "found": [[book.passages[i].id for i in f] for f in found],
            "gold": [sorted(book.passages[i].id for i in g) for g in gold],
        }
    )
    return rows


def _among(found: list[int], gold: set[int], distractors: int) -> list[int]:
    """The passage that holds the answer and the nearest that do not, in an order drawn for these passages."""
    mixed = [p for p in found if p not in gold][:distractors] + [min(gold)]
    return [mixed[i] for i in np.random.default_rng(mixed).permutation(len(mixed))]


_COMMON = {
    "model": "smollm2-135m",
    **hb.FACTS,
    **hb.READING,
    "phrasings": [8],
    "k": 3,
    "ways": ["facts", "reading", "gold only"],
}

EXPERIMENT = Experiment(
    name="rag_hybrid",
    question="Retrieval, fine-tuning, or both?",
    claims=("C23", "C33", "C42"),
    run=run,
    scales={
        "smoke": _COMMON
        | hb.SMOKE
        | {
            "phrasings": [2],
            "ways": ["reading"],
            "seeds": [0],
            "sweep": [1],
            "sweep_distractors": [1],
            "sweep_seeds": [0],
            "sweep_n": 4,
        },
        "laptop": _COMMON
        | {
            "facts": 16,
            "multihop": 4,
            "readings": 48,
            "ways": ["reading"],
            "seeds": [0],
            "sweep": [],
            "sweep_distractors": [],
            "sweep_seeds": [],
            "sweep_n": 16,
        },
        "full": _COMMON
        | {
            "seeds": [0, 1, 2, 3, 4],
            "sweep": [1, 3, 5, 10],
            "sweep_distractors": [0, 1, 4],
            "sweep_seeds": [0],
            "sweep_n": 20,
        },
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "facts": 160,
            "multihop": 40,
            "readings": 400,
            "seeds": [0, 1, 2, 3, 4],
            "sweep": [1, 2, 3, 5, 10, 20],
            "sweep_distractors": [0, 1, 2, 4, 8],
            "sweep_seeds": [0, 1, 2],
            "sweep_n": 160,
        },
    },
)
