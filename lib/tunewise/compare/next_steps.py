"""What to do next, in order, and where the arm to use is weakest: the sentences of a report that are to be acted on."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tunewise.compare import error_analysis
from tunewise.compare.monthly_cost import read_prices
from tunewise.compare.verdict_words import labelling, rows_to_add
from tunewise.comparison import mean_arrays
from tunewise.words import duration

if TYPE_CHECKING:
    from tunewise.compare import more_data
    from tunewise.compare.base import ArmResult, Report

NOT_KEPT = (
    "What it needs could not be kept in the cache: make room there, or set TUNEWISE_CACHE to a folder that can be written, and run the "
    "same command again."
)


def steps(report: Report, centre: ArmResult, curves: Sequence[more_data.LearningCurve]) -> list[str]:
    """What to do next, in order."""
    data, decision, title = report.data, report.decision, centre.named
    serious = [f for f in data.findings if f.serious]
    out = _go_on(report)
    out += [
        f"First look at this: {f.said} Correct the file, and run the same command again." for f in serious
    ]
    if decision.kind == "cannot_tell" and decision.same_cost:
        out.append(f"Use {title}: no other did better, and those in doubt cost about the same.")
    elif decision.kind == "cannot_tell" and decision.items_to_settle:
        rows = rows_to_add(data, decision.items_to_settle)
        work = labelling(rows, read_prices(report.settings.prices))
        out.append(
            f"Label about {rows:,} more rows ({work}) and add them to {data.name}: about "
            f"{decision.items_to_settle:,} of them become test items. Then run the same command again."
        )
    elif decision.kind == "none_good_enough":
        if report.left_out:
            out.append(
                f"Run what was left out, too, without --only and --skip: {', '.join(report.left_out)}."
            )
        out.append(
            "Try a larger model (--model), or a server with a better one (--endpoint), on the same rows."
        )
    if decision.winner:
        held = f"The folder {report.settings.output.stem}/winner/ beside this report holds it, ready to use."
        out.append(f"Put {title} to use. {held if centre.artefact else without_folder(report, centre)}")
    elif decision.kind == "cannot_tell" and not decision.same_cost:
        out.append(f"Until then use {title}: no other did better so far.")
    if error_analysis.wrong(data, centre).any():
        out.append(
            "Read the most confident mistakes below. Where the file is wrong and not the answer, correct the file."
        )
    if weak := error_analysis.weak_slices(error_analysis.slices(data, centre)):
        names = ", ".join(s.name for s in weak[:3])
        out.append(
            f"Check the answers for {names} by hand for a while: there {title} is worse than elsewhere."
        )
    doubted = {b for (_, b), c in decision.comparisons.items() if not (decision.winner or c.significant)}
    counts = [
        c for c in curves if c.name in {centre.name, *doubted}
    ]  # more rows for an arm that lost are wasted
    more = [c for c in counts if c.advice == "label more"]
    if more:
        which = (
            "the rows listed below first" if report.label_next else "rows of kinds that are often mistaken"
        )
        chance = f"with a chance of about {100 * more[0].forecasts[0].chance:.0f}%"
        out.append(
            f"Label more training rows ({which}): with twice as many {report.arm(more[0].name).named} gains as much as matters to you {chance}."
        )
    elif counts and all(c.advice == "enough" for c in counts):
        out.append("Don't label more training rows: they would hardly help.")
    out.append("Keep the test rows aside. Run the comparison again when your texts, labels or prices change.")
    return out


def without_folder(report: Report, arm: ArmResult) -> str:
    """How to use an arm that left no folder, or why there is none; a command stands on a line of its own."""
    if arm.family == "rule":
        return "It is a line of your own code."
    if arm.name not in ("rag", "rag_tuned"):
        return NOT_KEPT
    asked: dict[str, Any] = {"docs": report.settings.docs, "model": report.settings.model, "threshold": 0}
    asked |= {"how": arm.settings["search"], "k": arm.settings["passages"]}
    command = shlex.join(["tunewise", "ask", *(f"--{k}={v}" for k, v in asked.items()), "your question"])
    if arm.name == "rag":
        return f"It answers by:\n  {command}"
    return f"No folder holds it yet. The same search, with the model before its training, answers by:\n  {command}"


def _go_on(report: Report) -> list[str]:
    """What to run first where the plan is unfinished."""
    if not report.waiting:
        return []
    total = duration(sum(report.waiting.values()))
    names = [name for name in report.waiting if "@" not in name]
    names += ["points of the learning curve"] if len(names) < len(report.waiting) else []
    were = "was" if len(names) == 1 and "points" not in names[0] else "were"
    how = report.command or "the same settings, without a budget"
    return [
        f"Finish the plan: {', '.join(names)} {were} not run, which takes about {total} in all. Run again: {how}"
    ]


def weakest(report: Report, centre: ArmResult) -> str:
    """The label that the arm finds least often, over all training runs, with its interval, unless all its rows belong together; empty
    without labels, and for a rule, which finds one of them only."""
    data = report.data
    found = []
    for label in data.labels if data.metric == "accuracy" and centre.family != "rule" else ():
        places = [n for n, item in enumerate(data.test) if item.target == label]
        if places:
            found.append((float(centre.runs(data.metric)[:, places].mean()), label, places))
    if not found:
        return ""
    share, label, places = min(found, key=lambda f: f[0])
    groups = [data.test[n].group for n in places]
    span = ""
    if len(set(groups)) > 1:
        mean = mean_arrays(centre.runs(data.metric)[:, places], groups)
        span = f" [{100 * mean['low']:.0f}% to {100 * mean['high']:.0f}%]"
    alike = "" if span else ", which belong together, so that it has no interval"
    return (
        f"The worst label of {centre.named}: {label}, {100 * share:.0f}%{span} of {len(places)} right{alike}."
    )
