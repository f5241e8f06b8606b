"""The material of the labs that count: memory, forgetting, cost. Each student's part must be solvable, and not the same for all."""

import numpy as np
import pytest

from finetune_memory import GPUS, Settings, estimate, fits
from whentofinetune import book_records
from whentofinetune.calculators import cost, read
from whentofinetune.labs import cost_lab, fit_lab, forgetting_lab, variant
from whentofinetune.pages import forgetting_figures

STUDENTS = [variant(f"s{i}") for i in range(40)]
FREE = ({"loss": "fused"}, {"optimizer_mode": "fused"}, {"checkpointing": True}, {"batch": 1})


@pytest.mark.parametrize(
    "settings", fit_lab.TOO_LARGE, ids=lambda s: f"{s['method']} {s['model']} {s['seq']}"
)
def test_each_step_that_is_too_large_fits_after_one_change(settings):
    step, card = fit_lab.step(**settings), GPUS["rtx4080"]
    assert fits(estimate(step), card) == "no"
    room = card.total - 800 * 2**20
    enough = [c for c in FREE if estimate(step.replace(**c)).peak_bytes <= room]
    assert 0 < len(enough) < len(FREE)  # there is something to find, and something to get wrong


def test_students_have_steps_of_their_own_that_differ_in_the_method_only():
    told = set()
    for v in STUDENTS:
        full, lora, qlora = fit_lab.three_steps(v).values()
        assert lora.replace(method="qlora") == qlora and full.batch == lora.batch and full.seq == lora.seq
        told.add((full.model, full.batch, full.seq, lora.rank))
    assert len(told) > 15
    assert len({fit_lab.too_large(v) for v in STUDENTS}) == len(fit_lab.TOO_LARGE)


def test_sizes_leave_nothing_out_that_a_llama_shape_has():
    """The lab's sum of parameters needs no other size: no biases, head apart from the embedding."""
    for model in (*fit_lab.MODELS, "llama-3-8b"):
        shape, z = Settings(model=model).shape, fit_lab.sizes(model)
        assert not shape.tied
        matrices = sum(linear.weights for linear in shape.linears)
        assert matrices == 2 * z.hidden * (z.hidden + z.kv_width) + 3 * z.hidden * z.intermediate


def test_before_and_after_are_the_same_items_of_the_students_training():
    record = book_records.load("forgetting")
    for v in STUDENTS[:8]:
        method = forgetting_lab.my_method(v)
        before, after, groups = forgetting_lab.before_after(v, "recall")
        base = forgetting_figures.base_model(record, method)[0]
        assert before.mean() == pytest.approx(base["recall"]["value"]) and not np.isnan(after).any()
        last = forgetting_figures.stops(record, method, max(record.params["stops"]))
        assert any(after.mean() == pytest.approx(row["recall"]["value"]) for row in last)
        assert len(before) == len(after) == len(groups) > len(set(groups))
    assert len({forgetting_lab.my_method(v) for v in STUDENTS}) > 4


def test_a_training_of_the_students_own_is_measured_on_other_texts():
    found = forgetting_lab.texts(STUDENTS[0])
    assert not set(found["valid"]) & set(found["test"]) and not set(found["tweets"]) & set(
        found["valid_tweets"]
    )
    assert set(found["valid"] + found["test"]) < set(found["pool"])  # replay has something to leave out


def test_each_job_is_a_near_decision_that_one_number_turns():
    decided = set()
    for v in STUDENTS:
        s = cost_lab.job(v)
        long, tuned = cost_lab.two_ways(s)
        months = cost.meeting(long, tuned, s["calls"]).months
        assert months and s["months"] / 2 < months < 2 * s["months"]
        decided.add(months <= s["months"])
    assert decided == {True, False}  # the answer must not be the same for all


def test_prices_are_those_of_the_file_in_euro():
    presets = read("forms")["presets"]
    for name, prices in cost_lab.price_lists().items():
        given = presets[name]
        assert prices["base_in"] * given["dollars_per_euro"] == pytest.approx(given["dollars"]["base_in"])
        assert prices["cached_from"] == 1024 and given["cache"]["source"] in cost_lab.origins()[name]
        assert given["date"] in cost_lab.origins()[name] and given["source"] in cost_lab.origins()[name]


def test_the_student_is_compared_with_its_own_teacher():
    for v in STUDENTS[:6]:
        part, found = cost_lab.student_minus_teacher(v)
        assert part in cost_lab.SLICES.values() and found["low"] < found["value"] < found["high"]
