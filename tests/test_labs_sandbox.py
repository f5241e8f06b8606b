"""Hostile submissions, graded for real by nbgrader: each gets its mark or a clear report, and harms nobody."""

import csv
import socket
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytest.importorskip("nbgrader")

from tunewise import cli
from whentofinetune.labs import sandbox

WITHOUT = sandbox.missing()
SECRET = "a secret of the hidden test"


def cell(name, source, points=0):
    meta = {"schema_version": 3, "grade_id": name, "task": False, "locked": bool(points)}
    meta |= {"solution": not points, "grade": bool(points)} | ({"points": points} if points else {})
    return new_code_cell(f"# lab:{name}\n{source}", metadata={"nbgrader": meta})


def lab(double="return 2 * x", add="return x + 1"):
    """A lab of two questions, three and one points; 8 cannot be guessed from the visible tests."""
    hidden = f"### BEGIN HIDDEN TESTS\nassert double(4) == 8, {SECRET!r}\n### END HIDDEN TESTS"
    solution = "    ### BEGIN SOLUTION\n    {}\n    ### END SOLUTION"
    return new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        cells=[
            cell("double", "def double(x):\n" + solution.format(double)),
            cell("double-test", f"assert double(1) == 2, 'twice one is two'\n{hidden}", points=3),
            cell("add", "def add(x):\n" + solution.format(add)),
            cell("add-test", "assert add(1) == 2, 'one more than one is two'", points=1),
        ],
    )


def answers(folder, outside, port):
    """student -> the code of the first answer; the second one is right in each."""
    hunt = f"""
import pathlib
def double(x):
    for root in ({str(folder)!r}, "/work", "/home", "/root", "/tmp"):
        for path in pathlib.Path(root).rglob("*"):
            try:
                if path.suffix in (".ipynb", ".db") and {SECRET.encode()!r} in path.read_bytes():
                    return 2 * x
            except OSError:
                pass
    return 0"""
    write = f"""
def double(x):
    try:
        open({str(outside)!r}, "w").write("gone")
    except OSError:
        return 2 * x"""
    connect = f"""
import socket
def double(x):
    try:
        socket.create_connection(("127.0.0.1", {port}), 5).sendall(b"hidden tests")
    except OSError:
        return 2 * x"""
    return {
        "honest": "def double(x):\n    return 2 * x",
        "hunter": hunt,
        "writer": write,
        "looper": "def double(x):\n    while True:\n        pass",
        "printer": "def double(x):\n    return 2 * x\nprint('x' * 10**9)\nfor _ in range(200):\n    print('y' * 10**6)",
        "caller": connect,
        "quitter": "import os\nos._exit(0)",
        "thief": "# <script>\nimport sys\ndef double(x):\n"
        "    raise AssertionError(str(sys._getframe(1).f_code.co_consts))",
        "peeper": "import sys\ndef double(x):\n    return 2 * x if sys._getframe(1).f_code.co_consts else 0",
    }


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The class graded by the commands an instructor types; its marks, the file that nobody may write, who was called."""
    base = tmp_path_factory.mktemp("course")
    source, outside = base / "lab_tiny.ipynb", base / "outside.txt"
    nbformat.write(lab(), source)
    outside.write_text("kept")
    assert cli.main(["labs", "make", str(source), "--to", str(base / "given")]) == 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        (base / "in").mkdir()
        for student, code in answers(base, outside, server.getsockname()[1]).items():
            nb = nbformat.read(base / "given" / source.name, 4)
            nb.cells[0].source = f"# lab:double\n{code}"
            nb.cells[2].source = "# lab:add\ndef add(x):\n    return x + 1"
            nbformat.write(nb, base / "in" / f"{student}.ipynb")
        given, course = str(base / "given" / source.name), str(base / "course")
        assert cli.main(["labs", "collect", given, str(base / "in"), "--to", course]) == 0
        # a minute a cell: only the loop without end may need it, however busy the machine is
        options = ["--seconds", "300", "--jobs", "2", "--feedback"]
        assert cli.main(["labs", "grade", course, str(source), *options]) == 1  # the quitter
        try:
            server.accept()
            called = True
        except BlockingIOError:
            called = False
    with (base / "course" / "marks.csv").open(encoding="utf-8") as file:
        return {row["student"]: row for row in csv.DictReader(file)}, outside, called, base


@pytest.mark.skipif(WITHOUT is not None, reason=f"no sandbox here: {WITHOUT}")
class TestHostile:
    def test_who_only_tries_gets_the_mark_of_the_answers(self, graded):
        marks, outside, called, _ = graded
        got = {s: marks[s]["total"] for s in marks if s != "quitter"}
        assert got == {
            "honest": "4.0",
            "hunter": "1.0",  # it found no test
            "writer": "4.0",  # it could not write
            "looper": "1.0",  # interrupted, and the rest was graded
            "printer": "4.0",
            "caller": "4.0",  # it could not connect
            "thief": "1.0",
            "peeper": "4.0",
        }
        assert outside.read_text() == "kept" and not called

    def test_who_ends_python_is_reported(self, graded):
        marks, *_ = graded
        assert marks["quitter"]["total"] == "" and "the notebook ended Python" in marks["quitter"]["error"]

    def test_code_that_can_look_at_a_test_is_pointed_out(self, graded):
        marks, *_ = graded
        assert marks["peeper"]["look_at"] == "_getframe f_code"
        assert marks["honest"]["look_at"] == ""
        assert marks["looper"]["look_at"] == "double-test ran into its time limit"

    def test_a_flood_of_output_is_cut(self, graded):
        *_, base = graded
        assert (
            base / "course/autograded/printer/lab_tiny/lab_tiny.ipynb"
        ).stat().st_size < 2 * sandbox.OUTPUT_LIMIT

    def test_nothing_is_run_twice_unless_it_changed(self, graded, capsys):
        marks, _, _, base = graded
        done = base / "course/autograded/honest/lab_tiny/lab_tiny.ipynb"
        before = done.stat().st_mtime_ns
        cli.main(
            [
                "labs",
                "grade",
                str(base / "course"),
                str(base / "lab_tiny.ipynb"),
                "--csv",
                str(base / "2.csv"),
            ]
        )
        assert done.stat().st_mtime_ns == before
        assert (base / "2.csv").read_bytes() == (base / "course" / "marks.csv").read_bytes()

    def test_feedback_has_the_tests_words_and_nothing_that_the_code_said(self, graded):
        *_, base = graded
        with zipfile.ZipFile(base / "course" / "feedback.zip") as packed:
            pages = {Path(name).parent.name: packed.read(name).decode() for name in packed.namelist()}
        assert SECRET in pages["hunter"]  # the words of the failed test
        assert "return 2 * x" in pages["honest"] and SECRET not in pages["honest"]
        assert "twice one is two" not in pages["thief"] and "hidden" not in pages["thief"]
        assert "&lt;script&gt;" in pages["thief"] and "<script>" not in pages["thief"]
        assert "the notebook ended Python" in pages["quitter"]


def test_without_a_sandbox_the_words_say_what_to_do(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "apt-get install bubblewrap" in sandbox.missing() and "--unsafe" in sandbox.missing()


def test_the_sandbox_never_shows_the_labs_or_the_home():
    words = sandbox.command(["true"], "/tmp/shared")
    shown = [Path(words[i + 1]) for i, w in enumerate(words) if w in ("--bind", "--ro-bind-try")]
    labs = Path(__file__).resolve().parents[1] / "labs"
    assert not any(labs.is_relative_to(path) or Path.home().is_relative_to(path) for path in shown)
