from tunewise.experiment import Condition
from whentofinetune.classification import answered
from whentofinetune.datasets.desks import desks, wording

FACTS = (
    "says",
    "prompt",
    "calibrated",
    "prompt_tokens",
    "train_seconds",
    "examples_seen",
    "trainable",
    "last_loss",
)


def convert(old):
    task = desks(150)

    def digits(row):
        return [*map(int, row["predictions"])]

    for row in old["results"]:
        if row["method"] == "forecast":
            continue
        settings = {k: row[k] for k in ("split", "k", "n_labels", "seed") if k in row}
        facts = {k: row[k] for k in FACTS if k in row}
        if row.get("split") == "valid":
            settings = {"prompt": facts.pop("prompt"), **settings}
            facts.pop("calibrated")
            scores = answered(task.valid, digits(row), **facts)
            scores.add("calibrated", answered(task.valid, digits(row["calibrated"])))
        else:
            scores = answered(task.test, digits(row), wording(task.test), **facts)
            if "other" in row:
                scores.add("other", answered(task.test, digits(row["other"])))
        yield Condition(row["method"], **settings), scores, row, ()


def dropped(old):
    """Forecasts are a function of the record: whentofinetune.pages.accuracy.forecasts."""
    return [r for r in old["results"] if r["method"] == "forecast"]
