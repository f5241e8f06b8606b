"""New facts: into the weights, into the prompt, or looked up? (C32, C34)

The same facts are asked for in the wording that was trained on, in one that was not, the other way round (the value is given, the thing asked for), and
two at a time. Facts are tuned in with one, four or eight phrasings of each question, each fact seen equally often.
"""

from __future__ import annotations

from tunewise import rag
from whentofinetune import handbook as hb
from whentofinetune.old_bench import Bench, Experiment, public


def asked(params: dict) -> dict[str, tuple[list[str], list]]:
    """Kind of question -> (wordings to ask, the questions)."""
    facts, multihop = hb.fact_set(params["facts"], params["multihop"])
    known = hb.by_id()
    direct = [known[f"direct/{f}"] for f in facts]
    back = [known[f"reversed/{f}"] for f in facts if f"reversed/{f}" in known]
    return {
        "same wording": ([q.ask[0] for q in direct], direct),
        "reworded": ([q.ask[hb.HELD_OUT] for q in direct], direct),
        "reversed": ([q.ask[hb.HELD_OUT] for q in back], back),
        "two facts": ([q.ask[0] for q in multihop], multihop),
    }


def run(bench: Bench, params: dict) -> list[dict]:
    kinds, rows, k = asked(params), [], params["k"]
    sizes = {name: params[name] for name in ("facts", "multihop", "exposures")}
    book = hb.Handbook(bench)

    def step(settings: dict, reader: hb.Reader, looked_up: bool = False, only: tuple = tuple(kinds)) -> None:
        """One row a kind of question."""
        for kind in only:
            asks, questions = kinds[kind]

            def measure(asks=asks, questions=questions) -> dict:
                passages = [book.show(p) for p in book.find(asks, k)] if looked_up else [[] for _ in asks]
                return hb.marked(reader.answer(asks, passages), [q.answers for q in questions])

            rows.append(
                public(
                    bench.work.step({**settings, "asked": kind, **sizes, "data": hb.fingerprint()}, measure)
                )
            )

    plain, kinds_for_rag = hb.Reader(bench, params), ("reworded", "reversed", "two facts")
    step({"method": "closed book"}, plain)
    step({"method": "rag", "k": k}, plain, True, kinds_for_rag)
    if params["whole_corpus"]:
        rows.append(_whole_corpus(bench, params, book, sizes))
    for seed in params["seeds"]:
        for phrasings in params["phrasings"]:
            settings = {
                "method": "tuned",
                "phrasings": phrasings,
                "seed": seed,
                "recipe": params["fact_recipe"],
            }
            step(settings, hb.Reader(bench, params, "facts", seed, phrasings))
        if params["readings"]:
            settings = {
                "method": "rag, tuned to read",
                "k": k,
                "seed": seed,
                "readings": params["readings"],
                "recipe": params["reading_recipe"],
            }
            step(settings, hb.Reader(bench, params, "reading", seed), True, kinds_for_rag)
    return rows


def _whole_corpus(bench: Bench, params: dict, book: hb.Handbook, sizes: dict) -> dict:
    """All passages of a small corpus in one prompt: those that state the first of the facts, and every question that they answer."""
    facts, _ = hb.fact_set(params["facts"], params["multihop"])
    questions = [hb.by_id()[f"direct/{f}"] for f in facts]
    few = list(dict.fromkeys(min(book.gold(q)[0]) for q in questions))[: params["whole_corpus"]]
    questions = [q for q in questions if book.gold(q)[0] & set(few)]

    def measure() -> dict:
        said = rag.answer_from_all(
            bench.lm, [q.ask[hb.HELD_OUT] for q in questions], book.show(few), max_new_tokens=20
        )
        return hb.marked(said, [q.answers for q in questions])

    return public(
        bench.work.step(
            {
                "method": "whole corpus",
                "asked": "reworded",
                "passages": len(few),
                **sizes,
                "data": hb.fingerprint(),
            },
            measure,
        )
    )


_COMMON = {"model": "smollm2-135m", **hb.FACTS, **hb.READING, "k": 3, "whole_corpus": 20}

EXPERIMENT = Experiment(
    name="rag_knowledge",
    question="New facts: into the weights, into the prompt, or looked up?",
    claims=("C32", "C34"),
    run=run,
    scales={
        "smoke": _COMMON | hb.SMOKE | {"phrasings": [2], "readings": 0, "whole_corpus": 3, "seeds": [0]},
        "laptop": _COMMON
        | {"facts": 16, "multihop": 4, "phrasings": [1, 8], "readings": 0, "whole_corpus": 8, "seeds": [0]},
        "full": _COMMON | {"phrasings": [1, 4, 8], "seeds": [0, 1, 2, 3, 4]},
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "facts": 160,
            "multihop": 40,
            "phrasings": [1, 4, 8],
            "readings": 400,
            "whole_corpus": 60,
            "seeds": [0, 1, 2, 3, 4],
        },
    },
)
