from tunewise import rag
from tunewise.experiment import Condition
from whentofinetune import handbook as hb
from whentofinetune.experiments.rag_dynamic import INDEX, WEIGHTS


def convert(old):
    p = old["params"]
    questions = hb.fact_questions(p["facts"], p["multihop"])
    order = (*INDEX, *WEIGHTS)
    for row in sorted(old["results"], key=lambda r: (r.get("seed", -1), order.index(r["method"]))):
        new = hb.changes([q.facts[0] for q in questions], row["share"])
        assert new == row["new"]
        changed = [q.facts[0] in new for q in questions]
        scores = hb.scored(
            questions,
            [rag.Answer(text, ()) for text in row["said"]],
            [(new[q.facts[0]],) if q.facts[0] in new else q.answers for q in questions],
            parts={"changed": changed, "unchanged": [not c for c in changed]},
            facts={k: row[k] for k in ("passages_replaced", "index_seconds", "train_seconds") if k in row},
        )
        settings = {k: row[k] for k in ("share", "seed") if k in row}
        yield Condition(row["method"], **settings), scores, row, ()
