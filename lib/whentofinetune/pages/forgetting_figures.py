"""Figures and tables of the chapter *What fine-tuning takes away*, from the record of ``forgetting``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tunewise import stats
from tunewise.comparison import compare_rows
from tunewise.record import Record, Row
from tunewise.report import Figure, Html, differences, gap, in_words, mean, points, prose, table
from tunewise.report.figures import MARKERS, PALETTE
from whentofinetune.datasets import vader

NAMES = {"full": "full", "lora": "LoRA", "qlora": "QLoRA"}
Method = tuple[str, int | None, float]


def methods(record: Record) -> list[Method]:
    """The trained methods of the record: (method, rank or None, learning rate)."""
    tuned = [r for r in record.results if r["method"] != "untouched"]
    return list(dict.fromkeys((r["method"], r.get("rank"), r["learning_rate"]) for r in tuned))


def name(method: Method) -> str:
    kind, rank, rate = method
    return f"{NAMES[kind]}{f' rank {rank}' if rank else ''}, rate {rate:g}"


def base_model(record: Record, method: Method) -> list[Row]:
    """The model before training, in the precision in which this method trains it."""
    return record.where(method="untouched", quantized=method[0] == "qlora")


def stops(record: Record, method: Method, step: int) -> list[Row]:
    """The rows of a method at a step, one a seed."""
    kind, rank, rate = method
    return [r for r in record.where(method=kind, learning_rate=rate, step=step) if r.get("rank") == rank]


def more_loss(record: Record, method: Method, step: int) -> dict[str, float]:
    """Held-out loss on neutral text at a step minus that of the base model, as a share of the latter, paired by text."""
    found, before = stops(record, method, step), base_model(record, method)
    return compare_rows(found, before, "bits").relative().metric()


def distance(found: Sequence[Row]) -> float:
    """How far the weights have moved, as a share of their norm; mean over seeds."""
    return float(np.mean([r["moved"] for r in found]))


def equal_target(record: Record) -> tuple[float, dict[Method, int]]:
    """The accuracy on validation that all methods reach, and the first stop at which each does (means over seeds)."""
    steps = record.params["stops"]
    curves = {m: {s: mean(stops(record, m, s), "task")["value"] for s in steps} for m in methods(record)}
    level = min(max(curve.values()) for curve in curves.values())
    return level, {m: next(s for s in steps if curve[s] >= level) for m, curve in curves.items()}


def share(metric: Mapping, n: bool = True) -> str:
    """A relative change in per cent with its sign."""
    value, low, high = (_signed(metric[k]) for k in ("value", "low", "high"))
    return f"{value} % [{low}, {high}]" + (f", n\u00a0=\u00a0{metric['n']}" if n else "")


def _signed(part: float) -> str:
    """A share as per cent with its sign, which a zero has none of."""
    return f"{100 * part:+.1f}".replace("+0.0", "0.0").replace("-0.0", "0.0").replace("-", "−")


def losses_table(record: Record, at: Mapping[Method, int], caption: str) -> Html:
    """What each method has lost at a stop, paired with the base model. at: method -> step."""
    rows = []
    for method, step in at.items():
        found, before = stops(record, method, step), base_model(record, method)
        moved = f"{100 * distance(found):.2f} %"
        row = {"method": name(method), "steps": step, "task, validation": mean(found, "task")}
        row |= {"weights moved": moved, "held-out loss, neutral text": more_loss(record, method, step)}
        row |= {
            "general items": gap(found, before, "general"),
            "use of examples": gap(found, before, "recall"),
        }
        rows.append(row)
    shown = {"held-out loss, neutral text": share, "general items": points, "use of examples": points}
    return table(rows, caption, show=shown)


def equal_table(record: Record) -> Html:
    """What each method has lost at the first stop where it reaches the accuracy that all reach."""
    level, at = equal_target(record)
    return losses_table(
        record, at, f"At equal accuracy: the first stop with at least {level:.0%} on validation"
    )


def last_table(record: Record) -> Html:
    """The same at the last stop, or a sentence if it is where all were compared already."""
    last, at = max(record.params["stops"]), equal_target(record)[1]
    if len(at) > 1 and set(at.values()) == {last}:
        return prose(
            f"Every method came to that accuracy at its last stop only, after {last} steps: the table above shows the end as well."
        )
    return losses_table(record, dict.fromkeys(at, last), f"After {last} steps")


def before_text(record: Record) -> Html:
    """What the base model does."""
    base = record.one(method="untouched", quantized=False)
    asked = set(base.items)
    sizes = [len(r.text.encode()) for r in vader.split("news")["test"] if r.id in asked]
    return prose(
        f"The base model is right on {base['general']['value']:.0%} of {base['general']['n']} general items (four choices), needs "
        f"{base['bits']['value'] / np.mean(sizes):.2f} bits per byte for newspaper sentences, and finds {base['recall']['value']:.0%} of the words' kinds in its prompt (four kinds)."
    )


def moved_text(record: Record) -> Html:
    """How closely the loss follows the distance, over all stops of all methods: the rank correlation of their means."""
    at = [(m, step) for m in methods(record) for step in record.params["stops"]]
    pairs = [(m[0], distance(stops(record, m, s)), more_loss(record, m, s)["value"]) for m, s in at]

    def agreement(*wanted: str) -> str:
        far, lost = zip(*(p[1:] for p in pairs if p[0] in wanted), strict=True)
        return f"{stats.spearman(far, lost)['value']:.2f}"

    return prose(
        f"Over all {len(pairs)} stops of {len(methods(record))} methods, the order by distance and the order by held-out loss agree with a rank correlation of {agreement(*NAMES)}; "
        f"within LoRA alone it is {agreement('lora')}, within full fine-tuning {agreement('full')}."
    )


def knobs_figure(record: Record) -> Figure:
    """What a higher learning rate or rank loses over a lower one at the last stop, paired by item; losses are positive."""
    knobs = {"full fine-tuning, rate": [("full", None, r) for r in (3e-4, 1e-4)]}
    knobs["LoRA of rank 8, rate"] = [("lora", 8, r) for r in (3e-3, 1e-3)]
    knobs["LoRA at rate 0.001, rank"] = [("lora", r, 1e-3) for r in (32, 2)]
    parts = ("held-out loss, as a share", "general items", "use of examples")
    series: dict[str, dict] = {part: {} for part in parts}
    for knob, pair in knobs.items():
        high, low = (stops(record, m, max(record.params["stops"])) for m in pair)
        told = f"{knob} " + " against ".join(f"{m[1 if knob.endswith('rank') else 2]:g}" for m in pair)
        found = [compare_rows(high, low, "bits").relative().metric()]
        found += [gap(low, high, metric) for metric in ("general", "recall")]
        for part, metric in zip(parts, found, strict=True):
            series[part][told] = metric
    return differences(series, "lost more", f"What a higher setting loses more: {in_words(series, points)}.")


def path_figure(record: Record, x: str = "task") -> Figure:
    """Each method's path through training: held-out loss on neutral text against task accuracy, or against how far the weights moved."""
    on_task, steps, data = x == "task", record.params["stops"], []
    dashes = {"full": "solid", "qlora": "dash", "lora": "dot"}
    for i, method in enumerate(methods(record)):
        at, up = [stops(record, method, s) for s in steps], [more_loss(record, method, s) for s in steps]
        array, minus = [m["high"] - m["value"] for m in up], [m["value"] - m["low"] for m in up]
        error = {"type": "data", "symmetric": False, "array": array, "arrayminus": minus}
        trace = {"type": "scatter", "mode": "lines+markers", "name": name(method)}
        trace |= {"x": [mean(rows, "task")["value"] if on_task else distance(rows) for rows in at]}
        trace |= {"y": [m["value"] for m in up], "error_y": error | {"thickness": 1, "width": 3}}
        trace |= {"text": [f"{s} steps: {share(m)}" for s, m in zip(steps, up, strict=True)]}
        trace |= {"hovertemplate": "%{text}, at %{x:.1%}<extra>%{fullData.name}</extra>"}
        trace |= {"line": {"color": PALETTE[i % 8], "width": 2, "dash": dashes[method[0]]}}
        trace |= {"marker": {"symbol": MARKERS[i % 8], "size": 9, "color": PALETTE[i % 8]}}
        data.append(trace)
    title = "accuracy on the task (validation)" if on_task else "weights moved (share of their norm)"
    layout = {
        "xaxis": {"title": {"text": title}, "tickformat": ".0%" if on_task else ".1%"},
        "yaxis": {"title": {"text": "held-out loss on neutral text, change"}, "tickformat": "+.0%"},
        "height": 460,
    }
    ends = "; ".join(f"{d['name']} ends at {d['x'][-1]:.1%} and {_signed(d['y'][-1])} %" for d in data)
    return Figure(data, layout, f"Held-out loss on neutral text against {title}, one path a method: {ends}.")
