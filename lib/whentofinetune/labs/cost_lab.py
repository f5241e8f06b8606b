"""The material of the lab "What does it cost?": dated prices, and for each student a job whose decision is a near one."""

from __future__ import annotations

from dataclasses import fields

from tunewise.comparison import gap
from whentofinetune import book_records
from whentofinetune.calculators import cost, read
from whentofinetune.labs import Variant

SLICES = {"easy": "easy tweets", "hard": "hard tweets", "shifted": "product reviews"}


def price_lists() -> dict[str, dict[str, float]]:
    """Hosted models -> base_in, base_out, tuned_in, tuned_out in euro a million tokens, the cache's discount (a share), and from how many
    repeated tokens on it is given."""
    return {
        name: {k: dollars / p["dollars_per_euro"] for k, dollars in p["dollars"].items()}
        | {k: p["values"][k] for k in ("cache_discount", "cached_from")}
        for name, p in read("forms")["presets"].items()
        if "dollars" in p
    }


def origins() -> dict[str, str]:
    """Hosted models -> where their prices are from, and of which day."""
    presets = read("forms")["presets"].items()
    return {
        name: "; ".join(f"{o['from']}, {o['date']}: {o['source']}" for o in (p, p["cache"]))
        for name, p in presets
        if "dollars" in p
    }


def two_ways(s: dict[str, float]) -> tuple[cost.Method, cost.Method]:
    """A long prompt and a tuned model by the book's calculator, from the lab's settings."""
    asked = {f.name: s[f.name] for f in fields(cost.Setting) if f.name in s}
    asked |= {"prompt_tokens": s["shared"] + s["item"], "short_tokens": s["item"]}
    asked |= {"output_tokens": s["answer"], "caching": True}
    long, tuned = cost.cost(cost.Setting(**asked)).values()
    return long, cost.Method(tuned.parts, s["training"], s["upkeep"])


def job(v: Variant) -> dict[str, float]:
    """A job of the student's: prompt lengths as measured in ``prompt_cost``, dated prices, and a number of calls, a training and an
    upkeep that are invented, so that the training pays after a time near the one for which the model is needed."""
    rng, latency = v.rng("job"), book_records.load("prompt_cost")
    lengths = {r["k"]: r["prompt_tokens"] for r in latency.where(method="latency")}
    lists = list(price_lists().values())
    s = {"shared": round(lengths[int(rng.choice([16, 32]))] - lengths[0]), "item": round(lengths[0])}
    s |= {"answer": 2, "calls": int(rng.choice([200, 400, 800])) * 1000}
    s |= lists[rng.integers(len(lists))] | {"training": 0.0, "upkeep": 0.0, "months": 12}
    long, tuned = two_ways(s)
    saved = s["calls"] * (long.call - tuned.call)
    s["upkeep"] = round(0.2 * saved, 2)
    return s | {"training": round(0.8 * saved * 12 * float(rng.choice([0.7, 0.85, 1.2, 1.5])), 2)}


def student_minus_teacher(v: Variant) -> tuple[str, dict[str, float]]:
    """A kind of text, and on it the accuracy of the student (MiniLM, taught by the tuned model) minus its teacher's: a metric over
    all seeds, paired by text."""
    part = str(v.rng("slice").choice(list(SLICES)))
    record = book_records.load("distillation")
    taught = record.where(method="embeddings", source="teacher", slice=part)
    found = gap(taught, record.where(method="teacher", slice=part))
    if found is None:
        raise ValueError(f"the record of distillation has no rows for {part}")
    return SLICES[part], found
