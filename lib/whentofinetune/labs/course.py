"""An instructor's first two steps around nbgrader: make the student versions, collect what comes back."""

from __future__ import annotations

import contextlib
import csv
import os
import re
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tunewise.paths import install_command
from whentofinetune.labs import notebooks

# Moodle's "Ada Lovelace_12345_assignsubmission_file_/x.ipynb", Canvas's "lovelaceada_LATE_12345_67890_x.ipynb": name and number
_LMS = re.compile(
    r"(?:^|/)([^/_]+)_(\d+)_assignsubmission_[a-z]+_?/|(?:^|/)([^/_]+)_(?:LATE_)?(\d+)_(?:LATE_)?\d+_[^/]+$"
)
_LITTER = ("Thumbs.db", "desktop.ini")  # of a file manager
_MOST_BYTES = 2**30  # of an unpacked zip file


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
        make_release(course, source)
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
    not put there, and is not graded; who handed in something, but no notebook, is refused, too.
    """
    lab, given = release.stem, read_notebook(release)
    with tempfile.TemporaryDirectory() as folder:
        found = list(_unpacked(submissions, Path(folder)))
        files = [(path, shown) for path, shown, _ in found if path.suffix == ".ipynb"]
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
                with contextlib.suppress(OSError):  # other labs of the student are in it
                    target.parent.rmdir()
                continue
            target.mkdir(parents=True)
            _write(nb, target / f"{lab}.ipynb")
        written = [(path, report.student) for (path, _), report in zip(files, out, strict=True)]
        notes = identifier_notes(course, lab)
        for report in out:
            report.repairs += [f"note: {note}" for note in notes.get(report.student, [])]
        for path, shown, root in found:
            if path.suffix == ".ipynb" or (who := _owner(path, shown, root, written, lab, student)) in count:
                continue
            count[who] += 1
            target = course / "submitted" / who / lab
            shutil.rmtree(target, ignore_errors=True)
            with contextlib.suppress(OSError):
                target.parent.rmdir()
            missing = "no .ipynb in what was handed in: ask for it"
            out.append(Collected(who, shown, refused=missing))
    if not out:
        raise LabError(f"nothing handed in in {', '.join(map(str, submissions))}")
    course.mkdir(parents=True, exist_ok=True)
    heads = ("student", "file", "outcome", "what", "lab")
    write_rows(course / "repairs.csv", [heads, *((*row, lab) for report in out for row in report.rows())])
    return out


def write_rows(path: Path, rows: Iterable[Sequence]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _unpacked(submissions: Iterable[Path], scratch: Path) -> Iterator[tuple[Path, str, Path]]:
    """Each file, and the path to show and to find the student in, and the folder that was handed out as a whole."""
    for number, path in enumerate(submissions):
        if not path.exists():
            raise LabError(f"{path} does not exist")
        if path.is_file() and path.suffix != ".zip":
            yield path, str(path), path.parent
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
        for found in sorted(folder.rglob("*")):
            inside = found.relative_to(folder).parts
            ours = found.suffix == ".ipynb" or not (inside[-1].startswith(".") or inside[-1] in _LITTER)
            if found.is_file() and ours and not {".ipynb_checkpoints", "__MACOSX"} & set(inside):
                yield found, found.relative_to(shown_from).as_posix(), folder


def _owner(
    path: Path, shown: str, root: Path, written: list[tuple[Path, str]], lab: str, pattern: str | None
) -> str:
    """Whose a file is that is no notebook: the LMS's name, its folder's one notebook's student, else its folder's or its own name."""
    if pattern and not re.search(pattern, shown):
        pattern = None
    if pattern or _LMS.search(shown):
        return _student(shown, lab, pattern)
    for folder in (f for f in path.parents if f.is_relative_to(root)):
        beside = [who for notebook, who in written if notebook.parent == folder]
        if len(beside) == 1 and (folder != root or beside == [_student(f"{folder.name}/{lab}", lab, None)]):
            return beside[0]
    shared = path.parent == root or any(notebook.is_relative_to(path.parent) for notebook, _ in written)
    return _student(shown if shared else f"{path.parent.name}/{lab}", lab, None)


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


def identifier_notes(course: Path, lab: str) -> dict[str, list[str]]:
    """What to look at in the STUDENT of each collected notebook: student -> notes.

    The lab's own ``"example"`` and one value in several submissions are always noted; a value that is not the submitter's name only
    where that name is no LMS's, because an LMS's names and numbers (``Ada_Lovelace_12345``) are not what students are asked to write.
    """
    stated: dict[str, list[str]] = {}
    for path in sorted(course.glob(f"submitted/*/{lab}/{lab}.ipynb")):
        text = "\n".join(c.source for c in read_notebook(path).cells if c.cell_type == "code")
        if found := re.findall(r"""^STUDENT\s*=\s*["']([^"'\n]+)["']""", text, re.MULTILINE):
            stated.setdefault(found[0].strip().lower(), []).append(path.parent.parent.name)
    notes: dict[str, list[str]] = {}
    for said, students in stated.items():
        for who in students:
            of = notes.setdefault(who, [])
            if said == "example":
                of.append(
                    "the notebook still says STUDENT = 'example': its data are the example's, nobody's own"
                )
                continue
            if said != who.lower() and not re.search(r"_\d+$", who):
                of.append(f"the notebook says STUDENT = {said!r}, handed in as {who!r}")
            if others := ", ".join(s for s in students if s != who):
                of.append(f"STUDENT = {said!r} also in the notebook of {others}")
    return notes


# -- nbgrader ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def nbgrader_api(course: Path):
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


def make_release(course: Path, source: Path, api=None) -> None:
    """Put ``source`` into the course and let nbgrader make its release and remember its tests."""
    if not source.is_file():
        raise LabError(f"{source} does not exist: name the lab with solutions (labs/lab_….ipynb)")
    kept, made = (course / step / source.stem for step in ("source", "release"))
    kept /= source.name
    if made.exists() and kept.exists() and kept.read_bytes() == source.read_bytes():
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, kept)
    with contextlib.nullcontext(api) if api else nbgrader_api(course) as using:
        done = using.generate_assignment(source.stem, force=True, create=True)
    if not done["success"]:
        raise LabError(f"nbgrader cannot make a student version of {source}: {last_error(done)}")


def last_error(done: dict) -> str:
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
