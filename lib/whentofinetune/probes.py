"""What a training on one task moves and takes away: the distance of the weights, and four probes of the model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tunewise.data import Task
from tunewise.experiment import Scores
from tunewise.finetune import ALL_LINEAR
from tunewise.prompting import PromptTemplate
from tunewise.scoring import label_logprobs, text_bits
from whentofinetune.classification import label_scores, subset
from whentofinetune.datasets import Item, general_items, only, vader
from whentofinetune.datasets.invented_words import recalled

SHOWN = 8  # invented words in a prompt


def probe(lm, task: Task, template: PromptTemplate, size: dict, **facts) -> Scores:
    """The task itself (validation items), and three things that it is not: bits for newspaper sentences, easy general items, and
    the use of examples in the prompt. One outcome an item of each, None for the items of the others.

    size: items of each, under ``task``, ``texts``, ``items`` and ``recall`` (prompts of eight words).
    """
    held_out, general = subset(task.valid, size["task"]), general_items.items()[: size["items"]]
    texts = [r for r in vader.split("news")["test"] if len(r.text) >= 60][: size["texts"]]
    guesses = label_scores(lm, template, task, held_out).argmax(axis=1)
    bits, _ = text_bits(lm, [r.text for r in texts])
    scores = [label_logprobs(lm, "", [item.prompt], item.labels) for item in general]
    hits = [recalled(lm, SHOWN, np.random.default_rng([5, seed])) for seed in range(size["recall"])]
    found = {
        "task": (held_out, [bool(g == e.label) for g, e in zip(guesses, held_out, strict=True)]),
        "bits": (texts, [round(float(b), 2) for b in bits]),
        "general": (general, general_items.right(scores, general)),
        "recall": (words(len(hits)), np.concatenate(hits).tolist() if hits else []),
    }
    return scored(found, facts)


def words(prompts: int) -> list[Item]:
    """The invented words that are asked for; those that stand in one prompt are a group."""
    return [Item(f"prompt {i}, word {j}", f"prompt {i}") for i in range(prompts) for j in range(SHOWN)]


def scored(probes: Mapping[str, tuple[Sequence, Sequence]], facts: Mapping[str, Any]) -> Scores:
    """The probes, each with its items and one outcome an item, as one row."""
    of = [name for name, (items, _) in probes.items() for _ in items]
    asked = [item for items, _ in probes.values() for item in items]
    values = [value for _, outcomes in probes.values() for value in outcomes]
    return Scores(asked, facts=facts, **{name: only(values, [o == name for o in of]) for name in probes})


def is_adapted(name: str) -> bool:
    """Whether a parameter of that name is the weight of a layer to which LoRA adds an adapter."""
    return any(f".{layer}.weight" in name for layer in ALL_LINEAR)


def moved(model, before: dict | None) -> float:
    """How far training has moved the decoder's linear layers: the Frobenius norm of their change over the norm of what they
    were. An adapter's change is (alpha / rank) B A (Hu et al. 2021, arXiv 2106.09685)."""
    from peft.utils.integrations import dequantize_module_weight

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
                whole += float(dequantize_module_weight(module.get_base_layer()).float().pow(2).sum())
        return (change / whole) ** 0.5
