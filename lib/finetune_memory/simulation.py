"""One whole training step without a GPU: the real model, PEFT, optimiser and autograd, run on fake tensors.

The model is built by ``AutoModelForCausalLM.from_config``, adapted by PEFT, and trained for two steps by a real
``torch.optim`` optimiser; but its tensors have shapes and no memory (``torch._subclasses.fake_tensor``), so that
Llama-2-13B takes seconds on a laptop. Every storage's birth and death is recorded, and replayed through the rules of
CUDA's caching allocator. Where CUDA kernels allocate otherwise than the CPU's, stand-ins take their place
(:mod:`finetune_memory.kernels`).
"""

import contextlib
import gc
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import _engine_run_backward

from finetune_memory import formula, libraries
from finetune_memory.caching_allocator import CachingAllocator
from finetune_memory.formula import PHASES, workspace
from finetune_memory.kernels import CudaKernels, FusedLoss, four_bit_linear
from finetune_memory.settings import Settings, version
from finetune_memory.trace import Block, Events, Trace

COMPONENTS = tuple(name for name in formula.COMPONENTS if name != "gathered weights")
POINTS = 400  # of a timeline, at most
PEFT = "0.21"  # the version whose steps are simulated


@dataclass(frozen=True)
class Simulation:
    """What the simulated run took.

    Attributes
    ----------
    peak_bytes : int
        The most that was allocated at once (``torch.cuda.max_memory_allocated``).
    reserved_bytes : int
        The most that the caching allocator held (``max_memory_reserved``).
    phase : str
        When the peak was, one of :data:`~finetune_memory.formula.PHASES`.
    components : dict
        Bytes at the peak by :data:`COMPONENTS`; they add up to peak_bytes.
    phases : dict
        Peak of each phase of the last step, in bytes.
    timeline : list of dict
        At most 400 points through loading and the last step, each ``{"at": 0..1, "phase", "bytes", component: bytes}``.
    """

    peak_bytes: int
    reserved_bytes: int
    phase: str
    components: dict[str, int]
    phases: dict[str, int]
    timeline: list[dict[str, Any]]


def simulate(
    settings: Settings, *, capacity: int | None = None, peft: str = PEFT, **changes: Any
) -> Simulation:
    """Simulate two training steps on one GPU.

    Parameters
    ----------
    settings : Settings
        The step; ``changes`` are other values of its settings.
    capacity : int, optional
        Bytes of GPU that the allocator may take (None: no limit).
    peft : str
        PEFT's version; from 0.20 on it empties the cache after k-bit preparation.

    Raises
    ------
    ValueError
        For settings that the simulation does not know, several GPUs among them.
    OutOfMemory
        If a capacity is given and not enough.
    """
    return evaluate(record(settings.replace(**changes), peft), capacity)


# --- the run -------------------------------------------------------------------------------------------------------


def record(s: Settings, peft: str = PEFT) -> Events:
    """Run the step under fake tensors and return what was allocated and released, in order, through two steps.

    Forward and backward pass run once: they allocate in the second step as in the first. The optimiser runs twice, since
    its states are made in the first step. Raises ValueError for several GPUs.
    """
    if s.gpus > 1:
        instead = "leave gpus and sharding out, or take the formula (without --simulate)"
        raise ValueError(f"the simulation runs one GPU; {instead}")
    with warnings.catch_warnings(), _quiet(), FakeTensorMode(allow_non_fake_inputs=True):
        warnings.simplefilter("ignore")
        model = libraries.model_from(s.config, s, "eager" if s.attention == "eager" else "sdpa")
        trace = Trace(workspace(s) // 2)
        trace.enter_phase("load")
        model = _load(model, s, peft, trace)
        with trace, CudaKernels(s.attention == "flash", s.arch, s.version("torch")):
            _Run(model, s, trace).step()
        trace.stop()
    return _two_steps(trace.events, s.outputs)


def _two_steps(once: Events, outputs_kept: str) -> Events:
    """Lay out load, step, step from a recording whose optimiser ran twice."""
    both = Events()
    names: dict[int, int] = {}

    def append(start: str, stop: str) -> None:
        both.append(once, once.place(start), once.place(stop), names)

    both.append(once, 0, once.place("again"), names)
    if outputs_kept == "next":
        append("clear", "outputs")
        both.mark("step")
        died = {number: once.blocks[number].died for number in names}
        old = {k: names.pop(k) for k, at in died.items() if at is not None and at >= once.place("outputs")}
        append("forward", "computed")
        for number in old.values():
            both.drop(number)
        append("computed", "optimiser")
    else:
        append("outputs", "end")
        append("clear", "outputs")
        both.mark("step")
        append("forward", "optimiser")
    both.mark("optimiser")
    append("again", "end")
    return both


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    from transformers import masking_utils  # sets the level of its logger, and so comes first

    names = ("transformers", "peft", "torch", "bitsandbytes")
    loggers = {logger: logger.level for logger in map(logging.getLogger, names)}
    collecting = gc.isenabled()
    gc.disable()  # storages must die when their last reference goes, as on a GPU, not when the collector comes by
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        # transformers looks into the positions for packed sequences; there are none, but fake positions cannot tell
        with mock.patch.object(masking_utils, "find_packed_sequence_indices", lambda positions: None):
            yield
    finally:
        for logger, level in loggers.items():
            logger.setLevel(level)
        if collecting:
            gc.enable()


def _load(model: Any, s: Settings, peft: str, trace: Trace) -> Any:
    """Put the weights on the device as ``from_pretrained`` does, and prepare the model for training."""
    small = _quantise(model, s) if s.method == "qlora" else {}
    if small:
        _load_quantised(model, small, trace)
    for module in model.modules():
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            trace.watch(tensor, "weights")
    model.train()
    with trace:
        if small and s.kbit_preparation:
            from peft import prepare_model_for_kbit_training

            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
            for parameter in model.parameters():
                trace.label(parameter, "weights")
            if version(peft) >= (0, 20):
                trace.events.empty_cache()
        libraries.checkpoint(model, s)
    if s.method != "full":
        stay = mock.patch.object(torch.nn.Module, "to", lambda module, *_, **__: module)
        with stay:  # fake weights cannot be moved
            model = libraries.adapt(model, s)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                trace.watch(parameter, "adapters")
    return model


def _quantise(model: Any, s: Settings) -> dict[str, tuple[Any, int]]:
    """Replace every linear layer but the head by its 4-bit stand-in. Returns {name of the weight: (stand-in, bytes of the
    weight before)}."""
    codes = (torch.empty(256),) if s.double_quant else ()
    small = {}
    for name, linear in libraries.quantised_linears(model):
        stand_in = four_bit_linear(linear, s, codes)
        small[f"{name}.weight"] = stand_in, linear.weight.untyped_storage().nbytes()
        model.set_submodule(name, stand_in)
    model.is_loaded_in_4bit = True
    return small


def _load_quantised(model: Any, small: dict[str, tuple[Any, int]], trace: Trace) -> None:
    """Quantisation while loading, weight after weight in the order of their names (transformers,
    ``convert_and_load_state_dict_in_model``): the 16-bit weight comes to the device, is quantised and dropped. Before
    that, one block of the model's final size warms the allocator up (``caching_allocator_warmup``)."""
    weights, events = dict(model.named_parameters()), trace.events
    trace.temporary(sum(p.untyped_storage().nbytes() for p in weights.values()))
    for name in sorted(weights, key=_natural):
        if name not in small:
            trace.watch(weights[name], "weights")
            continue
        stand_in, wide = small[name]
        passing = [events.make(wide, trace.phase)]
        constants = [*stand_in.constants, *stand_in.codes]
        if stand_in.codes:  # double quantisation: fp32 scales, and these less their mean, are dropped again
            passing.append(events.make(4 * stand_in.scale_blocks, trace.phase))
        else:
            trace.watch(constants.pop(0), "quantisation constants")
        trace.watch(weights[name], "weights")
        if stand_in.codes:
            passing.append(events.make(4 * stand_in.scale_blocks, trace.phase))
        for constant in constants:
            trace.watch(constant, "quantisation constants")
        for number in reversed(passing):
            events.drop(number)


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in name.split(".")]


class _Run:
    """The training loop, with the marks by which blocks are told apart."""

    def __init__(self, model: Any, s: Settings, trace: Trace):
        self.model, self.s, self.trace = model, s, trace
        self.trainable = [p for p in model.parameters() if p.requires_grad]
        self.base = model.get_base_model() if s.method != "full" else model
        self.head = self.base.get_output_embeddings()
        self.head.register_forward_pre_hook(self._at_head)
        if s.logits == "fp32":
            self.head.register_forward_hook(lambda module, args, logits: logits.float())
        with trace:
            self.ids = torch.zeros(s.batch, s.seq, dtype=torch.long)
        blockwise = partial(_BlockwiseAdamW, name=s.optimizer)
        self.optimizers = libraries.make_optimizers(self.trainable, s, blockwise)
        for parameter in self.trainable:
            parameter.register_post_accumulate_grad_hook(self._got_gradient)

    def _at_head(self, module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        if self.trace.phase == "forward":
            self.trace.enter_phase("loss")
        if args[0].requires_grad:
            args[0].register_hook(self._past_head)

    def _past_head(self, grad: torch.Tensor) -> None:
        if self.trace.phase == "loss":
            self.trace.enter_phase("backward")

    def _got_gradient(self, parameter: torch.nn.Parameter) -> None:
        if parameter.grad is not None:
            self.trace.label(parameter.grad, "gradients")
        if self.s.in_backward:
            phase = self.trace.phase
            self.trace.phase = "optimiser"
            self._update(self.optimizers[parameter])
            self.trace.phase = phase
            parameter.grad = None

    def _update(self, optimizer: torch.optim.Optimizer) -> None:
        self.trace.skip_scalars = self.s.optimizer_mode != "fused"
        optimizer.step()
        self.trace.skip_scalars = False
        for value in (value for state in optimizer.state.values() for value in state.values()):
            if isinstance(value, torch.Tensor) and self.trace.number(value) is not None:
                self.trace.label(value, "optimiser")

    def step(self) -> None:
        """Forward, backward, two optimiser steps; the marks say where each begins."""
        s, trace = self.s, self.trace
        trace.enter_phase("forward")
        if s.accumulation:
            for parameter in self.trainable:
                parameter.grad = torch.empty_like(parameter)
                trace.label(parameter.grad, "gradients")
        with _autocast(s):
            outputs = self._forward()
        loss = outputs[0] if isinstance(outputs, tuple) else outputs.loss
        if s.outputs == "dropped":
            del outputs
        trace.events.mark("computed")
        trace.in_backward = True
        _backward(loss)
        trace.in_backward = False
        for again in (False, True):
            trace.enter_phase("optimiser")
            if again:
                trace.events.mark("again")
            if None in self.optimizers:
                self._update(self.optimizers[None])
        trace.events.mark("clear")
        for parameter in self.trainable:
            parameter.grad = None
        trace.events.mark("outputs")
        outputs = loss = None
        trace.events.mark("end")

    def _forward(self) -> Any:
        s, inputs = self.s, {"input_ids": self.ids, "use_cache": self.s.use_cache}
        if s.rows != "full":
            inputs["attention_mask"] = self._mask()
        if s.loss == "default":
            return self.model(labels=self.ids, **inputs)
        hidden = self.base.base_model(**inputs)[0]
        labels = F.pad(self.ids, (0, 1), value=-100)[:, 1:]
        chunks = list(zip(hidden.chunk(s.loss_chunks, 1), labels.chunk(s.loss_chunks, 1), strict=True))
        if s.loss == "fused":
            self.trace.enter_phase("loss")
            hidden.register_hook(self._past_head)
            return (FusedLoss.apply(hidden, self.head.weight, self.head.bias, s.loss_chunks),)
        logits = [self.head(part) for part, _ in chunks]
        dtype = torch.float32 if s.loss_fp32 else None
        losses = [
            F.cross_entropy(part.to(dtype or part.dtype).flatten(0, 1), label.flatten(), reduction="sum")
            for part, (_, label) in zip(logits, chunks, strict=True)
        ]
        return sum(losses) / labels.numel(), logits

    def _mask(self) -> torch.Tensor:
        """The mask that transformers makes of padding or packing: bool for SDPA, added numbers for eager attention."""
        shape = (self.s.batch, 1, self.s.seq, self.s.seq)
        eager = self.base.config._attn_implementation == "eager"
        return torch.empty(shape, dtype=self.base.dtype if eager else torch.bool)


def _backward(loss: torch.Tensor) -> None:
    """``loss.backward()``, entered behind its Python front, which would switch the stand-ins off for the recomputation
    that gradient checkpointing does inside."""
    ones = (torch.ones_like(loss),)
    _engine_run_backward((loss,), ones, False, False, (), allow_unreachable=True, accumulate_grad=True)


@contextlib.contextmanager
def _autocast(s: Settings) -> Iterator[None]:
    before = torch.is_autocast_enabled("cuda")
    torch.set_autocast_enabled("cuda", s.master_weights)  # PEFT and transformers ask for this flag
    try:
        with torch.autocast("cpu", dtype=libraries.DTYPES[s.dtype], enabled=s.master_weights):
            yield
    finally:
        torch.set_autocast_enabled("cuda", before)


class _BlockwiseAdamW(torch.optim.Optimizer):
    """The states of bitsandbytes' AdamW (bitsandbytes/optim/optimizer.py, ``Optimizer2State``): two of one byte a
    parameter with an fp32 scale each 256, but fp32 states for tensors under 4096 elements; paged: states of tensors from
    100,000 elements on lie in CUDA managed memory, outside PyTorch's allocator. Its kernel takes no temporaries."""

    def __init__(self, parameters: list[torch.nn.Parameter], name: str):
        super().__init__(parameters, {})
        self.eight_bit, self.paged = "8bit" in name, "paged" in name
        self.code_books: list[torch.Tensor] = []

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for p in (p for group in self.param_groups for p in group["params"]):
            state, n = self.state[p], p.numel()
            if p.grad is None or state:
                continue
            eight = self.eight_bit and n >= 4096
            if eight and not self.code_books:
                self.code_books = [torch.empty(256), torch.empty(256)]
            if self.paged and n >= 1e5:
                state["paged"] = True
            else:
                kind = torch.uint8 if eight else torch.float32
                state["state1"], state["state2"] = (torch.zeros_like(p, dtype=kind) for _ in range(2))
            if eight:
                state["absmax1"], state["absmax2"] = (torch.zeros(-(-n // 256)) for _ in range(2))


# --- what it took --------------------------------------------------------------------------------------------------


def _kinds(events: Events) -> list[str]:
    """The component of every block, from its label, the phase that made it and whether it outlived the forward pass."""
    ends = [at for at, phase in events.marks if phase == "loss"]

    def kind(block: Block) -> str:
        if block.phase == "loss":
            return "logits and loss"
        end = next((at for at in ends if at > block.born), None) if block.phase == "forward" else None
        kept = end is not None and (block.died is None or block.died > end)
        return "saved activations" if kept else "temporaries"

    return [block.kind or kind(block) for block in events.blocks]


def evaluate(events: Events, capacity: int | None = None) -> Simulation:
    """Replay the events through the caching allocator and read off peaks, components and timeline.

    Raises
    ------
    OutOfMemory
        If the allocator may not take as many bytes as ``capacity`` from the GPU.
    """
    allocator = CachingAllocator(capacity)
    kinds, marks, held = _kinds(events), events.by_place(), {}
    start = events.place("step")
    live = dict.fromkeys(COMPONENTS, 0)  # bytes of each component
    curve: list[dict[str, Any]] = []  # a point for each event shown
    phase, peak, peak_phase = "load", dict(live), "load"
    for place, entry in enumerate(events.log):
        phase = next((name for name in reversed(marks.get(place, ())) if name in PHASES), phase)
        number = abs(entry) - 1
        if entry > 0:
            held[number] = allocator.allocate(events.blocks[number].size)
            live[kinds[number]] += held[number].size
            if allocator.allocated == allocator.peak_allocated:
                peak, peak_phase = dict(live), phase
        elif entry < 0:
            live[kinds[number]] -= held[number].size
            allocator.release(held.pop(number))
        else:
            allocator.empty_cache()
        if phase == "load" or place >= start:
            curve.append({"phase": phase, "bytes": allocator.allocated, **live})
    wide = -(-len(curve) // POINTS)  # of each stretch of the curve the highest point is shown
    stretches = [curve[at : at + wide] for at in range(0, len(curve), wide)]
    shown = [max(stretch, key=lambda point: point["bytes"]) for stretch in stretches]
    last = max(len(shown) - 1, 1)
    return Simulation(
        peak_bytes=allocator.peak_allocated,
        reserved_bytes=allocator.peak_reserved,
        phase=peak_phase,
        components=peak,
        phases={name: max((p["bytes"] for p in curve if p["phase"] == name), default=0) for name in PHASES},
        timeline=[{"at": n / last, **point} for n, point in enumerate(shown)],
    )
