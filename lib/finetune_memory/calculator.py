"""GPU memory of one fine-tuning step: will it fit? (claims C2 to C8). Standard library only.

``Settings`` says what is asked about, ``estimate`` answers in bytes. ``memory_json`` is the front of the live calculator. GB means
10**9 bytes and GiB 2**30 bytes, everywhere.
"""

import json
from functools import cache
from importlib import resources
from typing import Any

from finetune_memory.fit import CONTEXT, GIB, GPUS, Gpu, changes, fits, gpu_named, largest
from finetune_memory.formula import COMPONENTS, PHASES, Estimate, estimate
from finetune_memory.known_models import CONFIGS
from finetune_memory.settings import Settings
from finetune_memory.shape import Shape
from finetune_memory.training_time import REACHED, hours

SHOWN = ("t4", "l4", "rtx4090", "rtx5090", "a100-40", "a6000", "h100", "h200")


def gib(size: int) -> str:
    """Bytes as GiB, with as many digits as tell something."""
    return f"{size / GIB:.2f} GiB" if size < 10 * GIB else f"{size / GIB:,.1f} GiB"


def verdict(e: Estimate, gpu: Gpu) -> str:
    """Whether it fits, in a sentence or two."""
    s = e.settings
    says = {
        "yes": f"It fits the {gpu.name}, with {gib(gpu.total - e.peak_bytes)} to spare.",
        "tight": f"It is tight on the {gpu.name}: the tensors fit, but CUDA's context and the allocator's cache may not.",
        "no": f"It does not fit the {gpu.name}, which has {gib(gpu.total)}.",
    }[fits(e, gpu)]
    name = {"full": "Full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}[s.method]
    each = f" on each of {s.gpus} GPUs" if s.gpus > 1 else ""
    size = f"{gib(e.peak_bytes)} ({e.peak_bytes / 1e9:.1f} GB)"
    what = f"{name} with {s.batch} x {s.seq} tokens"
    return f"{what} takes {size} at its highest{each}, {_WHEN[e.phase]}. {says}"


_WHEN = {
    "load": "while the weights are loaded",
    "forward": "in the forward pass",
    "loss": "at the loss",
    "backward": "in the backward pass",
    "optimiser": "in the optimiser's step",
}


def no_bf16(s: Settings, gpu: Gpu) -> str:
    """A warning where the step computes in bf16 on a GPU without it; empty elsewhere."""
    if s.dtype != "bf16" or gpu.arch >= 80:
        return ""
    return (
        f"The {gpu.name} has no bf16 (compute capability {gpu.arch / 10:.1f}; bf16 needs 8.0): "
        "the step runs slowly there or not at all. Choose fp16, which takes as many bytes a number."
    )


def from_controls(values: dict[str, Any]) -> tuple[Settings, Gpu]:
    """Settings and GPU from the controls of the live form: field names, ``gpu``, and ``config``, the text of a ``config.json`` that
    takes the model's place; ``targets`` may also be "attention" (query and value, or the fused projection)."""
    values = dict(values)
    gpu = gpu_named(values.pop("gpu", "t4"))
    if pasted := values.pop("config", "").strip():
        try:
            values["model"] = dict(json.loads(pasted))
        except (TypeError, ValueError):
            raise ValueError("what was pasted is no config.json: copy the whole file, from { to }") from None
    if values.get("targets", "attention") == "attention":
        shape = Settings(model=values.get("model", Settings.model), targets="all-linear", rank=1).shape
        names = [linear.name for linear in shape.attention_linears]
        values["targets"] = ("q_proj", "v_proj") if "q_proj" in names else (names[0],)
    return Settings.from_dict({"arch": gpu.arch, **values}), gpu


def memory_json(settings: str) -> str:
    """The calculator's front: a JSON object of the controls' values in, ``{"figures", "tables", "text"}`` out. Raises ValueError for
    settings that are not possible."""
    values = json.loads(settings)
    tokens, price = (values.pop(name, 1) for name in ("million_tokens", "price"))
    s, gpu = from_controls(values)
    e = estimate(s)
    lines = [verdict(e, gpu)]
    batch, longest = largest(s, gpu, "batch"), largest(s, gpu, "seq", 64)
    if batch:
        length = f"is {longest:,} tokens" if longest else "is under 64 tokens"
        largest_batch = f"The largest batch of this length on the {gpu.name} is {batch:,}"
        lines.append(f"{largest_batch}; the longest text at this batch {length}.")
    elif longest:
        lines.append(f"No batch of this length fits the {gpu.name}; texts of up to {longest:,} tokens would.")
    else:
        lines.append(f"No batch and no length of it fits the {gpu.name}.")
    if options := changes(s, gpu):
        said = [f"{n}. {c.text} ({gib(c.peak_bytes)}; costs {c.costs})" for n, c in enumerate(options, 1)]
        lines.append(f"Cheapest changes that make it fit: {'; '.join(said)}.")
    elif fits(e, gpu) == "no":
        lines.append(_what_would_fit(s, gpu))
    if warning := no_bf16(s, gpu):
        lines.append(warning)
    lines.append(_time(s, gpu, tokens, price))
    tables = [_gpu_table(e), _part_table(e)]
    return json.dumps({"figures": [_figure(e, gpu)], "tables": tables, "text": "\n".join(lines)})


def _what_would_fit(s: Settings, gpu: Gpu) -> str:
    """Where no change of the step helps: the largest model of the list that this GPU can train, and the smallest GPU for this model,
    both with all that saves memory."""
    least: dict[str, Any] = {"method": "qlora", "targets": "all-linear", "batch": 1, "checkpointing": True}
    least |= {"loss": "fused", "optimizer": "paged_adamw8bit", "master_weights": False, "in_backward": False}

    def goes(model: Any, parameters: int, card: Gpu) -> bool:
        if parameters / 2 > card.total:  # not even the 4-bit weights
            return False
        try:
            return fits(estimate(s.replace(model=model, arch=card.arch, **least)), card) != "no"
        except ValueError:
            return False

    model = next((m for size, m in _sizes() if goes(m, size, gpu)), None)
    by_memory = sorted(GPUS.values(), key=lambda g: g.total)
    card = next((g for g in by_memory if goes(s.model, s.shape.parameters, g)), None)
    said = (
        f"the largest model of the list is {model.rpartition('/')[2]}"
        if model
        else "no model of the list does"
    )
    other = (
        f"this model needs {card.name}" if card else "this model at this length fits no single GPU known here"
    )
    least_of_all = "What would fit, with QLoRA, batch 1 and all that saves memory"
    return f"{least_of_all}: on the {gpu.name} {said}; {other}."


@cache
def _sizes() -> list[tuple[int, str]]:
    """Parameters and Hub id of the form's models that can be computed, the largest first."""
    models = (m for m, _ in next(c for c in CONTROLS if c["name"] == "model")["options"])
    known = (m for m in models if m in CONFIGS)
    return sorted(((Shape.from_config(CONFIGS[m]).parameters, m) for m in known), reverse=True)


def _time(s: Settings, gpu: Gpu, million: float, price: float) -> str:
    """Time and price of a training, in a sentence that says they are estimated."""
    low, high = hours(s, gpu, 1e6 * million)
    unit, times = ("hours", 1) if high >= 2 else ("minutes", 60)
    shares = " to ".join(f"{100 * share:.0f} %" for share in REACHED)
    cost = " to ".join(f"{h * price * s.gpus:,.2f}" for h in (low, high))
    cards = "a GPU" if s.gpus == 1 else f"each of {s.gpus} GPUs"
    return (
        f"Training on {million:,g} million tokens takes about {low * times:,.2g} to {high * times:,.2g} {unit} and costs {cost} euro, "
        f"at {price:,g} euro an hour for {cards}. Both are estimated from the arithmetic, with {shares} of the GPU's 16-bit rate."
    )


# Colour and pattern of each part, the same in every figure of memory; Okabe and Ito's colours and two more.
LOOKS = {
    "weights": ("#0072B2", ""),
    "quantisation constants": ("#8C6D46", "/"),
    "adapters": ("#CC79A7", "."),
    "gathered weights": ("#5A5AA8", "|"),
    "optimiser": ("#D55E00", "\\"),
    "workspace": ("#A8457F", "x"),
    "gradients": ("#E69F00", "x"),
    "saved activations": ("#009E73", "-"),
    "logits and loss": ("#56B4E9", "+"),
    "temporaries": ("#7F7F7F", "|"),
}


def _figure(e: Estimate, gpu: Gpu) -> dict[str, Any]:
    names = [name.capitalize() for name in PHASES]
    bars = [
        dict(type="bar", name=part, x=names, y=[round(e.by_phase[m][part] / GIB, 4) for m in PHASES])
        | dict(marker=_look(part))
        | dict(hovertemplate="%{x}, " + part + ": %{y:.2f} GiB")
        for part in COMPONENTS
        if any(e.by_phase[m][part] for m in PHASES)
    ]
    top = 1.6 * e.peak_bytes
    sizes = sorted({GPUS[key].total: GPUS[key].name for key in SHOWN if GPUS[key].total <= top}.items())[-2:]
    sizes = [*[size for size in sizes if size[1] != gpu.name], (gpu.total, gpu.name)]
    ends = [names[0], names[-1]]
    lines = [
        dict(type="scatter", mode="lines", name=name, x=ends, y=[round(size / GIB, 4)] * 2)
        | dict(line={"width": 2, "dash": dash, "color": "#7F7F7F"}, hovertemplate=name + ": %{y:.2f} GiB")
        for (size, name), dash in zip(sizes, ("dot", "dashdot", "dash")[-len(sizes) :], strict=True)
    ]
    peaks = ", ".join(f"{phase} {gib(size)}" for phase, size in e.phases.items())
    cards = ", ".join(f"{name} {gib(size)}" for size, name in sizes)
    layout = {
        "title": {"text": "Memory at each phase of the step"},
        "barmode": "stack",
        "yaxis": {"title": {"text": "GiB"}, "rangemode": "tozero"},
        "legend": {"traceorder": "normal"},
    }
    alt = f"Stacked bars of GPU memory at each phase of a step: {peaks}. Lines: {cards}."
    return {"data": bars + lines, "layout": layout, "alt": alt}


def _look(part: str) -> dict[str, Any]:
    color, shape = LOOKS[part]
    return {"color": color, "pattern": {"shape": shape, "fgcolor": "#ffffff", "fillmode": "overlay"}}


def _gpu_table(e: Estimate) -> dict[str, Any]:
    rows = [[GPUS[key].name, gib(GPUS[key].total), fits(e, GPUS[key])] for key in GPUS]
    context = f"{CONTEXT[0] / GIB:.1f} to {CONTEXT[1] / GIB:.1f} GiB"
    caption = f"Which GPU it fits (CUDA's own needs, {context}, counted)"
    return {"caption": caption, "header": ["GPU", "Usable memory", "Fits"], "rows": rows}


def _part_table(e: Estimate) -> dict[str, Any]:
    parts = {part: size for part, size in e.components.items() if size}
    rows = [[part, gib(size), f"{100 * size / e.peak_bytes:.0f} %"] for part, size in parts.items()]
    rows.append(["together (allocated)", gib(e.peak_bytes), "100 %"])
    rows.append(["reserved by the allocator, about", gib(e.reserved_bytes), ""])
    rows.append(["CUDA context, beside that", f"{gib(CONTEXT[0])} to {gib(CONTEXT[1])}", ""])
    caption = f"What the memory holds at its highest, {_WHEN[e.phase]}"
    return {"caption": caption, "header": ["Part", "Memory", "Share"], "rows": rows}


def _controls() -> list[dict[str, Any]]:
    """The controls of the live form, as ``calculator_form.json`` lists them by group, with the names of models and GPUs."""
    form = json.loads(resources.files("finetune_memory").joinpath("calculator_form.json").read_text("utf-8"))
    controls = {c["name"]: {"group": group, **c} for group, some in form.items() for c in some}
    controls["model"]["options"] = [[m, m.rpartition("/")[2]] for m in controls["model"]["options"]]
    controls["gpu"]["options"] = [[key, gpu.name] for key, gpu in GPUS.items()]
    return list(controls.values())


CONTROLS = _controls()
