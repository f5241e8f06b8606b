"""The shape of a decoder-only language model, read from its Hugging Face ``config.json``. Standard library only.

A shape holds what decides the memory of a training step: sizes, and the few choices of architecture that change which
tensors are made. What a config leaves out has the default of that architecture's class in ``transformers``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any


class UnknownModel(ValueError):
    """The model is not one whose memory can be computed here."""


@dataclass(frozen=True)
class Linear:
    """One linear layer of a block: the module's name, its inputs and outputs, and whether it has a bias."""

    name: str
    inputs: int
    outputs: int
    bias: bool = False

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs

    @property
    def parameters(self) -> int:
        return self.weights + self.outputs * self.bias


@dataclass(frozen=True)
class Shape:
    """A decoder-only transformer.

    family: ``model_type`` of the config. norm: "rms" (Llama's), "gemma" (RMS, all in fp32), "rms32" (RMS, scaled before it
    is cast back), "layer" (LayerNorm), "plain" (LayerNorm without weights). norms: where they stand in a block: "pre",
    "post", "both", or for attention and MLP side by side "parallel" (each its own) and "shared". qk_norm: of query and key,
    by "head", of the "whole" vector, or "". layout: how the projections are laid out: "llama" (all apart), "phi3" (fused
    QKV, fused gate and up), "neox" and "gpt2" (fused QKV). rotary: share of the head that is rotated (0: learned positions).
    windows: sliding window of each block (0: none). rotated: whether each block rotates query and key. dropout: share that
    the model drops after attention and MLP in training; embed_dropout after the embedding. softcap_logits,
    softcap_scores: whether logits and attention scores pass through tanh. scaled_embedding, scaled_residual,
    scaled_logits: whether they are multiplied by a constant.
    """

    family: str
    layers: int
    hidden: int
    intermediate: int
    vocab: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool = False
    norm: str = "rms"
    norms: str = "pre"
    norm_bias: bool = False
    qk_norm: str = ""
    layout: str = "llama"
    gated: bool = True
    activation: str = "silu"
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    head_bias: bool = False
    rotary: float = 1.0
    positions: int = 0
    windows: tuple[int, ...] = ()
    rotated: tuple[bool, ...] = ()
    dropout: float = 0.0
    embed_dropout: float = 0.0
    softcap_logits: bool = False
    softcap_scores: bool = False
    scaled_embedding: bool = False
    scaled_residual: bool = False
    scaled_logits: bool = False

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "intermediate", "vocab", "heads", "kv_heads", "head_dim"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"the config's {name} must be a whole number of at least 1, not {value!r}")
        if self.heads % self.kv_heads:
            both = f"{self.heads} attention heads cannot share {self.kv_heads} key-value heads"
            raise ValueError(f"{both} evenly")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Shape:
        """The shape that a ``config.json`` describes.

        Raises :class:`UnknownModel` for a mixture of experts, an encoder-decoder or any architecture not known here, and
        ValueError for a known one whose numbers make no sense.
        """
        family = config.get("model_type")
        if not isinstance(family, str):
            raise UnknownModel("this is no Hugging Face config.json: it has no model_type")
        if family == "gemma3" and isinstance(config.get("text_config"), Mapping):
            return cls.from_config({"model_type": "gemma3_text", **config["text_config"]})
        _refuse(config, family)
        return _Config(config).shape()

    @property
    def q_width(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        return self.kv_heads * self.head_dim

    @cached_property
    def attention_linears(self) -> tuple[Linear, ...]:
        q, kv, h = self.q_width, self.kv_width, self.hidden
        names = {
            "phi3": ("qkv_proj", "o_proj"),
            "neox": ("query_key_value", "dense"),
            "gpt2": ("c_attn", "c_proj"),
        }
        fused, out = names.get(self.layout, ("", "dense" if self.family == "phi" else "o_proj"))
        widths = {fused: q + 2 * kv} if fused else {"q_proj": q, "k_proj": kv, "v_proj": kv}
        inputs = (Linear(name, h, width, self.qkv_bias) for name, width in widths.items())
        return *inputs, Linear(out, q, h, self.o_bias)

    @cached_property
    def mlp_linears(self) -> tuple[Linear, ...]:
        h, f, bias = self.hidden, self.intermediate, self.mlp_bias
        names = {"phi": ("fc1", "fc2"), "gpt_neox": ("dense_h_to_4h", "dense_4h_to_h")}
        up, down = "gate_up_proj", "down_proj"
        if not self.gated:
            up, down = names.get(self.family, ("c_fc", "c_proj"))
        elif self.layout != "phi3":
            gate_and_up = (Linear(name, h, f, bias) for name in ("gate_proj", "up_proj"))
            return *gate_and_up, Linear(down, f, h, bias)
        return Linear(up, h, 2 * f if self.gated else f, bias), Linear(down, f, h, bias)

    @cached_property
    def linears(self) -> tuple[Linear, ...]:
        """The linear layers of one block; all blocks are alike."""
        return self.attention_linears + self.mlp_linears

    @cached_property
    def head(self) -> Linear:
        return Linear("lm_head", self.hidden, self.vocab, self.head_bias)

    @property
    def final_norm_sizes(self) -> list[int]:
        """Elements of weight and bias of a norm over the hidden width, such as the last one."""
        if self.norm == "plain":
            return []
        return [self.hidden] * (2 if self.norm == "layer" and self.norm_bias else 1)

    @property
    def norm_sizes(self) -> list[int]:
        """Elements of each norm's weight and bias in one block."""
        count = {"pre": 2, "post": 2, "both": 4, "parallel": 2, "shared": 1}[self.norms]
        sizes = self.final_norm_sizes * count
        if self.qk_norm == "whole":
            return [*sizes, self.q_width, self.kv_width]
        of_heads = 2 if self.qk_norm == "head" else 0
        if of_heads and self.norm == "layer":  # a LayerNorm for all heads (phi), or one of each (stablelm)
            of_heads = 4 if self.family == "phi" else self.heads + self.kv_heads
        return sizes + [self.head_dim] * of_heads

    @property
    def block_parameters(self) -> int:
        return sum(linear.parameters for linear in self.linears) + sum(self.norm_sizes)

    @property
    def parameters(self) -> int:
        """Of the whole model; what the head shares with the embedding counts once."""
        embedding = (self.vocab + self.positions) * self.hidden
        head = self.head.parameters - self.tied * self.head.weights
        return self.layers * self.block_parameters + embedding + head + sum(self.final_norm_sizes)

    @cached_property
    def kind_of_each(self) -> list[tuple[int, bool]]:
        """(window, rotated) of each block."""
        windows = self.windows or (0,) * self.layers
        rotated = self.rotated or (self.rotary > 0,) * self.layers
        return list(zip(windows, rotated, strict=True))

    @cached_property
    def kinds(self) -> dict[tuple[int, bool], int]:
        """(window, rotated) of each kind of block and how many there are of it."""
        return dict(Counter(self.kind_of_each))

    def targets(self, names: tuple[str, ...] | str) -> tuple[Linear, ...]:
        """The linear layers of a block (and the head, if named) that LoRA adapts. A name is matched as PEFT does, by the
        end of the module's path; "all-linear" stands for all but the head. Raises ValueError for a name that fits nothing."""
        if names == "all-linear":
            return self.linears
        modules = (*self.linears, self.head)
        known = sorted({linear.name for linear in modules})
        wanted = {name.rpartition(".")[2]: name for name in ([names] if isinstance(names, str) else names)}
        if missing := ", ".join(name for leaf, name in wanted.items() if leaf not in known):
            there = f"there are {', '.join(known)}, or all-linear"
            raise ValueError(f"{self.family} has no module {missing} to adapt; {there}")
        return tuple(linear for linear in modules if linear.name in wanted)


_TABLE = resources.files("finetune_memory").joinpath("architectures.json").read_text("utf-8")
_ARCHITECTURES: dict[Any, dict[str, Any]] = json.loads(_TABLE)
FAMILIES = tuple(_ARCHITECTURES)


class _Config:
    """A config.json, read as ``architectures.json`` says for its architecture.

    An entry there has what the fields of a config are if they are left out (``defaults``, those of the architecture's class in transformers),
    values of :class:`Shape` that all its models share (``fixed``), the fields of the config that others are read from (``read``), which
    blocks have a sliding window (``windows``), and fields that go by other ``names``. It may be ``like`` another one.
    """

    def __init__(self, config: Mapping[str, Any]):
        own = _ARCHITECTURES[config["model_type"]]
        like = _ARCHITECTURES.get(own.get("like"), {})
        parts = {part: like.get(part, {}) | own.get(part, {}) for part in ("defaults", "fixed", "read")}
        self.config, self.defaults = config, parts["defaults"]
        self.fixed, self.rules = parts["fixed"], parts["read"]
        self.names, self.window_rule = own.get("names", {}), own.get("windows")

    def __call__(self, *names: str, default: Any = None) -> Any:
        """The first of these fields that is given and not null, or what the architecture has for it."""
        known = [own for name in names for own in self.names.get(name, [name])]
        found = (source.get(name) for source in (self.config, self.defaults) for name in known)
        return next((value for value in found if value is not None), default)

    def nullable(self, name: str) -> Any:
        """A field for which null is an answer: none of it."""
        return self.config.get(name, self.defaults.get(name))

    def shape(self) -> Shape:
        """The shape that the config describes."""
        hidden, heads = self("hidden_size"), self("num_attention_heads")
        if not isinstance(hidden, int) or not isinstance(heads, int) or heads < 1:
            both = "the config's hidden_size and num_attention_heads"
            raise ValueError(f"{both} must be whole numbers of at least 1")
        values = {
            "family": self.config["model_type"],
            "vocab": self("vocab_size"),
            "hidden": hidden,
            "layers": self("num_hidden_layers"),
            "heads": heads,
            "kv_heads": self("num_key_value_heads", default=heads),
            "head_dim": self("head_dim", default=hidden // heads),
            "intermediate": self("intermediate_size", default=4 * hidden),
            "tied": self("tie_word_embeddings", default=False),
        }
        values |= {field: self.read(field, rule) for field, rule in self.rules.items()} | self.fixed
        return Shape(**values, windows=self.windows(values.get("rotated", ())))

    def read(self, field: str, rule: Any) -> Any:
        """A value of :class:`Shape`: what the fields named hold, or what follows from whether one is true, or given."""
        if isinstance(rule, Mapping):
            if "given" in rule:
                return self.nullable(rule["given"]) is not None
            return rule["true" if self(rule["flag"]) else "false"]
        value = self(*rule)
        if field == "activation":
            return _activation(value)
        if field == "rotary":
            rope = self("rope_parameters", "rope_scaling", default={})
            return float(rope.get("partial_rotary_factor") or value)
        if field == "rotated":
            every, blocks = self("no_rope_layer_interval"), range(self("num_hidden_layers"))
            return tuple(bool(v) for v in value or ((i + 1) % every for i in blocks))
        return bool(value) if isinstance(getattr(Shape, field), bool) else value

    def windows(self, rotated: tuple[bool, ...]) -> tuple[int, ...]:
        """The window of each block, 0 where it sees everything; which blocks slide, the config lists or the architecture's rule says."""
        rule, size = self.window_rule, self.nullable("sliding_window")
        if not rule or not size or ("if" in rule and not self(rule["if"])):
            return ()
        blocks, listed = range(self("num_hidden_layers")), self("layer_types")
        each = rule.get("each")
        if listed:
            slides = [kind == "sliding_attention" for kind in listed]
        elif each:
            pattern = each if isinstance(each, int) else self(*each)
            slides = [(i + 1) % pattern != 0 for i in blocks]
        elif rule["blocks"] == "not rotated":
            slides = [not turned for turned in rotated]
        else:
            first = 0 if rule["blocks"] == "all" else self("max_window_layers")
            slides = [i >= first for i in blocks]
        return tuple(size if slid else 0 for slid in slides) if any(slides) else ()


_ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu"}
_ACTIVATIONS |= {"gelu_new": "gelu_new", "gelu_fast": "gelu_new", "relu": "relu"}


def _activation(name: str) -> str:
    """silu, gelu (one kernel, exact or by tanh) or gelu_new (written out, operator by operator)."""
    if name not in _ACTIVATIONS:
        raise UnknownModel(f"the activation {name!r} is not known here; known are {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_experts_per_tok")
_MIXTURES = ("mixtral", "dbrx", "jamba", "deepseek_v3", "gpt_oss")


def _refuse(config: Mapping[str, Any], family: str) -> None:
    """Raises :class:`UnknownModel` for what is not a dense decoder of an architecture known here."""
    only = "only decoder-only models are computed here"
    if config.get("is_encoder_decoder"):
        raise UnknownModel(f"{family} is an encoder-decoder; {only}")
    counts = {name: config.get(name) for name in _EXPERTS}
    experts = next((f"{name} is {n}" for name, n in counts.items() if isinstance(n, int) and n > 1), "")
    if experts or "moe" in family or family in _MIXTURES:
        mixture = f"{family} is a mixture of experts ({experts or 'by its name'})"
        raise UnknownModel(f"{mixture}; only dense models are computed here")
    if family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise UnknownModel(f"the architecture {family!r} is not known here; known are {known}")
    if family == "gpt2" and config.get("add_cross_attention"):
        raise UnknownModel(f"this gpt2 has cross-attention to an encoder; {only}")
