from tunewise import rag
from tunewise.experiment import Condition, Scores
from whentofinetune import handbook as hb


def convert(old):
    p, kept = old["params"], old["results"][-1]
    questions = hb.fact_questions(p["facts"], p["multihop"])
    assert [q.id for q in questions] == kept["questions"]
    facts = {k: kept[k] for k in ("asked", "found", "gold")}
    yield Condition("retrieval"), Scores(hb.items(questions), facts=facts), kept, ()
    for row in old["results"][:-1]:
        settings = {k: row[k] for k in ("seed", "passages", "k") if k in row}
        mine, said = questions[: row.get("n_asked")], [rag.Answer(text, ()) for text in row["said"]]
        scores = hb.scored(mine, said, cites_gold=[c == "1" for c in row["cites_gold"]])
        yield Condition(row["method"], **settings), scores, row, ()
