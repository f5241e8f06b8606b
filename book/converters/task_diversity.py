from tunewise.data import fingerprint
from tunewise.experiment import Condition, Scores
from whentofinetune.classification import answered, subset
from whentofinetune.datasets.complaints import complaints
from whentofinetune.datasets.rated_tasks import load_task


def convert(old):
    tasks = {name: load_task(name) for name in ("tweets", "domain")} | {"complaints": complaints()}
    tests = {name: subset(task.test, old["params"]["test_n"]) for name, task in tasks.items()}
    for row in old["results"]:
        if row["method"] == "items":
            assert row["labels"] == "".join(str(e.label) for e in tests[row["tested"]])
            assert row["checksum"] == fingerprint(tasks[row["tested"]])
        elif row["method"] == "switch":
            settings = (
                "method",
                "seed",
                "switches",
                "recipe",
                "test_n",
                "labels",
            )  # but for the seed, parameters of the run
            facts = {k: v for k, v in row.items() if k not in settings}
            yield Condition("switch", seed=row["seed"]), Scores(facts=facts), row, ()
        else:
            settings = {k: row[k] for k in ("trained", "of_each", "n_labels", "seed", "tested") if k in row}
            facts = {k: row[k] for k in ("train_seconds", "examples_seen", "trainable") if k in row}
            yield (
                Condition(row["method"], **settings),
                answered(tests[row["tested"]], [*map(int, row["predictions"])], **facts),
                row,
                (),
            )


def dropped(old):
    return [
        r for r in old["results"] if r["method"] == "items"
    ]  # labels and checksums were compared with the data
