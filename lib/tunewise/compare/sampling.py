"""A sample of rows out of more than fit in memory, in one pass."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

EVERY_TARGET = 30  # rows of each target that a sample has, where there are
TARGETS = 300  # different targets that are seen to


@dataclass(frozen=True)
class RawRow:
    """A row before it becomes an item: its number, text and target, what a chat adds, all its columns, and whether control characters were cut."""

    row: int
    text: str
    target: str
    added: dict[str, str]
    record: dict[str, Any]
    cut: bool = False


@dataclass
class Sample:
    """The rows whose hash is smallest, and a few of each target: the same ones in whatever order, and few change when rows are added."""

    most: int
    seed: int
    seen: int = 0
    _kept: list[tuple[int, int, RawRow]] = field(default_factory=list)
    _rest: dict[str, list[tuple[int, int, RawRow]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, raw: RawRow) -> None:
        """Look at one more row."""
        self.seen += 1
        content = f"{self.seed}\0{raw.text}\0{raw.target}".encode()
        entry = (-int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big"), -self.seen, raw)
        if len(self._kept) < self.most:
            heapq.heappush(self._kept, entry)
            return
        entry = heapq.heappushpop(self._kept, entry)
        target = entry[2].target
        if target in self._rest or len(self._rest) < TARGETS:
            rest = self._rest[target]
            (heapq.heappush if len(rest) < EVERY_TARGET else heapq.heappushpop)(rest, entry)

    def taken(self, targets: Iterable[str] = ()) -> list[RawRow]:
        """The sample in the order of the file, with at least thirty rows of each of these targets, where there are."""
        taken = [raw for *_, raw in self._kept]
        have = Counter(raw.target for raw in taken)
        for target in targets:
            lacking = max(0, EVERY_TARGET - have[target])
            taken += [raw for *_, raw in sorted(self._rest.get(target, ()), reverse=True)[:lacking]]
        return sorted(taken, key=lambda raw: raw.row)
