"""What the memory calculator is asked about: one training step, described in the terms of the libraries that run it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property

from finetune_memory import known_models
from finetune_memory.shape import Shape, UnknownModel

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
METHODS = ("full", "lora", "qlora")
OPTIMIZERS = ("adamw", "adamw8bit", "paged_adamw", "paged_adamw8bit", "adafactor", "sgd", "sgd_momentum")
CHOICES = {
    "method": METHODS,
    "dtype": tuple(BYTES),
    "adapter_dtype": tuple(BYTES),
    "rows": ("full", "padded", "packed"),
    "optimizer": OPTIMIZERS,
    "optimizer_mode": ("foreach", "fused", "forloop"),
    "attention": ("eager", "sdpa", "flash"),
    "loss": ("default", "chunked", "fused"),
    "logits": ("auto", "fp32"),
    "outputs": ("dropped", "step", "next"),
    "sharding": ("none", "ddp", "fsdp"),
}
WHOLE = ("batch", "seq", "rank", "loss_chunks", "arch", "gpus")
# other common names of the optimisers
ALIASES = {
    "adamw_torch": "adamw",
    "adamw_8bit": "adamw8bit",
    "adamw_bnb_8bit": "adamw8bit",
    "paged_adamw_8bit": "paged_adamw8bit",
    "paged_adamw_32bit": "paged_adamw",
    "sgd-momentum": "sgd_momentum",
}


@dataclass(frozen=True)
class Settings:
    """One training step. The defaults are those of transformers, PEFT and bitsandbytes.

    model: a Hub id or its short form, or a ``config.json`` as a dictionary. method: full, lora or qlora (NF4 weights).
    rank, targets: of LoRA; targets are names of linear layers, or "all-linear" (every one but the head). adapter_dtype: PEFT
    keeps adapters in fp32. lora_dropout: any share above 0 costs the same. double_quant: whether the scales of NF4 are quantised too. kbit_preparation:
    ``prepare_model_for_kbit_training``, which turns what stays 16-bit beside NF4 into fp32.
    batch: rows. seq: tokens a row. rows: "full" (every row has seq tokens and needs no mask), "padded" (rows filled up to
    seq; their mask is an input), "packed" (several texts a row that must not see each other).
    dtype: of weights, or with master_weights of the arithmetic (fp32 weights under autocast); for qlora of the products.
    optimizer: its states have the dtype of what is trained (8 bit: bitsandbytes; paged: states in CUDA managed memory).
    optimizer_mode: foreach (PyTorch's default), fused, forloop. in_backward: update each parameter as soon as its gradient is there.
    checkpointing: gradient checkpointing of every block. attention: "eager", "sdpa" (PyTorch picks the kernel by arch), "flash"
    (the flash kernel). loss: "default" (transformers' cross-entropy over all logits), "chunked" (logits in loss_chunks parts,
    each with its own cross-entropy), "fused" (no more than one part of logits exists at a time). logits: "fp32" if the
    model returns them so. outputs: until when the loop keeps what the model returned: "dropped" before the backward pass
    (transformers' Trainer), to the end of the "step", or until the "next" step's forward pass is through
    (``outputs = model(...)`` in a loop). use_cache: whether the model returns its keys and values too (not under
    checkpointing). accumulation: whether gradients of earlier batches are there already (gradient accumulation).
    arch: compute capability of the GPU times ten (75: T4, 80: A100, 86, 89: RTX 4090, 90: H100). torch: PyTorch's version, which decides
    on the kernel of grouped-query attention. bitsandbytes: its version; before 0.43.2 it kept the input of 4-bit products as long as the graph lived. gpus, sharding: how many, and whether
    they hold copies ("ddp") or shares ("fsdp") of the model; all else is per GPU.

    Raises ValueError for a value that is not possible, :class:`UnknownModel` for a model not known.
    """

    model: str | Mapping = "meta-llama/Llama-2-7b-hf"
    method: str = "lora"
    rank: int = 8
    targets: tuple[str, ...] | str = ("q_proj", "v_proj")
    adapter_dtype: str = "fp32"
    lora_dropout: float = 0.0
    double_quant: bool = False
    kbit_preparation: bool = True
    batch: int = 1
    seq: int = 512
    rows: str = "full"
    dtype: str = "bf16"
    master_weights: bool = False
    optimizer: str = "adamw"
    optimizer_mode: str = "foreach"
    in_backward: bool = False
    checkpointing: bool = False
    attention: str = "sdpa"
    loss: str = "default"
    loss_chunks: int = 8
    logits: str = "auto"
    loss_fp32: bool = True
    outputs: str = "step"
    use_cache: bool = False
    accumulation: bool = False
    arch: int = 80
    torch: str = "2.14"
    bitsandbytes: str = "0.50"
    gpus: int = 1
    sharding: str = "none"

    def __post_init__(self):
        object.__setattr__(self, "optimizer", ALIASES.get(self.optimizer, self.optimizer))
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is one of {', '.join(choices)}, not {getattr(self, name)!r}")
        for name in WHOLE:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        for f in fields(self):
            if isinstance(f.default, bool) and not isinstance(getattr(self, f.name), bool):
                raise ValueError(f"{f.name} is true or false, not {getattr(self, f.name)!r}")
        if (
            isinstance(self.lora_dropout, bool)
            or not isinstance(self.lora_dropout, (int, float))
            or not 0 <= self.lora_dropout < 1
        ):
            raise ValueError(f"lora_dropout is a share from 0 to below 1, not {self.lora_dropout!r}")
        for name in ("torch", "bitsandbytes"):
            value = getattr(self, name)
            if (
                not isinstance(value, str)
                or "." not in value
                or not all(part.isdecimal() for part in value.split(".")[:2])
            ):
                raise ValueError(f"{name} is a version such as {getattr(Settings, name)}, not {value!r}")
        if isinstance(self.targets, list):
            object.__setattr__(self, "targets", tuple(self.targets))
        self._fits_together()

    def _fits_together(self) -> None:
        shape = self.shape  # raises for an unknown model
        if self.method != "full":
            shape.targets(self.targets)  # raises for an unknown module
        if self.method == "qlora":
            if shape.layout == "gpt2":
                raise ValueError(
                    "GPT-2 keeps its weights in Conv1D modules, which 4-bit quantisation does not take; use lora"
                )
            if self.master_weights:
                raise ValueError(
                    "qlora has no fp32 master weights: its weights are 4-bit; leave master_weights out"
                )
        if self.method != "full" and {self.dtype, self.adapter_dtype} == {"bf16", "fp16"}:
            raise ValueError(
                f"adapters are fp32 or of the weights' type: set adapter_dtype to fp32 or {self.dtype}"
            )
        if self.master_weights and self.dtype == "fp32":
            raise ValueError(
                "master_weights means fp32 weights computed with in 16 bits: set dtype to bf16 or fp16, or leave it out"
            )
        if self.attention == "flash" and self.dtype == "fp32":
            raise ValueError(
                "flash attention needs 16-bit numbers: set dtype to bf16 or fp16, or attention to sdpa"
            )
        if self.attention == "flash" and self.arch < 80:
            raise ValueError(
                "flash attention needs an Ampere GPU or newer (arch 80 or more); use sdpa on this one"
            )
        if self.accumulation and self.in_backward:
            raise ValueError(
                "an optimiser in the backward pass cannot accumulate gradients: leave out accumulation or in_backward"
            )
        if self.gpus > 1 and self.sharding == "none":
            raise ValueError(
                "several GPUs need a sharding: ddp (a copy of the model on each) or fsdp (a share on each)"
            )
        if shape.positions and self.seq > shape.positions:
            raise ValueError(
                f"{shape.family} has learned positions for {shape.positions} tokens; seq cannot be {self.seq}"
            )

    @classmethod
    def from_dict(cls, values: Mapping) -> Settings:
        """Settings from a dictionary; what is left out keeps its default. Raises ValueError for an unknown name."""
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise ValueError(f"unknown setting {', '.join(unknown)}; there are {', '.join(sorted(names))}")
        return cls(**values)

    def version(self, library: str) -> tuple[int, ...]:
        """The version of "torch" or "bitsandbytes": at most three numbers."""
        return tuple(int(part) for part in getattr(self, library).split(".")[:3] if part.isdecimal())

    def replace(self, **changes) -> Settings:
        return dataclasses.replace(self, **changes)

    @cached_property
    def model_id(self) -> str | None:
        """The Hub id, None for a model given by its config."""
        return known_models.find(self.model) if isinstance(self.model, str) else None

    @cached_property
    def config(self) -> Mapping:
        """The model's config, enough for ``transformers`` to build it."""
        if isinstance(self.model, Mapping):
            return self.model
        if self.model_id is None:
            raise UnknownModel(
                f"the model {self.model!r} is not among the {len(known_models.CONFIGS)} known ones; give the path of its config.json instead"
            )
        return known_models.CONFIGS[self.model_id]

    @cached_property
    def shape(self) -> Shape:
        return Shape.from_config(self.config)

    def as_dict(self) -> dict:
        """All settings as JSON values, the model by its Hub id or its whole config."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["model"] = self.model_id or dict(self.config)
        values["targets"] = self.targets if isinstance(self.targets, str) else list(self.targets)
        return values
