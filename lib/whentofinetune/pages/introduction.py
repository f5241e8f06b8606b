"""Figures and tables of the introduction, each a function of run records or of the list of claims."""

from __future__ import annotations

from tunewise.report.figures import Figure, Html, bars_with_interval, table
from tunewise.report.notes import prose
from tunewise.report.numbers import pct
from whentofinetune.pages.accuracy import SHORT
from whentofinetune.pages.icl_figures import NAMES, mean

BYTES = 4  # a trained number is kept in float32


def then_and_now(curve) -> Figure:
    """Ways to have tweets classified, from the oldest to the newest, on the same labels."""
    n = 300
    bars = {NAMES["lexicon"]: mean(curve.where(method="lexicon"))}
    bars |= {
        f"{SHORT[m]}, {n} labels": mean(curve.where(method=m, n_labels=n))
        for m in ("tfidf", "embeddings", "lora")
    }
    alt = "Accuracy on tweets: " + "; ".join(f"{name} {m['value']:.0%}" for name, m in bars.items())
    return bars_with_interval(bars, "accuracy", alt=alt, horizontal=True, line=(1 / 3, "chance"))


def what_is_trained(methods) -> Html:
    """What each way of tuning changes, what of it has to be kept for each task, and what it reaches."""
    n = max(r["n_labels"] for r in methods.results)
    whole = max(r["trainable"] for r in methods.where(method="full"))
    rows = []
    for name in ("full", "lora", "qlora"):
        if found := methods.where(method=name, n_labels=n):
            trained = found[0]["trainable"]
            rows.append(
                {
                    "way": NAMES[name],
                    "trained": trained,
                    "share": f"{trained / whole:.1%}",
                    "kept": f"{trained * BYTES / 1e6:,.0f} MB",
                    "right": mean(found),
                }
            )
    heads = {
        "way": "way",
        "trained": "numbers trained",
        "share": "share of the model",
        "kept": "to keep a task",
        "right": f"accuracy, {n} labels",
    }
    return table(rows, "The same model and labels, tuned in full and in part", heads)


def two_prompts(record) -> Html:
    """The wordings of a live run, side by side, on the test texts."""
    rows = [
        {"wording": f"“{r['wording']}”", "accuracy": r["accuracy"]}
        for r in record.where(method="score", split="test")
    ]
    return table(
        rows,
        f"The same model and tweets, a live run, scale {record.scale}",
        {"wording": "wording of the prompt", "accuracy": "right answers"},
    )


def compared(record) -> Html:
    """What the recorded run says of the wordings, in one sentence."""
    found = [r["accuracy"] for r in record.where(method="score", split="test")]
    low, high = (f(found, key=lambda m: m["value"]) for f in (min, max))
    return prose(
        f"The recorded run, with {len(found)} wordings: the worst is right on {pct(low)}, the best on {pct(high)}. Nothing was trained."
    )
