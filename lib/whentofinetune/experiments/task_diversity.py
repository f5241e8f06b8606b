"""One adapter a task, or one for all? (C41)

Each task's adapter asked about every task, a mixed one, and what changing adapters costs. Three short classifications that share nothing but their form: the mood of a tweet, where a text is from, and what a complaint to the
invented company is about. A mixed adapter learns from as many examples of each task as a task's own adapter has, or from as many in all.
"""

from functools import partial

from tunewise.data import Task, fingerprint
from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.prompting import TEMPLATES
from whentofinetune.classification import answered, label_scores, sample, subset, training_facts
from whentofinetune.datasets.desks import complaints
from whentofinetune.switching import switching

NONE, MIXED, SMALL = "none", "mixed", "mixed, same total"


def conditions(p: Params) -> Conditions:
    tasks = [*p.tasks, "complaints"]
    for tested in tasks:
        yield Condition("prompt", trained=NONE, tested=tested)
    for seed in p.seeds:
        for trained in (*tasks, MIXED, SMALL):
            of = len(tasks) if trained in (MIXED, SMALL) else 1
            each = p.labels // of if trained == SMALL else p.labels
            told = {"trained": trained, "of_each": each, "n_labels": of * each, "seed": seed}
            yield from (Condition("lora", **told, tested=tested) for tested in tasks)
    yield Condition("switch", seed=p.seeds[0])


def evaluate(ctx: Context, c: Condition) -> Scores:
    p, template, tasks = ctx.params, TEMPLATES[ctx.params.wording], [*ctx.params.tasks, "complaints"]
    tests = {name: subset(task(ctx, name).test, p.test_n) for name in tasks}

    def ask(lm, name: str, n: int | None = None):
        return label_scores(lm, template, task(ctx, name), tests[name][:n])

    if c.method == "switch":
        own = {name: partial(adapter, ctx, [name], p.labels, c.seed) for name in tasks}
        return Scores(facts=switching(ctx, own, lambda lm, name: ask(lm, name, p.switches), p.switches))
    test = tests[c.tested]
    if c.method == "prompt":
        return answered(test, ask(ctx.lm, c.tested).argmax(axis=1))
    with adapter(ctx, tasks if c.trained in (MIXED, SMALL) else [c.trained], c.of_each, c.seed) as lm:
        return answered(test, ask(lm, c.tested).argmax(axis=1), **training_facts(lm))


def task(ctx: Context, name: str) -> Task:
    return complaints() if name == "complaints" else ctx.task(name)


def adapter(ctx: Context, tasks: list[str], each: int, seed: int):
    """The model with an adapter trained on ``each`` examples of each task, each after its own task's instruction."""
    template, pairs = TEMPLATES[ctx.params.wording], []
    for t in (task(ctx, name) for name in tasks):
        answers = template.answers(t.labels)
        pairs += [(template.prefix(t) + template.query(t, x), answers[y]) for x, y in sample(t, each, seed)]
    return ctx.adapter(pairs, Recipe(seed=seed, **ctx.params.recipe))


def sources(p: Params) -> str:
    return fingerprint(complaints())
