"""The comparison as a table for a terminal: 80 columns, also with wide and combining characters, and free of escapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wcwidth import wcswidth

from tunewise.compare.html_report import euro, number, share
from tunewise.compare.monthly_cost import bill, read_prices
from tunewise.compare.printable import one_line
from tunewise.words import measured_duration

if TYPE_CHECKING:
    from tunewise.compare.base import Report

WIDTH = 80
TITLE = 29  # columns of an arm's name


def table(report: Report) -> str:
    """All arms, best first: the metric, the difference from the arm to use with its interval, seconds a call, euro a month."""
    data, decision = report.data, report.decision
    score, prices = data.metric == "score", read_prices(report.settings.prices)
    gaps = {b: c for (_, b), c in decision.comparisons.items()}
    lines = [_line("", data.metric, "difference", "a call", "a month")]
    best_first = sorted(report.arms, key=lambda a: -a.mean(data.metric))
    for arm in best_first:
        mean, gap = arm.mean(data.metric), gaps.get(arm.name)
        said = (
            ""
            if gap is None
            else f"{number(-gap.estimate, score)} ({number(-gap.high, score)} to {number(-gap.low, score)})"
        )
        if gap is None and arm.name == decision.leading:
            said = "<- best so far"
        if arm.name == decision.winner:
            said = "<- use this"
        cost = euro(bill(arm, report.settings.calls, prices).month)
        lines.append(
            _line(arm.title, share(mean, score), said, measured_duration(arm.cost.seconds_a_call), cost)
        )
    return "\n".join(lines)


def fitted(text: str, width: int, right: bool = False) -> str:
    """``text`` in exactly ``width`` columns of a terminal, cut where it is longer."""
    text = one_line(text, 4 * width)
    if wcswidth(text) > width:
        while wcswidth(text) > width - 1:
            text = text[:-1]
        text += "…"
    space = " " * (width - wcswidth(text))
    return space + text if right else text + space


def _line(title: str, metric: str, gap: str, call: str, month: str) -> str:
    cells = [fitted(title, TITLE), fitted(metric, 8, right=True), fitted(gap, 24, right=True)]
    return " ".join([*cells, fitted(call, 7, right=True), fitted(month, 8, right=True)]).rstrip()
