"""Run records: written whole, found by what went in, never run twice."""

import json

import pytest

from whentofinetune import book_records
from whentofinetune.book_records import NotMeasured, RunRecord, digest
from whentofinetune.old_steps import Work


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path))


def record(**changes):
    fields = dict(
        experiment="x",
        scale="smoke",
        version=1,
        params={"a": 1},
        seeds=[0],
        key="k",
        checksums={},
        device="CPU",
        versions={},
        date="2026-01-01",
        duration_s=1.0,
        results=[{"method": "lora", "n_labels": 10, "seed": 0}, {"method": "tfidf", "n_labels": 10}],
    )
    return RunRecord(**(fields | changes))


def test_a_record_comes_back_as_it_was_written(tmp_path):
    path = record().save(tmp_path / "x.json")
    assert RunRecord.read(path) == record()


def test_a_broken_record_is_named(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"experiment": "x"')
    with pytest.raises(ValueError, match="run the experiment again"):
        RunRecord.read(path)


def test_rows_are_found_by_their_settings():
    assert record().one(method="lora")["n_labels"] == 10
    assert len(record().where(n_labels=10)) == 2
    with pytest.raises(LookupError, match="2 rows"):
        record().one(n_labels=10)


def test_what_is_not_measured_names_its_command():
    with pytest.raises(NotMeasured) as caught:
        book_records.load("no_such_experiment", "gpu")
    assert caught.value.command == "tunewise run no_such_experiment --scale gpu"
    assert "not yet measured" in str(caught.value)


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1}) != digest({"a": 1, "b": [2, 1]})


def test_a_finished_step_is_not_run_again():
    calls = []

    def run():
        calls.append(1)
        return {"score": len(calls)}

    work = Work({"model": "m"}, say=None)
    assert work.step({"n": 1}, run) == {"n": 1, "score": 1}
    assert Work({"model": "m"}, say=None).step({"n": 1}, run)["score"] == 1
    assert Work({"model": "m"}, say=None).step({"n": 2}, run)["score"] == 2
    assert Work({"model": "other"}, say=None).step({"n": 1}, run)["score"] == 3
    assert Work({"model": "m"}, fresh=True, say=None).step({"n": 1}, run)["score"] == 4


def test_a_step_that_failed_is_run_again():
    work = Work({"model": "m"}, say=None)

    def fails():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work.step({"n": 1}, fails)
    assert work.step({"n": 1}, lambda: {"score": 5})["score"] == 5


def test_committed_records_are_whole():
    """Each record of the book: readable, with n and an interval that holds the value for every metric, and raw predictions
    from which the accuracy can be computed again."""
    from whentofinetune import book_files

    found = sorted((book_files.data_dir() / "runs").glob("*.json"))
    assert found

    def metrics(thing):
        if isinstance(thing, dict):
            if {"value", "low", "high", "n"} <= thing.keys():
                yield thing
            else:
                for v in thing.values():
                    yield from metrics(v)
        elif isinstance(thing, list):
            for v in thing:
                yield from metrics(v)

    for path in found:
        one = RunRecord.read(path)
        assert path.name == f"{one.experiment}.{one.scale}.json"
        assert one.device and one.versions["torch"] and one.date and one.checksums["model"]
        for m in metrics(one.results):
            assert m["n"] > 0 and m["low"] <= m["value"] <= m["high"], (path.name, m)
        json.dumps(one.results, allow_nan=False)


def truth(record, row) -> str:
    """The right answers to the items of a row, a digit each: from the record's own list of items, or from the data."""
    from whentofinetune.datasets.rated_tasks import load_task
    from whentofinetune.experiments import distillation, label_curve
    from whentofinetune.old_bench import sample, subset

    for items in record.where(method="items"):
        if "labels" in items and all(
            items[k] == row.get(k) for k in ("slice", "way", "tested") if k in items
        ):
            return items["labels"][: row["accuracy"]["n"]]
    if row["method"] == "labelling":
        task, params = load_task(record.params["tasks"][0]), record.params
        known = [t for t, _ in sample(task, params["labels"], row["seed"])]
        return "".join(str(y) for _, y in distillation.unlabelled(task, known, params["pool"], row["seed"]))
    valid = row.get("split") == "valid"
    if row["task"] == "desks":
        task = label_curve.desks(None if valid else record.params["test_n"])
        return "".join(str(e.label) for e in (task.valid if valid else task.test))
    task = load_task(row["task"])
    return "".join(str(e.label) for e in subset(task.valid if valid else task.test, row.get("test_n")))


def test_accuracies_follow_from_the_raw_predictions():

    from whentofinetune import book_files

    checked = 0
    for path in sorted((book_files.data_dir() / "runs").glob("*.json")):
        record = RunRecord.read(path)
        for row in record.results:
            if not isinstance(row.get("predictions"), str) or "accuracy" not in row:
                continue
            labels = truth(record, row)
            assert len(labels) == len(row["predictions"]) == row["accuracy"]["n"], (path.name, row["method"])
            right = sum(p == y for p, y in zip(row["predictions"], labels, strict=True))
            assert right / len(labels) == pytest.approx(row["accuracy"]["value"])
            checked += 1
    assert checked > 50
