from tunewise.experiment import Condition
from tunewise.finetune import Recipe
from whentofinetune import probes
from whentofinetune.classification import subset
from whentofinetune.datasets import general_items, vader
from whentofinetune.datasets.rated_tasks import load_task


def convert(old):
    size = old["params"]["probes"]
    held_out = subset(load_task("tweets").valid, size["task"])
    texts = [r for r in vader.split("news")["test"] if len(r.text) >= 60][: size["texts"]]
    general = general_items.items()[: size["items"]]

    def scored(found, facts):
        return probes.scored(
            [e.id for e in held_out],
            [int(p) == e.label for p, e in zip(found["task"]["predictions"], held_out, strict=True)],
            [r.id for r in texts],
            found["bits"],
            [i.id for i in general],
            [r == "1" for r in found["general_right"]],
            [[h == "1" for h in word] for word in found["recall_right"]],
            facts,
        )

    def before(found):  # bits per byte and recall are ratios and means over prompts: the page computes them from the outcomes
        return {"task": found["task"]["accuracy"], "general": found["general"]}

    for row in old["results"]:
        if row["method"] == "untouched":
            yield Condition("untouched", quantized=row["model"] == "4-bit"), scored(row, {}), before(row), ()
    for row in old["results"]:
        if row["method"] == "untouched":
            continue
        way = {k: row[k] for k in ("method", "rank", "learning_rate") if k in row}
        for point in row["points"]:
            facts = {"moved": point["moved"]}
            yield Condition(**way, seed=row["seed"], step=point["step"]), scored(point, facts), before(point), ()


def dropped(old):
    return old["results"]  # checked point by point above
