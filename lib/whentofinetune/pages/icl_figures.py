"""Figures and tables of the chapter *In-context learning or fine-tuning?*, each a function of run records."""

from collections.abc import Mapping, Sequence

import numpy as np

from tunewise import report as rp
from tunewise import stats
from tunewise.comparison import compare_arrays
from tunewise.finetune import Recipe
from tunewise.record import Record, Row
from whentofinetune import verdicts
from whentofinetune.classification import did_best
from whentofinetune.pages import condition_names

NAMES = condition_names.methods("few_shot")
CALIBRATED = "calibrated.accuracy"
FEW = "few-shot, random, calibrated"


def by_size(record: Record, method: str, setting: str = "n_labels", metric: str = "accuracy") -> dict:
    """Number of labels or examples -> the mean of a method."""
    return rp.means(record.by(setting, method=method), metric)


def summary(wordings: Record, shots: Record, curve: Record) -> rp.Html:
    """The chapter's main result in one sentence."""
    zero = [r["accuracy"]["value"] for r in wordings.where(method="score", split="test")]
    few = by_size(shots, "random", "k", CALIBRATED)
    best = max(few, key=lambda k: few[k]["value"])
    return rp.prose(
        f"{verdicts.title(curve.model)}: without examples, the prompt template alone moves accuracy between {rp.pct(min(zero))} and {rp.pct(max(zero))}. The best calibrated few-shot prompt (k = {best}, picked on the test tweets, "
        f"which favours it) reaches {rp.pct(few[best])}; LoRA on 100 labels reaches {rp.pct(by_size(curve, 'lora')[100])}."
    )


def without_a_model(curve: Record) -> rp.Html:
    """What needs no language model: a constant answer, a word list, logistic regression on word counts."""
    found = [(m, "none", rp.mean(curve.where(method=m))) for m in ("majority", "lexicon")]
    found += [("tfidf", str(n), mean) for n, mean in by_size(curve, "tfidf").items()]
    rows = [{"method": NAMES[m], "labels": n, "accuracy": mean} for m, n, mean in found]
    return rp.table(rows, "What can be had without a language model")


# -- the prompt ----------------------------------------------------------------------------------------------------------


def templates_table(record: Record) -> rp.Html:
    """Each prompt template: validation and test accuracy, and how many generated answers could be read."""
    rows = []
    for test in record.where(method="score", split="test"):
        wording = test["wording"]
        (free,) = record.where(method="generate", wording=wording) or [{}]
        valid = record.one(method="score", split="valid", wording=wording)["accuracy"]
        row = {"prompt template": wording, "validation": valid, "test": test["accuracy"]}
        row["generated answers that could be read"] = free.get("parsed")
        rows.append(row | {"generated, test": free.get("accuracy")})
    return rp.table(rows, "The same model and tweets, five prompt templates")


def prompts_used(records: Mapping[str, Record]) -> rp.Html:
    """Which template each arm of ``few_shot`` used: the one with the best validation accuracy. records: model size -> record."""

    def won(record: Record, k: int) -> str:
        return f"“{did_best(record.where(method='trial', k=k))}”"

    said = [
        f"at {size} {won(r, 0)} without examples and {won(r, 4)} with them" for size, r in records.items()
    ]
    return rp.prose(f"The prompt template that validation chose: {'; '.join(said)}.")


def minus_calibrated(rows: Sequence[Row], shots: Sequence[Row]) -> dict[str, float]:
    """Accuracy of ``rows`` minus the calibrated accuracy of few-shot prompts, paired by test item."""

    def outcomes(found: Sequence[Row], metric: str) -> list[list[float | None]]:
        by_item = [dict(zip(r.items, r.outcomes(metric), strict=True)) for r in found]
        return [[of[i] for i in rows[0].items] for of in by_item]

    return compare_arrays(outcomes(rows, "accuracy"), outcomes(shots, CALIBRATED)).metric()


def calibration_gains(records: Mapping[str, Record]) -> dict[str, dict[str, dict]]:
    """Size -> examples in the prompt -> calibrated minus as scored. records: model size -> record of ``few_shot``."""
    found: dict[str, dict[str, dict]] = {}
    for size, record in records.items():
        found[size] = {}
        for method in ("random", "balanced"):
            for k, rows in record.by("k", method=method).items():
                gain = [np.subtract(r.outcomes(CALIBRATED), r.outcomes("accuracy")) for r in rows]
                found[size][f"{k} {method}"] = compare_arrays(gain, np.zeros((1, len(gain[0])))).metric()
    return found


def calibration_figure(records: Mapping[str, Record]) -> rp.Figure:
    """Calibrated minus as scored, by the examples in the prompt."""
    title = "accuracy calibrated minus as scored"
    return rp.differences(
        calibration_gains(records), title, "What calibration adds, by the examples in the prompt"
    )


def calibration_said(records: Mapping[str, Record]) -> rp.Html:
    """At each size, the prompts whose accuracy calibration raises or lowers beyond what may be chance."""
    said = []
    for size, found in calibration_gains(records).items():
        adds = [name for name, gain in found.items() if gain["low"] > 0]
        takes = [name for name, gain in found.items() if gain["high"] < 0]
        said.append(
            f"At {size}: adds with {', '.join(adds) or 'none'}; takes away with {', '.join(takes) or 'none'}."
        )
    number = len(found)
    return rp.prose(f"Where the interval leaves out zero, of {number} prompts at each size. {' '.join(said)}")


def shots_figure(record: Record) -> rp.Figure:
    """Accuracy against the number of examples in the prompt, by how they were chosen, as scored and calibrated."""
    chosen = [m for m in ("random", "balanced", "nearest", "vote") if record.where(method=m)]
    series = {NAMES[m]: by_size(record, m, "k") for m in chosen}
    series[FEW] = by_size(record, "random", "k", CALIBRATED)
    levels = {NAMES["zero-shot"]: rp.mean(record.where(method="zero-shot"))}
    caption = "Accuracy against the number of in-context examples"
    return rp.curves(series, "examples in the prompt", "accuracy", caption, log_x=True, levels=levels)


def by_position(row: Row) -> list[dict]:
    """Of a row of ``example_position``: how often the answer is right for each position of the decisive example."""
    right = np.reshape(row.outcomes("accuracy"), (-1, row["k"]))
    return [stats.proportion(int(at.sum()), len(at)) for at in right.T]


def position_figure(record: Record) -> rp.Figure:
    """A menu over k, the longest prompt first: how often the answer is right, by where the decisive example stands."""
    figures = {}
    for r in sorted(record.where(method="position"), key=lambda r: -r["k"]):
        series = {"right": dict(enumerate(by_position(r), 1)), "chance": {1: 0.25, r["k"]: 0.25}}
        caption = f"{r['k']} examples, right answers at any position: {rp.pct(rp.mean([r]), n=False)}"
        x_title = "position of the decisive example (the last is next to the question)"
        figures[f"{r['k']} examples"] = rp.curves(series, x_title, "right answers", caption)
    return rp.choose(figures, "number of examples")


# -- fine-tuning -------------------------------------------------------------------------------------------------------


def curve_figure(curve: Record, shots: Record | None = None) -> rp.Figure:
    """Accuracy against the number of labels, for everything that learns from labels, and calibrated few-shot prompts."""
    learners = [m for m in ("lora", "encoder", "embeddings", "tfidf") if curve.where(method=m)]
    series = {NAMES[m]: by_size(curve, m) for m in learners}
    if shots is not None:
        series[FEW] = {k: m for k, m in by_size(shots, "random", "k", CALIBRATED).items() if k >= 8}
    levels = {NAMES["lexicon"]: rp.mean(curve.where(method="lexicon"))}
    caption = "Accuracy against the number of labelled examples"
    return rp.curves(series, "labelled examples", "accuracy", caption, log_x=True, levels=levels)


def lead_over_embeddings(curves: Mapping[str, Record]) -> rp.Html:
    """At each size, LoRA's lead over the linear classifier on embeddings with the same labels, from few labels to many."""
    said = []
    for size, curve in curves.items():
        leads = [
            f"{n} labels {rp.points(rp.gap(rows, curve.where(method='embeddings', n_labels=n)), n=False)}"
            for n, rows in curve.by("n_labels", method="lora").items()
        ]
        said.append(f"At {size}: {'; '.join(leads)}.")
    return rp.prose(f"LoRA minus the classifier on embeddings, with the same labels. {' '.join(said)}")


def recipe_table(curve: Record) -> rp.Html:
    """How LoRA was trained at each number of labels: passes, steps, batch, peak rate."""
    recipe = Recipe(**curve.params["recipe"]["lora"])
    rows = []
    for n, (row, *_) in curve.by("n_labels", method="lora").items():
        seen = row["examples_seen"]
        rows.append({"labels": n, "passes": f"{seen / n:g}", "steps": recipe.steps(n)})
        rows[-1] |= {"examples a step, at most": recipe.batch_size, "peak rate": f"{recipe.learning_rate:g}"}
    return rp.table(rows, f"How LoRA was trained (rank {recipe.rank}, alpha {recipe.alpha})")


def equal_labels(curve: Record, shots: Record) -> rp.Figure:
    """LoRA minus its rivals at equal labels, each difference paired by test item.

    Few-shot prompts were measured with other numbers of examples: each LoRA meets the next larger one, which favours the prompt.
    The nearest examples are drawn from as many labels as the pool of ``few_shot`` has.
    """
    rivals = {"zero-shot": lambda n: shots.where(method="zero-shot")}
    rivals["MiniLM embeddings"] = lambda n: curve.where(method="embeddings", n_labels=n)
    rivals["MiniLM, fine-tuned"] = lambda n: curve.where(method="encoder", n_labels=n)
    rivals["TF-IDF"] = lambda n: curve.where(method="tfidf", n_labels=n)
    tuned = curve.by("n_labels", method="lora")
    series = {
        f"minus {name}": {f"{n} labels": rp.gap(rows, rival(n)) for n, rows in tuned.items() if rival(n)}
        for name, rival in rivals.items()
    }
    random = shots.by("k", method="random")
    series["minus random examples, at least as many, calibrated"] = {
        f"{n} labels": minus_calibrated(rows, random[min(k for k in random if k >= n)])
        for n, rows in tuned.items()
        if n <= max(random)
    }
    pool, nearest = shots.params["pool"], list(shots.by("k", method="nearest").values())[-1]
    series["minus the nearest examples of as many"] = {f"{pool} labels": rp.gap(tuned[pool], nearest)}
    title = "accuracy of LoRA minus that of the rival"
    return rp.differences(
        series, title, f"LoRA minus its rivals, at equal labels, {verdicts.title(curve.model)}"
    )


def methods_table(record: Record) -> rp.Html:
    """LoRA, QLoRA and full fine-tuning on the same labels, each with its paired difference to LoRA and what it trains."""
    rows = []
    for n, lora in record.by("n_labels", method="lora").items():
        for m in ("lora", "qlora", "full"):
            if found := record.where(method=m, n_labels=n):
                row = {"labels": n, "method": NAMES[m], "accuracy": rp.mean(found)}
                row["minus LoRA"] = "-" if m == "lora" else rp.gap(found, lora)
                rows.append(row | {"trainable parameters": found[0]["trainable"]})
    caption = "Three methods to fine-tune the same model on the same labels"
    return rp.table(rows, caption, show={"minus LoRA": rp.points})


def methods_said(record: Record) -> rp.Html:
    """Where the accuracy of QLoRA or full fine-tuning differs clearly from LoRA's, in a sentence."""
    apart, open_ = [], []
    for n, lora in record.by("n_labels", method="lora").items():
        for m in ("qlora", "full"):
            if found := record.where(method=m, n_labels=n):
                gap, name = rp.gap(found, lora), f"{NAMES[m]} at {n} labels"
                clear = gap["low"] > 0 or gap["high"] < 0
                (apart if clear else open_).append(f"{name} ({rp.points(gap, n=False)})" if clear else name)
    said = f"Clearly different from LoRA: {', '.join(apart) or 'none'}. Open: {', '.join(open_) or 'none'}."
    return rp.prose(said)


# -- cost, leaks ----------------------------------------------------------------------------------------------------------


def calls(record: Record) -> list[Row]:
    """The rows of ``prompt_cost``, from no examples to the most."""
    return sorted(record.where(method="latency"), key=lambda r: r["k"])


def latency_fit(record: Record) -> dict[str, float]:
    """Least-squares line of seconds on prompt tokens: intercept (s), slope (s a token), share of variance explained."""
    x, y = np.array([(r["prompt_tokens"], r["seconds"]["value"]) for r in calls(record)]).T
    slope, intercept = np.polyfit(x, y, 1)
    r2 = 1 - ((y - intercept - slope * x) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    return {"slope": float(slope), "intercept": float(intercept), "r2": float(r2)}


def latency_measured(record: Record) -> dict[str, str]:
    """What the verdict on C28 shows: tokens and seconds a call without examples, with 16 and with the most, and the line."""
    rows, fit = calls(record), latency_fit(record)
    said = {
        f"{r['k']} examples": f"{r['prompt_tokens']:,.0f} tokens, {rp.plain(r['seconds'], 's')}; with a prefix cache {r['seconds_cached']:.2f} s"
        for r in rows
        if r["k"] in (0, 16, rows[-1]["k"])
    }
    return said | {"straight line": f"{1000 * fit['slope']:.2f} ms a token, R² {fit['r2']:.3f}"}


def exposure(row: Row) -> float:
    """Median exposure (bits) of the secrets of a row of ``leaks``."""
    return float(np.median(row.outcomes("exposure")))


def leaks_table(record: Record) -> rp.Html:
    """How often a planted secret came out, by where it had been planted."""
    words = {
        "base": "nowhere (base model)",
        "prompt": "in one example of the prompt",
        "answer": "in training, in the completion",
        "input": "in training, in the prompt (no loss on it)",
    }
    rows = []
    for r in record.results:
        often = {None: "-", 1: "once"}.get(r.get("repeats"), f"{r.get('repeats')} times")
        row = {"the code stood": words[r.get("place", r["method"])]}
        row["how much"] = f"{r['k']} examples" if "k" in r else often
        row |= {"generated when asked": r["extracted"], "exposure, bits (median)": rp.plain(exposure(r))}
        rows.append(row)
    return rp.table(rows, "A six-digit code, planted and asked for")
