"""Figures and tables of the chapter *When accuracy is missing*, each a function of run records."""

import math
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from tunewise import report as rp
from tunewise.comparison import compare_arrays
from tunewise.record import Record, Row
from tunewise.report.tables import Conditions
from tunewise.words import signed
from whentofinetune.datasets import public_texts, rated_tasks
from whentofinetune.pages import condition_names
from whentofinetune.pages.icl_figures import minus_calibrated
from whentofinetune.pages.seed_by_seed import trainings
from whentofinetune.verdicts import LADDER, title

# The two classifiers are logistic regressions.
SHORT = {"lora": "LoRA", "encoder": "MiniLM, fine-tuned", "embeddings": "MiniLM", "tfidf": "TF-IDF"}
PARTS = {"all complaints": "accuracy", "worded as in training": "seen", "worded anew": "new"}


def by_size(record: Record, learner: str) -> dict[int, Sequence[Row]]:
    """Number of labels -> rows (one a seed) of a learner, from few to many."""
    return record.by("n_labels", method=learner)


def at_most_labels(record: Record) -> dict[str, list[Row]]:
    """``LoRA, 300 labels`` and so on -> rows of each learner at the most labels that it was given."""
    sizes = {m: by_size(record, m) for m in SHORT}
    return {f"{SHORT[m]}, {max(found)} labels": found[max(found)] for m, found in sizes.items() if found}


def best(found: Conditions, metric: str = "accuracy") -> str:
    """The name of the method with the highest mean: chosen on the items shown, it favours the methods among which it is chosen."""
    return max(found, key=lambda name: rp.mean(found[name], metric)["value"])


# -- the article's two pairs of figures ----------------------------------------------------------------------------------


def starts_table(wordings: Record, curve: Record) -> rp.Html:
    """The gain of one tuned model, counted from all that can stand before *after tuning*; a prompt is chosen by its validation accuracy."""
    (lora, tuned), *classifiers = at_most_labels(curve).items()
    valid, starts = (
        {f"prompt “{r['wording']}”": [r] for r in wordings.where(method="score", split=split)}
        for split in ("valid", "test")
    )
    starts |= {"always one label": curve.where(method="majority"), **dict(classifiers)}
    head = f"{lora}, minus the start"
    rows = [
        {"start": k, "on validation": rp.mean(valid.get(k, ())) or "-", "on test": rp.mean(v)}
        | {head: rp.gap(tuned, v)}
        for k, v in starts.items()
    ]
    caption = f"One tuned model ({rp.pct(rp.mean(tuned))}), many gains"
    return rp.table(rows, caption, show={head: rp.points})


def hundred(curve: Record, shots: Record, wordings: Record) -> rp.Html:
    """Everything that the same 100 labels can be used for, set against the prompt template that validation chose."""
    won = max(wordings.where(method="score", split="valid"), key=lambda r: r["accuracy"]["value"])
    start = wordings.one(method="score", split="test", wording=won["wording"])
    k = max(r["k"] for r in shots.where(method="random"))
    few = shots.where(method="random", k=k)
    learned = {m: by_size(curve, m)[100] for m in ("tfidf", "embeddings", "encoder", "lora")}
    over = compare_arrays([r.outcomes("calibrated.accuracy") for r in few], [start.outcomes("accuracy")])
    heads = ("method", "accuracy", "minus the first row", "LoRA minus this")
    told = f"no label, prompt “{start['wording']}”"
    found = [(told, rp.mean([start]), "-", rp.gap(learned["lora"], [start]))]
    told = (f"{k} examples, calibrated", rp.mean(few, "calibrated.accuracy"), over.metric())
    found += [(*told, minus_calibrated(learned["lora"], few))]
    for m, rows in learned.items():
        less = "-" if m == "lora" else rp.gap(learned["lora"], rows)
        found.append((f"{SHORT[m]}, 100 labels", rp.mean(rows), rp.gap(rows, [start]), less))
    table = [dict(zip(heads, row, strict=True)) for row in found]
    return rp.table(table, "What a hundred labels can be used for", show=dict.fromkeys(heads[2:], rp.points))


# -- the private rule ----------------------------------------------------------------------------------------------------


def prompts(record: Record) -> Conditions:
    """What the prompt has -> rows on the test complaints."""
    return condition_names.arms(record, split="test")


def methods(record: Record) -> Conditions:
    """Name -> rows of each method to make the model follow the rule."""
    fixed = {"always one desk": {"method": "majority"}, "trouble known": {"method": "trouble known"}}
    first, *last = rp.conditions(record, fixed).items()
    return dict([first, *prompts(record).items(), *at_most_labels(record).items(), *last])


def methods_figure(record: Record) -> rp.Figure:
    """LoRA minus each other method, on complaints worded as in training and on those worded anew."""
    lora, tuned = next(iter(at_most_labels(record).items()))
    others = {f"{lora} − {name}": rows for name, rows in methods(record).items() if name != lora}
    shown = list(PARTS.items())[1:]
    found = {words: rp.gaps(others, tuned, part, less=True) for words, part in shown}
    return rp.differences(found, "difference, right desk", "Right desk, LoRA minus each other method")


def methods_table(record: Record) -> rp.Html:
    """The methods in numbers, with their paired difference to LoRA, of a record or of a live run."""
    tuned = next(iter(at_most_labels(record).values()))
    less = (lambda rows: "-" if rows[0] is tuned[0] else rp.gap(tuned, rows), rp.points)
    caption = f"The right desk, by a rule that nobody wrote down (scale {record.scale})"
    return rp.conditions_table(methods(record), caption, PARTS | {"LoRA minus this": less})


def prompts_table(record: Record) -> rp.Html:
    """Each description of the desks on validation, plain and calibrated; which of them the test saw."""
    used = {(m, record.one(method=m, split="test")["prompt"]) for m in ("names", "rule")}
    content = condition_names.methods("unwritten_rule")
    rows = []
    for r in record.where(split="valid"):
        right = (r["accuracy"], r.metric("calibrated.accuracy"))
        seen = "yes" if (r["method"], r["prompt"]) in used else ""
        rows.append((content[r["method"]], r["prompt"], f"{r['prompt_tokens']:.0f}", *right, seen))
    heads = ("content of the prompt", "prompt template", "tokens", "plain", "calibrated", "used on test")
    return rp.table_from_lists(heads, rows, "Prompts tried on the validation complaints")


def desk_curve(*records: Record) -> rp.Figure:
    """Right desk against the number of labels, a menu over wording and model size; the best prompt as a level line."""
    figures = {}
    for record, (words, part) in product(records, PARTS.items()):
        sizes, name = {m: by_size(record, m) for m in SHORT}, best(prompts(record))
        series = {SHORT[m]: rp.means(found, part) for m, found in sizes.items() if found}
        level = rp.mean(prompts(record)[name], part)
        series[f"prompt: {name}"] = dict.fromkeys((min(sizes["lora"]), max(sizes["lora"])), level)
        entry = f"{words}, {LADDER.get(record.model, record.model)}"
        caption = f"Right desk against the number of labels, {entry}"
        figures[entry] = rp.curves(series, "labelled complaints", "right desk", caption, log_x=True)
    return rp.choose(figures, "complaints")


def lora_trainings(desks: Record) -> str:
    """How many training runs of LoRA at the most labels are clearly better than always naming one desk."""
    tuned = next(iter(at_most_labels(desks).values()))
    return trainings(tuned, desks.one(method="majority")["accuracy"]["value"])


def over_classifier(desks: Record) -> str:
    """LoRA minus the better classifier on the same labels, at the most labels, and which that is."""
    (_, tuned), *linear = at_most_labels(desks).items()
    rival = best(dict(linear))
    return f"{rp.points(rp.gap(tuned, dict(linear)[rival]))} ({rival})"


def summary(desks: Record) -> rp.Html:
    """The chapter's main result in two sentences."""
    lora, tuned = next(iter(at_most_labels(desks).items()))
    prompt = best(prompts(desks))
    return rp.prose(
        f"A rule that nobody wrote down, {title(desks.model)}: {lora}, finds the right desk for {rp.pct(rp.mean(tuned))}. Minus the best prompt ({prompt}) that is "
        f"{rp.points(rp.gap(tuned, prompts(desks)[prompt]))}; minus the better classifier on the same labels {over_classifier(desks)}."
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


def forecast_table(desks: Record, **others: Record) -> rp.Html:
    """How far a forecast from few labels was off, by learner, task and law; ``others`` are learning curves of other tasks."""
    plan, error = desks.params["forecast"], "forecast minus measured"
    rows = [
        {"texts": task, "learner": words, "forecast": law, error: metric}
        | {"worst seed": f"{signed(100 * worst)} points"}
        for task, curve in {"complaints": desks, **others}.items()
        for learner, words in SHORT.items()
        if by_size(curve, learner)
        for law, (metric, worst) in forecasts(curve, plan, learner).items()
    ]
    caption = f"The accuracy at {plan[2]} labels, forecast from {plan[0]} and {plan[1]}"
    return rp.table(rows, caption, show={error: rp.points})


def labels_measured(record: Record) -> dict[str, object]:
    """What the question of how many labels there are is answered with: LoRA at each number of labels, and the forecasts."""
    rows, plan = by_size(record, "lora"), record.params["forecast"]
    found: dict[str, object] = {f"LoRA, {n} labels": m for n, m in rp.means(rows).items()}
    found[f"{plan[2]} labels minus {plan[1]}"] = rp.points(rp.gap(rows[plan[2]], rows[plan[1]]))
    told = forecasts(record, plan, "lora")
    return found | {
        f"forecast by “{law}”, minus measured": rp.points(error) for law, (error, _) in told.items()
    }


# -- tasks with different starts -----------------------------------------------------------------------------------------


def gain_by_start(record: Record) -> rp.Figure:
    """The gain of LoRA on each task, from the lowest start to the highest."""
    zero = sorted(record.where(method="zero-shot"), key=lambda r: r["accuracy"]["value"])
    tuned = {r["task"]: record.where(method="lora", task=r["task"]) for r in zero}
    about = public_texts.ABOUT | rated_tasks.ABOUT
    found = {
        f"{about[r['task']]}; from {rp.pct(r['accuracy']['value'])}": rp.gap(tuned[r["task"]], [r])
        for r in zero
    }
    axis = f"gain of LoRA on {record.params['labels']} labels"
    return rp.differences(found, axis, "Gain of LoRA, from the lowest start to the highest")


def gains(before: Row, after: Sequence[Row]) -> dict[str, dict]:
    """What tuning adds to the strict accuracy (``strict``), to the label-scored one (``scored``), and to the first above the second
    (``form``)."""

    def above(rows: Sequence[Row]) -> list:
        return [np.subtract(r.outcomes("strict.accuracy"), r.outcomes("scored.accuracy")) for r in rows]

    found = {how: rp.gap(after, [before], f"{how}.accuracy") for how in ("strict", "scored")}
    return found | {"form": compare_arrays(above(after), above([before]), before.groups).metric()}


def form_table(record: Record) -> rp.Html:
    """What tuning adds on each task, scored strictly and by labels; what can be read, and what of the gain is form."""
    heads = {
        "strict": "gain, scored strictly",
        "scored": "gain, label-scored",
        "form": "the part that is form",
    }
    rows = []
    for before in record.where(method="before"):
        same = {"task": before["task"], "wording": before["wording"]}
        after = record.where(method="lora", **same)
        row = {
            "task": f"{rated_tasks.ABOUT[before['task']]}; prompt “{before['wording']}”",
            "readable before": before["readable"],
        }
        row |= {"readable after": rp.mean(after, "readable")}
        row |= {heads[how]: gain for how, gain in gains(before, after).items()}
        row["tuned, scored strictly"] = rp.mean(after, "strict.accuracy")
        rival = record.where(method="embeddings", task=before["task"])
        rows.append(row | {"MiniLM, the same labels": rp.mean(rival)})
    caption = f"What LoRA on {record.params['labels']} labels adds, and how much of it is that its answers can be read"
    return rp.table(rows, caption, show=dict.fromkeys(heads.values(), rp.points))
