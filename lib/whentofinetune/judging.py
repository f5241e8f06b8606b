"""A language model as a judge: what it says of texts and of pairs of texts, and what a verdict costs."""

from dataclasses import dataclass

import numpy as np

from tunewise import prompting
from tunewise.experiment import Scores
from tunewise.scoring import encode, label_logprobs
from whentofinetune.classification import answered
from whentofinetune.datasets.judged_texts import Pair, Text
from whentofinetune.timing import one_by_one


@dataclass(frozen=True)
class Form:
    """A prompt template for verdicts: what stands before and after the item, and the completion of each label."""

    opening: str
    closing: str
    answers: tuple[str, str]


POINT = Form("Does the text keep the rules of the house?\n\nText:", "\nKept:", (" yes", " no"))
PAIR = Form("Which text keeps the rules of the house better?\n\nA:", "\nBetter:", (" A", " B"))


def verdicts(
    lm, scheme: str, form: Form, items: list, calls: int, rules: str = "", tuned: bool = False
) -> Scores:
    """What a judge says of texts or pairs and, unless each text of a pair is judged alone, what a verdict costs."""

    def scores(asked: list[Text] | list[Pair]) -> np.ndarray:
        """Log-probabilities [items, 2] of the two verdicts; an untuned judge's are calibrated, a tuned one rightly says that nothing breaks no rule."""
        queries = [t.shown + form.closing for t in asked]
        if tuned:
            return label_logprobs(lm, rules + form.opening, queries, form.answers)
        nothing = [Text("", "", t, 0) for t in prompting.EMPTY_TEXTS]
        empty = [(Pair(t, t) if scheme == "pair" else t).shown + form.closing for t in nothing]
        found = label_logprobs(lm, rules + form.opening, queries + empty, form.answers)
        return prompting.calibrate(found[: len(asked)], found[len(asked) :])

    if scheme == "alone":
        halves = scores([t for pair in items for t in (pair.first, pair.second)])
        return answered(items, (halves[:, 0] - halves[:, 1]).reshape(-1, 2).argmax(axis=1))
    first = scores(items)
    said = answered(items, first.argmax(axis=1), **cost(lm, form, rules, items, calls))
    if scheme == "pair":
        other = scores([pair.swapped for pair in items])[:, ::-1]  # as if nothing had changed places
        turned, both = other.argmax(axis=1), (first + other).argmax(axis=1)
        same = Scores(items, consistent=first.argmax(axis=1) == turned)
        said.outcomes |= same.outcomes
        said.add("swapped", answered(items, turned)).add("both_orders", answered(items, both))
    return said


def cost(lm, form: Form, rules: str, items: list, calls: int) -> dict:
    """Prompt tokens a verdict, those of them that every verdict shares, and seconds of a verdict asked for alone, nothing kept between calls."""
    queries = [t.shown + form.closing for t in items]
    shared = len(encode(lm.tokenizer, rules + form.opening))
    own = float(np.mean([len(encode(lm.tokenizer, q)) for q in queries]))
    asked = [queries[i % len(queries)] for i in range(calls)]
    waits = one_by_one(lambda q: label_logprobs(lm, rules + form.opening, [q], form.answers), asked)
    return {"prompt_tokens": round(shared + own, 1), "shared_tokens": shared, **waits}
