"""Do a few prompted examples predict what fine-tuning will bring? (C15, C27)

Seven tasks, two gains each.
"""

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.prompting import TEMPLATES
from whentofinetune.classification import answered, label_scores, sample, subset, tuned


def conditions(p: Params) -> Conditions:
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
