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


@pytest.mark.parametrize("series", [1, 2, 7, 8])
def test_dots_of_a_row_stay_clear_of_the_labels_above_and_below(series):
    """The axis is in pixels; a line of a label at 12 px takes 16."""
    long = "a label of many words " * 6
    figure = rp.differences(
        {f"m{i}": {"a": LOW, long: HIGH} for i in range(series)}, "gain", "Gain", margins={"a": 0.1}
    )
    own, below = figure.layout["annotations"]
    assert below["text"].count("<br>") == 2
    lowest, highest = (end(trace["y"][0] for trace in figure.data) for end in (min, max))
    band = figure.layout["shapes"][0]
    assert below["y"] + 3 * 16 < band["y0"] < lowest <= highest < band["y1"] < own["y"]
    assert len({trace["y"][0] for trace in figure.data}) == series
    bottom, top = figure.layout["yaxis"]["range"]
    assert own["y"] + 16 <= top and bottom + 10 < min(trace["y"][1] for trace in figure.data)
    assert figure.layout["height"] > top - bottom


def test_a_row_is_as_high_as_it_has_dots():
    figure = rp.dots({"m": {"a": LOW, "b": HIGH}, "k": {"b": LOW}}, "right", "Right")
    (a, b), (other,) = (trace["y"] for trace in figure.data)
    assert b - other == 15 and figure.layout["yaxis"]["range"][0] == -(30 + 32 + 30 + 15 + 32) and a > b


def test_a_choice_compares_shares_on_one_axis_and_lists_every_entry():
    line = rp.curves({"LoRA": {10: LOW, 100: HIGH}}, "labels", "right", "Right", log_x=True)
    bits = rp.curves({"LoRA": {10: 3.5}}, "labels", "bits", "Bits", show=rp.plain)
    both = rp.choose({"share": line, "bits": bits}, "measured")
    assert line.layout["yaxis"].get("range") is None and "10, 20 % [10, 30]; 100, 70 % [60, 80]" in both.alt
    change = both.layout["updatemenus"][0]["buttons"][1]["args"][1]
    assert change["yaxis"]["title"]["text"] == "bits" and change["meta"]["alt"] == bits.alt
    assert [row.split()[0] for row in both.table().text.splitlines()[2:]] == ["share", "share", "bits"]
    pair = rp.choose({"a": line, "b": line}, "measured")
    assert pair.layout["yaxis"]["range"] == [0, 1]


def test_a_choice_starts_with_the_entry_that_is_named():
    line = rp.curves({"LoRA": {10: LOW, 100: HIGH}}, "labels", "right", "Right")
    bits = rp.curves({"LoRA": {10: 3.5}}, "labels", "bits", "Bits", show=rp.plain)
    second = rp.choose({"share": line, "bits": bits}, "measured", "bits")
    assert [t["meta"] for t in second.data if t["visible"]] == ["bits"] and second.alt.startswith(bits.alt)
    menu = second.layout["updatemenus"][0]
    assert (
        menu["buttons"][menu["active"]]["label"] == "bits"
        and second.layout["yaxis"]["title"]["text"] == "bits"
    )
    assert menu["buttons"][0]["args"][1]["yaxis"]["title"]["text"] == "right", "the first can be chosen"
    with pytest.raises(ValueError, match="no entry 'loss' among share, bits"):
        rp.choose({"share": line, "bits": bits}, "measured", "loss")
    with pytest.raises(ValueError, match="model: small has a menu itself"):
        rp.choose({"small": second, "large": line}, "model")


def test_a_level_is_a_line_with_a_band():
    figure = rp.curves({"LoRA": {10: LOW, 100: HIGH}}, "labels", "right", "Right", levels={"words": LOW})
    line, band = figure.data[1], figure.layout["shapes"][0]
    assert (line["mode"], line["x"], line["y"]) == ("lines", [10, 100], [0.2, 0.2])
    assert (band["y0"], band["y1"]) == (LOW["low"], LOW["high"])
    assert figure.alt.endswith("words: 20 % [10, 30] throughout.")
    none = rp.curves({"LoRA": {10: LOW}}, "labels", "right", "Right", levels={"words": None})
    assert len(none.data) == 1 and not none.layout.get("shapes")


@pytest.mark.parametrize(
    ("half", "words"), [(0.1, ["−10", "−5", "0", "+5"]), (0.002, ["−0.5", "0", "+0.5"]), (1.5, ["−150", "0"])]
)
def test_differences_have_their_axis_in_points(half, words):
    metric = {"value": 0.0, "n": 40, "low": -half, "high": half}
    axis = rp.differences({"LoRA": metric}, "gain", "Gain").layout["xaxis"]
    assert axis["title"]["text"] == "gain, points" and set(words) <= set(axis["ticktext"])
    assert axis["tickvals"][0] <= -half and half <= axis["tickvals"][-1]
    as_shares = rp.differences({"LoRA": metric}, "gain", "Gain", show=rp.relative).layout["xaxis"]
    assert as_shares["title"]["text"] == "gain"
    assert (
        as_shares["ticktext"] == [f"{word}%" for word in axis["ticktext"]] and "0%" in as_shares["ticktext"]
    )


def test_no_two_ticks_of_a_small_loss_say_the_same():
    losses = {
        n: {"value": v, "n": 40, "low": v - 0.006, "high": v + 0.006} for n, v in ((25, 0.025), (200, 0.005))
    }
    axis = rp.curves({"picked": losses}, "items", "points lost", "Lost", show=rp.points, log_x=True).layout[
        "yaxis"
    ]
    assert len({*axis["ticktext"]}) == len(axis["ticktext"]) > 3 and "+0.5" in axis["ticktext"]


def test_a_heatmap_names_every_column_and_writes_numbers_that_can_be_read():
    grid = rp.heatmap({"prompt": {f"rule {i}": i / 10 for i in range(11)}}, "rule", "method", "Rules")
    (row,) = grid.data
    assert grid.layout["xaxis"]["dtick"] == 1 and row["text"][:2] == ["0", "10"] and "100" in row["text"]
    assert row["insidetextfont"]["color"] == ["#fff"] * 5 + ["#000"] * 6
    two = rp.heatmap(
        {"a prompt with all the rules": {"r": 0.5}, "LoRA": {"r": 1.0}}, "rule", "method", "Rules"
    )
    low, high = two.data  # the first row stands on top, with a gap between the cells
    assert low["base"][0] + low["y"][0] < high["base"][0]
    assert two.layout["yaxis"]["ticktext"] == ["LoRA", "a prompt with<br>all the rules"]


def test_a_marked_x_is_a_line_as_high_as_the_intervals_and_is_named():
    figure = rp.curves({"LoRA": {10: LOW, 100: HIGH}}, "tokens", "right", "Right", upright=(50, "trained"))
    line = figure.data[-1]
    assert (line["name"], line["x"]) == ("trained", [50, 50]) and line["y"] == pytest.approx([0, 0.8])
    assert figure.layout["showlegend"] and figure.alt.endswith("marked: trained.")


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


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (0.12, 0.04, 0.2, "+12 points [+4, +20]"),
        (-0.0092, -0.0136, -0.0047, "−0.9 points [−1.4, −0.5]"),  # whole: −1 [−1, −0]
        (-0.01, -0.03, 0.003, "−1.0 points [−3.0, +0.3]"),  # whole: an end that looks like 0
        (0.031, 0.026, 0.034, "+3.1 points [+2.6, +3.4]"),  # whole: both ends alike
        (0.0, 0.0, 0.0, "0 points [0, 0]"),
        (-0.011, -0.04, 0.02, "−1 point [−4, +2]"),
        (0.25, 0.25, 0.25, "+25 points [+25, +25]"),
        (0.12, None, None, "+12 points"),
    ],
)
def test_whole_points_unless_they_hide_the_interval(value, low, high, words):
    assert rp.points({"value": value, "low": low, "high": high, "n": 5}, n=False) == words


def test_a_value_and_its_interval_stay_whole_in_html_but_not_in_code():
    from tunewise.report.tables import unbroken

    told = unbroken('<p title="70 % [65, 73]">70 % [65, 73], n = 9</p><code>70 % [65, 73]</code>')
    assert told == '<p title="70 % [65, 73]">70\u00a0% [65,\u00a073], n = 9</p><code>70 % [65, 73]</code>'
    assert unbroken("+7 points [−3, +10]") == "+7 points [−3,\u00a0+10]"
    assert unbroken("see [1, 2 and 3]") == "see [1, 2 and 3]"
