"""The rules of the house: who may know whom, no circles, no two files of one name, and no room that is left out of the rules."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIB = ROOT / "lib"
PACKAGES = ("tunewise", "finetune_memory", "whentofinetune")
LINT = "from importlinter.cli import lint_imports_command as main; main()"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says of the packages in ``folder``, under the rules of this repository."""
    # the folder first on the path: the copy is read, not the packages that are installed
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); {LINT}"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


INTRUDERS = (
    ("tunewise", "from whentofinetune import book_files"),
    ("tunewise/models", "def late():\n    import whentofinetune.book_files"),
    ("tunewise", "import finetune_memory"),
    ("finetune_memory", "from tunewise import paths"),
    ("finetune_memory", "from whentofinetune import book_files"),
    ("whentofinetune/calculators", "from whentofinetune.pages import verdict"),
    ("whentofinetune/datasets", "from whentofinetune import experiments"),
    ("whentofinetune/pages", "from whentofinetune.commands import doctor"),
)


def test_the_rules_notice_an_import_too_many(tmp_path):
    """In a copy of the packages with imports too many, one of them inside a function: each is named."""
    for package in PACKAGES:
        shutil.copytree(LIB / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for number, (place, line) in enumerate(INTRUDERS):
        (tmp_path / place / f"intruder_{number}.py").write_text(f"{line}\n")
    done = lint(tmp_path)
    assert done.returncode and "BROKEN" in done.stdout, done.stdout + done.stderr
    for number, (place, _) in enumerate(INTRUDERS):
        assert f"{place.replace('/', '.')}.intruder_{number} " in done.stdout, done.stdout


def test_every_room_of_the_book_has_its_place_in_the_rules():
    rooms = {p.parent.name if p.name == "__init__.py" else p.stem for p in LIB.glob("whentofinetune/*.py")}
    rooms |= {p.parent.name for p in LIB.glob("whentofinetune/*/__init__.py")}
    (layers,) = [c["layers"] for c in PROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    placed = {name for line in layers for name in re.split(r" [|:] ", line)}
    assert rooms - {"whentofinetune"} == placed


def modules() -> dict[str, Path]:
    """Dotted name -> file of every module in ``lib/``; a package goes by its own name."""
    found = {}
    for path in sorted(p for package in PACKAGES for p in (LIB / package).rglob("*.py")):
        parts = path.relative_to(LIB).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(tree: ast.AST):
    """The import statements of a module, also those in functions, but not those for type checking only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from (found for other in node.orelse for found in imports(other))
        else:
            yield from imports(node)


def test_no_module_imports_itself_round_a_corner():
    """``from package import name`` counts as the module of that name, else as the package's own code."""
    known = modules()
    graph = {}
    for name, path in known.items():
        graph[name] = set()
        for node in imports(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                graph[name] |= {a.name for a in node.names} & known.keys()
                continue
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*up, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                graph[name] |= {inner if inner in known else source} & known.keys() - {name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


def test_no_two_files_of_different_rooms_share_a_name():
    by_name = defaultdict(list)
    for path in modules().values():
        if path.stem not in ("__init__", "__main__"):
            by_name[path.name].append(path.relative_to(LIB).as_posix())
    assert not {name: places for name, places in by_name.items() if len(places) > 1}


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
