"""Do a few prompted examples predict what fine-tuning will bring? (C15, C27)

Seven tasks, two gains each.
"""

from collections.abc import Iterator

from tunewise.experiment import Condition, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.prompting import TEMPLATES
from whentofinetune.classification import answered, label_scores, sample, subset, tuned
from whentofinetune.datasets.rated_tasks import TASKS
from whentofinetune.experiments import described
from whentofinetune.recipes import three_rates


def conditions(p: Params) -> Iterator[Condition]:
    for task in p.tasks:
        yield Condition("zero-shot", task=task)
        for seed in p.seeds:
            yield Condition("few-shot", task=task, k=p.k, seed=seed)
        for seed in p.seeds:
            yield Condition("lora", task=task, n_labels=p.labels, seed=seed)


def evaluate(ctx: Context, c: Condition) -> Scores:
    task = ctx.task(c.task)
    test = subset(task.test, ctx.params.test_n)
    if c.method == "lora":
        recipe = Recipe(seed=c.seed, **ctx.params.recipe)
        return tuned(ctx, task, c.n_labels, recipe, ctx.params.wording, test)
    shots = sample(task, c.k, c.seed) if c.method == "few-shot" else []
    scores = label_scores(ctx.lm, TEMPLATES[ctx.params.wording], task, test, shots)
    return answered(test, scores.argmax(axis=1))


_RECIPE = {"learning_rate": 1e-3, "epochs": 1, "min_steps": 6}
_COMMON = {"model": "smollm2-135m", "wording": "instruction", "recipe": _RECIPE, "k": 8, "labels": 32}
_SMOKE = {"k": 2, "labels": 8, "seeds": [0], "test_n": 12, "recipe": _RECIPE | {"min_steps": 1}}
_FULL = {"tasks": list(TASKS), "seeds": [0, 1, 2, 3, 4], "test_n": 100}

EXPERIMENT = described(
    __name__,
    _COMMON,
    larger={"recipe": three_rates(_RECIPE | {"epochs": 2}, 4), "labels": 96, "test_n": 200},
    smoke={"tasks": ["tweets-polarity"]} | _SMOKE,
    laptop={"tasks": ["tweets-polarity", "domain"], "seeds": [0], "test_n": 60},
    full=_FULL,
    gpu=_FULL | {"model": "qwen2.5-1.5b", "test_n": 300},
)
