"""What fine-tuning takes away: the experiment on a model of random weights, and what the chapter says of a record."""

import copy

import numpy as np
import pytest
import torch
from small_model import made_up, run_small, small, small_context

from tunewise.experiment import Condition
from tunewise.finetune import Recipe, make_trainable
from tunewise.report import gap, relative
from whentofinetune import book_records, experiments, probes
from whentofinetune.datasets import Item, vader
from whentofinetune.pages import forgetting_figures

# -- the experiment ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_distance_is_that_of_the_weights(method):
    """The weights of all linear layers, merged by PEFT where there is an adapter, before and after."""
    lm = small()
    linear = [
        f"{n}.weight"
        for n, m in lm.model.named_modules()
        if isinstance(m, torch.nn.Linear) and n != "lm_head"
    ]
    before = {n: w.clone() for n, w in lm.model.state_dict().items() if n in linear}
    if method == "full":
        with torch.no_grad():
            for name, w in lm.model.named_parameters():
                w += 0.01 if name in linear else 1.0
        found, after = probes.moved(lm.model, before), lm.model.state_dict()
    else:
        model = make_trainable(lm, Recipe(rank=2, alpha=4))
        for n, w in model.named_parameters():
            if "lora_B" in n:
                torch.nn.init.normal_(w)
        found, after = probes.moved(model, None), copy.deepcopy(model).merge_and_unload().state_dict()
    change = sum(float(((after[n] - old) ** 2).sum()) for n, old in before.items())
    assert found == pytest.approx(
        (change / sum(float((w**2).sum()) for w in before.values())) ** 0.5, rel=1e-4
    )


def values(row):
    """Bits of each text, without the items of the other probes."""
    return np.array([b for b in row.outcomes("bits") if b is not None])


def test_each_stop_is_probed_and_kept(tmp_path, monkeypatch):
    methods = [
        {"method": "full", "learning_rate": 1e-2},
        {"method": "lora", "rank": 2, "learning_rate": 1e-2},
    ]
    lm, whole = small(), small()  # read the tokenizer before the cache is another
    ctx = small_context(
        tmp_path, monkeypatch, experiments.get("forgetting").scales["smoke"] | {"methods": methods}
    )
    ctx.load = lambda **options: whole
    record = run_small(experiments.get("forgetting"), ctx)
    assert [(r["method"], r.get("step")) for r in record.results] == [
        ("base", None),
        *((m, s) for m in ("full", "lora") for s in (1, 2)),
    ]
    base, *stops = record.results
    for first, second in (stops[:2], stops[2:]):
        assert 0 < first["moved"] < second["moved"]
    text = {r.id: r.text for r in vader.split("news")["test"]}
    start = values(base)
    for name, bits in zip(
        [i for i, b in zip(base.items, base.outcomes("bits"), strict=True) if b], start, strict=True
    ):
        ids = torch.tensor([lm.tokenizer("\n").input_ids + lm.tokenizer(text[name]).input_ids])
        with torch.no_grad():
            loss = float(lm.model(ids, labels=ids).loss) * (ids.shape[1] - 1)
        assert bits == pytest.approx(loss / np.log(2), abs=0.006), "kept with two decimals"
    for r in record.results:
        assert r.items == base.items and r["recall"]["n"] == 4 * probes.SHOWN
        assert len(set(r.groups)) == 4 + 4 + 4 + 4, "the words of a prompt are one group"
    assert all((values(r) != start).all() for r in stops)
    ctx.rows, ctx.lm = [], None  # no model: every stop is found again
    assert run_small(experiments.get("forgetting"), ctx).rows == record.rows


# -- the pages ---------------------------------------------------------------------------------------------------------

TEXTS, ITEMS, WORDS = 40, 100, 12
BEFORE = np.linspace(80, 120, TEXTS)  # bits of each text before training


def probed(right: int, bits: float, wrong: int, recall: int, **facts):
    """The probes: ``right`` of 90 on the task, each text's bits times ``bits``, the first ``wrong`` items wrong, ``recall`` of 8 words found."""
    ids = ([f"{part} {i}" for i in range(n)] for part, n in (("task", 90), ("text", TEXTS), ("item", ITEMS)))
    task, texts, items = ([Item(i, i) for i in part] for part in ids)
    found = {
        "task": (task, [i < right for i in range(90)]),
        "bits": (texts, list(BEFORE * bits)),
        "general": (items, [i >= wrong for i in range(ITEMS)]),
        "recall": (probes.words(WORDS), [j < recall for j in range(probes.SHOWN)] * WORDS),
    }
    return probes.scored(found, facts)


def record(paths: dict):
    """paths: (method, rank, rate) -> [(right answers of 90, bits, wrong items, recall, moved) a stop]. Two equal seeds."""
    rows = [(Condition("base", quantized=False), probed(30, 1.0, 20, 4))]
    for (method, rank, rate), path in paths.items():
        settings = {"learning_rate": rate} | ({"rank": rank} if rank else {})
        rows += [
            (Condition(method, **settings, seed=seed, step=step), probed(*at, moved=moved))
            for seed in (0, 1)
            for step, (*at, moved) in zip((5, 10), path, strict=True)
        ]
    return made_up(experiments.get("forgetting"), rows, stops=[5, 10], seeds=[0, 1])


GENTLE, HARSH, LORA, HARD = ("full", None, 1e-4), ("full", None, 3e-4), ("lora", 8, 1e-3), ("lora", 8, 3e-3)
UNHURT = [(40, 1.0, 20, 4, 0.001), (60, 1.0, 20, 4, 0.002)]
HURT = [(55, 1.05, 25, 3, 0.004), (70, 1.10, 45, 1, 0.008)]


def test_losses_are_paired_and_relative():
    r = record({GENTLE: UNHURT, HARSH: HURT, LORA: UNHURT})
    found, before = forgetting_figures.stops(r, HARSH, 10), forgetting_figures.base_model(r, HARSH)
    assert len(found) == 2 and forgetting_figures.more_loss(r, HARSH, 10)["value"] == pytest.approx(0.10)
    text = str(forgetting_figures.losses_table(r, {HARSH: 10}, "x"))
    assert "+10.0 %" in text and "−25 points" in text and "0.80 %" in text
    assert gap(found, before, "recall")["value"] == pytest.approx(-3 / 8)
    metric = {"value": -0.0004, "low": -0.012, "high": 0.0312, "n": 40}
    assert relative(metric) == "0.0 % [−1.2, +3.1], n\u00a0=\u00a040"


def test_methods_are_compared_where_each_first_reaches_what_all_reach():
    r = record({GENTLE: UNHURT, HARSH: HURT, LORA: [(62, 1.0, 20, 4, 0.001), (60, 1.0, 20, 4, 0.002)]})
    level, at = forgetting_figures.equal_target(r)
    assert level == pytest.approx(60 / 90)
    assert at == {GENTLE: 10, HARSH: 10, LORA: 5}
    assert "After 10 steps" in str(forgetting_figures.last_table(r))
    assert "last stop only" in str(forgetting_figures.last_table(record({GENTLE: UNHURT, LORA: UNHURT})))


def test_distance_and_loss_in_the_same_order_correlate_fully():
    far = [(60, 1.02, 20, 4, 0.003), (60, 1.2, 20, 4, 0.009)]
    text = str(forgetting_figures.moved_text(record({GENTLE: UNHURT, HARSH: HURT, LORA: far, HARD: HURT})))
    assert "within LoRA alone it is 1.00" in text and "8 stops of 4 methods" in text


def test_a_higher_setting_that_loses_more_lies_above_zero():
    """At the higher rates the loss is 10 % above that of the lower, which lost nothing, and 25 more of 100 items are wrong."""
    low, high = ("lora", 2, 1e-3), ("lora", 32, 1e-3)
    r = record({GENTLE: UNHURT, HARSH: HURT, LORA: UNHURT, HARD: HURT, low: UNHURT, high: UNHURT})
    loss, items, _ = forgetting_figures.knobs_figure(r).data
    assert loss["x"] == pytest.approx([0.1, 0.1, 0]) and items["x"] == pytest.approx([0.25, 0.25, 0])


def test_the_books_record_bears_every_piece_of_the_page():
    r, f = book_records.load("forgetting"), forgetting_figures
    for piece in (f.before_text, f.equal_table, f.last_table, f.moved_text, f.knobs_figure):
        assert "nan" not in str(piece(r))
    assert len(f.path_figure(r, "moved").data) == len(f.methods(r)) >= 6
