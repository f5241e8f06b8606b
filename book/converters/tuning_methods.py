from tunewise.experiment import Condition
from whentofinetune.classification import answered
from whentofinetune.datasets.rated_tasks import load_task

FACTS = ("train_seconds", "examples_seen", "trainable", "last_loss")


def convert(old):
    for row in old["results"]:
        facts = {k: row[k] for k in FACTS if k in row}
        scores = answered(load_task("tweets").test, [*map(int, row["predictions"])], **facts)
        yield (
            Condition(row["method"], **{k: row[k] for k in ("n_labels", "seed") if k in row}),
            scores,
            row,
            (),
        )
