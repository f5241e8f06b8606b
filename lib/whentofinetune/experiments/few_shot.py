"""What do examples in the prompt bring? (C26, C28, C30)

Which ones, and what do they cost? Where several prompt templates are given, each arm uses the one that does best on validation items: without examples, and, on average over draws, with four.
"""

import time
from itertools import product

from tunewise import prompting
from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.prompting import TEMPLATES
from tunewise.scoring import label_logprobs, prompt_tokens
from whentofinetune.classification import answered, did_best, pool_size, sample, subset

VERSION = 2  # the chat template closes and opens turns between examples; it is chosen by several draws


def conditions(p: Params) -> Conditions:
    for k, template in product((0, 4), p.templates if len(p.templates) > 1 else ()):
        for seed in p.seeds if k else p.seeds[:1]:
            yield Condition("trial", k=k, seed=seed, template=template, split="valid")
    yield Condition("zero-shot", k=0)
    for method in ("random", "balanced", "vote", "nearest"):
        for seed, k in product(p.seeds, p[method]):
            yield Condition(method, k=k, seed=seed)
    for seed, k in product(p.draws, p.drawn_again):
        yield Condition("random", k=k, seed=seed)


def evaluate(ctx: Context, c: Condition) -> Scores:
    task, names = ctx.task(ctx.params.tasks[0]), [c.template] if c.template else ctx.params.templates
    if len(names) > 1:
        names = [did_best(ctx.earlier(method="trial", k=4 if c.k else 0))]
    template = TEMPLATES[names[0]]
    test = subset(task.valid if c.split == "valid" else task.test, ctx.params.test_n)
    pool = [] if not c.k else sample(task, pool_size(task, ctx.params.pool), c.seed)
    if c.k > len(pool) and c.method != "zero-shot":
        raise ValueError(f"few_shot: {c.method} must not be above {len(pool)}, the pool; it was given {c.k}")
    if c.method in ("vote", "nearest"):
        pool_vectors = ctx.embed([t for t, _ in pool])
        vectors = ctx.embed([e.text for e in test])
    if c.method == "vote":
        return answered(test, prompting.nearest_vote([y for _, y in pool], pool_vectors, vectors, c.k))
    queries, opening = [template.query(task, e.text) for e in test], template.instruction(task)
    if c.method == "nearest":  # each test item after its own examples: nothing but the instruction is shared
        chosen = prompting.nearest_shots(pool, pool_vectors, vectors, c.k)
        queries = [template.prefix(task, s)[len(opening) :] + q for s, q in zip(chosen, queries, strict=True)]
        prefix, empty = opening, []
    else:
        draw = prompting.balanced_shots if c.method == "balanced" else prompting.random_shots
        labels = (len(task.labels),) if c.method == "balanced" else ()
        shots = draw(pool, c.k, *labels, c.seed) if c.k else []
        prefix, empty = template.prefix(task, shots), [template.query(task, t) for t in prompting.EMPTY_TEXTS]
    lm, start = ctx.lm, time.perf_counter()
    found = label_logprobs(lm, prefix, queries + empty, template.answers(task.labels))
    seconds, scores = time.perf_counter() - start, found[: len(test)]
    outcome = answered(
        test,
        scores.argmax(axis=1),
        prompt_tokens=round(prompt_tokens(lm, prefix, queries), 1),
        seconds=round(seconds, 2),
    )
    if empty:
        calibrated = prompting.calibrate(scores, found[len(test) :])
        outcome.add("calibrated", answered(test, calibrated.argmax(axis=1)))
    return outcome
