"""Figures and tables of the chapter *In-context learning or fine-tuning?*, each a function of run records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunewise import stats
from tunewise.record import Record, Row
from tunewise.report import (
    Figure,
    Html,
    bars_with_interval,
    differences,
    gap,
    in_words,
    line_with_interval,
    mean,
    pct,
    plain,
    points,
    prose,
    table,
    with_menu,
    with_slider,
)

NAMES = {
    "lora": "LoRA",
    "qlora": "QLoRA",
    "full": "full fine-tuning",
    "tfidf": "TF-IDF + logistic regression",
    "embeddings": "MiniLM embeddings + logistic regression",
    "majority": "always one label",
    "lexicon": "VADER's word list",
    "zero-shot": "zero-shot",
    "random": "few-shot, random",
    "balanced": "few-shot, balanced",
    "nearest": "few-shot, nearest",
    "vote": "vote of the nearest, no language model",
}
CALIBRATED = "calibrated.accuracy"


def sizes(record: Record, method: str, setting: str = "n_labels") -> list[int]:
    """The numbers of labels (or of examples, for ``setting="k"``) at which a method was run, in order."""
    return sorted({r[setting] for r in record.where(method=method)})


def summary(wordings: Record, shots: Record, curve: Record) -> Html:
    """The chapter's main result in one sentence."""
    zero = [r["accuracy"]["value"] for r in wordings.where(method="score", split="test")]
    few = {k: mean(shots.where(method="random", k=k), CALIBRATED) for k in sizes(shots, "random", "k")}
    best = max(few, key=lambda k: few[k]["value"])
    return prose(
        f"Without examples, the prompt template alone moves accuracy between {pct(min(zero))} and {pct(max(zero))}. The best few-shot prompt, with k = {best} and "
        f"calibrated, reaches {pct(few[best])}; LoRA on 100 labels reaches {pct(mean(curve.where(method='lora', n_labels=100)))}."
    )


def without_a_model(curve: Record) -> Html:
    """What needs no language model: a constant answer, a word list, logistic regression on word counts."""
    found = [(m, "none", curve.where(method=m)) for m in ("majority", "lexicon")]
    found += [("tfidf", str(n), curve.where(method="tfidf", n_labels=n)) for n in sizes(curve, "tfidf")]
    rows = [{"method": NAMES[m], "labels": n, "accuracy": mean(r)} for m, n, r in found]
    return table(rows, "What can be had without a language model")


# -- the prompt ----------------------------------------------------------------------------------------------------------


def templates_table(record: Record) -> Html:
    """Each prompt template: validation and test accuracy, and how many generated answers could be read."""
    rows = []
    for test in record.where(method="score", split="test"):
        valid = record.one(method="score", split="valid", wording=test["wording"])
        (free,) = record.where(method="generate", wording=test["wording"]) or [{}]
        scored = {
            "prompt template": test["wording"],
            "validation": valid["accuracy"],
            "test": test["accuracy"],
        }
        rows.append(scored | {"readable": free.get("parsed"), "generated, test": free.get("accuracy")})
    heads = {k: k for k in ("prompt template", "validation", "test")}
    heads |= {"readable": "generated answers that could be read", "generated, test": "generated, test"}
    return table(rows, "The same model and tweets, five prompt templates", heads)


def shots_figure(record: Record) -> Figure:
    """Accuracy against the number of examples in the prompt, by how they were chosen, as scored and calibrated."""
    arms = [(m, "accuracy", NAMES[m]) for m in ("random", "balanced", "nearest", "vote")]
    arms.append(("random", CALIBRATED, "few-shot, random, calibrated"))
    series = {
        name: [(k, mean(record.where(method=m, k=k), metric)) for k in sizes(record, m, "k")]
        for m, metric, name in arms
    }
    series = {name: found for name, found in series.items() if found}
    zero = mean(record.where(method="zero-shot"))
    series["zero-shot"] = [(k, zero) for k in sizes(record, "random", "k")]
    alt = f"Accuracy against the number of in-context examples: {in_words({n: dict(s) for n, s in series.items()})}"
    return line_with_interval(series, "examples in the prompt", "accuracy", alt, log_x=True)


def swallowed_slider(record: Record, labels: Sequence[str]) -> Figure:
    """A slider over k: which share of the answers each label gets, before and after calibration; one seed."""
    figures = {}
    for r in [record.one(method="zero-shot"), *record.where(method="random", seed=min(record.seeds))]:
        shares = {}
        for name, predictions in (
            ("as scored", r["predictions"]),
            ("calibrated", r["calibrated"]["predictions"]),
        ):
            counts = np.bincount(predictions, minlength=len(labels)) / len(predictions)
            shares[name] = dict(zip(labels, counts.tolist(), strict=True))
        title = (
            f"{r['k']} examples, {r['prompt_tokens']:.0f} prompt tokens: {pct(r['accuracy']['value'])} right, "
            f"calibrated {pct(r[CALIBRATED]['value'])}"
        )
        chance = (1 / len(labels), "true share")
        alt = f"{title}. {in_words(shares)}"
        figures[str(r["k"])] = bars_with_interval(
            shares, "share of the answers", alt, title=title, line=chance
        )
        figures[str(r["k"])].layout["yaxis"]["range"] = [0, 1]
    return with_slider(figures, "examples in the prompt")


def by_position(row: Row) -> list[dict]:
    """Of a row of ``example_position``: how often the answer is right for each position of the decisive example."""
    right = np.reshape(row.outcomes("accuracy"), (-1, row["k"]))
    return [stats.proportion(int(at.sum()), len(at)) for at in right.T]


def position_figure(record: Record) -> Figure:
    """A menu over k: how often the answer is right, by where in the prompt the decisive example stands."""
    figures = {}
    for r in sorted(record.where(method="position"), key=lambda r: r["k"]):
        right = dict(enumerate(by_position(r), 1))
        series = {"right": list(right.items()), "chance": [(1, 0.25), (r["k"], 0.25)]}
        ends = {"first": right[1], "last": right[r["k"]], "at any position": mean([r])}
        alt = f"With {r['k']} examples, right answers by position of the decisive example: {in_words(ends)}."
        x_title = "position of the decisive example (the last is next to the question)"
        figures[f"{r['k']} examples"] = line_with_interval(series, x_title, "right answers", alt)
        figures[f"{r['k']} examples"].layout["yaxis"]["range"] = [0, 1]
    return with_menu(figures, "number of examples")


# -- fine-tuning -------------------------------------------------------------------------------------------------------


def curve_figure(curve: Record, shots: Record | None = None) -> Figure:
    """Accuracy against the number of labels, for everything that learns from labels, and calibrated few-shot prompts."""
    series = {
        NAMES[m]: [(n, mean(curve.where(method=m, n_labels=n))) for n in sizes(curve, m)]
        for m in ("lora", "embeddings", "tfidf")
        if curve.where(method=m)
    }
    if shots is not None:
        ks = [k for k in sizes(shots, "random", "k") if k >= 8]
        series["few-shot, random, calibrated"] = [
            (k, mean(shots.where(method="random", k=k), CALIBRATED)) for k in ks
        ]
    if found := curve.where(method="lexicon"):
        series[NAMES["lexicon"]] = [
            (n, mean(found)) for n in sizes(curve, "lora")[:: len(sizes(curve, "lora")) - 1]
        ]
    alt = f"Accuracy against the number of labelled examples: {in_words({n: dict(s) for n, s in series.items()})}"
    return line_with_interval(series, "labelled examples", "accuracy", alt, log_x=True)


def equal_labels(curve: Record, shots: Record) -> Figure:
    """LoRA minus its rivals at equal labels, each difference paired by test item."""
    rivals = {
        "minus zero-shot": lambda n: shots.where(method="zero-shot"),
        "minus MiniLM embeddings": lambda n: curve.where(method="embeddings", n_labels=n),
        "minus TF-IDF": lambda n: curve.where(method="tfidf", n_labels=n),
    }
    series = {
        name: {
            f"{n} labels": gap(curve.where(method="lora", n_labels=n), rows(n)) for n in sizes(curve, "lora")
        }
        for name, rows in rivals.items()
    }
    alt = f"Accuracy of LoRA minus that of its rivals at equal labels: {in_words(series, points)}"
    return differences(series, "accuracy of LoRA minus that of the rival", alt)


def methods_table(record: Record) -> Html:
    """LoRA, QLoRA and full fine-tuning on the same labels, each with its paired difference to LoRA and what it trains."""
    rows = []
    for n in sorted({r["n_labels"] for r in record.results}):
        lora = record.where(method="lora", n_labels=n)
        for m in ("lora", "qlora", "full"):
            if found := record.where(method=m, n_labels=n):
                row = {"labels": n, "method": NAMES[m], "accuracy": mean(found)}
                row["minus LoRA"] = "-" if m == "lora" else gap(found, lora)
                rows.append(row | {"trainable parameters": found[0]["trainable"]})
    return table(
        rows, "Three methods to fine-tune the same model on the same labels", show={"minus LoRA": points}
    )


def live_table(record: Record, key: str, heading: str) -> Html:
    """The rows of a run of the reader's own: method, the number that varies, accuracy."""
    rows = [
        {"method": NAMES[r["method"]], heading: str(r.get(key, "-")), "accuracy": r["accuracy"]}
        for r in record.results
    ]
    return table(rows, f"A live run, scale {record.scale}")


# -- prediction, cost, leaks -----------------------------------------------------------------------------------------------


def gains_by_task(record: Record) -> list[dict]:
    """For each task its zero-shot accuracy, and how much examples in the prompt and LoRA add to it, paired by item."""
    rows = []
    for t in record.params["tasks"]:
        zero, few, lora = (record.where(method=m, task=t) for m in ("zero-shot", "few-shot", "lora"))
        rows.append({"task": t, "zero-shot": mean(zero), "examples": gap(few, zero), "lora": gap(lora, zero)})
    return rows


def gains_table(record: Record) -> Html:
    """What examples and LoRA add to the zero-shot accuracy of each task."""
    heads = {
        "task": "task",
        "zero-shot": "zero-shot",
        "examples": f"gain from {record.params['k']} examples",
        "lora": f"gain from LoRA, {record.params['labels']} labels",
    }
    show = {"examples": points, "lora": points}
    return table(
        gains_by_task(record), "What examples in the prompt and LoRA add, task by task", heads, show=show
    )


def gains_figure(record: Record) -> Figure:
    """Gain from LoRA against gain from examples in the prompt, one point a task."""
    rows = gains_by_task(record)
    x, y = ([r[name]["value"] for r in rows] for name in ("examples", "lora"))
    trace = {
        "type": "scatter",
        "mode": "markers+text",
        "x": x,
        "y": y,
        "text": [r["task"] for r in rows],
        "textposition": "top center",
        "marker": {"size": 11},
        "hovertemplate": "%{text}: examples %{x:+.0%}, LoRA %{y:+.0%}<extra></extra>",
    }
    axes = [
        {"title": {"text": f"gain from {what}"}, "tickformat": "+.0%"}
        for what in (
            f"{record.params['k']} examples in the prompt",
            f"LoRA on {record.params['labels']} labels",
        )
    ]
    axes[0]["range"] = [min(x) - 0.1, max(x) + 0.1]
    words = in_words({r["task"]: {"examples": r["examples"], "LoRA": r["lora"]} for r in rows}, points)
    layout = {"xaxis": axes[0], "yaxis": axes[1], "showlegend": False}
    return Figure([trace], layout, f"Gains over zero-shot, task by task: {words}")


def calls(record: Record) -> list[Row]:
    """The rows of ``prompt_cost``, from no examples to the most."""
    return sorted(record.where(method="latency"), key=lambda r: r["k"])


def latency_fit(record: Record) -> dict[str, float]:
    """Least-squares line of seconds on prompt tokens: intercept (s), slope (s a token), share of variance explained."""
    x, y = np.array([(r["prompt_tokens"], r["seconds"]["value"]) for r in calls(record)]).T
    slope, intercept = np.polyfit(x, y, 1)
    r2 = 1 - ((y - intercept - slope * x) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    return {"slope": float(slope), "intercept": float(intercept), "r2": float(r2)}


def latency_figure(record: Record) -> Figure:
    """Seconds a call against prompt tokens, with and without a prefix cache, and the fitted line."""
    rows, fit = calls(record), latency_fit(record)
    series = {
        "each call on its own": [(r["prompt_tokens"], r["seconds"]) for r in rows],
        "examples computed once (prefix cache)": [(r["prompt_tokens"], r["seconds_cached"]) for r in rows],
        "straight line through the first": [
            (r["prompt_tokens"], fit["intercept"] + fit["slope"] * r["prompt_tokens"])
            for r in (rows[0], rows[-1])
        ],
    }
    alt = f"Seconds a call against prompt tokens: {'; '.join(f'{k}: {v}' for k, v in latency_measured(record).items())}."
    return line_with_interval(series, "prompt tokens a call", "seconds a call", alt, percent=False)


def latency_measured(record: Record) -> dict[str, str]:
    """What the verdict on C28 shows: tokens and seconds a call without examples, with 16 and with the most, and the line."""
    rows, fit = calls(record), latency_fit(record)
    said = {
        f"{r['k']} examples": f"{r['prompt_tokens']:.0f} tokens, {plain(r['seconds'], 's')}; with a prefix cache {r['seconds_cached']:.2f} s"
        for r in rows
        if r["k"] in (0, 16, rows[-1]["k"])
    }
    return said | {"straight line": f"{1000 * fit['slope']:.2f} ms a token, R² {fit['r2']:.3f}"}


def exposure(row: Row) -> float:
    """Median exposure (bits) of the secrets of a row of ``leaks``."""
    return float(np.median(row.outcomes("exposure")))


def leaks_table(record: Record) -> Html:
    """How often a planted secret came out, by where it had been planted."""
    words = {
        "untouched": "nowhere (base model)",
        "prompt": "in one example of the prompt",
        "answer": "in training, in the completion",
        "input": "in training, in the prompt (no loss on it)",
    }
    rows = []
    for r in record.results:
        often = {None: "-", 1: "once"}.get(r.get("repeats"), f"{r.get('repeats')} times")
        row = {"the code stood": words[r.get("place", r["method"])]}
        row["how much"] = f"{r['k']} examples" if "k" in r else often
        rows.append(
            row | {"generated when asked": r["extracted"], "exposure, bits (median)": plain(exposure(r))}
        )
    return table(rows, "A six-digit code, planted and asked for")
