"""How much of a gain is only that the answers can be read? (C15)

The model writes its answer before and after LoRA on a few labels. It is scored twice: an answer that cannot be read counts as wrong, as in most
harnesses (``strict``); and by label scoring, where form cannot fail (``scored``). What the first gains above the second is form.
"""

from collections.abc import Sequence
from itertools import product

from tunewise.data import Example, Task
from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.generation import generate
from tunewise.prompting import TEMPLATES, PromptTemplate
from whentofinetune.classification import adapter, answered, label_scores, sample, subset, without_llm
from whentofinetune.experiments.wordings import parse


def conditions(p: Params) -> Conditions:
    if strange := [task for task, _ in p.asked if task not in p.tasks]:
        raise ValueError(f"parse_fixes: asked names {strange[0]}, which is not among tasks: give both")
    for task, seed in product(p.tasks, p.seeds):
        yield Condition("embeddings", task=task, n_labels=p.labels, seed=seed)
    for task, wording in p.asked:
        yield Condition("before", task=task, wording=wording)
        for seed in p.seeds:
            yield Condition("lora", task=task, wording=wording, n_labels=p.labels, seed=seed)


def evaluate(ctx: Context, c: Condition) -> Scores:
    task = ctx.task(c.task)
    items = subset(task.test, ctx.params.test_n)
    train = sample(task, c.n_labels, c.seed) if c.n_labels else []
    if c.method == "embeddings":
        return answered(items, without_llm(ctx, c.method, train, items))
    template = TEMPLATES[c.wording]
    if c.method == "before":
        return scored_twice(ctx.lm, task, template, items)
    with adapter(ctx, task, train, Recipe(seed=c.seed, **ctx.params.recipe), template) as lm:
        return scored_twice(lm, task, template, items)


def scored_twice(lm, task: Task, template: PromptTemplate, items: Sequence[Example]) -> Scores:
    """What ``lm`` writes, read strictly (-1 stands for an answer that cannot be read), and which label it scores highest."""
    texts = generate(lm, [template.query(task, e.text) for e in items], prefix=template.prefix(task))
    read = [parse(t, template.answers(task.labels)) for t in texts]
    return (
        Scores(
            items,
            readable=[p is not None for p in read],
            of_readable=[None if p is None else p == e.label for p, e in zip(read, items, strict=True)],
            facts={"samples": texts[:4]},
        )
        .add("strict", answered(items, [-1 if p is None else p for p in read]))
        .add("scored", answered(items, label_scores(lm, template, task, items).argmax(axis=1)))
    )
