"""The material of the lab "Will it fit?": the sizes of a Llama-shaped model and each student's own steps."""

from __future__ import annotations

from dataclasses import dataclass

from finetune_memory import Settings
from whentofinetune.labs import Variant

MODELS = ("llama-2-7b", "deepseek-llm-7b", "open_llama_3b", "codellama-7b", "deepseek-coder-6.7b")
METHODS = ("full", "lora", "qlora")
# too large for 16 GB; of each, one change of the lab's list is enough
TOO_LARGE = (
    {"model": "smollm2-1.7b", "method": "full", "batch": 1, "seq": 256},
    {"model": "llama-3-8b", "method": "qlora", "batch": 8, "seq": 512, "checkpointing": True},
    {"model": "llama-2-7b", "method": "qlora", "batch": 2, "seq": 2048},
    {"model": "llama-2-7b", "method": "lora", "batch": 1, "seq": 512},
    {"model": "llama-2-7b", "method": "lora", "batch": 4, "seq": 1024, "checkpointing": True},
)


@dataclass(frozen=True)
class Sizes:
    """Sizes of a Llama-shaped model. kv_width: outputs of the key matrix, and of the value matrix."""

    hidden: int
    intermediate: int
    layers: int
    vocab: int
    kv_width: int


def sizes(model: str) -> Sizes:
    """The sizes of a model that the book knows. Raises UnknownModel for another."""
    s = Settings(model=model).shape
    return Sizes(s.hidden, s.intermediate, s.layers, s.vocab, s.kv_heads * s.head_dim)


def step(**settings) -> Settings:
    """A step on a card of the RTX 40 series, LoRA on all linear layers."""
    adapted = {} if settings["method"] == "full" else {"targets": "all-linear"}
    return Settings(arch=89, **adapted, **settings)


def three_steps(v: Variant) -> dict[str, Settings]:
    """Method -> the student's step: one model, batch, length and rank, with checkpointing."""
    rng = v.rng("fit")
    batch, seq = ((1, 512), (2, 512), (1, 1024), (4, 512))[rng.integers(4)]
    model, rank = str(rng.choice(MODELS)), int(rng.choice([8, 16]))
    shared = {"model": model, "batch": batch, "seq": seq, "rank": rank, "checkpointing": True}
    return {method: step(method=method, **shared) for method in METHODS}


def too_large(v: Variant) -> Settings:
    """A step of the student's that does not fit 16 GB."""
    return step(**TOO_LARGE[v.rng("too large").integers(len(TOO_LARGE))])
