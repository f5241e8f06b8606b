"""What will be run, in which order, and what it will take, before anything is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tunewise.compare.arms import classifiers, prompts, reading, remote, tuned, tuned_encoder, written
from tunewise.compare.base import OwnData
from tunewise.compare.documents_folder import read_folder
from tunewise.compare.documents_index import remembered
from tunewise.compare.workbench import Arm, Pace, Workbench
from tunewise.comparison import Comparison
from tunewise.models.download import FetchError
from tunewise.stats import LEVEL
from tunewise.words import duration

LABELS = (" one", " two")  # for the trial of the pace
DISAGREE = 0.2  # of the test rows on which just one of two arms is right: the book's calculator takes it, too
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
    kept
        Names of the arms whose results are kept: they take no time.
    begun
        Names of those of which steps may be kept: a budget that is too small does not pass them over, so that they come to an end.
    """

    arms: Sequence[Arm]
    pace: Pace | None
    measured: bool = True
    left_out: Sequence[Arm] = ()
    model_bytes: float = 0.0
    kept: Collection[str] = ()
    begun: Collection[str] = ()

    def seconds(self, arm: Arm) -> float:
        """What the arm is expected to take."""
        return 0.0 if arm.name in self.kept else arm.seconds(self.pace or Pace(1e9, 1.0))

    def known_seconds(self, arm: Arm) -> float | None:
        """The same, None where the arm needs the language model and its pace was not measured."""
        return None if arm.needs_model and self.pace is None else self.seconds(arm)

    def lines(self, budget: float | None = None) -> list[str]:
        """The plan in words: one line an arm, the sum, and what a budget (seconds) leaves out."""
        total = sum(map(self.seconds, self.arms))
        disk = sum(arm.disk for arm in self.arms if arm.name not in self.kept)
        rows = [
            f"  {arm.name:16} {titled(arm.name, arm.title):48} "
            f"{'kept' if arm.name in self.kept else duration(self.seconds(arm)):>8}"
            for arm in self.arms
        ]
        trial = "the language model by a short trial on this machine, the rest by rules of thumb"
        guess = trial if self.measured else "roughly: the model is not here yet"
        guess = guess if self.pace else "by rules of thumb"
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
            if self.seconds(arm) > max(1.0, left) and arm.name not in self.begun:
                over.append(arm.name)
            else:
                left = max(0.0, left - self.seconds(arm))
        return over


def finds(data: OwnData, arms: Sequence[Arm]) -> list[str]:
    """What the test rows can show, in a sentence for people; none where there is nothing to compare.

    The smallest difference that is found with 80 % power (:attr:`tunewise.comparison.Comparison.detectable`), at the level that the
    verdict on so many arms uses. Rows of one group count as one, by Kish's effective number of groups. Outcomes are 0 or 1, and two arms
    differ on :data:`DISAGREE` of them: where the difference is ``gap``, its variance is (share - gap²) / (n - 1).
    """
    k = len({arm.base_name for arm in arms})
    if k < 2:
        return []
    sizes = np.array(list(Counter(item.group for item in data.test).values()))
    n = float(sizes.sum() ** 2 / (sizes**2).sum())
    level = 1 - (1 - LEVEL) / (k * (k - 1) / 2)
    unit = Comparison(0.0, 1.0, n - 1, 0.0, 0.0, len(data.test), len(sizes), level=level).detectable
    share = max(
        DISAGREE, unit**2 / (n - 1 + unit**2)
    )  # a difference is never larger than the share of rows that differ
    gap = (unit**2 * share / (n - 1 + unit**2)) ** 0.5
    groups = f" in {len(sizes):,} groups of rows that belong together" if len(sizes) < len(data.test) else ""
    return [
        f"The {len(data.test):,} test rows{groups} show a difference from about {100 * gap:.0f} points on between two of these {k} arms in four of "
        f"five cases: an estimate for answers that are right or wrong, where just one of the two is right on {100 * share:.0f}% of the rows."
    ]


def titled(name: str, title: str) -> str:
    """The title of an arm, or what a point of a learning curve (``tfidf@29``) is."""
    rows = name.partition("@")[2]
    return f"the same, trained on {rows} rows" if rows else title


def arms_of(bench: Workbench) -> list[Arm]:
    """All arms that this data can have, in the order in which they are run: what is cheap and strong first, the language model's training last.

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
        asked = [
            *classifiers.arms(bench),
            *tuned_encoder.arms(bench),
            *prompts.arms(bench),
            *remote.arms(bench),
        ]
        return [*asked, *classifiers.curve(bench), *tuned_encoder.curve(bench), *tuned.arms(bench)]
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
    """What to run, what of it is kept, and what the rest will take: the model reads eight texts for it. Without ``fetch``, a rough guess
    where the model is not on this machine yet."""
    every = arms_of(bench)
    arms = chosen(every, bench.settings.only, bench.settings.skip)
    left_out = [arm for arm in every if arm not in arms and "@" not in arm.name]
    keys = {arm.name: bench.key_of(arm) for arm in arms if arm.family != "endpoint"}  # a plan asks no server
    kept = {name for name, key in keys.items() if bench.results(key)}
    begun = {name for name, key in keys.items() if bench.begun(key)}
    made = Plan(arms, None, left_out=left_out, kept=kept, begun=begun)
    if not any(arm.needs_model and arm.name not in kept for arm in arms):
        return made
    texts = [item.text for item in bench.data.valid[:8]]
    try:
        if not fetch and not bench.given:
            from tunewise.models import registry
            from tunewise.models.load import place

            spec = registry.get(bench.settings.model)
            if place(spec) is None:
                tokens = float(np.mean([len(text) for text in texts])) / 4 + 20
                pace = Pace(ROUGH_FLOPS / 2 / max(spec.parameters, 1e8), tokens)
                size = (4 if spec.wheel else 2) * spec.parameters + (spec.file.size if spec.file else 0)
                return replace(made, pace=pace, measured=False, model_bytes=size)
        return replace(made, pace=measure(bench, texts))
    except FetchError as error:  # the arms without the model can still be run
        bench.say(f"The model can't be had: {error}")
        return made


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
