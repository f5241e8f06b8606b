from tunewise.experiment import Condition
from whentofinetune.classification import answered, subset
from whentofinetune.datasets.rated_tasks import load_task

FACTS = ("train_seconds", "examples_seen", "trainable", "last_loss")


def convert(old):
    for row in old["results"][:-1]:
        settings = {k: row[k] for k in ("task", "k", "n_labels", "seed") if k in row}
        facts = {k: row[k] for k in FACTS if k in row}
        test = subset(load_task(row["task"]).test, 100)
        yield (
            Condition(row["method"], **settings),
            answered(test, [*map(int, row["predictions"])], **facts),
            row,
            (),
        )


def dropped(old):
    """The rank correlations over tasks follow from the other rows: pages/icl_figures.py computes them."""
    return old["results"][-1:]
