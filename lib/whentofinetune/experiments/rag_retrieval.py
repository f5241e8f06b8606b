"""Does the right passage come back? BM25, sentence embeddings, and both together, before any language model reads them (C32)."""

from __future__ import annotations

from tunewise import retrieval_metrics, stats
from whentofinetune import handbook as hb
from whentofinetune.datasets import company
from whentofinetune.old_bench import Bench, Experiment, public


def run(bench: Bench, params: dict) -> list[dict]:
    """One row a way to search and kind of question. A question over two facts counts as found when passages for both are among the k."""
    rows = []
    for how in params["hows"]:
        book = hb.Handbook(bench, how)
        for kind in params["kinds"]:
            questions = hb.drawn(company.questions(kind, "test"), params["questions"], 17)

            def measure(book=book, questions=questions) -> dict:
                found = book.find(hb.wordings(questions, 17), max(params["ks"]))
                gold = [book.gold(q) for q in questions]
                whole = {
                    k: [int(all(set(f[:k]) & g for g in gs)) for f, gs in zip(found, gold, strict=True)]
                    for k in params["ks"]
                }
                ranks = retrieval_metrics.reciprocal_ranks(found, [set().union(*gs) for gs in gold])
                return {
                    "recall": {str(k): stats.proportion(sum(v), len(v)) for k, v in whole.items()},
                    "mrr": stats.bootstrap(ranks),
                    "first_rank": [round(1 / r) if r else 0 for r in ranks],
                }

            settings = {
                "how": how,
                "asked": kind,
                "questions": len(questions),
                "ks": params["ks"],
                "data": hb.fingerprint(),
            }
            rows.append(public(bench.work.step(settings, measure)))
    return rows


_COMMON = {"model": "smollm2-135m", "hows": ["bm25", "dense", "hybrid"], "ks": [1, 3, 5, 10]}

EXPERIMENT = Experiment(
    name="rag_retrieval",
    question="Does the right passage come back?",
    claims=("C32",),
    run=run,
    scales={
        "smoke": _COMMON | {"kinds": ["direct"], "questions": 20},
        "laptop": _COMMON | {"kinds": ["direct", "reversed", "multihop"], "questions": 100},
        "full": _COMMON | {"kinds": ["direct", "reversed", "changed", "multihop"], "questions": 10_000},
    },
)
