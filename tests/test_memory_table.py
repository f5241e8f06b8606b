"""The record behind Table 1: it is what today's calculator gives, and the page's figures hold what it holds."""

import json
import re
from importlib.resources import files

import numpy as np
import pytest

from finetune_memory import Settings, estimate
from finetune_memory.calculator import CONTROLS, LOOKS, memory_json
from finetune_memory.formula import COMPONENTS
from tunewise.experiment import Params
from whentofinetune import book_records, experiments
from whentofinetune.experiments.memory_table import KEPT, conditions, thinned
from whentofinetune.pages import memory_deviations, memory_figures


@pytest.fixture(scope="module")
def record():
    return book_records.load("memory_table")


def test_the_record_is_what_the_calculator_gives_today(record):
    assert [(r["method"], r["settings"]) for r in record.results] == [
        (c.method, c.settings["settings"])
        for c in conditions(Params(experiments.get("memory_table").scales["full"]))
    ]
    for r in record.results:
        found = estimate(Settings.from_dict(r["settings"]))
        assert (r["calculated"], r["calculated_components"]) == (found.peak_bytes, found.components)
        assert sum(r["components"].values()) == r["simulated"] <= r["reserved"]
    assert max(abs(r["calculated"] / r["simulated"] - 1) for r in record.results) < 0.05


def test_a_thinned_timeline_keeps_its_peak(record):
    rng = np.random.default_rng(0)
    points = [{"bytes": int(b), "at": i} for i, b in enumerate(rng.integers(0, 10**6, 5000))]
    kept = thinned(points)
    assert len(kept) <= KEPT and [p["at"] for p in kept] == sorted(p["at"] for p in kept)
    assert max(p["bytes"] for p in kept) == max(p["bytes"] for p in points)
    whole = [r for r in record.results if "timeline" in r]
    assert len(whole) == len(record.params["methods"])
    assert all(max(p["bytes"] for p in r["timeline"]) == r["simulated"] for r in whole)


def test_the_page_shows_what_the_record_holds(record):
    one = next(r for r in record.results if r["method"] == "QLoRA" and r["settings"]["seq"] == 2048)
    assert memory_figures.gb(one["simulated"]) in str(memory_figures.table_one(record))
    for figure in (memory_figures.parts_figure(record), memory_figures.timeline_figure(record)):
        assert all(r["method"] in str(figure) for r in record.results)
    assert (
        memory_figures.gb(one["simulated"])
        in memory_figures.against_printed(record)["QLoRA: 7B and 13B, simulated"]
    )
    assert len(memory_figures.cards(record)) == 6 and len(memory_figures.qlora_over_lora()) == 4


def test_each_figure_starts_with_what_its_prediction_asks_for(record):
    parts, timeline = memory_figures.parts_figure(record), memory_figures.timeline_figure(record)
    assert parts.layout["title"]["text"] == "Llama 2 7B, batch 4 × length 2048"
    shown = {t["meta"] for t in timeline.data if t["visible"]}
    qlora = next(r for r in record.results if r["method"] == "QLoRA" and r.get("timeline"))
    assert shown == {"QLoRA"} and f"highest in {qlora['phase']}" in timeline.alt


def test_table_one_has_what_was_measured_on_a_gpu_and_nothing_else(record):
    """By hand: at 4 x 2048 the H200 ran 7B but for SGD, and of 13B only QLoRA."""
    rows = {
        f"{r['method']} {r['settings']['model'].split('-')[-2]}": memory_figures.measured_peak(r["settings"])
        for r in record.results
        if r["settings"]["seq"] == 2048
    }
    full, eight, lora, qlora, larger = (
        rows.pop(k) for k in ("full, AdamW 7b", "full, 8-bit AdamW 7b", "LoRA 7b", "QLoRA 7b", "QLoRA 13b")
    )
    assert full == 67451332096 and lora == 19022866432 and qlora < lora < larger < eight < full
    assert len(rows) == 5 and not any(rows.values())
    assert str(memory_figures.table_one(record)).count("not yet measured") == 5
    assert "on a GPU: 7B 19.0 GB, 13B not yet measured" in str(memory_figures.against_printed(record))


def test_each_measured_step_is_a_dot_and_the_words_name_the_farthest():
    steps, drawn = memory_deviations.deviations(), memory_deviations.figure()
    assert len(steps) == len(memory_figures.on_gpu()) == 50 == len({s["step"] for s in steps})
    formula, simulation = drawn.data
    assert len(formula["x"]) == 50
    height = dict(zip(formula["hovertext"], formula["y"], strict=True))
    assert len({y for step, y in height.items() if step.startswith("Qwen2.5 0.5B, LoRA,")}) == 1
    assert len(set(height.values())) == len(drawn.layout["yaxis"]["ticktext"]) == 11
    for trace, way in ((formula, memory_deviations.FORMULA), (simulation, memory_deviations.SIMULATION)):
        if not trace["x"]:
            pytest.skip("data/bench/memory.json was written before these steps: run make bench")
        farthest = max(steps, key=lambda s: abs(s[way]))["step"]
        assert farthest in drawn.alt and farthest in str(memory_deviations.how_far())


def test_what_was_reserved_above_the_calculated_peak_by_hand():
    """13B with QLoRA at 4 x 2048: 23.624 GB held, 19.077 calculated. The README of the package says the same."""
    words = str(memory_deviations.reserved())
    rows = [r for r in memory_figures.on_gpu() if "13b" in r["settings"]["model"]]
    most = max(r["reserved"] - estimate(Settings.from_dict(r["settings"])).peak_bytes for r in rows)
    assert most == pytest.approx(23.624e9 - 19.077e9, abs=1e6)
    assert "up to 4.5 GB above it (Llama 2 13B, QLoRA, batch 4 × 2048)" in words
    readme = files("finetune_memory").joinpath("README.md").read_text(encoding="utf-8")
    assert "held up to 4.5 GB more" in readme
    worst = {
        k: v["closed formula"]["worst"] for k, v in memory_figures.read("bench/memory.json")["slices"].items()
    }
    said = f"up to {worst['litgpt']:.0f} % on LitGPT's published peaks and by up to {worst['torchtune']:.0f} % on torchtune's"
    assert said in readme


def test_the_arithmetic_by_hand_is_what_the_calculator_gives():
    """Of Llama 2 7B: 6,738,415,616 parameters, 32 layers of width 4096, 32,000 words; 8,192 tokens."""
    shown = str(memory_figures.arithmetic()).replace("\u00a0", " ")
    pairs = re.findall(r"([\d.]+ GB) +([\d.]+ GB)", shown)
    hand, calculator = zip(*pairs, strict=True)
    assert hand == calculator and len(hand) == 9
    assert hand[3:6] == ("67.4 GB", "53.9 GB", "107.8 GB")
    assert hand[7:] == ("2.1 GB", "3.7 GB")  # 2 x 32 x 8192 x 4096 and 14 x 8192 x 32000 bytes


def test_what_torchtune_printed_stands_beside_the_same_optimiser_only(record):
    """Its README: PagedAdamW; its config of that commit: optimizer_in_bwd. With states on the GPU no card of that size would do."""
    beside = [k for k, v in memory_figures.against_printed(record).items() if "printed for 7B: 24.1 GB" in v]
    assert beside == ["full, paged AdamW in the backward pass: 7B and 13B, calculated"]
    rows = [line for line in str(memory_figures.table_one(record)).splitlines() if "24.1 GB" in line]
    assert len(rows) == 1 and "full, paged AdamW in the backward pass" in rows[0]
    # paged states are in no allocator: weights, one gradient of the largest tensor and what the blocks saved
    weights, saved = 2 * 6738415616, 2 * 32 * 8192 * 4096
    step = Settings(method="full", batch=4, seq=2048, checkpointing=True, outputs="dropped")
    found = estimate(step.replace(**memory_figures.PAGED[memory_figures.AS_PRINTED])).peak_bytes
    assert found == pytest.approx(weights + saved + 12 * 8192 * 32000, rel=0.02)


def test_the_lesson_is_of_the_step_that_the_newer_kernel_would_save_most():
    words = str(memory_deviations.score_matrix())
    assert "SmolLM2 135M, QLoRA, batch 1 × 2048" in words and "8.7 GB with PyTorch 2.11" in words


def test_a_part_has_one_colour_in_all_figures_and_names_of_near_phases_do_not_overprint(record):
    live = json.loads(memory_json(json.dumps({c["name"]: c["value"] for c in CONTROLS})))["figures"][0][
        "data"
    ]
    timeline = memory_figures.timeline_figure(record)
    full = timeline.layout["updatemenus"][0]["buttons"][0]["args"][1]
    found: dict[str, set] = {}
    for trace in (*memory_figures.parts_figure(record).data, *timeline.data, *live):
        colour = trace.get("fillcolor") or trace["marker"]["color"] if trace["name"] in LOOKS else None
        found.setdefault(trace["name"], set()).add(colour)
    colours = {part: found[part] for part in LOOKS if part in found}
    assert set(memory_figures.PARTS) <= set(colours) and all(len(c) == 1 for c in colours.values())
    assert len({look[0] for look in LOOKS.values()}) == len(LOOKS) and set(LOOKS) == set(COMPONENTS)
    names = full["xaxis"]["ticktext"]
    assert names[names.index("loss") + 1] == "<br>backward"
    assert full["title"]["text"].endswith("Llama 2 7B, full, AdamW, batch 2 × length 512")


def test_the_smallest_card_that_holds_it():
    """94 % of a card can be used: 15.04 GB of 16."""
    assert memory_figures.card(15.0e9) == "a 16 GB card" and memory_figures.card(15.1e9) == "a 24 GB card"
    assert memory_figures.card(80e9).startswith("no card")
    assert memory_figures.full_by_size()["Llama 3.2 1B, full fine-tuning, batch 1 × 512"].endswith(
        "a 16 GB card"
    )


def test_rounding_errors_are_means_over_matrices():
    assert memory_figures.rounding({"NF4": {"a": 0.1, "b": 0.3}}) == {
        "mean error of NF4": "0.200 (0.100 to 0.300 over 2 matrices)"
    }
