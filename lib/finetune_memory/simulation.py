"""One whole training step without a GPU: the real model, PEFT, optimiser and autograd, run on fake tensors.

The model is built by ``AutoModelForCausalLM.from_config``, adapted by PEFT, and trained for two steps by a real
``torch.optim`` optimiser; but its tensors have shapes and no memory (``torch._subclasses.fake_tensor``), so that
Llama-2-13B takes seconds on a laptop. Every storage's birth and death is recorded, and replayed through the rules of
CUDA's caching allocator. Where CUDA kernels allocate otherwise than the CPU's, stand-ins take their place
(:mod:`finetune_memory.kernels`).
"""

from __future__ import annotations

import contextlib
import gc
import warnings
from dataclasses import dataclass, field, fields
from unittest import mock

import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import _engine_run_backward

from finetune_memory.caching_allocator import CachingAllocator
from finetune_memory.kernels import ATTENTION_KERNELS, CudaKernels, FusedLoss, four_bit_linear
from finetune_memory.trace import Events, Trace

COMPONENTS = (
    "weights",
    "quantisation constants",
    "adapters",
    "gradients",
    "optimiser",
    "saved activations",
    "logits and loss",
    "temporaries",
    "workspace",
)
MOMENTS = ("load", "forward", "loss", "backward", "optimiser")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CHOICES = {
    "method": ("full", "lora", "qlora"),
    "dtype": tuple(DTYPES),
    "adapter_dtype": tuple(DTYPES),
    "optimizer": ("adamw", "adamw8bit", "paged_adamw", "paged_adamw8bit", "adafactor", "sgd", "sgd_momentum"),
    "optimizer_mode": ("foreach", "fused", "forloop"),
    "kernel": (*ATTENTION_KERNELS, "eager"),
    "loss": ("default", "chunked", "fused"),
    "logits": ("auto", "fp32"),
    "rows": ("full", "padded", "packed"),
    "outputs": ("dropped", "step", "next"),
}


@dataclass(frozen=True)
class Plan:
    """What is simulated, in the terms of the libraries that run it.

    config: a Hugging Face ``config.json`` as a dictionary. method: full, lora or qlora. dtype: of the weights (and for
    QLoRA of the matrix products). master_weights: fp32 weights under autocast in ``dtype``. targets: names of the adapted
    modules ("all-linear": every linear layer but the head). optimizer: adamw, adamw8bit, paged_adamw, paged_adamw8bit,
    adafactor, sgd, sgd_momentum. accumulation: gradients of earlier micro-batches are there already. loss: "default" (transformers' own), "chunked" (logits in ``loss_chunks`` parts, each with its
    own cross-entropy) or "fused" (no more than one part of the logits exists at a time). loss_fp32: whether a chunked
    loss makes its logits fp32 first. logits: "fp32" if the model
    returns them so. rows: "full", or "padded" or "packed": then a mask of every row is an input. kernel: attention kernel (:data:`~finetune_memory.kernels.ATTENTION_KERNELS`) or "eager".
    outputs: until when the loop keeps what the model returned (the logits, and the key-value cache with ``use_cache``):
    "dropped" before the backward pass (transformers' Trainer), to the end of the "step", or until the "next" step's
    forward pass is through (a loop that writes ``outputs = model(...)``). arch: compute
    capability times ten (75: T4, 80: A100, 89: RTX 4090, 90: H100). capacity: bytes of GPU the allocator may take (None: no
    limit). torch, peft, bitsandbytes: the versions whose choices are followed where they differ.
    """

    config: dict
    method: str = "full"
    batch: int = 1
    length: int = 512
    dtype: str = "bf16"
    master_weights: bool = False
    rank: int = 8
    targets: tuple[str, ...] | str = ("q_proj", "v_proj")
    adapter_dtype: str = "fp32"
    lora_dropout: float = 0.0
    double_quant: bool = False
    kbit_preparation: bool = True
    optimizer: str = "adamw"
    optimizer_mode: str = "foreach"
    in_backward: bool = False
    accumulation: bool = False
    checkpointing: bool = False
    kernel: str = "auto"
    loss: str = "default"
    loss_chunks: int = 8
    loss_fp32: bool = True
    logits: str = "auto"
    rows: str = "full"
    outputs: str = "step"
    use_cache: bool = False
    arch: int = 80
    capacity: int | None = None
    torch: str = "2.13"
    peft: str = "0.21"
    bitsandbytes: str = "0.50"

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is one of {', '.join(choices)}, not {getattr(self, name)!r}")
        for name in ("batch", "length", "rank", "loss_chunks"):
            if (
                isinstance(getattr(self, name), bool)
                or not isinstance(getattr(self, name), int)
                or getattr(self, name) < 1
            ):
                raise ValueError(f"{name} must be a whole number of at least 1, not {getattr(self, name)!r}")
        if not self.config.get("model_type"):
            raise ValueError("the config has no model_type; give a whole config.json")


@dataclass(frozen=True)
class Simulation:
    """What the simulated run took.

    peak_bytes: the most that was allocated at once (``torch.cuda.max_memory_allocated``); reserved_bytes: the most that the
    caching allocator held (``max_memory_reserved``; None if not asked for). moment: when the peak was, one of
    :data:`MOMENTS`. components: bytes at the peak by :data:`COMPONENTS`; they add up to peak_bytes. phases: peak of each
    moment of the last step. timeline: at most 400 points through loading and the last step, each
    ``{"at": 0..1, "phase", "bytes", component: bytes}``.
    """

    peak_bytes: int
    reserved_bytes: int | None
    moment: str
    components: dict[str, int]
    phases: dict[str, int] = field(default_factory=dict)
    timeline: list[dict] = field(default_factory=list)


def simulate(settings, *, reserved: bool = True) -> Simulation:
    """Simulate two training steps of ``settings`` (``finetune_memory.calculator.Settings``, or a :class:`Plan`).

    Raises ValueError for settings that the simulation does not know, and
    :class:`~finetune_memory.caching_allocator.OutOfMemory` if a capacity is given and not enough.
    """
    plan = settings if isinstance(settings, Plan) else plan_of(settings)
    return evaluate(record(plan), plan, reserved=reserved)


def plan_of(settings, **changes) -> Plan:
    """The plan of a calculator's settings; ``changes``: what only the simulation knows (kernel, capacity, versions).

    Raises ValueError for several GPUs: the simulation runs one.
    """
    if settings.gpus > 1:
        raise ValueError(
            "the simulation runs one GPU; leave gpus and sharding out, or take the formula (without --simulate)"
        )
    kernel = {"eager": "eager", "sdpa": "auto", "flash": "flash"}[settings.attention]
    same = {f.name for f in fields(Plan)} & {f.name for f in fields(settings)}
    values = {name: getattr(settings, name) for name in same} | {
        "config": dict(settings.config),
        "length": settings.seq,
        "kernel": kernel,
    }
    return Plan(**{**values, **changes})


# --- the run -------------------------------------------------------------------------------------------------------


def record(plan: Plan) -> Events:
    """Run the plan under fake tensors and return what was allocated and released, in order, through two steps.

    Forward and backward pass run once: they allocate in the second step as in the first. The optimiser runs twice, since
    its states are made in the first step.
    """
    workspace = (32 * 1024 if plan.arch >= 90 else 8320) * 1024  # aten/src/ATen/cuda/CublasHandlePool.cpp
    with warnings.catch_warnings(), _quiet(), FakeTensorMode(allow_non_fake_inputs=True):
        warnings.simplefilter("ignore")
        model = _build(plan)
        trace = Trace(workspace)
        trace.enter_phase("load")
        model = _load(model, plan, trace)
        with (
            trace,
            CudaKernels("auto" if plan.kernel == "eager" else plan.kernel, plan.arch, _version(plan.torch)),
        ):
            _Run(model, plan, trace).step()
        trace.stop()
    return _two_steps(trace.events, plan)


def _two_steps(once: Events, plan: Plan) -> Events:
    """Lay out load, step, step from a recording whose optimiser ran twice."""
    both = Events()
    names: dict[int, int] = {}
    begin, first, second, clear, outputs, end = (
        once.place(mark) for mark in ("forward", "optimiser", "again", "clear", "outputs", "end")
    )
    both.append(once, 0, begin, names)
    both.append(once, begin, second, names)
    if plan.outputs == "next":
        both.append(once, clear, outputs, names)
        both.mark("step")
        computed = once.place("computed")
        old = {
            k: v
            for k, v in names.items()
            if once.blocks[k].died is not None and once.blocks[k].died >= outputs
        }
        for number in old:
            del names[number]
        both.append(once, begin, computed, names)
        for number in old.values():
            both.drop(number)
        both.append(once, computed, first, names)
    else:
        both.append(once, outputs, end, names)
        both.append(once, clear, outputs, names)
        both.mark("step")
        both.append(once, begin, first, names)
    both.mark("optimiser")
    both.append(once, second, end, names)
    return both


@contextlib.contextmanager
def _quiet():
    import logging

    from transformers import masking_utils

    loggers = [logging.getLogger(name) for name in ("transformers", "peft", "torch")]
    levels = [logger.level for logger in loggers]
    collecting = gc.isenabled()
    gc.disable()  # storages must die when their last reference goes, as on a GPU, not when the collector comes by
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        # transformers looks into the positions for packed sequences; there are none, but fake positions cannot tell
        with mock.patch.object(masking_utils, "find_packed_sequence_indices", lambda positions: None):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if collecting:
            gc.enable()


def _build(plan: Plan) -> torch.nn.Module:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = dict(plan.config)
    kind = config.pop("model_type")
    for name in ("quantization_config", "torch_dtype", "dtype", "auto_map", "architectures"):
        config.pop(name, None)
    if kind == "gemma3" and "text_config" in config:  # the part that reads and writes text
        kind, config = "gemma3_text", {k: v for k, v in config["text_config"].items() if k != "model_type"}
    try:
        config = AutoConfig.for_model(kind, **config)
    except ValueError as error:
        raise ValueError(f"transformers knows no architecture {kind!r}, so it cannot be simulated") from error
    for name in ("attention_dropout", "attn_pdrop"):
        if getattr(config, name, 0):
            setattr(config, name, 0.0)
    config.use_cache = plan.use_cache
    dtype = torch.float32 if plan.master_weights else DTYPES[plan.dtype]
    eager = plan.kernel == "eager" or getattr(config, "attn_logit_softcapping", None)  # SDPA has no soft cap
    return AutoModelForCausalLM.from_config(
        config, dtype=dtype, attn_implementation="eager" if eager else "sdpa"
    )


def _load(model, plan: Plan, trace: Trace):
    """Put the weights on the device as ``from_pretrained`` does, and prepare the model for training."""
    small = _quantise(model, plan) if plan.method == "qlora" else {}
    if small:
        _load_quantised(model, small, trace)
    for module in model.modules():
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            trace.watch(tensor, "weights")
    model.train()
    with trace:
        if small and plan.kbit_preparation:
            from peft import prepare_model_for_kbit_training

            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
            for parameter in model.parameters():
                trace.label(parameter, "weights")
            if _version(plan.peft) >= (0, 20):
                trace.events.empty_cache()
        if plan.checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            if plan.method != "full":
                model.enable_input_require_grads()
    if plan.method != "full":
        model = _adapt(model, plan)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                trace.watch(parameter, "adapters")
    return model


def _quantise(model, plan: Plan) -> dict:
    """Replace every linear layer but the head by its 4-bit stand-in. Returns {name of the weight: (stand-in, bytes of the
    weight before)}."""
    if type(model).__name__.startswith("GPT2"):
        raise ValueError(
            "GPT-2 keeps its weights in Conv1D modules, for which the simulation has no 4-bit layer; use lora or full"
        )
    head = model.get_output_embeddings()
    codes = (torch.empty(256),) if plan.double_quant else ()
    keeps = _version(plan.bitsandbytes) < (0, 43, 2)
    small = {}
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and module is not head:
            stand_in = four_bit_linear(module, DTYPES[plan.dtype], plan.double_quant, codes, keeps)
            small[f"{name}.weight"] = stand_in, module.weight.untyped_storage().nbytes()
            model.set_submodule(name, stand_in)
    model.is_loaded_in_4bit = True
    return small


def _load_quantised(model, small: dict, trace: Trace) -> None:
    """Quantisation while loading, weight after weight in the order of their names (transformers,
    ``convert_and_load_state_dict_in_model``): the 16-bit weight comes to the device, is quantised and dropped. Before
    that, one block of the model's final size warms the allocator up (``caching_allocator_warmup``)."""
    weights = dict(model.named_parameters())
    packed = {id(stand_in.weight) for stand_in, _ in small.values()}
    trace.temporary(
        sum(p.numel() if id(p) in packed else p.untyped_storage().nbytes() for p in weights.values())
    )
    for name in sorted(weights, key=_natural):
        if name not in small:
            trace.watch(weights[name], "weights")
            continue
        stand_in, wide = small[name]
        before = trace.events.make(wide, trace.phase)
        if (
            stand_in.codes
        ):  # double quantisation: the fp32 scales, and these less their mean, are dropped again
            scales = trace.events.make(4 * stand_in.scale_blocks, trace.phase)
            trace.watch(weights[name], "weights")
            shifted = trace.events.make(4 * stand_in.scale_blocks, trace.phase)
            for constant in (*stand_in.constants, *stand_in.codes):
                trace.watch(constant, "quantisation constants")
            trace.events.drop(shifted)
            trace.events.drop(scales)
        else:
            trace.watch(stand_in.constants[0], "quantisation constants")
            trace.watch(weights[name], "weights")
            for constant in stand_in.constants[1:]:
                trace.watch(constant, "quantisation constants")
        trace.events.drop(before)


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in name.split(".")]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:3] if part.isdecimal())


def _adapt(model, plan: Plan):
    from peft import LoraConfig, get_peft_model

    targets = plan.targets if isinstance(plan.targets, str) else list(plan.targets)
    config = LoraConfig(
        r=plan.rank,
        lora_alpha=2 * plan.rank,
        lora_dropout=plan.lora_dropout,
        bias="none",
        task_type="CAUSAL_LM",
        target_modules=targets,
        init_lora_weights=True,
    )
    with mock.patch.object(
        torch.nn.Module, "to", lambda module, *_, **__: module
    ):  # fake parameters cannot be moved
        model = get_peft_model(model, config)
    if plan.adapter_dtype != "fp32":
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.to(DTYPES[plan.adapter_dtype])
    return model


class _Run:
    """The training loop, with the marks by which blocks are told apart."""

    def __init__(self, model, plan: Plan, trace: Trace):
        self.model, self.plan, self.trace = model, plan, trace
        self.trainable = [p for p in model.parameters() if p.requires_grad]
        base = model.get_base_model() if plan.method != "full" else model
        self.base, self.head = base, base.get_output_embeddings()
        self.head.register_forward_pre_hook(self._at_head)
        if plan.logits == "fp32":
            self.head.register_forward_hook(lambda module, args, logits: logits.float())
        with contextlib.ExitStack() as stack:
            stack.enter_context(trace)
            self.ids = torch.zeros(plan.batch, plan.length, dtype=torch.long)
        self.optimizers = _optimizers(self.trainable, plan)
        for parameter in self.trainable:
            parameter.register_post_accumulate_grad_hook(self._got_gradient)

    def _at_head(self, module, args):
        if self.trace.phase == "forward":
            self.trace.enter_phase("loss")
        if args[0].requires_grad:
            args[0].register_hook(self._past_head)

    def _past_head(self, grad):
        if self.trace.phase == "loss":
            self.trace.enter_phase("backward")

    def _got_gradient(self, parameter):
        self.trace.label(parameter.grad, "gradients")
        if self.plan.in_backward:
            phase = self.trace.phase
            self.trace.phase = "optimiser"
            self._update(self.optimizers[id(parameter)])
            self.trace.phase = phase
            parameter.grad = None

    def _update(self, optimizer):
        self.trace.skip_scalars = self.plan.optimizer_mode != "fused"
        optimizer.step()
        self.trace.skip_scalars = False
        for state in optimizer.state.values():
            for value in state.values():
                if isinstance(value, torch.Tensor) and self.trace.number(value) is not None:
                    self.trace.label(value, "optimiser")

    def step(self) -> None:
        """Forward, backward, two optimiser steps; the marks say where each begins."""
        plan, trace = self.plan, self.trace
        trace.enter_phase("forward")
        if plan.accumulation:
            for parameter in self.trainable:
                parameter.grad = torch.empty_like(parameter)
                trace.label(parameter.grad, "gradients")
        with _autocast(plan):
            outputs = self._forward()
        loss = outputs[0] if isinstance(outputs, tuple) else outputs.loss
        if plan.outputs == "dropped":
            del outputs
        trace.events.mark("computed")
        trace.in_backward = True
        _backward(loss)
        trace.in_backward = False
        for again in (False, True):
            trace.enter_phase("optimiser")
            if again:
                trace.events.mark("again")
            if not plan.in_backward:
                self._update(self.optimizers[None])
        trace.events.mark("clear")
        for parameter in self.trainable:
            parameter.grad = None
        trace.events.mark("outputs")
        outputs = loss = None
        trace.events.mark("end")

    def _forward(self):
        plan, inputs = self.plan, {"input_ids": self.ids, "use_cache": self.plan.use_cache}
        if plan.rows != "full":
            inputs["attention_mask"] = self._mask()
        if plan.loss == "default":
            return self.model(labels=self.ids, **inputs)
        hidden = self.base.base_model(**inputs)[0]
        labels = F.pad(self.ids, (0, 1), value=-100)[:, 1:]
        chunks = list(zip(hidden.chunk(plan.loss_chunks, 1), labels.chunk(plan.loss_chunks, 1), strict=True))
        if plan.loss == "fused":
            self.trace.enter_phase("loss")
            hidden.register_hook(self._past_head)
            return (FusedLoss.apply(hidden, self.head.weight, self.head.bias, plan.loss_chunks),)
        logits = [self.head(part) for part, _ in chunks]
        losses = [
            F.cross_entropy(
                (part.float() if plan.loss_fp32 else part).flatten(0, 1), label.flatten(), reduction="sum"
            )
            for part, (_, label) in zip(logits, chunks, strict=True)
        ]
        return sum(losses) / labels.numel(), logits

    def _mask(self) -> torch.Tensor:
        """The mask that transformers makes of padding or packing: bool for SDPA, added numbers for eager attention."""
        shape = (self.plan.batch, 1, self.plan.length, self.plan.length)
        eager = self.base.config._attn_implementation == "eager"
        return torch.empty(shape, dtype=self.base.dtype if eager else torch.bool)


def _backward(loss: torch.Tensor) -> None:
    """``loss.backward()``, entered behind its Python front, which would switch the stand-ins off for the recomputation
    that gradient checkpointing does inside."""
    ones = (torch.ones_like(loss),)
    _engine_run_backward((loss,), ones, False, False, (), allow_unreachable=True, accumulate_grad=True)


@contextlib.contextmanager
def _autocast(plan: Plan):
    if not plan.master_weights or plan.dtype == "fp32":
        yield
        return
    before = torch.is_autocast_enabled("cuda")
    torch.set_autocast_enabled("cuda", True)  # PEFT and transformers ask for this flag
    try:
        with torch.autocast("cpu", dtype=DTYPES[plan.dtype]):
            yield
    finally:
        torch.set_autocast_enabled("cuda", before)


# --- optimisers ----------------------------------------------------------------------------------------------------


def _optimizers(parameters, plan: Plan) -> dict:
    """{None: one optimiser of all}, or with ``in_backward`` one a parameter, by its id."""
    if plan.in_backward:
        return {id(p): _optimizer([p], plan) for p in parameters}
    return {None: _optimizer(parameters, plan)}


def _optimizer(parameters, plan: Plan):
    name = plan.optimizer
    how = {"foreach": plan.optimizer_mode == "foreach", "fused": plan.optimizer_mode == "fused"}
    if how["fused"]:
        how["foreach"] = None
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=1e-4, **how)
    if name in ("sgd", "sgd_momentum"):
        return torch.optim.SGD(parameters, lr=1e-4, momentum=0.9 if name == "sgd_momentum" else 0.0, **how)
    if name == "adafactor":
        from transformers.optimization import Adafactor

        return Adafactor(parameters, lr=1e-4, scale_parameter=False, relative_step=False, warmup_init=False)
    return _BlockwiseAdamW(parameters, bits=8 if "8bit" in name else 32, paged="paged" in name)


class _BlockwiseAdamW(torch.optim.Optimizer):
    """The states of bitsandbytes' AdamW (bitsandbytes/optim/optimizer.py, ``Optimizer2State``): two of one byte a
    parameter with an fp32 scale each 256, but fp32 states for tensors under 4096 elements; paged: states of tensors from
    100,000 elements on lie in CUDA managed memory, outside PyTorch's allocator. Its kernel takes no temporaries."""

    def __init__(self, parameters, bits: int, paged: bool):
        super().__init__(parameters, {"lr": 1e-4})
        self.bits, self.paged = bits, paged
        self.code_books = None

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None or self.state[p]:
                    continue
                state, n = self.state[p], p.numel()
                eight = self.bits == 8 and n >= 4096
                if eight and self.code_books is None:
                    self.code_books = [torch.empty(256), torch.empty(256)]
                if not (self.paged and n >= 1e5):
                    kind = torch.uint8 if eight else torch.float32
                    state["state1"], state["state2"] = (torch.zeros_like(p, dtype=kind) for _ in range(2))
                else:
                    state["paged"] = True
                if eight:
                    state["absmax1"], state["absmax2"] = (torch.zeros(-(-n // 256)) for _ in range(2))


# --- what it took --------------------------------------------------------------------------------------------------


def _kinds(events: Events) -> list[str]:
    """The component of every block, from its label, the phase that made it and whether it outlived the forward pass."""
    ends = [at for at, phase in events.marks if phase == "loss"]
    kinds = []
    for block in events.blocks:
        if block.kind is not None:
            kinds.append(block.kind)
        elif block.phase == "loss":
            kinds.append("logits and loss")
        elif block.phase == "forward":
            end = next((at for at in ends if at > block.born), None)
            kept = end is not None and (block.died is None or block.died > end)
            kinds.append("saved activations" if kept else "temporaries")
        else:
            kinds.append("temporaries")
    return kinds


def evaluate(events: Events, plan: Plan, *, reserved: bool = True, points: int = 400) -> Simulation:
    """Replay the events through the caching allocator and read off peaks, components and timeline."""
    allocator = CachingAllocator(plan.capacity)
    kinds, marks, held = _kinds(events), _by_place(events.marks), {}
    start = next(at for at, phase in events.marks if phase == "step")
    changes: list[tuple[str, int]] = []  # of each event: which component by how many bytes
    curve: list[tuple[int, str, int]] = []  # of each event shown: its place, phase, bytes allocated
    phase, peak = "load", 0
    for place, entry in enumerate(events.log):
        phase = next((name for name in reversed(marks.get(place, ())) if name in MOMENTS), phase)
        change = ("temporaries", 0)
        if entry == 0:
            allocator.empty_cache()
        elif entry > 0:
            block = held[entry - 1] = allocator.allocate(events.blocks[entry - 1].size)
            change = (kinds[entry - 1], block.size)
            if allocator.allocated == allocator.peak_allocated:
                peak, moment = place, phase
        else:
            block = held.pop(-entry - 1)
            change = (kinds[-entry - 1], -block.size)
            allocator.release(block)
        changes.append(change)
        if phase == "load" or place >= start:
            curve.append((place, phase, allocator.allocated))
    chosen = _highest(curve, points)
    parts = _components(changes, {place for place, _, _ in chosen} | {peak})
    return Simulation(
        peak_bytes=allocator.peak_allocated,
        reserved_bytes=allocator.peak_reserved if reserved else None,
        moment=moment,
        components=parts[peak],
        phases={
            name: max((size for _, phase, size in curve if phase == name), default=0) for name in MOMENTS
        },
        timeline=[
            {"at": n / max(len(chosen) - 1, 1), "phase": phase, "bytes": size, **parts[place]}
            for n, (place, phase, size) in enumerate(chosen)
        ],
    )


def _highest(curve: list[tuple[int, str, int]], points: int) -> list[tuple[int, str, int]]:
    """Of each of ``points`` stretches of the curve the highest point."""
    wide = -(-len(curve) // points)
    return [max(curve[at : at + wide], key=lambda point: point[2]) for at in range(0, len(curve), wide)]


def _components(changes: list[tuple[str, int]], places: set[int]) -> dict[int, dict[str, int]]:
    """Bytes by component after the events at these places."""
    live, found = dict.fromkeys(COMPONENTS, 0), {}
    for place, (kind, size) in enumerate(changes):
        live[kind] += size
        if place in places:
            found[place] = dict(live)
    return found


def _by_place(marks: list[tuple[int, str]]) -> dict[int, list[str]]:
    places: dict[int, list[str]] = {}
    for at, phase in marks:
        places.setdefault(at, []).append(phase)
    return places


__all__ = ["COMPONENTS", "MOMENTS", "Plan", "Simulation", "evaluate", "plan_of", "record", "simulate"]
