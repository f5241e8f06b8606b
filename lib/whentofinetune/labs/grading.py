"""Grade what was collected: each submission in a process of its own, its code in the sandbox, marks in nbgrader's gradebook."""

from __future__ import annotations

import csv
import hashlib
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from whentofinetune.labs.course import (
    LabError,
    identifier_notes,
    last_error,
    make_release,
    nbgrader_api,
    read_notebook,
    write_rows,
)
from whentofinetune.labs.notebooks import marker

OUT_OF_TIME = ("CellTimeoutError", "KeyboardInterrupt")  # what a cell ends with that ran into its time limit
SECONDS_A_CELL = 120  # what one cell of a submission may take in grading; and no more than a fifth of the whole notebook's time
_ODD = re.compile(
    r"\b(?:_getframe|_current_frames|currentframe|f_back|f_code|f_locals|f_globals|inspect|settrace|setprofile|get_ipython"
    r"|_ih|get_objects|get_referrers|ctypes|builtins|__builtins__|__import__|AssertionError|subprocess|socket)\b"
    r"|(?<![.\w])(?:eval|exec)(?=\()"
)


@dataclass(frozen=True)
class Limits:
    """How submissions run. sandbox: ``"bubblewrap"``, ``"container"`` or ``"none"``; seconds: for one whole notebook; memory_gb: address space of one process; jobs: at the same time."""

    sandbox: str = "bubblewrap"
    seconds: int = 600
    memory_gb: float = 8
    jobs: int = min(os.cpu_count() or 1, 4)


@dataclass
class Marks:
    """Marks of one student in one lab. questions: name -> (points or None, maximum); None waits for a person.

    look: words in the code for which a person should look at it, such as ``_getframe``. notes: what else to look at. comments: question -> what a person wrote in Formgrader.
    """

    student: str
    lab: str
    questions: dict[str, tuple[float | None, float]]
    error: str | None = None
    look: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    comments: dict[str, str] = field(default_factory=dict)
    total = property(lambda self: sum(points or 0 for points, _ in self.questions.values()))
    maximum = property(lambda self: sum(most for _, most in self.questions.values()))
    by_hand = property(lambda self: [q for q, (points, _) in self.questions.items() if points is None])


def grade(
    course: Path,
    source: Path,
    students: Sequence[str] | None = None,
    *,
    limits: Limits | None = None,
    again: bool = False,
) -> list[Marks]:
    """Autograde what :func:`collect` put into ``course`` with nbgrader; marks go into its gradebook and are returned.

    source: the lab *with* solutions and hidden tests. Each submission runs in a process of its own, and its code in a sandbox. One that
    was graded before, and has not changed since, is not run again unless ``again``. Written answers wait for a person
    (in Formgrader, a page of JupyterLab). Raises LabError where there is no sandbox and ``limits`` demand one.
    """
    lab, limits = source.stem, limits or Limits()
    handed_in = sorted(p.parent.parent.name for p in course.glob(f"submitted/*/{lab}/{lab}.ipynb"))
    if not handed_in:
        others = sorted({p.parent.name for p in course.glob("submitted/*/*/*.ipynb")})
        had = (
            f"; there are submissions of {', '.join(others)}: the lab with solutions must have that name"
            if others
            else ""
        )
        raise LabError(
            f"nothing of {lab} to grade in {course / 'submitted'}{had or ': run `tunewise labs collect` first'}"
        )
    if unknown := set(students or ()) - set(handed_in):
        raise LabError(
            f"nothing collected from {', '.join(sorted(unknown))}: collected are {', '.join(handed_in)}"
        )
    chosen = list(students or handed_in)
    with nbgrader_api(course) as api:
        from tqdm import tqdm

        if limits.sandbox != "none" and (why := _room(limits.sandbox).missing()):
            raise LabError(why)
        make_release(course, source, api)
        keys = {student: _key(course, source, student) for student in chosen}
        waiting = [s for s in chosen if again or _outcome(course, lab, s).get("key") != keys[s]]
        with ThreadPoolExecutor(limits.jobs) as pool:
            work = {pool.submit(_autograde_apart, course, source, s, limits): s for s in waiting}
            try:
                for done in tqdm(as_completed(work), total=len(work), desc=lab, unit="submission"):
                    outcome = {"key": keys[work[done]], "error": done.result()}
                    _outcome_path(course, lab, work[done]).write_text(json.dumps(outcome), encoding="utf-8")
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        out = []
        notes = identifier_notes(course, lab)
        for student in chosen:
            error = _outcome(course, lab, student)["error"]
            marks = Marks(student, lab, {}, error) if error else _marks(api, lab, student)
            marks.look = _look(course / "submitted" / student / lab / f"{lab}.ipynb", source)
            marks.notes = notes.get(student, []) + ([] if error else _stopped(course, lab, student))
            out.append(marks)
    return out


def _key(course: Path, source: Path, student: str) -> str:
    handed_in = course / "submitted" / student / source.stem / source.name
    return hashlib.sha256(handed_in.read_bytes() + b"\0" + source.read_bytes()).hexdigest()


def _outcome_path(course: Path, lab: str, student: str) -> Path:
    path = course / "outcomes" / lab / f"{student}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _outcome(course: Path, lab: str, student: str) -> dict:
    path = _outcome_path(course, lab, student)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _autograde_apart(course: Path, source: Path, student: str, limits: Limits) -> str | None:
    """Autograde one submission in a process of its own, which may die; returns what went wrong, or None."""
    given = [
        str(course),
        source.stem,
        student,
        limits.sandbox,
        str(limits.seconds),
        str(limits.memory_gb),
    ]
    code = "import sys; from whentofinetune.labs import grading; grading.autograde_one(*sys.argv[1:])"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *given],
            capture_output=True,
            text=True,
            timeout=limits.seconds,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return f"the notebook ran longer than {limits.seconds} seconds and was stopped: look for a loop without end, or give --seconds"
    said = done.stdout.strip().splitlines()
    if done.returncode == 0 and said:
        return json.loads(said[-1])
    last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"the grading of this notebook stopped ({last[:200]}): open the notebook and look"


def _room(kind: str) -> ModuleType:
    """The module that runs code in a sandbox of that kind, or in none."""
    return importlib.import_module(f"whentofinetune.labs.{'container' if kind == 'container' else 'sandbox'}")


def autograde_one(course: str, lab: str, student: str, kind: str, seconds: str, memory_gb: str) -> None:
    """What the process of one submission does: print, as JSON, what went wrong, or null."""
    from whentofinetune.labs import sandbox

    sandbox.limit(float(memory_gb), int(seconds))
    with nbgrader_api(Path(course)) as api:
        from nbgrader.converters import Autograde
        from nbgrader.preprocessors import Execute

        runs = sandbox.CappedExecute if kind == "none" else _room(kind).SandboxedExecute
        steps = Autograde.autograde_preprocessors.default()
        api.config.ExecutePreprocessor.timeout = min(SECONDS_A_CELL, int(seconds) // 5)
        api.config.Autograde.autograde_preprocessors = [runs if step is Execute else step for step in steps]
        done = api.autograde(lab, student, force=True, create=True)
    error = None if done["success"] else last_error(done)
    if error and "Kernel died" in f"{done.get('error')}{done.get('log')}":
        error = f"the notebook ended Python, or needed more than {memory_gb} GB of memory: look for exit() and for what grows"
    print(json.dumps(error))


def _look(handed_in: Path, source: Path) -> list[str]:
    """Words in a submission, but not in its lab, by which code can look at a test that calls it or tamper with the notebook."""
    theirs, ours = (
        "\n".join(c.source for c in read_notebook(p).cells if c.cell_type == "code")
        for p in (handed_in, source)
    )
    return sorted(set(_ODD.findall(theirs)) - set(_ODD.findall(ours)))


def _stopped(course: Path, lab: str, student: str) -> list[str]:
    """The cells of a graded notebook that ran into their time limit."""
    cells = read_notebook(course / "autograded" / student / lab / f"{lab}.ipynb").cells
    return [
        f"{marker(c.source) or f'cell {number}'} ran into its time limit"
        for number, c in enumerate(cells, 1)
        if any(o.get("ename") in OUT_OF_TIME for o in c.get("outputs", []))
    ]


def refused(course: Path, lab: str) -> list[Marks]:
    """The students of ``lab`` whom the last :func:`collect` refused, as marks with no points and the reason."""
    path = course / "repairs.csv"
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines()) if path.exists() else ()
    lost = {r["student"]: r["what"] for r in rows if r["outcome"] == "refused" and r.get("lab") == lab}
    return [Marks(student, lab, {}, f"refused: {why}") for student, why in lost.items()]


def write_csv(marks: Sequence[Marks], path: Path) -> Path:
    """One row a student: total, maximum, what a person still has to mark, and the points of each question."""
    questions = list(dict.fromkeys(q for m in marks for q in m.questions))
    rows: list[list] = [["student", "lab", "total", "maximum", "by_hand", "look_at", "error", *questions]]
    for m in marks:
        total = (None, None) if m.error else (m.total, m.maximum or None)
        points = [m.questions.get(q, (None, 0))[0] for q in questions]  # None is written as nothing
        rows.append(
            [
                m.student,
                m.lab,
                *total,
                " ".join(m.by_hand),
                "; ".join(filter(None, [" ".join(m.look), *m.notes])),
                m.error,
                *points,
            ]
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, rows)
    return path


def _marks(api, lab: str, student: str) -> Marks:
    with api.gradebook as book:
        submission = book.find_submission(lab, student)
        grades = [(g, c) for n in submission.notebooks for g in n.grades for c in [g.cell]]
        order = {c.name: i for i, c in enumerate(submission.assignment.notebooks[0].source_cells)}
        questions = {}
        for g, cell in sorted(grades, key=lambda pair: order[pair[1].name]):
            points = g.manual_score if g.manual_score is not None else g.auto_score
            waits = points is None or (g.needs_manual_grade and g.manual_score is None)
            questions[cell.name] = (None if waits else float(points), float(cell.max_score))
        said = {
            c.name: c.manual_comment for n in submission.notebooks for c in n.comments if c.manual_comment
        }
    return Marks(student, lab, questions, comments=said)
