"""Figures and tables of the chapter *New abilities*, each a function of run records."""

from collections.abc import Mapping
from itertools import product

from tunewise import report as rp
from tunewise.record import Record
from tunewise.report.tables import Conditions
from whentofinetune.pages import condition_names
from whentofinetune.pages.seed_by_seed import trainings

# -- an invented operation ---------------------------------------------------------------------------------------------

LISTS = {"new lists of trained lengths": "same", "longer lists than any in training": "longer"}


def average(found: list[dict]) -> dict | float:
    """Figures of rows that keep no outcome an item: one with its interval, of several seeds the mean alone."""
    return found[0] if len(found) == 1 else sum(m["value"] for m in found) / len(found)


def operation_methods(record: Record) -> Conditions:
    """Everything that answered the invented operation; of trained models the largest number of examples."""
    methods: dict[str, dict] = {"the question alone": {"method": "base"}}
    methods["the rule in words"] = {"method": "described"}
    for k in record.by("k", method="few-shot"):
        methods[f"{k} examples in the prompt"] = {"method": "few-shot", "k": k}
        methods[f"the rule and {k} examples"] = {"method": "described and few-shot", "k": k}
    n = max(record.by("n_labels", method="pretrained", task="frell"))
    for model, name in {"pretrained": "LoRA on", "random": "random weights,"}.items():
        methods[f"{name} {n} examples"] = {"method": model, "task": "frell", "n_labels": n}
    return rp.conditions(record, methods)


def operation_figure(record: Record) -> rp.Figure:
    """Exact match of every method, on new lists and on longer ones."""
    found = operation_methods(record)
    series = {title: rp.means(found, f"{lists}.exact") for title, lists in LISTS.items()}
    return rp.dots(series, "exact match", "Exact match on an invented operation")


def operation_curve(record: Record) -> rp.Figure:
    """Exact match and right letters against the number of training examples."""
    found = record.by("n_labels", method="pretrained", task="frell")
    series = {f"exact match, {title}": rp.means(found, f"{lists}.exact") for title, lists in LISTS.items()}
    series["single letters, new lists"] = {
        n: average([r["same"]["letters"] for r in rows]) for n, rows in found.items()
    }
    caption = "What LoRA learns of the operation"
    return rp.curves(series, "training examples", "right", caption, log_x=True)


def controls(record: Record) -> rp.Html:
    """Pretrained against random weights, on the invented operation and on an easy task: the mean, and each seed by itself."""
    tasks = {"frell": "the invented operation", "easy": "easy: is there an x?"}
    models = {"pretrained": "pretrained, LoRA", "random": "random weights, all trained"}
    rows = []
    for (task, name), (method, model) in product(tasks.items(), models.items()):
        n = max(r["n_labels"] for r in record.where(method="pretrained", task=task))
        found = record.where(method=method, task=task, n_labels=n)
        each = ", ".join(rp.pct(r["same"]["exact"]["value"]) for r in found)
        row = {"task": name, "examples": n, "model": model, "exact match": rp.mean(found, "same.exact")}
        rows.append(row | {"seed by seed": each})
    return rp.table(rows, "The same examples, with and without what pretraining brings (new lists)")


def control_trainings(record: Record) -> str:
    """How many training runs of random weights learned the easy task, of whose lists every other one has the x."""
    return trainings(record.where(method="random", task="easy"), 1 / 2, "same.exact")


# -- a judge -----------------------------------------------------------------------------------------------------------

JUDGES = condition_names.methods("groundedness")
ERRORS = {
    "wrong value from elsewhere": "absent.accuracy",
    "wrong value from the same passage": "present.accuracy",
    "former value (not in training)": "stale.accuracy",
}


def judge_table(record: Record) -> rp.Html:
    """Right verdicts of each judge: on all items, by kind of planted error, and with the threshold in the middle of its scores."""
    found = condition_names.arms(record)
    columns = {"right verdicts": "accuracy"}
    for name, metric in ERRORS.items():
        columns[name] = lambda rows, m=metric: rp.mean(rows, m) if rows[0].metric(m)["n"] else "-"
    columns["right, threshold in the middle"] = "centred.accuracy"
    return rp.conditions_table(found, "Judges on the same answers", columns, first="judge")


# -- the context window ------------------------------------------------------------------------------------------------


def window_methods(record: Record) -> Conditions:
    """Each scaling without and with tuning -> its rows of the jump."""
    return condition_names.arms(record, method="jump")


def window_figure(records: Mapping[str, Record]) -> rp.Figure:
    """A menu: keys found again, and bits for the text after the jump, against the distance. records: model size -> its record."""
    figures = {
        f"{what}, {size}": f for size, record in records.items() for what, f in _windows(record).items()
    }
    return rp.choose(figures, "what is measured")


def _windows(record: Record) -> dict[str, rp.Figure]:
    """What is measured -> its curves over the distance, one a scaling."""
    found, distances = window_methods(record), record.params["distances"]
    keys = {name: {d: rp.mean(r, f"at {d}.recall") for d in distances} for name, r in found.items()}
    bits = {
        name: {d: average([r[f"at {d}"]["bits"] for r in rows]) for d in distances}
        for name, rows in found.items()
    }
    shown = {"keys found again": (keys, rp.pct), "bits after the jump": (bits, rp.plain)}
    (base, *_), *_ = found.values()
    within = zip(base.items, base.outcomes("within.recall"), strict=True)
    trained = max(int(item.rsplit(", ", 1)[1]) for item, hit in within if hit is not None)
    ticks = [d for d in distances if d.bit_count() == 1 or d == distances[-1]]  # powers of two, and the last
    until, figures = (trained, f"trained up to {trained:,} tokens"), {}
    for title, (series, show) in shown.items():
        caption = f"{title.capitalize()} against distance"
        drawn = rp.curves(series, "distance, tokens", title, caption, show=show, log_x=True, upright=until)
        drawn.layout["xaxis"] |= dict(tickvals=ticks, ticktext=[f"{d // 1000}k" for d in ticks])
        figures[title] = drawn
    return figures


def window_gaps(record: Record) -> rp.Figure:
    """Keys found again with each scaling minus the base model, within the trained length and past it."""
    found = window_methods(record)
    base = found.pop("base model")
    parts = {"within the trained length": "within.recall", "past the trained length": "past.recall"}
    series = {part: rp.gaps(found, base, metric) for part, metric in parts.items()}
    caption = "Keys found again, each scaling minus the base model"
    return rp.differences(series, "difference in keys found again", caption)


def real_table(record: Record) -> rp.Html:
    """One whole text: bits in each stretch, keys found at its end."""
    rows = []
    for r in record.results:
        name = condition_names.named(r.raw | {"experiment": record.experiment})
        for s in r.get("stretches", ()):
            rows.append((name, s["upto"], s["bits"], rp.pct(s["recall"]) if s["recall"] else "-"))
    heads = ("scaling", "stretch up to token", "bits a token", "keys found, asked there")
    return rp.table_from_lists(heads, rows, "One real text, read to the end", [None, None, rp.plain])
