"""The verdict on simulated data sets whose truth is known: the committed simulation, and a few more draws."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np

from tunewise.compare.base import Settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_simulation_keeps_what_is_promised():
    kept = json.loads((ROOT / "data/bench/compare-simulation.json").read_text(encoding="utf-8"))
    drawn = kept["as they come"]
    assert drawn["decided"] >= 200 and drawn["right_where_decided"] >= 0.95
    for cell in kept["cells"]:
        # 200 sets at 5%: more than 18 wrong verdicts, or fewer than 181 sets with all intervals, would be chance once in 100
        assert cell["wrong"] <= 18 and cell["all_intervals_hold"] >= 0.905, cell


def test_more_draws_are_as_seldom_wrong():
    spec = importlib.util.spec_from_file_location("bench_compare", ROOT / "bench/compare_simulation.py")
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    rng = np.random.default_rng(11)
    sets = [bench.data_set(rng, n, "just beyond the margin", 1) for n in (100, 400) for _ in range(15)]
    found = [bench.judged(*s, Settings()) for s in sets]
    assert sum(f["wrong"] for f in found) <= 5 and sum(f["held"] for f in found) >= 25
