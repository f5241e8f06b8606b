"""The arm of a comparison that trains the sentence encoder: how it chooses, what it keeps, and what goes home."""

import numpy as np
import pytest
import small_model
from safetensors import SafetensorError
from test_arms import LABELS, own, rows
from test_winner import predicted

from tunewise.compare.arms import tuned_encoder as encoder
from tunewise.compare.base import Settings
from tunewise.compare.run import run
from tunewise.compare.winner import write_winner
from tunewise.compare.workbench import BudgetSpent, Workbench
from tunewise.models.encoder import Encoder


@pytest.fixture
def bench(tmp_path, monkeypatch):
    ctx = small_model.small_context(tmp_path, monkeypatch, {})

    def make(data=None, **settings):
        return Workbench(data or own(), Settings(**settings), lambda line: None, ctx)

    return make


def trained(monkeypatch):
    """The (rate, seed) of every training from now on."""
    made, plain = [], encoder.fit_encoder

    def noted(given, pairs, recipes, seed, **told):
        made.append((recipes[0]["learning_rate"], seed))
        return plain(given, pairs, recipes, seed, **told)

    monkeypatch.setattr(encoder, "fit_encoder", noted)
    return made


def test_the_rate_is_chosen_on_validation_and_trained_with_more_seeds(bench, monkeypatch):
    made = trained(monkeypatch)
    result = encoder.encoder(bench(seed=5))
    rate = result.settings["learning_rate"]
    assert made == [*((r, 5) for r in encoder.RATES), (rate, 6), (rate, 7)]
    best = max(t["score"] for t in result.trials)
    assert [t["score"] for t in result.trials if t["learning_rate"] == rate] == [best]
    assert [len(run["accuracy"]) for run in result.repeats] == [12, 12]
    assert result.mean("accuracy") > 0.9 and "3 training runs" in result.notes[0]
    made.clear()
    point = encoder.encoder(bench(seed=5), 12)
    assert not point.repeats and len(made) == 3 and point.artefact is None and point.name == "encoder@12"


def test_the_run_that_does_best_on_validation_is_kept(bench, monkeypatch):
    monkeypatch.setattr(encoder._Run, "rank", lambda run: ({0: 0.5, 1: 0.9, 2: 0.7}[run.seed], 0.0))
    told = {s: np.eye(3)[np.full(12, s)] * 9.0 for s in range(3)}  # seed k says label k throughout
    monkeypatch.setattr(encoder._Training, "test", lambda self, run: (told[run.seed], 0.01))
    assert set(encoder.encoder(bench()).predictions) == {LABELS[1]}


def test_an_interrupted_arm_trains_only_what_is_missing(bench, monkeypatch):
    work, made = bench(), trained(monkeypatch)
    steps = 0

    def late(self):
        nonlocal steps
        steps += 1
        if steps > 30:  # in the second training, of 20 steps each
            raise BudgetSpent

    with monkeypatch.context() as patched:
        patched.setattr(Workbench, "on_time", late)
        with pytest.raises(BudgetSpent):
            encoder.encoder(work)
    assert made == [(rate, 0) for rate in encoder.RATES[:2]]
    made.clear()
    whole = encoder.encoder(bench())
    again = (
        [(whole.settings["learning_rate"], 0)] if whole.settings["learning_rate"] == encoder.RATES[0] else []
    )
    assert sorted(made) == sorted(
        [
            *((r, 0) for r in encoder.RATES[1:]),
            *again,
            *((whole.settings["learning_rate"], s) for s in (1, 2)),
        ]
    )
    made.clear()
    assert encoder.encoder(bench()).predictions == whole.predictions
    assert len(made) == 1  # for the folder alone


def test_a_label_without_a_training_text_is_never_given(bench):
    result = encoder.encoder(bench(own(train=rows(24, shares=(1, 0, 1)))), 24)
    assert len(result.predictions) == 12 and "bug" not in result.predictions


def test_a_disk_that_is_full_costs_the_folder_and_no_result(bench, monkeypatch):
    def full(self, folder, create_model_card):
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(small_model.WordModule, "save", full)
    result = encoder.encoder(bench(runs=1))
    assert result.artefact is None and len(result.predictions) == 12


def test_large_sets_are_seen_less_often():
    assert [encoder.passes(n) for n in (10, 2000, 4000, 100_000)] == [4, 4, 2, 1]


def test_what_goes_home_gives_the_labels_that_were_evaluated(tmp_path, monkeypatch):
    given = small_model.small_context(tmp_path / "cache", monkeypatch, {})
    given.encoder = Encoder()
    output, data = tmp_path / "report.html", own(test=rows(30, 200, shares=(3, 2, 1)))
    asked = Settings(only=("encoder",), runs=1, output=output)
    report = run(data, asked, lambda line: None, given=given)
    folder = write_winner(report)
    assert "trained further" in (folder / "README.md").read_text()
    moved = folder.rename(tmp_path / "elsewhere")
    said = predicted(moved, [item.text for item in data.test], tmp_path)
    assert said == list(report.arms[0].predictions) and len(set(said)) == 3
