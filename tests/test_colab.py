"""On Colab: what learners of other courses complained about must not happen here (install, restart, badges, metadata, dtype)."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import nbformat
import pytest
import yaml
from conftest import load

import tunewise
from finetune_memory import Settings
from whentofinetune import colab

ROOT = Path(__file__).resolve().parents[1]
cells = load(ROOT / "book" / "colab_cells.py")
NOTEBOOKS = cells.notebooks(ROOT)
CHAPTERS = [p for p in NOTEBOOKS if p.parent.name == "chapters"]
URL, RELEASE = cells.repository(ROOT)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


@pytest.fixture(params=NOTEBOOKS, ids=lambda p: p.stem)
def notebook(request):
    return nbformat.read(request.param, 4)


# -- the library and its requirements ----------------------------------------------------------------------------------


def test_the_library_pins_nothing_that_a_reader_runs():
    """An upper bound or a pin would exchange Colab's numpy or torch, or end with its next Python."""
    assert PROJECT["dependencies"] == []
    for extra in colab.EXTRAS:
        for line in EXTRAS[extra]:
            assert re.fullmatch(r"[\w.-]+>=[\d.]+", line), (
                f"{extra}: {line} should be a lower bound and no more"
            )
    assert re.fullmatch(r">=3\.\d+", PROJECT["requires-python"])


def test_all_that_the_library_imports_is_in_its_lists():
    """What is missing on Colab is added from these lists: a package that stands in none of them would never come."""
    project = {
        "sklearn": "scikit-learn",
        "yaml": "pyyaml",
        "huggingface_hub": "huggingface-hub",
        "sentence_transformers": "sentence-transformers",
        "pdfminer": "pdfminer.six",
        "stdnum": "python-stdnum",
        "charset_normalizer": "charset-normalizer",
        "markdown_it": "markdown-it-py",
    }
    given = {re.split(r"[>=]", line)[0] for extra in colab.EXTRAS for line in EXTRAS[extra]}
    comes_along = {
        "numpy",
        "IPython",
        "tqdm",
        "tokenizers",
        "threadpoolctl",
        "packaging",
        "nbformat",
        "filelock",
    }  # with the others
    ours = {"tunewise", "finetune_memory", "whentofinetune", "google"}
    for path in (ROOT / "lib").rglob("*.py"):
        if path.name == "mime_types.py" or path.parent.name == "labs":  # the book's own build
            continue
        foreign = imported(path.read_text(encoding="utf-8")) - set(sys.stdlib_module_names)
        for name in foreign - comes_along - ours:
            assert project.get(name, name) in given, (
                f"{path.name} imports {name}, which no extra of pyproject.toml names"
            )


def imported(code: str) -> set[str]:
    """The top packages that a piece of Python imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_bfloat16_is_decided_in_one_place_and_never_by_asking_torch():
    """A T4 answers yes to is_bf16_supported() and then emulates."""
    code = {p: p.read_text(encoding="utf-8") for p in (ROOT / "lib").rglob("*.py")}
    code |= {
        p: "\n".join(c.source for c in nbformat.read(p, 4).cells if c.cell_type == "code") for p in NOTEBOOKS
    }
    asking = [
        p.name
        for p, text in code.items()
        if re.search(r"is_bf16_supported\(\)|FigureWidget\(", text) and p.name != "device.py"
    ]
    assert not asking, asking
    calls = [
        n
        for n in ast.walk(ast.parse(code[ROOT / "lib/tunewise/models/device.py"]))
        if isinstance(n, ast.Attribute)
    ]
    assert not any(n.attr == "is_bf16_supported" for n in calls)


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """The commands of a new virtual environment that holds our wheel and nothing else, not even pip."""
    folder = tmp_path_factory.mktemp("bare")
    pip = [sys.executable, "-m", "pip"]
    quiet = {"capture_output": True, "text": True, "check": True}
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, ROOT], **quiet
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    (wheel,) = folder.glob("tunewise-*-py3-none-any.whl")
    python = folder / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", wheel], **quiet)
    return python.parent


def test_the_wheel_installs_alone_and_its_light_commands_need_nothing(bare, tmp_path):
    """Pure Python, with its data inside, whatever the folder it is started from."""

    def run(*words):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {
            "TUNEWISE_CACHE": str(tmp_path)
        }
        return subprocess.run(
            [bare / words[0], *words[1:]], cwd=tmp_path, env=clean, capture_output=True, text=True
        )

    code = (
        "import importlib.util as u; print([m for m in ('numpy', 'torch', 'pip', 'yaml') if u.find_spec(m)])"
    )
    assert run("python", "-c", code).stdout.strip() == "[]"
    assert run("tunewise", "--version").stdout.startswith("tunewise ")
    for words in (
        ["tunewise", "--help"],
        ["tunewise", "memory", "--help"],
        ["finetune-memory", "--help"],
    ):
        done = run(*words)
        assert done.returncode == 0, done.stderr
    for words in (["run", "wordings"], ["ask", "--docs", ".", "What is it?"], ["models"], ["decide"]):
        refused = run("tunewise", *words)
        (line,) = refused.stderr.splitlines()
        assert refused.returncode == 1 and 'is not installed: pip install "tunewise[' in line


# -- the notebooks ------------------------------------------------------------------------------------------------------


def test_badges_install_cells_and_error_messages_follow_the_one_address():
    for path in [*NOTEBOOKS, *(ROOT / name for name in cells.NAMING)]:
        same = cells.written(path, ROOT).rstrip("\n") == path.read_text(encoding="utf-8").rstrip("\n")
        assert same, f"{path.name}: `make notebooks` brings it up to date"


def test_every_link_to_colab_opens_a_file_that_is_there():
    start = f"{cells.SITE}/github/{URL.removeprefix('https://github.com/')}/blob/{RELEASE}/"
    found = 0
    for path in [
        *NOTEBOOKS,
        *ROOT.glob("*.md"),
        *(ROOT / "labs").glob("*.md"),
        *(ROOT / "instructors").glob("*.md"),
    ]:
        for link in re.findall(rf"{cells.SITE}/github/[^\s)\"']+", path.read_text(encoding="utf-8")):
            found += 1
            if (
                "/gh-pages/assignments/" in link
            ):  # written when the site is built, from the lab of the same name
                assert (ROOT / "labs" / link.rsplit("/", 1)[-1]).exists(), link
                continue
            assert link.startswith(start), f"{path.name}: {link} is not of {URL}, the address in _config.yml"
            assert (ROOT / link.removeprefix(start)).is_file(), f"{path.name}: {link} leads to no file"
    assert found >= len(CHAPTERS)


def test_the_address_of_the_repository_is_the_same_everywhere():
    """It is set in _config.yml. Where a text names it too, it must name the same one."""
    name = URL.rsplit("/", 1)[-1]
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("*.cff"),
        *ROOT.glob("*.toml"),
        *NOTEBOOKS,
        *(ROOT / "lib").rglob("*.py"),
    ]:
        for owner in re.findall(
            rf"github\.com/([\w.-]+)/{re.escape(name)}", path.read_text(encoding="utf-8")
        ):
            assert f"https://github.com/{owner}/{name}" == URL, (
                f"{path.name} names another repository: {owner}/{name}"
            )


def test_the_release_is_the_branch_or_the_tag_of_this_version():
    branch = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["branch"]
    assert RELEASE in (branch, f"v{PROJECT['version']}")
    assert PROJECT["version"] == tunewise.__version__
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_nothing_is_installed_by_its_name_alone():
    """No package index has the package: such a line would fail, or install a stranger's."""
    for path in [
        *ROOT.glob("*.md"),
        *NOTEBOOKS,
        *(ROOT / "lib").rglob("*.py"),
        *(ROOT / "chapters").glob("*.md"),
        *(ROOT / "instructors").glob("*.md"),
    ]:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not re.search(r"""install (--\S+ )*\\?["']?tunewise\b(?!.*git\+)""", line), (
                f"{path.name}: {line}"
            )


def test_another_address_in_the_config_changes_every_link(tmp_path):
    (tmp_path / "_config.yml").write_text(
        yaml.safe_dump({"repository": {"url": "https://github.com/else/where.git", "release": "v9.1"}})
    )
    (tmp_path / "chapters").mkdir()
    path = tmp_path / "chapters" / "a.ipynb"
    nb = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# A"), nbformat.v4.new_code_cell("import numpy")]
    )
    nbformat.write(nb, path)
    path.write_text(cells.written(path, tmp_path))
    first = path.read_text()
    assert "colab.research.google.com/github/else/where/blob/v9.1/chapters/a.ipynb" in first
    assert 'git+https://github.com/else/where@v9.1\\"' in first
    kinds = [(cells.is_badge(c), cells.is_install(c)) for c in nbformat.read(path, 4).cells]
    assert kinds == [
        (True, False),
        (False, False),
        (False, True),
        (False, False),
    ]  # badge, title, install, code
    assert cells.written(path, tmp_path) == first  # written twice is written once
    stripped = json.loads(first)
    for cell in stripped["cells"]:
        cell["metadata"] = {}
    path.write_text(json.dumps(stripped))
    assert len(nbformat.reads(cells.written(path, tmp_path), 4).cells) == 4  # known without their tags


def test_stored_without_outputs_widgets_and_colabs_own_keys(notebook):
    """GitHub shows no notebook whose widget state is cut; stored outputs are old ones; equal ids lose cells."""
    assert set(notebook.metadata) <= {"kernelspec", "language_info", "mystnb"}
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
        assert not {"id", "colab", "outputId", "colab_type", "cellView", "execution"} & set(cell.metadata)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_the_install_cell_is_short_and_comes_before_all_other_code(notebook):
    first = next(c for c in notebook.cells if c.cell_type == "code")
    assert cells.is_install(first) and len(first.source.splitlines()) <= 12
    code = first.source.replace("%pip", "pass  #")
    assert imported(code) == {"importlib", "whentofinetune"}, "the install cell imports nothing heavy"
    assert sum(cells.is_install(c) for c in notebook.cells) == 1


def test_nothing_that_a_reader_does_depends_on_tags(notebook):
    """Colab neither shows nor edits tags: cells that only run because of one would stop there."""
    for cell in notebook.cells:
        needed = {"raises-exception", "skip-execution", "parameters", "injected-parameters"} & set(
            cell.metadata.get("tags", [])
        )
        assert not needed, f"{needed}: {cell.source[:60]}"


def test_code_cells_are_short():
    """A chapter is read: plumbing stands in the library."""
    for path in CHAPTERS:
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code":
                assert len(cell.source.splitlines()) <= 30, f"{path.name}: {cell.source[:80]}"


def test_a_t4_trains_the_adapters_of_a_4_bit_model_in_fp32():
    """TRL makes them bf16, whose gradients the loss scaler of fp16 cannot unscale. The cells' own cast is run here, between
    the trainer and its first step."""
    torch = pytest.importorskip("torch")
    found = 0
    for path in CHAPTERS:
        code = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
        if path.stem == "cost" or not any("load_in_4bit" in c for c in code):  # cost's student is in fp32
            continue
        for cell in (c for c in code if "SFTTrainer(" in c):
            lines = ast.parse(cell).body
            built = next(i for i, n in enumerate(lines) if ast.unparse(n).startswith("trainer = SFTTrainer("))
            trains = next(i for i, n in enumerate(lines) if ".train()" in ast.unparse(n))
            (cast,) = (n for n in lines[built:trains] if isinstance(n, ast.For))
            for t4 in (True, False):
                model = torch.nn.Linear(2, 2, dtype=torch.bfloat16)
                model.weight.requires_grad_(False)
                trainer = types.SimpleNamespace(model=model)
                exec(ast.unparse(cast), {"trainer": trainer, "gpu": True, "GPU": True, "bf16": not t4})
                assert model.bias.dtype == (torch.float32 if t4 else torch.bfloat16), path.name
                assert model.weight.dtype == torch.bfloat16, path.name
            found += 1
    assert found == 8


def test_the_estimate_of_a_training_is_of_trls_own_step():
    """And of the rank that is trained."""
    found = 0
    for path in CHAPTERS:
        code = "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code")
        if "SFTTrainer(" in code and "estimate(" in code:
            assert re.search(r"(\*\*|\| )SFT_TRAINER", code), path.name
            trained = {int(r) for r in re.findall(r"LoraConfig\(r=(\d+)", code)}
            estimated = {int(r) for r in re.findall(r"""\brank["']?[:=] ?(\d+)""", code)}
            assert (estimated or {Settings.rank}) <= trained, path.name
            found += 1
    assert found >= 9


# -- what the install cell does -----------------------------------------------------------------------------------------

FAKE_COLAB = """
import importlib.util, json, subprocess, sys
from IPython.core.interactiveshell import InteractiveShell

shell, ran, find_spec = InteractiveShell.instance(), [], importlib.util.find_spec
# The library is not there until pip has been called; what pip would do is recorded.
importlib.util.find_spec = lambda name, *rest: None if name == "tunewise" and not ran else find_spec(name, *rest)
shell.register_magic_function(ran.append, magic_name="pip")
subprocess.run = lambda command, **_: ran.append(" ".join(command))
source = sys.argv[1]
for _ in range(2):  # the cell may be run again
    done = shell.run_cell(source)
    done.raise_error()
heavy = [m for m in ("torch", "numpy", "transformers", "pandas") if m in sys.modules]
print(json.dumps({"ran": ran, "heavy": heavy}))
"""


def test_the_install_cell_runs_on_a_machine_that_looks_like_colab(tmp_path):
    """It is the same in all notebooks, and run once for each that is not."""
    every = [c for path in NOTEBOOKS for c in nbformat.read(path, 4).cells if cells.is_install(c)]
    assert len(every) == len(NOTEBOOKS)
    env = os.environ | {
        "COLAB_RELEASE_TAG": "release-colab_20260825",
        "COLAB_GPU": "1",
        "IPYTHONDIR": str(tmp_path),
    }
    for source in {cell.source for cell in every}:
        done = subprocess.run(
            [sys.executable, "-c", FAKE_COLAB, source],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        *said, last = done.stdout.strip().splitlines()
        result = json.loads(last)
        assert result["heavy"] == []
        assert [line for line in result["ran"] if "git+" in line] == [
            f'install --quiet --no-deps "git+{URL}@{RELEASE}"'
        ]
        assert any(line.startswith("tunewise ") and "torch " in line and "numpy " in line for line in said)


@pytest.fixture
def machine(monkeypatch):
    """A Colab on which some packages are missing or of another version; what would be installed is recorded."""
    ran, versions = [], {}
    real = colab.version_of
    monkeypatch.setenv("COLAB_RELEASE_TAG", "x")
    monkeypatch.setattr(colab, "version_of", lambda name: versions.get(name, real(name)))
    monkeypatch.setattr(colab, "changed_since_loaded", lambda: [])
    monkeypatch.setattr(colab.subprocess, "run", lambda command, **_: ran.append(command))
    return types.SimpleNamespace(ran=ran, versions=versions)


def test_only_small_packages_are_added_and_without_their_dependencies(machine, capsys):
    machine.versions.update(
        {"gguf": None, "vadersentiment": None, "bitsandbytes": None, "torch": None, "transformers": None}
    )
    colab.ready()
    (command,) = machine.ran
    assert "--no-deps" in command
    names = {re.split("[>=]", word)[0] for word in command[command.index("--no-deps") + 1 :]}
    assert names == {"gguf", "vadersentiment", "bitsandbytes"}
    assert "Not here: torch, transformers" in capsys.readouterr().out


def test_a_machine_that_has_everything_is_not_touched(machine):
    colab.ready()
    assert machine.ran == []


def test_elsewhere_nothing_is_installed_but_named(machine, monkeypatch, capsys):
    for name in [n for n in os.environ if n.startswith("COLAB_")]:
        monkeypatch.delenv(name)
    machine.versions["gguf"] = None
    colab.ready()
    assert machine.ran == [] and "Not here: gguf" in capsys.readouterr().out


def test_a_package_that_is_too_old_is_said(machine, capsys):
    machine.versions["transformers"] = "4.20.0"
    colab.ready()
    assert "transformers 4.20.0 is older than" in capsys.readouterr().out


def test_restart_is_asked_for_when_what_is_loaded_is_not_what_is_installed(monkeypatch):
    """numpy exchanged under a running kernel: 'numpy.dtype size changed' would come later, from somewhere else."""
    monkeypatch.setitem(sys.modules, "numpy", types.SimpleNamespace(__version__="1.0.0"))
    with pytest.raises(
        RuntimeError,
        match=r"Restart needed: numpy 1\.0\.0 is loaded, .* is installed.*Runtime > Restart session",
    ):
        colab.ready()


def test_a_build_tag_of_torch_is_no_other_version(monkeypatch):
    monkeypatch.setattr(colab, "version_of", lambda name: "2.9.0")
    for name in ("numpy", "transformers", "pandas", "scipy", "peft", "tunewise"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(__version__="2.9.0+cu126"))
    assert colab.changed_since_loaded() == []
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(__version__="2.8.0+cu126"))
    assert colab.changed_since_loaded() == [("torch", "2.8.0+cu126", "2.9.0")]
