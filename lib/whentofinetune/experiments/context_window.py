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
from whentofinetune.experiments import described
from whentofinetune.rope_scaling import rope_scaled, tune_positions


def conditions(p: Params) -> Iterator[Condition]:
    for way in p.ways:
        yield Condition("jump", way=way, tuned=False)
    for way in p.real:
        yield Condition("real", way=way, tuned=False)
    for way, seed in product(p.tuned, p.seeds):
        yield Condition("jump", way=way, tuned=True, seed=seed)


def evaluate(ctx: Context, c: Condition) -> Scores:
    p = ctx.params
    reach = int(p.factor * ctx.lm.model.config.max_position_embeddings)
    with rope_scaled(ctx.lm, c.way, p.factor) as lm, contextlib.ExitStack() as after:
        facts = {}
        if c.tuned:
            recipe, base, texts = Recipe(seed=c.seed, **p.recipe), lm, long_context.texts(True)
            lm = tune_positions(base, texts, recipe, reach=reach, window=p.window, steps=p.steps)
            after.callback(lambda: setattr(base, "model", ft.restore(lm)))
            facts = {"train_seconds": round(lm.seconds, 1), "tokens": p.steps * p.window}
        if c.method == "real" or (c.tuned and c.way in p.real_tuned and c.seed == p.seeds[0]):
            facts["stretches"] = long_context.real(lm, p.marks)
        if c.method == "real":
            return Scores(facts=facts)
        found = long_context.jump(lm, p.distances, p.docs, p.after)
        return long_context.scored(*found, ctx.lm.model.config.max_position_embeddings, facts)


_WAYS, _MARKS = ["none", "pi", "ntk", "yarn"], [2048, 4096, 6144, 8192, 10240]
_COMMON = {"model": "smollm2-135m", "recipe": {"learning_rate": 5e-4}, "factor": 4, "after": 96}
_COMMON |= {"window": 512, "steps": 12, "ways": _WAYS, "distances": [1024, 4096, 8192, 12288, 16384, 32000]}
_FEW = {"real": ["none"], "marks": [256, 512], "tuned": ["pi"], "real_tuned": [], "seeds": [0]}
_FULL = {"real": ["none", "yarn"], "marks": _MARKS, "tuned": ["pi", "yarn"], "real_tuned": ["yarn"]}
_GPU = {"real": _WAYS, "marks": [*_MARKS, 12288, 16384], "tuned": ["none", "pi", "yarn"]}
_GPU |= {"model": "smollm2-1.7b", "docs": 40, "steps": 200, "window": 2048, "real_tuned": _GPU["tuned"]}

EXPERIMENT = described(
    __name__,
    _COMMON,
    sources=lambda p: long_context.texts(True) + long_context.texts(False),
    smoke=_FEW | {"distances": [1024, 12288], "docs": 2, "ways": ["none", "yarn"], "window": 64, "steps": 1},
    laptop=_FEW | {"docs": 6, "real": [], "tuned": []},
    full=_FULL | {"docs": 10, "seeds": [0, 1, 2]},
    gpu=_GPU | {"seeds": [0, 1, 2, 3, 4]},
)
