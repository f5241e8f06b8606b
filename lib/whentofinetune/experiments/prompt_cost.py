"""What do examples in the prompt cost? (C20, C28)

Seconds and tokens a call against their number, with and without a prefix cache.
"""

import numpy as np

from tunewise import stats
from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.prompting import TEMPLATES
from tunewise.scoring import label_logprobs, prompt_tokens
from whentofinetune.classification import sample
from whentofinetune.timing import timed


def conditions(p: Params) -> Conditions:
    for k in p.k:
        yield Condition("latency", k=k)


def evaluate(ctx: Context, c: Condition) -> Scores:
    task, template, lm = ctx.task(ctx.params.tasks[0]), TEMPLATES[ctx.params.wording], ctx.lm
    answers = template.answers(task.labels)
    queries = [template.query(task, e.text) for e in task.valid[: ctx.params.calls]]
    prefix = template.prefix(task, sample(task, c.k, 0))
    label_logprobs(lm, prefix, queries[:1], answers)  # warm up
    # one call an item, nothing kept between calls; then one row an item, the prefix computed once
    single = [round(timed(label_logprobs, lm, prefix, [query], answers), 4) for query in queries]
    cached = timed(label_logprobs, lm, prefix, queries, answers, row_tokens=1)
    return Scores(
        facts={
            "prompt_tokens": round(prompt_tokens(lm, prefix, queries), 1),
            "seconds": stats.bootstrap(single, np.median),
            "seconds_all": single,
            "seconds_cached": round(cached / len(queries), 4),
        }
    )
