"""How far past its trained length does a model read, with and without tuning? (C25)

With RoPE scaling, and with a short tuning on top. The two probes, *jump* and *real*, are those of :mod:`whentofinetune.long_context`. Training makes the same jumps
(:func:`whentofinetune.rope_scaling.tune_positions`).
"""

import contextlib
from collections.abc import Iterator
from itertools import product

from tunewise import finetune as ft
from tunewise.experiment import Condition, Context, Params, Scores
from tunewise.finetune import Recipe
from whentofinetune import long_context
from whentofinetune.rope_scaling import rope_scaled, tune_positions


def conditions(p: Params) -> Iterator[Condition]:
    for scaling in p.scalings:
        yield Condition("jump", scaling=scaling, tuned=False)
    for scaling in p.real:
        yield Condition("real", scaling=scaling, tuned=False)
    for scaling, seed in product(p.tuned, p.seeds):
        yield Condition("jump", scaling=scaling, tuned=True, seed=seed)


def evaluate(ctx: Context, c: Condition) -> Scores:
    p = ctx.params
    reach = int(p.factor * ctx.lm.model.config.max_position_embeddings)
    with rope_scaled(ctx.lm, c.scaling, p.factor) as lm, contextlib.ExitStack() as after:
        facts = {}
        if c.tuned:
            recipe, base, texts = Recipe(seed=c.seed, **p.recipe), lm, long_context.texts(True)
            lm = tune_positions(base, texts, recipe, reach=reach, window=p.window, steps=p.steps)
            after.callback(lambda: setattr(base, "model", ft.restore(lm)))
            facts = {"train_seconds": round(lm.seconds, 1), "tokens": p.steps * p.window}
        if c.method == "real" or (c.tuned and c.scaling in p.real_tuned and c.seed == p.seeds[0]):
            facts["stretches"] = long_context.real(lm, p.marks)
        if c.method == "real":
            return Scores(facts=facts)
        found = long_context.jump(lm, p.distances, p.docs, p.after)
        return long_context.scored(*found, ctx.lm.model.config.max_position_embeddings, facts)


def sources(p: Params) -> list:
    return long_context.texts(True) + long_context.texts(False)
