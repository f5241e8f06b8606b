"""The general figures and the table of conditions: what is drawn, said and listed are the same numbers."""

from __future__ import annotations

import pytest

from tunewise import report as rp

LOW, HIGH = ({"value": v, "n": 40, "low": v - 0.1, "high": v + 0.1} for v in (0.2, 0.7))


def test_text_table_and_drawing_say_the_same():
    figure = rp.dots({"seen": {"LoRA": HIGH}, "new": {"LoRA": LOW, "prompt": None}}, "right", "Right desk")
    assert (
        figure.alt
        == "Right desk. seen: LoRA 70 % [60, 80]; new: LoRA 20 % [10, 30]; prompt not yet measured."
    )
    assert [trace["x"] for trace in figure.data] == [[0.7], [0.2]]
    assert figure.data[0]["error_x"]["array"] == pytest.approx([0.1])
    assert figure.table().text.splitlines()[2:] == [
        "seen    LoRA  70 % [60, 80], n\u00a0=\u00a040",
        "new     LoRA  20 % [10, 30], n\u00a0=\u00a040",
    ]


def test_a_choice_compares_shares_on_one_axis_and_lists_every_entry():
    line = rp.curves({"LoRA": {10: LOW, 100: HIGH}}, "labels", "right", "Right", log_x=True)
    bits = rp.curves({"LoRA": {10: 3.5}}, "labels", "bits", "Bits", show=rp.plain)
    both = rp.choose({"share": line, "bits": bits}, "measured", slider=True)
    assert line.layout["yaxis"].get("range") is None and "10, 20 % [10, 30]; 100, 70 % [60, 80]" in both.alt
    change = both.layout["sliders"][0]["steps"][1]["args"][1]
    assert change["yaxis"]["title"]["text"] == "bits" and change["meta"]["alt"] == bits.alt
    assert [row.split()[0] for row in both.table().text.splitlines()[2:]] == ["share", "share", "bits"]
    pair = rp.choose({"a": line, "b": line}, "measured")
    assert pair.layout["yaxis"]["range"] == [0, 1]


def test_points_with_two_intervals_and_parts_of_a_whole():
    point = rp.curves({"LoRA": [(LOW, HIGH)]}, "content", "rules", "Both", show_x=rp.pct).data[0]
    assert (point["x"], point["y"], point["mode"]) == ([0.2], [0.7], "markers")
    assert point["error_x"]["arrayminus"] == pytest.approx([0.1])
    bars = rp.stacked_bars(
        {"base": {"right": LOW, "wrong": HIGH}, "tuned": {"right": HIGH}}, "share", "Answers"
    )
    assert [(t["name"], t["y"], t["x"]) for t in bars.data] == [
        ("right", ["base", "tuned"], [0.2, 0.7]),
        ("wrong", ["base"], [0.7]),
    ]
