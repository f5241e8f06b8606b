"""What fine-tuning takes away: the experiment on a model of random weights, and what the chapter says of a record."""

import copy

import numpy as np
import pytest
import torch
from small_model import made_up, run_small, small, small_context

from tunewise.experiment import Condition
from tunewise.finetune import Recipe, make_trainable
from whentofinetune import book_records, probes
from whentofinetune.datasets import vader
from whentofinetune.experiments.forgetting import EXPERIMENT
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


def test_each_stop_is_probed_and_kept(tmp_path, monkeypatch):
    ways = [{"method": "full", "learning_rate": 1e-2}, {"method": "lora", "rank": 2, "learning_rate": 1e-2}]
    lm, whole = small(), small()  # read the tokenizer before the cache is another
    ctx = small_context(tmp_path, monkeypatch, EXPERIMENT.scales["smoke"] | {"ways": ways})
    ctx.whole = whole
    record = run_small(EXPERIMENT, ctx)
    assert [(r["method"], r.get("step")) for r in record.results] == [
        ("untouched", None),
        *((m, s) for m in ("full", "lora") for s in (1, 2)),
    ]
    base, *stops = record.results
    for first, second in (stops[:2], stops[2:]):
        assert 0 < first["moved"] < second["moved"]
    text = {r.id: r.text for r in vader.split("news")["test"]}
    start = forgetting_figures.values(base, "bits")
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
    assert all((forgetting_figures.values(r, "bits") != start).all() for r in stops)
    ctx.rows, ctx.lm = [], None  # no model: every stop is found again
    assert run_small(EXPERIMENT, ctx).rows == record.rows


# -- the pages ---------------------------------------------------------------------------------------------------------

TEXTS, ITEMS, WORDS = 40, 100, 12
BEFORE = np.linspace(80, 120, TEXTS)  # bits of each text before training


def probed(right: int, bits: float, wrong: int, recall: int, **facts):
    """The probes: ``right`` of 90 on the task, each text's bits times ``bits``, the first ``wrong`` items wrong, ``recall`` of 8 words found."""
    ids = ([f"{part} {i}" for i in range(n)] for part, n in (("task", 90), ("text", TEXTS), ("item", ITEMS)))
    task, texts, items = ids
    words = [[j < recall for j in range(probes.SHOWN)]] * WORDS
    return probes.scored(
        task,
        [i < right for i in range(90)],
        texts,
        list(BEFORE * bits),
        items,
        [i >= wrong for i in range(ITEMS)],
        words,
        facts,
    )


def record(paths: dict):
    """paths: (method, rank, rate) -> [(right answers of 90, bits, wrong items, recall, moved) a stop]. Two equal seeds."""
    rows = [(Condition("untouched", quantized=False), probed(30, 1.0, 20, 4))]
    for (method, rank, rate), path in paths.items():
        settings = {"learning_rate": rate} | ({"rank": rank} if rank else {})
        rows += [
            (Condition(method, **settings, seed=seed, step=step), probed(*at, moved=moved))
            for seed in (0, 1)
            for step, (*at, moved) in zip((5, 10), path, strict=True)
        ]
    return made_up(EXPERIMENT, rows, stops=[5, 10], seeds=[0, 1])


GENTLE, HARSH, LORA, HARD = ("full", None, 1e-4), ("full", None, 3e-4), ("lora", 8, 1e-3), ("lora", 8, 3e-3)
UNHURT = [(40, 1.0, 20, 4, 0.001), (60, 1.0, 20, 4, 0.002)]
HURT = [(55, 1.05, 25, 3, 0.004), (70, 1.10, 45, 1, 0.008)]


def test_changes_are_paired_and_relative():
    r = record({GENTLE: UNHURT, HARSH: HURT, LORA: UNHURT})
    before = forgetting_figures.untouched(r, "full")
    found = forgetting_figures.stops(r, HARSH, 10)
    assert len(found) == 2
    bits = forgetting_figures.more_bits(before, found)
    assert bits["value"] == pytest.approx(0.10) and bits["low"] == pytest.approx(
        0.10
    )  # each text by the same share: no spread
    assert forgetting_figures.lost_items(before, found)["value"] == pytest.approx(-0.25)
    assert forgetting_figures.lost_recall(before, found)["value"] == pytest.approx(-3 / 8)
    assert (
        forgetting_figures.share({"value": -0.0004, "low": -0.012, "high": 0.0312, "n": 40})
        == "0.0 % [−1.2, +3.1], n\u00a0=\u00a040"
    )


def test_ways_are_compared_where_each_first_reaches_what_all_reach():
    r = record({GENTLE: UNHURT, HARSH: HURT, LORA: [(62, 1.0, 20, 4, 0.001), (60, 1.0, 20, 4, 0.002)]})
    level, at = forgetting_figures.equal_target(r)
    assert level == pytest.approx(60 / 90)
    assert at == {GENTLE: 10, HARSH: 10, LORA: 5}
    assert "After 10 steps" in str(forgetting_figures.ends(r))
    late = record({GENTLE: UNHURT, LORA: UNHURT})
    assert "last stop only" in str(forgetting_figures.ends(late))


@pytest.mark.parametrize(
    ("gentle", "harsh", "says", "words"),
    [
        (UNHURT, UNHURT, "no", "no measure"),
        (UNHURT, HURT, "partly", "full, rate 0.0001 lost nothing"),
        (HURT, HURT, "yes", "fluency, general items and the use of examples"),
    ],
)
def test_whether_full_fine_tuning_forgets(gentle, harsh, says, words):
    ours, verdict, why = forgetting_figures.c6(record({GENTLE: gentle, HARSH: harsh, LORA: UNHURT}))
    assert verdict == says and words in why and len(ours) == 6


@pytest.mark.parametrize(
    ("full", "lora", "says"), [(HURT, UNHURT, "yes"), (UNHURT, HURT, "no"), (UNHURT, UNHURT, "partly")]
)
def test_whether_lora_forgets_less(full, lora, says):
    ours, verdict, why = forgetting_figures.c7(record({GENTLE: full, HARSH: HURT, LORA: lora}))
    assert verdict == says and "of their norm" in ours["weights moved"]
    assert "no protection" not in why or lora is HURT


def test_a_lora_that_forgets_is_named_even_if_another_does_not():
    ours, verdict, why = forgetting_figures.c7(
        record({GENTLE: UNHURT, HARSH: HURT, LORA: UNHURT, HARD: HURT})
    )
    assert verdict == "partly" and "LoRA rank 8, rate 0.003 clearly forgot" in why
    assert ours["LoRA rank 8, rate 0.003: bits for neutral text"].startswith("+")


def test_distance_and_loss_in_the_same_order_correlate_fully():
    r = record(
        {GENTLE: UNHURT, HARSH: HURT, LORA: [(60, 1.02, 20, 4, 0.003), (60, 1.2, 20, 4, 0.009)], HARD: HURT}
    )
    text = str(forgetting_figures.moved_text(r))
    assert "within LoRA alone it is 1.00" in text and "8 stops of 4 ways" in text
    assert "rank 8 has moved the weights by 0.90%" in str(forgetting_figures.rank_text(r))


def test_the_books_record_bears_every_piece_of_the_page():
    r = book_records.load("forgetting")
    for piece in (
        forgetting_figures.before_text,
        forgetting_figures.equal_table,
        forgetting_figures.ends,
        forgetting_figures.moved_text,
        forgetting_figures.rank_text,
    ):
        assert "nan" not in str(piece(r))
    assert len(forgetting_figures.path_figure(r, "moved").data) == len(forgetting_figures.ways(r)) >= 6
    for verdict in (forgetting_figures.c6(r), forgetting_figures.c7(r)):
        assert verdict[1] in ("yes", "partly", "no") and verdict[0] and verdict[2].endswith(".")
