"""Figures and tables of the chapter *When accuracy is missing*, each a function of run records."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from tunewise import stats
from tunewise.record import NotMeasured, Record, Row
from tunewise.report.figures import (
    DASHES,
    MARKERS,
    PALETTE,
    Figure,
    Html,
    bars_with_interval,
    line_with_interval,
    styled,
    table,
    with_menu,
)
from tunewise.report.notes import prose
from tunewise.report.numbers import pct, points
from whentofinetune import book_records
from whentofinetune.pages.icl_figures import NAMES, agreement, calibrated, gains_by_task, gap, mean, sizes

LEARNERS = ("tfidf", "embeddings", "lora")
PROMPTED = {
    "names": "names of the desks only",
    "rule": "the rule in words",
    "examples": "examples only",
    "rule and examples": "the rule and examples",
}
# Names that leave room for the bars on a telephone. The two classifiers are logistic regressions.
SHORT = {"lora": "LoRA", "embeddings": "MiniLM", "tfidf": "TF-IDF"}
PARTS = {"accuracy": "all complaints", "seen": "worded as in training", "new": "worded anew"}


# -- the article's two pairs of figures ----------------------------------------------------------------------------------


def before_after(wordings: Record, curve: Record) -> Figure:
    """What can stand before *after tuning*: a constant answer, each prompt template, a linear classifier."""
    scored = sorted(wordings.where(method="score", split="test"), key=lambda r: r["accuracy"]["value"])
    n = sizes(curve, "lora")[-1]
    bars = {"always one label": mean(curve.where(method="majority"))}
    bars |= {f"prompt “{r['wording']}”": r["accuracy"] for r in scored}
    bars |= {f"{SHORT[m]}, {n} labels": mean(curve.where(method=m, n_labels=n)) for m in LEARNERS}
    low, high = scored[0]["accuracy"]["value"], scored[-1]["accuracy"]["value"]
    tuned = bars[f"{SHORT['lora']}, {n} labels"]["value"]
    alt = f"Accuracy on the same tweets: five prompts from {low:.0%} to {high:.0%}, LoRA on {n} labels {tuned:.0%}, two linear classifiers beside it."
    return bars_with_interval(bars, "accuracy", alt=alt, horizontal=True)


def gain_by_start(wordings: Record, curve: Record) -> Html:
    """The same tuned model, counted from each possible start."""
    tuned, constant = best(curve, "lora"), curve.where(method="majority")
    rows = [
        {
            "start": f"prompt “{r['wording']}”",
            "valid": wordings.one(method="score", split="valid", wording=r["wording"])["accuracy"],
            "before": r["accuracy"],
            "gain": gap(tuned, [r]),
        }
        for r in wordings.where(method="score", split="test")
    ]
    rows.append(
        {"start": "always one label", "valid": "-", "before": mean(constant), "gain": gap(tuned, constant)}
    )
    heads = {"start": "start", "valid": "on validation", "before": "on test"}
    heads["gain"] = f"LoRA on {tuned[0]['n_labels']} labels minus the start"
    return table(rows, "One tuned model, six gains", heads, show={"gain": points})


def hundred(curve: Record, shots: Record, wordings: Record) -> Html:
    """Everything that the same 100 labels can be used for, set against the prompt that validation would choose."""
    word = max(wordings.where(method="score", split="valid"), key=lambda r: r["accuracy"]["value"])["wording"]
    start = wordings.one(method="score", split="test", wording=word)
    k = sizes(shots, "random", "k")[-1]
    few, right = shots.where(method="random", k=k), start.outcomes("accuracy")
    over = stats.difference_over_seeds(
        [r.outcomes("calibrated.accuracy") for r in few], [right], [1] * len(right)
    )
    rows = [
        {"method": f"no label, prompt “{word}”", "accuracy": start["accuracy"], "gap": "-"},
        {"method": f"{k} examples in the prompt, calibrated", "accuracy": mean(few, calibrated), "gap": over},
    ]
    for method in LEARNERS:
        found = curve.where(method=method, n_labels=100)
        name = f"{NAMES[method]}, 100 labels"
        rows.append({"method": name, "accuracy": mean(found), "gap": gap(found, [start])})
    heads = {"method": "method", "accuracy": "accuracy", "gap": "minus the first row"}
    return table(rows, "What a hundred labels can be used for", heads, show={"gap": points})


# -- the private rule ----------------------------------------------------------------------------------------------------


def best(record: Record, learner: str) -> list[Row]:
    """The rows of a learner at the most labels that it was given."""
    return record.where(method=learner, n_labels=sizes(record, learner)[-1])


def ways(record: Record) -> dict[str, list[Row]]:
    """Name -> rows (seeds) of each method to make the model follow the rule."""
    k = record.params["k"]
    prompted = {"names": "names only", "rule": "rule in words"}
    prompted |= {"examples": f"{k} examples", "rule and examples": f"rule, {k} examples"}
    found = {"always one desk": record.where(method="majority")}
    found |= {name: record.where(method=m, split="test") for m, name in prompted.items()}
    found |= {f"{SHORT[m]}, {sizes(record, m)[-1]} labels": best(record, m) for m in LEARNERS}
    return found | {"trouble known": record.where(method="trouble known")}


def _of(part: str) -> Callable[[Mapping], Mapping]:
    return lambda row: row[part]


def ways_figure(record: Record) -> Figure:
    """Accuracy of each method to follow the rule, a menu over the wording of the complaints."""
    figures = {}
    for part, words in PARTS.items():
        bars = {name: mean(rows, _of(part)) for name, rows in ways(record).items()}
        alt = f"Right desk, {words}: " + "; ".join(f"{name} {m['value']:.0%}" for name, m in bars.items())
        figure = bars_with_interval(bars, "right desk", alt=alt, horizontal=True, line=(1 / 3, "chance"))
        figure.layout["xaxis"]["range"] = [0, 1]
        figures[words] = figure
    return with_menu(figures, "complaints")


def ways_table(record: Record) -> Html:
    """The same in numbers, with each method's paired difference to LoRA at the most labels."""
    lora = best(record, "lora")
    rows = [
        {
            "way": name,
            **{part: mean(found, _of(part)) for part in PARTS},
            "gap": "-" if found[0] is lora[0] else gap(lora, found),
        }
        for name, found in ways(record).items()
    ]
    heads = {"way": "way", **PARTS, "accuracy": "right desk", "gap": "LoRA minus this"}
    return table(rows, "Ways to follow a rule that nobody wrote down", heads, show={"gap": points})


def prompts_table(record: Record) -> Html:
    """Each description of the desks on validation, plain and calibrated; which of them the test saw."""
    used = {(m, record.one(method=m, split="test")["prompt"]) for m in ("names", "rule")}
    rows = [
        {
            "says": PROMPTED[r["method"]],
            "prompt": r["prompt"],
            "tokens": f"{r['prompt_tokens']:.0f}",
            "plain": r["accuracy"],
            "mended": calibrated(r),
            "used": "yes" if (r["method"], r["prompt"]) in used else "",
        }
        for r in record.where(split="valid")
    ]
    heads = {
        "says": "the prompt has",
        "prompt": "called",
        "tokens": "tokens",
        "plain": "as it comes",
        "mended": "calibrated",
        "used": "used on test",
    }
    return table(rows, "Prompts tried on the validation complaints", heads)


def description(record: Record) -> Html:
    """The description of the rule that did best on validation, in full."""
    name = record.one(method="rule", split="test")["prompt"]
    return prose(" ".join(record.one(method="rule", split="valid", prompt=name)["says"].split()))


def desk_curve(record: Record) -> Figure:
    """Right desk against the number of labels, a menu over the wording of the complaints; the best prompt as a level line."""
    figures = {}
    name, prompted = best_prompt(record)
    for part, words in PARTS.items():
        series = {
            NAMES[m]: [(n, mean(record.where(method=m, n_labels=n), _of(part))) for n in sizes(record, m)]
            for m in ("lora", "embeddings", "tfidf")
        }
        ends = sorted({x for line in series.values() for x, _ in line})
        series[f"prompt: {name}"] = [(x, mean(prompted, _of(part))) for x in (ends[0], ends[-1])]
        alt = f"Right desk against the number of labels, {words}: " + "; ".join(
            f"{n} up to {line[-1][1]['value']:.0%}" for n, line in series.items()
        )
        figures[words] = line_with_interval(series, "labelled complaints", "right desk", log_x=True, alt=alt)
    return with_menu(figures, "complaints")


def best_prompt(record: Record) -> tuple[str, list[Row]]:
    """The prompt that is best on *test*, its name and rows: more than fair to prompts, which are thereby chosen with hindsight."""
    arms = {name: record.where(method=m, split="test") for m, name in PROMPTED.items()}
    return max(arms.items(), key=lambda a: mean(a[1])["value"])


# -- how far do few labels predict many? ---------------------------------------------------------------------------------

LAWS = {"flat": "it stays as it is", "line": "straight line in log n", "power": "power law of the error"}


def extrapolate(law: str, few: Sequence[int], scores: Sequence[float], to: int) -> float:
    """The accuracy at ``to`` labels, from those at two smaller numbers of labels.

    Parameters
    ----------
    law
        ``line`` (accuracy is a straight line in the logarithm of n), ``power`` (the error rate is a power of n, as in Hestness et al.
        2017, arXiv 1712.00409, without a floor) or ``flat`` (it stays as it is).

    Returns
    -------
    float
        In [0, 1].
    """
    (first, second), (low, high) = few, scores
    reach = math.log(to / second) / math.log(second / first)
    if law == "flat":
        return high
    if law == "line":
        return min(1.0, max(0.0, high + (high - low) * reach))
    if law != "power":
        raise ValueError(f"law must be 'flat', 'line' or 'power', not {law!r}")
    if high == 1:
        return 1.0
    return max(0.0, 1 - (1 - high) * ((1 - high) / (1 - low)) ** reach) if low < 1 else 0.0


def forecasts(record: Record, plan: Sequence[int], seeds: Sequence[int], learners=LEARNERS) -> Iterator[dict]:
    """For each learner and law: forecast minus measured accuracy at the largest of three sizes, a seed at a time and their mean.

    A learner that was not run at all three sizes (``plan``) is left out.
    """
    *few, to = plan
    right = {
        (r["method"], r["n_labels"], r["seed"]): np.array(r.outcomes("accuracy"), dtype=bool)
        for r in record.results
        if "n_labels" in r
    }
    for learner in learners:
        runs = [[right.get((learner, n, s)) for n in plan] for s in seeds]
        runs = [
            (s, tuple(run)) for s, run in zip(seeds, runs, strict=True) if all(r is not None for r in run)
        ]
        for law in LAWS if runs else ():

            def off(low, high, real, law=law) -> float:
                return extrapolate(law, few, (low.mean(), high.mean()), to) - real.mean()

            each = [stats.bootstrap(run, off, seed=s, resamples=1000) for s, run in runs]
            error = stats.mean_over_seeds(each, bounds=(-1.0, 1.0))
            yield {
                "learner": learner,
                "law": law,
                "error": error,
                "by_seed": [round(e["value"], 4) for e in each],
            }


def forecast_table(record: Record) -> Html:
    """How far a forecast from few labels was off, by learner, task and law; on tweets too, where the book has a learning curve."""
    plan, seeds = record.params["forecast"], record.params["seeds"]
    tasks = {"complaints": record}
    with contextlib.suppress(NotMeasured):
        tasks["tweets"] = book_records.load("learning_curve", record.scale, record.model)
    rows = [
        {
            "task": task,
            "learner": NAMES[f["learner"]],
            "law": LAWS[f["law"]],
            "error": f["error"],
            "worst": f"{100 * max(f['by_seed'], key=abs):+.0f} points".replace("-", "−"),
        }
        for task, curve in tasks.items()
        for f in forecasts(curve, plan, seeds)
    ]
    heads = {"task": "texts", "learner": "learner", "law": "forecast"}
    heads |= {"error": "forecast minus measured", "worst": "worst seed"}
    caption = f"The accuracy at {plan[2]} labels, forecast from {plan[0]} and {plan[1]}"
    return table(rows, caption, heads, show={"error": points})


# -- tasks with different starts -----------------------------------------------------------------------------------------


def start_figure(gains) -> Figure:
    """Gain of LoRA against the starting score, one point a task, with the room that a start leaves."""
    rows = gains_by_task(gains)
    starts = [r["zero"] for r in rows]
    points_ = {
        "type": "scatter",
        "mode": "markers+text",
        "name": "a task",
        "x": starts,
        "y": [r["lora gain"] for r in rows],
        "text": [r["task"] for r in rows],
        "textposition": "top center",
        "marker": {"size": 11, "symbol": MARKERS[0], "color": PALETTE[0]},
        "hovertemplate": "%{text}: start %{x:.0%}, gain %{y:+.0%}<extra></extra>",
    }
    room = {
        "type": "scatter",
        "mode": "lines",
        "name": "half of the errors gone",
        "x": [0, 1],
        "y": [0.5, 0],
        "line": {"dash": DASHES[2], "color": PALETTE[7]},
        "hoverinfo": "skip",
    }
    layout = {
        "xaxis": {
            "title": {"text": "zero-shot accuracy"},
            "tickformat": ".0%",
            "range": [min(starts) - 0.1, max(starts) + 0.12],
        },
        "yaxis": {
            "title": {"text": f"gain of LoRA on {gains.params['labels']} labels"},
            "tickformat": "+.0%",
        },
    }
    alt = "Gain of LoRA against the starting score: " + "; ".join(
        f"{r['task']} starts at {r['zero']:.0%} and gains {r['lora gain']:+.0%}" for r in rows
    )
    return Figure([points_, room], styled(layout), alt)


def start_words(gains: Record) -> Html:
    """What the seven tasks say of the start: the correlation of gain with a low start, and of the end with the start."""
    rows = gains_by_task(gains)
    low, with_end = (
        f"{m['value']:+.2f} [{m['low']:+.2f}, {m['high']:+.2f}]"
        for m in (
            agreement(gains, "zero"),
            stats.spearman([r["zero"] for r in rows], [r["zero"] + r["lora gain"] for r in rows]),
        )
    )
    return prose(
        f"Rank correlation of the gain with a low start: {low}; of the score after tuning with the score before: {with_end}; {len(rows)} tasks."
    )


def gains(before: Row, after: Sequence[Row]) -> dict[str, dict]:
    """What tuning adds to the strict score (``strict``), to the scored one (``scored``), and what it adds to the first above the second
    (``form``), each paired by item with its interval over seeds and items."""

    def gained(row: Row, how: str) -> np.ndarray:
        return np.subtract(row.outcomes(f"{how}.accuracy"), before.outcomes(f"{how}.accuracy"))

    def over_seeds(values: Sequence[np.ndarray]) -> dict:
        each = [stats.bootstrap(v, seed=s, resamples=1000) for s, v in enumerate(values)]
        return stats.mean_over_seeds(each, bounds=(-2.0, 2.0))

    strict, scored = ([gained(row, how) for row in after] for how in ("strict", "scored"))
    form = np.subtract(strict, scored)
    return {"strict": over_seeds(strict), "scored": over_seeds(scored), "form": over_seeds(form)}


def _asked(record: Record) -> Iterator[tuple[str, str, Row, list[Row]]]:
    """Task, prompt template, the row before tuning and those after it."""
    for before in record.where(method="before"):
        same = {"task": before["task"], "wording": before["wording"]}
        yield before["task"], before["wording"], before, record.where(method="lora", **same)


def form_table(record: Record) -> Html:
    """What tuning adds by each way of scoring, and what of it is form."""
    rows = [
        {
            "task": f"{task}, prompt “{wording}”",
            "read0": before["readable"],
            "read1": mean(after, _of("readable")),
            **gains(before, after),
            "rival": mean(record.where(method="embeddings", task=task)),
            "tuned": mean(after, lambda r: r["strict"]["accuracy"]),
        }
        for task, wording, before, after in _asked(record)
    ]
    heads = {
        "task": "task",
        "read0": "readable before",
        "read1": "readable after",
        "strict": "gain, marked strictly",
        "scored": "gain, label-scored",
        "form": "the part that is form",
        "tuned": "tuned, marked strictly",
        "rival": f"{NAMES['embeddings']}, the same labels",
    }
    caption = f"What LoRA on {record.params['labels']} labels adds, and how much of it is that its answers can be read"
    return table(rows, caption, heads, show=dict.fromkeys(("strict", "scored", "form"), points))


def form_figure(record: Record) -> Figure:
    """Accuracy before and after tuning, scored strictly and by labels, one group a task."""
    groups: dict[str, dict] = {
        f"{when}, {words}": {
            f"{task} ({wording})": mean(found, lambda r, how=how: r[how]["accuracy"])
            for task, wording, before, after in _asked(record)
            for found in ([before] if when == "before" else after,)
        }
        for when in ("before", "after")
        for how, words in (("strict", "marked strictly"), ("scored", "label-scored"))
    }
    alt = "Accuracy before and after LoRA, by how answers are marked: " + "; ".join(
        f"{n}: " + ", ".join(f"{t} {m['value']:.0%}" for t, m in c.items()) for n, c in groups.items()
    )
    return bars_with_interval(groups, "accuracy", alt=alt)


# -- the main result -----------------------------------------------------------------------------------------------------


def summary(desks: Record) -> Html:
    """The chapter's main result in two sentences."""
    name, rows = best_prompt(desks)
    lora = best(desks, "lora")
    linear = max((best(desks, m) for m in ("tfidf", "embeddings")), key=lambda found: mean(found)["value"])
    return prose(
        f"A rule that nobody wrote down: the best prompt ({name}) finds the right desk for {pct(mean(rows))}, LoRA on {lora[0]['n_labels']} labels for {pct(mean(lora))}, "
        f"a linear classifier on the same labels for {pct(mean(linear))}. LoRA minus the classifier: {points(gap(lora, linear))}."
    )


def live_table(record: Record) -> Html:
    """A run of the reader's own: every method that was run at this scale."""
    rows = [
        {"way": name, "n": f"{len(found)}", "accuracy": mean(found)}
        for name, found in ways(record).items()
        if found
    ]
    heads = {"way": "way", "n": "seeds", "accuracy": "right desk"}
    return table(rows, f"A live run, scale {record.scale}", heads)
