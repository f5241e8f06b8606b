"""The material of the lab "Tune one": a student's draw of complaints, and small adapters in PEFT's format to test with."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from whentofinetune.datasets.desks import complaints
from whentofinetune.labs import Variant

LABELS = complaints().labels
# Matrices of the bundled model that get an adapter, in each of its 30 layers: numbers in, numbers out.
LAYERS, SHAPES = 30, [(576, 576), (576, 192), (576, 192), (576, 576), (576, 1536), (576, 1536), (1536, 576)]


def splits(v: Variant, sizes: Mapping[str, int]) -> dict[str, list[tuple[str, str]]]:
    """Split -> pairs of complaint and label, as many of each label, drawn for the student; validation is the same for all.

    ``sizes`` says how many of ``train``, ``valid`` and ``test``, multiples of four.
    """
    drawn = {}
    for split, size in sizes.items():
        rng, items = v.rng(split), getattr(complaints(), split)
        of = [[e for e in items if e.label == y] for y in range(len(LABELS))]
        chosen = [mine[i] for mine in of for i in rng.permutation(len(mine))[: size // len(LABELS)]]
        drawn[split] = [(chosen[i].text, LABELS[chosen[i].label]) for i in rng.permutation(len(chosen))]
    return drawn


def invented_adapter(folder: Path, rng: np.random.Generator, rank: int, alpha: int) -> dict[str, np.ndarray]:
    """Write a LoRA adapter of random numbers as PEFT would; what it adds to each of its two matrices, by the matrix's name."""
    from safetensors.numpy import save_file

    tensors, added = {}, {}
    for name, (inside, outside) in {"layers.0.q_proj": (6, 5), "layers.1.v_proj": (4, 3)}.items():
        a, b = rng.normal(size=(rank, inside)), rng.normal(size=(outside, rank))
        stem = f"base_model.model.{name}"
        tensors |= {
            f"{stem}.lora_A.weight": a.astype("float32"),
            f"{stem}.lora_B.weight": b.astype("float32"),
        }
        added[name] = alpha / rank * b @ a
    save_file(tensors, str(folder / "adapter_model.safetensors"))
    told = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": ["q_proj", "v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(told), encoding="utf-8")
    return added
