from tunewise import rag
from tunewise import written_answers as score
from tunewise.experiment import Condition, Params, Scores
from whentofinetune import handbook as hb
from whentofinetune.datasets import company, general_items

LETTERS = dict(zip("RWA", score.OUTCOMES, strict=True))


def convert(old):
    p = Params(old["params"])
    for row in old["results"]:
        seed = {k: row[k] for k in ("seed",) if k in row}
        if row["part"] == "retriever":
            stated = hb.other_questions(p.facts, p.multihop)
            pool = stated if row["asked"] == "answerable" else company.questions("unanswerable", "test")
            questions = hb.drawn(pool, p.questions, 3)
            scores = hb.scored(questions, [rag.Answer(text, ()) for text in row["said"]])
            settings = {k: row[k] for k in ("part", "asked", "retriever")}
            yield Condition(row["method"], **settings, **seed), scores, row, ()
            continue
        for point in row["points"]:
            facts = {k: point[k] for k in ("step", "loss") if k in point}
            settings = {"part": "epochs", "share": point.get("share", 0.0)}
            for kind, questions in hb.probes(p).items():
                was = point[kind]
                outcomes = {name: [LETTERS[o] == name for o in was["outcomes"]] for name in score.OUTCOMES}
                # What was said was not kept, so exact match and F1 of each answer can't be had: the old metrics stand as facts.
                told = facts | {k: was[k] for k in ("exact", "f1")}
                scores = Scores(hb.items(questions), facts=told, **outcomes)
                yield Condition(row["method"], **settings, asked=kind, **seed), scores, was, ()
            digits = {"right": point["general_right"], "sure_and_wrong": point["general_wrong"]}
            outcomes = {name: [int(d) for d in mine] for name, mine in digits.items()}
            was = {"right": point["general"], "sure_and_wrong": point["sure_and_wrong"]}
            scores = Scores(general_items.items()[: p["items"]], facts=facts, **outcomes)
            yield Condition(row["method"], **settings, asked="general", **seed), scores, was, ()


def dropped(old):
    """A training's stops have become rows of their own, one a kind of question; each was proven against its part of the old row."""
    return [row for row in old["results"] if row["part"] == "epochs"]
