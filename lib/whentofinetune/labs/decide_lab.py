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
    """One client. calls: a month. wrong_costs: euro an answer that is not right. must: what an option has to meet. options: name -> its prices and
    properties. outcomes: name -> what it got right, item by item."""

    title: str
    page: str
    calls: int
    wrong_costs: float
    must: Mapping[str, Any]
    options: Mapping[str, Mapping[str, Any]]
    outcomes: Mapping[str, Outcomes]


def case(v: Variant) -> Case:
    """The case of one student, with calls and costs of their own. Raises ValueError for an option that nobody has measured."""
    found, calls, wrong_costs = _drawn(v)
    record, outcomes = book_records.load(found["record"]), {}
    for name, option in found["options"].items():
        where = option.pop("where")
        rows = record.where(**where)
        if not rows:
            raise ValueError(f"{found['title']}, {name}: no row of {found['record']} matches {where}")
        outcomes[name] = _outcomes(rows, found["metric"])
    page = " ".join(found["page"].format(calls=f"{calls:,}", wrong_costs=f"{wrong_costs:.2f}").split())
    return Case(found["title"], page, calls, wrong_costs, found["must"], found["options"], outcomes)


def key(v: Variant) -> dict[str, str]:
    """What the page of a student's case answers to the eight questions of the decision helper: for grading alone."""
    return dict.fromkeys(FORM, UNKNOWN) | _drawn(v)[0]["answers"]


def _drawn(v: Variant) -> tuple[dict[str, Any], int, float]:
    """The student's case as the file has it, the calls a month, the price of a wrong answer."""
    cases = yaml.safe_load((book_files.data_dir() / "labs" / "decide_cases.yml").read_text(encoding="utf-8"))
    rng = v.rng("decide")
    found = cases[rng.choice(sorted(cases))]
    calls, wrong_costs = (rng.choice(found[name]).item() for name in ("calls", "wrong_costs"))
    return found, calls, wrong_costs


def _outcomes(rows, metric: str) -> Outcomes:
    of: Outcomes = {}
    for row in rows:
        for item, value in zip(row.items, row.outcomes(metric), strict=True):
            of.setdefault(item, []).append(float(value))
    return of
