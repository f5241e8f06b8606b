"""Figures, tables and verdicts of the chapter *What fine-tuning takes away*, from the record of ``forgetting``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tunewise import stats
from tunewise.report.figures import MARKERS, PALETTE, Figure, Html, styled, table
from tunewise.report.notes import prose
from tunewise.report.numbers import points as in_points
from whentofinetune.datasets import vader

NAMES = {"full": "full", "lora": "LoRA", "qlora": "QLoRA"}
SHOWN = 8  # words in a prompt of the recall probe
Way = tuple[str, int | None, float]


def ways(record) -> list[Way]:
    """The ways of tuning in the record: (method, rank or None, learning rate)."""
    tuned = [r for r in record.results if r["method"] != "untouched"]
    return list(dict.fromkeys((r["method"], r.get("rank"), r["learning_rate"]) for r in tuned))


def name(way: Way) -> str:
    method, rank, rate = way
    return f"{NAMES[method]}{f' rank {rank}' if rank else ''}, rate {rate:g}"


def untouched(record, method: str) -> dict:
    """The model before training, as this method trains it."""
    return record.one(method="untouched", quantized=method == "qlora")


def stops(record, way: Way, step: int) -> list[dict]:
    """The rows of a way at a step, one a seed."""
    method, rank, rate = way
    return [r for r in record.where(method=method, learning_rate=rate, step=step) if r.get("rank") == rank]


def values(row, metric: str) -> np.ndarray:
    """The outcomes of one probe, without the items of the others."""
    return np.array([v for v in row.outcomes(metric) if v is not None])


def task_accuracy(found: Sequence[Mapping]) -> dict:
    return stats.mean_over_seeds([p["task"] for p in found])


def more_bits(before: Mapping, found: Sequence[Mapping], than: Sequence[Mapping] | None = None) -> dict:
    """By what share the bits for neutral text have grown, paired by text; or, with ``than``, by how much more than there.

    The texts' bytes are the same before and after, so that the share of bits is the share of bits per byte.
    """
    old = values(before, "bits")
    others = [old] * len(found) if than is None else [values(p, "bits") for p in than]

    def growth(new, other, base):
        return (new.sum() - other.sum()) / base.sum()

    pairs = zip(found, others, strict=True)
    each = [stats.bootstrap((values(p, "bits"), other, old), growth) for p, other in pairs]
    return stats.mean_over_seeds(each, bounds=None)


def bits_at(record, way: Way, step: int) -> dict:
    """:func:`more_bits` of a way at a step, against the model before training."""
    return more_bits(untouched(record, way[0]), stops(record, way, step))


def distance(found: Sequence[Mapping]) -> float:
    """How far the weights have moved, as a share of their norm; mean over seeds."""
    return float(np.mean([p["moved"] for p in found]))


def lost_items(before: Mapping, found: Sequence[Mapping]) -> dict:
    """Change in accuracy on the general items, paired by item."""
    old = values(before, "general")
    return stats.difference_over_seeds([values(p, "general") for p in found], [old], [1] * len(old))


def lost_recall(before: Mapping, found: Sequence[Mapping]) -> dict:
    """Change in the use of examples in the prompt, paired by arrangement of words."""

    def shares(row):
        return values(row, "recall").reshape(-1, SHOWN).mean(axis=1)

    old = shares(before)
    each = [stats.bootstrap((shares(p), old), lambda new, base: (new - base).mean()) for p in found]
    return stats.mean_over_seeds(each, bounds=None)


def equal_target(record) -> tuple[float, dict[Way, int]]:
    """The accuracy on validation that all ways reach, and the first stop at which each does (means over seeds)."""
    steps = record.params["stops"]
    curves = {way: {s: task_accuracy(stops(record, way, s))["value"] for s in steps} for way in ways(record)}
    level = min(max(curve.values()) for curve in curves.values())
    return level, {way: next(s for s in steps if curve[s] >= level) for way, curve in curves.items()}


def _row(record, way: Way, step: int) -> dict:
    found, before = stops(record, way, step), untouched(record, way[0])
    return {
        "way": name(way),
        "step": step,
        "task": task_accuracy(found),
        "moved": f"{100 * distance(found):.2f} %",
        "bits": more_bits(before, found),
        "general": lost_items(before, found),
        "recall": lost_recall(before, found),
    }


_HEADS = {
    "way": "way",
    "step": "steps",
    "task": "task, validation",
    "moved": "weights moved",
    "bits": "bits for neutral text",
    "general": "general items",
    "recall": "use of examples",
}


def share(metric: Mapping, n: bool = True) -> str:
    """A relative change in per cent with its sign."""
    value, low, high = (_signed(metric[k]) for k in ("value", "low", "high"))
    return f"{value} % [{low}, {high}]" + (f", n\u00a0=\u00a0{metric['n']}" if n else "")


def _signed(part: float) -> str:
    """A share as per cent with its sign, which a zero has none of."""
    return f"{100 * part:+.1f}".replace("+0.0", "0.0").replace("-0.0", "0.0").replace("-", "−")


_SHOW = {"bits": share, "general": in_points, "recall": in_points}


def equal_table(record) -> Html:
    """What each way has lost at the first stop where it reaches the accuracy that all reach."""
    level, at = equal_target(record)
    rows = [_row(record, way, step) for way, step in at.items()]
    return table(
        rows, f"At equal accuracy: the first stop with at least {level:.0%} on validation", _HEADS, show=_SHOW
    )


def last_table(record) -> Html:
    """The same at the last stop."""
    last = max(record.params["stops"])
    return table([_row(record, way, last) for way in ways(record)], f"After {last} steps", _HEADS, show=_SHOW)


def ends(record) -> Html:
    """The last stop, or a sentence if it is where all were compared already."""
    last = max(record.params["stops"])
    if set(equal_target(record)[1].values()) == {last}:
        return prose(
            f"Every way came to that accuracy at its last stop only, after {last} steps, so that the table above shows the end as well."
        )
    return last_table(record)


def rank_text(record) -> Html:
    """What each rank of LoRA has moved and lost at the last stop, at the learning rate that most ranks were trained with."""
    lora = [way for way in ways(record) if way[0] == "lora"]
    rates = [rate for *_, rate in lora]
    common, last = max(rates, key=rates.count), max(record.params["stops"])
    each = "; ".join(
        f"rank {way[1]} has moved the weights by {distance(stops(record, way, last)):.2%}, and neutral text needs {share(bits_at(record, way, last), n=False)} more bits"
        for way in sorted(lora, key=lambda w: w[1])
        if way[2] == common
    )
    return prose(f"After {last} steps at rate {common:g}, {each}.")


def before_text(record) -> Html:
    """What the untouched model does."""
    b = untouched(record, "lora")
    sizes = [len(r.text.encode()) for r in vader.split("news")["test"] if r.id in set(b.items)]
    per_byte = values(b, "bits").sum() / sum(sizes)
    return prose(
        f"Before any training the model is right on {b['general']['value']:.0%} of {b['general']['n']} general items (four choices), needs "
        f"{per_byte:.2f} bits per byte for newspaper sentences, and finds {b['recall']['value']:.0%} of the words' kinds in its prompt (four kinds)."
    )


def moved_text(record) -> Html:
    """How closely the loss follows the distance, over all stops of all ways: the rank correlation of their means."""
    at = [(way, step) for way in ways(record) for step in record.params["stops"]]
    far = [distance(stops(record, *a)) for a in at]
    lost = [bits_at(record, *a)["value"] for a in at]

    def agreement(*wanted: str) -> str:
        chosen = [i for i, (way, _) in enumerate(at) if way[0] in wanted]
        return f"{stats.spearman([far[i] for i in chosen], [lost[i] for i in chosen])['value']:.2f}"

    return prose(
        f"Over all {len(far)} stops of {len(ways(record))} ways, the order by distance and the order by lost bits agree with a rank correlation of {agreement(*NAMES)}; "
        f"within LoRA alone it is {agreement('lora')}, within full fine-tuning {agreement('full')}."
    )


def path_figure(record, x: str = "task") -> Figure:
    """Each way's path through training: bits lost on neutral text against task accuracy, or against how far the weights moved."""
    on_task, steps, data = x == "task", record.params["stops"], []
    dashes = {"full": "solid", "qlora": "dash", "lora": "dot"}
    for i, way in enumerate(ways(record)):
        at = [stops(record, way, s) for s in steps]
        up, color = [bits_at(record, way, s) for s in steps], PALETTE[i % 8]
        error = {
            "array": [m["high"] - m["value"] for m in up],
            "arrayminus": [m["value"] - m["low"] for m in up],
        }
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name(way),
                "x": [task_accuracy(p)["value"] if on_task else distance(p) for p in at],
                "y": [m["value"] for m in up],
                "error_y": {"type": "data", "symmetric": False, **error, "thickness": 1, "width": 3},
                "text": [f"{s} steps" for s in steps],
                "hovertemplate": "%{text}: %{x:.1%}, bits %{y:+.1%}<extra>%{fullData.name}</extra>",
                "line": {"color": color, "width": 2, "dash": dashes[way[0]]},
                "marker": {"symbol": MARKERS[i % 8], "size": 9, "color": color},
            }
        )
    title = (
        "accuracy on the task (validation)"
        if on_task
        else "how far the weights have moved (share of their norm)"
    )
    layout = {
        "xaxis": {"title": {"text": title}, "tickformat": ".0%" if on_task else ".1%"},
        "yaxis": {"title": {"text": "more bits for neutral text"}, "tickformat": "+.0%"},
        "height": 460,
    }
    ends = "; ".join(f"{d['name']} ends at {d['x'][-1]:.1%} and {_signed(d['y'][-1])} %" for d in data)
    return Figure(
        data, styled(layout), f"Bits lost on neutral text against {title}, one path a way of tuning: {ends}."
    )


# -- verdicts ----------------------------------------------------------------------------------------------------------


def c6(record) -> tuple[dict, str, str]:
    """Does full fine-tuning forget? A rate has cost something if a measure's whole interval lies on the side of loss."""
    last = max(record.params["stops"])
    full = [w for w in ways(record) if w[0] == "full"]
    ours, hurt = {}, {}
    for way in full:
        row = _row(record, way, last)
        ours |= {
            f"{row['way']}: bits for neutral text": share(row["bits"]),
            f"{row['way']}: general items": in_points(row["general"]),
            f"{row['way']}: use of examples": in_points(row["recall"]),
        }
        fell = {
            "fluency": row["bits"]["low"] > 0,
            "general items": row["general"]["high"] < 0,
            "the use of examples": row["recall"]["high"] < 0,
        }
        hurt[name(way)] = [what for what, clearly in fell.items() if clearly]
    lossy = {way: lost for way, lost in hurt.items() if lost}
    said = "; ".join(f"{way} lost {_listed(lost)}" for way, lost in lossy.items())
    if not lossy:
        return ours, "no", f"After {last} steps no measure clearly fell."
    if len(lossy) == len(full):
        why = (
            f"After {last} steps on a narrow task every full fine-tuning had clearly lost something: {said}."
        )
        return ours, "yes", why
    spared = _listed([way for way in hurt if way not in lossy])
    why = f"After {last} steps on a narrow task: {said}; {spared} lost nothing that we could tell from zero. Forgetting is real, and the learning rate decides on it."
    return ours, "partly", why


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def c7(record) -> tuple[dict, str, str]:
    """Does LoRA forget less at equal accuracy, or only move less?"""
    level, at = equal_target(record)
    bits = {way: bits_at(record, way, step) for way, step in at.items()}
    full = min((w for w in at if w[0] == "full"), key=lambda w: bits[w]["value"])
    worst = max((w for w in at if w[0] == "lora"), key=lambda w: bits[w]["value"])
    lora = ("lora", 8, 1e-3) if ("lora", 8, 1e-3) in at else next(w for w in at if w[0] == "lora")
    f, lo = stops(record, full, at[full]), stops(record, lora, at[lora])
    difference = more_bits(untouched(record, "full"), f, than=lo)
    ours = {
        "accuracy at which they are compared": f"{level:.0%} on validation",
        f"{name(full)}: bits for neutral text": share(bits[full]),
        f"{name(lora)}: bits for neutral text": share(bits[lora]),
        "full minus LoRA": share(difference),
        "weights moved": f"full {distance(f):.2%}, LoRA {distance(lo):.2%} of their norm",
    }
    note = ""
    if moved := distance(lo):
        note = f" At that accuracy full fine-tuning has moved the weights {distance(f) / moved:.1f} times as far as LoRA."
    lost = _row(record, worst, at[worst])
    if worst != lora:
        ours |= {
            f"{lost['way']}: bits for neutral text": share(lost["bits"]),
            f"{lost['way']}: general items": in_points(lost["general"]),
        }
    if lost["bits"]["low"] > 0 or lost["general"]["high"] < 0:
        note += f" And few trained parameters are no protection of their own: {lost['way']} clearly forgot."
    start = "At equal accuracy on the task"
    if difference["low"] > 0:
        why = f"{start}, LoRA has lost less than the gentler of our two full fine-tunings."
    elif difference["high"] < 0:
        why = f"{start}, LoRA has lost more than the gentler of our two full fine-tunings: what matters is the learning rate, not the method alone."
    else:
        why = f"{start} the difference between LoRA and the gentler of our two full fine-tunings can't be told from zero."
    verdict = "yes" if difference["low"] > 0 else "no" if difference["high"] < 0 else "partly"
    return ours, verdict, why + note
