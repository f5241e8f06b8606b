"""What will be run, in which order, and what it will take, before anything is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunewise.compare.arms import classifiers, prompts, reading, remote, tuned, written
from tunewise.compare.documents_folder import read_folder
from tunewise.compare.documents_index import remembered
from tunewise.compare.verdict_words import duration
from tunewise.compare.workbench import Arm, Pace, Workbench
from tunewise.models.download import FetchError

LABELS = (" one", " two")  # for the trial of the pace
ROUGH_FLOPS = 4e10  # a second, of a machine on which the model does not lie yet: nothing was measured


@dataclass(frozen=True)
class Plan:
    """Arms in the order in which they are run, with what each is expected to take.

    Parameters
    ----------
    pace
        None where no arm needs the language model.
    measured
        Whether the pace was measured on this machine, or is a rough guess.
    left_out
        Arms that this data can have and the user left out.
    model_bytes
        What the model takes on disk where it has to be fetched first, roughly; else 0.
    """

    arms: Sequence[Arm]
    pace: Pace | None
    measured: bool = True
    left_out: Sequence[Arm] = ()
    model_bytes: float = 0.0

    def seconds(self, arm: Arm) -> float:
        """What the arm is expected to take."""
        return arm.seconds(self.pace or Pace(1e9, 1.0))

    def known_seconds(self, arm: Arm) -> float | None:
        """The same, None where the arm needs the language model and its pace was not measured."""
        return None if arm.needs_model and self.pace is None else self.seconds(arm)

    def lines(self, budget: float | None = None) -> list[str]:
        """The plan in words: one line an arm, the sum, and what a budget (seconds) leaves out."""
        total = sum(map(self.seconds, self.arms))
        disk = sum(arm.disk for arm in self.arms)
        rows = [
            f"  {arm.name:16} {titled(arm.name, arm.title):48} {duration(self.seconds(arm)):>8}"
            for arm in self.arms
        ]
        guess = "by a short trial on this machine" if self.measured else "roughly: the model is not here yet"
        model = f", besides {self.model_bytes / 1e9:.1f} GB for the model" if self.model_bytes else ""
        over = [] if budget is None else self.beyond(budget)
        cut = f"  Beyond the budget of {duration(budget or 0)}: {', '.join(over)}. --skip leaves arms out."
        return [
            f"The plan, the cheap and strong arms first ({guess}):",
            *rows,
            f"  About {duration(total)}, and {disk / 1e6:,.0f} MB on disk{model}. Stop at any time with Ctrl-C: what is done is kept.",
            *([cut] if over else []),
        ]

    def beyond(self, budget: float) -> list[str]:
        """The arms for which this budget (seconds) is expected to be too small, as they are run: one that does not fit is passed over."""
        over, left = [], budget
        for arm in self.arms:
            if self.seconds(arm) > max(1.0, left):
                over.append(arm.name)
            else:
                left -= self.seconds(arm)
        return over


def titled(name: str, title: str) -> str:
    """The title of an arm, or what a point of a learning curve (``tfidf@29``) is."""
    rows = name.partition("@")[2]
    return f"the same, trained on {rows} rows" if rows else title


def arms_of(bench: Workbench) -> list[Arm]:
    """All arms that this data can have, in the order in which they are run: what is cheap and strong first, what is trained last.

    Raises ValueError for documents that answer nothing: a folder without one that can be read, or rows that are no questions.
    """
    if docs := bench.settings.docs:
        if bench.data.kind != "answers":
            said = f"--docs is for questions with short answers, and {bench.data.name} has none"
            raise ValueError(f"{said}: leave it out, or say --task answers")
        if not docs.is_dir():
            raise ValueError(f"--docs {docs} is no folder: name the one that holds your documents")
        read_folder(docs, read=remembered)
    if bench.data.kind == "classification":
        asked = [*classifiers.arms(bench), *prompts.arms(bench), *remote.arms(bench)]
        return [*asked, *classifiers.curve(bench), *tuned.arms(bench)]
    return sorted(
        [*reading.arms(bench), *written.arms(bench), *remote.arms(bench)],
        key=lambda arm: arm.family == "tuned",
    )


def chosen(arms: Sequence[Arm], only: Sequence[str], skip: Sequence[str]) -> list[Arm]:
    """The arms that the user wants. Raises ValueError for a name that there is not."""
    names = list(dict.fromkeys(arm.base_name for arm in arms))
    for name in (*only, *skip):
        if name not in names:
            raise ValueError(f"there is no arm {name!r} for this data; there are {', '.join(names)}")
    kept = [a for a in arms if a.base_name in (only or names) and a.base_name not in skip]
    if not kept:
        raise ValueError("no arm is left to run: --only and --skip leave out all of them")
    return kept


def plan(bench: Workbench, *, fetch: bool = True) -> Plan:
    """What to run, and what it will take: the model reads eight texts for it. Without ``fetch``, a rough guess where the model is not
    on this machine yet."""
    every = arms_of(bench)
    arms = chosen(every, bench.settings.only, bench.settings.skip)
    left_out = [arm for arm in every if arm not in arms and "@" not in arm.name]
    if not any(arm.needs_model for arm in arms):
        return Plan(arms, None, left_out=left_out)
    texts = [item.text for item in bench.data.valid[:8]]
    try:
        if not fetch and not bench.given:
            from tunewise.models import registry
            from tunewise.models.load import place

            spec = registry.get(bench.settings.model)
            if place(spec) is None:
                tokens = float(np.mean([len(text) for text in texts])) / 4 + 20
                pace = Pace(ROUGH_FLOPS / 2 / max(spec.parameters, 1e8), tokens)
                kept = (4 if spec.wheel else 2) * spec.parameters + (spec.file.size if spec.file else 0)
                return Plan(arms, pace, False, left_out, kept)
        return Plan(arms, measure(bench, texts), left_out=left_out)
    except FetchError as error:  # the arms without the model can still be run
        bench.say(f"The model can't be had: {error}")
        return Plan(arms, None, left_out=left_out)


def measure(bench: Workbench, texts: Sequence[str]) -> Pace:
    """The pace of the model on these texts, each with a line around it as a prompt has."""
    from tunewise.models.packing import encode
    from tunewise.scoring import label_logprobs

    lm = bench.ctx.lm
    asked = [f"{bench.shorten(text)}\nLabel:" for text in texts]
    lengths = [len(encode(lm.tokenizer, text)) for text in asked]
    label_logprobs(lm, "", asked[:1], LABELS)  # the first pass is slower than all others
    start = time.perf_counter()
    label_logprobs(lm, "", asked, LABELS)
    return Pace(sum(lengths) / (time.perf_counter() - start), float(np.mean(lengths)))
