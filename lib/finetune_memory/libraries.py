"""What the simulation and the measurement build alike with transformers, PEFT and torch: model, adapters, optimisers."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from finetune_memory.settings import Settings

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LEARNING_RATE = 1e-5  # of no consequence for memory


def model_from(config: Mapping[str, Any], s: Settings, attention: str) -> Any:
    """The model of a ``config.json`` under the settings; weights are made by the mode that is on.

    Raises
    ------
    ValueError
        If transformers does not know the architecture.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    left_out = ("model_type", "quantization_config", "torch_dtype", "dtype", "auto_map", "architectures")
    kind = config["model_type"]
    if kind == "gemma3" and "text_config" in config:  # the part that reads and writes text
        kind, config = "gemma3_text", config["text_config"]
    try:
        known = AutoConfig.for_model(kind, **{name: v for name, v in config.items() if name not in left_out})
    except ValueError as error:
        raise ValueError(f"transformers knows no architecture {kind!r}, so it cannot be run") from error
    known.use_cache = s.use_cache
    for name in ("attention_dropout", "attn_pdrop"):
        if getattr(known, name, 0):
            setattr(known, name, 0.0)
    if getattr(known, "attn_logit_softcapping", None):  # SDPA has no soft cap
        attention = "eager"
    dtype = torch.float32 if s.master_weights else DTYPES[s.dtype]
    return AutoModelForCausalLM.from_config(known, dtype=dtype, attn_implementation=attention)


def quantised_linears(model: Any) -> list[tuple[str, torch.nn.Linear]]:
    """The linear layers that QLoRA quantises, by name: all but the head."""
    linears = [(name, m) for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    return [(name, linear) for name, linear in linears if linear is not model.get_output_embeddings()]


def checkpoint(model: Any, s: Settings) -> None:
    """Turn gradient checkpointing on if the settings say so."""
    if s.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if s.method != "full":
            model.enable_input_require_grads()


def adapt(model: Any, s: Settings) -> Any:
    """The model with LoRA adapters by PEFT."""
    from peft import LoraConfig, get_peft_model

    targets = s.targets if isinstance(s.targets, str) else list(s.targets)
    sizes: dict[str, Any] = {"r": s.rank, "lora_alpha": 2 * s.rank, "lora_dropout": s.lora_dropout}
    config = LoraConfig(**sizes, bias="none", task_type="CAUSAL_LM", target_modules=targets)
    with warnings.catch_warnings():  # peft still asks transformers by a name that is on its way out
        warnings.simplefilter("ignore", FutureWarning)
        model = get_peft_model(model, config)
    for name, parameter in model.named_parameters():
        if "lora_" in name and s.adapter_dtype != "fp32":
            parameter.data = parameter.data.to(DTYPES[s.adapter_dtype])
    return model


Optimizers = dict[torch.nn.Parameter | None, torch.optim.Optimizer]


def make_optimizers(
    trained: Iterable[torch.nn.Parameter],
    s: Settings,
    blockwise: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer],
) -> Optimizers:
    """{parameter: its optimiser} with the optimiser in the backward pass, else {None: the one optimiser}; ``blockwise`` makes
    bitsandbytes' of some parameters."""
    if s.in_backward:
        return {p: _optimizer([p], s, blockwise) for p in trained}
    return {None: _optimizer(list(trained), s, blockwise)}


def _optimizer(parameters: list[torch.nn.Parameter], s: Settings, blockwise: Callable[..., Any]) -> Any:
    name, mode = s.optimizer, s.optimizer_mode
    how: dict[str, Any] = {"fused": True} if mode == "fused" else {"foreach": mode == "foreach"}
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=LEARNING_RATE, **how)
    if name.startswith("sgd"):
        momentum = 0.9 if name == "sgd_momentum" else 0.0
        return torch.optim.SGD(parameters, lr=LEARNING_RATE, momentum=momentum, **how)
    if name == "adafactor":
        from transformers.optimization import Adafactor

        fixed = {"scale_parameter": False, "relative_step": False, "warmup_init": False}
        return Adafactor(parameters, lr=LEARNING_RATE, **fixed)
    return blockwise(parameters)
