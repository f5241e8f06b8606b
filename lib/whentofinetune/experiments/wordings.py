"""How much of a zero-shot score is the prompt template? (C13, C15)

And how much of a failure is only form?
"""

import re
from collections.abc import Sequence

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.generation import generate
from tunewise.prompting import TEMPLATES
from whentofinetune.classification import answered, label_scores, subset


def parse(text: str, answers: Sequence[str]) -> int | None:
    """The index of the one answer word that ``text`` holds; None if it holds none, or several different ones."""
    found = {
        j for j, a in enumerate(answers) if re.search(rf"\b{re.escape(a.strip())}\b", text, re.IGNORECASE)
    }
    return found.pop() if len(found) == 1 else None


def conditions(p: Params) -> Conditions:
    for name in p.wordings:
        for split in ("valid", "test"):
            yield Condition("score", wording=name, split=split)
        if name in p.generated:
            yield Condition("generate", wording=name, split="test")


def evaluate(ctx: Context, c: Condition) -> Scores:
    task, template = ctx.task(ctx.params.tasks[0]), TEMPLATES[c.wording]
    items = subset(getattr(task, c.split), ctx.params.test_n)
    if c.method == "score":
        return answered(items, label_scores(ctx.lm, template, task, items).argmax(axis=1))
    texts = generate(ctx.lm, [template.prefix(task) + template.query(task, e.text) for e in items])
    parsed = [parse(text, template.answers(task.labels)) for text in texts]
    right = [p == e.label for p, e in zip(parsed, items, strict=True)]
    return Scores(
        items,
        predictions=parsed,
        accuracy=right,
        parsed=[p is not None for p in parsed],
        accuracy_of_parsed=[None if p is None else r for p, r in zip(parsed, right, strict=True)],
        facts={"samples": texts[:8]},
    )
