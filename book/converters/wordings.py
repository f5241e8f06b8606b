from tunewise.experiment import Condition, Scores
from whentofinetune.classification import answered
from whentofinetune.datasets.rated_tasks import load_task


def convert(old):
    for row in old["results"]:
        items = getattr(load_task("tweets"), row["split"])
        said = [None if p == "-" else int(p) for p in row["predictions"]]
        right = [p == e.label for p, e in zip(said, items, strict=True)]
        scores = (
            answered(items, said)
            if row["method"] == "score"
            else Scores(
                items,
                predictions=said,
                accuracy=right,
                parsed=[p is not None for p in said],
                accuracy_of_parsed=[None if p is None else r for p, r in zip(said, right, strict=True)],
                facts={"samples": row["samples"]},
            )
        )
        yield Condition(row["method"], wording=row["wording"], split=row["split"]), scores, row, ()
