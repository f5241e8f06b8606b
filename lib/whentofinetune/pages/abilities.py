"""Figures and tables of the chapter *New abilities*, each a function of run records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunewise import stats
from tunewise.record import Row
from tunewise.report.figures import Figure, Html, bars_with_interval, line_with_interval, table, with_menu
from tunewise.report.notes import prose
from tunewise.report.numbers import pct, plain, points


def mean(rows: Sequence[Row], metric: str = "accuracy") -> dict:
    """The mean of a metric over rows that differ by seed only, with its interval."""
    return stats.mean_over_seeds([r[metric] for r in rows])


def gap(a: Sequence[Row], b: Sequence[Row], metric: str = "accuracy") -> dict:
    """A metric of ``a`` minus that of ``b``, paired by item, over the items to which it applies."""
    right = [[[v for v in r.outcomes(metric) if v is not None] for r in rows] for rows in (a, b)]
    return stats.difference_over_seeds(*right, [1] * len(right[0][0]))


# -- an invented operation ---------------------------------------------------------------------------------------------

LISTS = {"same": "new lists of trained lengths", "longer": "longer lists than any in training"}


def exact(rows: Sequence[Row], lists: str = "same") -> dict:
    return mean(rows, f"{lists}.exact")


def operation_ways(record) -> dict[str, list[Row]]:
    """Everything that answered the invented operation, in words; of tuned models the largest number of examples."""
    found = {
        "the bare question": record.where(method="untouched"),
        "the rule in words": record.where(method="described"),
    }
    for k in sorted({r["k"] for r in record.where(method="few-shot")}):
        found[f"{k} examples in the prompt"] = record.where(method="few-shot", k=k)
        found[f"the rule and {k} examples"] = record.where(method="described and few-shot", k=k)
    n = most(record)
    found[f"LoRA on {n} examples"] = record.where(method="pretrained", task="frell", n_labels=n)
    found[f"random weights, {n} examples"] = record.where(method="random", task="frell", n_labels=n)
    return {name: rows for name, rows in found.items() if rows}


def most(record, task: str = "frell") -> int:
    return max(r["n_labels"] for r in record.where(method="pretrained", task=task))


def operation_figure(record) -> Figure:
    """Exact answers of every way, on new lists and on longer ones."""
    ways = operation_ways(record)
    bars = {title: {n: exact(rows, lists) for n, rows in ways.items()} for lists, title in LISTS.items()}
    words = "; ".join(f"{name} {m['value']:.0%}" for name, m in bars[LISTS["same"]].items())
    alt = f"Exact answers to an invented operation on new lists: {words}."
    figure = bars_with_interval(bars, "exact answers", alt, horizontal=True)
    figure.layout["height"] = 520
    return figure


def operation_curve(record) -> Figure:
    """Exact answers and right letters against the number of training examples."""
    sizes = sorted({r["n_labels"] for r in record.where(method="pretrained", task="frell")})
    rows = {n: record.where(method="pretrained", task="frell", n_labels=n) for n in sizes}
    series = {f"exact, {t}": [(n, exact(r, lists)) for n, r in rows.items()] for lists, t in LISTS.items()}
    series["single letters, new lists"] = [(n, mean(r, "same.letters")) for n, r in rows.items()]
    ends = ", ".join(f"{n} examples {exact(r)['value']:.0%}" for n, r in rows.items())
    alt = f"What LoRA learns of the operation; exact answers on new lists: {ends}."
    return line_with_interval(series, "training examples", "right", alt, log_x=True)


def controls(record) -> Html:
    """Pretrained against random weights, on the invented operation and on an easy task."""
    rows = []
    for task, name in (("frell", "the invented operation"), ("easy", "easy: is there an x?")):
        if record.where(method="pretrained", task=task):
            n = most(record, task)
            found = {m: record.where(method=m, task=task, n_labels=n) for m in ("pretrained", "random")}
            rows.append({"task": name, "n": n} | {m: exact(r) if r else None for m, r in found.items()})
    heads = {"task": "task", "n": "examples"}
    heads |= {"pretrained": "pretrained, LoRA", "random": "random weights, all trained"}
    return table(
        rows, "The same examples, with and without what pretraining knows (exact answers on new lists)", heads
    )


def control_words(record) -> Html:
    """Whether the control can learn anything at all, seed by seed: a mean over seeds that split hides that."""
    easy, hard = (
        [r["same"]["exact"]["value"] for r in record.where(method="random", task=t, n_labels=most(record, t))]
        for t in ("easy", "frell")
    )
    learned = sum(v >= 0.9 for v in easy)
    said = f"On the easy task the models with random weights got {', '.join(f'{v:.0%}' for v in easy)}, on the invented operation {', '.join(f'{v:.0%}' for v in hard)}. "
    if learned == len(easy):
        said += "So the control can learn, and what it does not learn is not easy."
    elif learned:
        said += f"So random weights can learn the easy task from these examples, but {learned} of {len(easy)} did: the control is a weak one, and shows only that nothing is learned for sure without pretraining."
    else:
        said += "None learned even the easy task: with so few examples this control can learn nothing, and proves little."
    return prose(said)


# -- a judge -----------------------------------------------------------------------------------------------------------

JUDGES = {
    "untuned": "the untuned model",
    "contains": "does the answer stand in the passage?",
    "features": "logistic regression on three numbers",
    "lora": "LoRA judge",
}
ERRORS = {
    "absent": "wrong value from elsewhere",
    "present": "wrong value from the same passage",
    "stale": "former value (not in training)",
}


def judges(record) -> dict[str, list[Row]]:
    return {m: rows for m in JUDGES if (rows := record.where(method=m))}


def judge_by_error(rows: Sequence[Row], error: str) -> dict | None:
    """Accuracy on the pairs (right and wrong answer) of one kind of error; None where none was asked."""
    return mean(rows, f"{error}.accuracy") if rows[0][f"{error}.accuracy"]["n"] else None


def judge_figure(record) -> Figure:
    """Right verdicts by kind of planted error."""
    found = judges(record).items()
    bars = {name: {JUDGES[m]: judge_by_error(rows, e) for m, rows in found} for e, name in ERRORS.items()}
    words = "; ".join(f"{JUDGES[m]} {mean(rows)['value']:.0%}" for m, rows in found)
    alt = f"Right verdicts on answers with planted errors: {words}; by kind of error in the bars."
    return bars_with_interval(bars, "right verdicts", alt, line=(0.5, "guessing"))


def judge_table(record) -> Html:
    """The same in numbers, with each judge's paired difference to the strongest rule."""
    rows = [
        {
            "judge": JUDGES[m],
            "all": mean(found),
            "centred": mean(found, "centred.accuracy") if m in ("untuned", "lora") else "-",
            "gap": "-" if m == "features" else gap(found, record.where(method="features")),
            "stale": mean(found, "stale.accuracy"),
        }
        for m, found in judges(record).items()
    ]
    heads = {"judge": "judge", "all": "right verdicts", "centred": "with its leaning taken off"}
    heads |= {"gap": "minus logistic regression", "stale": "former values"}
    return table(rows, "Judges on the same answers", heads, show={"gap": points})


# -- the context window ------------------------------------------------------------------------------------------------

SCALINGS = {"none": "as it is", "pi": "position interpolation", "ntk": "NTK-aware base", "yarn": "YaRN"}
TRAINED = 8192  # positions of the bundled model (max_position_embeddings of its configuration)


def jumps(record, way: str, tuned: bool) -> list[Row]:
    return record.where(method="jump", way=way, tuned=tuned)


def at_distance(rows: Sequence[Row], distance: int, what: str = "recall") -> dict:
    found = [r[f"at {distance}"][what] for r in rows]
    return stats.mean_over_seeds(found, bounds=(0.0, 1.0) if what == "recall" else None)


def window_ways(record) -> dict[str, list[Row]]:
    found = {
        f"{name}, tuned" if tuned else name: jumps(record, way, tuned)
        for tuned in (False, True)
        for way, name in SCALINGS.items()
    }
    return {name: rows for name, rows in found.items() if rows}


def window_figure(record) -> Figure:
    """A menu: keys found again, and bits for the text after the jump, against the distance."""
    figures = {}
    for what, title in (("recall", "keys found again"), ("bits", "bits a token after the jump")):
        series = {
            name: [(d, at_distance(rows, d, what)) for d in record.params["distances"]]
            for name, rows in window_ways(record).items()
        }
        far = "; ".join(f"{name} {cells[-1][1]['value']:.2f}" for name, cells in series.items())
        alt = f"{title.capitalize()} against distance; at the farthest: {far}."
        shown = {"percent": what == "recall", "log_x": True}
        figures[title] = line_with_interval(series, "distance, tokens", title, alt, **shown)
    return with_menu(figures, "what is measured")


def past_trained(record, rows: Sequence[Row], what: str = "recall", within: bool = False) -> dict:
    """The mean over all distances past the trained length (or within it), over seeds."""
    if what == "recall":
        return stats.mean_over_seeds([stats.bootstrap(_by_text(r, within)) for r in rows])
    distances = [d for d in record.params["distances"] if (d <= TRAINED) == within]
    each = [stats.mean_over_seeds([r[f"at {d}"]["bits"] for d in distances], bounds=None) for r in rows]
    return stats.mean_over_seeds(each, bounds=None)


def _by_text(row, within: bool) -> np.ndarray:
    """The share of keys found in each text [texts], over all distances past the trained length: keys of a text are not independent."""
    found: dict[str, list[float]] = {}
    hits = row.outcomes("within.recall" if within else "past.recall")
    for group, hit in zip(row.groups, hits, strict=True):
        if hit is not None:
            found.setdefault(group, []).append(hit)
    return np.array([np.mean(hits) for hits in found.values()])


def recall_gap(record, a: Sequence[Row], b: Sequence[Row], within: bool = False) -> dict:
    """Keys found past the trained length (or within it), ``a`` minus ``b``, paired by text."""
    other = np.mean([_by_text(r, within) for r in b], axis=0)
    return stats.mean_over_seeds(
        [stats.bootstrap(_by_text(r, within) - other) for r in a], bounds=(-1.0, 1.0)
    )


def window_table(record) -> Html:
    """Within the trained length and past it."""
    heads = {"way": "frequencies", "near": "keys, within", "far": "keys, past it"}
    heads |= {"near_bits": "bits a token, within", "far_bits": "bits a token, past it"}
    rows = [
        {
            "way": name,
            "near": past_trained(record, found, within=True),
            "far": past_trained(record, found),
            "near_bits": past_trained(record, found, "bits", within=True),
            "far_bits": past_trained(record, found, "bits"),
        }
        for name, found in window_ways(record).items()
    ]
    shown = {"near_bits": plain, "far_bits": plain}
    return table(rows, "Within the trained length, and past it", heads, show=shown)


def real_table(record) -> Html:
    """One whole text: bits in each stretch, keys found at its end."""
    rows = [
        {
            "way": SCALINGS[r["way"]] + (", tuned" if r["tuned"] else ""),
            "upto": s["upto"],
            "bits": s["bits"],
            "keys": pct(s["recall"]) if s["recall"] else "-",
        }
        for r in record.results
        for s in r.get("stretches", ())
    ]
    heads = {"way": "frequencies", "upto": "stretch up to token"}
    heads |= {"bits": "bits a token", "keys": "keys found, asked there"}
    return table(rows, "One real text, read to the end", heads, show={"bits": plain})


def summary(operation, judge, window) -> Html:
    """The chapter's main results in a few sentences, from the records."""
    ways, by = operation_ways(operation), judges(judge)
    tuned = next(n for n in ways if n.startswith("LoRA"))
    kinds = window_ways(window)
    best = max(
        (n for n in kinds if n != SCALINGS["none"]), key=lambda n: past_trained(window, kinds[n])["value"]
    )
    return prose(
        f"An invented operation: {pct(exact(ways['the bare question']))} exact before training, {pct(exact(ways[tuned]))} after, and {pct(exact(ways[tuned], 'longer'))} on longer lists. "
        f"A tuned judge: {pct(mean(by['lora']))} right verdicts; logistic regression on three numbers: {pct(mean(by['features']))}. "
        f"Keys found past the trained length: {pct(past_trained(window, kinds[SCALINGS['none']]))} as the model is, {pct(past_trained(window, kinds[best]))} with {best}."
    )
