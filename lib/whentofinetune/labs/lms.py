"""Marks as the CSV that Moodle or Canvas takes back, students matched by number, login or name; standard library only."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from whentofinetune.labs.course import LabError
from whentofinetune.labs.grading import Marks

_MOODLE = ("Identifier", "Full name", "Grade")
_CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


def write(
    marks: Sequence[Marks], lms: str, roster: Path | None, path: Path, unfinished: bool = False
) -> list[str]:
    """Write the marks of one lab to ``path``; returns the students that the roster does not have.

    Parameters
    ----------
    lms
        ``moodle`` (its grading worksheet) or ``canvas`` (its gradebook).
    roster
        What the LMS exported: Moodle's grading worksheet or Canvas's gradebook. Without it the names and numbers are those in the
        names of the files that the LMS handed out.
    unfinished
        Write the total of a student, too, of whom an answer still waits for a person. Without it that grade stays as the roster has it.

    Raises
    ------
    LabError
        When the roster is not such an export, or a student has no number and there is no roster.
    """
    must = _MOODLE if lms == "moodle" else _CANVAS[:2]
    rows = _rows(roster, must) if roster else [_row(m.student, lms) for m in marks]
    name, number = ("Full name", "Identifier") if lms == "moodle" else ("Student", "ID")
    lab, most = marks[0].lab, max(m.maximum for m in marks)
    heads = list(rows[0]) if lms == "moodle" else [h for h in _CANVAS if h in rows[0]]
    column = "Grade"
    if lms == "canvas":
        column = next((h for h in rows[0] if re.sub(r" \(\d+\)$", "", h) == lab), lab)
        heads.append(column)
    found: dict[str, list[dict]] = {}
    for row in rows:
        if row[name].strip() == "Points Possible":  # Canvas's second line
            row[column] = f"{most:g}" if most else ""  # nothing where no run succeeded
            continue
        keys = {
            _plain(v)
            for h, v in row.items()
            if h in (*_MOODLE[:2], *_CANVAS[:4], "Email address", "Username")
        }
        keys |= {
            "#" + "".join(re.findall(r"\d+", row[number])),
            _plain(row.get("Email address", "").split("@")[0]),
        }
        for key in keys - {"", "#"}:
            found.setdefault(key, []).append(row)
    unknown = []
    for m in marks:
        named, _, digits = m.student.rpartition("_")
        row = _one(found, [f"#{digits}" if digits.isdigit() else "", _plain(m.student), _plain(named)])
        if row is None:
            unknown.append(m.student)
        elif not m.error:
            if unfinished or not m.by_hand:
                row[column] = f"{m.total:g}"
            if (
                "Maximum Grade" in row
                and row["Maximum Grade"]
                and float(row["Maximum Grade"].replace(",", ".")) != most
            ):
                wrong = f"Moodle's assignment has {row['Maximum Grade']} points, the lab {most:g}"
                raise LabError(
                    f"{wrong}: set the assignment's maximum grade to {most:g}, export the worksheet and run this again"
                )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, heads, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)
    return unknown


def _rows(roster: Path, must: Iterable[str]) -> list[dict]:
    try:
        with roster.open(newline="", encoding="utf-8-sig") as file:
            rows = [{h: v or "" for h, v in row.items() if h} for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabError(
            f"the roster {roster} cannot be read ({error}): export it again as CSV in UTF-8"
        ) from error
    if not rows or (lacks := set(must) - set(rows[0])):
        raise LabError(
            f"the roster {roster} lacks {', '.join(sorted(lacks)) if rows else 'any rows'}: give Moodle's grading worksheet or "
            "Canvas's exported gradebook, as it is"
        )
    return rows


def _row(student: str, lms: str) -> dict:
    named, _, digits = student.rpartition("_")
    if not named or not digits.isdigit():
        raise LabError(
            f"no number of the LMS is known for {student!r}: give its exported list of students with --roster"
        )
    named = named.replace("_", " ")
    if lms == "moodle":
        return {"Identifier": f"Participant {digits}", "Full name": named, "Grade": ""}
    return dict.fromkeys(_CANVAS, "") | {"Student": named, "ID": digits}


def _plain(text: str) -> str:
    return "".join(re.findall(r"\w", text.replace("_", ""))).lower()


def _one(found: dict[str, list[dict]], keys: Iterable[str]) -> dict | None:
    """The row of the first key that belongs to exactly one."""
    return next((found[key][0] for key in keys if len(found.get(key, ())) == 1), None)
