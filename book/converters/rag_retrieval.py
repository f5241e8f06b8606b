from tunewise.experiment import Condition, context
from whentofinetune.experiments.rag_retrieval import evaluate


def convert(old):
    """Of questions over two facts the old record holds counts alone: the search, which is quick and always the same, is done again."""
    ctx = context(old["params"])
    for row in old["results"]:
        c = Condition(row["how"], asked=row["asked"])
        scores = evaluate(ctx, c)
        ranks = [round(1 / float(r)) if float(r) else 0 for r in scores.outcomes["mrr"]]
        assert ranks == row["first_rank"], row["how"]
        yield c, scores, row, ()
