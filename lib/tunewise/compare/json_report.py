"""The report as JSON, with every prediction: for other programs, and to check the verdict by other means.

The layout has a number, ``format``; a field may be added to it, none is renamed or dropped without a new number::

    format          "tunewise-compare/1"
    date, machine, seconds, versions
    settings        what the user asked for; no key of an endpoint is among it
    data            name, columns, labels, metric, findings, and the ids and rows of train, valid and test
    items           the test items in order: id, row, group, target
    arms, curve     name, title, family, settings, trials, notes, cost, metrics (value, n, low, high), euro_a_month, and one value a test item in
                    predictions, confidences and outcomes; repeats: the outcomes of further training runs, which count in metrics and comparisons
    decision        kind, winner, leading, sentence, reasons, items_to_settle, comparisons (a, b, estimate, low, high, level, p, significant, n)
    learning_curves name, points, forecasts, advice, sentence
    label_next      ids and rows of the pool
    missing         arms that were not run: name, why, and the seconds that they would take where the budget or Ctrl-C cost them

Texts of the user's are not in it, but for targets and predictions.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewise.compare import more_data
from tunewise.compare.monthly_cost import bill, read_prices
from tunewise.step_cache import write_whole

if TYPE_CHECKING:
    from tunewise.compare.base import ArmResult, Item, Report

FORMAT = "tunewise-compare/1"


def as_dict(report: Report) -> dict[str, Any]:
    """The report as plain objects that JSON holds; what is no number (an infinite bound) is None."""
    data, decision = report.data, report.decision
    names = {a.name.partition("@")[0]: None for a in report.curve}
    known = {a.name for a in report.arms}
    curves = [more_data.learning_curve(report, n) for n in names if n in known]
    parts = {part: [_place(i) for i in getattr(data, part)] for part in ("train", "valid", "test")}
    made = dict(
        format=FORMAT,
        date=report.date,
        machine=report.machine,
        seconds=report.seconds,
        versions=dict(report.versions),
        settings={f.name: getattr(report.settings, f.name) for f in dataclasses.fields(report.settings)},
        data=dict(
            name=data.name,
            columns=dataclasses.asdict(data.columns),
            labels=data.labels,
            metric=data.metric,
            findings=[dataclasses.asdict(f) for f in data.findings],
            **parts,
        ),
        items=[_place(i) | dict(group=i.group, target=i.target) for i in data.test],
        arms=[_arm(report, a) for a in report.arms],
        curve=[_arm(report, a) for a in report.curve],
        decision=dict(
            kind=decision.kind,
            winner=decision.winner,
            leading=decision.leading,
            sentence=decision.sentence,
            reasons=decision.reasons,
            items_to_settle=decision.items_to_settle,
            comparisons=[
                dict(a=a, b=b, estimate=c.estimate, low=c.low, high=c.high, level=c.level)
                | dict(p=c.p, significant=c.significant, n=c.n, groups=c.groups, detectable=c.detectable)
                for (a, b), c in decision.comparisons.items()
            ],
        ),
        learning_curves=[dataclasses.asdict(c) for c in curves if c],
        label_next=[_place(i) for i in report.label_next],
        missing=[dict(name=name, why=why, seconds=report.waiting.get(name)) for name, why in report.missing],
    )
    plain: dict[str, Any] = _plain(made)
    return plain


def as_json(report: Report) -> str:
    """The report as text, one line: any control character in it is escaped."""
    return json.dumps(as_dict(report), allow_nan=False)


def write_json(report: Report, path: Path) -> Path:
    """Write it to ``path``. Raises OSError where that can't be."""
    write_whole(path, as_json(report) + "\n")
    return path


def _place(item: Item) -> dict[str, Any]:
    return dict(id=item.id, row=item.row)


def _arm(report: Report, arm: ArmResult) -> dict[str, Any]:
    prices = read_prices(report.settings.prices)
    made = {
        f.name: getattr(arm, f.name) for f in dataclasses.fields(arm) if f.name not in ("artefact", "cost")
    }
    made |= dict(cost=dataclasses.asdict(arm.cost))
    made |= dict(metrics={metric: report.mean(arm, metric) for metric in arm.outcomes})
    return made | dict(euro_a_month=bill(arm, report.settings.calls, prices).month)


def _plain(value: Any) -> Any:
    """Mappings, lists, text, numbers and None only."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # of numpy
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
