"""The rules by which PyTorch's CUDA caching allocator hands out memory, without a GPU.

A training step that asks for blocks in a known order can be replayed here: what is *allocated* (the sizes of the
blocks in use, what ``torch.cuda.max_memory_allocated`` counts) and what is *reserved* (the segments taken from the
GPU, ``torch.cuda.max_memory_reserved``; this is what ``nvidia-smi`` shows on top of the CUDA context).

The rules are those of ``c10/cuda/CUDACachingAllocator.cpp`` with default settings:

- a request is rounded up to a multiple of 512 bytes;
- requests of at most 1 MiB are served from the small pool, whose segments are 2 MiB; larger ones from the large pool,
  whose segments are 20 MiB for requests under 10 MiB and the request rounded up to 2 MiB otherwise;
- the smallest free block of the pool that is large enough is taken (best fit; the lowest address among equals);
- a block is split when the rest would be at least 512 bytes (small pool) or more than 1 MiB (large pool); else the
  whole block is handed out, and counts as allocated in full;
- a freed block merges with free neighbours of its segment; segments are kept, not given back;
- when a new segment does not fit the GPU, all segments that are wholly free are given back first.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

MIB = 1024**2
ROUND = 512
SMALL_REQUEST = MIB
SMALL_SEGMENT = 2 * MIB
LARGE_SEGMENT = 20 * MIB
LARGE_REQUEST = 10 * MIB
LARGE_ROUND = 2 * MIB


class OutOfMemory(RuntimeError):
    """The GPU of the given capacity has no room for the next segment."""


def round_up(size: int, multiple: int = ROUND) -> int:
    """The smallest multiple of ``multiple`` that is at least ``size``, and at least one multiple."""
    return max(multiple, -(-size // multiple) * multiple)


def segment_size(size: int) -> int:
    """Bytes taken from the GPU when no free block can serve a request of ``size`` (already rounded) bytes."""
    if size <= SMALL_REQUEST:
        return SMALL_SEGMENT
    if size < LARGE_REQUEST:
        return LARGE_SEGMENT
    return round_up(size, LARGE_ROUND)


@dataclass(slots=True, eq=False)
class _Block:
    address: int
    size: int
    small: bool
    previous: _Block | None = None
    next: _Block | None = None
    free: bool = False


class CachingAllocator:
    """Hands out blocks as CUDA's caching allocator does and keeps count. ``capacity``: bytes of the GPU that the
    allocator may take (None: no limit). All counts are in bytes."""

    def __init__(self, capacity: int | None = None):
        self.capacity = capacity
        self.allocated = self.reserved = 0
        self.peak_allocated = self.peak_reserved = 0
        # of the small pool and the large one: (size, address, block), sorted; no two have the same address
        self._free: dict[bool, list[tuple[int, int, _Block]]] = {True: [], False: []}
        self._top = 0

    def allocate(self, size: int) -> _Block:
        """A block for ``size`` > 0 bytes. Raises :class:`OutOfMemory` if a given capacity is exceeded."""
        wanted = round_up(size)
        small = wanted <= SMALL_REQUEST
        free = self._free[small]
        at = bisect_left(free, (wanted,))
        block = free.pop(at)[-1] if at < len(free) else self._new_segment(wanted, small)
        rest = block.size - wanted
        if rest >= ROUND if small else rest > SMALL_REQUEST:
            tail = _Block(block.address + wanted, rest, small)
            tail.previous, tail.next = block, block.next
            if tail.next is not None:
                tail.next.previous = tail
            block.next, block.size = tail, wanted
            self._put(tail)
        block.free = False
        self.allocated += block.size
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        return block

    def release(self, block: _Block) -> None:
        """Take back a block that :meth:`allocate` gave."""
        self.allocated -= block.size
        for neighbour in (block.previous, block.next):
            if neighbour is not None and neighbour.free:
                self._take(neighbour)
                first, second = sorted((block, neighbour), key=lambda b: b.address)
                first.size += second.size
                first.next = second.next
                if first.next is not None:
                    first.next.previous = first
                block = first
        self._put(block)

    def empty_cache(self) -> None:
        """Give segments that are wholly free back to the GPU (``torch.cuda.empty_cache``)."""
        for _, _, block in self._free[True] + self._free[False]:
            if block.previous is None and block.next is None:
                self._take(block)
                self.reserved -= block.size

    def _new_segment(self, wanted: int, small: bool) -> _Block:
        size = segment_size(wanted)
        if self.capacity is not None and self.reserved + size > self.capacity:
            self.empty_cache()
            if self.reserved + size > self.capacity:
                needed = f"{self.reserved} bytes are reserved and {size} more are needed"
                raise OutOfMemory(f"{needed}; the GPU has {self.capacity}")
        block = _Block(self._top, size, small)
        self._top += size
        self.reserved += size
        self.peak_reserved = max(self.peak_reserved, self.reserved)
        return block

    def _put(self, block: _Block) -> None:
        block.free = True
        insort(self._free[block.small], (block.size, block.address, block))

    def _take(self, block: _Block) -> None:
        block.free = False
        free = self._free[block.small]
        del free[bisect_left(free, (block.size, block.address))]
