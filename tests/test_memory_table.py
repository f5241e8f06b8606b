"""The record behind Table 1: it is what today's calculator gives, and the page's figures hold what it holds."""

import numpy as np
import pytest

from finetune_memory import Settings, estimate
from tunewise.experiment import Params
from whentofinetune import book_records
from whentofinetune.experiments.memory_table import EXPERIMENT, KEPT, conditions, thinned
from whentofinetune.pages import memory_figures


@pytest.fixture(scope="module")
def record():
    return book_records.load("memory_table")


def test_the_record_is_what_the_calculator_gives_today(record):
    assert [(r["method"], r["settings"]) for r in record.results] == [
        (c.method, c.settings["settings"]) for c in conditions(Params(EXPERIMENT.scales["full"]))
    ]
    for r in record.results:
        found = estimate(Settings.from_dict(r["settings"]))
        assert (r["calculated"], r["calculated_components"]) == (found.peak_bytes, found.components)
        assert sum(r["components"].values()) == r["simulated"] <= r["reserved"]
    assert (
        memory_figures.error(record)
        == max(abs(r["calculated"] / r["simulated"] - 1) for r in record.results)
        < 0.05
    )


def test_a_thinned_timeline_keeps_its_peak(record):
    rng = np.random.default_rng(0)
    points = [{"bytes": int(b), "at": i} for i, b in enumerate(rng.integers(0, 10**6, 5000))]
    kept = thinned(points)
    assert len(kept) <= KEPT and [p["at"] for p in kept] == sorted(p["at"] for p in kept)
    assert max(p["bytes"] for p in kept) == max(p["bytes"] for p in points)
    whole = [r for r in record.results if "timeline" in r]
    assert len(whole) == len(record.params["ways"])
    assert all(max(p["bytes"] for p in r["timeline"]) == r["simulated"] for r in whole)


def test_the_page_shows_what_the_record_holds(record):
    one = next(r for r in record.results if r["method"] == "QLoRA" and r["settings"]["seq"] == 2048)
    assert memory_figures.gb(one["simulated"]) in str(memory_figures.table_one(record))
    for figure in (memory_figures.parts_figure(record), memory_figures.timeline_figure(record)):
        assert all(r["method"] in str(figure) for r in record.results)
    for ours, agrees, why in (
        memory_figures.c2(),
        *(f(record) for f in (memory_figures.c3, memory_figures.c4, memory_figures.c5)),
    ):
        assert ours and agrees in ("yes", "partly") and why.endswith(".")
