"""Figures and tables of the chapter *New abilities*, each a function of run records."""

from __future__ import annotations

from itertools import product

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
)

# -- an invented operation ---------------------------------------------------------------------------------------------

LISTS = {"same": "new lists of trained lengths", "longer": "longer lists than any in training"}


def sizes(record: Record, task: str = "frell") -> list[int]:
    """The numbers of training examples, ascending."""
    return sorted({r["n_labels"] for r in record.where(method="pretrained", task=task)})


def average(found: list[dict]) -> dict | float:
    """Figures of rows that keep no outcome an item: one with its interval, of several seeds the mean alone."""
    return found[0] if len(found) == 1 else sum(m["value"] for m in found) / len(found)


def operation_methods(record: Record) -> dict[str, list[Row]]:
    """Everything that answered the invented operation; of trained models the largest number of examples."""
    found = {
        "the bare question": record.where(method="untouched"),
        "the rule in words": record.where(method="described"),
    }
    for k in sorted({r["k"] for r in record.where(method="few-shot")}):
        found[f"{k} examples in the prompt"] = record.where(method="few-shot", k=k)
        found[f"the rule and {k} examples"] = record.where(method="described and few-shot", k=k)
    n = sizes(record)[-1]
    found[f"LoRA on {n} examples"] = record.where(method="pretrained", task="frell", n_labels=n)
    found[f"random weights, {n} examples"] = record.where(method="random", task="frell", n_labels=n)
    return found


def operation_figure(record: Record) -> Figure:
    """Exact match of every method, on new lists and on longer ones."""
    methods = operation_methods(record).items()
    bars = {title: {n: mean(rows, f"{lists}.exact") for n, rows in methods} for lists, title in LISTS.items()}
    alt = f"Exact match on an invented operation. {in_words(bars)}."
    figure = bars_with_interval(bars, "exact match", alt, horizontal=True)
    figure.layout["height"] = 520
    return figure


def operation_curve(record: Record) -> Figure:
    """Exact match and right letters against the number of training examples."""
    rows = {n: record.where(method="pretrained", task="frell", n_labels=n) for n in sizes(record)}
    series = {
        f"exact match, {t}": [(n, mean(r, f"{lists}.exact")) for n, r in rows.items()]
        for lists, t in LISTS.items()
    }
    series["single letters, new lists"] = [
        (n, average([r["same"]["letters"] for r in found])) for n, found in rows.items()
    ]
    ends = in_words({f"{n} examples": mean(r, "same.exact") for n, r in rows.items()})
    alt = f"What LoRA learns of the operation; exact match on new lists: {ends}."
    return line_with_interval(series, "training examples", "right", alt, log_x=True)


def controls(record: Record) -> Html:
    """Pretrained against random weights, on the invented operation and on an easy task: the mean, and each seed by itself."""
    tasks = {"frell": "the invented operation", "easy": "easy: is there an x?"}
    models = {"pretrained": "pretrained, LoRA", "random": "random weights, all trained"}
    rows = []
    for (task, name), (method, model) in product(tasks.items(), models.items()):
        found = record.where(method=method, task=task, n_labels=sizes(record, task)[-1])
        each = ", ".join(pct(r["same"]["exact"]["value"]) for r in found)
        cells = {"exact match": mean(found, "same.exact"), "seed by seed": each}
        rows.append({"task": name, "examples": found[0]["n_labels"], "model": model} | cells)
    return table(rows, "The same examples, with and without what pretraining brings (new lists)")


# -- a judge -----------------------------------------------------------------------------------------------------------

JUDGES = {
    "untuned": "base model",
    "contains": "does the answer stand in the passage?",
    "features": "logistic regression on three numbers",
    "lora": "LoRA judge",
}
ERRORS = {
    "absent": "wrong value from elsewhere",
    "present": "wrong value from the same passage",
    "stale": "former value (not in training)",
}


def judge_table(record: Record) -> Html:
    """Right verdicts of each judge: on all items, by kind of planted error, and with the threshold in the middle of its scores."""
    rows = []
    for method, name in JUDGES.items():
        found = record.where(method=method)
        cells = {e: mean(found, f"{e}.accuracy") if found[0][f"{e}.accuracy"]["n"] else "-" for e in ERRORS}
        centred = mean(found, "centred.accuracy") if method in ("untuned", "lora") else "-"
        rows.append({"judge": name, "all": mean(found), **cells, "centred": centred})
    heads = {"judge": "judge", "all": "right verdicts", **ERRORS, "centred": "right, threshold in the middle"}
    return table(rows, "Judges on the same answers", heads)


# -- the context window ------------------------------------------------------------------------------------------------

SCALINGS = {"none": "base model", "pi": "position interpolation", "ntk": "NTK-aware base", "yarn": "YaRN"}


def window_methods(record: Record) -> dict[str, list[Row]]:
    """Each scaling without and with tuning -> its rows of the jump."""
    found = {
        f"{name}, tuned" if tuned else name: record.where(method="jump", way=scaling, tuned=tuned)
        for tuned, (scaling, name) in product((False, True), SCALINGS.items())
    }
    return {name: rows for name, rows in found.items() if rows}


def window_figure(record: Record) -> Figure:
    """A menu: keys found again, and bits for the text after the jump, against the distance."""
    shown = {
        "keys found again": lambda rows, d: mean(rows, f"at {d}.recall"),
        "bits a token after the jump": lambda rows, d: average([r[f"at {d}"]["bits"] for r in rows]),
    }
    figures = {}
    for title, value in shown.items():
        series = {
            name: [(d, value(rows, d)) for d in record.params["distances"]]
            for name, rows in window_methods(record).items()
        }
        show = pct if title.startswith("keys") else plain
        far = "; ".join(f"{name} {show(cells[-1][1])}" for name, cells in series.items())
        alt = f"{title.capitalize()} against distance; at the farthest: {far}."
        figures[title] = line_with_interval(
            series, "distance, tokens", title, alt, percent=show is pct, log_x=True
        )
    return with_menu(figures, "what is measured")


def window_gaps(record: Record) -> Figure:
    """Keys found again with each scaling minus the base model, within the trained length and past it."""
    methods = window_methods(record)
    base = methods.pop(SCALINGS["none"])
    parts = {"within the trained length": "within.recall", "past the trained length": "past.recall"}
    series = {part: {n: gap(rows, base, m) for n, rows in methods.items()} for part, m in parts.items()}
    alt = f"Keys found again, each scaling minus the base model. {in_words(series, points)}."
    return differences(series, "keys found again, minus the base model", alt)


def real_table(record: Record) -> Html:
    """One whole text: bits in each stretch, keys found at its end."""
    rows = [
        {
            "scaling": SCALINGS[r["way"]] + (", tuned" if r["tuned"] else ""),
            "stretch up to token": s["upto"],
            "bits": s["bits"],
            "keys found, asked there": pct(s["recall"]) if s["recall"] else "-",
        }
        for r in record.results
        for s in r.get("stretches", ())
    ]
    heads = {k: k for k in rows[0]} | {"bits": "bits a token"}
    return table(rows, "One real text, read to the end", heads, show={"bits": plain})


def summary(operation: Record, judge: Record, window: Record) -> Html:
    """The chapter's main results in a few sentences, from the records."""
    bare, *_, tuned, _ = operation_methods(operation).values()
    past = {n: mean(rows, "past.recall") for n, rows in window_methods(window).items()}
    best = max((n for n in past if n != SCALINGS["none"]), key=lambda n: past[n]["value"])
    return prose(
        f"An invented operation: {pct(mean(bare, 'same.exact'))} exact match before training, {pct(mean(tuned, 'same.exact'))} after, "
        f"and {pct(mean(tuned, 'longer.exact'))} on longer lists. A tuned judge: {pct(mean(judge.where(method='lora')))} right verdicts; "
        f"logistic regression on three numbers: {pct(mean(judge.where(method='features')))}. Keys found past the trained length: "
        f"{pct(past[SCALINGS['none']])} with the base model, {pct(past[best])} with {best}."
    )
