from tunewise.experiment import Condition, Scores
from whentofinetune.classification import answered, sample, subset
from whentofinetune.datasets.rated_tasks import load_task, slices, unlabelled
from whentofinetune.experiments.distillation import STUDENTS

ORDER = ("labelling", "teacher", "embeddings", "tfidf", "clock")
SOURCES = ("teacher", "human", "few human")


def digits(row):
    return [int(p) for p in row["predictions"]]


def place(row):
    if row["method"] == "clock":
        return (9, 0, ("teacher", *STUDENTS).index(row["of"]))
    stage = (
        ("labelling", "teacher").index(row["method"])
        if "source" not in row
        else 2 + SOURCES.index(row["source"])
    )
    return (row["seed"], stage, ORDER.index(row["method"]))


def convert(old):
    tweets = load_task("tweets")
    whole = slices(tweets, load_task("products"))
    parts = {name: subset(items, old["params"]["test_n"]) for name, items in whole.items()}
    for row in old["results"]:
        if row["method"] == "items":
            assert row["labels"] == "".join(str(e.label) for e in parts[row["slice"]])
    training = {r["seed"]: r["train_seconds"] for r in old["results"] if r["method"] == "labelling"}
    for row in sorted((r for r in old["results"] if r["method"] != "items"), key=place):
        if row["method"] == "clock":
            facts = {"seconds": row["single"], "batched": row["batched"]}
            yield (
                Condition("clock", of=row["of"], seed=0),
                Scores(facts=facts),
                row,
                ("single",),
            )  # now called seconds
        elif row["method"] == "labelling":
            known = [t for t, _ in sample(tweets, old["params"]["labels"], row["seed"])]
            pool = unlabelled(tweets, known, old["params"]["pool"], row["seed"])
            facts = {"seconds": row["label_seconds"], "train_seconds": row["train_seconds"]}
            yield (
                Condition("labelling", n_labels=60, seed=row["seed"]),
                answered(pool, digits(row), **facts),
                row,
                (),
            )
        else:
            facts = {"train_seconds": training[row["seed"]]} if row["method"] == "teacher" else {}
            settings = {k: row[k] for k in ("source", "n_labels", "slice", "seed") if k in row}
            yield (
                Condition(row["method"], **settings),
                answered(parts[row["slice"]], digits(row), **facts),
                row,
                (),
            )


def dropped(old):
    return [r for r in old["results"] if r["method"] == "items"]  # their labels were compared with the data
