"""New facts: into the weights, into the prompt, or looked up? (C32, C34)

The same facts are asked for in the wording that was trained on, in one that was not, the other way round (the value is given, the thing asked for), and
two at a time. Facts are tuned in with one, four or eight phrasings of each question, each fact seen equally often.
"""

from __future__ import annotations

from tunewise.experiments import handbook as hb
from tunewise.experiments.base import Bench, Experiment, public
from tunewise.methods import rag


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
    kinds, rows = asked(params), []
    sizes = {k: params[k] for k in ("facts", "multihop", "exposures")}

    def step(settings: dict, answer) -> None:
        """One row a kind of question; answer(wordings, questions) -> answers."""

        def measure() -> dict:
            return {"kinds": {kind: hb.marked(answer(asks, qs), [q.answers for q in qs]) for kind, (asks, qs) in kinds.items()}}

        row = public(bench.work.step({**settings, **sizes}, measure))
        rows.extend({**{k: v for k, v in row.items() if k != "kinds"}, "asked": kind, **scores} for kind, scores in row["kinds"].items())

    step({"method": "closed book"}, lambda asks, qs: rag.answer(bench.lm, asks, [()] * len(asks), max_new_tokens=16))
    book = hb.Handbook(bench)
    k = params["k"]

    def looked_up(lm):
        return lambda asks, qs: rag.answer(lm, asks, [book.show(p) for p in book.find(asks, k)])

    step({"method": "rag", "k": k}, looked_up(bench.lm))
    if params["whole_corpus"]:
        facts, _ = hb.fact_set(params["facts"], params["multihop"])
        few = list(dict.fromkeys(min(book.gold(hb.by_id()[f"direct/{f}"])[0]) for f in facts))[: params["whole_corpus"]]
        inside = {f"direct/{f}" for f in facts if book.gold(hb.by_id()[f"direct/{f}"])[0] & set(few)}

        def whole() -> dict:
            qs = [hb.by_id()[i] for i in sorted(inside)]
            said = rag.answer_from_all(bench.lm, [q.ask[hb.HELD_OUT] for q in qs], book.show(few))
            return hb.marked(said, [q.answers for q in qs])

        rows.append(public(bench.work.step({"method": "whole corpus", "asked": "reworded", "passages": len(few), **sizes}, whole)))
    for seed in params["seeds"]:
        for phrasings in params["phrasings"]:
            with_facts = {"method": "tuned", "phrasings": phrasings, "seed": seed, "recipe": params["fact_recipe"]}

            def tuned(asks, qs, phrasings=phrasings, seed=seed):
                with hb.knows(bench, params, phrasings, seed) as lm:
                    return rag.answer(lm, asks, [()] * len(asks), max_new_tokens=16)

            step(with_facts, tuned)
        if params["readings"]:

            def reader(asks, qs, seed=seed):
                with hb.reads(bench, params, seed, distractors=2, without=0.2) as lm:
                    return looked_up(lm)(asks, qs)

            step({"method": "rag, tuned to read", "k": k, "seed": seed, "readings": params["readings"], "recipe": params["reading_recipe"]}, reader)
    return rows


_COMMON = {"model": "smollm2-135m", **hb.FACTS, **hb.READING, "k": 3, "whole_corpus": 20}

EXPERIMENT = Experiment(
    name="rag_knowledge",
    question="New facts: into the weights, into the prompt, or looked up?",
    claims=("C32", "C34"),
    run=run,
    scales={
        "smoke": _COMMON | {"facts": 8, "multihop": 2, "exposures": 2, "phrasings": [2], "readings": 0, "whole_corpus": 3, "seeds": [0]},
        "laptop": _COMMON | {"facts": 16, "multihop": 4, "phrasings": [1, 8], "readings": 0, "whole_corpus": 8, "seeds": [0]},
        "full": _COMMON | {"phrasings": [1, 4, 8], "seeds": [0, 1, 2, 3, 4]},
        "gpu": _COMMON | {"model": "qwen2.5-1.5b", "facts": 160, "multihop": 40, "phrasings": [1, 4, 8], "readings": 400, "whole_corpus": 60,
                          "seeds": [0, 1, 2, 3, 4]},
    },
)  # fmt: skip
