from tunewise.experiment import Condition, Params, Scores
from whentofinetune.datasets import synthetic_task
from whentofinetune.experiments import invented_operation


def convert(old):
    p = old["params"]
    rows = {tuple(r.get(k) for k in ("method", "task", "k", "n_labels", "seed")): r for r in old["results"]}
    for c in invented_operation.conditions(Params(p)):
        row = rows[c.method, c.task, c.k, c.n_labels, c.seed]
        asked = synthetic_task.tests(c.task, p["test_n"], p["longer_n"])
        # of the letters the old record has the mean with its interval only: it is kept as a figure
        facts = {f"{kind}.letters": row[kind]["letters"] for kind in asked}
        facts |= {k: row[k] for k in ("train_seconds", "trainable", "last_loss") if k in row}
        exact = [r == "1" for kind in asked for r in row[kind]["right"]]
        every = [i for found in asked.values() for i in found]
        yield c, Scores(every, facts=facts, **synthetic_task.by_kind(asked, {"exact": exact})), row, ()
