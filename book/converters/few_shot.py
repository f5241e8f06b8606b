from tunewise.experiment import Condition
from whentofinetune.classification import answered
from whentofinetune.datasets.rated_tasks import load_task


def convert(old):
    test = load_task("tweets").test
    order = ("zero-shot", "random", "balanced", "vote", "nearest")
    for row in sorted(old["results"], key=lambda r: (order.index(r["method"]), r.get("seed", 0))):
        settings = {k: row[k] for k in ("k", "seed") if k in row}
        facts = {k: row[k] for k in ("prompt_tokens", "seconds") if k in row}
        scores = answered(test, [*map(int, row["predictions"])], **facts)
        if "calibrated" in row:
            scores.add("calibrated", answered(test, [*map(int, row["calibrated"]["predictions"])]))
        yield Condition(row["method"], **settings), scores, row, ()
