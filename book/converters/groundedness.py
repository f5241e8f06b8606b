from tunewise.experiment import Condition, Params
from whentofinetune.datasets import grounded_claims
from whentofinetune.experiments import groundedness


def convert(old):
    asked = groundedness.tested(Params(old["params"]))
    for row in old["results"]:
        if row["method"] == "items":
            assert [i.label for i in asked] == [*map(int, row["labels"])] and "".join(i.error[0] for i in asked) == row["errors"]
            continue
        facts = {k: row[k] for k in ("prompt_tokens", "train_seconds", "examples_seen") if k in row}
        said = [*map(int, row["predictions"] + row["stale"]["predictions"])]
        scores = grounded_claims.scored(asked, said, **facts)
        if "centred" in row:
            both = row["centred"]["predictions"] + row["centred"]["stale"]["predictions"]
            scores.add("centred", grounded_claims.scored(asked, [*map(int, both)]))
        yield Condition(row["method"], **{k: row[k] for k in ("n_labels", "seed") if k in row}), scores, row, ()


def dropped(old):
    return [r for r in old["results"] if r["method"] == "items"]  # labels and kinds follow from the item ids
