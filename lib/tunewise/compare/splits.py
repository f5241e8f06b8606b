"""Training, validation and test rows that share nothing: by a column, by time, or by a hash of the text.

The hash is of the text alone (and the seed), so that a row stays where it was when others are added. The test part is large: how small a
difference can be told depends on it.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunewise.compare.base import Item
from tunewise.near_duplicates import near_duplicates, plain

TEST, VALID = 0.4, 0.2
TRAIN_LEAST = 10  # training rows a label, where there are
LARGEST = 0.1  # of the rows: near-duplicates that chain to more than this follow a template, and only closer ones are tied
NEAR = 0.03  # of the rows: so far a part may be from its size
DIVERSE = 0.25  # of the rows beside very large bundles: these are for training too, which would else know few kinds of text
SHARES = (0.6, 0.8)  # of the words that two near-duplicates have in common
NAMES = ("train", "valid", "test")


@dataclass(frozen=True)
class Ties:
    """Which items belong together.

    Parameters
    ----------
    of
        The number of its bundle, an item.
    near
        Pairs of items (places) that are near-duplicates.
    templated
        Items of chains that were too long to be kept together.
    """

    of: tuple[int, ...]
    near: tuple[tuple[int, int], ...]
    templated: tuple[int, ...] = ()

    def bundles(self) -> dict[int, list[int]]:
        """Bundle -> places of its items."""
        found = defaultdict(list)
        for i, bundle in enumerate(self.of):
            found[bundle].append(i)
        return dict(found)


def tie(items: Sequence[Item]) -> Ties:
    """Bundles of items of the same group or near-duplicate texts (also over several steps)."""
    near = near_duplicates([excerpt(item.text) for item in items], SHARES[0])
    parent = list(range(len(items)))
    first: dict[str, int] = {}
    for i, item in enumerate(items):
        _join(parent, first.setdefault(item.group, i), i)
    by_group = [_root(parent, i) for i in range(len(items))]
    for i, j in near:
        _join(parent, i, j)
    bundles = defaultdict(list)
    for i in range(len(items)):
        bundles[_root(parent, i)].append(i)
    templated: list[int] = []
    of = [_root(parent, i) for i in range(len(items))]
    for members in bundles.values():
        if len(members) <= _largest(items) or len({by_group[i] for i in members}) == 1:
            continue
        templated += members
        closer = list(range(len(members)))
        for i, j in near_duplicates([excerpt(items[i].text) for i in members], SHARES[1]):
            _join(closer, i, j)
        roots = Counter(_root(closer, k) for k in range(len(members)))
        too_long = max(roots.values()) > LARGEST * len(items)
        place = {i: k for k, i in enumerate(members)}
        for i in members:
            of[i] = by_group[i] if too_long else min(by_group[i], by_group[members[_root(closer, place[i])]])
    return Ties(tuple(of), tuple(near), tuple(templated))


def excerpt(text: str, most: int = 1000) -> str:
    """A long text's beginning and end, which are enough to see that it repeats another."""
    return text if len(text) <= most else f"{text[: most // 2]} {text[-most // 2 :]}"


def _root(parent: list[int], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


def _join(parent: list[int], i: int, j: int) -> None:
    a, b = sorted((_root(parent, i), _root(parent, j)))
    parent[b] = a


def by_hash(items: Sequence[Item], ties: Ties, seed: int = 0, labelled: bool = True) -> list[str]:
    """The split of each item: a bundle goes where the hash of its first text in the alphabet falls.

    A bundle with more than a tenth of all items goes to training, as long as that has room. Where the parts are then not of the size that
    they should have, bundles are moved, as few as do it. With ``labelled``, rare labels are then seen to: at least one item for
    validation and a fifth for the test, and the rest for training until it has ten.
    """
    bundles = ties.bundles()
    at = _positions(items, bundles, seed)
    n = len(items)
    split = {bundle: _name(at[bundle], TEST, VALID) for bundle in bundles}
    fixed: dict[int, int] = {}
    for bundle in sorted(bundles, key=lambda b: (-len(bundles[b]), at[b])):
        size, held = len(bundles[bundle]), sum(fixed.values())
        if size > _largest(items) and (not fixed or held < (1 - TEST - VALID) * n - size / 2):
            split[bundle], fixed[bundle] = "train", size
    movable = {bundle: len(members) for bundle, members in bundles.items() if bundle not in fixed}
    left = sum(movable.values())
    train = max((1 - TEST - VALID) * n - sum(fixed.values()), DIVERSE * left)
    share = (left - train) / (TEST + VALID)
    _balance(movable, at, split, {"test": TEST * share, "valid": VALID * share, "train": train})
    everywhere = sorted(bundles, key=at.__getitem__, reverse=True)
    _top_up(
        everywhere,
        bundles,
        split,
        {"test": round(TEST / 2 * n), "valid": round(VALID / 4 * n), "train": round(0.2 * n)},
    )
    if labelled:
        _see_to_rare_labels(items, bundles, at, split)
    return [split[bundle] for bundle in ties.of]


def _balance(
    sizes: Mapping[int, int], at: Mapping[int, float], split: dict[int, str], wanted: Mapping[str, float]
) -> None:
    """Move bundles until each part has about as many items as ``wanted``: always the one whose move brings all parts closest to it.

    Of several that do so equally, the one that the hash puts nearest to the part, so that few move when rows are added.
    """
    lack = dict(wanted)
    for bundle, size in sizes.items():
        lack[split[bundle]] -= size
    while max(map(abs, lack.values())) > NEAR * sum(sizes.values()):
        moves = [
            (
                size * (lack[split[bundle]] - lack[target] + size),
                _away(at[bundle], target),
                at[bundle],
                bundle,
                target,
            )
            for bundle, size in sizes.items()
            for target in NAMES
            if wanted[target] and target != split[bundle]
        ]
        if not moves or min(moves)[0] >= 0:
            break
        *_, bundle, target = min(moves)
        lack[split[bundle]] += sizes[bundle]
        lack[target] -= sizes[bundle]
        split[bundle] = target


def _away(at: float, name: str) -> float:
    """How far a place between 0 and 1 lies from the part of this name."""
    low, high = {"test": (0.0, TEST), "valid": (TEST, TEST + VALID), "train": (TEST + VALID, 1.0)}[name]
    return max(low - at, at - high, 0.0)


def position(text: str, seed: int = 0) -> float:
    """Where a text falls between 0 and 1; the same whatever its case and punctuation."""
    digest = hashlib.sha256(f"{seed}\0{plain(text) or text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _see_to_rare_labels(
    items: Sequence[Item], bundles: Mapping[int, list[int]], at: Mapping[int, float], split: dict[int, str]
) -> None:
    of_label: dict[str, list[int]] = defaultdict(list)
    for bundle, members in bundles.items():
        if len({items[i].target for i in members}) == 1 and len(members) <= _largest(items):
            of_label[items[members[0]].target or ""].append(bundle)
    for _, mine in sorted(of_label.items()):
        mine.sort(key=at.__getitem__, reverse=True)
        n = sum(len(bundles[b]) for b in mine)
        least = {"test": max(1, round(TEST / 2 * n)), "valid": 1, "train": min(TRAIN_LEAST, n)}
        _top_up(mine, bundles, split, least, {**least, "train": min(TRAIN_LEAST, n // 2)})


def _top_up(
    order: Sequence[int],
    bundles: Mapping[int, list[int]],
    split: dict[int, str],
    wanted: Mapping[str, int],
    kept: Mapping[str, int] | None = None,
) -> None:
    """Move bundles, in this order, to a split that has fewer items than ``wanted``, from those that then still have ``kept``."""
    kept = kept or wanted
    for target in ("test", "valid", "train"):
        count = Counter(split[b] for b in order for _ in bundles[b])
        for origin in ("train", "valid", "test"):
            for bundle in order:
                size = len(bundles[bundle])
                if count[target] >= wanted[target]:
                    break
                if split[bundle] == origin != target and count[origin] - size >= kept[origin]:
                    split[bundle] = target
                    count[target] += size
                    count[origin] -= size


def by_time(times: Sequence[str]) -> list[str]:
    """The latest items for the test, those before them for validation, the earliest for training; equal times, in ISO form, stay together."""
    order = sorted(times)
    valid_from, test_from = (
        order[min(len(order) - 1, round(share * len(order)))] for share in (1 - TEST - VALID, 1 - TEST)
    )
    return ["test" if t >= test_from else "valid" if t >= valid_from else "train" for t in times]


def completed(given: Sequence[str], items: Sequence[Item], ties: Ties, seed: int = 0) -> list[str]:
    """Given splits; what they lack is taken out of training, by hash. Splits that are named keep their rows."""
    test = 0.0 if "test" in given else TEST
    valid = 0.0 if "valid" in given else VALID
    at = _positions(items, ties.bundles(), seed)
    sizes = Counter(bundle for name, bundle in zip(given, ties.of, strict=True) if name == "train")
    split = {bundle: _name(at[bundle], test, valid) for bundle in sizes}
    n = sizes.total()
    _balance(sizes, at, split, {"test": test * n, "valid": valid * n, "train": (1 - test - valid) * n})
    return [split[bundle] if name == "train" else name for name, bundle in zip(given, ties.of, strict=True)]


def _name(at: float, test: float, valid: float) -> str:
    return "test" if at < test else "valid" if at < test + valid else "train"


def _largest(items: Sequence[Item]) -> float:
    return max(LARGEST * len(items), 5)


def _positions(items: Sequence[Item], bundles: Mapping[int, list[int]], seed: int) -> dict[int, float]:
    """Where a bundle falls: where the first of its texts in the alphabet does."""
    return {
        bundle: position(min(items[i].text for i in members), seed) for bundle, members in bundles.items()
    }
