"""What a student that learned from a teacher's labels saves, and what its labels cost (C19). Standard library only.

Seconds are measured, prices are inputs; none is built in as a fact.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from whentofinetune.calculators.cost import EXAMPLE, checked, from_dict, number, upper
from whentofinetune.calculators.cost_ways import Way


@dataclass(frozen=True)
class Distilling:
    """What is asked about, for :func:`taught`. teacher_seconds, student_seconds: of the machine for 1,000 items. machine_per_hour: its price.
    human_labels, label_price: labels by people that the teacher learned from, and what one costs. train_seconds: of the teacher's training. pool: items that the
    teacher labels for the student. items_per_month: to be answered."""

    teacher_seconds: float = 60
    student_seconds: float = 6
    machine_per_hour: float = 0.5
    human_labels: float = 60
    label_price: float = 0.1
    train_seconds: float = 60
    pool: float = 300
    items_per_month: float = 1_000_000

    def __post_init__(self):
        checked(self)

    @classmethod
    def from_dict(cls, values: dict) -> Distilling:
        """A setting from a dictionary; what is left out keeps its default. Raises ValueError for an unknown name."""
        return from_dict(cls, values)


def taught(s: Distilling) -> dict[str, Way]:
    """The teacher in service, the student that learned from it, and a student that learned from people's labels of the same ``pool`` items. An
    answer is one call; the student's own training, seconds on a laptop, is not counted."""
    second = s.machine_per_hour / 3600
    teacher = Way(
        {"answer": s.teacher_seconds * second / 1000},
        s.human_labels * s.label_price + s.train_seconds * second,
        0.0,
    )
    student = {"answer": s.student_seconds * second / 1000}
    return {
        "teacher": teacher,
        "student of the teacher": Way(student, teacher.setup + s.pool * teacher.call, 0.0),
        "student of people": Way(student, s.pool * s.label_price, 0.0),
    }


def student_json(settings: str) -> str:
    """The calculator's front: a JSON object of settings in, ``{"figures", "tables", "text"}`` out."""
    s = Distilling.from_dict(json.loads(settings))
    found = taught(s)
    teacher, student = found["teacher"], found["student of the teacher"]
    saved, extra = teacher.call - student.call, student.setup - teacher.setup
    first = f"1,000 answers cost {1000 * teacher.call:.3g} euro by the teacher and {1000 * student.call:.3g} by the student."
    if saved > 0:
        second = f" The labels that the student learned from cost {extra:.3g} euro of the teacher's time; they are paid back after {math.ceil(extra / saved - 1e-9):,} answers."
    else:
        second = " The student is no faster than the teacher, so nothing pays for the labels."
    rows = [
        ["1,000 answers", *(f"{1000 * way.call:,.4f}" for way in found.values())],
        ["To set up", *(f"{way.setup:,.2f}" for way in found.values())],
        ["A month of answers", *(f"{way.month(s.items_per_month * 1.0):,.2f}" for way in found.values())],
        [
            "First year in all",
            *(f"{way.setup + 12 * way.month(s.items_per_month):,.2f}" for way in found.values()),
        ],
    ]
    bars = {
        "data": [
            {
                "type": "bar",
                "name": part,
                "x": list(found),
                "y": values,
                "marker": {"pattern": {"shape": shape, "fgcolor": "#ffffff", "fillmode": "overlay"}},
                "hovertemplate": "%{x}, " + part + ": %{y:,.4~g} euro",
            }
            for part, shape, values in (
                ("set up", "/", [way.setup for way in found.values()]),
                ("answers of a year", "", [12 * way.month(s.items_per_month) for way in found.values()]),
            )
        ],
        "layout": {
            "title": {"text": "The first year"},
            "barmode": "stack",
            "yaxis": {"title": {"text": "euro"}},
            "legend": {"traceorder": "normal"},
        },
        "alt": "Stacked bars of the first year's cost: "
        + ", ".join(f"{n} {w.setup + 12 * w.month(s.items_per_month):.3g} euro" for n, w in found.items())
        + ".",
    }
    tables = [{"caption": "What each costs, in euro", "header": ["", *map(upper, found)], "rows": rows}]
    return json.dumps({"figures": [bars], "tables": tables, "text": first + second})


CONTROLS = [
    number("teacher_seconds", "Measured", "Teacher, 1,000 items", 60.0, 1_000_000.0, 0.01, "s"),
    number("student_seconds", "Measured", "Student, 1,000 items", 6.0, 1_000_000.0, 0.01, "s"),
    number("train_seconds", "Measured", "Training the teacher", 60.0, 10_000_000.0, 1.0, "s"),
    number("machine_per_hour", "Prices", "The machine", 0.5, 1000.0, 0.05, "euro an hour", EXAMPLE),
    number("label_price", "Prices", "A label by a person", 0.1, 1000.0, 0.01, "euro", EXAMPLE),
    number("human_labels", "How many", "Labels that the teacher learns from", 60, 1_000_000, 10),
    number("pool", "How many", "Items it labels for the student", 300, 100_000_000, 100),
    number("items_per_month", "How many", "Items to be answered a month", 1_000_000, 10_000_000_000, 1000),
]
