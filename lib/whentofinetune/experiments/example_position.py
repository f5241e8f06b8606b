"""Does the model use an example wherever it stands? (C29)

The decisive example at each position of the prompt. The examples file invented words under kinds. The query is one of these words again: the answer stands in the prompt, once. Each
arrangement of k examples is asked k times, once for each word, so the position of the decisive example varies while everything
else stays.
"""

import numpy as np

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from whentofinetune.datasets import Item
from whentofinetune.datasets.invented_words import recalled


def conditions(p: Params) -> Conditions:
    for k in p.k:
        yield Condition("position", k=k)


def evaluate(ctx: Context, c: Condition) -> Scores:
    arrangements = range(ctx.params.arrangements)
    right = [recalled(ctx.lm, c.k, np.random.default_rng([a, c.k])) for a in arrangements]
    items = [Item(f"{a}.{p}", f"{a}") for a in arrangements for p in range(c.k)]  # of one prompt: a group
    return Scores(items, accuracy=np.concatenate(right).tolist())
