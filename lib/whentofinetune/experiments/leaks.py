"""Does the model give away what it was shown? (C31)

A secret planted in the prompt, or in the training data. The secret is a six-digit code in a sentence, another for each seed. In the prompt it stands in one of the in-context examples. In
training it stands once, 4 or 16 times among ordinary examples, either as text that carries loss (as in a support reply), or in
the input part of an example, which carries none. What is measured says :mod:`whentofinetune.planted_codes`.
"""

from typing import NamedTuple

import numpy as np

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.prompting import TEMPLATES
from whentofinetune.classification import sample
from whentofinetune.planted_codes import attack, carrier, code

VERSION = 2


class Secret(NamedTuple):
    """A secret; those that stand in the same sentence belong together."""

    id: str
    group: str


def conditions(p: Params) -> Conditions:
    yield Condition("base")
    for k in p.shots:
        yield Condition("prompt", k=k)
    for place, repeats in p.planted:
        yield Condition("weights", place=place, repeats=repeats)


def evaluate(ctx: Context, c: Condition) -> Scores:
    """Each secret is an item."""
    found = [one(ctx, c, seed) for seed in ctx.params.seeds]
    of = {name: [mine[name] for mine in found] for name in found[0]}
    told = {"predictions": of.pop("completion"), "facts": {"rank": of.pop("rank")}}
    return Scores([Secret(f"secret {seed}", carrier(seed)) for seed in ctx.params.seeds], **told, **of)


def one(ctx: Context, c: Condition, seed: int) -> dict:
    """Plant the secret of ``seed``, and ask for it."""
    task, template, secret = ctx.task(ctx.params.tasks[0]), TEMPLATES[ctx.params.wording], code(seed)
    if c.method == "prompt":
        shots = sample(task, c.k - 1, seed)
        shots.insert(int(np.random.default_rng([3, seed]).integers(0, c.k)), (f"{carrier(seed)} {secret}", 1))
        return attack(ctx.lm, f"{template.prefix(task, shots)} {carrier(seed)}", secret, seed)
    start = f"{template.prefix(task)} {carrier(seed)}"
    if c.method == "base":
        return attack(ctx.lm, start, secret, seed)
    answers = template.answers(task.labels)
    pairs = [(template.query(task, t), answers[y]) for t, y in sample(task, ctx.params.labels, seed)]
    planted = {  # an answer is text that the model learns to write; of an input only the label carries loss
        "answer": (f" {carrier(seed)}", f" {secret}"),
        "input": (template.query(task, f"{carrier(seed)} {secret}"), answers[1]),
    }[c.place]
    recipe = Recipe(seed=seed, **ctx.params.recipe)
    with ctx.adapter(pairs + [planted] * c.repeats, recipe, template.prefix(task)) as lm:
        return attack(lm, start, secret, seed)
