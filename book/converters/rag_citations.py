from tunewise import rag
from tunewise.experiment import Condition
from whentofinetune import handbook as hb


def convert(old):
    questions = [hb.by_id()[i] for i in old["results"][-1]["questions"]]
    for row in old["results"][:-1]:
        cites = row["citations"]
        outcomes = {
            f"{who}.{what}": [bool(c[who][i]) for c in cites]
            for who in ("own", "after")
            for i, what in enumerate(("given", "holds", "source"))
        }
        said, planted = [rag.Answer(text, ()) for text in row["said"]], [bool(c["false"]) for c in cites]
        scores = hb.scored(questions, said, planted=planted, **outcomes)
        settings = {k: row[k] for k in ("condition", "seed") if k in row}
        yield Condition(row["method"], **settings), scores, row, ()


def dropped(old):
    """What was asked: the items of each row say it, and their wordings and planted values follow from the data."""
    return old["results"][-1:]
