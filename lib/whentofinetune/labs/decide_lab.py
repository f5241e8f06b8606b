"""The cases of the lab "Decide": what a client says, invented prices, and what each option got right, which was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from whentofinetune import book_files, book_records
from whentofinetune.calculators.decide import FORM, UNKNOWN
from whentofinetune.labs import Variant

Outcomes = dict[str, list[float]]  # item -> one value for each seed


@dataclass(frozen=True)
class Case:
    """One client. answers: to all eight questions of the decision helper. calls: a month. wrong_costs: euro an answer that is not right. must: what an
    option has to meet. options: name -> its prices and properties. outcomes: name -> what it got right, item by item."""

    title: str
    page: str
    answers: Mapping[str, str]
    calls: int
    wrong_costs: float
    must: Mapping[str, Any]
    options: Mapping[str, Mapping[str, Any]]
    outcomes: Mapping[str, Outcomes]


def case(v: Variant) -> Case:
    """The case of one student, with calls and costs of their own."""
    cases = yaml.safe_load((book_files.data_dir() / "labs" / "decide_cases.yml").read_text(encoding="utf-8"))
    rng = v.rng("decide")
    found = cases[rng.choice(sorted(cases))]
    calls, wrong_costs = (rng.choice(found[key]).item() for key in ("calls", "wrong_costs"))
    record = book_records.load(found["record"])
    outcomes = {
        n: _outcomes(record.where(**o.pop("where")), found["metric"]) for n, o in found["options"].items()
    }
    page = " ".join(found["page"].format(calls=f"{calls:,}", wrong_costs=f"{wrong_costs:.2f}").split())
    answers = dict.fromkeys(FORM, UNKNOWN) | found["answers"]
    return Case(found["title"], page, answers, calls, wrong_costs, found["must"], found["options"], outcomes)


def _outcomes(rows, metric: str) -> Outcomes:
    of: Outcomes = {}
    for row in rows:
        for item, value in zip(row.items, row.outcomes(metric), strict=True):
            of.setdefault(item, []).append(float(value))
    return of
