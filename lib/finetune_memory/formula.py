"""GPU memory of one fine-tuning step: what stands all the time, and what each phase of the step adds. Standard library only.

The peak is the largest of five phases. Weights, adapters, optimiser states and cuBLAS's workspace stand all the time; what a
block saves for the backward pass grows over the forward pass and goes again over the backward pass, while gradients grow; the loss
stands in between with the logits. What a block, the head and the loss take comes from running them on a tape of sizes
(:mod:`finetune_memory.training_step`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from finetune_memory.settings import BYTES, Settings
from finetune_memory.tape import rounded
from finetune_memory.training_step import Stretch, run, small_bytes

PHASES = ("load", "forward", "loss", "backward", "optimiser")
_STANDING = ("weights", "quantisation constants", "adapters", "gathered weights", "optimiser", "workspace")
_PASSING = ("gradients", "saved activations", "logits and loss", "temporaries")
COMPONENTS = _STANDING + _PASSING


@dataclass(frozen=True)
class Estimate:
    """What one step takes on one GPU, in bytes.

    Attributes
    ----------
    settings : Settings
        The step.
    peak_bytes : int
        The most allocated at once (``torch.cuda.max_memory_allocated``).
    phase : str
        When that is, one of :data:`PHASES`.
    components : dict
        Bytes at the peak by :data:`COMPONENTS`; they add up to it.
    by_phase : dict
        The components at the highest point of each phase.
    """

    settings: Settings
    peak_bytes: int
    phase: str
    components: dict[str, int]
    by_phase: dict[str, dict[str, int]]

    @property
    def phases(self) -> dict[str, int]:
        """Bytes at the highest point of each phase."""
        return {name: sum(parts.values()) for name, parts in self.by_phase.items()}

    @property
    def reserved_bytes(self) -> int:
        """About what the caching allocator holds at the end (``max_memory_reserved``). It keeps the segments that the temporaries of
        a block took; the logits' tensors are larger than these and take new ones. On a GPU that is nearly full it gives
        unused segments back first, so that a step fits if its peak does (c10/cuda/CUDACachingAllocator.cpp)."""
        cached = max(self.by_phase["forward"]["temporaries"], self.by_phase["backward"]["temporaries"])
        return max(self.peak_bytes, self.phases["loss"] + cached)


@dataclass(frozen=True)
class Tensors:
    """Trained tensors of one size: how many, elements each, bytes an element."""

    count: int
    n: int
    e: int

    @property
    def size(self) -> int:
        return self.count * rounded(self.n * self.e)


def _base_tensors(s: Settings, layers: int) -> list[Tensors]:
    """The base model's tensors, unquantised, in the order of its parameters."""
    shape, e = s.shape, small_bytes(s)
    block = [n for linear in shape.linears for n in (linear.weights, linear.outputs * linear.bias)]
    first = [shape.vocab * shape.hidden, shape.positions * shape.hidden]
    last = [*shape.final_norm_sizes, shape.head.weights * (not shape.tied), shape.vocab * shape.head.bias]
    counts = ((1, first), (layers, block + shape.norm_sizes), (1, last))
    return [Tensors(count, n, e) for count, sizes in counts for n in sizes if n]


def weights(s: Settings, layers: int | None = None) -> tuple[int, int]:
    """Bytes of the base model's weights, and of their quantisation constants; with so many ``layers``, if not the model's own.

    A 16-bit or 32-bit weight takes its width; NF4 half a byte (two to a byte), with scales of fp32 for each 64 weights or,
    doubly quantised, of one byte for each 64, an fp32 scale for each 256 of those and an offset, and a code book of 16 fp32
    numbers a layer (QLoRA, arXiv:2305.14314, section 3; bitsandbytes, functional.py, quantize_4bit). The head and everything that
    is no linear layer stay as they are.
    """
    layers = s.shape.layers if layers is None else layers
    total = sum(t.size for t in _base_tensors(s, layers))
    if s.method != "qlora":
        return total, 0
    constants = rounded(256 * 4) if s.double_quant else 0
    for linear in s.shape.linears:
        total += layers * (rounded(-(-linear.weights // 2)) - rounded(linear.weights * small_bytes(s)))
        scales = -(-linear.weights // 64)
        double = rounded(scales) + rounded(-(-scales // 256) * 4) + rounded(4)
        constants += layers * (rounded(16 * 4) + (double if s.double_quant else rounded(4 * scales)))
    return total, constants


def trained(s: Settings) -> list[Tensors]:
    """The tensors that are trained, in the order of the model's parameters."""
    shape = s.shape
    if s.method == "full":
        return _base_tensors(s, shape.layers)
    return [
        Tensors(1 if linear is shape.head else shape.layers, s.rank * width, BYTES[s.adapter_dtype])
        for linear in shape.targets(s.targets)
        for width in (linear.inputs, linear.outputs)
    ]


def optimiser_states(s: Settings) -> int:
    """Bytes of optimiser states on the GPU.

    PyTorch's AdamW keeps two states, SGD with momentum one, of the parameter's dtype (and "fused" a step count each);
    Adafactor one number a row and a column in fp32 (transformers, optimization.py); bitsandbytes' AdamW two of one byte
    with an fp32 scale for each 256, but fp32 for tensors of under 4096 elements; paged: tensors of 100,000 elements and
    more keep theirs in CUDA managed memory, outside the allocator (bitsandbytes, optim/optimizer.py).
    """
    tensors, name = trained(s), s.optimizer

    def states(t: Tensors) -> int:
        if name == "adamw":
            return 2 * rounded(t.n * t.e) + (512 if s.optimizer_mode == "fused" else 0)
        if name == "adafactor":
            return sum(rounded(4 * n) for n in _factors(s, t))
        if name in ("sgd", "sgd_momentum"):
            return rounded(t.n * t.e) if name == "sgd_momentum" else 0
        eight, paged = "8bit" in name and t.n >= 4096, "paged" in name and t.n >= 100_000
        scales = 2 * rounded(-(-t.n // 256) * 4) if eight else 0
        return scales + (0 if paged else 2 * rounded(t.n * (1 if eight else 4)))

    code_books = 2 * rounded(256 * 4) if "8bit" in name and any(t.n >= 4096 for t in tensors) else 0
    return code_books + sum(t.count * states(t) for t in tensors)


def _factors(s: Settings, t: Tensors) -> tuple[int, ...]:
    """Rows and columns of a matrix of ``t.n`` elements; a vector keeps all of its own."""
    shape = s.shape
    if s.method != "full":
        return s.rank, t.n // s.rank
    matrices = {linear.weights: (linear.inputs, linear.outputs) for linear in (*shape.linears, shape.head)}
    for rows in (shape.vocab, shape.positions):
        matrices.setdefault(rows * shape.hidden, (rows, shape.hidden))
    return matrices.get(t.n, (t.n,))


def update_temporaries(s: Settings) -> int:
    """Bytes that the optimiser step takes beside weights, gradients and states.

    AdamW, foreach: the square roots of all second moments at once (torch/optim/adam.py, ``_multi_tensor_adam``); one after the
    other: a root and its quotient; fused, SGD and bitsandbytes: none. Adafactor, one after the other: the squared gradient, twice,
    fp32 copies of 16-bit gradient and weight, and the update of the tensor before (transformers, optimization.py, ``step``).
    """
    tensors = trained(s)
    if s.optimizer == "adamw" and s.optimizer_mode != "fused":
        if s.optimizer_mode == "foreach" and not s.in_backward:
            return sum(t.size for t in tensors)
        return max(rounded(t.n * t.e) for t in tensors) * (1 if s.optimizer_mode == "foreach" else 2)
    if s.optimizer != "adafactor":
        return 0
    most = before = 0
    block = [t for t in tensors if t.count > 1] or tensors
    for t in (*(t for t in tensors if t.count == 1), *block, *block):
        here = rounded(4 * t.n)
        most = max(most, here * (4 if t.e == 2 else 2) + before)
        before = here
    return most


def workspace(s: Settings) -> int:
    """Bytes of the workspace that cuBLAS takes at the first matrix product of each thread (forward, backward): 8320 KiB, on Hopper
    and newer 32 MiB (aten/src/ATen/cuda/CublasHandlePool.cpp)."""
    return 2 * (32 * 1024 if s.arch >= 90 else 8320) * 1024


@lru_cache(maxsize=512)
def estimate(s: Settings) -> Estimate:
    """The memory of one step on one GPU, phase by phase.

    With several GPUs each works on ``batch`` rows. DDP holds a second copy of the gradients in buckets, made at the start
    (torch/nn/parallel/distributed.py, ``gradient_as_bucket_view=False``). FSDP (torch/distributed/fsdp, ``fully_shard`` on each
    block and on the whole) holds a share of weights, gradients and states; in the step two blocks' whole weights are there, the one
    at work and the next, and, to the end of the backward pass, those outside the blocks; a block's gradients are there
    whole, and once more while they are summed over the GPUs.
    """
    step = run(s, _one_update(s) if s.in_backward else None)
    shared = s.gpus if s.sharding == "fsdp" else 1
    total, constants = weights(s)
    mine = trained(s)
    trainable = sum(t.size for t in mine)
    adapters = 0 if s.method == "full" else trainable
    standing = [-(-size // shared) for size in (total, constants, adapters, 0, optimiser_states(s))]
    fixed = dict(zip(_STANDING, (*standing, workspace(s)), strict=True))
    loaded = dict.fromkeys(COMPONENTS, 0) | fixed | {"optimiser": 0, "workspace": 0}
    loaded["temporaries"] = max(0, loading(s) - fixed["adapters"])
    if shared > 1:
        outside = total + constants - s.shape.layers * _block_bytes(s)
        fixed["gathered weights"] = outside + 2 * _block_bytes(s)
    blocks = [step.first, *step.blocks[1:]]
    returned = 0 if s.outputs == "dropped" else step.logits + sum(block.cache for block in blocks)
    old = returned + step.leaf if s.outputs == "next" else 0  # what the last step left
    graph = sum(block.graph for block in blocks)
    left = graph if s.outputs == "next" else 0  # to the end of the forward pass
    always = trainable if s.sharding == "ddp" and s.gpus > 1 else 0
    gradients = always + (-(-trainable // shared) if s.accumulation else 0)
    by_phase: dict[str, dict[str, int]] = {"load": loaded}
    highest = dict.fromkeys(PHASES, -1)

    def at(phase: str, *parts: int) -> None:  # in the order of _PASSING
        if sum(parts) > highest[phase]:  # what is fixed does not change within a phase
            highest[phase] = sum(parts)
            by_phase[phase] = fixed | dict(zip(_PASSING, parts, strict=True))

    saved = step.common + step.embedding.kept + left
    at("forward", gradients, saved, old, step.embedding.forward[0])
    for number, block in enumerate(blocks):
        at("forward", gradients, saved, old, sum(block.forward) + (step.local if number else step.masks))
        saved += block.kept
        old += block.cached
    at("forward", gradients, saved, old, sum(step.norm.forward) + step.local)
    at("loss", gradients, saved, old + step.loss.forward[3], step.loss.forward[0])
    saved -= left

    # one block's gradients, while they are summed up
    unit = sum(t.size // t.count for t in mine if t.count > 1) if shared > 1 else 0

    def back(phase: str, saved: int, part: Stretch, held: int) -> None:
        """One stretch of the backward pass, with what it adds to the gradients. Where these were there, what comes is added to them
        and goes again."""
        nonlocal gradients
        temporary, kept, made, logits = part.backward
        at(phase, gradients + made + unit, saved + kept, held + logits, temporary)
        if not s.accumulation and (part is step.norm or not s.in_backward):
            gradients += -(-part.gradients // shared)

    back("loss", saved, step.loss, 0)
    held = 0 if s.outputs == "dropped" else step.logits
    back("backward", saved, step.norm, held)
    for block in reversed(blocks):
        saved -= block.kept
        back("backward", saved, block, held)
        saved += block.graph
        held += 0 if s.outputs == "dropped" else block.cache
    back("backward", saved, step.embedding, held)
    fixed["gathered weights"] = 0
    scratch = -(-update_temporaries(s) // shared)
    if s.in_backward:
        gradients = scratch = 0
    at("optimiser", gradients, rounded(8 * s.batch * s.seq) + step.leaf + graph, returned, scratch)
    peak = max(PHASES, key=lambda name: sum(by_phase[name].values()))
    ordered = {name: by_phase[name] for name in PHASES}
    return Estimate(s, sum(ordered[peak].values()), peak, ordered[peak], ordered)


def _block_bytes(s: Settings) -> int:
    """Of one block's frozen and trained base weights, with their constants."""
    more, less = (weights(s, layers) for layers in (1, 0))
    return sum(more) - sum(less)


def _one_update(s: Settings) -> Callable[[int], int]:
    """(bytes of a gradient) -> bytes that the update of its parameter alone takes beside it."""
    times = 0
    if s.optimizer == "adamw" and s.optimizer_mode != "fused":
        times = 1 if s.optimizer_mode == "foreach" else 2
    elif s.optimizer == "adafactor":
        times = 8 if small_bytes(s) == 2 else 2
    return lambda size: size * times


def loading(s: Settings) -> int:
    """Bytes at the highest point of loading beyond what the weights take in the end.

    Quantisation brings one 16-bit weight at a time to the GPU (transformers, ``convert_and_load_state_dict_in_model``): the last
    block's weights, with all before them in place, are the highest point. Then ``prepare_model_for_kbit_training`` turns one
    tensor after the other into fp32, the embedding first, the head last.
    """
    if s.method != "qlora":
        return 0
    shape, wide = s.shape, BYTES[s.dtype]
    grows = 2 if s.kbit_preparation and wide == 2 else 0
    embedding, head = shape.vocab * shape.hidden, 0 if shape.tied else shape.head.weights
    small = shape.layers * (shape.block_parameters - sum(linear.weights for linear in shape.linears))
    rest = grows * (embedding + head + small)  # what will be added by turning to fp32
    later, highest = 0, 0
    first, last = shape.attention_linears, shape.mlp_linears  # of a block, by the alphabet
    for linear in reversed(first + last if shape.layout == "neox" else last + first):
        scales = rounded(4 * -(-linear.weights // 64)) if s.double_quant else 0
        highest = max(highest, linear.weights * wide + 2 * scales - later)
        later += linear.weights // 2 + linear.weights // 16
    return max(0, highest - rest, *([4 * embedding - rest, 2 * head] if grows else []))
