"""What a student that learned from a teacher's labels saves, and what its labels cost (C19). Standard library only.

Seconds are measured, prices are inputs; none is built in as a fact.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from whentofinetune.calculators.cost import Settings, Way, meeting, shown, stacked


@dataclass(frozen=True)
class Distilling(Settings):
    """What is asked about, for :func:`taught`.

    teacher_seconds, student_seconds: of the machine for 1,000 items. machine_per_hour: its price. human_labels, label_price: labels by
    people that the teacher learned from, and what one costs. train_seconds: of the teacher's training. pool: items that the teacher
    labels for the student. items_per_month: to be answered.
    """

    teacher_seconds: float = 60
    student_seconds: float = 6
    machine_per_hour: float = 0.5
    human_labels: float = 60
    label_price: float = 0.1
    train_seconds: float = 60
    pool: float = 300
    items_per_month: float = 1_000_000


def taught(s: Distilling) -> dict[str, Way]:
    """The teacher in service, the student that learned from it, and a student that learned from people's labels of the same ``pool``.

    An answer is one call; the student's own training, seconds on a laptop, is not counted.
    """
    second = s.machine_per_hour / 3600
    teacher = Way(
        {"answer": s.teacher_seconds * second / 1000},
        s.human_labels * s.label_price + s.train_seconds * second,
    )
    student = {"answer": s.student_seconds * second / 1000}
    return {
        "teacher": teacher,
        "student of the teacher": Way(student, teacher.setup + s.pool * teacher.call),
        "student of people": Way(student, s.pool * s.label_price),
    }


def student_json(settings: str) -> str:
    """The calculator's front: a JSON object of settings in, ``{"figures", "tables", "text"}`` out."""
    s = Distilling.from_dict(json.loads(settings))
    found, items = taught(s), s.items_per_month
    teacher, student, _ = found.values()
    text = f"1,000 answers cost {1000 * teacher.call:.3g} euro by the teacher and {1000 * student.call:.3g} by the student. "
    back = meeting(teacher, student, items).calls
    if back is None:
        text += "The student is no faster than the teacher, so nothing pays for the labels."
    else:
        extra = student.setup - teacher.setup
        text += f"The labels that the student learned from cost {extra:.3g} euro of the teacher's time; they are paid back after {back:,} answers."
    rows = [
        ["1,000 answers", *(f"{1000 * way.call:,.4f}" for way in found.values())],
        ["To set up", *(f"{way.setup:,.2f}" for way in found.values())],
        ["A month of answers", *(f"{way.month(items):,.2f}" for way in found.values())],
        ["First year in all", *(f"{way.total(12, items):,.2f}" for way in found.values())],
    ]
    parts = {"set up": [w.setup for w in found.values()]}
    parts["answers of a year"] = [12 * w.month(items) for w in found.values()]
    bars = stacked(list(found), parts, "The first year", "euro in the first year")
    return shown([bars], found, rows, text)


CONTROLS = Distilling.controls("student")
