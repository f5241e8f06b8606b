"""Does a comparison on 100 validation items pick the method that wins on 1,000? (C43)

The language model is asked on the data sets of ``asked`` only, where texts are short. Each arm answers all held-out items once, so that
validation sets can be drawn from them as often as one likes.
"""

from itertools import product

from tunewise import baselines, prompting
from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.prompting import TEMPLATES
from tunewise.step_cache import digest
from whentofinetune import validation_draws
from whentofinetune.classification import answered, plain_and_calibrated, without_llm
from whentofinetune.datasets import Item, drawn, public_texts
from whentofinetune.validation_draws import CHOICES, FAMILIES


def conditions(p: Params) -> Conditions:
    for name in p.sets:
        for seed, (arm, family) in product(p.seeds, FAMILIES.items()):
            if family != "prompt":
                yield Condition(arm, set=name, seed=seed)
        if name in p.asked:
            yield from (Condition(arm, set=name) for arm, of in FAMILIES.items() if of == "prompt")
    for n, choice in product(p.validation, CHOICES):
        yield Condition(choice, n=n)


def evaluate(ctx: Context, c: Condition) -> Scores:
    p = ctx.params
    if c.n:
        return of_draws(ctx, c)
    task = public_texts.load(c.set, p.pool, p.held_out)
    train = [(e.text, e.label) for e in drawn(task.train, p.labels, 42, c.seed or 0)]
    if c.method == "majority":
        found = baselines.majority([y for _, y in train], len(task.test))
    elif FAMILIES[c.method] == "prompt":
        shots = prompting.random_shots(train, p.shots, 0) if c.method == "few-shot" else []
        (_, found), _ = plain_and_calibrated(ctx, TEMPLATES["instruction"], task, task.test, shots)
    else:
        found = without_llm(ctx, c.method, train, task.test)
    return answered(task.test, found)


def of_draws(ctx: Context, c: Condition) -> Scores:
    """One way to choose, at one number of validation items; an item is a draw, and the draws of a data set are a group."""
    p = ctx.params
    cases = validation_draws.cases({name: ctx.earlier(set=name) for name in p.sets}, p.seeds)
    key = ["validation draws", c.n, p.draws, p.margin, digest([list(case) for case in cases])]
    found = ctx.memo(key, lambda: [list(validation_draws.draws(x, c.n, p.draws, p.margin)) for x in cases])
    items = [Item(f"{x.name}/{i}", x.group) for x in cases for i in range(p.draws)]
    of = [draw[c.method] for draws in found for draw in draws]
    return Scores(items, **{metric: [values[metric] for values in of] for metric in of[0]})


def sources(p: Params) -> list:
    return [s.sha256 for s in public_texts.SOURCES]
