"""Does the passage that an answer cites hold the answer? And what if a source is wrong? (C39)

Two ways to cite. The model names a passage itself; or the passage is found afterwards, by looking for the answer in the passages that were
shown. Then a wrong source is planted: a copy of the right passage with another value in it.
"""

from __future__ import annotations

import numpy as np

from tunewise import rag
from tunewise import written_answers as mark
from whentofinetune import handbook as hb
from whentofinetune.datasets import company
from whentofinetune.experiments.rag_dynamic import changes
from whentofinetune.old_bench import Bench, Experiment, public


def run(bench: Bench, params: dict) -> list[dict]:
    facts, _ = hb.fact_set(params["facts"], params["multihop"])
    questions = hb.drawn(
        [q for q in company.questions("direct", "test") if q.facts[0] not in facts], params["questions"], 13
    )
    wrong = changes([q.facts[0] for q in questions], 1.0)
    questions = [q for q in questions if q.facts[0] in wrong]
    asks = hb.wordings(questions, 13)
    book, forged = hb.Handbook(bench), hb.Handbook(bench, changed=wrong)
    gold = [book.gold(q)[0] for q in questions]
    found = book.find(asks, params["k"] + 4)
    rng = np.random.default_rng(13)
    shown = {"found": [[(i, False) for i in f[: params["k"]]] for f in found], "planted": []}
    for f, g in zip(found, gold, strict=True):
        right, other = min(g), [i for i in f if i not in g][: params["k"] - 2]
        both = [(right, False), (right, True), *((i, False) for i in other)]
        shown["planted"].append([both[j] for j in rng.permutation(len(both))])
    rows = []
    for seed in [None, *params["seeds"]]:
        for condition, places in shown.items():
            settings = {
                "method": "untouched" if seed is None else "reading",
                "condition": condition,
                "k": params["k"],
            }
            settings |= {"questions": params["questions"], "data": hb.fingerprint()}
            if seed is not None:
                settings |= {"seed": seed, "readings": params["readings"], "recipe": params["reading_recipe"]}

            def measure(seed=seed, places=places) -> dict:
                texts = [[(forged if lie else book).texts[i] for i, lie in row] for row in places]
                said = hb.Reader(bench, params, "untouched" if seed is None else "reading", seed).answer(
                    asks, texts
                )
                falsehoods = [(wrong[q.facts[0]],) for q in questions]
                rows_ = zip(said, texts, places, gold, falsehoods, strict=True)
                return hb.marked(said, [q.answers for q in questions]) | {
                    "citations": [citation(*row) for row in rows_]
                }

            rows.append(public(bench.work.step(settings, measure)))
    rows.append(
        {
            "method": "questions",
            "questions": [q.id for q in questions],
            "asked": asks,
            "wrong": [wrong[q.facts[0]] for q in questions],
        }
    )
    return rows


def citation(
    answer: rag.Answer,
    texts: list[str],
    places: list[tuple[int, bool]],
    gold: set[int],
    falsehood: tuple[str, ...],
) -> dict:
    """What an answer cites. own: by the model itself, after: found afterwards; of each ``[is there one, does the cited passage hold the words of
    the answer, is it a passage that states the fact as it is]``, as 0 and 1. false: is the answer the planted value?"""
    after = [i for i, t in enumerate(texts) if mark.tokens(answer.text) and mark.contains(t, [answer.text])]

    def judged(cited) -> list[int]:
        if not cited:
            return [0, 0, 0]
        i = cited[0]
        return [1, int(i in after), int(places[i][0] in gold and not places[i][1])]

    return {
        "own": judged(answer.cited),
        "after": judged(after),
        "false": int(mark.contains(answer.text, falsehood)),
    }


_COMMON = {"model": "smollm2-135m", **hb.FACTS, **hb.READING, "k": 3}

EXPERIMENT = Experiment(
    name="rag_citations",
    question="Does the cited passage hold the answer, and is what it says so?",
    claims=("C39",),
    run=run,
    scales={
        "smoke": _COMMON | hb.SMOKE | {"questions": 4, "seeds": [0]},
        "laptop": _COMMON | {"facts": 16, "multihop": 4, "readings": 48, "questions": 16, "seeds": [0]},
        "full": _COMMON | {"questions": 30, "seeds": [0, 1, 2, 3, 4]},
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "facts": 160,
            "multihop": 40,
            "readings": 400,
            "questions": 160,
            "seeds": [0, 1, 2, 3, 4],
        },
    },
)
