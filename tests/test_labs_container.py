"""Grading in a container: the command lines, by a program on the PATH that stands in for docker or podman and records them."""

import csv
import json
import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytest.importorskip("nbgrader")

from tunewise import cli
from whentofinetune.labs import container

# Writes its arguments down; knows an image once it has built one; runs on this machine what a container would run.
STAND_IN = """#!{python}
import json, os, pathlib, sys
here, given = pathlib.Path(__file__).parent, sys.argv[1:]
with (here / "calls.jsonl").open("a") as file:
    file.write(json.dumps(given) + "\\n")
if given[0] == "image":
    sys.exit(not (here / given[-1]).exists())
if given[0] == "build":
    print(sorted(os.listdir(pathlib.Path(given[given.index("--file") + 1]).parent)))
    (here / given[given.index("--tag") + 1]).touch()
if given[0] == "run":
    inside = given[given.index("timeout") :]
    inside[inside.index("python")] = {python!r}
    os.execvp(inside[0], inside)
"""


def stand_in(folder: Path, name: str) -> Path:
    program = folder / name
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    return program


def calls(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]


def values(call: list[str], option: str) -> list[str]:
    return [call[i + 1] for i, word in enumerate(call) if word == option]


def cell(name, source, points=0):
    meta = {"schema_version": 3, "grade_id": name, "task": False, "locked": bool(points)}
    meta |= {"solution": not points, "grade": bool(points)} | ({"points": points} if points else {})
    return new_code_cell(f"# lab:{name}\n{source}", metadata={"nbgrader": meta})


def test_a_submission_is_graded_in_a_container_with_every_limit(tmp_path, monkeypatch, capfd):
    """All of the way but the container itself."""
    stand_in(tmp_path, "docker")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    answer = "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"
    tested = cell("double-test", "assert double(2) == 4, 'twice two is four'", points=3)
    nb = new_notebook(metadata=kernel, cells=[cell("double", answer), tested])
    source = tmp_path / "lab_tiny.ipynb"
    nbformat.write(nb, source)
    nbformat.write(nb, tmp_path / "ann.ipynb")
    given, course = str(tmp_path / "given" / source.name), str(tmp_path / "course")
    assert cli.main(["labs", "make", str(source), "--to", str(tmp_path / "given")]) == 0
    assert cli.main(["labs", "collect", given, str(tmp_path / "ann.ipynb"), "--to", course]) == 0
    grade = ["labs", "grade", course, str(source), "--sandbox", "container", "--again"]
    assert cli.main([*grade, "--seconds", "90", "--memory", "6"]) == 0
    with (tmp_path / "course" / "marks.csv").open(encoding="utf-8") as file:
        assert [row["total"] for row in csv.DictReader(file)] == ["3.0"]
    asked, built, run = calls(tmp_path)
    assert asked == ["image", "inspect", container.image()]
    assert built[:3] == ["build", "--tag", container.image()]
    assert f"PYTHON={sys.version_info[0]}.{sys.version_info[1]}" in built
    assert "['Containerfile', 'requirements.txt']" in capfd.readouterr().out  # nothing of the labs
    assert values(run, "--network") == ["none"] and values(run, "--cap-drop") == ["ALL"]
    assert values(run, "--memory") == values(run, "--memory-swap") == [str(6 * 2**30)]
    assert {"cpu=90", "core=0", f"fsize={2**29}"} == set(values(run, "--ulimit"))
    assert values(run, "--pids-limit") == ["4096"] and "--read-only" in run and "--rm" in run
    assert values(run, "--user") == [f"{os.getuid()}:{os.getgid()}"]
    writable = [v for v in values(run, "--volume") if not v.endswith(":ro")]
    assert len(writable) == 1 and "/lab-" in writable[0]  # the sockets
    hidden = [Path(v.split(":")[0]) for v in values(run, "--volume")]
    assert not any(tmp_path.is_relative_to(path) or Path.home().is_relative_to(path) for path in hidden)
    assert not any((Path(__file__).parents[1] / "labs").is_relative_to(path) for path in hidden)
    end = run.index(container.image())
    assert run[end + 1 : end + 5] == ["timeout", "--signal=KILL", "90", "python"]
    assert container.missing() is None  # the image is there, and is not built again
    assert [call[0] for call in calls(tmp_path)] == ["image", "build", "run", "image"]


def test_podman_serves_where_there_is_no_docker(tmp_path, monkeypatch):
    stand_in(tmp_path, "podman")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    words = container.command([sys.executable, "-c", ""], "/tmp/shared")
    assert words[:2] == ["podman", "run"] and values(words, "--userns") == ["keep-id"]
    stand_in(tmp_path, "docker")
    assert "--userns" not in container.command([sys.executable, "-c", ""], "/tmp/shared")


def test_without_either_or_where_it_does_not_work_the_words_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "neither docker nor podman" in container.missing() and "apt-get install" in container.missing()
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    assert "docker could not build the image" in container.missing()


def test_a_change_of_what_goes_into_the_image_gives_it_another_name(monkeypatch, tmp_path):
    before = container.image()
    (tmp_path / "requirements.txt").write_text("numpy==1.0\n")
    monkeypatch.setattr(container, "_INTO_IMAGE", (tmp_path / "requirements.txt",))
    assert container.image() != before
