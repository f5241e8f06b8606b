"""Right, wrong or "not stated": what a good and a bad retriever, tuning to read, and tuning on new facts do to invention (C11, C36).

Half of the questions have no answer in the handbook. A bad retriever gives passages that do not hold the answer, so that *not stated* is the
only honest thing to say to any question. The second part follows a tuning on new facts: what happens to questions that it does not touch?
"""

from __future__ import annotations

import numpy as np

from tunewise import finetune as ft
from tunewise import rag, stats
from tunewise.finetune import Recipe
from tunewise.scoring import label_logprobs
from whentofinetune import handbook as hb
from whentofinetune.datasets import company, general_items
from whentofinetune.old_bench import Bench, Experiment, public

SURE = 0.8  # a choice with at least this probability is called sure


def run(bench: Bench, params: dict) -> list[dict]:
    return retrievers(bench, params) + epochs(bench, params)


def retrievers(bench: Bench, params: dict) -> list[dict]:
    """One row a model, retriever and kind of question."""
    n, k = params["questions"], params["k"]
    facts, _ = hb.fact_set(params["facts"], params["multihop"])
    stated = [q for q in company.questions("direct", "test") if q.facts[0] not in facts]
    asked = {
        "answerable": hb.drawn(stated, n, 3),
        "unanswerable": hb.drawn(company.questions("unanswerable", "test"), n, 3),
    }
    book, rng, rows = hb.Handbook(bench), np.random.default_rng(4), []
    passages = {}
    for kind, questions in asked.items():
        asks = hb.wordings(questions, 3)
        found = book.find(asks, k)
        gold = [set().union(*book.gold(q)) for q in questions]
        bad = [[int(i) for i in rng.permutation(len(book.texts)) if i not in g][:k] for g in gold]
        passages[kind] = (
            asks,
            [q.answers for q in questions],
            {"none": [[] for _ in asks], "good": found, "bad": bad},
        )
    for seed in [None, *params["seeds"]]:
        for kind, (asks, right, by_retriever) in passages.items():
            for retriever, chosen in by_retriever.items():
                if retriever == "none" and seed is not None:
                    continue
                reader = hb.Reader(bench, params, "untouched" if seed is None else "reading", seed)
                settings = {
                    "part": "retriever",
                    "method": reader.way,
                    "asked": kind,
                    "retriever": retriever,
                    "k": k,
                    "questions": n,
                    "data": hb.fingerprint(),
                }
                if seed is not None:
                    settings |= {
                        "seed": seed,
                        "readings": params["readings"],
                        "recipe": params["reading_recipe"],
                    }

                def measure(reader=reader, asks=asks, right=right, chosen=chosen) -> dict:
                    return hb.marked(reader.answer(asks, [book.show(p) for p in chosen]), right)

                rows.append(public(bench.work.step(settings, measure)))
    return rows


def epochs(bench: Bench, params: dict) -> list[dict]:
    """One row a seed, with one point a stop: the new facts themselves, other facts of the same company, and general items."""
    facts, _ = hb.fact_set(params["facts"], params["multihop"])
    learned = [hb.by_id()[f"direct/{f}"] for f in facts]
    others = hb.drawn(
        [q for q in company.questions("direct", "test") if q.facts[0] not in facts], params["questions"], 5
    )
    items = general_items.items()[: params["items"]]
    sizes = {
        name: params[name] for name in ("facts", "multihop", "exposures", "questions", "items", "stops")
    } | {"data": hb.fingerprint()}

    def probe(lm) -> dict:
        scores = [label_logprobs(lm, "", [item.prompt], item.labels)[0] for item in items]
        right = general_items.right(scores, items)
        sure = [float(np.exp(s.max() - np.logaddexp.reduce(s))) >= SURE for s in scores]
        wrong = [s and not r for s, r in zip(sure, right, strict=True)]
        asked = {
            "learned": [q.ask[hb.HELD_OUT] for q in learned],
            "others": [q.ask[hb.HELD_OUT] for q in others],
        }
        said = {
            kind: rag.answer(lm, asks, [()] * len(asks), max_new_tokens=12, batch_size=20)
            for kind, asks in asked.items()
        }
        return {
            "learned": hb.marked(said["learned"], [q.answers for q in learned], said=False),
            "others": hb.marked(said["others"], [q.answers for q in others], said=False),
            "general": stats.proportion(sum(right), len(items)),
            "general_right": "".join(str(int(r)) for r in right),
            "sure_and_wrong": stats.proportion(sum(wrong), len(items)),
            "general_wrong": "".join(str(int(w)) for w in wrong),
        }

    rows = [
        public(
            bench.work.step(
                {"part": "epochs", "method": "untouched", **sizes},
                lambda: {"points": [{"step": 0, **probe(bench.lm)}]},
            )
        )
    ]
    for seed in params["epoch_seeds"]:

        def measure(seed=seed) -> dict:
            points = []
            pairs = hb.fact_pairs(facts, max(params["phrasings"]), params["exposures"])

            def stop(step: int, steps: int, loss: float) -> None:
                if step in [round(s * steps) for s in params["stops"]]:
                    points.append(
                        {"step": step, "share": step / steps, "loss": round(loss, 3), **probe(bench.lm)}
                    )

            tuned = ft.finetune(
                bench.lm,
                pairs,
                Recipe(seed=seed, **params["fact_recipe"]),
                prefix=rag.FROM_MEMORY,
                progress=stop,
            )
            bench.forget(Recipe(), bench.lm, tuned)
            return {"points": points}

        rows.append(
            public(
                bench.work.step(
                    {
                        "part": "epochs",
                        "method": "facts",
                        "seed": seed,
                        "recipe": params["fact_recipe"],
                        **sizes,
                    },
                    measure,
                )
            )
        )
    return rows


_COMMON = {"model": "smollm2-135m", **hb.FACTS, **hb.READING, "phrasings": [8], "k": 3}

EXPERIMENT = Experiment(
    name="rag_hallucination",
    question="When does a model say something that is not so, and when that it does not know?",
    claims=("C11", "C36"),
    run=run,
    scales={
        "smoke": _COMMON
        | hb.SMOKE
        | {"phrasings": [2], "questions": 4, "items": 8, "stops": [1.0], "seeds": [0], "epoch_seeds": [0]},
        "laptop": _COMMON
        | {
            "facts": 16,
            "multihop": 4,
            "readings": 48,
            "questions": 16,
            "items": 40,
            "stops": [0.5, 1.0],
            "seeds": [0],
            "epoch_seeds": [0],
        },
        "full": _COMMON
        | {
            "questions": 20,
            "items": 60,
            "stops": [0.25, 0.5, 1.0],
            "seeds": [0, 1, 2, 3, 4],
            "epoch_seeds": [0, 1, 2],
        },
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "facts": 160,
            "multihop": 40,
            "readings": 400,
            "questions": 42,
            "items": 120,
            "stops": [0.125, 0.25, 0.5, 0.75, 1.0],
            "seeds": [0, 1, 2, 3, 4],
            "epoch_seeds": [0, 1, 2, 3, 4],
        },
    },
)
