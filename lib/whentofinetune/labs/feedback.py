"""One page of HTML per student: points, the tests' own words where an answer failed, a person's comments, the answers.

What a student's code printed or raised is never shown: it ran beside the hidden tests, and could carry them out. A test's words are
taken from the lab, not from the run.
"""

from __future__ import annotations

import ast
import builtins
import re
import zipfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

from whentofinetune.labs import notebooks
from whentofinetune.labs.course import read_notebook
from whentofinetune.labs.grading import OUT_OF_TIME, Marks

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title><style>
body {{ font: 1rem/1.5 sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
th, td {{ text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #999 }}
pre {{ white-space: pre-wrap; border: 1px solid #999; padding: .5rem }}
</style></head><body><h1>{title}</h1><p>{total}</p>
<table><thead><tr><th scope="col">question</th><th scope="col">points</th><th scope="col">why</th></tr></thead><tbody>{rows}</tbody></table>
<h2>Your answers</h2>{answers}</body></html>
"""


def write(marks: Sequence[Marks], course: Path, source: Path) -> Path:
    """Write ``course/feedback/STUDENT/LAB/LAB.html`` for each student, and all as ``course/feedback.zip``; returns the latter.

    The zip file has Moodle's names of folders where the submissions had them, so that it can be uploaded there as it is.
    """
    cells = read_notebook(source).cells
    names = [(notebooks.marker(c.source), c.source) for c in cells if c.cell_type == "code"]
    words = {
        name: _words(text) for name, text in names if name
    }  # the install cell has none, and is no plain Python
    packed = course / "feedback.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for m in marks:
            path = course / "feedback" / m.student / m.lab / f"{m.lab}.html"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(page(m, course, words), encoding="utf-8")
            named, _, digits = m.student.rpartition("_")
            moodle = (
                f"{named.replace('_', ' ')}_{digits}_assignsubmission_file_"
                if digits.isdigit()
                else m.student
            )
            out.write(path, f"{moodle}/{path.name}")
    return packed


def page(m: Marks, course: Path, words: dict[str | None, list[tuple[re.Pattern, str]]]) -> str:
    """The page of one student. words: of each test cell, the messages of its asserts (:func:`_words`)."""
    why = dict(m.comments)
    if m.error is None:
        for cell in read_notebook(course / "autograded" / m.student / m.lab / f"{m.lab}.ipynb").cells:
            name = notebooks.marker(cell.source)
            for error in (o for o in cell.get("outputs", []) if o.output_type == "error"):
                why.setdefault(name, _said(error, words.get(name, [])))
    rows = "".join(
        f"<tr><td>{escape(q)}</td><td>{'not marked yet' if points is None else f'{points:g}'} of {most:g}</td>"
        f"<td>{escape(why.get(q, ''))}</td></tr>"
        for q, (points, most) in m.questions.items()
    )
    cells = read_notebook(course / "submitted" / m.student / m.lab / f"{m.lab}.ipynb").cells
    answers = "".join(
        f"<pre>{escape(c.source)}</pre>" for c in cells if c.metadata.get("nbgrader", {}).get("solution")
    )
    waiting = f"; {len(m.by_hand)} not marked yet" if m.by_hand else ""
    total = f"Not graded: {m.error}." if m.error else f"{m.total:g} of {m.maximum:g} points{waiting}."
    return _PAGE.format(
        title=escape(f"{m.lab}: {m.student}"), total=escape(total), rows=rows, answers=answers
    )


def _words(source: str) -> list[tuple[re.Pattern, str]]:
    """The message of each assert with one: what matches it in a run, and its words, with … for what is computed."""
    out = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert) and isinstance(node.msg, ast.Constant | ast.JoinedStr):
            parts = node.msg.values if isinstance(node.msg, ast.JoinedStr) else [node.msg]
            fixed = [str(p.value) if isinstance(p, ast.Constant) else None for p in parts]
            pattern = "".join(".*" if part is None else re.escape(part) for part in fixed)
            out.append(
                (re.compile(pattern, re.DOTALL), "".join("…" if part is None else part for part in fixed))
            )
    return out


def _said(error, words: list[tuple[re.Pattern, str]]) -> str:
    if error.ename == "AssertionError":
        return next((text for pattern, text in words if pattern.fullmatch(error.evalue)), "a test failed")
    if error.ename in OUT_OF_TIME:
        return "took too long and was stopped"
    known = isinstance(getattr(builtins, error.ename, None), type)
    return f"stopped with {error.ename}" if known else "stopped with an error"
