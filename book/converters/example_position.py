from tunewise.experiment import Condition, Scores
from whentofinetune.experiments.example_position import items


def convert(old):
    for row in old["results"]:
        right = [h == "1" for h in "".join(row["predictions"])]
        # the interval over arrangements, which share a prompt, is computed by pages/icl_figures.py from the groups
        yield (
            Condition("position", k=row["k"]),
            Scores(items(60, row["k"]), accuracy=right),
            row,
            ("accuracy",),
        )
