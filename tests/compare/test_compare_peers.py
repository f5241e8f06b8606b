"""The committed comparison with the libraries by hand: every pair within noise, and every figure what its outcomes allow."""

import json
from pathlib import Path

KEPT = json.loads(
    (Path(__file__).resolve().parents[2] / "data/bench/compare-peers.json").read_text(encoding="utf-8")
)


def test_the_arms_are_as_good_as_the_libraries_by_hand():
    rows = KEPT["pairs"].values()
    assert len({row["set"] for row in rows}) == 3
    assert {"scikit-learn"} <= {row["peer"] for row in rows}
    for row in rows:
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["high"] >= 0, row  # none of ours is worse beyond noise
        assert (
            row["difference"] == round(row["ours"] - row["theirs"], 4)
            or abs(row["difference"] - row["ours"] + row["theirs"]) < 2e-4
        )
