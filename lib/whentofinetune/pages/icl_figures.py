"""Figures and tables of the chapter *In-context learning or fine-tuning?*, each a function of run records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tunewise import stats
from tunewise.record import Row
from tunewise.report.figures import (
    Figure,
    Html,
    bars_with_interval,
    line_with_interval,
    styled,
    table,
    with_menu,
    with_slider,
)
from tunewise.report.numbers import pct, plain, points

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
    "vote": "vote of the nearest, no LLM",
}


# -- over seeds ----------------------------------------------------------------------------------------------------------


def mean(
    rows: Sequence[Mapping], metric: Callable[[Mapping], Mapping] = lambda r: r["accuracy"]
) -> dict | None:
    """The mean of a metric over rows that differ by seed only, with its interval; None for no rows."""
    return stats.mean_over_seeds([metric(r) for r in rows]) if rows else None


def gap(a: Sequence[Row], b: Sequence[Row]) -> dict:
    """Accuracy of ``a`` minus that of ``b`` (rows that differ by seed), paired by test item."""
    of_a, of_b = ([r.outcomes("accuracy") for r in rows] for rows in (a, b))
    return stats.difference_over_seeds(of_a, of_b, [1] * len(of_a[0]))


def sizes(record, method: str, setting: str = "n_labels") -> list[int]:
    """The numbers of labels (or of examples, for ``setting="k"``) at which a method was run, in order."""
    return sorted({r[setting] for r in record.where(method=method)})


def calibrated(row: Mapping) -> dict:
    return row["calibrated"]["accuracy"]


# -- the floor ----------------------------------------------------------------------------------------------------------


def without_a_model(curve) -> Html:
    """What needs no language model: a constant answer, a word list, logistic regression on word counts."""
    found = [(m, "none", curve.where(method=m)) for m in ("majority", "lexicon")]
    found += [("tfidf", str(n), curve.where(method="tfidf", n_labels=n)) for n in sizes(curve, "tfidf")]
    rows = [{"method": NAMES[m], "labels": n, "accuracy": mean(r)} for m, n, r in found]
    return table(rows, "What can be had without a language model")


# -- the wording -------------------------------------------------------------------------------------------------------


def wordings_figure(record, chance: float) -> Figure:
    """Zero-shot accuracy by wording: scored over the labels, and generated freely."""
    scored = {r["wording"]: r["accuracy"] for r in record.where(method="score", split="test")}
    free = {r["wording"]: r["accuracy"] for r in record.where(method="generate")}
    low, high = (f(m["value"] for m in scored.values()) for f in (min, max))
    return bars_with_interval(
        {"scored over the three labels": scored, "generated, then read": free},
        "accuracy",
        x_title="wording of the prompt",
        alt=f"Accuracy of five wordings of the same question; scored, they run from {low:.0%} to {high:.0%}.",
        line=(chance, "chance"),
    )


def wordings_table(record) -> Html:
    """Each wording: validation and test accuracy, and how many free answers could be read."""
    valid, test, free = (
        {r["wording"]: r for r in record.where(method=method, split=split)}
        for method, split in (("score", "valid"), ("score", "test"), ("generate", "test"))
    )
    rows = [
        {
            "wording": w,
            "valid": valid[w]["accuracy"],
            "test": r["accuracy"],
            "parsed": free[w]["parsed"] if w in free else None,
            "free": free[w]["accuracy"] if w in free else None,
        }
        for w, r in test.items()
    ]
    heads = {
        "wording": "wording",
        "valid": "scored, validation",
        "test": "scored, test",
        "parsed": "readable free answers",
        "free": "free, test",
    }
    return table(rows, "The same model and tweets, asked in five ways", heads)


# -- examples in the prompt ----------------------------------------------------------------------------------------------


def shots_figure(record, tuned=None) -> Figure:
    """Accuracy against the number of examples in the prompt, by how they were chosen, plain and calibrated."""
    zero = record.one(method="zero-shot")
    series: dict[str, list] = {}
    for method in ("random", "balanced", "nearest", "vote"):
        if ks := sizes(record, method, "k"):
            series[NAMES[method]] = [(k, mean(record.where(method=method, k=k))) for k in ks]
    random = [
        (k, mean(record.where(method="random", k=k), calibrated)) for k, _ in series.get(NAMES["random"], [])
    ]
    series["few-shot, random, calibrated"] = random
    series["zero-shot"] = [(k, zero["accuracy"]) for k, _ in random]
    return line_with_interval(
        series,
        "examples in the prompt",
        "accuracy",
        log_x=True,
        alt="Accuracy against the number of in-context examples, for random, balanced and nearest examples, with calibration, "
        "and for a vote of the nearest labelled tweets without a language model.",
    )


def swallowed_slider(record, labels: Sequence[str]) -> Figure:
    """A slider over k: which share of the answers each label gets, before and after calibration; one seed."""
    figures = {}
    seed = min(record.seeds)
    rows = {0: record.one(method="zero-shot")}
    rows |= {r["k"]: r for r in record.where(method="random", seed=seed)}
    for k, r in sorted(rows.items()):
        shares = {}
        for name, one in (("as it comes", r), ("calibrated", r["calibrated"])):
            counts = np.bincount(one["predictions"], minlength=len(labels))
            shares[name] = {label: float(c / counts.sum()) for label, c in zip(labels, counts, strict=True)}
        text = (
            f"{k} examples, {r['prompt_tokens']:.0f} prompt tokens, {r['seconds']:.0f} s for {r['accuracy']['n']} tweets: "
            f"{r['accuracy']['value']:.0%} right, calibrated {r['calibrated']['accuracy']['value']:.0%}"
        )
        figure = bars_with_interval(
            shares,
            "share of the answers",
            alt=f"{text}. {_words(shares)}",
            title=text,
            line=(1 / len(labels), "true share"),
        )
        figure.layout["yaxis"]["range"] = [0, 1]
        figures[str(k)] = figure
    return with_slider(figures, "examples in the prompt")


def _words(shares: Mapping) -> str:
    return "; ".join(
        f"{name}: " + ", ".join(f"{label} {v:.0%}" for label, v in cells.items())
        for name, cells in shares.items()
    )


def by_position(row: Row) -> list[dict]:
    """Of a row of ``example_position``: how often the answer is right for each position of the decisive example."""
    right = np.reshape(row.outcomes("accuracy"), (-1, row["k"]))
    return [stats.proportion(int(at.sum()), len(at)) for at in right.T]


def any_position(row: Row) -> dict:
    """The same over all positions; its interval is over arrangements, since those of one arrangement share their prompt."""
    right = np.reshape(row.outcomes("accuracy"), (-1, row["k"]))
    return stats.bootstrap(right.mean(axis=1)) | {"n": right.size}


def position_figure(record) -> Figure:
    """A menu over k: how often the answer is right, by where in the prompt the decisive example stands."""
    figures = {}
    for r in sorted(record.where(method="position"), key=lambda r: r["k"]):
        k, right = r["k"], by_position(r)
        series = {"right": list(enumerate(right, 1)), "chance": [(1, 0.25), (k, 0.25)]}
        first, last = right[0]["value"], right[-1]["value"]
        figure = line_with_interval(
            series,
            "position of the decisive example (the last is next to the question)",
            "right answers",
            alt=f"With {k} examples, the answer is right {first:.0%} of the time when the decisive example comes first, {last:.0%} when last.",
        )
        figure.layout["yaxis"]["range"] = [0, 1]
        figures[f"{k} examples"] = figure
    return with_menu(figures, "number of examples")


# -- fine-tuning -------------------------------------------------------------------------------------------------------


def curve_figure(curve, shots=None) -> Figure:
    """Accuracy against the number of labels, for everything that learns from labels, and the best few-shot prompt."""
    series = {}
    for method in ("lora", "embeddings", "tfidf"):
        if ns := sizes(curve, method):
            series[NAMES[method]] = [(n, mean(curve.where(method=method, n_labels=n))) for n in ns]
    if shots is not None:
        series["few-shot, random, calibrated"] = [
            (k, mean(shots.where(method="random", k=k), calibrated))
            for k in sizes(shots, "random", "k")
            if k >= 8
        ]
    if found := curve.where(method="lexicon"):
        ns = sizes(curve, "lora")
        series[NAMES["lexicon"]] = [(n, found[0]["accuracy"]) for n in (ns[0], ns[-1])]
    return line_with_interval(
        series,
        "labelled examples",
        "accuracy",
        log_x=True,
        alt="Accuracy against the number of labelled examples, 10 to 700, for LoRA and two classifiers that are no "
        "language model, with the word list and calibrated few-shot prompts beside them.",
    )


def equal_labels(curve, shots) -> Html:
    """LoRA against its rivals at equal labels, each difference paired by test item."""
    rows = []
    for n in sizes(curve, "lora"):
        lora = curve.where(method="lora", n_labels=n)
        rivals = {m: curve.where(method=m, n_labels=n) for m in ("embeddings", "tfidf")}
        rivals["zero"] = shots.where(method="zero-shot")
        rows.append(
            {"labels": n, "lora": mean(lora), **{name: gap(lora, rows_) for name, rows_ in rivals.items()}}
        )
    heads = {
        "labels": "labels",
        "lora": "LoRA",
        "zero": "minus zero-shot",
        "embeddings": "minus MiniLM embeddings",
        "tfidf": "minus TF-IDF",
    }
    show = dict.fromkeys(("zero", "embeddings", "tfidf"), points)
    return table(rows, "LoRA on the embedded model against its rivals at equal labels", heads, show=show)


def methods_figure(record) -> Figure:
    """Accuracy of LoRA, QLoRA and full fine-tuning on the same labels."""
    methods = [m for m in ("lora", "qlora", "full") if record.where(method=m)]
    ns = sorted({r["n_labels"] for r in record.results})
    bars = {NAMES[m]: {f"{n} labels": mean(record.where(method=m, n_labels=n)) for n in ns} for m in methods}
    words = "; ".join(
        f"{name} " + ", ".join(f"{n} {v['value']:.0%}" for n, v in cells.items())
        for name, cells in bars.items()
    )
    return bars_with_interval(
        bars, "accuracy", alt=f"Accuracy of three ways to fine-tune the same model: {words}."
    )


def methods_table(record) -> Html:
    """The same in numbers, with each method's paired difference to LoRA and what it trains."""
    rows = []
    for n in sorted({r["n_labels"] for r in record.results}):
        lora = record.where(method="lora", n_labels=n)
        for m in ("lora", "qlora", "full"):
            if found := record.where(method=m, n_labels=n):
                row = {"labels": n, "method": NAMES[m], "accuracy": mean(found)}
                row["gap"] = "-" if m == "lora" else gap(found, lora)
                rows.append(row | {"trainable": found[0]["trainable"]})
    heads = {
        "labels": "labels",
        "method": "method",
        "accuracy": "accuracy",
        "gap": "minus LoRA",
        "trainable": "trained parameters",
    }
    return table(
        rows, "Three ways to fine-tune the same model on the same labels", heads, show={"gap": points}
    )


# -- prediction, cost, leaks -----------------------------------------------------------------------------------------------


def gains_figure(record) -> Figure:
    """Gain of LoRA against gain of few-shot, one point a task."""
    rows = gains_by_task(record)
    data = [
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": [r["few-shot gain"] for r in rows],
            "y": [r["lora gain"] for r in rows],
            "text": [r["task"] for r in rows],
            "textposition": "top center",
            "marker": {"size": 11},
            "hovertemplate": "%{text}: few-shot %{x:+.0%}, LoRA %{y:+.0%}<extra></extra>",
        }
    ]
    low = min(r["few-shot gain"] for r in rows)
    high = max(r["few-shot gain"] for r in rows)
    layout = {
        "xaxis": {
            "title": {"text": f"gain of {record.params['k']} examples in the prompt"},
            "tickformat": "+.0%",
            "range": [low - 0.1, high + 0.1],
        },
        "yaxis": {
            "title": {"text": f"gain of LoRA on {record.params['labels']} labels"},
            "tickformat": "+.0%",
        },
        "showlegend": False,
    }
    alt = "Gain of LoRA against gain of few-shot prompting over zero-shot: " + "; ".join(
        f"{r['task']} {r['few-shot gain']:+.0%} and {r['lora gain']:+.0%}" for r in rows
    )
    return Figure(data, styled(layout), alt)


def gains_table(record) -> Html:
    """The three scores behind the two gains, task by task."""
    methods = {"zero": "zero-shot", "few": "few-shot", "lora": "lora"}
    rows = [
        {"task": t, **{head: mean(record.where(method=m, task=t)) for head, m in methods.items()}}
        for t in record.params["tasks"]
    ]
    heads = {
        "task": "task",
        "zero": "zero-shot",
        "few": f"{record.params['k']} examples",
        "lora": f"LoRA, {record.params['labels']} labels",
    }
    return table(rows, "Seven tasks on real snippets, three ways", heads)


def gains_by_task(record) -> list[dict]:
    """For each task its zero-shot accuracy, and how much few-shot and LoRA add to it (means over seeds)."""
    out = []
    for t in record.params["tasks"]:
        few, lora, zero = (
            mean(record.where(method=m, task=t))["value"] for m in ("few-shot", "lora", "zero-shot")
        )
        out.append({"task": t, "zero": zero, "few-shot gain": few - zero, "lora gain": lora - zero})
    return out


def agreement(record, by: str) -> dict:
    """Rank correlation over tasks of LoRA's gain with another column of :func:`gains_by_task`; ``zero`` counts from high to low."""
    rows = gains_by_task(record)
    other = [-r[by] if by == "zero" else r[by] for r in rows]
    return stats.spearman(other, [r["lora gain"] for r in rows])


def latency_figure(record) -> Figure:
    """Seconds a call against prompt tokens, with and without keeping the examples' computation, and the fitted line."""
    rows = sorted(record.where(method="latency"), key=lambda r: r["prompt_tokens"])
    fit = latency_fit(record)
    ends = [rows[0]["prompt_tokens"], rows[-1]["prompt_tokens"]]
    series = {
        "each call on its own": [(r["prompt_tokens"], r["seconds"]) for r in rows],
        "examples computed once (prefix cache)": [(r["prompt_tokens"], r["seconds_cached"]) for r in rows],
        "straight line through the first": [(x, fit["intercept"] + fit["slope"] * x) for x in ends],
    }
    return line_with_interval(
        series,
        "prompt tokens a call",
        "seconds a call",
        percent=False,
        alt=f"Seconds a call grow from {rows[0]['seconds']['value']:.2f} without examples to {rows[-1]['seconds']['value']:.2f} with "
        f"{rows[-1]['k']}; with a prefix cache they stay at about {rows[-1]['seconds_cached']:.2f}.",
    )


def latency_fit(record) -> dict:
    """Least-squares line of seconds on prompt tokens: intercept (s), slope (s a token), share of variance explained."""
    x = np.array([r["prompt_tokens"] for r in record.where(method="latency")])
    y = np.array([r["seconds"]["value"] for r in record.where(method="latency")])
    slope, intercept = np.polyfit(x, y, 1)
    r2 = 1 - ((y - intercept - slope * x) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    return {"slope": float(slope), "intercept": float(intercept), "r2": float(r2)}


def leaks_table(record) -> Html:
    """How often a planted secret came out, by where it had been planted."""
    words = {
        "untouched": "nowhere (the model as it comes)",
        "prompt": "in one example of the prompt",
        "answer": "in training, as an answer",
        "input": "in training, in the input (no loss on it)",
    }
    rows = [
        {
            "where": words[r.get("place", r["method"])],
            "n": f"{r['k']} examples" if "k" in r else times(r["repeats"]) if "repeats" in r else "-",
            "out": r["extracted"],
            "bits": plain(exposure(r)),
        }
        for r in record.results
    ]
    heads = {
        "where": "the code stood",
        "n": "how much",
        "out": "written out when asked",
        "bits": "exposure, bits (median)",
    }
    return table(rows, "A six-digit code, planted and asked for", heads)


def exposure(row: Row) -> float:
    """Median exposure (bits) of the secrets of a row of ``leaks``."""
    return float(np.median(row.outcomes("exposure")))


def times(n: int) -> str:
    """``once``, ``4 times``."""
    return "once" if n == 1 else f"{n} times"


def live_table(record, key: str, heading: str) -> Html:
    """The rows of a run of the reader's own: method, the number that varies, accuracy."""
    rows = [
        {"method": NAMES[r["method"]], "n": str(r.get(key, "-")), "accuracy": r["accuracy"]}
        for r in record.results
    ]
    return table(
        rows, f"A live run, scale {record.scale}", {"method": "method", "n": heading, "accuracy": "accuracy"}
    )


def summary(wordings, shots, curve) -> str:
    """The chapter's main result in one sentence, from the records."""
    zero = [r["accuracy"]["value"] for r in wordings.where(method="score", split="test")]
    best = max(
        (
            mean(shots.where(method="random", k=k), calibrated)
            for k in {r["k"] for r in shots.where(method="random")}
        ),
        key=lambda m: m["value"],
    )
    lora = mean(curve.where(method="lora", n_labels=100))
    return (
        f"Zero-shot, the wording alone moves accuracy between {min(zero):.0%} and {max(zero):.0%}. The best calibrated few-shot prompt reaches "
        f"{pct(best)}; LoRA on 100 labels reaches {pct(lora)}."
    )
