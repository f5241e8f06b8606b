"""GPU memory of one fine-tuning step: will it fit? (claims C2 to C8). Standard library only.

``Settings`` says what is asked about, ``estimate`` answers in bytes. ``memory_json`` is the front of the live calculator. GB means
10**9 bytes and GiB 2**30 bytes, everywhere.
"""

from __future__ import annotations

import json

from finetune_memory.estimate import COMPONENTS, MOMENTS, Estimate, estimate
from finetune_memory.fit import CONTEXT, GIB, GPUS, Gpu, changes, fits, largest
from finetune_memory.settings import Settings
from finetune_memory.shape import Shape, UnknownModel

SHOWN = ("t4", "l4", "rtx4090", "rtx5090", "a100-40", "a6000", "h100", "h200")


def gib(size: int) -> str:
    """Bytes as GiB, with as many digits as tell something."""
    return f"{size / GIB:.2f} GiB" if size < 10 * GIB else f"{size / GIB:.1f} GiB"


def verdict(e: Estimate, gpu: Gpu) -> str:
    """Whether it fits, in a sentence or two."""
    s, answer = e.settings, fits(e, gpu)
    says = {
        "yes": f"It fits the {gpu.name}, with {gib(gpu.total - e.peak_bytes)} to spare.",
        "tight": f"It is tight on the {gpu.name}: the tensors fit, but CUDA's context and the allocator's cache may not.",
        "no": f"It does not fit the {gpu.name}, which has {gib(gpu.total)}.",
    }[answer]
    name = {"full": "Full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}[s.method]
    each = f" on each of {s.gpus} GPUs" if s.gpus > 1 else ""
    return f"{name} with {s.batch} x {s.seq} tokens takes {gib(e.peak_bytes)} ({e.peak_bytes / 1e9:.1f} GB) at its highest{each}, {_WHEN[e.moment]}. {says}"


_WHEN = {
    "load": "while the weights are loaded",
    "forward": "in the forward pass",
    "loss": "at the loss",
    "backward": "in the backward pass",
    "optimiser": "in the optimiser's step",
}


def from_controls(values: dict) -> tuple[Settings, Gpu]:
    """Settings and GPU from the controls of the live form: field names, and ``gpu``; ``targets`` may also be "attention"
    (query and value, or the fused projection)."""
    values = dict(values)
    key = values.pop("gpu", "t4")
    if key not in GPUS:
        raise ValueError(f"no GPU is known as {key!r}; there are {', '.join(GPUS)}")
    gpu = GPUS[key]
    targets = values.get("targets", "attention")
    if targets == "attention":
        shape = Settings(model=values.get("model", Settings.model), targets="all-linear", rank=1).shape
        names = [linear.name for linear in shape.attention_linears]
        values["targets"] = ("q_proj", "v_proj") if "q_proj" in names else (names[0],)
    values.setdefault("arch", gpu.arch)
    return Settings.from_dict(values), gpu


def memory_json(settings: str) -> str:
    """The calculator's front: a JSON object of settings in, ``{"figures", "tables", "text"}`` out."""
    s, gpu = from_controls(json.loads(settings))
    e = estimate(s)
    lines = [verdict(e, gpu)]
    if batch := largest(s, gpu, "batch"):
        lines.append(
            f"The largest batch of this length on the {gpu.name} is {batch:,}; the longest text at this batch {_longest(s, gpu)}."
        )
    else:
        shortest = largest(s, gpu, "seq", 64)
        lines.append(
            f"No batch of this length fits the {gpu.name}; texts of up to {shortest:,} tokens would."
            if shortest
            else f"No batch and no length of it fits the {gpu.name}."
        )
    options = changes(s, gpu)
    if options:
        lines.append(
            "Cheapest changes that make it fit: "
            + "; ".join(
                f"{n}. {c.text} ({gib(c.peak_bytes)}; costs {c.costs})" for n, c in enumerate(options, 1)
            )
            + "."
        )
    text = "\n".join(lines)
    return json.dumps({"figures": [_figure(e, gpu)], "tables": [_gpu_table(e), _part_table(e)], "text": text})


def _longest(s: Settings, gpu: Gpu) -> str:
    found = largest(s, gpu, "seq", 64)
    return f"is {found:,} tokens" if found else "is under 64 tokens"


def _figure(e: Estimate, gpu: Gpu) -> dict:
    names = [name.capitalize() for name in MOMENTS]
    bars = [
        {
            "type": "bar",
            "name": part,
            "x": names,
            "y": [round(e.moments[m][part] / GIB, 4) for m in MOMENTS],
            "marker": {"pattern": {"shape": shape, "fgcolor": "#ffffff", "fillmode": "overlay"}},
            "hovertemplate": "%{x}, " + part + ": %{y:.2f} GiB",
        }
        for part, shape in zip(COMPONENTS, ("", "/", ".", "\\", "x", "-", "+", "|", "", "/"), strict=True)
        if any(e.moments[m][part] for m in MOMENTS)
    ]
    top = 1.6 * e.peak_bytes
    sizes = sorted({GPUS[key].total: GPUS[key].name for key in SHOWN if GPUS[key].total <= top}.items())[-2:]
    sizes = [*[size for size in sizes if size[1] != gpu.name], (gpu.total, gpu.name)]
    lines = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": [names[0], names[-1]],
            "y": [round(size / GIB, 4)] * 2,
            "line": {"width": 2, "dash": dash},
            "hovertemplate": name + ": %{y:.2f} GiB",
        }
        for (size, name), dash in zip(sizes, ("dot", "dashdot", "dash")[-len(sizes) :], strict=True)
    ]
    peaks = ", ".join(
        f"{name.lower()} {gib(size)}" for name, size in zip(names, e.phases.values(), strict=True)
    )
    return {
        "data": bars + lines,
        "layout": {
            "title": {"text": "Memory at each moment of the step"},
            "barmode": "stack",
            "yaxis": {"title": {"text": "GiB"}, "rangemode": "tozero"},
            "legend": {"traceorder": "normal"},
        },
        "alt": f"Stacked bars of GPU memory at each moment of a step: {peaks}. Lines: {', '.join(f'{name} {gib(size)}' for size, name in sizes)}.",
    }


def _gpu_table(e: Estimate) -> dict:
    rows = [[GPUS[key].name, gib(GPUS[key].total), fits(e, GPUS[key])] for key in GPUS]
    caption = (
        f"Which GPU it fits (CUDA's own needs, {CONTEXT[0] / GIB:.1f} to {CONTEXT[1] / GIB:.1f} GiB, counted)"
    )
    return {"caption": caption, "header": ["GPU", "Usable memory", "Fits"], "rows": rows}


def _part_table(e: Estimate) -> dict:
    rows = [
        [part, gib(size), f"{100 * size / e.peak_bytes:.0f} %"] for part, size in e.components.items() if size
    ]
    rows.append(["together (allocated)", gib(e.peak_bytes), "100 %"])
    rows.append(["reserved by the allocator, about", gib(e.reserved_bytes), ""])
    rows.append(["CUDA context, beside that", f"{gib(CONTEXT[0])} to {gib(CONTEXT[1])}", ""])
    return {
        "caption": f"What the memory holds at its highest, {_WHEN[e.moment]}",
        "header": ["Part", "Memory", "Share"],
        "rows": rows,
    }


_MODELS = [
    "HuggingFaceTB/SmolLM2-135M",
    "HuggingFaceTB/SmolLM2-360M",
    "Qwen/Qwen2.5-0.5B",
    "Qwen/Qwen3-0.6B",
    "google/gemma-3-1b-pt",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "meta-llama/Llama-3.2-1B",
    "Qwen/Qwen2.5-1.5B",
    "HuggingFaceTB/SmolLM2-1.7B",
    "google/gemma-2-2b",
    "microsoft/phi-2",
    "HuggingFaceTB/SmolLM3-3B",
    "Qwen/Qwen2.5-3B",
    "meta-llama/Llama-3.2-3B",
    "microsoft/Phi-3-mini-4k-instruct",
    "Qwen/Qwen3-4B",
    "meta-llama/Llama-2-7b-hf",
    "mistralai/Mistral-7B-v0.1",
    "Qwen/Qwen2.5-7B",
    "meta-llama/Llama-3.1-8B",
    "Qwen/Qwen3-8B",
    "google/gemma-2-9b",
    "meta-llama/Llama-2-13b-hf",
    "Qwen/Qwen2.5-14B",
    "microsoft/phi-4",
    "mistralai/Mistral-Small-24B-Base-2501",
    "google/gemma-2-27b",
    "Qwen/Qwen2.5-32B",
    "meta-llama/Llama-2-70b-hf",
    "meta-llama/Llama-3.1-70B",
]
CONTROLS = [
    {
        "name": "model",
        "group": "Model and method",
        "label": "Model",
        "kind": "select",
        "options": [[m, m.rpartition("/")[2]] for m in _MODELS],
        "value": "meta-llama/Llama-2-7b-hf",
    },
    {
        "name": "method",
        "group": "Model and method",
        "label": "Method",
        "kind": "select",
        "options": [["full", "full fine-tuning"], ["lora", "LoRA"], ["qlora", "QLoRA (NF4)"]],
        "value": "lora",
    },
    {
        "name": "rank",
        "group": "Model and method",
        "label": "Rank of LoRA",
        "kind": "range",
        "min": 1,
        "max": 256,
        "step": 1,
        "value": 8,
    },
    {
        "name": "targets",
        "group": "Model and method",
        "label": "LoRA on",
        "kind": "select",
        "options": [["attention", "query and value"], ["all-linear", "all linear layers"]],
        "value": "attention",
    },
    {
        "name": "batch",
        "group": "A step",
        "label": "Batch",
        "kind": "range",
        "min": 1,
        "max": 64,
        "step": 1,
        "value": 2,
        "unit": "rows",
    },
    {
        "name": "seq",
        "group": "A step",
        "label": "Length",
        "kind": "range",
        "min": 64,
        "max": 8192,
        "step": 64,
        "value": 512,
        "unit": "tokens",
    },
    {
        "name": "checkpointing",
        "group": "A step",
        "label": "Gradient checkpointing",
        "kind": "checkbox",
        "value": True,
        "help": "Each block is computed again in the backward pass instead of being saved.",
    },
    {
        "name": "dtype",
        "group": "Numbers",
        "label": "Type of the weights",
        "kind": "select",
        "options": ["bf16", "fp16", "fp32"],
        "value": "bf16",
    },
    {
        "name": "optimizer",
        "group": "Numbers",
        "label": "Optimiser",
        "kind": "select",
        "options": [
            ["adamw", "AdamW"],
            ["adamw8bit", "AdamW, 8-bit"],
            ["paged_adamw8bit", "AdamW, paged 8-bit"],
            ["adafactor", "Adafactor"],
            ["sgd_momentum", "SGD with momentum"],
            ["sgd", "SGD"],
        ],
        "value": "adamw",
    },
    {
        "name": "attention",
        "group": "Numbers",
        "label": "Attention",
        "kind": "select",
        "options": [["sdpa", "SDPA"], ["flash", "flash"], ["eager", "eager"]],
        "value": "sdpa",
    },
    {
        "name": "loss",
        "group": "Numbers",
        "label": "Loss",
        "kind": "select",
        "options": [
            ["default", "cross-entropy over all logits"],
            ["chunked", "in chunks"],
            ["fused", "fused with the head"],
        ],
        "value": "default",
    },
    {
        "name": "gpu",
        "group": "GPU",
        "label": "GPU",
        "kind": "select",
        "options": [[key, g.name] for key, g in GPUS.items()],
        "value": "rtx4090",
    },
]

__all__ = [
    "COMPONENTS",
    "CONTEXT",
    "CONTROLS",
    "GPUS",
    "MOMENTS",
    "Estimate",
    "Gpu",
    "Settings",
    "Shape",
    "UnknownModel",
    "changes",
    "estimate",
    "fits",
    "from_controls",
    "gib",
    "largest",
    "memory_json",
    "verdict",
]
