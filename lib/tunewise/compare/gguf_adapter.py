"""A LoRA adapter as llama.cpp reads it: a GGUF file of type *adapter*, written with llama.cpp's own library and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Names of transformers' model types and of llama.cpp's; of these llama alone keeps the rows of q and k in another order.
ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
_PREFIX, _PARTS = "base_model.model.", {".lora_A.weight": ".lora_a", ".lora_B.weight": ".lora_b"}


def write_gguf_adapter(adapter: Path, base_config: Mapping[str, Any], target: Path) -> int:
    """Write the adapter in the folder ``adapter`` (PEFT's format) to the file ``target``, and read it back.

    Parameters
    ----------
    base_config
        ``config.json`` of the base model.

    Returns
    -------
    int
        Number of tensors.

    Raises
    ------
    ValueError
        For an architecture that is not written here, an adapter with more than plain LoRA, or a file that reads back differently.
    """
    import gguf
    from safetensors.numpy import load_file

    kind = str(base_config.get("model_type"))
    by_hand = "convert_lora_to_gguf.py of llama.cpp knows more architectures"
    if kind not in ARCHITECTURES:
        raise ValueError(
            f"adapters of {kind} models are not written here, but {', '.join(ARCHITECTURES)}: {by_hand}"
        )
    told = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    if (
        told.get("use_dora")
        or told.get("use_rslora")
        or told.get("modules_to_save")
        or told.get("bias", "none") != "none"
    ):
        raise ValueError(f"the adapter is more than plain LoRA: {by_hand}")
    names = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}
    known = gguf.get_tensor_name_map(names[ARCHITECTURES[kind]], int(base_config["num_hidden_layers"]))
    tensors: dict[str, np.ndarray] = {}
    for name, weights in load_file(adapter / "adapter_model.safetensors").items():
        ending = next((e for e in _PARTS if name.endswith(e)), "")
        module = name.removeprefix(_PREFIX).removesuffix(ending)
        place = known.get_name(module + ".weight", try_suffixes=(".weight",)) if ending else None
        if place is None:
            raise ValueError(f"llama.cpp has no place for {name}: {by_hand}")
        weights = weights.astype(np.float32)
        if kind == "llama" and ending == ".lora_B.weight" and module.endswith(("q_proj", "k_proj")):
            weights = paired(weights, heads(base_config, module))
        tensors[place + _PARTS[ending]] = np.ascontiguousarray(weights)
    writer = gguf.GGUFWriter(str(target), ARCHITECTURES[kind])
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(told["lora_alpha"]))
    for name, weights in tensors.items():
        writer.add_tensor(name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    back = {tensor.name: tensor.data for tensor in gguf.GGUFReader(str(target)).tensors}
    if back.keys() != tensors.keys() or not all(np.array_equal(back[n], w) for n, w in tensors.items()):
        raise ValueError(f"{target} reads back differently from what was written: is the disk sound?")
    return len(tensors)


def heads(config: Mapping[str, Any], module: str) -> int:
    """Number of heads behind the rows of a q or k projection."""
    queries = int(config["num_attention_heads"])
    return queries if module.endswith("q_proj") else int(config.get("num_key_value_heads") or queries)


def paired(weights: np.ndarray, n_heads: int) -> np.ndarray:
    """Rows [heads x size, ...] in llama.cpp's order for rotary positions: within a head row i stands beside row i + size / 2."""
    halves = weights.reshape(n_heads, 2, weights.shape[0] // n_heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)
