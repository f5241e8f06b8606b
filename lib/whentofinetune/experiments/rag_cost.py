"""What an answer costs in tokens and seconds, from memory, from a few passages and from many, and what each way costs to set up (C40).

Seconds are comparable with each other only if nothing else runs on the machine.
"""

from __future__ import annotations

import time

from tunewise import rag, stats
from tunewise.finetune import Recipe, finetune
from tunewise.scoring import prompt_tokens
from whentofinetune import handbook as hb
from whentofinetune.datasets import company
from whentofinetune.old_bench import Bench, Experiment, public


def run(bench: Bench, params: dict) -> list[dict]:
    questions = hb.drawn(company.questions("direct", "train"), params["questions"], 19)
    asks = [q.ask[0] for q in questions]
    rows = []

    def step(settings: dict, measure) -> None:
        rows.append(
            public(
                bench.work.step(
                    {**settings, "questions": params["questions"], "data": hb.fingerprint()}, measure
                )
            )
        )

    def index() -> dict:
        bench.vectors.clear()
        bench.embedder.encode(["a first text, so that loading the model is not counted"])
        start = time.perf_counter()
        book = hb.Handbook(bench)
        built = time.perf_counter() - start
        bench.embed(asks)
        waits = [_timed(lambda ask=ask: book.find([ask], params["ks"][0])) for ask in asks]
        vectors = bench.embed(book.texts)
        return {
            "passages": len(book.texts),
            "build_seconds": round(built, 2),
            "search_seconds": stats.bootstrap(waits),
            "vector_bytes": int(vectors.nbytes),
            "text_bytes": sum(len(t.encode()) for t in book.texts),
        }

    step({"method": "index"}, index)
    book = hb.Handbook(bench)
    for k in [0, *params["ks"]]:

        def answers(k=k) -> dict:
            found = [book.show(p) for p in book.find(asks, k)] if k else [[] for _ in asks]
            rag.answer(bench.lm, asks[:1], found[:1])
            waits = [
                _timed(lambda a=a, p=p: rag.answer(bench.lm, [a], [p], max_new_tokens=8))
                for a, p in zip(asks, found, strict=True)
            ]
            opening = rag.WITH_PASSAGES if k else rag.FROM_MEMORY
            tokens = [
                prompt_tokens(bench.lm, opening, [rag.prompt(a, p)]) for a, p in zip(asks, found, strict=True)
            ]
            return {"seconds": stats.bootstrap(waits), "prompt_tokens": stats.bootstrap(tokens)}

        step({"method": "answer", "k": k}, answers)
    n = params["trained"]
    for kind in ("facts", "reading"):

        def train(kind=kind) -> dict:
            if kind == "facts":
                facts, _ = hb.fact_set(params["facts"], 0, "train")
                pairs, opening = hb.fact_pairs(facts, 8, 8)[:n], rag.FROM_MEMORY
            else:
                pairs, opening = hb.reading_pairs(bench, n, 2, 0.2, 0), rag.WITH_PASSAGES
            tuning = Recipe(epochs=1, batch_size=8, min_steps=1, seed=0)
            tuned = finetune(bench.lm, pairs, tuning, prefix=opening)
            bench.forget(tuning, bench.lm, tuned)
            tokens = sum(prompt_tokens(bench.lm, "", [p + a]) for p, a in pairs)
            return {
                "examples": len(pairs),
                "train_seconds": round(tuned.seconds, 2),
                "train_tokens": round(tokens),
                "adapter_bytes": 4 * tuned.trainable,
            }

        step({"method": "training", "what": kind, "n_trained": n}, train)
    return rows


def _timed(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


_COMMON = {"model": "smollm2-135m", **hb.FACTS}

EXPERIMENT = Experiment(
    name="rag_cost",
    question="What does an answer cost, and what does it cost to be able to give it?",
    claims=("C40",),
    run=run,
    scales={
        "smoke": _COMMON | {"ks": [1], "questions": 2, "trained": 8},
        "laptop": _COMMON | {"ks": [3], "questions": 8, "trained": 32},
        "full": _COMMON | {"ks": [1, 3, 10], "questions": 20, "trained": 64},
        "gpu": _COMMON | {"model": "qwen2.5-1.5b", "ks": [1, 3, 10, 20], "questions": 40, "trained": 160},
    },
)
