"""Can a far smaller model take over a tuned language model's work, by learning from its labels? (C19)

The teacher is the language model, tuned on a few human labels. It labels real tweets whose human labels are hidden from it. Two students
learn from its labels: MiniLM with logistic regression, and TF-IDF with the same. The same students also learn from the human labels of
those tweets, and, the baseline that needs no teacher, from the few labels that the teacher was tuned on. Test items: easy tweets (rated far
from where one label ends and the next begins), hard ones, and product reviews. The teacher's recipe was chosen by two trials on valid.
"""

import time
from itertools import product

from tunewise import baselines
from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.prompting import TEMPLATES
from whentofinetune.classification import answered, label_scores, sample, subset, training_facts, without_llm
from whentofinetune.datasets.rated_tasks import SLICES, slices, unlabelled
from whentofinetune.timing import clocked, linear_student

STUDENTS = ("embeddings", "tfidf")


def conditions(p: Params) -> Conditions:
    for seed in p.seeds:
        yield Condition("labelling", n_labels=p.labels, seed=seed)
        for part in SLICES:
            yield Condition("teacher", n_labels=p.labels, slice=part, seed=seed)
        for source, n in (("teacher", p.pool), ("human", p.pool), ("few human", p.labels)):
            for kind, part in product(STUDENTS, SLICES):
                yield Condition(kind, source=source, n_labels=n, slice=part, seed=seed)
    for of in ("teacher", *STUDENTS):
        yield Condition("clock", of=of, seed=p.seeds[0])


def evaluate(ctx: Context, c: Condition) -> Scores:
    p, template, (task, away) = ctx.params, TEMPLATES[ctx.params.wording], map(ctx.task, ctx.params.tasks)
    few = sample(task, p.labels, c.seed)
    pool = unlabelled(task, [t for t, _ in few], p.pool, c.seed)
    items = subset(slices(task, away)[c.slice], p.test_n) if c.slice else pool
    if c.method in ("labelling", "teacher") or c.of == "teacher":
        answers, prefix = template.answers(task.labels), template.prefix(task)
        pairs = [(template.query(task, text), answers[y]) for text, y in few]
        with ctx.adapter(pairs, Recipe(seed=c.seed, **p.recipe), prefix) as lm:
            if c.of:
                return clocked(lambda texts: label_scores(lm, template, task, texts), pool, p.calls)
            start = time.perf_counter()
            predictions = label_scores(lm, template, task, items).argmax(axis=1)
            seconds = round(time.perf_counter() - start, 2)
            return answered(items, predictions, seconds=seconds, **training_facts(lm))
    if c.method == "clock":
        return clocked(linear_student(ctx, c.of, pool), pool, p.calls)
    train = few if c.source == "few human" else [(e.text, e.label) for e in pool]
    if c.source == "teacher":
        (taught,) = ctx.earlier(method="labelling", seed=c.seed)
        train = [(text, y) for (text, _), y in zip(train, taught["predictions"], strict=True)]
    if len({y for _, y in train}) == 1:  # a teacher with one answer for everything has a student with one
        return answered(items, baselines.majority([y for _, y in train], len(items)))
    return answered(items, without_llm(ctx, c.method, train, items))
