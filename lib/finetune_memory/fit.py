"""Which GPU a fine-tuning step fits, how far batch and length may grow, and what would make it fit. Standard library only."""

import json
import math
from dataclasses import dataclass
from importlib import resources
from typing import Any

from finetune_memory.formula import Estimate, estimate
from finetune_memory.known_models import suggestion
from finetune_memory.settings import Settings

GIB = 2**30
# What the CUDA context, libraries and their kernels take beside PyTorch's allocator: by driver, GPU and what is loaded. Reported
# in public threads from about 100 MiB (kernels loaded lazily, CUDA 12) to about 800 MiB (discuss.pytorch.org/t/81330).
CONTEXT = (100 * 2**20, 800 * 2**20)


@dataclass(frozen=True)
class Gpu:
    """A GPU. total: bytes that CUDA reports (``torch.cuda.mem_get_info``), less than the number on the box; drivers and error
    correction move it by up to 0.3 GiB, and the lower reports are taken. arch: compute capability times ten. tflops: the maker's
    16-bit matrix rate, without sparsity."""

    name: str
    gib: float
    arch: int
    tflops: float

    @property
    def total(self) -> int:
        return int(self.gib * GIB)


_TABLE = json.loads(resources.files("finetune_memory").joinpath("gpus.json").read_text("utf-8"))
GPUS = {key: Gpu(**row) for key, row in _TABLE.items()}
OTHER_NAMES = {"a100-80": "a100", "h100-80": "h100", "v100-32": "v100", "a10": "a10g"}
OTHER_NAMES |= {name: f"rtx{name}" for name in ("3090", "4080", "4090", "5090")}


def gpu_named(name: str) -> Gpu:
    """The GPU of a name in any common form. Raises ValueError for one that is not known."""
    key = name.lower().replace("_", "-").replace(" ", "")
    key = OTHER_NAMES.get(key, key)
    if key not in GPUS:
        meant = suggestion(key, GPUS)
        raise ValueError(f"no GPU is known as {name!r}; there are {', '.join(GPUS)}{meant}")
    return GPUS[key]


def fits(e: Estimate, gpu: Gpu) -> str:
    """Whether the step fits the GPU: "yes", with room for the largest context and all that the allocator caches; "tight", the peak
    itself and a small context fit; "no"."""
    if e.reserved_bytes + CONTEXT[1] <= gpu.total:
        return "yes"
    return "tight" if e.peak_bytes + CONTEXT[0] <= gpu.total else "no"


def _goes(e: Estimate, gpu: Gpu) -> bool:
    """Whether a step is taken to fit where one answer is needed: the peak with the largest context."""
    return e.peak_bytes + CONTEXT[1] <= gpu.total


def largest(s: Settings, gpu: Gpu, field: str, unit: int = 1, limit: int = 1 << 20) -> int:
    """The largest ``field`` ("batch" or "seq") with which a step fits: a multiple of ``unit`` up to ``limit``, 0 if none fits."""
    room = gpu.total - CONTEXT[1]
    limit = min(limit, s.shape.positions) if field == "seq" and s.shape.positions else limit

    def peak(count: int) -> int:
        return estimate(s.replace(**{field: count * unit})).peak_bytes - room

    low, high = 1, max(1, limit // unit)
    if limit < unit or (value := peak(low)) > 0:
        return 0
    at, probe, bounded = low, max(2, getattr(s, field) // unit), False
    while low < high:
        before, value_before = at, value
        at = min(max(probe, low + 1), high)
        value = peak(at)
        if value > 0:
            high, bounded = at - 1, True
        else:
            low = at
        rise, middle = (value - value_before) / (at - before), (low + high + 1) // 2 if bounded else 4 * low
        # next where a straight line through the last two crosses nought
        probe = math.floor(at - value / rise) if rise > 0 else middle
    return low * unit


@dataclass(frozen=True)
class Change:
    """One change to the settings: what it is in words, what it costs the user, the settings after it."""

    text: str
    costs: str
    settings: Settings
    peak_bytes: int


_Candidate = tuple[str, str, dict[str, Any]]  # in words, what it costs, the settings that change


def _candidates(s: Settings) -> list[_Candidate]:
    """What could save memory, in the order of what it costs: nothing, speed, quality or convenience."""
    half_batch, half_seq = max(1, s.batch // 2), max(64, s.seq // 2)
    full, adamw, qlora = s.method == "full", s.optimizer == "adamw", s.method == "qlora"
    eager = s.attention == "eager" and not s.shape.softcap_scores
    foreach = adamw and s.optimizer_mode == "foreach"
    wide, free = s.master_weights or (s.dtype == "fp32" and not qlora), "nothing: the same result, and faster"
    sixteen = {"master_weights": False, "dtype": "bf16" if s.arch >= 80 else "fp16"}
    lora: dict[str, Any] = {"method": "lora", "targets": "all-linear", "in_backward": False}
    four = lora | sixteen | {"method": "qlora"} | ({"targets": s.targets} if s.method == "lora" else {})
    updates, clip = full and not s.in_backward and not s.accumulation, "no gradient accumulation, no clipping"
    # the gradients of earlier parts of the batch are there while the next part runs
    parts, half = not s.in_backward, {"batch": half_batch, "accumulation": True}
    moved, drop = "speed while states move to and fro", "drop the model's output before the backward pass"
    fsdp, fused = {"gpus": 2, "sharding": "fsdp"}, "fuse the loss with the head (Liger-Kernel)"
    again, shorter = "speed: about a third more computing", f"texts of at most {half_seq} tokens"
    found: list[tuple[bool, str, str, dict[str, Any]]] = [
        (eager, "use SDPA instead of eager attention", free, {"attention": "sdpa"}),
        (foreach, "use the fused AdamW (fused=True)", "nothing: it is faster", {"optimizer_mode": "fused"}),
        (s.loss == "default", fused, "nothing: a further package", {"loss": "fused"}),
        (s.outputs != "dropped", drop, "nothing", {"outputs": "dropped"}),
        (not s.checkpointing, "gradient checkpointing", again, {"checkpointing": True}),
        (parts and s.batch > 1, f"batch {half_batch} with gradient accumulation", "some speed", half),
        (parts and s.batch > 2, "batch 1 with gradient accumulation", "speed", half | {"batch": 1}),
        (adamw and not s.master_weights, "8-bit AdamW", "hardly any quality", {"optimizer": "adamw8bit"}),
        (adamw and full, "paged 8-bit AdamW", moved, {"optimizer": "paged_adamw8bit"}),
        (updates, "run the optimiser in the backward pass", clip, {"in_backward": True}),
        (wide, "16-bit weights (bf16)", "some quality in long runs", sixteen),
        (full, "LoRA instead of full fine-tuning", "quality, if there is much to learn", lora),
        (not qlora and s.shape.layout != "gpt2", "QLoRA: 4-bit weights", "speed, and some quality", four),
        (s.seq > 64, shorter, "what is cut off is not learned", {"seq": half_seq}),
        (s.gpus == 1, "two GPUs with FSDP", "a second GPU", fsdp),
    ]
    return [(text, cost, change) for possible, text, cost, change in found if possible]


def changes(s: Settings, gpu: Gpu, most: int = 3) -> list[Change]:
    """The cheapest changes that make a step fit, ``most`` at most.

    Each is enough alone; if there are fewer, the last is the cheapest ones together that are enough. Empty if the step fits already, or
    if nothing here helps.
    """
    before = estimate(s)
    if _goes(before, gpu):
        return []
    found, others = [], []
    for candidate in _candidates(s):
        e = _tried(s, [candidate])
        if e is None or e.peak_bytes >= before.peak_bytes:
            continue
        if not _goes(e, gpu):
            others.append(candidate)
            continue
        found.append(Change(*candidate[:2], e.settings, e.peak_bytes))
        if len(found) == most:
            return found
    return found + _together(s, gpu, others)


def _tried(s: Settings, some: list[_Candidate]) -> Estimate | None:
    """The estimate after some changes, None if they make no sense together."""
    try:
        return estimate(s.replace(**{name: value for *_, change in some for name, value in change.items()}))
    except ValueError:
        return None


def _together(s: Settings, gpu: Gpu, others: list[_Candidate]) -> list[Change]:
    """The cheapest of these changes, none of which is enough alone, that are enough together: added one by one until they are,
    then without those that turn out not to be needed, the dearest first."""
    taken: list[_Candidate] = []
    for other in others:
        e = _tried(s, [*taken, other])
        if e is None:
            continue
        taken.append(other)
        if not _goes(e, gpu):
            continue
        for spare in reversed(taken[:-1]):
            fewer = [one for one in taken if one is not spare]
            without = _tried(s, fewer)
            if without is not None and _goes(without, gpu):
                taken, e = fewer, without
        texts, costs, _ = zip(*taken, strict=True)
        return [Change(", and ".join(texts), "; ".join(dict.fromkeys(costs)), e.settings, e.peak_bytes)]
    return []
