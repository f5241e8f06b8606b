"""Some of the facts change: what does it take to be right again, with an index and with weights? (C38)"""

from __future__ import annotations

import time

import numpy as np

from whentofinetune import handbook as hb
from whentofinetune.old_bench import Bench, Experiment, public


def changes(facts: list[str], share: float) -> dict[str, str]:
    """New values for a share of the facts: each gets the value that the same attribute has elsewhere in the company."""
    from whentofinetune.datasets import company

    rng = np.random.default_rng([11, round(100 * share)])
    known = company.facts()
    chosen = [facts[i] for i in sorted(rng.permutation(len(facts))[: round(share * len(facts))])]
    new = {}
    for fact in chosen:
        now = known[fact]
        group = company.entities()[now.entity].group
        others = sorted(
            {
                f.value
                for f in known.values()
                if f.attribute == now.attribute
                and company.entities()[f.entity].group == group
                and f.stated
                and f.value not in (now.value, now.was)
            }
        )
        if others:
            new[fact] = others[rng.integers(len(others))]
    return new


def run(bench: Bench, params: dict) -> list[dict]:
    facts, _ = hb.fact_set(params["facts"], params["multihop"])
    questions = [hb.by_id()[f"direct/{f}"] for f in facts]
    asks = [q.ask[hb.HELD_OUT] for q in questions]
    old = hb.Handbook(bench)
    before = old.find(asks, params["k"])
    sizes = {"facts": params["facts"], "multihop": params["multihop"], "exposures": params["exposures"]}
    rows = []

    def step(method: str, seed: int | None, share: float, new: dict, answer) -> None:
        settings = {
            "method": method,
            "seed": seed,
            "share": share,
            "k": params["k"],
            **sizes,
            "readings": params["readings"],
            "recipes": [params["fact_recipe"], params["reading_recipe"]],
            "new": new,
            "data": hb.fingerprint(),
        }
        right = [(new[f],) if f in new else q.answers for f, q in zip(facts, questions, strict=True)]

        def measure() -> dict:
            said, told = answer()
            marks = hb.marked(said, right)
            place = {
                "changed": [i for i, f in enumerate(facts) if f in new],
                "unchanged": [i for i, f in enumerate(facts) if f not in new],
            }
            parts = {
                k: hb.marked([said[i] for i in v], [right[i] for i in v], said=False)
                for k, v in place.items()
                if v
            }
            return {**marks, **parts, "is_changed": "".join(str(int(f in new)) for f in facts), **told}

        row = public(bench.work.step({k: v for k, v in settings.items() if v is not None}, measure))
        rows.append({k: v for k, v in row.items() if k not in ("recipes",)})

    for share in params["shares"]:
        new = changes(facts, share)
        start = time.perf_counter()
        fresh = hb.Handbook(bench, changed=new)
        replaced = [i for i, (a, b) in enumerate(zip(old.texts, fresh.texts, strict=True)) if a != b]
        seconds = _replace(bench, old, fresh, replaced)
        after = fresh.find(asks, params["k"])
        index = {
            "passages_replaced": len(replaced),
            "index_seconds": round(seconds, 2),
            "rebuild_seconds": round(time.perf_counter() - start, 2),
        }
        for seed in [None, *params["seeds"]]:
            reader = hb.Reader(bench, params, "untouched" if seed is None else "reading", seed)
            arms = {"stale index": (old, before, {}), "index brought up to date": (fresh, after, index)}
            for method, (book, found, told) in arms.items():
                step(
                    method,
                    seed,
                    share,
                    new,
                    lambda r=reader, b=book, f=found, t=told: (r.answer(asks, [b.show(p) for p in f]), t),
                )
        for seed in params["seeds"]:
            for method, values in (("stale weights", None), ("weights trained again", new)):

                def from_weights(seed=seed, values=values):
                    reader = hb.Reader(bench, params, "facts", seed, max(params["phrasings"]), values)
                    with reader.open() as lm:
                        seconds = {"train_seconds": round(lm.seconds, 1)}
                    return reader.answer(asks, [[] for _ in asks]), seconds

                step(method, seed, share, new, from_weights)
    return rows


def _replace(bench: Bench, old: hb.Handbook, fresh: hb.Handbook, places: list[int]) -> float:
    """Seconds to put the changed passages into the old index in place of those they replace."""
    for text in {fresh.texts[i] for i in places}:
        bench.vectors.pop(text, None)
    copy = hb.Handbook(bench)
    start = time.perf_counter()
    copy.retriever.replace({i: fresh.texts[i] for i in places})
    return time.perf_counter() - start


_COMMON = {"model": "smollm2-135m", **hb.FACTS, **hb.READING, "phrasings": [8], "k": 3}

EXPERIMENT = Experiment(
    name="rag_dynamic",
    question="Some of the facts change: what does it take to be right again?",
    claims=("C38",),
    run=run,
    scales={
        "smoke": _COMMON | hb.SMOKE | {"phrasings": [2], "shares": [0.3], "seeds": [0]},
        "laptop": _COMMON | {"facts": 16, "multihop": 4, "readings": 48, "shares": [0.3], "seeds": [0]},
        "full": _COMMON | {"shares": [0.3], "seeds": [0, 1, 2, 3, 4]},
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "facts": 160,
            "multihop": 40,
            "readings": 400,
            "shares": [0.1, 0.3, 0.6],
            "seeds": [0, 1, 2, 3, 4],
        },
    },
)
