"""What is asked about: one training step, described in the terms of the libraries that run it. Standard library only."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

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
LONGEST = 2**20  # tokens of a row; no model known here was trained on longer texts
# other common names of the optimisers
ALIASES = {"adamw_torch": "adamw", "adamw_8bit": "adamw8bit", "adamw_bnb_8bit": "adamw8bit"}
ALIASES |= {"paged_adamw_8bit": "paged_adamw8bit", "paged_adamw_32bit": "paged_adamw"}
ALIASES["sgd-momentum"] = "sgd_momentum"
# The nearest settings to what TRL's SFTTrainer 1.16 does, on transformers 5 and PyTorch 2.8 or newer: the Trainer takes the fused AdamW
# and drops what the model returned; texts are padded to the longest of a batch; logits are made for a few tokens at a time, those of
# completions only; and what stays 16-bit beside NF4 is left so, since prepare_model_for_kbit_training is not called.
SFT_TRAINER: dict[str, Any] = {
    "optimizer_mode": "fused",
    "outputs": "dropped",
    "rows": "padded",
    "loss": "fused",
}
SFT_TRAINER |= {"kbit_preparation": False}


@dataclass(frozen=True)
class Settings:
    """One training step. The defaults are those of a loop of one's own over a model of transformers and PEFT, with
    ``torch.optim.AdamW`` as it comes and ``prepare_model_for_kbit_training`` before QLoRA. transformers' Trainer and TRL choose
    otherwise: ``SFT_TRAINER`` holds what they choose.

    Parameters
    ----------
    model : str or Mapping
        Hub id or its short form, or a ``config.json`` as a dictionary.
    method : str
        Full fine-tuning, LoRA, or QLoRA (NF4 weights).
    rank : int
        Rank of LoRA.
    targets : tuple of str or str
        Linear layers that LoRA adapts, by name; or all-linear (every one but the head).
    adapter_dtype : str
        Type of the adapters (PEFT: fp32).
    lora_dropout : float
        Dropout on LoRA's input; any share above 0 costs the same.
    double_quant : bool
        Quantise the scales of NF4 too.
    kbit_preparation : bool
        Turn what stays 16-bit beside NF4 into fp32 (PEFT's prepare_model_for_kbit_training, which TRL does not call).
    batch : int
        Rows of a batch, on each GPU.
    seq : int
        Tokens of a row.
    rows : str
        Full rows (no mask), rows padded to seq (their mask is an input), or several texts packed into a row.
    dtype : str
        Type of the weights; with master_weights of the arithmetic, for qlora of the products.
    master_weights : bool
        Weights in fp32, as they were loaded or made, under autocast (mixed precision), which computes in 16 bits.
    optimizer : str
        The optimiser; its states have the type of what is trained (8bit: bitsandbytes; paged: in CUDA managed memory).
    optimizer_mode : str
        How PyTorch runs AdamW and SGD: foreach is its own default, fused that of transformers' Trainer.
    in_backward : bool
        Update each parameter as soon as its gradient is there.
    checkpointing : bool
        Gradient checkpointing of every block.
    attention : str
        Eager, SDPA (PyTorch picks the kernel by arch), or the flash kernel.
    loss : str
        Over all logits, in chunks (each with its own cross-entropy), or fused with the head.
    loss_chunks : int
        How many chunks.
    logits : str
        fp32 if the model returns them so.
    loss_fp32 : bool
        Turn 16-bit logits into fp32 for the loss.
    outputs : str
        Until when the loop keeps what the model returned: dropped before the backward pass (transformers' Trainer), to the
        end of the step, or until the next step's forward pass is through (``outputs = model(...)`` in a loop).
    use_cache : bool
        The model also returns its keys and values (not under checkpointing).
    accumulation : bool
        Gradients of earlier batches are there already.
    arch : int
        Compute capability of the GPU times ten (75: T4, 80: A100, 89: RTX 4090, 90: H100).
    torch : str
        PyTorch's version, which decides on the kernel of grouped-query attention.
    bitsandbytes : str
        Its version; before 0.43.2 it kept the input of 4-bit products as long as the graph lived.
    gpus : int
        Number of GPUs; all else is per GPU.
    sharding : str
        How several GPUs share the model: copies (ddp) or shares (fsdp).

    Raises
    ------
    ValueError
        For a value that is not possible, or values that do not go together.
    UnknownModel
        For a model not known.
    """

    model: str | Mapping[str, Any] = "meta-llama/Llama-2-7b-hf"
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "optimizer", ALIASES.get(self.optimizer, self.optimizer))
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                meant = known_models.suggestion(value, choices)
                raise ValueError(f"{name} is one of {', '.join(choices)}, not {value!r}{meant}")
        for name in WHOLE:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        for name in (f.name for f in fields(self) if isinstance(f.default, bool)):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is true or false, not {getattr(self, name)!r}")
        share: object = self.lora_dropout
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
            raise ValueError(f"lora_dropout is a share from 0 to below 1, not {share!r}")
        for name in ("torch", "bitsandbytes"):
            value = getattr(self, name)
            if not isinstance(value, str) or not re.match(r"\d+\.\d+(\.|$)", value):
                raise ValueError(f"{name} is a version such as {getattr(Settings, name)}, not {value!r}")
        if isinstance(self.targets, list):
            object.__setattr__(self, "targets", tuple(self.targets))
        shape = self.shape  # raises for an unknown model
        if self.method != "full":
            shape.targets(self.targets)  # raises for an unknown module
        if wrong := next((why for so, why in self._contradictions() if so), None):
            raise ValueError(wrong)

    def __hash__(self) -> int:
        """Of what is asked about, a config's content included: a dictionary alone has no hash."""
        return hash(json.dumps(self.as_dict()))

    def _contradictions(self) -> Iterator[tuple[bool, str]]:
        """Of values that do not go together: whether they are there, and why they cannot be."""
        shape, qlora, flash = self.shape, self.method == "qlora", self.attention == "flash"
        gpt2 = "GPT-2 keeps its weights in Conv1D modules, which 4-bit quantisation does not take; use lora"
        yield qlora and shape.layout == "gpt2", gpt2
        four = "qlora has no fp32 master weights: its weights are 4-bit; leave master_weights out"
        yield qlora and self.master_weights, four
        mixed = self.method != "full" and {self.dtype, self.adapter_dtype} == {"bf16", "fp16"}
        yield mixed, f"adapters are fp32 or of the weights' type: set adapter_dtype to fp32 or {self.dtype}"
        masters = "master_weights means fp32 weights computed with in 16 bits: set dtype to bf16 or fp16, or leave it out"
        yield self.master_weights and self.dtype == "fp32", masters
        wide = "flash attention needs 16-bit numbers: set dtype to bf16 or fp16, or attention to sdpa"
        yield flash and self.dtype == "fp32", wide
        old = "flash attention needs an Ampere GPU or newer (arch 80 or more); use sdpa on this one"
        yield flash and self.arch < 80, old
        later = "an optimiser in the backward pass cannot accumulate gradients: leave out accumulation or in_backward"
        yield self.accumulation and self.in_backward, later
        several = "several GPUs need a sharding: ddp (a copy of the model on each) or fsdp (a share on each)"
        yield self.gpus > 1 and self.sharding == "none", several
        longest, trained_on = shape.positions or LONGEST, self.config.get("max_position_embeddings")
        limit = f"a row has at most {longest:,} tokens here"
        if shape.positions:
            limit = f"{shape.family} has learned positions for {longest:,} tokens"
        elif isinstance(trained_on, int):
            limit += f" (this model was trained on {trained_on:,})"
        yield self.seq > longest, f"{limit}; seq cannot be {self.seq:,}"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from a dictionary; what is left out keeps its default. Raises ValueError for an unknown name."""
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - names):
            meant = known_models.suggestion(unknown[0], names)
            raise ValueError(
                f"unknown setting {', '.join(unknown)}; there are {', '.join(sorted(names))}{meant}"
            )
        return cls(**values)

    @classmethod
    def words(cls) -> dict[str, str]:
        """What each setting is, in the words of this class's docstring."""
        found = re.findall(r"^    (\w+) : .*\n((?:        .+\n)+)", cls.__doc__ or "", re.MULTILINE)
        return {name: " ".join(text.split()).rstrip(".") for name, text in found}

    def version(self, library: str) -> tuple[int, ...]:
        """The version of "torch" or "bitsandbytes": at most three numbers."""
        return version(getattr(self, library))

    def replace(self, **changes: Any) -> Settings:
        """The same step with some settings changed."""
        return dataclasses.replace(self, **changes)

    @cached_property
    def model_id(self) -> str | None:
        """The Hub id, None for a model given by its config."""
        return known_models.find(self.model) if isinstance(self.model, str) else None

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The model's config, enough for ``transformers`` to build it."""
        if isinstance(self.model, Mapping):
            return self.model
        if self.model in known_models.REFUSED:
            raise UnknownModel(f"{self.model} is {known_models.REFUSED[self.model]}")
        if self.model_id is None:
            unknown = f"the model {self.model!r} is not among the {len(known_models.CONFIGS)} known ones"
            meant = known_models.nearest(self.model)
            raise UnknownModel(f"{unknown}; give the path of its config.json instead{meant}")
        return known_models.CONFIGS[self.model_id]

    @cached_property
    def shape(self) -> Shape:
        """The model's shape."""
        return Shape.from_config(self.config)

    def as_dict(self) -> dict[str, Any]:
        """All settings as JSON values, the model by its Hub id or its whole config."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["model"] = self.model_id or dict(self.config)
        values["targets"] = self.targets if isinstance(self.targets, str) else list(self.targets)
        return values


def version(text: str) -> tuple[int, ...]:
    """A version as at most three numbers."""
    return tuple(int(part) for part in text.split(".")[:3] if part.isdecimal())
