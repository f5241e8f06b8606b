"""The texts that experiments are made of, and how they are read and drawn."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

SPLITS = ("train", "valid", "test")


class Item(NamedTuple):
    """What a row of a record asks about, where its id is all that is kept; items that share a fact, a text or a prompt are a group."""

    id: str
    group: str


def check_one_of(value: object, allowed: Collection, what: str) -> None:
    """Raise ValueError, saying what there is, unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{what} must be one of {', '.join(allowed)}, not {value!r}")


def read_lines(path: Path, cls: type) -> tuple:
    """The lines of a JSON Lines file as objects of ``cls``, their lists as tuples."""
    with path.open(encoding="utf-8") as lines:
        return tuple(cls(**{k: _frozen(v) for k, v in json.loads(line).items()}) for line in lines)


def _frozen(value):
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def only(values: Sequence, wanted: Sequence) -> list:
    """The values where they are wanted, None elsewhere: a metric over a part of the items."""
    return [value if want else None for value, want in zip(values, wanted, strict=True)]


def of_split(items: Sequence, split: str | None) -> tuple:
    """The items of a split (None: all). Raises ValueError for an unknown split."""
    if split is not None:
        check_one_of(split, SPLITS, "split")
    return tuple(item for item in items if split in (None, item.split))


def drawn(pool: Sequence, n: int, *stream: int) -> list:
    """The first ``n`` of the pool after a shuffle with the seed ``stream``: those of a smaller n are among those of a larger one."""
    import numpy as np  # not at the top: a calculator in the browser imports this package

    return [pool[i] for i in np.random.default_rng(list(stream)).permutation(len(pool))[:n]]
