"""Can a small model be tuned as a judge of whether an answer is supported? (C24)

Items with planted errors, trained on training entities and tested on test entities. The strongest rivals are no judges at all:
``contains`` looks whether the answer stands in the passage; ``features`` is logistic regression on three simple numbers.

The recipe: three trials on valid, with 128 to 256 items, all stayed near guessing; what is recorded trains on fewer still.
"""

import numpy as np

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.scoring import label_logprobs, prompt_tokens
from whentofinetune.datasets import company, grounded_claims

PREFIX = "Is the answer supported by the passage?\n\n"
ANSWERS = [" yes", " no"]


def query(item: grounded_claims.Item) -> str:
    return f"Passage: {item.passage}\nQuestion: {item.question}\nAnswer: {item.answer}\nSupported:"


def tested(p: Params) -> list[grounded_claims.Item]:
    """The test items, and after them those with a kind of error that training does not have."""
    stale = grounded_claims.items("test", "stale")[: p.stale_n]
    return [*grounded_claims.items("test")[: p.test_n], *stale]


def conditions(p: Params) -> Conditions:
    yield Condition("contains")
    for seed in p.seeds:
        yield Condition("features", n_labels=p["items"], seed=seed)
    yield Condition("untuned")
    for seed in p.seeds:
        yield Condition("lora", n_labels=p["items"], seed=seed)


def evaluate(ctx: Context, c: Condition) -> Scores:
    asked = tested(ctx.params)
    if c.method == "contains":
        return grounded_claims.scored(asked, [not company.says(i.passage, i.answer) for i in asked])
    train = grounded_claims.training_items(c.n_labels, c.seed) if c.n_labels else []
    if c.method == "features":
        from sklearn.linear_model import LogisticRegression

        fitted = LogisticRegression(C=10.0).fit(
            grounded_claims.features(train, ctx.embed), [i.label for i in train]
        )
        return grounded_claims.scored(asked, fitted.predict(grounded_claims.features(asked, ctx.embed)))
    if c.method == "untuned":
        return judge(ctx.lm, asked)
    pairs = [(query(i), ANSWERS[i.label]) for i in train]
    with ctx.adapter(pairs, Recipe(seed=c.seed, **ctx.params.recipe), PREFIX) as lm:
        return judge(lm, asked, train_seconds=round(lm.seconds, 1), examples_seen=lm.examples)


def judge(lm, asked, **facts) -> Scores:
    queries = [query(i) for i in asked]
    scores = label_logprobs(lm, PREFIX, queries, ANSWERS)
    lead = scores[:, 0] - scores[:, 1]
    lean = np.median(lead)  # half of the answers are right: what a threshold could at best mend
    tokens = round(prompt_tokens(lm, PREFIX, queries), 1)
    return grounded_claims.scored(asked, scores.argmax(axis=1), prompt_tokens=tokens, **facts).add(
        "centred", grounded_claims.scored(asked, lead <= lean)
    )


def sources(p: Params) -> list:
    return [vars(i) for i in (*tested(p), *grounded_claims.items("train"))]
