"""What does fine-tuning on one task take away from everything else? Full, LoRA and QLoRA on their way to the same accuracy (C6, C7).

Each way of tuning is stopped at several steps. At each stop we ask how well it does its task (on validation items), how far its
weights have moved, and what it has lost: bits per byte on newspaper sentences, easy general items, and the use of examples in the
prompt (words that were invented, so that the answer stands nowhere else). So methods can be compared where they have *learned*
equally much, not where they have trained equally long.
"""

from __future__ import annotations

import numpy as np
import torch

from tunewise import finetune as ft
from tunewise import stats
from tunewise.finetune import ALL_LINEAR, Recipe
from tunewise.prompt_templates import WORDINGS
from tunewise.scoring import label_logprobs, text_bits
from whentofinetune.datasets import general_items, vader
from whentofinetune.experiments.example_position import KINDS, invented_words
from whentofinetune.old_bench import Bench, Experiment, outcome, public, sample, subset


def run(bench: Bench, params: dict) -> list[dict]:
    """One row a way of tuning and seed, with one point a stop; and one row for each untouched model."""
    name = params["tasks"][0]
    same = {
        "task": name,
        "wording": params["wording"],
        "n_labels": params["labels"],
        "data": bench.fingerprint(name),
    }
    same |= {"probes": params["probes"]}
    rows = []
    for model in dict.fromkeys("qlora" if way["method"] == "qlora" else "lora" for way in params["ways"]):
        settings = {"method": "untouched", "model": "4-bit" if model == "qlora" else "as it is", **same}
        rows.append(
            public(bench.work.step(settings, lambda m=model: probe(bench, bench.model_for(m), params)))
        )
    for way in params["ways"]:
        for seed in params["seeds"]:
            tuning = Recipe(
                seed=seed, epochs=1, min_steps=max(params["stops"]), alpha=2 * way.get("rank", 8), **way
            )
            settings = {"seed": seed, **way, **same, "stops": params["stops"]}
            rows.append(public(bench.work.step(settings, lambda t=tuning: trajectory(bench, t, params))))
    return rows


def trajectory(bench: Bench, tuning: Recipe, params: dict) -> dict:
    """Train, and probe at each stop."""
    task, wording = bench.task(params["tasks"][0]), WORDINGS[params["wording"]]
    answers = wording.answers(task.labels)
    pairs = [
        (wording.query(task, text), answers[y]) for text, y in sample(task, params["labels"], tuning.seed)
    ]
    lm = bench.model_for(tuning.method)
    before = (
        {n: p.detach().clone() for n, p in lm.model.named_parameters() if _adapted(n)}
        if tuning.method == "full"
        else None
    )
    points = []

    def stop(step: int, steps: int, loss: float) -> None:
        if step in params["stops"]:
            points.append(
                {"step": step, "moved": round(moved(lm.model, before), 5), **probe(bench, lm, params)}
            )

    tuned = ft.finetune(lm, pairs, tuning, prefix=wording.prefix(task), progress=stop)
    bench.forget(tuning, lm, tuned)
    return {"points": points, "trainable": tuned.trainable}


def probe(bench: Bench, lm, params: dict) -> dict:
    """The task itself, and three things that it is not."""
    size = params["probes"]
    task, wording = bench.task(params["tasks"][0]), WORDINGS[params["wording"]]
    held_out = subset(task.valid, size["task"])
    guesses = bench.scores(lm, wording, task, held_out).argmax(axis=1)

    texts = [r.text for r in vader.split("news")["test"] if len(r.text) >= 60][: size["texts"]]
    bits, sizes = text_bits(lm, texts)

    items = general_items.items()[: size["items"]]
    right = general_items.right([label_logprobs(lm, "", [item.prompt], item.labels) for item in items], items)

    hits = []
    for seed in range(size["recall"]):
        rng = np.random.default_rng([5, seed])
        words, kinds = invented_words(8, rng), rng.permutation(np.resize(np.arange(len(KINDS)), 8))
        shown = (
            "".join(f"Word: {w}\nKind: {KINDS[k]}\n\n" for w, k in zip(words, kinds, strict=True)) + "Word:"
        )
        scores = label_logprobs(lm, shown, [f" {w}\nKind:" for w in words], [" " + k for k in KINDS])
        hits.append((scores.argmax(axis=1) == kinds).astype(int))
    return {
        "task": outcome(guesses, [e.label for e in held_out]),
        "bits_per_byte": stats.bootstrap((bits, sizes), lambda b, s: b.sum() / s.sum()),
        "bits": [round(float(b), 2) for b in bits],
        "general": stats.proportion(sum(right), len(right)),
        "general_right": "".join(str(int(r)) for r in right),
        "recall": stats.bootstrap([h.mean() for h in hits]) | {"n": sum(map(len, hits))},
        "recall_right": ["".join(map(str, h)) for h in hits],
    }


def _adapted(name: str) -> bool:
    return any(f".{layer}.weight" in name for layer in ALL_LINEAR)


def moved(model, before: dict | None) -> float:
    """How far training has moved the decoder's linear layers: the Frobenius norm of their change over the norm of what they
    were. An adapter's change is (alpha / rank) B A (Hu et al. 2021, arXiv 2106.09685)."""
    with torch.no_grad():
        if before is not None:
            now = dict(model.named_parameters())
            change = sum(float((now[n] - old).float().pow(2).sum()) for n, old in before.items())
            whole = sum(float(old.float().pow(2).sum()) for old in before.values())
            return (change / whole) ** 0.5
        change = whole = 0.0
        for module in model.modules():
            if hasattr(module, "get_delta_weight") and hasattr(module, "lora_A"):
                change += float(module.get_delta_weight("default").float().pow(2).sum())
                whole += float(_plain(module.get_base_layer().weight).float().pow(2).sum())
        return (change / whole) ** 0.5


def _plain(weight: torch.Tensor) -> torch.Tensor:
    """A weight as numbers, also if it is kept in 4 bits."""
    if getattr(weight, "quant_state", None) is None:
        return weight
    import bitsandbytes.functional as F

    return F.dequantize_4bit(weight.data, weight.quant_state)


_WAYS = [
    {"method": "full", "learning_rate": 1e-4},
    {"method": "full", "learning_rate": 3e-4},
    {"method": "lora", "rank": 2, "learning_rate": 1e-3},
    {"method": "lora", "rank": 8, "learning_rate": 1e-3},
    {"method": "lora", "rank": 8, "learning_rate": 3e-3},
    {"method": "lora", "rank": 32, "learning_rate": 1e-3},
    {"method": "qlora", "rank": 8, "learning_rate": 1e-3},
]
_PROBES = {"task": 90, "texts": 60, "items": 100, "recall": 12}
_COMMON = {"model": "smollm2-135m", "tasks": ["tweets"], "wording": "instruction"}

EXPERIMENT = Experiment(
    name="forgetting",
    question="What does fine-tuning on one task take away from everything else?",
    claims=("C6", "C7"),
    run=run,
    scales={
        "smoke": _COMMON
        | {
            "ways": _WAYS[2:3],
            "labels": 8,
            "stops": [1, 2],
            "seeds": [0],
            "probes": {"task": 6, "texts": 4, "items": 6, "recall": 2},
        },
        "laptop": _COMMON
        | {
            "ways": [_WAYS[1], _WAYS[3]],
            "labels": 80,
            "stops": [5, 10],
            "seeds": [0],
            "probes": {"task": 60, "texts": 20, "items": 40, "recall": 5},
        },
        "full": _COMMON
        | {"ways": _WAYS, "labels": 160, "stops": [5, 10, 20], "seeds": [0, 1, 2], "probes": _PROBES},
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "ways": [w for w in _WAYS if w["method"] != "full"],
            "labels": 300,
            "stops": [3, 6, 10, 20, 40],
            "seeds": [0, 1, 2, 3, 4],
            "probes": {"task": 150, "texts": 200, "items": 120, "recall": 60},
        },
    },
)
