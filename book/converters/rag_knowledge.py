from tunewise import rag
from tunewise.experiment import Condition, Params
from whentofinetune import handbook as hb
from whentofinetune.experiments.rag_knowledge import asked


def convert(old):
    p = Params(old["params"])
    for row in old["results"]:
        questions, facts = asked(p, row["asked"])[0], None
        if row["method"] == "whole corpus":
            book, facts = hb.Handbook(None), {"passages": row["passages"]}
            few = list(dict.fromkeys(min(book.gold(q)[0]) for q in questions))[: row["passages"]]
            questions = [q for q in questions if book.gold(q)[0] & set(few)]
        settings = {k: row[k] for k in ("phrasings", "seed", "asked") if k in row}
        scores = hb.scored(questions, [rag.Answer(text, ()) for text in row["said"]], facts=facts)
        yield Condition(row["method"], **settings), scores, row, ()
