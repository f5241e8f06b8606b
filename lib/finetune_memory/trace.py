"""Watches which storages a piece of PyTorch code makes and drops, under fake tensors: shapes without memory.

Sizes, birth and death of every block a GPU would hold are exact where the CPU's operators allocate as CUDA's do;
where they do not, the differences known are put in here and in :mod:`finetune_memory.kernels`.
"""

from __future__ import annotations

import sys
import weakref
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
prim_device = torch.ops.prim.device.default
# Works in place and takes no memory (native/cuda/FusedSgdKernel.cu). PyTorch has no fake version of it, and would compute it on real zeros.
IN_PLACE = {aten._fused_sgd_.default, aten._fused_sgd_.tensor_lr}
MATMULS = {aten.mm.default, aten.addmm.default, aten.bmm.default, aten.baddbmm.default}


@dataclass
class Block:
    """One storage: its size in bytes, the events at which it was made and dropped (None: never), and what it is."""

    size: int
    born: int
    phase: str
    died: int | None = None
    kind: str | None = None


@dataclass
class Events:
    """What happened, in order. ``log`` holds block numbers: ``+n + 1`` block n was made, ``-n - 1`` it was dropped,
    0: ``torch.cuda.empty_cache()``. ``marks``: (place in the log, phase that begins there)."""

    blocks: list[Block] = field(default_factory=list)
    log: list[int] = field(default_factory=list)
    marks: list[tuple[int, str]] = field(default_factory=list)

    def make(self, size: int, phase: str, kind: str | None = None) -> int:
        self.blocks.append(Block(size, len(self.log), phase, kind=kind))
        self.log.append(len(self.blocks))
        return len(self.blocks) - 1

    def drop(self, number: int) -> None:
        self.blocks[number].died = len(self.log)
        self.log.append(-number - 1)

    def empty_cache(self) -> None:
        self.log.append(0)

    def mark(self, phase: str) -> None:
        self.marks.append((len(self.log), phase))

    def place(self, phase: str) -> int:
        """Where in the log ``phase`` began first."""
        return next(at for at, name in self.marks if name == phase)

    def by_place(self) -> dict[int, list[str]]:
        """The marks at each place of the log."""
        places = defaultdict(list)
        for at, phase in self.marks:
            places[at].append(phase)
        return places

    def append(self, other: Events, start: int, end: int, names: dict[int, int]) -> None:
        """Copy what happened in ``other`` between two places of its log. ``names``: number there -> number here, of the
        blocks known so far; blocks that the stretch makes are added. What is made there and lives for ever is made only
        once: a block of which ``names`` knows is not made again."""
        marks = other.by_place()
        for at in range(start, end):
            for phase in marks.get(at, ()):
                self.mark(phase)
            entry = other.log[at]
            if entry == 0:
                self.empty_cache()
            elif entry > 0:
                if entry - 1 not in names:
                    block = other.blocks[entry - 1]
                    names[entry - 1] = self.make(block.size, block.phase, block.kind)
            else:
                self.drop(names.pop(-entry - 1))


def _engine_called() -> bool:
    """Whether the operator being dispatched comes straight from autograd's C++ engine, not from Python code."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_name in ("_fn", "__torch_dispatch__"):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name == "_engine_run_backward"


class Trace(TorchDispatchMode):
    """Records into :attr:`events` every storage that operators make while the mode is on.

    workspace: bytes that cuBLAS takes at the first matrix product of each thread (the forward pass runs in one thread,
    autograd's backward pass on a GPU in another).
    """

    def __init__(self, workspace: int = 0):
        super().__init__()
        self.events = Events()
        self.phase, self.workspace = "load", workspace
        self._threads: set[bool] = set()
        self._known: dict[int, int] = {}
        self._watchers: dict[int, weakref.ref[Any]] = {}
        self._sole = _sole_owner()
        self.skip_scalars = self.in_backward = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; saves each operator a detour

    def enter_phase(self, phase: str) -> None:
        self.phase = phase
        self.events.mark(phase)

    def stop(self) -> None:
        """What ends from here on is no event of the run."""
        self._watchers.clear()

    def number(self, tensor: torch.Tensor) -> int | None:
        return self._known.get(tensor.untyped_storage()._cdata)

    def label(self, tensor: torch.Tensor, kind: str) -> None:
        """Say what a tensor's storage is; it is taken in if it was not yet known."""
        self.events.blocks[self.watch(tensor)].kind = kind

    def watch(self, tensor: torch.Tensor, kind: str | None = None) -> int:
        """Take in the storage of ``tensor`` (once); returns its block number."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        number = self._known.get(key)
        if number is None:
            number = self.events.make(storage.nbytes(), self.phase, kind)
            self._known[key] = number
            events, known, watchers = self.events, self._known, self._watchers

            def gone(_: object, key: int = key, number: int = number) -> None:
                del known[key], watchers[key]
                events.drop(number)

            watchers[key] = weakref.ref(storage, gone)
        return number

    def temporary(self, *sizes: int) -> None:
        """Blocks that a CUDA kernel takes for the length of its run."""
        numbers = [self.events.make(size, self.phase) for size in sizes if size]
        for number in reversed(numbers):
            self.events.drop(number)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is prim_device:
            return args[0].fake_device
        if func in IN_PLACE:
            return None
        if func in MATMULS and self.workspace and self.in_backward not in self._threads:
            self._threads.add(self.in_backward)
            self.events.make(self.workspace, self.phase, "workspace")
        if func is aten.add.Tensor and self.in_backward and _engine_called() and self._may_add_in_place(args):
            return args[0].add_(args[1])
        out = func(*args, **(kwargs or {}))
        for item in out if isinstance(out, (tuple, list)) else (out,):
            skipped = not isinstance(item, torch.Tensor) or (self.skip_scalars and item.dim() == 0)
            if not skipped and item.untyped_storage().nbytes():
                self.watch(item)
        if func in KERNEL_TEMPORARIES:
            self.temporary(*KERNEL_TEMPORARIES[func](args))
        return out

    def _may_add_in_place(self, args: tuple[Any, ...]) -> bool:
        """Autograd adds a second gradient into the first one when nothing else holds that; for tensor subclasses
        (fake tensors are one) it makes a third tensor instead, which a GPU would not see.
        Rule: ``torch/csrc/autograd/input_buffer.cpp``, ``can_accumulate_inplace``."""
        old, new = args[:2]
        if not isinstance(new, torch.Tensor) or old.shape != new.shape or old.dtype != new.dtype:
            return False
        alone = all(count <= sole for count, sole in zip(_counts(old), self._sole, strict=True))
        return alone and torch._prims_common.is_non_overlapping_and_dense_or_false(old)


def _counts(tensor: Any) -> tuple[int, int]:
    storage = tensor.untyped_storage()
    return torch._C._storage_Use_Count(storage._cdata), tensor._use_count()


class _OwnerProbe(TorchDispatchMode):
    """Notes the reference counts of what autograd adds to, as many calls deep as :class:`Trace` looks."""

    seen: tuple[int, int] = (0, 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is aten.add.Tensor:
            self._look(args)
        return func(*args, **(kwargs or {}))

    def _look(self, args: tuple[Any, ...]) -> None:
        old, _ = args[:2]
        self.seen = _counts(old)


def _sole_owner() -> tuple[int, int]:
    """Reference counts that an accumulated gradient shows here when nothing but autograd's buffer holds it: read off
    a graph where that is so."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        leaf = torch.empty(2, 2, requires_grad=True)
        middle = leaf * 2
        total = (middle.sin() + middle.cos()).sum()
        probe = _OwnerProbe()
        with probe:
            total.backward()
    return probe.seen


def _softmax_backward(args: tuple[Any, ...]) -> tuple[int, ...]:
    """``softmax_backward_cuda_out`` first forms grad * output (aten/src/ATen/native/cuda/SoftMax.cu)."""
    return (args[0].numel() * args[0].element_size(),)


def _embedding_backward(args: tuple[Any, ...]) -> tuple[int, ...]:
    """``embedding_dense_backward_cuda``: beyond 3072 indices they are sorted, and partial sums are kept in fp32, one
    row for each 10 indices and each distinct one (EmbeddingBackwardKernel.cu). Distinct indices are not known here:
    taken as many as there can be."""
    grad, indices, rows = args[:3]
    n = indices.numel()
    if n <= 3072:
        return ()
    segments = min(n, rows)
    partial = n // 10 + segments
    return (8 * n, 8 * n, 8 * n, 8 * segments, 8 * segments, 8 * partial, 4 * partial * grad.shape[-1])


KERNEL_TEMPORARIES: dict[Any, Callable[[tuple[Any, ...]], tuple[int, ...]]] = {
    aten._softmax_backward_data.default: _softmax_backward,
    aten.embedding_dense_backward.default: _embedding_backward,
}
