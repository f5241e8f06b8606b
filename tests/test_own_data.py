"""Your own data: the public collections, drawing validation sets, labels made wrong, the two experiments on a small model, and the pages."""

import types

import numpy as np
import pytest
from small_model import run_small, small_context

from tunewise.record import Row
from whentofinetune import book_records, experiments, validation_draws, wrong_labels
from whentofinetune.datasets import public_texts
from whentofinetune.pages import own_data
from whentofinetune.validation_draws import Case

# -- the collections ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["products", "comments", "critics"])
def test_no_text_and_no_group_is_in_two_splits(name):
    task = public_texts.load(name, 200, 300)
    assert (len(task.train), len(task.test)) == (200, 300)
    group = {row.id: row.group for row in public_texts.rows(name)}
    train, test = ({group[e.id] for e in part} for part in (task.train, task.test))
    assert not train & test
    assert not {e.text.lower() for e in task.train} & {e.text.lower() for e in task.test}
    assert max(len(e.text.split()) for e in (*task.train, *task.test)) <= public_texts.WORDS
    assert {e.label for e in task.test} == set(range(len(task.labels)))


def test_labels_are_those_of_the_file():
    """Read once more by eye: the first tweet of the file, and a comment on a ski race."""
    assert public_texts.rows("candidates")[0].label == "Clinton"
    race = next(r for r in public_texts.rows("comments") if "medalje iz vancouvra" in r.text)
    assert race.label == "sport"


def test_what_cannot_be_had_is_named():
    with pytest.raises(ValueError, match="name must be one of tweets"):
        public_texts.rows("mails")
    with pytest.raises(ValueError, match="comments has too few texts"):
        public_texts.load("comments", 1000, 1000)


# -- validation sets ---------------------------------------------------------------------------------------------------


def arms(**right):
    return {name: [float(v) for v in values] for name, values in right.items()}


def test_an_arm_that_is_always_right_is_picked_at_once_and_nothing_is_lost():
    case = Case("a/0", "a", arms(majority=[0, 1] * 60, tfidf=[1] * 120, embeddings=[0] * 120), "majority")
    for draw in validation_draws.draws(case, 40, 5, 0.03):
        assert draw["picked"] == {"accuracy": 1, "gain": draw["picked"]["gain"], "right": 1, "near": 1}
        assert draw["best"]["accuracy"] == draw["rule"]["accuracy"] == 1
        assert draw["rule"]["decided"] and not draw["rule"]["wrong"]
        assert draw["guide"]["accuracy"] == pytest.approx(1 - draw["picked"]["gain"])
        # 60 of all 120 items are right by always one label, and those drawn and those not add up to them
        seen = draw["estimated"]["accuracy"] - draw["estimated"]["gain"]
        assert 40 * seen + 80 * draw["guide"]["accuracy"] == pytest.approx(60, abs=0.01)


def test_the_verdict_cannot_tell_two_arms_apart_that_are_right_on_other_items():
    case = Case("a/0", "a", arms(tfidf=[1, 0] * 60, embeddings=[0, 1] * 60), "tfidf")
    for draw in validation_draws.draws(case, 30, 5, 0.03):
        assert draw["rule"]["decided"] == 0 and draw["rule"]["wrong"] is None


def test_the_guide_is_what_won_on_the_other_data_sets():
    def row(method, outcomes, seed=None):
        raw = {"method": method, "outcomes": {"accuracy": outcomes}, "items": "s"}
        sets = {"s": {"ids": ["1", "2", "3", "4"]}}
        return Row(raw | ({} if seed is None else {"seed": seed}), sets)

    rows = {
        "a": [row("tfidf", "1111", 0), row("embeddings", "0001", 0), row("zero-shot", "1111")],
        "b": [row("tfidf", "0000", 0), row("embeddings", "0111", 0)],
        "c": [row("tfidf", "0001", 0), row("embeddings", "0011", 0)],
    }
    found = {case.group: case for case in validation_draws.cases(rows, [0])}
    assert (
        found["a"].guide == "embeddings"
    )  # its own rows would say TF-IDF; the prompt was not asked everywhere
    assert found["b"].guide == "tfidf"
    assert set(found["a"].arms) == {"tfidf", "embeddings", "zero-shot"}


# -- wrong labels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", wrong_labels.KINDS)
def test_the_share_that_was_asked_for_is_wrong(kind):
    labels = [0] * 40 + [1] * 40 + [2] * 40
    vectors = np.repeat([[1.0, 0, 0], [0.9, 0.4, 0], [0, 0, 1]], 40, axis=0)  # 0 and 1 are alike
    wrong = wrong_labels.flipped(labels, vectors, 0.2, kind, 0)
    changed = [(a, b) for a, b in zip(labels, wrong, strict=True) if a != b]
    assert len(changed) == 24
    if kind == "confusable":
        assert {b for a, b in changed if a == 0} == {1} and {b for a, b in changed if a == 1} == {0}
    else:
        assert {b for a, b in changed if a == 0} == {1, 2}
    assert wrong == wrong_labels.flipped(labels, vectors, 0.2, kind, 0)


def test_the_check_flags_what_was_made_wrong_where_words_tell_the_label():
    words = (["red round apple", "sweet apple juice"], ["fast blue car", "loud car engine"])
    texts = [f"{words[y][i % 2]} {i}" for y in (0, 1) for i in range(60)]
    labels = [0] * 60 + [1] * 60
    for i in (3, 70):
        labels[i] = 1 - labels[i]
    assert wrong_labels.flagged(texts, labels) == [3, 70]


def test_what_is_done_about_flags():
    rows, right, found = [("a", 1), ("b", 1), ("c", 0)], [0, 1, 0], [0]
    done = {h: wrong_labels.cleaned(rows, right, found, h, 0) for h in ("noisy", "dropped", "relabelled")}
    assert done == {"noisy": rows, "dropped": rows[1:], "relabelled": [("a", 0), *rows[1:]]}
    many, truth = [(f"{i}", 1) for i in range(100)], [0] * 100
    drawn = wrong_labels.cleaned(many, truth, range(10), "at random", 0)
    assert [y for _, y in drawn].count(0) == 10 and [y for _, y in drawn[:10]].count(0) < 10


# -- the experiments and the pages -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Both experiments at scale smoke on a model of random weights."""
    found = types.SimpleNamespace()
    for name in ("pick_winner", "label_noise"):
        experiment = experiments.get(name)
        params = experiment.scales["smoke"] | {"seeds": [0, 1]}
        for name in params["sets"]:
            public_texts.load(name, params["pool"], params.get("held_out") or params["test_n"])
        with pytest.MonkeyPatch.context() as patch:
            ctx = small_context(tmp_path_factory.mktemp("cache"), patch, params)
            record = run_small(experiment, ctx)
            ctx.rows, ctx.lm = [], None
            assert run_small(experiment, ctx).rows == record.rows  # all of it is found again
        setattr(found, experiment.name, record)
    return found


def test_a_row_of_draws_follows_from_the_arms(records):
    record = records.pick_winner
    n = record.params["held_out"]
    row = record.one(method="picked", n=20)
    assert len(row.items) == len(record.params["sets"]) * 2 * record.params["draws"]
    assert set(row.groups) == set(record.params["sets"])
    best = record.one(method="best", n=20).outcomes("accuracy")
    assert all(b >= a for a, b in zip(row.outcomes("accuracy"), best, strict=True))
    asked = record.where(method="few-shot")
    assert {r["set"] for r in asked} == set(record.params["asked"]) and len(asked[0].items) == n


def test_precision_and_recall_are_those_of_the_flags(records):
    record = records.label_noise
    for row in record.where(method="check", share=0.2):
        flagged, precision, recall = (row.outcomes(m) for m in ("flagged", "precision", "recall"))
        assert sum(v is not None for v in precision) == sum(flagged)
        assert sum(v is not None for v in recall) == round(0.2 * record.params["labels"])
        assert sum(v or 0 for v in precision) == sum(v or 0 for v in recall)  # right flags, counted both ways


def test_the_language_model_is_compared_with_what_answered_all_items(records):
    record = records.label_noise
    lora = record.where(method="lora", set="tweets")
    assert sum(v is not None for v in lora[0].outcomes("accuracy")) == record.params["asked_n"]
    noisy = record.where(method="embeddings", set="tweets", labels="noisy")
    assert own_data.rp.gap(lora, noisy)["n"] == record.params["asked_n"]


def test_figures_and_tables_show_the_records(records):
    picks, noise = records.pick_winner, records.label_noise
    shown = [own_data.winners(picks), own_data.lost_figure(picks), own_data.chances(picks)]
    shown += [own_data.noise_figure(noise), own_data.cleaning_figure(noise), own_data.flags(noise)]
    assert all(repr(s) for s in shown)
    both = [book_records.load("label_noise", model=m) for m in ("smollm2-135m", "qwen2.5-coder-0.5b")]
    for make in (
        own_data.noise_figure,
        own_data.cleaning_figure,
    ):  # only what asks the model is drawn at each size
        names = str(make(*both).data)
        assert "LoRA, 135M" in names and "LoRA, 0.5B" in names and "TF-IDF, " not in names
    n = picks.params["validation"][0]
    lost = own_data.lost(picks, "picked", n)
    best, picked = (picks.one(method=m, n=n)["accuracy"]["value"] for m in ("best", "picked"))
    assert lost["value"] == pytest.approx(best - picked) and lost["value"] >= 0
