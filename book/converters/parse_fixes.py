from tunewise.experiment import Condition, Scores
from whentofinetune.classification import answered, subset
from whentofinetune.datasets.rated_tasks import load_task


def convert(old):
    for row in old["results"]:
        if row["method"] == "gain":
            continue
        settings = {k: row[k] for k in ("task", "wording", "n_labels", "seed") if k in row}
        items = subset(load_task(row["task"]).test, 60)
        if row["method"] == "embeddings":
            yield (
                Condition("embeddings", **settings),
                answered(items, [*map(int, row["predictions"])]),
                row,
                (),
            )
            continue
        strict = [-1 if p == "-" else int(p) for p in row["strict"]["predictions"]]
        scores = Scores(
            items,
            readable=[p >= 0 for p in strict],
            of_readable=[None if p < 0 else p == e.label for p, e in zip(strict, items, strict=True)],
            facts={"samples": row["samples"]},
        )
        scores.add("strict", answered(items, strict))
        scores.add("scored", answered(items, [*map(int, row["scored"]["predictions"])]))
        yield Condition(row["method"], **settings), scores, row, ()


def dropped(old):
    """Gains are a function of the record: whentofinetune.pages.accuracy.gains."""
    return [r for r in old["results"] if r["method"] == "gain"]
