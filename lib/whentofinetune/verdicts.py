"""Verdicts on the article's claims: they follow from the tests in ``data/claims.yml`` and the run records, and from nothing else.

A test compares condition ``a`` with ``b`` on one metric and states beforehand which way the difference should go and how large
it must be to matter. Where ``b`` is a list, every rival in it must be beaten: the one that comes closest decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from tunewise.comparison import Comparison, combine, compare, judge
from tunewise.models import registry
from tunewise.record import NotMeasured, Record
from whentofinetune import book_files, book_records, contrasts

LADDER = {"smollm2-135m": "135M", "qwen2.5-coder-0.5b": "0.5B", "qwen2.5-coder-1.5b": "1.5B"}
KINDS = ("effect", "measured", "calculated", "a question", "not tested")
MARKS = {
    "agrees": ("●", "#009E73"),
    "agrees in part": ("◐", "#E69F00"),
    "too small to matter": ("○", "#56B4E9"),
    "no difference that matters": ("=", "#56B4E9"),
    "does not agree": ("✕", "#D55E00"),
    "cannot tell": ("?", "#7F7F7F"),
    "not yet measured": ("–", "#7F7F7F"),
    "measured": ("m", "#0072B2"),
    "calculated": ("c", "#0072B2"),
    "a question": ("q", "#0072B2"),
    "not tested": ("–", "#7F7F7F"),
}


@dataclass(frozen=True)
class Finding:
    """One test of a claim on one model.

    rival: the condition that came closest, where there are several. unit: of the difference: ``points``, ``relative`` (a share of b's
    mean), ``correlation`` or ``units`` of the metric.
    """

    says: str
    metric: str
    predicted: str
    margin: float
    comparison: Comparison
    verdict: str
    reason: str
    rival: Mapping[str, Any] = field(default_factory=dict)
    unit: str = "units"


@dataclass(frozen=True)
class Verdict:
    """The verdict on one claim for one model of the ladder; without findings where nothing was compared."""

    claim: str
    model: str
    word: str
    findings: tuple[Finding, ...] = ()


@cache
def claims() -> dict[str, dict[str, Any]]:
    """All claims by their id, as in ``data/claims.yml``."""
    import yaml

    entries = yaml.safe_load((book_files.data_dir() / "claims.yml").read_text(encoding="utf-8"))
    return {entry["id"]: entry for entry in entries}


def verdict(claim: str, model: str = "smollm2-135m") -> Verdict:
    """What the records of ``model`` say of a claim. Raises KeyError for an unknown claim."""
    entry = claims()[claim]
    if entry["kind"] != "effect":
        return Verdict(claim, model, entry["kind"])
    tests = entry["tests"]
    try:
        findings = tuple(finding(test, model, 1 - 0.05 / len(tests)) for test in tests)
    except NotMeasured:
        return Verdict(claim, model, "not yet measured")
    return Verdict(claim, model, combine([f.verdict for f in findings]), findings)


def headline(claim: str) -> Verdict:
    """The verdict of the largest model of the ladder that was measured."""
    found = [verdict(claim, model) for model in LADDER]
    return next((v for v in reversed(found) if v.word != "not yet measured"), found[0])


def title(model: str) -> str:
    """The full name of a model, for readers; of one of the reader's own, the name that its record has."""
    known = registry.MODELS.get(model)
    return known.title if known else model


def finding(test: Mapping[str, Any], model: str, level: float) -> Finding:
    """One test on one model, with an interval of ``level``."""
    if "contrast" in test:
        contrast, rival = getattr(contrasts, test["contrast"]), {}
        comparison = contrast(lambda name: book_records.load(name, model=model), level)
    else:
        record, a = _arm(test, test["a"], model)
        several = test["b"] if isinstance(test["b"], list) else [test["b"]]
        arms = [_arm(test, b, model) for b in several]
        found = [compare(record, a, b, test["metric"], other=other, level=level) for other, b in arms]
        sign = -1 if test["predicted"] == "below" else 1
        closest = min(range(len(found)), key=lambda i: sign * found[i].estimate)
        comparison, rival = found[closest], {}
        if len(several) > 1:
            rival = {"experiment": test.get("experiment"), **several[closest]}
    if test.get("relative"):
        comparison = comparison.relative()
    word, reason = judge(comparison, test["margin"], test["predicted"])
    unit = "correlation" if isinstance(comparison, contrasts.RankCorrelation) else test.get("unit", "points")
    if test.get("relative"):
        unit = "relative"
    said = (test["says"], test["metric"], test["predicted"], test["margin"])
    return Finding(*said, comparison, word, reason, rival, unit)


def _arm(test: Mapping[str, Any], arm: Mapping[str, Any], model: str) -> tuple[Record, dict[str, Any]]:
    """The record and the settings of one side; ``chosen`` names a setting whose value won on validation items: ``by`` a metric that is
    about such items, else by the test's own in the rows of that split.

    Raises NotMeasured for a missing record, or one in which this model was not asked for this side.
    """
    settings = {k: v for k, v in arm.items() if k not in ("experiment", "chosen", "by")}
    name = arm.get("experiment", test.get("experiment"))
    record = book_records.load(name, model=model)
    if not record.where(**settings):
        raise NotMeasured(name, "full", model)
    if chosen := arm.get("chosen"):
        trials = record.by(chosen, **(settings if "by" in arm else {**settings, "split": "valid"}))
        metric = arm.get("by", test["metric"])
        settings[chosen] = max(trials, key=lambda v: np.mean([r.metric(metric)["value"] for r in trials[v]]))
    return record, settings


def board(*only: str) -> list[dict[str, Any]]:
    """One row a claim, all if none is named: its words for every model of the ladder, the headline and its findings."""
    rows = []
    for claim in only or claims():
        entry = claims()[claim]
        words = {model: verdict(claim, model).word for model in LADDER}
        top = headline(claim)
        about = {"claim": claim, "says": entry["claim"], "kind": entry["kind"], "words": words}
        rows.append(about | {"headline": top.word, "model": top.model, "findings": top.findings})
    return rows


def counts(rows: Sequence[Mapping[str, Any]] | None = None) -> dict[str, int]:
    """How many claims have which verdict, in the order of :data:`MARKS`."""
    found = [r["headline"] for r in (board() if rows is None else rows)]
    return {word: found.count(word) for word in MARKS if word in found}
