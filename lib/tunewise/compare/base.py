"""What goes into a comparison on own data, and what comes out: the plain objects that its parts hand to each other.

::

    file --intake--> Table --health, splits--> OwnData --arms, run--> [ArmResult] --decide--> Decision --+
                                                                                                         +--> Report
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tunewise.comparison import Comparison, mean_arrays

Kind = Literal["classification", "answers", "extraction"]
# Of one text that a language model on this machine is given in a prompt or a training pair; the rest is cut off, and that is said.
TEXT_TOKENS = 512
ANSWER_TOKENS = 1024  # of an answer that it writes, at most


@dataclass(frozen=True)
class Columns:
    """Which column is what. ``guessed`` says in words what was guessed and why, one sentence a guess; empty where the user named all."""

    kind: Kind
    text: str
    target: str
    group: str | None = None
    time: str | None = None
    split: str | None = None
    guessed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item:
    """One row of the user's file.

    Parameters
    ----------
    id
        Stable under added rows: file name and a hash of text and target.
    row
        As a person counts in their editor: the line (CSV, JSONL) or sheet row; 2 is the first below a header.
    target
        The label, the right answer, or JSON text of the right fields. None for a row of the pool without a label.
    group
        Items that must not be torn apart by a split, and that count as one draw in an interval: those of a group of the reader's own, and
        near-duplicates. An item alone has its id.
    features
        Values of other columns, for slices of the error analysis (and the time, where one is named).
    """

    id: str
    row: int
    text: str
    target: str | None
    group: str
    features: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One thing that the health check found.

    Parameters
    ----------
    kind
        Such as ``duplicate``, ``near_duplicate``, ``two_labels``, ``leak``, ``imbalance``, ``too_long``, ``empty``, ``label_error``, ``personal``.
    rows
        Row numbers, all of them.
    said
        What was found, in one sentence that names the file, with the first row numbers.
    done
        What was done about it (``removed from training``, ``nothing: look at them``).
    serious
        Whether a result may be wrong unless the user acts.
    """

    kind: str
    rows: tuple[int, ...]
    said: str
    done: str
    serious: bool = False


@dataclass(frozen=True)
class OwnData:
    """The user's file, ready to compare on.

    Parameters
    ----------
    labels
        In order of frequency; empty unless the kind is classification.
    train, valid, test
        Apart by group (or by time); ``pool`` are rows without a target.
    metric
        The name of the per-item outcome that decides: ``accuracy``, ``exact``, ``f1``, ``contains``, ``fields`` or ``score`` (the user's own).
    schema
        JSON schema of an extraction.
    """

    name: str
    columns: Columns
    labels: tuple[str, ...]
    train: tuple[Item, ...]
    valid: tuple[Item, ...]
    test: tuple[Item, ...]
    pool: tuple[Item, ...] = ()
    findings: tuple[Finding, ...] = ()
    metric: str = "accuracy"
    schema: Mapping[str, Any] | None = None

    @property
    def kind(self) -> Kind:
        return self.columns.kind


@dataclass(frozen=True)
class Settings:
    """What the user asked for. Money in euro; ``calls`` a month; ``budget`` in seconds."""

    model: str = "smollm2-135m"
    margin: float = 0.03
    need: float | None = None
    seed: int = 0
    budget: float | None = None
    calls: int = 10_000
    prompt_file: Path | None = None
    endpoint: str | None = None
    endpoint_model: str | None = None
    endpoint_price: tuple[float, float] | None = (
        None  # euro a million tokens: in, out; None where it is not known
    )
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    docs: Path | None = None
    scorer: str | None = None
    output: Path = Path("report.html")
    balanced: bool = False  # train on as many of each label
    metric: str | None = None  # of written answers; None for the usual one of the kind
    schema: Path | None = None  # JSON Schema of an extraction; None to read it off the targets
    prices: Path | None = None  # a TOML file of the user's own, as prices.toml
    fresh: bool = False  # compute and ask all anew, in place of what is kept
    runs: int = 3  # training runs of the recipe that was chosen, each with a seed of its own


@dataclass(frozen=True)
class Cost:
    """What an arm takes on this machine. Seconds and tokens a call are means over the test items; memory in bytes, None where not measured;
    ``euro_a_call`` is None where the price is not known."""

    labels: int
    train_seconds: float = 0.0
    seconds_a_call: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    memory: int | None = None
    euro_a_call: float | None = 0.0


@dataclass(frozen=True)
class ArmResult:
    """One arm on the test items.

    Parameters
    ----------
    name
        Such as ``majority``, ``tfidf``, ``embeddings``, ``neighbours``, ``encoder``, ``zero_shot``, ``few_shot``, ``own_prompt``, ``lora``,
        ``rag``, ``rag_tuned``, ``endpoint``;
        ``lora@30`` is a point of the learning curve, with 30 labels.
    title
        In a reader's words: ``TF-IDF and logistic regression``.
    family
        ``rule``, ``classifier``, ``prompt``, ``tuned``, ``retrieval`` or ``endpoint``.
    settings
        What was chosen on validation (template, number of examples, learning rate, epochs, ...).
    predictions, confidences
        One a test item: a label or the text that was written; the probability given to it, None where there is none.
    outcomes
        Metric -> one number an item.
    repeats
        The same of further training runs, which differ by their seed alone: what is judged is the mean over all runs.
    trials
        What was tried on validation: settings, and ``score``.
    notes
        Sentences for the reader, such as ``training loss was still high: more epochs may help``.
    artefact
        Folder with what a caller needs to use this arm, written by :meth:`tunewise.compare.artefact.Artefact.save`; None for a rule.
    """

    name: str
    title: str
    family: str
    settings: Mapping[str, Any]
    predictions: Sequence[str]
    outcomes: Mapping[str, Sequence[float]]
    cost: Cost
    confidences: Sequence[float] | None = None
    repeats: Sequence[Mapping[str, Sequence[float]]] = ()
    trials: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    artefact: Path | None = None

    def runs(self, metric: str) -> np.ndarray:
        """Outcomes of all training runs, float64 [runs, items]; of an arm that is not trained with a seed, one row."""
        return np.array([run[metric] for run in (self.outcomes, *self.repeats)], dtype=float)

    def mean(self, metric: str) -> float:
        """The mean of an outcome over runs and items."""
        return float(self.runs(metric).mean())

    @property
    def named(self) -> str:
        """The title within a sentence: its first word in small letters, unless it is a name such as TF-IDF or LoRA."""
        first = self.title.partition(" ")[0]
        return self.title if any(map(str.isupper, first[1:])) else self.title[:1].lower() + self.title[1:]


@dataclass(frozen=True)
class Decision:
    """The verdict.

    Parameters
    ----------
    kind
        ``use`` (one arm is better than all others by a test), ``cheaper`` (several can't be told apart: the cheapest of them), ``cannot_tell``,
        ``none_good_enough`` (against ``need``).
    winner
        Name of the arm to use; None where there is none.
    sentence
        The verdict in one sentence, with its figures.
    comparisons
        (a, b) -> the winner (or the leading arm) minus each other on the test items; Holm-corrected, all pairs of arms as one family.
    items_to_settle
        How many more test items would settle it; None where it is settled or no number would.
    leading
        Name of the arm that did best on the test items, also where there is no winner.
    same_cost
        Whether the arms in doubt cost about the same a month: then it hardly matters which of them is taken until more is known.
    """

    kind: Literal["use", "cheaper", "cannot_tell", "none_good_enough"]
    winner: str | None
    sentence: str
    reasons: Sequence[str]
    comparisons: Mapping[tuple[str, str], Comparison]
    items_to_settle: int | None = None
    leading: str = ""
    same_cost: bool = False


@dataclass(frozen=True)
class Report:
    """All of it. ``curve`` holds the arms at fewer labels; ``missing`` the arms that were not run: name and why.

    ``label_next``: the rows of the pool to label first. ``waiting``: those of the missing that the budget or Ctrl-C cost, and the seconds that
    each is expected to take. ``command``: what to type to run them, with a budget that is enough. ``left_out``: arms that this data can have
    and the user left out.
    """

    data: OwnData
    settings: Settings
    arms: Sequence[ArmResult]
    decision: Decision
    curve: Sequence[ArmResult] = ()
    missing: Sequence[tuple[str, str]] = ()
    machine: str = ""
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    date: str = ""
    label_next: Sequence[Item] = ()
    waiting: Mapping[str, float] = field(default_factory=dict)
    command: str = ""
    left_out: Sequence[str] = ()

    def mean(self, arm: ArmResult, metric: str) -> dict[str, float]:
        """The mean of an outcome on the test items, over all training runs, with its 95% interval, which for a share ends at 0 and 1."""
        found = mean_arrays(arm.runs(metric), [i.group for i in self.data.test])
        if metric != "score":
            found["low"], found["high"] = max(0.0, found["low"]), min(1.0, found["high"])
        return found

    def _repr_html_(self) -> str:
        from tunewise.compare.html_report import fragment

        return fragment(self)

    def arm(self, name: str) -> ArmResult:
        """An arm by its name. Raises KeyError with the names that there are."""
        for arm in (*self.arms, *self.curve):
            if arm.name == name:
                return arm
        raise KeyError(f"no arm {name!r}; there are {', '.join(a.name for a in self.arms)}")
