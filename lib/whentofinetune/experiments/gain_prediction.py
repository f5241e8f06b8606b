"""Do a few prompted examples predict what fine-tuning will bring? (C15, C27)

Two gains on each of twelve tasks: the built-in ones, and collections of public texts.
"""

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.prompting import TEMPLATES
from whentofinetune.classification import answered, label_scores, sample, subset, tuned
from whentofinetune.datasets import public_texts


def conditions(p: Params) -> Conditions:
    for task in (*p.tasks, *p.collections):
        yield Condition("zero-shot", task=task)
        for seed in p.seeds:
            yield Condition("few-shot", task=task, k=p.k, seed=seed)
        for seed in p.seeds:
            yield Condition("lora", task=task, n_labels=p.labels, seed=seed)


def evaluate(ctx: Context, c: Condition) -> Scores:
    p = ctx.params
    task = ctx.task(c.task) if c.task in p.tasks else public_texts.load(c.task, None, p.test_n)
    test = subset(task.test, p.test_n)
    if c.method == "lora":
        return tuned(ctx, task, c.n_labels, Recipe(seed=c.seed, **p.recipe), p.wording, test)
    shots = sample(task, c.k, c.seed) if c.method == "few-shot" else []
    scores = label_scores(ctx.lm, TEMPLATES[p.wording], task, test, shots)
    return answered(test, scores.argmax(axis=1))


def sources(p: Params) -> list:
    return [s.sha256 for s in public_texts.SOURCES] if p.collections else []
