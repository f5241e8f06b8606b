"""The command ``tunewise``: what is light stays light, wrong words are answered in words, and its answers can be piped."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys

import pytest

from tunewise import __version__, cli
from tunewise.models.download import FetchError
from tunewise.paths import SOURCE, install_command
from whentofinetune import book_files, experiments
from whentofinetune.book_records import NotMeasured
from whentofinetune.verdicts import LADDER

THERE = [name for name, (module, _) in cli.commands().items() if importlib.util.find_spec(module)]


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out.strip() == f"tunewise {__version__}"


@pytest.mark.parametrize("name", list(cli.commands()))
def test_every_command_has_a_module_and_help(name, capsys):
    if name not in THERE:
        pytest.xfail(f"tunewise {name} is not written yet")
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert cli.commands()[name][1].split(",")[0] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("words", [[], ["dance"], ["run"], ["run", "wordings", "--scale", "huge"], ["labs"]])
def test_wrong_words_end_with_status_2_and_the_usage(words, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2 and "usage: tunewise" in capsys.readouterr().err


def test_asking_for_help_loads_no_library_and_lists_all_commands():
    code = "import sys\nfrom tunewise import cli\ntry:\n cli.main(['--help'])\nexcept SystemExit:\n pass\nprint([m for m in ('torch', 'numpy', 'transformers') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip().endswith("[]") and all(name in said for name in cli.commands())


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["run", "no_such"], 2, "no experiment 'no_such'; there are wordings"),
        (["run", "wordings", "--set", "test_n=many"], 2, "the value is no JSON; write strings with quotes"),
        (["run", "wordings", "--scale", "smoke", "--model", "gpt-5"], 2, "no model is called 'gpt-5'"),
        (["run", "wordings", "--scale", "smoke", "--set", "tests=3"], 2, "tests"),
        (
            ["run", "wordings", "--scale", "smoke", "--set", 'tasks=["no-such-file.csv"]'],
            2,
            "no-such-file.csv",
        ),
    ],
)
def test_run_says_what_is_wrong(words, status, said, capsys):
    assert cli.main(words) == status
    error = capsys.readouterr().err
    assert said in error and error.startswith("tunewise run:")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (NotMeasured("wordings", "gpu"), 2, "measure it with: tunewise run wordings --scale gpu"),
        (KeyboardInterrupt(), 130, "the same command goes on from here"),
        (FetchError("weights.whl could not be fetched"), 1, "tunewise run: weights.whl could not be fetched"),
        (
            ModuleNotFoundError("No module named 'peft'", name="peft"),
            1,
            f"peft is not installed: {install_command('models', 'rag')}",
        ),
        (BrokenPipeError(), None, ""),
    ],
)
def test_what_happens_in_a_run_becomes_a_status_and_words(monkeypatch, capsys, error, status, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(experiments, "run", fail)
    if status is not None:
        assert cli.main(["run", "wordings"]) == status
        assert said in capsys.readouterr().err


def test_a_fault_of_our_own_is_not_dressed_up(monkeypatch):
    def fail(*_, **__):
        raise ModuleNotFoundError("No module named 'tunewise.nothing'", name="tunewise.nothing")

    monkeypatch.setattr(experiments, "run", fail)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["run", "wordings"])


@pytest.mark.parametrize("place", ["file", "file/cache", "/proc/no-such-folder"])
@pytest.mark.parametrize(
    "words",
    [
        ["run", "wordings", "--scale", "smoke"],
        ["ask", "--docs", "docs", "What is it?"],
        ["models", "--fetch", "smollm2-135m"],
    ],
)
def test_a_cache_that_cannot_be_used_is_one_line(words, place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("It is this.")
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path / place))
    assert cli.main(words) == (
        2 if words[0] == "ask" else 1
    )  # of ask, 1 says that nothing relevant was found
    (last,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tunewise")]
    assert last.startswith(f"tunewise {words[0]}: the cache folder {tmp_path / place}")
    assert last.endswith("set TUNEWISE_CACHE to a folder on a disk with room that you can write to")


def test_a_file_of_the_cache_that_cannot_be_written_is_one_line_too(monkeypatch, tmp_path, capsys):
    """A read-only or full disk is noticed when the first file is written."""
    from whentofinetune.commands import list_runs

    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path))

    def full(_):
        raise OSError(28, "No space left on device", str(tmp_path / "runs" / "x.json"))

    monkeypatch.setattr(list_runs, "main", full)
    assert cli.main(["list"]) == 1
    said = capsys.readouterr().err
    assert "(No space left on device)" in said and "TUNEWISE_CACHE" in said

    def other(_):
        raise OSError(13, "Permission denied", str(tmp_path.parent / "elsewhere"))

    monkeypatch.setattr(list_runs, "main", other)
    with pytest.raises(PermissionError):
        cli.main(["list"])


def test_install_lines_name_the_address_and_the_extras():
    """No package index has the package: a line that names it alone would fail, or install a stranger's."""
    assert install_command("models", "rag") == f'pip install "tunewise[models,rag] @ {SOURCE}"'
    assert install_command() == f'pip install "tunewise @ {SOURCE}"'


def test_a_pipe_that_closes_is_no_error():
    """`tunewise list | head -1`"""
    command = [sys.executable, "-m", "tunewise", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()
    assert "Traceback" not in error


def test_list_names_every_experiment_and_what_is_missing(capsys):
    assert cli.main(["list", "--claims"]) == 0
    said = capsys.readouterr().out
    for name in experiments.NAMES:
        experiment = experiments.get(name)
        assert f"{name}: {experiment.question} ({', '.join(experiment.claims)})" in said
    assert "recorded 20" in said
    assert "not yet measured: tunewise run" in said or all(
        (experiments.get(n).scales.keys() <= {"smoke", "laptop", "full"}) for n in experiments.NAMES
    )


def test_every_file_of_parameters_is_read_and_its_numbers_are_numbers():
    """YAML takes 1e-3 for text."""

    def texts(value):
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return [value] if isinstance(value, str) else [text for part in parts for text in texts(part)]

    files = {path.stem for path in (book_files.data_dir() / "experiments").glob("*.yml")}
    assert files == {*experiments.NAMES, "handbook"}
    for name in experiments.NAMES:
        experiment = experiments.get(name)
        assert experiment.models.keys() <= set(LADDER), (
            f"{name}: a section that is neither a scale's nor a model's"
        )
        for text in texts([*experiment.scales.values(), experiment.larger, experiment.models]):
            assert not re.fullmatch(r"[-+.\d]+(e[-+]?\d+)?", text), f"{name}: {text}"


def test_json_is_json_and_nothing_else(monkeypatch, capsys):
    """A committed record is printed whole: what a script reads. Without --json, a line for each row and one for the whole."""
    from whentofinetune.book_records import load

    record = load("wordings", "full")
    monkeypatch.setattr(experiments, "run", lambda *_, **__: record)
    assert cli.main(["run", "wordings", "--scale", "full", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == len(record.rows)
    assert cli.main(["run", "wordings", "--scale", "full"]) == 0
    *lines, last = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == len(record.rows) and "accuracy 0." in lines[0] and "n=" in lines[0]
    assert last.startswith(f"{len(record.rows)} rows")
