"""Verdicts on the private labelling rule (C12) and on the question how many labels there are (C37).

As in :mod:`whentofinetune.pages.icl_verdicts`, which has C13 to C15, each returns (ours, agrees, why), decided from the intervals.
"""

from __future__ import annotations

from collections.abc import Sequence

from tunewise.record import Record, Row
from tunewise.report.numbers import points
from whentofinetune.pages.accuracy import best, best_prompt, forecasts
from whentofinetune.pages.icl_figures import NAMES, gap, mean, sizes
from whentofinetune.pages.icl_verdicts import Verdict


def c12(desks: Record) -> Verdict:
    """Skills that are hard to put in a prompt: LoRA against every prompt, and against classifiers with the same labels."""
    name, prompt = best_prompt(desks)
    lora = best(desks, "lora")
    n = lora[0]["n_labels"]
    rival = max(("tfidf", "embeddings"), key=lambda m: mean(desks.where(method=m, n_labels=n))["value"])
    linear = desks.where(method=rival, n_labels=n)
    over_prompt, over_linear = gap(lora, prompt), gap(lora, linear)
    ours = {
        "the rule in words": mean(desks.where(method="rule", split="test")),
        f"best prompt on test ({name})": mean(prompt),
        f"LoRA, {n} labels": mean(lora),
        "LoRA minus the best prompt": points(over_prompt),
        f"{NAMES[rival]}, {n} labels": mean(linear),
        "LoRA minus that classifier": points(over_linear),
        "LoRA on complaints worded anew": mean(lora, lambda r: r["new"]),
        "worst to best of the draws, rule and examples": _spread(desks.where(method="rule and examples")),
        "worst to best of the draws, LoRA": _spread(lora),
    }
    if over_prompt["low"] <= 0:
        return ours, "no", "Tuning does not clearly beat the best prompt here."
    described = gap(desks.where(method="rule", split="test"), desks.where(method="names", split="test"))
    helped = "helps this small model" if described["low"] > 0 else "does not clearly help this small model"
    tail = f" The description {helped} ({points(described)} over the bare names of the desks); a large one may make more of it, so try it on the model that you would use."
    if over_linear["low"] > 0:
        return (
            ours,
            "yes",
            "The labels teach what the description does not, and the language model makes more of them than a linear classifier."
            + tail,
        )
    worse = "does worse than" if over_linear["high"] < 0 else "is not clearly better than"
    why = f"The labels teach what the description does not. But no language model is needed for that: LoRA {worse} a linear classifier on the same labels."
    return ours, "partly", why + tail


def _spread(rows: Sequence[Row]) -> str:
    """How far the draws of examples or labels lie apart: one way to see how reliable a method is."""
    values = [r["accuracy"]["value"] for r in rows]
    return f"{min(values):.0%} to {max(values):.0%}, {len(values)} draws"


def c37(desks: Record) -> Verdict:
    """Does it matter how many labels there are, and can few of them tell what more would bring?"""
    rows = {n: desks.where(method="lora", n_labels=n) for n in sizes(desks, "lora")}
    fewest, few, many = desks.params["forecast"]
    more = gap(rows[many], rows[few])
    ours = {f"LoRA, {n} labels": mean(found) for n, found in rows.items()} | {
        f"{many} labels minus {few}": points(more)
    }
    told = {
        f["law"]: f["error"]
        for f in forecasts(desks, desks.params["forecast"], desks.params["seeds"], ("lora",))
    }
    ours |= {
        f"forecast of {many} from {fewest} and {few}, {law}": points(told[law]) for law in ("line", "power")
    }
    held = [law for law in ("line", "power") if told[law]["low"] <= 0 <= told[law]["high"]]
    width = max(told[law]["high"] - told[law]["low"] for law in ("line", "power"))
    tail = (
        f" A forecast from {few} labels is no substitute: its interval is up to {100 * width:.0f} points wide"
        + (", though it holds zero." if len(held) == 2 else ", and not every law's holds zero.")
    )
    if more["low"] > 0:
        return (
            ours,
            "yes",
            f"The number of labels decides: {many} do clearly better than {few}. No threshold can be read off; it depends on the task."
            + tail,
        )
    return ours, "no", f"Here {many} labels do not clearly better than {few}." + tail
