"""The shape of a decoder-only language model, read from its Hugging Face ``config.json``. Standard library only.

A shape holds what decides the memory of a training step: sizes, and the few choices of architecture that change which
tensors are made. What a config leaves out has the default of that architecture's class in ``transformers``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
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
        if config.get("is_encoder_decoder"):
            raise UnknownModel(f"{family} is an encoder-decoder; only decoder-only models are computed here")
        if experts := _experts(config, family):
            mixture = f"{family} is a mixture of experts ({experts})"
            raise UnknownModel(f"{mixture}; only dense models are computed here")
        if family not in _READERS:
            known = ", ".join(sorted(_READERS))
            raise UnknownModel(f"the architecture {family!r} is not known here; known are {known}")
        return _READERS[family](_Config(config))

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


# Sizes that the architecture's class in transformers has where a config gives none. Without others there are as many key-value heads
# as heads, and a head is as wide as the heads share the width.
_DEFAULTS = json.loads(resources.files("finetune_memory").joinpath("architectures.json").read_text("utf-8"))


class _Config:
    """A config.json, and the sizes of its model by the names of :class:`Shape`."""

    def __init__(self, config: Mapping[str, Any]):
        self.config, self.defaults = config, _DEFAULTS[config["model_type"]]

    @cached_property
    def sizes(self) -> dict[str, Any]:
        """The sizes under their usual names."""
        hidden, heads = self("hidden_size"), self("num_attention_heads")
        if not isinstance(hidden, int) or not isinstance(heads, int) or heads < 1:
            both = "the config's hidden_size and num_attention_heads"
            raise ValueError(f"{both} must be whole numbers of at least 1")
        return {
            "family": self.config["model_type"],
            "vocab": self("vocab_size"),
            "hidden": hidden,
            "layers": self("num_hidden_layers"),
            "heads": heads,
            "kv_heads": self("num_key_value_heads", default=heads),
            "head_dim": self("head_dim", default=hidden // heads),
            "intermediate": self("intermediate_size"),
            "tied": self("tie_word_embeddings", default=False),
        }

    def __call__(self, *names: str, default: Any = None) -> Any:
        """The first of these fields that is given and not null, or what the architecture has for it."""
        found = (source.get(name) for source in (self.config, self.defaults) for name in names)
        return next((value for value in found if value is not None), default)

    def flag(self, name: str, default: bool = False) -> bool:
        return bool(self(name, default=default))

    def dropout(self, name: str, after_embedding: str = "", default: float = 0.0) -> dict[str, float]:
        """What the model drops in training, by the names of its config."""
        found = {"dropout": self(name, default=default)}
        return found | ({"embed_dropout": self(after_embedding, default=default)} if after_embedding else {})

    def activation(self, default: str, *names: str) -> str:
        """silu, gelu (one kernel, exact or by tanh) or gelu_new (written out, operator by operator)."""
        name = self(*(names or ("hidden_act",)), default=default)
        known = {"silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu"}
        known |= {"gelu_new": "gelu_new", "gelu_fast": "gelu_new", "relu": "relu"}
        if name not in known:
            raise UnknownModel(f"the activation {name!r} is not known here; known are {', '.join(known)}")
        return known[name]

    def windows(self, size: Any, sliding: Callable[[int], object] = lambda block: True) -> dict[str, Any]:
        """The window of each block, 0 where it sees everything. sliding: (block) -> whether it slides, where the config
        does not list its ``layer_types``."""
        types = self("layer_types")
        slides = [t == "sliding_attention" for t in types or ()] or [
            sliding(block) for block in range(self.sizes["layers"])
        ]
        return {"windows": tuple(size if s else 0 for s in slides) if any(slides) and size else ()}

    def rotary(self, default: float) -> float:
        """The share of a head that is rotated."""
        rope = self("rope_parameters", "rope_scaling", default={})
        given = self("partial_rotary_factor", "rotary_pct", default=default)
        return float(rope.get("partial_rotary_factor") or given)


_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_experts_per_tok")
_MIXTURES = ("mixtral", "dbrx", "jamba", "deepseek_v3", "gpt_oss")


def _experts(config: Mapping[str, Any], family: str) -> str:
    for name in _EXPERTS:
        if isinstance(config.get(name), int) and config[name] > 1:
            return f"{name} is {config[name]}"
    return "by its name" if "moe" in family or family in _MIXTURES else ""


_LAYER_NORM: dict[str, Any] = {"norm": "layer", "norm_bias": True}
_UNGATED: dict[str, Any] = {**_LAYER_NORM, "gated": False}


def _biases(attention: bool, mlp: bool) -> dict[str, Any]:
    return {"qkv_bias": attention, "o_bias": attention, "mlp_bias": mlp}


def _llama(c: _Config, **more: Any) -> Shape:
    values = c.sizes | _biases(c.flag("attention_bias"), c.flag("mlp_bias"))
    return Shape(**{**values, "activation": c.activation("silu"), **more})


def _mistral(c: _Config) -> Shape:
    return _llama(c, **c.windows(c.config.get("sliding_window", 4096)))


def _qwen(c: _Config, **more: Any) -> Shape:
    size = c("sliding_window") if c.flag("use_sliding_window") else None
    return _llama(c, **more, **c.windows(size, lambda i: i >= c("max_window_layers", default=28)))


def _gemma(c: _Config, activation: str = "gelu", **more: Any) -> Shape:
    return _llama(c, norm="gemma", activation=activation, scaled_embedding=True, **more)


def _gemma2(c: _Config) -> Shape:
    more = c.windows(c("sliding_window", default=4096), lambda i: (i + 1) % 2)
    more["softcap_logits"] = c.config.get("final_logit_softcapping", 30.0) is not None
    more["softcap_scores"] = c.config.get("attn_logit_softcapping", 50.0) is not None
    activation = c.activation("gelu_pytorch_tanh", "hidden_activation", "hidden_act")
    return _gemma(c, activation, norms="both", **more)


def _gemma3(c: _Config) -> Shape:
    every = c("sliding_window_pattern", "_sliding_window_pattern", default=6)
    more = c.windows(c("sliding_window", default=4096), lambda i: (i + 1) % every)
    more |= {"norms": "both", "qk_norm": "head", "softcap_logits": c("final_logit_softcapping") is not None}
    return _gemma(c, c.activation("gelu_pytorch_tanh", "hidden_activation", "hidden_act"), **more)


def _phi(c: _Config) -> Shape:
    values = c.sizes | _UNGATED | _biases(True, True) | c.dropout("resid_pdrop", "embd_pdrop")
    values |= {"norms": "shared", "head_bias": True, "qk_norm": "head" if c.flag("qk_layernorm") else ""}
    return Shape(**values, activation=c.activation("gelu_new"), rotary=c.rotary(0.5))


def _phi3(c: _Config) -> Shape:
    values = c.sizes | c.dropout("resid_pdrop", "embd_pdrop") | c.windows(c("sliding_window"))
    return Shape(**values, layout="phi3", activation=c.activation("silu"), rotary=c.rotary(1.0))


def _smollm3(c: _Config) -> Shape:
    every, listed = c("no_rope_layer_interval", default=4), c("no_rope_layers")
    rotated = tuple(bool(v) for v in listed or ((i + 1) % every for i in range(c.sizes["layers"])))
    size = c("sliding_window") if c.flag("use_sliding_window") else None
    return _llama(c, rotated=rotated, **c.windows(size, lambda i: not rotated[i]))


def _gpt2(c: _Config) -> Shape:
    hidden, heads = c("n_embd", "hidden_size", default=768), c("n_head", "num_attention_heads", default=12)
    if c.flag("add_cross_attention"):
        raise UnknownModel(
            "this gpt2 has cross-attention to an encoder; only decoder-only models are computed here"
        )
    layers, vocab = c("n_layer", "num_hidden_layers", default=12), c("vocab_size", default=50257)
    values = _UNGATED | _biases(True, True) | c.dropout("resid_pdrop", "embd_pdrop", 0.1)
    values |= {"layout": "gpt2", "tied": c("tie_word_embeddings", default=True), "rotary": 0.0}
    values["positions"] = c("n_positions", "max_position_embeddings", default=1024)
    values["activation"] = c.activation("gelu_new", "activation_function")
    inner = c("n_inner", default=4 * hidden)
    return Shape("gpt2", layers, hidden, inner, vocab, heads, heads, hidden // heads, **values)


def _gpt_neox(c: _Config) -> Shape:
    values = c.sizes | _UNGATED | _biases(c.flag("attention_bias", True), True)
    values |= c.dropout("hidden_dropout", "hidden_dropout") | {"layout": "neox", "rotary": c.rotary(0.25)}
    norms = "parallel" if c.flag("use_parallel_residual", True) else "pre"
    return Shape(**values, norms=norms, activation=c.activation("gelu"))


def _stablelm(c: _Config) -> Shape:
    values = _LAYER_NORM | c.dropout("hidden_dropout") | _biases(False, False)
    values |= {"qkv_bias": c.flag("use_qkv_bias"), "rotary": c.rotary(0.25)}
    values |= {"norms": "shared" if c.flag("use_parallel_residual") else "pre"}
    return _llama(c, **values, qk_norm="head" if c.flag("qk_layernorm") else "")


def _starcoder2(c: _Config) -> Shape:
    bias = c.flag("use_bias", True)
    values = _UNGATED | _biases(bias, bias) | c.dropout("residual_dropout", "embedding_dropout")
    activation = c.activation("gelu_pytorch_tanh")
    return _llama(c, **values, activation=activation, **c.windows(c("sliding_window")))


# what reads the config of each architecture
_READERS: dict[str, Callable[[_Config], Shape]] = {
    "llama": _llama,
    "mistral": _mistral,
    "qwen2": partial(_qwen, qkv_bias=True, o_bias=False),
    "qwen3": partial(_qwen, qk_norm="head"),
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "phi": _phi,
    "phi3": _phi3,
    "smollm3": _smollm3,
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "olmo": partial(_llama, norm="plain"),
    "olmo2": partial(_llama, norm="rms32", norms="post", qk_norm="whole"),
    "granite": partial(_llama, scaled_embedding=True, scaled_residual=True, scaled_logits=True),
    "stablelm": _stablelm,
    "starcoder2": _starcoder2,
}
FAMILIES = tuple(_READERS)
