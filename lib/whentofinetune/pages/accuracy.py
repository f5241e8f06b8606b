"""Figures and tables of the chapter *When accuracy is missing*, each a function of run records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunewise import stats
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
from tunewise.report.numbers import pct, points, prose
from whentofinetune.pages.icl_figures import NAMES, agreement, calibrated, gains_by_task, gap, mean

LEARNERS = ("lora", "embeddings", "tfidf")
PROMPTED = {
    "names": "names of the desks only",
    "rule": "the rule in words",
    "examples": "examples only",
    "rule and examples": "the rule and examples",
}
# Names that leave room for the bars on a telephone. The two classifiers are logistic regressions.
SHORT = {"lora": "LoRA", "embeddings": "MiniLM", "tfidf": "TF-IDF"}
PARTS = {"all": "all complaints", "seen": "worded as in training", "new": "worded anew"}


# -- the article's two pairs of figures ----------------------------------------------------------------------------------


def before_after(wordings, curve) -> Figure:
    """What can stand before *after tuning*: a constant answer, each wording of the prompt, a linear classifier."""
    scored = sorted(wordings.where(method="score", split="test"), key=lambda r: r["accuracy"]["value"])
    n = max(r["n_labels"] for r in curve.where(method="lora"))
    bars = {"always one label": mean(curve.where(method="majority"))} | {
        f"prompt “{r['wording']}”": r["accuracy"] for r in scored
    }
    bars |= {
        f"{SHORT[m]}, {n} labels": mean(curve.where(method=m, n_labels=n))
        for m in ("tfidf", "embeddings", "lora")
    }
    low, high = scored[0]["accuracy"]["value"], scored[-1]["accuracy"]["value"]
    tuned = bars[f"{SHORT['lora']}, {n} labels"]["value"]
    alt = f"Accuracy on the same tweets: five prompts from {low:.0%} to {high:.0%}, LoRA on {n} labels {tuned:.0%}, two linear classifiers beside it."
    return bars_with_interval(bars, "accuracy", alt=alt, horizontal=True)


def gain_by_start(wordings, curve, labels: Sequence[int]) -> Html:
    """The same tuned model, counted from each possible start."""
    n = max(r["n_labels"] for r in curve.where(method="lora"))
    tuned = curve.where(method="lora", n_labels=n)
    rows = [
        {
            "start": f"prompt “{r['wording']}”",
            "valid": wordings.one(method="score", split="valid", wording=r["wording"])["accuracy"],
            "before": r["accuracy"],
            "gain": gap(tuned, [r], labels),
        }
        for r in wordings.where(method="score", split="test")
    ]
    rows.append(
        {
            "start": "always one label",
            "valid": "-",
            "before": mean(curve.where(method="majority")),
            "gain": gap(tuned, curve.where(method="majority"), labels),
        }
    )
    heads = {
        "start": "start",
        "valid": "on validation",
        "before": "on test",
        "gain": f"LoRA on {n} labels minus the start",
    }
    return table(rows, "One tuned model, six gains", heads, show={"gain": points})


def chosen_prompt(wordings) -> str:
    """The wording that one would choose: the best on validation."""
    return max(wordings.where(method="score", split="valid"), key=lambda r: r["accuracy"]["value"])["wording"]


def hundred(curve, shots, wordings, labels: Sequence[int]) -> Html:
    """Everything that the same 100 labels can be used for, set against the prompt that validation would choose."""
    word = chosen_prompt(wordings)
    start = [wordings.one(method="score", split="test", wording=word)]
    k = max(r["k"] for r in shots.where(method="random"))
    few = shots.where(method="random", k=k)
    rows = [{"method": f"no label, prompt “{word}”", "accuracy": start[0]["accuracy"], "gap": "-"}]
    rows.append(
        {
            "method": f"{k} examples in the prompt, calibrated",
            "accuracy": mean(few, calibrated),
            "gap": gap([r["calibrated"] for r in few], start, labels),
        }
    )
    for method in ("tfidf", "embeddings", "lora"):
        found = curve.where(method=method, n_labels=100)
        rows.append(
            {
                "method": f"{NAMES[method]}, 100 labels",
                "accuracy": mean(found),
                "gap": gap(found, start, labels),
            }
        )
    heads = {"method": "method", "accuracy": "accuracy", "gap": "minus the first row"}
    return table(rows, "What a hundred labels can be used for", heads, show={"gap": points})


# -- the private rule ----------------------------------------------------------------------------------------------------


def best(record, learner: str) -> list[Mapping]:
    """The rows of a learner at the most labels that it was given."""
    n = max(r["n_labels"] for r in record.where(method=learner))
    return record.where(method=learner, n_labels=n)


def ways(record) -> dict[str, list[Mapping]]:
    """Name -> rows (seeds) of each way to make the model follow the rule."""
    found = {"always one desk": record.where(method="majority")}
    k = record.params["k"]
    prompted = {
        "names": "names only",
        "rule": "rule in words",
        "examples": f"{k} examples",
        "rule and examples": f"rule, {k} examples",
    }
    found |= {name: record.where(method=m, split="test") for m, name in prompted.items()}
    found |= {
        f"{SHORT[m]}, {best(record, m)[0]['n_labels']} labels": best(record, m)
        for m in ("tfidf", "embeddings", "lora")
    }
    return found | {"trouble known": record.where(method="trouble known")}


def _of(part: str):
    return (lambda r: r["accuracy"]) if part == "all" else (lambda r: r[part])


def ways_figure(record) -> Figure:
    """Accuracy of each way to follow the rule, a menu over the wording of the complaints."""
    figures = {}
    for part, words in PARTS.items():
        bars = {name: mean(rows, _of(part)) for name, rows in ways(record).items()}
        alt = f"Right desk, {words}: " + "; ".join(f"{name} {m['value']:.0%}" for name, m in bars.items())
        figure = bars_with_interval(bars, "right desk", alt=alt, horizontal=True, line=(1 / 3, "chance"))
        figure.layout["xaxis"]["range"] = [0, 1]
        figures[words] = figure
    return with_menu(figures, "complaints")


def ways_table(record, labels: Sequence[int]) -> Html:
    """The same in numbers, with each way's paired difference to LoRA at the most labels."""
    lora, rows = best(record, "lora"), []
    for name, found in ways(record).items():
        against = "-" if found == lora else gap(lora, found, labels)
        rows.append(
            {
                "way": name,
                "accuracy": mean(found),
                "seen": mean(found, _of("seen")),
                "new": mean(found, _of("new")),
                "gap": against,
            }
        )
    heads = {
        "way": "way",
        "accuracy": "right desk",
        "seen": PARTS["seen"],
        "new": PARTS["new"],
        "gap": "LoRA minus this",
    }
    return table(rows, "Ways to follow a rule that nobody wrote down", heads, show={"gap": points})


def prompts_table(record) -> Html:
    """Each description of the desks on validation, as it comes and calibrated; which of them the test saw."""
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


def description(record) -> Html:
    """The description of the rule that did best on validation, in full."""
    name = record.one(method="rule", split="test")["prompt"]
    return prose(" ".join(record.one(method="rule", split="valid", prompt=name)["says"].split()))


def desk_curve(record) -> Figure:
    """Right desk against the number of labels, a menu over the wording of the complaints; the best prompt as a level line."""
    figures = {}
    for part, words in PARTS.items():
        series = {}
        for method in LEARNERS:
            sizes = sorted({r["n_labels"] for r in record.where(method=method)})
            series[NAMES[method]] = [
                (n, mean(record.where(method=method, n_labels=n), _of(part))) for n in sizes
            ]
        name, rows = best_prompt(record)
        ends = sorted({x for line in series.values() for x, _ in line})
        series[f"prompt: {name}"] = [(x, mean(rows, _of(part))) for x in (ends[0], ends[-1])]
        alt = f"Right desk against the number of labels, {words}: " + "; ".join(
            f"{n} up to {line[-1][1]['value']:.0%}" for n, line in series.items()
        )
        figures[words] = line_with_interval(series, "labelled complaints", "right desk", log_x=True, alt=alt)
    return with_menu(figures, "complaints")


def best_prompt(record) -> tuple[str, list[Mapping]]:
    """The prompt that is best on *test*, its name and rows: more than fair to prompts, which are thereby chosen with hindsight."""
    arms = {name: record.where(method=m, split="test") for m, name in PROMPTED.items()}
    return max(arms.items(), key=lambda a: mean(a[1])["value"])


def forecast_table(record) -> Html:
    """How far a forecast from few labels was off, by learner, task and law."""
    laws = {"flat": "it stays as it is", "line": "straight line in log n", "power": "power law of the error"}
    tasks = {"desks": "complaints", "tweets": "tweets"}
    rows = [
        {
            "task": tasks[r["task"]],
            "learner": NAMES[r["learner"]],
            "law": laws[r["law"]],
            "error": r["error"],
            "worst": f"{100 * max(r['by_seed'], key=abs):+.0f} points".replace("-", "−"),
        }
        for r in record.where(method="forecast")
    ]
    first, second = record.params["forecast"][:2]
    heads = {
        "task": "texts",
        "learner": "learner",
        "law": "forecast",
        "error": "forecast minus measured",
        "worst": "worst seed",
    }
    caption = f"The accuracy at {record.params['forecast'][-1]} labels, forecast from {first} and {second}"
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


def start_words(gains) -> Html:
    """What the seven tasks say of the start: the correlation of gain with a low start, and of the end with the start."""
    rows = gains_by_task(gains)
    start, end = [r["zero"] for r in rows], [r["zero"] + r["lora gain"] for r in rows]
    low = agreement(gains, "zero")
    with_end = stats.spearman(start, end)
    return prose(
        f"Rank correlation of the gain with a low start: {low['value']:+.2f} [{low['low']:+.2f}, {low['high']:+.2f}]; of the score after tuning with the score before: "
        f"{with_end['value']:+.2f} [{with_end['low']:+.2f}, {with_end['high']:+.2f}]; {len(rows)} tasks."
    )


def form_table(record) -> Html:
    """What tuning adds by each way of marking, and what of it is form."""
    rows = []
    for r in record.where(method="gain"):
        same = {"task": r["task"], "wording": r["wording"]}
        before, after = record.one(method="before", **same), record.where(method="lora", **same)
        rows.append(
            {
                "task": f"{r['task']}, prompt “{r['wording']}”",
                "read0": before["readable"],
                "read1": mean(after, lambda a: a["readable"]),
                "strict": r["strict"],
                "scored": r["scored"],
                "form": r["form"],
                "rival": mean(record.where(method="embeddings", task=r["task"])),
                "tuned": mean(after, lambda a: a["strict"]["accuracy"]),
            }
        )
    heads = {
        "task": "task",
        "read0": "readable before",
        "read1": "readable after",
        "strict": "gain, marked strictly",
        "scored": "gain, label-scored",
        "form": "the part that is form",
    }
    heads |= {"tuned": "tuned, marked strictly", "rival": f"{NAMES['embeddings']}, the same labels"}
    show = dict.fromkeys(("strict", "scored", "form"), points)
    return table(
        rows,
        f"What LoRA on {record.params['labels']} labels adds, and how much of it is that its answers can be read",
        heads,
        show=show,
    )


def form_figure(record) -> Figure:
    """Accuracy before and after tuning, marked strictly and label-scored, one group a task."""
    groups: dict[str, dict] = {
        "before, marked strictly": {},
        "before, label-scored": {},
        "after, marked strictly": {},
        "after, label-scored": {},
    }
    for r in record.where(method="gain"):
        same, name = {"task": r["task"], "wording": r["wording"]}, f"{r['task']} ({r['wording']})"
        for when, method in (("before", "before"), ("after", "lora")):
            found = record.where(method=method, **same)
            groups[f"{when}, marked strictly"][name] = mean(found, lambda a: a["strict"]["accuracy"])
            groups[f"{when}, label-scored"][name] = mean(found, lambda a: a["scored"]["accuracy"])
    alt = "Accuracy before and after LoRA, by how answers are marked: " + "; ".join(
        f"{n}: " + ", ".join(f"{t} {m['value']:.0%}" for t, m in c.items()) for n, c in groups.items()
    )
    return bars_with_interval(groups, "accuracy", alt=alt)


# -- the main result -----------------------------------------------------------------------------------------------------


def summary(curve, desks, labels: Sequence[int]) -> Html:
    """The chapter's main result in two sentences."""
    name, rows = best_prompt(desks)
    lora = best(desks, "lora")
    linear = max((best(desks, m) for m in ("tfidf", "embeddings")), key=lambda found: mean(found)["value"])
    return prose(
        f"A rule that nobody wrote down: the best prompt ({name}) finds the right desk for {pct(mean(rows))}, LoRA on {lora[0]['n_labels']} labels for {pct(mean(lora))}, "
        f"a linear classifier on the same labels for {pct(mean(linear))}. LoRA minus the classifier: {points(gap(lora, linear, labels))}."
    )


def live_table(record) -> Html:
    """A run of the reader's own: every way that was run at this scale."""
    rows = [
        {"way": name, "n": f"{len(found)}", "accuracy": mean(found)}
        for name, found in ways(record).items()
        if found
    ]
    return table(
        rows, f"A live run, scale {record.scale}", {"way": "way", "n": "seeds", "accuracy": "right desk"}
    )
