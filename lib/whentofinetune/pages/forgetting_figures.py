"""Figures and tables of the chapter *What fine-tuning takes away*, from the record of ``forgetting``."""

from collections.abc import Mapping, Sequence

import numpy as np

from tunewise import report as rp
from tunewise import stats
from tunewise.comparison import compare_rows
from tunewise.record import Record, Row
from whentofinetune.datasets import vader

NAMES = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}
Method = tuple[str, int | None, float]


def methods(record: Record) -> list[Method]:
    """The trained methods of the record: (method, rank or None, learning rate)."""
    tuned = [r for r in record.results if r["method"] != "base"]
    return list(dict.fromkeys((r["method"], r.get("rank"), r["learning_rate"]) for r in tuned))


def name(method: Method) -> str:
    """A method as the page calls it, with its rank and peak learning rate."""
    kind, rank, rate = method
    return f"{NAMES[kind]}{f' rank {rank}' if rank else ''}, rate {rate:g}"


def base_model(record: Record, method: Method) -> list[Row]:
    """The model before training, in the precision in which this method trains it."""
    return record.where(method="base", quantized=method[0] == "qlora")


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
    curves = {m: {s: rp.mean(stops(record, m, s), "task")["value"] for s in steps} for m in methods(record)}
    level = min(max(curve.values()) for curve in curves.values())
    return level, {m: next(s for s in steps if curve[s] >= level) for m, curve in curves.items()}


def losses_table(record: Record, at: Mapping[Method, int], caption: str) -> rp.Html:
    """What each method has lost at a stop, paired with the base model. at: method -> step."""
    rows = []
    for method, step in at.items():
        found, before = stops(record, method, step), base_model(record, method)
        row = {"method": name(method), "steps": step, "task, validation": rp.mean(found, "task")}
        row["weights moved"] = f"{100 * distance(found):.2f} %"
        row["held-out loss, neutral text"] = more_loss(record, method, step)
        row["general items"] = rp.gap(found, before, "general")
        rows.append(row | {"use of examples": rp.gap(found, before, "recall")})
    shown = dict.fromkeys(("general items", "use of examples"), rp.points)
    shown["held-out loss, neutral text"] = rp.relative
    return rp.table(rows, caption, show=shown)


def equal_table(record: Record) -> rp.Html:
    """What each method has lost at the first stop where it reaches the accuracy that all reach."""
    level, at = equal_target(record)
    caption = f"At equal accuracy: the first stop with at least {rp.pct(level)} on validation"
    return losses_table(record, at, caption)


def last_table(record: Record) -> rp.Html:
    """The same at the last stop, or a sentence if it is where all were compared already."""
    last, at = max(record.params["stops"]), equal_target(record)[1]
    if len(at) > 1 and set(at.values()) == {last}:
        return rp.prose(
            f"Every method came to that accuracy at its last stop only, after {last} steps. So the table above is that of the end, too."
        )
    return losses_table(record, dict.fromkeys(at, last), f"After {last} steps")


def before_text(record: Record) -> rp.Html:
    """What the base model does."""
    base = record.one(method="base", quantized=False)
    asked = set(base.items)
    sizes = [len(r.text.encode()) for r in vader.split("news")["test"] if r.id in asked]
    return rp.prose(
        f"The base model is right on {rp.pct(base['general']['value'])} of {base['general']['n']} general items (four choices), needs "
        f"{base['bits']['value'] / np.mean(sizes):.2f} bits per byte for newspaper sentences, and finds {rp.pct(base['recall']['value'])} of the words' kinds in its prompt (four kinds)."
    )


def moved_text(record: Record) -> rp.Html:
    """How closely the loss follows the distance, over all stops of all methods: the rank correlation of their means."""
    at = [(m, step) for m in methods(record) for step in record.params["stops"]]
    pairs = [(m[0], distance(stops(record, m, s)), more_loss(record, m, s)["value"]) for m, s in at]

    def agreement(*wanted: str) -> str:
        far, lost = zip(*(p[1:] for p in pairs if p[0] in wanted), strict=True)
        return f"{stats.spearman(far, lost)['value']:.2f}"

    kinds = [m[0] for m in methods(record)]
    told = f"Over all {len(pairs)} stops of {len(kinds)} methods, the order by distance and the order by held-out loss agree with a rank correlation of {agreement(*NAMES)}"
    for kind in NAMES:
        told += f"; within {NAMES[kind]} alone it is {agreement(kind)}" if kinds.count(kind) > 1 else ""
    return rp.prose(f"{told}.")


def knobs_figure(record: Record) -> rp.Figure:
    """A menu: what a higher learning rate or rank loses over a lower one at the last stop, in held-out loss and in points, paired by item; losses are positive."""
    knobs = {"full fine-tuning, rate": [("full", None, r) for r in (3e-4, 1e-4)]}
    knobs["LoRA of rank 8, rate"] = [("lora", 8, r) for r in (3e-3, 1e-3)]
    knobs["LoRA at rate 0.001, rank"] = [("lora", r, 1e-3) for r in (32, 2)]
    loss, general, recall = {}, {}, {}
    for knob, pair in knobs.items():
        high, low = (stops(record, m, max(record.params["stops"])) for m in pair)
        told = f"{knob} " + " against ".join(f"{m[1 if knob.endswith('rank') else 2]:g}" for m in pair)
        loss[told] = compare_rows(high, low, "bits").relative().metric()
        general[told], recall[told] = (rp.gap(low, high, metric) for metric in ("general", "recall"))
    caption = "What the higher setting loses over the lower"
    more = rp.differences(loss, "more held-out loss", caption, show=rp.relative)
    fewer = rp.differences({"general items": general, "use of examples": recall}, "fewer right", caption)
    return rp.choose({"held-out loss": more, "right answers": fewer}, "what is lost")


def path_figure(record: Record, x: str = "task") -> rp.Figure:
    """Each method's path through training: held-out loss on neutral text against task accuracy, or against how far the weights moved."""
    steps, on_task = record.params["stops"], x == "task"

    def at(rows: Sequence[Row]) -> float:
        return rp.mean(rows, "task")["value"] if on_task else distance(rows)

    series = {
        name(m): [(at(stops(record, m, s)), more_loss(record, m, s)) for s in steps] for m in methods(record)
    }
    title = "accuracy on the task (validation)" if on_task else "weights moved (share of their norm)"
    caption = f"Held-out loss on neutral text against {title}, one path a method"
    ticks = ".0%" if on_task else ".1%"
    show = {"show": rp.relative, "show_x": lambda v, n=True: f"{v:{ticks}}"}
    figure = rp.curves(series, title, "held-out loss on neutral text, change", caption, **show)
    figure.layout["xaxis"]["tickformat"] = ticks
    figure.layout["height"] = 460
    for trace in figure.data:
        trace["hovertext"] = [
            f"{s} steps, at {100 * v:.1f} %" for s, v in zip(steps, trace["x"], strict=True)
        ]
    return figure
