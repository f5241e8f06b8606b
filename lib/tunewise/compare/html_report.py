"""The report as one HTML file: no network, no script, printable; all text of the user's is escaped.

What it says is put together here, how it looks in ``report.html.jinja``, ``page.html.jinja`` and ``report.css`` beside this file.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewise.compare import error_analysis, more_data
from tunewise.compare.monthly_cost import Bill, Prices, bill, break_even, rank, read_prices
from tunewise.compare.next_steps import steps, weakest
from tunewise.compare.printable import one_line
from tunewise.compare.verdict_words import how_split
from tunewise.report.tables import with_roles
from tunewise.step_cache import write_whole
from tunewise.words import duration, measured_duration, signed

if TYPE_CHECKING:
    from tunewise.compare.base import ArmResult, Report

FAR = 100  # times more or fewer calls than the user's, at which nobody asks what is cheaper
HEAD = {
    "use": "Use this",
    "cheaper": "Take the cheaper",
    "cannot_tell": "Cannot tell yet",
    "none_good_enough": "None is good enough",
}


def write_html(report: Report, path: Path) -> Path:
    """Write the page to ``path``; its folder is made. Raises OSError where it cannot be written."""
    write_whole(path, page(report))
    return path


def page(report: Report) -> str:
    """The whole page, which needs no other file."""
    return rendered("report.html.jinja", whole=True, **view(report))


def fragment(report: Report) -> str:
    """The same for a notebook: one element with its own style."""
    return rendered("report.html.jinja", whole=False, **view(report))


def rendered(template: str, **told: Any) -> str:
    """A template beside this file with what it prints; ``whole``: as a page of its own."""
    return with_roles(_templates().get_template(template).render(told))


@functools.cache
def _templates() -> Any:
    import jinja2

    loader = jinja2.PackageLoader("tunewise.compare", ".")
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.globals |= {"zip": zip}
    made.filters |= {
        "text": one_line,
        "share": share,
        "number": number,
        "seconds": measured_duration,
        "planned": duration,
        "euro": euro,
    }
    return made


def view(report: Report) -> dict[str, Any]:
    """All that the template prints."""
    data, decision, prices = report.data, report.decision, read_prices(report.settings.prices)
    centre = report.arm(decision.winner or decision.leading)
    rival = _rival(report, centre)
    curves = _curves(report)
    slices = error_analysis.slices(data, centre, rival)
    found: dict[str, Any] = dict(
        report=report,
        data=data,
        settings=report.settings,
        decision=decision,
        head=HEAD[decision.kind],
        split=how_split(data),
        weakest=weakest(report, centre),
        centre=centre,
        rival=rival,
        arms=_arms(report, centre, prices),
        domain=_domain(report),
        score=data.metric == "score",
        prices=prices,
        costs=_cost_sentences(report, centre, rival, prices),
        curves=[(c, _picture(c)) for c in curves],
        slices=error_analysis.weak_slices(slices),
        tried=len(slices),
        mistakes=error_analysis.confident_mistakes(data, centre),
        wrong=int(error_analysis.wrong(data, centre).sum()),
        flips=_flips(report, centre, rival),
        scores=[],
        confusion=None,
    )
    found["steps"] = steps(report, centre, curves)
    if data.kind == "classification":
        found["scores"] = error_analysis.label_scores(data, centre)
        if len(data.labels) <= 12:
            found["confusion"] = error_analysis.confusion(data, centre)
    return found


def _rival(report: Report, centre: ArmResult) -> ArmResult | None:
    """The best of the other arms; of equals the first in the order of price."""
    metric = report.data.metric
    others = [a for a in report.arms if a.name != centre.name]
    return max(others, key=lambda a: a.mean(metric), default=None)


def _arms(report: Report, centre: ArmResult, prices: Prices) -> list[dict[str, Any]]:
    """A row of the table an arm, best first."""
    gaps = {b: c for (_, b), c in report.decision.comparisons.items()}
    out = []
    for arm in report.arms:
        cost = bill(arm, report.settings.calls, prices)
        mean = report.mean(arm, report.data.metric)
        row: dict[str, Any] = dict(arm=arm, mean=mean, bill=cost, gap=None, winner=arm.name == centre.name)
        if found := gaps.get(arm.name):
            row["gap"] = dict(value=-found.estimate, low=-found.high, high=-found.low, sure=found.significant)
        if report.data.kind == "classification":
            row["macro_f1"] = error_analysis.macro_f1(report.data, arm)
        out.append(row)
    return sorted(out, key=lambda r: (-r["mean"]["value"], rank(r["arm"], r["bill"].month)))


def _domain(report: Report) -> tuple[float, float]:
    """Ends of the axis of differences: zero, the margin and the intervals of all arms but rules, which may lie far off."""
    rules = {a.name for a in report.arms if a.family == "rule"}
    found = [c for (_, b), c in report.decision.comparisons.items() if b not in rules]
    edge = 1.5 * report.settings.margin
    return min([-edge, *(-c.high for c in found)]), max([edge, *(-c.low for c in found)])


def _curves(report: Report) -> list[more_data.LearningCurve]:
    """The learning curves, that of the arm to use first."""
    names = {a.name.partition("@")[0]: None for a in report.curve}
    known = {a.name for a in report.arms}
    first = report.decision.winner or report.decision.leading
    ordered = sorted(names, key=lambda name: name != first)
    return [c for n in ordered if n in known and (c := more_data.learning_curve(report, n))]


def _picture(curve: more_data.LearningCurve) -> dict[str, Any]:
    """Where the points, the forecasts and the axes' marks of a learning curve lie in a picture of 360 by 220."""
    xs = [n for n, _ in curve.points] + [f.labels for f in curve.forecasts]
    ys = [y for _, y in curve.points] + [v for f in curve.forecasts for v in (f.low, f.high)]
    low, high = max(0.0, min(ys) - 0.05), min(1.0, max(ys) + 0.05)

    def place(x: float, y: float) -> tuple[float, float]:
        across = math.log(x / xs[0]) / math.log(max(xs) / xs[0])
        return round(48 + 290 * across, 1), round(180 - 165 * (y - low) / (high - low), 1)

    last = place(*curve.points[-1])
    band = [last, *(place(f.labels, f.high) for f in curve.forecasts)]
    band += [place(f.labels, f.low) for f in reversed(curve.forecasts)]
    marks = [low + k * (high - low) / 4 for k in range(5)]
    return dict(
        points=[place(*p) for p in curve.points],
        forecasts=[last, *(place(f.labels, f.value) for f in curve.forecasts)],
        band=band,
        xs=[(place(x, low)[0], f"{x:,}") for x in xs],
        ys=[(place(xs[0], y)[1], share(y)) for y in marks],
    )


def _cost_sentences(report: Report, centre: ArmResult, rival: ArmResult | None, prices: Prices) -> list[str]:
    calls = report.settings.calls
    cost = bill(centre, calls, prices)
    out = [f"{centre.title} {_monthly(cost)} at {calls:,} calls ({cost.how})."]
    if not cost.fits:
        out.append("No machine of the price file has the memory for it: this is the price of the largest.")
    if centre.cost.labels:
        out.append(
            f"It learned from {centre.cost.labels:,} labels, about {euro(cost.labels)} of work at "
            f"{prices.seconds_a_label:g} seconds a label, and trained for {measured_duration(centre.cost.train_seconds)}."
        )
    if rival:
        other = bill(rival, calls, prices)
        turn = break_even(centre, rival, prices)
        cheap = centre if cost.first_year <= other.first_year else rival
        if math.inf in (cost.month, other.month):
            which = "it can't be said which is the cheaper"
        elif abs(cost.first_year - other.first_year) < 1:
            which = "both cost the same"
        elif turn is None:
            which = f"{cheap.named} is the cheaper at any number of calls"
        elif calls / FAR <= turn.calls <= FAR * calls:
            below, above = report.arm(turn.below).named, report.arm(turn.above).named
            which = f"{below} is cheaper below {turn.calls:,.0f} calls a month, {above} above"
        else:
            which = f"{cheap.named} is the cheaper, and would be with {FAR} times as many calls or as few"
        out.append(f"The next best, {rival.named}, {_monthly(other)}; over the first year {which}.")
    return out


def _monthly(cost: Bill) -> str:
    if math.isinf(cost.month):
        return "has no price yet (--price-in, --price-out)"
    return f"costs about {euro(cost.month)} a month"


def _flips(report: Report, centre: ArmResult, rival: ArmResult | None) -> dict[str, Any] | None:
    """Items that change between the two best arms, as rows to show."""
    if rival is None:
        return None
    better, worse = error_analysis.flips(report.data, centre, rival)
    test = report.data.test
    show = [(test[n], centre.predictions[n], rival.predictions[n]) for n in [*worse[:6], *better[:6]]]
    return dict(better=len(better), worse=len(worse), rows=show)


def share(value: float, score: bool = False) -> str:
    """A share in per cent, or a score as it is."""
    return f"{value:.3g}" if score else f"{100 * value:.0f}%"


def number(value: float, score: bool = False) -> str:
    """A difference with its sign, in points or as it is."""
    return signed(value, ".3g") if score else signed(100 * value, ".1f")


def euro(value: float) -> str:
    """Euro, with cents below ten; infinite is what is not known."""
    if math.isinf(value):
        return "unknown"
    return f"€{value:,.2f}" if 0 < value < 10 else f"€{value:,.0f}"
