"""An instructor's three steps around nbgrader: make the student versions, collect what comes back, grade it."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from tunewise.paths import install_command
from whentofinetune.labs import notebooks

SECONDS_A_CELL = 120  # what one cell of a submission may take in grading; and no more than a fifth of the whole notebook's time
# Moodle's "Ada Lovelace_12345_assignsubmission_file_/x.ipynb", Canvas's "lovelaceada_LATE_12345_67890_x.ipynb": name and number
_LMS = re.compile(
    r"(?:^|/)([^/_]+)_(\d+)_assignsubmission_file_?/|(?:^|/)([^/_]+)_(?:LATE_)?(\d+)_(?:LATE_)?\d+_[^/]+$"
)
_MOST_BYTES = 2**30  # of an unpacked zip file
_ODD = re.compile(
    r"\b(?:_getframe|_current_frames|currentframe|f_back|f_code|f_locals|f_globals|inspect|settrace|setprofile|get_ipython"
    r"|_ih|get_objects|get_referrers|ctypes|builtins|__builtins__|__import__|AssertionError|subprocess|socket)\b"
    r"|(?<![.\w])(?:eval|exec)(?=\()"
)


class LabError(RuntimeError):
    """Something that the instructor has to put right. The message says what."""


def sources(where: Sequence[Path] | None = None) -> list[Path]:
    """The lab notebooks with solutions: those given, else all of ``labs/`` here or beside the library's checkout."""
    if where:
        paths = [p for w in where for p in (sorted(w.glob("lab_*.ipynb")) if w.is_dir() else [w])]
    else:
        places = (Path.cwd() / "labs", Path(__file__).resolve().parents[3] / "labs")
        paths = next((found for place in places if (found := sorted(place.glob("lab_*.ipynb")))), [])
    if not paths or not all(p.is_file() for p in paths):
        cure = "run this in the book's repository, or name the notebooks (labs/lab_….ipynb)"
        raise LabError(f"no lab notebooks found: {cure}")
    return paths


def make(source: Path, to: Path, solutions: bool = False) -> Path:
    """Write the student version of ``source`` into the folder ``to``; returns its path.

    nbgrader's own ``generate_assignment`` cuts solutions and hidden tests, locks the tests and computes the checksums;
    then hints become ``<details>``. solutions: write the lab as it is, with solutions and hidden tests, instead.
    """
    to.mkdir(parents=True, exist_ok=True)
    target = to / source.name
    if solutions:
        shutil.copyfile(source, target)
        return target
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder)
        _release(course, source)
        nb = read_notebook(course / "release" / source.stem / source.name)
    for cell in nb.cells:
        if cell.cell_type == "markdown" and "nbgrader" not in cell.metadata:
            cell.source = notebooks.open_hints(cell.source)
    _write(nb, target)
    return target


# -- collect ----------------------------------------------------------------------------------------------------------


@dataclass
class Collected:
    """What became of one submission: ``refused`` holds the reason, or None."""

    student: str
    path: str
    repairs: list[str] = field(default_factory=list)
    refused: str | None = None

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Its lines in ``repairs.csv``: student, file, outcome, what."""
        for what in [self.refused] if self.refused else self.repairs or [""]:
            outcome = "refused" if self.refused else "repaired" if what else "clean"
            yield self.student, self.path, outcome, what


def collect(
    release: Path, submissions: Sequence[Path], course: Path, student: str | None = None
) -> list[Collected]:
    """Repair each submission and put it where nbgrader looks: ``course/submitted/STUDENT/LAB/LAB.ipynb``.

    release: the student version that was given out. submissions: notebooks, folders of them, or zip files.
    student: a regular expression with one group that finds the student in a path; without it the student is the
    name and number that Moodle or Canvas wrote; else the file's name, or its folder's where the file still has the lab's name. Writes ``course/repairs.csv``. A refused submission is
    not put there, and is not graded.
    """
    lab, given = release.stem, read_notebook(release)
    with tempfile.TemporaryDirectory() as folder:
        files = list(_unpacked(submissions, Path(folder)))
        out = [Collected(_student(shown, lab, student), shown) for _, shown in files]
        count = Counter(report.student for report in out)
        for (path, _), report in zip(files, out, strict=True):
            who = report.student
            target = course / "submitted" / who / lab
            shutil.rmtree(target, ignore_errors=True)
            try:
                if count[who] > 1:
                    twice = f"there are {count[who]} submissions of student {who!r}: keep the one that counts"
                    raise notebooks.Unmatched(twice)
                nb, report.repairs = notebooks.repair(given, read_notebook(path))
            except Exception as error:  # a notebook can be damaged in more ways than can be named
                known = isinstance(error, notebooks.Unmatched | LabError)
                damaged = f"the notebook is damaged ({type(error).__name__}): ask for the .ipynb file again"
                report.refused = str(error) if known else damaged
                if target.parent.is_dir() and not any(target.parent.iterdir()):
                    target.parent.rmdir()
                continue
            stated = _stated_student(nb)
            if stated and stated != who.lower() and (student or not _LMS.search(report.path)):
                report.repairs.append(f"note: the notebook says STUDENT = {stated!r}, handed in as {who!r}")
            target.mkdir(parents=True)
            _write(nb, target / f"{lab}.ipynb")
    if not out:
        raise LabError(f"no notebooks in {', '.join(map(str, submissions))}")
    course.mkdir(parents=True, exist_ok=True)
    heads = ("student", "file", "outcome", "what")
    _write_rows(course / "repairs.csv", [heads, *(row for report in out for row in report.rows())])
    return out


def _write_rows(path: Path, rows: Iterable[Sequence]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _unpacked(submissions: Iterable[Path], scratch: Path) -> Iterator[tuple[Path, str]]:
    """Each notebook, and the path to show and to find the student in."""
    for number, path in enumerate(submissions):
        if not path.exists():
            raise LabError(f"{path} does not exist")
        if path.is_file() and path.suffix != ".zip":
            yield path, str(path)
            continue
        folder, shown_from = path, path.parent
        if path.is_file():
            folder = shown_from = scratch / str(number)
            try:
                packed = zipfile.ZipFile(path)
                if (size := sum(entry.file_size for entry in packed.infolist())) > _MOST_BYTES:
                    raise LabError(
                        f"{path} would unpack to {size / 1e9:.1f} GB: take out what is no notebook"
                    )
                packed.extractall(folder)
            except zipfile.BadZipFile as error:
                raise LabError(f"{path} is no zip file: download it again") from error
        for found in sorted(folder.rglob("*.ipynb")):
            if not {".ipynb_checkpoints", "__MACOSX"} & set(found.parts):
                yield found, found.relative_to(shown_from).as_posix()


def _student(path: str, lab: str, pattern: str | None) -> str:
    if pattern:
        found = re.search(pattern, path)
        if not found or not found.groups():
            must = "it must have one group, such as '([^/]+)/[^/]+$'"
            raise LabError(f"--student {pattern!r} finds no student in {path!r}; {must}")
        name = found.group(1)
    elif found := _LMS.search(path):
        name = "_".join(word for word in found.groups() if word)
    else:
        name = re.sub(r" ?\(\d+\)$", "", Path(path).stem).replace(lab, "").strip(" _-.")
        name = name or Path(path).parent.name
    name = re.sub(r"[^\w.@-]+", "_", name).strip("._")
    if not name:
        raise LabError(f"no student in the path {path!r}: name the file after the student, or use --student")
    return name


def _stated_student(nb) -> str | None:
    for cell in nb.cells:
        if found := re.search(r"""^STUDENT\s*=\s*["']([^"'\n]+)["']""", cell.source, re.MULTILINE):
            said = found.group(1).strip().lower()
            return None if said == "example" else said
    return None


# -- grade ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """How submissions run. seconds: for one whole notebook; memory_gb: address space of one process; jobs: at the same time."""

    sandboxed: bool = True
    seconds: int = 600
    memory_gb: float = 8
    jobs: int = min(os.cpu_count() or 1, 4)


@dataclass
class Marks:
    """Marks of one student in one lab. questions: name -> (points or None, maximum); None waits for a person.

    look: words in the code for which a person should look at it, such as ``_getframe``. comments: question -> what a person wrote in Formgrader.
    """

    student: str
    lab: str
    questions: dict[str, tuple[float | None, float]]
    error: str | None = None
    look: list[str] = field(default_factory=list)
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
    (``nbgrader formgrader`` in the course folder). Raises LabError where there is no sandbox and ``limits`` demand one.
    """
    lab, limits = source.stem, limits or Limits()
    handed_in = sorted(p.parent.parent.name for p in course.glob(f"submitted/*/{lab}/{lab}.ipynb"))
    if unknown := set(students or ()) - set(handed_in):
        raise LabError(f"nothing collected from {', '.join(sorted(unknown))}")
    if not handed_in:
        raise LabError(f"nothing to grade in {course / 'submitted'}: run `tunewise labs collect` first")
    chosen = list(students or handed_in)
    with _nbgrader(course) as api:
        from tqdm import tqdm

        from whentofinetune.labs import sandbox

        if limits.sandboxed and (why := sandbox.missing()):
            raise LabError(why)
        _release(course, source, api)
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
        for student in chosen:
            error = _outcome(course, lab, student)["error"]
            marks = Marks(student, lab, {}, error) if error else _marks(api, lab, student)
            marks.look = _look(course / "submitted" / student / lab / f"{lab}.ipynb", source)
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
        str(limits.sandboxed),
        str(limits.seconds),
        str(limits.memory_gb),
    ]
    code = "import sys; from whentofinetune.labs import course; course.autograde_one(*sys.argv[1:])"
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


def autograde_one(course: str, lab: str, student: str, sandboxed: str, seconds: str, memory_gb: str) -> None:
    """What the process of one submission does: print, as JSON, what went wrong, or null."""
    from whentofinetune.labs import sandbox

    sandbox.limit(float(memory_gb), int(seconds))
    with _nbgrader(Path(course)) as api:
        from nbgrader.converters import Autograde
        from nbgrader.preprocessors import Execute

        runs = sandbox.SandboxedExecute if sandboxed == "True" else sandbox.CappedExecute
        steps = Autograde.autograde_preprocessors.default()
        api.config.ExecutePreprocessor.timeout = min(SECONDS_A_CELL, int(seconds) // 5)
        api.config.Autograde.autograde_preprocessors = [runs if step is Execute else step for step in steps]
        done = api.autograde(lab, student, force=True, create=True)
    error = None if done["success"] else _last_error(done)
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


def write_csv(marks: Sequence[Marks], path: Path) -> Path:
    """One row a student: total, maximum, what a person still has to mark, and the points of each question."""
    questions = list(dict.fromkeys(q for m in marks for q in m.questions))
    rows: list[list] = [["student", "lab", "total", "maximum", "by_hand", "look_at", "error", *questions]]
    for m in marks:
        total = (None, None) if m.error else (m.total, m.maximum or None)
        points = [m.questions.get(q, (None, 0))[0] for q in questions]  # None is written as nothing
        rows.append([m.student, m.lab, *total, " ".join(m.by_hand), " ".join(m.look), m.error, *points])
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_rows(path, rows)
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


# -- nbgrader ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _nbgrader(course: Path):
    """nbgrader's API on a course folder. Its log is kept from the terminal; a failure's log comes back in the answer."""
    try:
        from nbgrader.apps import NbGraderAPI
        from nbgrader.coursedir import CourseDirectory
        from traitlets.config import Config
    except ImportError as error:
        raise LabError(f"this needs nbgrader: {install_command('labs')}") from error
    course.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.CourseDirectory.root = str(course.resolve())
    config.CourseDirectory.db_url = (
        f"sqlite:///{course.resolve() / 'gradebook.db'}?timeout=120"  # several grade at once
    )
    config.OverwriteCells.add_missing_cells = True
    config.NbGraderAPI.log_level = "ERROR"
    # nbgrader starts `alembic` by name, and fails with a bare FileNotFoundError where the environment is not activated
    before = os.environ.get("PATH", "")
    ours = (sysconfig.get_path("scripts"), str(Path(sys.executable).parent))
    os.environ["PATH"] = os.pathsep.join([*ours, before])
    try:
        if shutil.which("alembic") is None:
            raise LabError("nbgrader needs the command alembic, which is not here: pip install alembic")
        yield NbGraderAPI(CourseDirectory(config=config), config=config)
    finally:
        os.environ["PATH"] = before


def _release(course: Path, source: Path, api=None) -> None:
    """Put ``source`` into the course and let nbgrader make its release and remember its tests."""
    if not source.is_file():
        raise LabError(f"{source} does not exist: name the lab with solutions (labs/lab_….ipynb)")
    kept, made = (course / step / source.stem for step in ("source", "release"))
    kept /= source.name
    if made.exists() and kept.exists() and kept.read_bytes() == source.read_bytes():
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, kept)
    with contextlib.nullcontext(api) if api else _nbgrader(course) as using:
        done = using.generate_assignment(source.stem, force=True, create=True)
    if not done["success"]:
        raise LabError(f"nbgrader cannot make a student version of {source}: {_last_error(done)}")


def _last_error(done: dict) -> str:
    lines = (done.get("error") or done.get("log") or "").splitlines()
    return " ".join([line for line in lines if line.strip()][-3:]) or "no reason given"


def read_notebook(path: Path):
    """The notebook at ``path``. Raises LabError if it is none."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # of many kinds, for text that is no JSON and JSON that is no notebook
        what = f"{path.name} is not a notebook ({type(error).__name__}): ask for the .ipynb file"
        raise LabError(what) from error


def _write(nb, path: Path) -> None:
    import nbformat

    nbformat.write(nb, path)
