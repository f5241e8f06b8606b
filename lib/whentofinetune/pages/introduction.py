"""Figures and tables of the introduction, each a function of run records."""

from __future__ import annotations

from tunewise.record import Record
from tunewise.report import Figure, Html, bars_with_interval, in_words, mean, pct, prose, table
from whentofinetune.pages.icl_figures import NAMES

BYTES = 4  # a trained parameter is kept in float32


def then_and_now(curve: Record, n: int = 300) -> Figure:
    """Methods to have tweets classified, from the oldest to the newest, on the same labels."""
    bars = {NAMES["lexicon"]: mean(curve.where(method="lexicon"))}
    shown = {"tfidf": "TF-IDF", "embeddings": "MiniLM", "lora": "LoRA"}
    bars |= {f"{name}, {n} labels": mean(curve.where(method=m, n_labels=n)) for m, name in shown.items()}
    alt = f"Accuracy on tweets: {in_words(bars)}"
    return bars_with_interval(bars, "accuracy", alt, horizontal=True, line=(1 / 3, "chance"))


def what_is_trained(methods: Record) -> Html:
    """What each method of fine-tuning changes, what of it has to be kept for each task, and what it reaches."""
    n = max(r["n_labels"] for r in methods.results)
    whole = max(r["trainable"] for r in methods.where(method="full"))
    rows = []
    for method in ("full", "lora", "qlora"):
        if found := methods.where(method=method, n_labels=n):
            trained = found[0]["trainable"]
            row = {"method": NAMES[method], "trainable parameters": trained}
            row |= {
                "share of the model": f"{trained / whole:.1%}",
                "to keep a task": f"{trained * BYTES / 1e6:,.0f} MB",
            }
            rows.append(row | {f"accuracy, {n} labels": mean(found)})
    return table(rows, "The same model and labels, full and parameter-efficient fine-tuning")


def two_prompts(record: Record) -> Html:
    """The prompt templates of a live run, side by side, on the test texts."""
    rows = [
        {"prompt template": f"“{r['wording']}”", "accuracy": r["accuracy"]}
        for r in record.where(method="score", split="test")
    ]
    return table(rows, f"The same model and tweets, a live run, scale {record.scale}")


def compared(record: Record) -> Html:
    """What the recorded run says of the prompt templates, in one sentence."""
    found = sorted(
        (r["accuracy"] for r in record.where(method="score", split="test")), key=lambda m: m["value"]
    )
    return prose(
        f"The recorded run, with {len(found)} prompt templates: the worst is right on {pct(found[0])}, the best on {pct(found[-1])}. Nothing was trained."
    )
