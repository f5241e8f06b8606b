"""Run records: one outcome an item, and metrics that follow from them; the commands that make and list them."""

import json
import math
import sys

import numpy as np
import pytest

from tunewise import cli, data, record, stats
from tunewise.experiment import ENGINE, Condition, Experiment, Params, Scores, resolve
from tunewise.record import NotMeasured, Record, Row, estimate, pack, unpack
from tunewise.step_cache import digest
from whentofinetune import book_files, book_records, experiments
from whentofinetune.commands import run_parts
from whentofinetune.commands.run_experiment import line

COMMITTED = sorted((book_files.data_dir() / "runs").glob("*/*.json"))


def made(rows=None, **changes):
    fields = {
        "experiment": "x",
        "scale": "smoke",
        "version": 1,
        "model": "m",
        "params": {"a": 1},
        "seeds": [0],
        "key": "k",
        "checksums": {},
        "device": "CPU",
        "versions": {},
        "date": "2026-01-01",
        "duration_s": 1.0,
        "item_sets": {"set 1": {"ids": ["a", "b", "c"], "groups": ["g", "g", "c"]}},
        "rows": rows
        or [
            {
                "method": "lora",
                "seed": 0,
                "items": "set 1",
                "outcomes": {"accuracy": "101"},
                "predictions": [0, 2, 11],
            },
            {
                "method": "lora",
                "seed": 1,
                "items": "set 1",
                "outcomes": {"accuracy": "1-0", "calibrated.f1": [0.5, 1.0, 0.0]},
            },
            {"method": "clock", "facts": {"seconds": 2.5}},
        ],
    }
    return Record(**(fields | changes))


def test_a_record_comes_back_as_it_was_written(tmp_path):
    assert Record.read(made().save(tmp_path / "x.json")) == made()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"experiment": "x"', "delete it and run the experiment again"),
        ("[1]", "delete it and run the experiment again"),
        ('{"schema": 2, "experiment": "x"}', "delete it and run the experiment again"),
        ('{"experiment": "x", "scale": "full"}', "tunewise run x --scale full --fresh"),
    ],
)
def test_a_file_that_is_no_record_is_named_with_what_to_do(tmp_path, text, said):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        Record.read(path)
    assert str(path) in str(caught.value)


def test_a_damaged_record_of_ones_own_is_said_and_set_aside(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path))
    record.cached("k").write_text("{")
    said = []
    assert record.find("k", say=said.append) is None
    assert str(record.cached("k")) in said[0] and not record.cached("k").exists()
    made().save(record.cached("k"))
    assert record.find("k") == made() and record.find("another") is None


def test_the_books_own_records_are_found_by_what_went_into_them():
    """A changed text, task or parameter would orphan a record; what is still to be recorded again has another version."""
    space, found = book_records.workspace(), 0
    for path in COMMITTED:
        r = Record.read(path)
        experiment = experiments.get(r.experiment)
        if r.version != experiment.version:
            continue
        tasks = {t: data.fingerprint(resolve(t, space)) for t in r.params.get("tasks", [])}
        sources = digest([tasks, experiment.sources and experiment.sources(Params(r.params))])
        machine = {"model": r.checksums["model"], "dtype": r.notes["dtype"], "engine": ENGINE}
        assert r.key == digest([r.experiment, r.version, r.params, machine, sources]), path.name
        assert tasks == r.checksums["tasks"]
        found += 1
    assert found > 25


def test_the_command_that_makes_a_record_finds_it(tmp_path, monkeypatch):
    """Also on a larger model, which is asked more and taught by other recipes: nothing is computed, so nothing is said."""
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path))

    def computing(line):
        raise AssertionError(f"it is made again: {line}")

    of_now = [r for r in map(Record.read, COMMITTED) if r.version == experiments.get(r.experiment).version]
    assert len(of_now) > 25  # the others are still to be recorded again
    for kept in of_now:
        monkeypatch.setenv("TUNEWISE_DTYPE", kept.notes["dtype"].removeprefix("torch."))
        found = experiments.run(kept.experiment, kept.scale, model=kept.model, say=computing)
        assert found.key == kept.key


def test_rows_are_found_by_their_settings():
    assert len(made().where(method="lora")) == 2 and made().one(method="lora", seed=1)["seed"] == 1
    assert made().where(n_labels=None) == []
    shuffled = [{"method": "lora", "k": k, "seed": s} for s, k in ((0, 8), (0, 2), (1, 2))]
    found = made([*shuffled, {"method": "clock"}]).by("k", method="lora")
    assert {k: [r["seed"] for r in rows] for k, rows in found.items()} == {2: [0, 1], 8: [0]}
    assert list(found) == [2, 8] and made().by("k", method="prompt") == {}
    with pytest.raises(KeyError, match="k"):
        made().by("k", method="lora")
    with pytest.raises(LookupError, match="2 rows"):
        made().one(method="lora")


def test_a_metric_is_the_mean_of_its_outcomes_with_an_interval_over_the_groups_of_items():
    row = made().one(method="lora", seed=0)
    assert row["accuracy"] == stats.mean_interval([1, 0, 1], ["g", "g", "c"])
    alone = made(item_sets={"set 1": {"ids": ["a", "b", "c"]}}).one(method="lora", seed=0)
    z, n, p = 1.959964, 3, 2 / 3
    centre, half = p + z * z / 2 / n, z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))  # Wilson's
    assert alone["accuracy"] == pytest.approx({"value": p, "n": n, "low": low, "high": high}, abs=1e-6)
    bits = {"low": None, "high": None, "n": 2, "value": 1.5}
    assert estimate([1.0, 2.0, 3.0, None], ["a", "b", "c", "d"]) == stats.mean_interval([1.0, 2.0, 3.0])
    assert estimate([1.0, 2.0], ["a", "a"]) == bits  # one group says nothing of others
    other = made().one(method="lora", seed=1)
    assert (other["accuracy"]["value"], other["accuracy"]["n"]) == (0.5, 2)  # one item that does not apply
    assert other["calibrated"]["f1"]["value"] == 0.5 and other["calibrated"]["f1"]["n"] == 3
    assert made().one(method="clock")["seconds"] == 2.5
    with pytest.raises(KeyError, match="it has accuracy"):
        row.metric("recall")


def test_predictions_of_a_dozen_labels_stay_apart():
    assert made().one(method="lora", seed=0)["predictions"] == [0, 2, 11]
    held = Scores(["a", "b"], predictions=[np.int64(11), 1], accuracy=[np.bool_(True), False]).row()
    assert json.loads(json.dumps(held))["predictions"] == [11, 1] and held["outcomes"]["accuracy"] == "10"


def test_the_frame_holds_each_outcome_once():
    frame = made().frame()
    assert list(frame.columns[:3]) == ["model", "method", "seed"] and len(frame) == 6
    assert frame.groupby("seed")["accuracy"].mean().tolist() == pytest.approx([2 / 3, 0.5])
    assert frame.loc[frame.seed == 0, "group"].tolist() == ["g", "g", "c"]


@pytest.mark.parametrize("values", [[True, False, None], [0, 1, 1], [0.25, None, 3.0], []])
def test_outcomes_come_back_as_they_were(values):
    assert unpack(json.loads(json.dumps(pack(values)))) == [None if v is None else float(v) for v in values]


def test_what_cannot_be_an_outcome_is_refused():
    with pytest.raises(ValueError, match="not a finite number"):
        pack([0.1, float("nan")])
    with pytest.raises(ValueError, match="accuracy has 1 values for 2 items"):
        Scores(["a", "b"], accuracy=[True])
    with pytest.raises(ValueError, match="other items"):
        Scores(["a"], accuracy=[True]).add("calibrated", Scores(["b"], accuracy=[True]))


def test_what_is_not_measured_names_its_command():
    with pytest.raises(NotMeasured) as caught:
        book_records.load("wordings", "full", "no-such-model")
    assert caught.value.command == "tunewise run wordings --scale full --model no-such-model"
    assert "not yet measured" in str(caught.value)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_committed_records_are_whole(path):
    """Readable, where it belongs, of an experiment of today, and every metric of every row can be computed."""
    one = Record.read(path)
    assert path == book_records.committed(one.experiment, one.scale, one.model)
    assert one.device and one.versions["torch"] and one.date and one.checksums["model"]
    assert one.experiment in experiments.NAMES and one.rows
    for row in one.results:
        for name in row.metrics:
            metric = row.metric(name)
            assert len(row.outcomes(name)) == len(row.items) > 0, (row, name)
            assert (
                metric["n"] == 0
                or metric["low"] is None
                or metric["low"] <= metric["value"] <= metric["high"]
            )
        assert row.get("predictions") is None or len(row["predictions"]) == len(row.items)
    json.dumps(one.rows, allow_nan=False)


# -- the commands -----------------------------------------------------------------------------------------------------------


def test_a_row_is_printed_with_each_metric_its_interval_and_its_number_of_items():
    scores = Scores([*"abcd"], accuracy=[1, 1, 0, None], facts={"seconds": 1.5, "samples": ["x"]})
    scores.add("calibrated", Scores([*"abcd"], accuracy=[1, 1, 1, 1])).add(
        "f1", Scores([*"abcd"], f1=[None] * 4)
    )
    held = {k: v for k, v in scores.row().items() if k not in ("ids", "groups")}
    said = line(Row({**Condition("random", k=8).settings, **held}, {}))
    assert said.startswith("method random  k 8  accuracy 0.667 [") and said.endswith("seconds 1.5")
    assert "n=3  calibrated.accuracy 1.000 [0.510, 1.000] n=4" in said and "samples" not in said
    assert "f1.f1 - n=0" in said
    assert "[" not in line(
        Row({"method": "x", "outcomes": {"exposure": [7.0]}}, {})
    )  # one number has no interval


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["few_shot", "--set", "seeds=0"], "few_shot: seeds must be a list, such as [0]; it was given 0"),
        (
            ["learning_curve", "--set", 'labels="abc"'],
            "labels must be a list, such as [30]; it was given 'abc'",
        ),
        (["few_shot", "--set", 'tasks=[["x.csv"]]'], "tasks, each value must be text, such as 'tweets'"),
        (
            ["few_shot", "--set", 'tasks="mine.csv"'],
            "tasks must be a list, such as ['tweets']; it was given 'mine.csv'",
        ),
        (["few_shot", "--set", "tasks=[]"], "tasks must hold one value at least, such as ['tweets']"),
        (["few_shot", "--set", "random=[-1]"], "random, each value must not be below 0"),
        (["wordings", "--set", "test_n=-5"], "test_n must not be below 0; it was given -5"),
        (["wordings", "--set", "test_n=0"], "test_n must be 1 or more, such as 12; it was given 0"),
        (["wordings", "--set", "test_n=1.5"], "test_n must be a whole number, such as 12; it was given 1.5"),
        (["wordings", "--set", "test_n=true"], "test_n must be a number, such as 12; it was given True"),
        (["wordings", "--set", "wording=1"], "no parameter 'wording'; it has model, tasks, seeds, wordings"),
        (
            ["learning_curve", "--set", "labels=[5000]"],
            "tweets has 2115 training examples, as many of each label",
        ),
        (
            ["prompt_cost", "--set", 'wording="mine"'],
            "no prompt template is called 'mine'; there are instruction",
        ),
        (["wordings", "--set", 'tasks=["gone.csv"]'], "gone.csv"),
        (["voice", "--set", 'tasks=["mine.csv"]'], "voice is about data of its own and cannot take mine.csv"),
        (["distillation", "--set", 'tasks=["a.csv", "b.csv"]'], "these can: wordings, few_shot, learning"),
        (["parse_fixes", "--set", 'tasks=["domain"]'], "asked names tweets-polarity, which is not among"),
        (
            ["wordings", "--set", "test_n=5", "--commit"],
            "--commit would put a run with other test_n in the place",
        ),
    ],
)
def test_a_wrong_parameter_is_one_line_that_names_it(words, said, capsys):
    assert cli.main(["run", *words, "--scale", "smoke"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("tunewise run: ") and said in error


def test_a_committed_run_goes_where_the_book_reads_it(tmp_path, monkeypatch, capsys):
    for name in experiments.NAMES:  # some read their data when they are imported
        experiments.get(name)
    monkeypatch.setattr(book_files, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(experiments, "run", lambda name, scale, **changes: made(experiment=name, scale=scale))
    assert cli.main(["run", "wordings", "--scale", "full", "--commit"]) == 0
    assert Record.read(tmp_path / "runs" / "m" / "wordings.full.json").experiment == "wordings"
    assert (
        cli.main(["run", "wordings", "--scale", "full", "--set", "test_n=5", "--commit", "--force-commit"])
        == 0
    )
    assert cli.main(["list"]) == 0
    said = capsys.readouterr().out
    assert "  full    recorded 2026-01-01, m, CPU, 0 min of computing" in said
    assert (
        "  full    not yet measured: tunewise run wordings --scale full" in said
    )  # of the experiment's own model


def test_a_part_is_found_by_the_whole(tmp_path, monkeypatch, capsys):
    """The parts of two seeds leave nothing to the whole run, and no record of their own."""
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path))
    asked = []
    toy = Experiment(
        "toy",
        lambda p: [Condition("base"), *(Condition("tuned", seed=seed) for seed in p.seeds)],
        lambda ctx, c: asked.append(c.seed) or Scores(facts={"seed": c.seed}),
        {"smoke": {"model": "smollm2-135m", "seeds": [3, 5]}},
    )
    monkeypatch.setattr(experiments.definition, "get", lambda name: toy)
    assert run_parts.seeds_of(toy, toy.scales["smoke"]) == [3, 5]
    for seed in ("3", "5"):
        assert cli.main(["run", "toy", "--scale", "smoke", "--part", seed]) == 0
    assert asked == [None, 3, 5] and not any((tmp_path / "runs").iterdir())
    assert cli.main(["run", "toy", "--scale", "smoke"]) == 0
    assert asked == [None, 3, 5] and "3 rows" in capsys.readouterr().out


def test_parts_run_side_by_side_and_a_fault_is_said(tmp_path):
    """The whole waits for its parts; one that fails costs its own line, and only a whole that fails is a failure."""
    said, trace = [], tmp_path / "trace"

    def job(told, code):
        return run_parts.Job("toy", told, [sys.executable, "-c", code])

    write = f"open({str(trace)!r}, 'a').write"
    good, bad = job("seed 0", f"{write}('p')"), job("seed 1", "raise SystemExit('no memory left')")
    assert run_parts.run([good, bad, job("whole", f"{write}('w')")], 2, said.append) == 0
    assert trace.read_text() == "pw" and len(said) == 3
    assert any("seed 1: failed: no memory left" in line for line in said)
    assert run_parts.run([job("whole", "raise SystemExit(1)")], 2, said.append) == 1
