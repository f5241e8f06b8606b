import numpy as np

from tunewise.experiment import Condition, Scores
from whentofinetune.classification import answered
from whentofinetune.datasets.judged_texts import pairwise, pointwise


def digits(row):
    return [int(p) for p in row["predictions"]]


def convert(old):
    items = {
        "point": pointwise("test", old["params"]["points"], 0),
        "pair": pairwise("test", old["params"]["pairs"], 0),
    }
    items["alone"] = items["pair"]
    for row in old["results"]:
        if row["method"] == "items":
            assert row["labels"] == "".join(str(t.label) for t in items[row["way"]])
    order = ("asked", "rubric", "tuned", "tfidf", "embeddings", "rules")
    rows = [r for r in old["results"] if r["method"] != "items"]
    # the pairs whose texts were judged alone stood inside the row on single texts; they are a row of their own now
    found = [(r, r["way"], r) for r in rows] + [(r, "alone", r["pairs"]) for r in rows if "pairs" in r]
    ways = ("point", "alone", "pair")

    def place(entry):
        row, way, _ = entry
        first = (
            -1 if row["method"] in ("asked", "rubric") else 99 if row["method"] == "rules" else row["seed"]
        )
        return (first, order.index(row["method"]), ways.index(way))

    for row, way, part in sorted(found, key=place):
        facts = {
            k: part[k]
            for k in ("prompt_tokens", "shared_tokens", "seconds", "train_seconds", "examples_seen")
            if k in part
        }
        settings = {"way": way}
        if "seed" in row:
            settings |= {"n_labels": 30 if way == "pair" else 60, "seed": row["seed"]}
        if row["method"] == "rules":
            said = Scores(facts=facts)
        else:
            said = answered(items[way], digits(part), **facts)
        if way == "pair":
            turned = digits(part["swapped"])
            said.outcomes |= Scores(items[way], consistent=np.equal(digits(part), turned)).outcomes
            said.add("swapped", answered(items[way], turned)).add(
                "both_orders", answered(items[way], digits(part["both_orders"]))
            )
        yield Condition(row["method"], **settings), said, part, ("pairs.accuracy",)


def dropped(old):
    return [r for r in old["results"] if r["method"] == "items"]  # their labels were compared with the data
