"""What the chapter on forgetting says of a record: the fair comparison, the paired changes, the verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from tunewise import stats
from whentofinetune import book_records
from whentofinetune.pages import forgetting_figures

TEXTS, ITEMS, WORDS = 40, 100, 12
BEFORE = np.linspace(80, 120, TEXTS)  # bits of each text before training


def probe(bits: float, wrong: int, recall: int) -> dict:
    """The three measures: each text's bits times ``bits``, the first ``wrong`` items wrong, ``recall`` of 8 words found."""
    return {
        "bits": list(BEFORE * bits),
        "general_right": "0" * wrong + "1" * (ITEMS - wrong),
        "recall_right": ["1" * recall + "0" * (8 - recall)] * WORDS,
    }


def record(paths: dict, stops=(5, 10)):
    """paths: (method, rank, rate) -> [(right answers of 90, bits, wrong items, recall, moved) a stop]. Two equal seeds."""
    rows = [{"method": "untouched", "model": model, **probe(1.0, 20, 4)} for model in ("as it is", "4-bit")]
    for (method, rank, rate), path in paths.items():
        points = [
            {
                "step": step,
                "moved": moved,
                "task": {"accuracy": stats.proportion(right, 90)},
                **probe(bits, wrong, recall),
            }
            for step, (right, bits, wrong, recall, moved) in zip(stops, path, strict=True)
        ]
        rows += [
            {
                "method": method,
                "learning_rate": rate,
                "seed": seed,
                "points": points,
                **({"rank": rank} if rank else {}),
            }
            for seed in (0, 1)
        ]
    return book_records.RunRecord(
        "forgetting", "full", 1, {"stops": list(stops)}, [0, 1], rows, "", {}, "", {}, "", 0.0
    )


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
    ("full", "lora", "says"),
    [(HURT, UNHURT, "yes"), (UNHURT, HURT, "no"), (UNHURT, UNHURT, "partly")],
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
