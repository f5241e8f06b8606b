"""What the experiments on classification share: draw examples, score labels, train, and learn without a language model."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import mean

import numpy as np

from tunewise import baselines, prompting
from tunewise.data import Example, Task
from tunewise.experiment import Context, Scores
from tunewise.prompting import TEMPLATES, PromptTemplate
from tunewise.record import Row
from tunewise.scoring import label_logprobs, prompt_tokens
from whentofinetune.datasets import only

NEIGHBOURS = 8
Shots = Sequence[tuple[str, int]]  # texts with the index of their label


def sample(task: Task, n: int, seed: int) -> list[tuple[str, int]]:
    """``n`` training examples as (text, label), as nearly balanced as n allows, drawn with ``seed``. Raises ValueError for too many."""
    if n > (most := pool_size(task, n)):
        raise ValueError(f"{task.name} has {most} training examples, as many of each label; not {n}")
    return prompting.balanced_shots([(e.text, e.label) for e in task.train], n, len(task.labels), seed)


def pool_size(task: Task, most: int) -> int:
    """How many training examples, up to ``most``, can be drawn with as many of each label: small data of the reader's own have fewer."""
    rarest = min(sum(e.label == y for e in task.train) for y in range(len(task.labels)))
    return min(most, rarest * len(task.labels))


def subset(examples: Sequence, n: int | None) -> list:
    """The first ``n`` examples after a fixed shuffle (all for None), in their own order."""
    if n is None or n >= len(examples):
        return list(examples)
    return [examples[i] for i in sorted(np.random.default_rng(0).permutation(len(examples))[:n])]


def answered(
    test: Sequence[Example], predictions: Sequence[int], slices: Sequence[str] = (), **facts
) -> Scores:
    """Predicted label indices (-1: could not be read) as scores.

    slices: the part of the data that each item belongs to; the accuracy on a part is a metric of its name. facts: figures
    about the condition.
    """
    right = [int(p) == e.label for p, e in zip(predictions, test, strict=True)]
    parts = {part: only(right, [s == part for s in slices]) for part in dict.fromkeys(slices)}
    return Scores(test, predictions=predictions, accuracy=right, facts=facts, **parts)


def plain_and_calibrated(
    ctx: Context, template: PromptTemplate, task: Task, items: Sequence[Example], shots: Shots = ()
) -> tuple[list[np.ndarray], float]:
    """Labels predicted by the base model after one prompt, plain and calibrated (each int [items]), and the mean tokens of the prompts."""
    prefix, queries = template.prefix(task, shots), [template.query(task, e.text) for e in items]
    empty = [template.query(task, t) for t in prompting.EMPTY_TEXTS]
    found = label_logprobs(ctx.lm, prefix, queries + empty, template.answers(task.labels))
    plain = found[: len(items)]
    calibrated = prompting.calibrate(plain, found[len(items) :])
    return [s.argmax(axis=1) for s in (plain, calibrated)], round(prompt_tokens(ctx.lm, prefix, queries), 1)


def label_scores(
    lm, template: PromptTemplate, task: Task, examples: Sequence[Example], shots: Shots = ()
) -> np.ndarray:
    """Label log-probabilities [n, labels] of ``examples``, all after the same in-context examples."""
    queries = [template.query(task, e.text) for e in examples]
    return label_logprobs(lm, template.prefix(task, shots), queries, template.answers(task.labels))


def tuned(ctx: Context, task: Task, n: int, recipe, template_name: str, test: Sequence[Example]) -> Scores:
    """Fine-tune on ``n`` labels drawn with the recipe's seed, and score the test items."""
    template = TEMPLATES[template_name]
    with adapter(ctx, task, sample(task, n, recipe.seed), recipe, template) as lm:
        predictions = label_scores(lm, template, task, test).argmax(axis=1)
        return answered(test, predictions, **training_facts(lm))


def adapter(ctx: Context, task: Task, examples: Shots, recipe, template: PromptTemplate):
    """The model fine-tuned on (text, label) pairs, for the length of a ``with`` block."""
    answers = template.answers(task.labels)
    pairs = [(template.query(task, text), answers[y]) for text, y in examples]
    return ctx.adapter(pairs, recipe, template.prefix(task))


def training_facts(lm) -> dict:
    """What a training was like: seconds, examples seen, trainable parameters, mean loss of the last five steps."""
    seen = {"train_seconds": round(lm.seconds, 2), "examples_seen": lm.examples, "trainable": lm.trainable}
    return seen | {"last_loss": round(float(np.mean(lm.losses[-5:])), 4)}


def without_llm(ctx: Context, method: str, train: Shots, test: Sequence[Example]) -> np.ndarray:
    """Labels predicted, int [test], by ``tfidf`` or ``embeddings`` with logistic regression, trained on (text, label) pairs, or by the
    vote of the nearest ``neighbours``."""
    texts = [e.text for e in test]
    if method == "tfidf":
        return baselines.fit_tfidf(train).predict(texts)
    known, labels = zip(*train, strict=True)
    if method == "neighbours":
        return prompting.nearest_vote(labels, ctx.embed(known), ctx.embed(texts), NEIGHBOURS)
    return baselines.fit_embeddings(ctx.embed(known), labels).predict(ctx.embed(texts))


def did_best(trials: Sequence[Row]) -> str:
    """The template with the highest mean accuracy on validation, the first of equals."""
    scores = defaultdict(list)
    for row in trials:
        scores[row["template"]].append(row.metric("accuracy")["value"])
    return max(scores, key=lambda template: mean(scores[template]))
