"""The rules of the house: which room may know which (checked by import-linter in `make test`), and that nobody left a room out."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tunewise

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lib" / "tunewise"
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINT = "from importlinter.cli import lint_imports_command as main; main()"


def test_every_room_has_its_place_in_the_rules_and_in_the_description():
    rooms = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    (layers,) = [c for c in CONFIG["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    placed = {name for line in layers["layers"] for name in line.split(" | ")}
    assert layers["exhaustive"] and rooms <= placed
    described = set(re.findall(r"^- ``(\w+)``", tunewise.__doc__, re.MULTILINE))
    assert described - {"cli"} <= rooms


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("calculators", "from tunewise.models import registry"),
        ("calculators", "from tunewise import places"),
        ("runs", "import tunewise.stats"),
        ("tasks", "from whentofinetune.book_records import Work"),
        ("methods", "from tunewise.tasks import prompts"),
        ("models", "def late():\n    from tunewise.methods import finetune"),
        ("pages", "from whentofinetune.old_bench import Bench"),
        ("pages", "from tunewise.models.load import load"),
        ("experiments", "from tunewise import pages"),
    ],
)
def test_the_rules_notice_a_room_that_knows_too_much(room, line, tmp_path):
    """In a copy of the library with one import too many, also one inside a function."""
    for path in PACKAGE.rglob("*.py"):
        copy = tmp_path / "tunewise" / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    (tmp_path / "tunewise" / room / "intruder.py").write_text(f"{line}\n")
    # -P and the folder first on the path: the copy is read, not the library that is installed
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {LINT}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode and "BROKEN" in done.stdout and "intruder" in done.stdout, (
        done.stdout + done.stderr
    )


def test_no_path_of_one_machine_is_written_into_the_book():
    """Neither a home folder nor a drive: the book is built anywhere."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if names.returncode:
        pytest.skip("this is no git checkout")
    found = []
    for name in names.stdout.splitlines():
        path = ROOT / name
        if (
            path.suffix in (".py", ".md", ".json", ".ipynb", ".yml", ".toml", ".js", ".mjs", ".txt", ".cff")
            and path.exists()
            and path.name != Path(__file__).name
        ):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [
                f"{name}: {m}"
                for m in re.findall(r"(?<![\w./])/(?:home|Users|root)/[\w.-]+|[A-Z]:\\\\?Users\\", text)
            ]
    assert not found
