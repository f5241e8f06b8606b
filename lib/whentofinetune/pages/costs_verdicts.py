"""The verdicts of the chapter *What does it save?* (C19, C21), and that on the variety of tasks (C41).

Each function returns (ours, agrees, why) for :func:`whentofinetune.pages.verdict.verdict`, decided from the record's intervals.
"""

from __future__ import annotations

import numpy as np

from tunewise.report.numbers import plain, points
from whentofinetune.pages import costs
from whentofinetune.pages.icl_figures import mean

Verdict = tuple[dict, str, str]
MARGIN = 0.05  # a loss that is surely smaller than this counts as none


def c19(record) -> Verdict:
    """A large model's skill in a small one: cheaper, faster, nothing lost?"""
    found = costs.clocks(record)
    teacher, student = (found[of]["seconds"] for of in ("teacher", "embeddings"))
    loss = {part: costs.against_teacher(record, "embeddings", "teacher", part) for part in costs.SLICES}
    use = {
        part: costs.between_sources(record, "embeddings", "teacher", "few human", part)
        for part in costs.SLICES
    }
    ours = {f"student minus teacher, {costs.SLICES[p]}": points(g) for p, g in loss.items()}
    ours |= {
        f"what the teacher's labels add to its own few, {costs.SLICES[p]}": points(g) for p, g in use.items()
    }
    ours |= {"one answer, teacher": plain(teacher, "s"), "one answer, student": plain(student, "s")}
    faster = student["high"] < teacher["low"]
    worse, kept = [p for p in loss if loss[p]["high"] < 0], [p for p in loss if loss[p]["low"] > -MARGIN]
    if not faster:
        return ours, "no", "The student is not clearly faster than its teacher."
    why = f"The student is {teacher['value'] / student['value']:.0f} times as fast. "
    if worse:
        why += f"But it is clearly worse than its teacher on {_and(costs.SLICES[p] for p in worse)}: speed is bought with accuracy. "
    elif len(kept) == len(loss):
        why += f"It loses on no kind of text as much as {100 * MARGIN:.0f} points, for certain. "
    else:
        why += "No loss is certain, nor is it certain that none is large: the intervals are too wide to say that nothing is lost. "
    helped = [p for p in use if use[p]["low"] > 0]
    if not helped:
        why += "The teacher is hard to justify, though: the same student, taught by nothing but the few labels that the teacher itself learned from, does not do clearly worse. "
    elif len(helped) < len(use):
        why += f"Against the same student on the teacher's few labels, the teacher's labels clearly help on {_and(costs.SLICES[p] for p in helped)} only. "
    else:
        why += "On every kind of text it beats the same student taught by the teacher's few labels alone, so the detour pays. "
    why += "Teacher and student are both small here; from a large one more can be learned, and its licence has to allow it."
    return (
        ours,
        "no" if len(worse) == len(loss) else "yes" if len(kept) == len(loss) and helped else "partly",
        why,
    )


def c21(record) -> Verdict:
    """A judge distilled from a larger one saved cost."""
    ours, cheaper, agreement = {}, [], []
    for way, said in (("point", "one text"), ("pair", "two texts")):
        told, tuned = (costs.verdicts_of(record, m, way) for m in ("rubric", "tuned"))
        ours |= {
            f"{said}: tuned judge agrees": mean(tuned),
            f"{said}: untuned with the rules in the prompt": mean(told),
        }
        seconds = [costs.mean_seconds(rows) for rows in (told, tuned)]
        ours[f"{said}: tokens a verdict, rules in the prompt against tuned"] = (
            f"{told[0]['prompt_tokens']:.0f} against {tuned[0]['prompt_tokens']:.0f}"
        )
        ours[f"{said}: seconds a verdict, the same"] = (
            f"{plain(seconds[0], 's', n=False)} against {plain(seconds[1], 's', n=False)}"
        )
        cheaper.append(
            seconds[1]["value"] < seconds[0]["value"] and tuned[0]["prompt_tokens"] < told[0]["prompt_tokens"]
        )
        agreement.append(costs.judge_gap(record, "tuned", "rubric", way))
    ours["two texts: same choice after the swap, tuned"] = mean(
        costs.verdicts_of(record, "tuned", "pair"), lambda r: r["consistent"]
    )
    rival = max(("tfidf", "embeddings"), key=lambda m: mean(costs.verdicts_of(record, m, "point"))["value"])
    ours[f"one text: {costs.JUDGES[rival]}, same lessons"] = mean(costs.verdicts_of(record, rival, "point"))
    margin = costs.judge_gap(record, "tuned", rival, "point")
    clear = [g["low"] > 0 for g in agreement]
    saves = (
        "The tuned judge needs fewer tokens and less time than one that is told the rules each time. "
        if all(cheaper)
        else "The tuned judge is not cheaper in both ways of judging. "
    )
    if all(clear):
        why = saves + "It also agrees with the teacher more often. "
    elif any(g["high"] < 0 for g in agreement):
        why = saves + "But it agrees with the teacher less often. "
    else:
        why = (
            saves
            + f"That it agrees with the teacher more often is certain for {_and(n for n, c in zip(('one text', 'two texts'), clear, strict=True) if c) or 'neither way'}. "
        )
    why += (
        f"That it beats a linear model on the same lessons, which costs almost nothing, is not certain ({points(margin)} for the tuned judge). "
        if margin["low"] <= 0
        else "It also beats a linear model on the same lessons. "
    )
    why += "Here the teacher is a program and free; with a teacher that is paid by the token the saving is larger, and grows with every verdict. The likely sources did not measure it."
    good = all(cheaper) and all(g["low"] > -MARGIN for g in agreement) and any(clear)
    return (
        ours,
        "no"
        if not any(cheaper) or all(g["high"] < 0 for g in agreement)
        else "yes"
        if good and margin["low"] > 0
        else "partly",
        why,
    )


def c41(record) -> Verdict:
    """Does it matter how different the tasks are?"""
    names = costs.tasks(record)
    own = costs.own(record)
    foreign = costs.over_tasks(record, own, costs.others(record))
    mixed, small = (
        costs.over_tasks(record, costs.everywhere(record, m), own) for m in (costs.MIXED, costs.SMALL)
    )
    base = costs.over_tasks(record, own, costs.everywhere(record, costs.NONE))
    switch = record.one(method="switch")
    ours = {f"own adapter, {t}": costs.cell(record, t, t) for t in names}
    ours |= {
        "own adapter minus the prompt alone": points(base),
        "own adapter minus another task's": points(foreign),
        "one mixed adapter, as many examples of each, minus own": points(mixed),
        "one mixed adapter, as many examples in all, minus own": points(small),
        "a change of adapter": plain(costs.middle(switch["switch_ms"]), "ms"),
        "tasks answered exactly as before after switching back": f"{sum(switch['same_after_switching'].values())} of {len(names)}",
    }
    quick = np.median(switch["switch_ms"]) < switch["load_model_ms"] / 5
    ready = (
        " Changing adapters takes far less time than loading another model."
        if quick
        else " Changing adapters is not much faster here than loading another model."
    )
    if foreign["low"] <= 0:
        return (
            ours,
            "no",
            "An adapter of another task does not clearly worse than a task's own, so variety made no difference here."
            + ready,
        )
    why = "An adapter serves the task that it was trained on, not the others. "
    if mixed["high"] < 0:
        return (
            ours,
            "yes",
            why
            + "One adapter for all is clearly worse, even with all tasks' examples: the more the tasks differ, the more adapters."
            + ready,
        )
    if small["high"] < 0:
        return (
            ours,
            "yes",
            why
            + "One adapter for all keeps up only if it gets every task's examples; with the same number in all it is clearly worse."
            + ready,
        )
    return (
        ours,
        "partly",
        why
        + "But one adapter trained on all tasks together is not clearly worse than one each, so variety alone does not decide."
        + ready,
    )


def _and(words) -> str:
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
