"""Figures and tables of the chapter *When accuracy is missing*, each a function of run records."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tunewise.comparison import compare_arrays
from tunewise.record import Record, Row
from tunewise.report import (
    Figure,
    Html,
    differences,
    gap,
    in_words,
    line_with_interval,
    mean,
    pct,
    points,
    prose,
    table,
    with_menu,
)

# The two classifiers are logistic regressions.
SHORT = {"lora": "LoRA", "embeddings": "MiniLM", "tfidf": "TF-IDF"}
PROMPTED = {
    "names": "names of the desks",
    "rule": "the rule in words",
    "examples": "examples",
    "rule and examples": "the rule and examples",
}
PARTS = {"accuracy": "all complaints", "seen": "worded as in training", "new": "worded anew"}


def by_size(record: Record, learner: str) -> dict[int, list[Row]]:
    """Number of labels -> rows (one a seed) of a learner, from few to many."""
    found = record.where(method=learner)
    return {n: [r for r in found if r["n_labels"] == n] for n in sorted({r["n_labels"] for r in found})}


def at_most_labels(record: Record) -> dict[str, list[Row]]:
    """``LoRA, 300 labels`` and so on -> rows of each learner at the most labels that it was given."""
    sizes = {m: by_size(record, m) for m in SHORT}
    return {f"{SHORT[m]}, {max(found)} labels": found[max(found)] for m, found in sizes.items() if found}


def best(arms: Mapping[str, Sequence[Row]], metric: str = "accuracy") -> str:
    """The name of the method with the highest mean."""
    return max(arms, key=lambda name: mean(arms[name], metric)["value"])


# -- the article's two pairs of figures ----------------------------------------------------------------------------------


def chosen_prompt(wordings: Record) -> Row:
    """What the prompt template that won on validation does on the test texts."""
    won = max(wordings.where(method="score", split="valid"), key=lambda r: r["accuracy"]["value"])
    return wordings.one(method="score", split="test", wording=won["wording"])


def starts_table(wordings: Record, curve: Record) -> Html:
    """The gain of one tuned model, counted from all that can stand before *after tuning*; a prompt is chosen by its validation accuracy."""
    (lora, tuned), *classifiers = at_most_labels(curve).items()
    valid = {f"prompt “{r['wording']}”": r["accuracy"] for r in wordings.where(method="score", split="valid")}
    starts = {f"prompt “{r['wording']}”": [r] for r in wordings.where(method="score", split="test")}
    starts |= {"always one label": curve.where(method="majority"), **dict(classifiers)}
    head = f"{lora}, minus the start"
    rows = [
        {"start": k, "on validation": valid.get(k, "-"), "on test": mean(v), head: gap(tuned, v)}
        for k, v in starts.items()
    ]
    return table(rows, f"One tuned model ({pct(mean(tuned))}), many gains", show={head: points})


def hundred(curve: Record, shots: Record, wordings: Record) -> Html:
    """Everything that the same 100 labels can be used for, set against the prompt template that validation chose."""
    start, k = chosen_prompt(wordings), max(r["k"] for r in shots.where(method="random"))
    few = shots.where(method="random", k=k)
    learned = {m: by_size(curve, m)[100] for m in ("tfidf", "embeddings", "lora")}
    over = compare_arrays([r.outcomes("calibrated.accuracy") for r in few], [start.outcomes("accuracy")])
    heads = ("method", "accuracy", "minus the first row", "LoRA minus this")
    found = [(f"no label, prompt “{start['wording']}”", mean([start]), "-", gap(learned["lora"], [start]))]
    found += [(f"{k} examples, calibrated", mean(few, "calibrated.accuracy"), over.metric(), "-")]
    found += [
        (f"{SHORT[m]}, 100 labels", mean(r), gap(r, [start]), "-" if m == "lora" else gap(learned["lora"], r))
        for m, r in learned.items()
    ]
    rows = [dict(zip(heads, row, strict=True)) for row in found]
    return table(rows, "What a hundred labels can be used for", show=dict.fromkeys(heads[2:], points))


# -- the private rule ----------------------------------------------------------------------------------------------------


def prompts(record: Record) -> dict[str, list[Row]]:
    """What the prompt has -> rows on the test complaints."""
    return {name: record.where(method=m, split="test") for m, name in PROMPTED.items()}


def methods(record: Record) -> dict[str, list[Row]]:
    """Name -> rows of each method to make the model follow the rule."""
    found = {"always one desk": record.where(method="majority"), **prompts(record), **at_most_labels(record)}
    return found | {"trouble known": record.where(method="trouble known")}


def methods_figure(record: Record) -> Figure:
    """LoRA minus each other method, on complaints worded as in training and on those worded anew."""
    lora, tuned = next(iter(at_most_labels(record).items()))
    others = {name: rows for name, rows in methods(record).items() if name != lora}
    gaps = {
        PARTS[part]: {f"{lora} − {name}": gap(tuned, rows, part) for name, rows in others.items()}
        for part in ("seen", "new")
    }
    return differences(gaps, "difference, right desk", f"Right desk: {in_words(gaps, points)}")


def methods_table(record: Record) -> Html:
    """The methods in numbers, with their paired difference to LoRA, of a record or of a live run."""
    lora, tuned = next(iter(at_most_labels(record).items()))
    rows = [
        {
            "method": name,
            **{words: mean(found, part) for part, words in PARTS.items()},
            "LoRA minus this": "-" if name == lora else gap(tuned, found),
        }
        for name, found in methods(record).items()
        if found
    ]
    return table(
        rows,
        f"The right desk, by a rule that nobody wrote down (scale {record.scale})",
        show={"LoRA minus this": points},
    )


def prompts_table(record: Record) -> Html:
    """Each description of the desks on validation, plain and calibrated; which of them the test saw."""
    used = {(m, record.one(method=m, split="test")["prompt"]) for m in ("names", "rule")}
    rows = [
        {
            "content of the prompt": PROMPTED[r["method"]],
            "prompt template": r["prompt"],
            "tokens": f"{r['prompt_tokens']:.0f}",
            "plain": r["accuracy"],
            "calibrated": r.metric("calibrated.accuracy"),
            "used on test": "yes" if (r["method"], r["prompt"]) in used else "",
        }
        for r in record.where(split="valid")
    ]
    return table(rows, "Prompts tried on the validation complaints")


def description(record: Record) -> Html:
    """The description of the rule that did best on validation, in full."""
    name = record.one(method="rule", split="test")["prompt"]
    return prose(" ".join(record.one(method="rule", split="valid", prompt=name)["says"].split()))


def desk_curve(record: Record) -> Figure:
    """Right desk against the number of labels, a menu over the wording of the complaints; the best prompt as a level line."""
    figures, sizes, name = {}, {m: by_size(record, m) for m in SHORT}, best(prompts(record))
    for part, words in PARTS.items():
        series = {
            SHORT[m]: [(n, mean(rows, part)) for n, rows in found.items()] for m, found in sizes.items()
        }
        level = mean(prompts(record)[name], part)
        series[f"prompt: {name}"] = [(n, level) for n in (min(sizes["lora"]), max(sizes["lora"]))]
        ends = in_words({line: dict(found[-1:])[found[-1][0]] for line, found in series.items()})
        alt = f"Right desk against the number of labels, {words}; at the most labels: {ends}"
        figures[words] = line_with_interval(series, "labelled complaints", "right desk", log_x=True, alt=alt)
    return with_menu(figures, "complaints")


def summary(desks: Record) -> Html:
    """The chapter's main result in two sentences."""
    (lora, tuned), *linear = at_most_labels(desks).items()
    prompt, rival = best(prompts(desks)), best(dict(linear))
    return prose(
        f"A rule that nobody wrote down: {lora}, finds the right desk for {pct(mean(tuned))}. Minus the best prompt ({prompt}) that is "
        f"{points(gap(tuned, prompts(desks)[prompt]))}; minus the better classifier on the same labels ({rival}) {points(gap(tuned, dict(linear)[rival]))}."
    )


# -- how far do few labels predict many? ---------------------------------------------------------------------------------


def _power(low: np.ndarray, high: np.ndarray, reach: float) -> np.ndarray:
    """The error rate is a power of n, without a floor: Hestness et al. 2017, arXiv 1712.00409."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(1 - (1 - high) * ((1 - high) / (1 - low)) ** reach, nan=1.0)


# Accuracy at two numbers of labels, and how far the third lies from the second in steps from first to second (of log n) -> accuracy there.
LAWS: dict[str, Callable] = {
    "it stays as it is": lambda low, high, reach: high,
    "straight line in log n": lambda low, high, reach: high + (high - low) * reach,
    "power law of the error": _power,
}


def forecasts(record: Record, plan: Sequence[int], learner: str) -> dict[str, tuple[dict, float]]:
    """Law -> forecast minus measured accuracy at the largest of three numbers of labels, and the same for the worst seed.

    A forecast is no mean of items: its interval over seeds and items is that of its linear approximation at each seed's scores (the
    delta method). Empty for a learner that was not run at all three numbers.
    """
    runs = [{r["seed"]: r.outcomes("accuracy") for r in by_size(record, learner).get(n, [])} for n in plan]
    seeds = sorted(set.intersection(*map(set, runs)))
    low, high, real = (np.array([run[s] for s in seeds]) for run in runs)
    reach, e, found = math.log(plan[2] / plan[1]) / math.log(plan[1] / plan[0]), 1e-6, {}
    for law, function in LAWS.items() if seeds else ():
        at = lambda x, y, f=function: np.clip(f(x, y, reach), 0, 1)  # noqa: E731
        x, y = low.mean(axis=1, keepdims=True), high.mean(axis=1, keepdims=True)
        by_item = at(x, y) - real
        by_item += (at(x + e, y) - at(x - e, y)) / (2 * e) * (low - x)
        by_item += (at(x, y + e) - at(x, y - e)) / (2 * e) * (high - y)
        error = compare_arrays(by_item, np.zeros((1, real.shape[1]))).metric()
        found[law] = error, max(by_item.mean(axis=1).tolist(), key=abs)
    return found


def forecast_table(desks: Record, **others: Record) -> Html:
    """How far a forecast from few labels was off, by learner, task and law; ``others`` are learning curves of other tasks."""
    plan = desks.params["forecast"]
    rows = [
        {
            "texts": task,
            "learner": words,
            "forecast": law,
            "forecast minus measured": error,
            "worst seed": f"{100 * worst:+.0f} points".replace("-", "−"),
        }
        for task, curve in {"complaints": desks, **others}.items()
        for learner, words in SHORT.items()
        for law, (error, worst) in forecasts(curve, plan, learner).items()
    ]
    caption = f"The accuracy at {plan[2]} labels, forecast from {plan[0]} and {plan[1]}"
    return table(rows, caption, show={"forecast minus measured": points})


def labels_measured(record: Record) -> dict[str, object]:
    """What the question of how many labels there are is answered with: LoRA at each number of labels, and the forecasts."""
    rows, plan = by_size(record, "lora"), record.params["forecast"]
    found: dict[str, object] = {f"LoRA, {n} labels": mean(r) for n, r in rows.items()}
    found[f"{plan[2]} labels minus {plan[1]}"] = points(gap(rows[plan[2]], rows[plan[1]]))
    told = forecasts(record, plan, "lora")
    return found | {f"forecast minus measured, {law}": points(error) for law, (error, _) in told.items()}


# -- tasks with different starts -----------------------------------------------------------------------------------------


def gain_by_start(record: Record) -> Figure:
    """The gain of LoRA on each task, from the lowest start to the highest."""
    found = {}
    for zero in sorted(record.where(method="zero-shot"), key=lambda r: r["accuracy"]["value"]):
        name = f"{zero['task']}, from {zero['accuracy']['value']:.0%}"
        found[name] = gap(record.where(method="lora", task=zero["task"]), [zero])
    title = f"gain of LoRA on {record.params['labels']} labels"
    return differences(found, title, f"Gain of LoRA, from the lowest start: {in_words(found, points)}")


def gains(before: Row, after: Sequence[Row]) -> dict[str, dict]:
    """What tuning adds to the strict accuracy (``strict``), to the label-scored one (``scored``), and to the first above the second
    (``form``)."""

    def above(rows: Sequence[Row]) -> list:
        return [np.subtract(r.outcomes("strict.accuracy"), r.outcomes("scored.accuracy")) for r in rows]

    found = {how: gap(after, [before], f"{how}.accuracy") for how in ("strict", "scored")}
    return found | {"form": compare_arrays(above(after), above([before]), before.groups).metric()}


def form_table(record: Record) -> Html:
    """What tuning adds on each task, scored strictly and by labels; what can be read, and what of the gain is form."""
    rows = []
    for before in record.where(method="before"):
        same = {"task": before["task"], "wording": before["wording"]}
        after = record.where(method="lora", **same)
        row = {"task": "{task}, prompt “{wording}”".format(**same), "read0": before["readable"]}
        row |= {
            "read1": mean(after, "readable"),
            **gains(before, after),
            "tuned": mean(after, "strict.accuracy"),
        }
        rows.append(row | {"rival": mean(record.where(method="embeddings", task=before["task"]))})
    heads = {"task": "task", "read0": "readable before", "read1": "readable after"}
    heads |= {
        "strict": "gain, scored strictly",
        "scored": "gain, label-scored",
        "form": "the part that is form",
    }
    heads |= {"tuned": "tuned, scored strictly", "rival": "MiniLM, the same labels"}
    caption = f"What LoRA on {record.params['labels']} labels adds, and how much of it is that its answers can be read"
    return table(rows, caption, heads, show=dict.fromkeys(("strict", "scored", "form"), points))
