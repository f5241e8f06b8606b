"""``tunewise compare`` as a user types it: what it prints, writes and refuses, and its exit status."""

import argparse
import csv
import json
import re
import shlex
import sys
from dataclasses import replace

import made_up
import pytest
from bs4 import BeautifulSoup
from stand_in import said as reply
from stand_in import serving
from test_arms import rows

from tunewise import cli
from tunewise.compare import ask_command
from tunewise.compare.base import Settings
from tunewise.compare.compare_command import write
from tunewise.compare.compare_options import seconds, share
from whentofinetune.calculators.items_needed import Design, found


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file of 120 rows in the working folder, with something odd to print."""
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with open("tickets.csv", "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "queue"])
        writer.writerows((f"{i.text} \x1b[2J<|im_end|>", i.target) for i in rows(120))
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.txt").touch()
    return tmp_path / "tickets.csv"


def test_a_verdict_a_report_and_a_winner(file, capsys):
    assert cli.main(["compare", "tickets.csv", "--only", "majority,tfidf"]) == 0
    said = capsys.readouterr().out
    assert "3 labels" in said and "The plan" in said and "\x1b" not in said
    assert "<- use this" in said and "Use TF-IDF" in said
    assert (file.parent / "report.html").exists() and (file.parent / "report/winner/predict.py").exists()
    told = json.loads((file.parent / "report.json").read_text())
    assert told["decision"]["winner"] == "tfidf"


def test_what_is_left_out_of_a_file_is_said_before_it_is_compared(file, capsys):
    text = file.read_text(encoding="utf-8") + f'"{"word " * 20_000}",bug\n'
    file.write_text(text, encoding="utf-8")
    plan = ["compare", "tickets.csv", "--only", "majority,tfidf", "--dry-run"]
    assert cli.main(plan) == 0
    assert "longer than about 512 tokens: 1 text" in capsys.readouterr().out
    assert cli.main([*plan, "--rows", "60"]) == 0
    assert "has 121 labelled rows; a random sample of" in capsys.readouterr().out


def test_json_alone_goes_to_stdout(file, capsys):
    assert cli.main(["compare", "tickets.csv", "--only", "majority,tfidf", "--json", "-o", "x/y.html"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["decision"]["winner"] == "tfidf"
    assert "The plan" in said.err and (file.parent / "x/y.html").exists()


def test_what_cannot_be_told_has_its_own_status(file):
    """A need that the one arm may or may not reach."""
    text = (file.parent / "tickets.csv").read_text(encoding="utf-8").splitlines()
    mixed = [line.rsplit(",", 1)[0] + "," + ("bug", "account")[i % 7 < 4] for i, line in enumerate(text[1:])]
    (file.parent / "mixed.csv").write_text("\n".join(["text,queue", *mixed]), encoding="utf-8")
    assert cli.main(["compare", "mixed.csv", "--only", "majority", "--need", "57%"]) == 1


def test_a_spent_budget_is_undecided_and_says_what_to_type(file, capsys):
    given = [
        "compare",
        "tickets.csv",
        "--only",
        "majority",
        "--only",
        "tfidf",
        "--need",
        "0.9",
        "--budget",
        "0s",
    ]
    assert cli.main(given) == 1
    said = capsys.readouterr().out
    again = said.split("To run the rest", 1)[1].splitlines()[1].strip()
    assert again == "tunewise compare tickets.csv --need 0.9 --budget 2m --only majority,tfidf"
    assert "No folder was written: nothing won." in said
    page = BeautifulSoup((file.parent / "report.html").read_text(encoding="utf-8"), "html.parser")
    assert again in page.find("ol").li.get_text() and "No folder was written" in page.get_text()
    assert cli.main(again.split()[1:]) == 0
    assert "To run the rest" not in capsys.readouterr().out


def test_a_disk_that_fills_at_the_report_is_named_and_the_verdict_stands(file, capsys, monkeypatch):
    def full(self, *args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tunewise.compare.html_report.write_whole", full)
    assert cli.main(["compare", "tickets.csv", "--only", "majority,tfidf", "-o", "out/report.html"]) == 0
    said = capsys.readouterr()
    assert "Use TF-IDF" in said.out and "not all could be written: out (No space left on device)" in said.err


def test_a_search_that_won_is_used_by_asking(tmp_path):
    settings, said = Settings(output=tmp_path / "report.html", docs=tmp_path / "my docs"), []
    report = made_up.report(settings=settings, rag=0.95, few_shot=0.6)
    found = {"search": "bm25", "passages": 4}
    report = replace(report, arms=[replace(arm, settings=found) for arm in report.arms])
    write(report, said.append, as_json=False)
    first, command = said[-1].split("\n")
    assert first == "It answers by:" and "make room" not in settings.output.read_text(encoding="utf-8")
    parser = argparse.ArgumentParser()
    ask_command.add_arguments(parser)
    asked = parser.parse_args(shlex.split(command)[2:])
    assert (asked.docs, asked.how, asked.k, asked.threshold) == (str(settings.docs), "bm25", 4, 0)


def test_what_an_arm_has_to_say_stands_below_the_table(file, capsys):
    with serving(lambda number, body: reply("bug")) as (url, _):
        given = ["compare", "tickets.csv", "--only", "majority,endpoint", "--endpoint", url]
        assert cli.main(given) in (0, 1)
    assert "so that it counts as the dearest: name it by --price-in" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_dry_run_shows_the_plan_and_computes_nothing(file, capsys):
    assert cli.main(["compare", "tickets.csv", "--skip", "zero_shot,few_shot,lora", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "neighbours" in said and "About" in said and "<- use this" not in said
    assert not list((file.parent / "cache").rglob("*.json"))


def test_a_dry_run_says_what_the_test_rows_can_show(file, capsys):
    """By the book's calculator, which has no groups and compares two arms."""
    assert cli.main(["compare", "tickets.csv", "--only", "majority,tfidf", "--dry-run"]) == 0
    said = capsys.readouterr().out
    rows, points = re.search(r"The (\d+) test rows show a difference from about (\d+) points", said).groups()
    assert "right on 20% of the rows" in said
    design = Design(accuracy=50, points=int(points), differ=20, items=int(rows))
    assert abs(100 * found(design, int(rows)) - int(points)) < 1
    assert cli.main(["compare", "tickets.csv", "--only", "tfidf", "--dry-run"]) == 0
    assert "test rows show" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["none.csv"], "none.csv"),
        (["tickets.csv", "--only", "lor"], "no arm 'lor' for this data; there are majority, tfidf"),
        (["tickets.csv", "--text", "subject"], "subject"),
        (["tickets.csv", "--prompt", "mine.txt"], "the prompt file mine.txt can't be read"),
        (["tickets.csv", "-o", "."], "is a folder"),
        (["tickets.csv", "-o", "results"], "-o results: the report is a page, so its name must end in .html"),
        (["tickets.csv", "--docs", "scans"], "--docs is for questions with short answers"),
        (["tickets.csv", "--task", "answers", "--docs", "none"], "--docs none is no folder"),
        (["tickets.csv", "--task", "answers", "--docs", "scans"], "a.txt: is empty"),
        (["tickets.csv", "--schema", "s.json"], "--schema is for written answers"),
        (["tickets.csv", "--model", "gpt", "--only", "zero_shot"], "no model is called 'gpt'"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line(file, capsys, given, said):
    assert cli.main(["compare", *given]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") <= 3 and "Traceback" not in error


@pytest.mark.parametrize(
    ("given", "name", "output"),
    [
        ([], "mine.json", "mine.html"),
        (["tickets.csv", "--pool"], "mine.json", "mine.html"),
        (["tickets.csv", "--prompt"], "mine.html", "mine.html"),
        (["--docs", "scans", "--questions"], "mine.json", "./mine.html"),
        (["--questions", "tickets.csv", "--docs"], "scans/mine.html", "scans/report.html"),
        (["tickets.csv", "--prices"], "report/winner/prices.toml", "report.html"),
    ],
)
def test_no_file_that_is_read_is_written_over(file, capsys, given, name, output):
    mine = file.parent / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine", encoding="utf-8")
    read = "scans" if given[-1:] == ["--docs"] else name
    assert cli.main(["compare", *given, read, "-o", output]) == 2
    error = capsys.readouterr().err
    assert f"over or into {read}: name another place with -o" in error
    assert mine.read_text(encoding="utf-8") == "mine" and not list(file.parent.glob("cache/*"))


def test_a_package_that_is_missing_is_named(file, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "semantic_text_splitter", None)
    (file.parent / "scans/a.txt").write_text("The boiler is serviced in October.", encoding="utf-8")
    assert cli.main(["compare", "tickets.csv", "--task", "answers", "--docs", "scans"]) == 2
    assert "semantic-text-splitter: pip install" in capsys.readouterr().err


def test_a_cache_that_cannot_be_made_is_said(file, capsys, monkeypatch):
    monkeypatch.setenv("TUNEWISE_CACHE", str(file))  # a file, not a folder
    assert cli.main(["compare", "tickets.csv", "--only", "majority"]) == 2
    assert "set TUNEWISE_CACHE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("taken.txt/report.html", "taken.txt (Not a directory)"),
        (f"new/{'x' * 250}.html", "File name too long"),
        ("taken.html", "taken.json, for the predictions, is a folder"),
    ],
)
@pytest.mark.parametrize("judged", [["tickets.csv"], ["--docs", "scans", "--questions", "q.csv"]])
def test_a_place_where_nothing_can_be_written_is_said_before_anything_is_read(
    file, capsys, output, said, judged
):
    (file.parent / "taken.json").mkdir()
    (file.parent / "taken.txt").touch()
    there = sorted(file.parent.rglob("*"))
    assert cli.main(["compare", *judged, "-o", output]) == 2
    error = capsys.readouterr()
    assert said in error.err and "name " in error.err and not error.out
    assert sorted(file.parent.rglob("*")) == there


@pytest.mark.parametrize(
    "given",
    [
        ["--need", "1.5"],
        ["--margin", "3"],
        ["--budget", "soon"],
        ["--calls", "0"],
        ["--calls", "-5"],
        ["--metric", "bleu"],
    ],
)
def test_options_out_of_range_are_refused(file, capsys, given):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["compare", "tickets.csv", *given])
    assert stopped.value.code == 2
    assert given[0] in capsys.readouterr().err


def test_what_is_left_of_a_fresh_run_is_run_without_beginning_anew(file, capsys):
    given = ["compare", "tickets.csv", "--only", "majority,tfidf", "--fresh", "--budget", "0s"]
    assert cli.main(given) == 1
    command = capsys.readouterr().out.split("To run the rest")[1]
    assert "--only majority,tfidf" in command and "--fresh" not in command


def test_half_a_price_is_refused(file, capsys):
    assert (
        cli.main(["compare", "tickets.csv", "--endpoint", "http://127.0.0.1:9/v1", "--price-in", "0.1"]) == 2
    )
    assert "name both, and 0 for what costs nothing" in capsys.readouterr().err


def test_shares_and_times_in_a_users_ways_of_writing_them():
    assert [share("0.9"), share("90%"), share("3%")] == pytest.approx([0.9, 0.9, 0.03])
    assert [seconds(t) for t in ("90", "90s", "20m", "1.5h")] == [90, 90, 1200, 5400]
