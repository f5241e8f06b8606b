"""Run records: what was run on what, and the outcome of every item.

A record is one JSON file, ``<model>/<experiment>.<scale>.json``. A row is one condition: its settings, the items it was asked
about, and for each metric one outcome an item. Nothing that follows from the outcomes is stored; a metric with its
interval is computed when it is asked for.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tunewise import paths, stats
from tunewise.step_cache import write_whole

SCHEMA = 2
SCALES = ("smoke", "laptop", "full", "gpu")
PACKAGES: tuple[str, ...] = ("tunewise", "torch", "transformers", "peft", "bitsandbytes", "numpy")
PACKAGES += ("scikit-learn", "sentence-transformers")


class NotMeasured(LookupError):
    """No record of this experiment at this scale exists yet. ``command`` is the one that makes it."""

    def __init__(self, experiment: str, scale: str, model: str | None = None) -> None:
        self.experiment, self.scale, self.model = experiment, scale, model
        self.command = f"tunewise run {experiment} --scale {scale}" + (f" --model {model}" if model else "")
        missing = f"{experiment} at scale {scale} is not yet measured"
        super().__init__(f"{missing}; measure it with: {self.command}")


def pack(values: Sequence[Any]) -> str | list[float | None]:
    """Outcomes as they stand in a record.

    True, False, 0 and 1 become a string of ``0``, ``1`` and ``-`` (does not apply); other numbers a list.

    Raises
    ------
    ValueError
        For a value that is no finite number.
    """
    known = [v for v in values if v is not None]
    if all(isinstance(v, bool | np.bool_ | int | np.integer) and v in (0, 1) for v in known):
        return "".join("-" if v is None else str(int(v)) for v in values)
    plain = [None if v is None else float(v) for v in values]
    if any(v is not None and not np.isfinite(v) for v in plain):
        raise ValueError("an outcome is not a finite number; where a metric does not apply it is None")
    return plain


def unpack(packed: str | Sequence[float | None]) -> list[float | None]:
    """The inverse of :func:`pack`: one number (or None) an item."""
    if isinstance(packed, str):
        return [None if c == "-" else float(c) for c in packed]
    return list(packed)


def estimate(packed: str | Sequence[float | None], groups: Sequence[Hashable] | None = None) -> stats.Metric:
    """The mean of packed outcomes with its 95 % interval (:func:`tunewise.stats.mean_interval`), as a metric dictionary.

    Items to which the metric does not apply are left out. One group of numbers other than 0 and 1 has no interval: its bounds are None.

    Parameters
    ----------
    groups
        The group of each item; left out where every item stands alone.
    """
    values = unpack(packed)
    placed = zip(groups or range(len(values)), values, strict=True)
    pairs = [(group, v) for group, v in placed if v is not None]
    known, member = [v for _, v in pairs], [group for group, _ in pairs]
    if not known:
        return {"value": None, "n": 0, "low": None, "high": None}
    if len(set(member)) == 1 and (len(known) > 1 or not isinstance(packed, str)):
        return {"value": float(np.mean(known)), "n": len(known), "low": None, "high": None}
    return stats.mean_interval(known, member if groups else None)


class Row(Mapping[str, Any]):
    """One condition of a record. ``row["k"]`` is a setting or a figure; ``row["accuracy"]`` a metric with its interval.

    A metric's name may have parts: where the record holds ``calibrated.accuracy``, ``row["calibrated"]["accuracy"]`` is that metric.
    """

    def __init__(self, raw: Mapping[str, Any], item_sets: Mapping[str, Mapping[str, Any]]) -> None:
        self.raw, self._item_sets = dict(raw), item_sets
        self._estimates: dict[str, dict[str, Any]] = {}

    def __getitem__(self, name: str) -> Any:
        facts, outcomes = self.raw.get("facts", {}), self.raw.get("outcomes", {})
        if name in self.raw and name not in ("outcomes", "facts"):
            return self.raw[name]
        if name in facts:
            return facts[name]
        if name in outcomes:
            return self.metric(name)
        below = [key[len(name) + 1 :] for key in (*outcomes, *facts) if key.startswith(f"{name}.")]
        inner = {key.split(".")[0] for key in below}
        if not inner:
            raise KeyError(name)
        return {key: self[f"{name}.{key}"] for key in sorted(inner)}

    def __iter__(self) -> Iterator[str]:
        yield from (k for k in self.raw if k not in ("outcomes", "facts"))
        names = (*self.raw.get("facts", {}), *self.raw.get("outcomes", {}))
        yield from dict.fromkeys(k.split(".")[0] for k in names)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def metric(self, name: str) -> dict[str, Any]:
        """``{"value", "n", "low", "high"}`` of one metric over the row's items."""
        if name not in self._estimates:
            self.outcomes(name)  # a clear error for an unknown name
            self._estimates[name] = estimate(self.raw["outcomes"][name], self.groups or None)
        return self._estimates[name]

    def outcomes(self, name: str) -> list[float | None]:
        """One value an item, in the order of :attr:`items`. Raises KeyError with the names that there are."""
        packed = self.raw.get("outcomes", {})
        if name not in packed:
            raise KeyError(f"this row has no metric {name!r}; it has {', '.join(packed) or 'none'}")
        return unpack(packed[name])

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics."""
        return list(self.raw.get("outcomes", {}))

    @property
    def items(self) -> list[str]:  # type: ignore[override]
        """Ids of the items that the condition was asked about."""
        return list(self._item_sets[self.raw["items"]]["ids"]) if "items" in self.raw else []

    @property
    def groups(self) -> list[str]:
        """For each item the group of items that share its text, fact or term; the item itself where it stands alone."""
        if "items" not in self.raw:
            return []
        return list(self._item_sets[self.raw["items"]].get("groups") or self.items)


@dataclass
class Record:
    """One finished run.

    Parameters
    ----------
    experiment, scale, version, model
        What was run.
    params
        Everything that was set: sizes, prompts, recipe.
    rows
        One a condition, as in the file; :meth:`where` and :meth:`one` give them as :class:`Row`.
    item_sets
        Name -> ``{"ids", "groups"}`` of the items that rows were asked about; ``groups`` is left out where no two items belong together.
    key, checksums
        Hash of all that went in; of model and data.
    date, duration_s
        Day (UTC) on which the run ended; seconds of computing, over all sittings.
    """

    experiment: str
    scale: str
    version: int
    model: str
    params: dict[str, Any]
    seeds: list[int]
    rows: list[dict[str, Any]]
    key: str
    checksums: dict[str, Any]
    device: str
    versions: dict[str, str]
    date: str
    duration_s: float
    item_sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        self._views = [Row(raw, self.item_sets) for raw in self.rows]
        # as records made before this was mended say
        self.device = re.sub(r"\b1 threads\b", "1 thread", self.device)

    @property
    def results(self) -> list[Row]:
        """All rows, in the order in which they were run."""
        return self._views

    def where(self, **conditions: Any) -> list[Row]:
        """The rows whose settings equal all of ``conditions``; a row without the setting does not match."""
        return [r for r in self._views if all(k in r.raw and r.raw[k] == v for k, v in conditions.items())]

    def one(self, **conditions: Any) -> Row:
        """The only row that matches. Raises LookupError with what there is, when none or several do."""
        rows = self.where(**conditions)
        if len(rows) != 1:
            where = f"{self.experiment}.{self.scale}"
            raise LookupError(f"{len(rows)} rows of {where} match {conditions}, wanted one")
        return rows[0]

    def by(self, setting: str, **conditions: Any) -> dict[Any, list[Row]]:
        """Each value of ``setting`` among the rows that match, from low to high -> its rows. Raises KeyError where a row lacks it."""
        rows = self.where(**conditions)
        return {v: [r for r in rows if r[setting] == v] for v in sorted({r[setting] for r in rows})}

    def frame(self) -> Any:
        """A pandas frame with one line an item of a row: the row's settings, ``item``, ``group``, and one column a metric."""
        import pandas

        parts = []
        for row in self._views:
            if "items" not in row.raw:
                continue
            apart = ("items", "outcomes", "facts", "predictions")
            settings = {k: _hashable(v) for k, v in row.raw.items() if k not in apart}
            outcomes = {m: row.outcomes(m) for m in row.metrics}
            part = pandas.DataFrame({"item": row.items, "group": row.groups, **outcomes})
            parts.append(part.assign(model=self.model, **settings))
        empty = pandas.DataFrame(columns=["model", "method", "seed", "item", "group"])
        frame = pandas.concat(parts, ignore_index=True) if parts else empty
        first = ["model", "method", "seed"]
        return frame[[*(c for c in first if c in frame), *(c for c in frame if c not in first)]]

    def save(self, path: Path) -> Path:
        """Write atomically; one row a line, so that a diff of two records can be read."""
        head = asdict(self)
        rows, sets = head.pop("rows"), head.pop("item_sets")
        text = json.dumps(head, ensure_ascii=False, indent=1)[:-2]
        named = ",\n  ".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in sets.items())
        body = ",\n  ".join(json.dumps(r, ensure_ascii=False) for r in rows)
        write_whole(path, f'{text},\n "item_sets": {{\n  {named}\n }},\n "rows": [\n  {body}\n ]\n}}\n')
        return path

    @classmethod
    def read(cls, path: Path) -> Record:
        """A record from its file. Raises ValueError that names the file, and what to do, for a damaged one or another schema."""
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            schema = held.get("schema", 1)
            if schema == SCHEMA:
                return cls(**held)
        except (ValueError, AttributeError, TypeError) as error:
            said = f"{path} is no run record ({error})"
            raise ValueError(f"{said}; delete it and run the experiment again") from error
        again = f"tunewise run {held.get('experiment')} --scale {held.get('scale')} --fresh"
        said = f"{path} has schema {schema}, this version reads {SCHEMA}"
        raise ValueError(f"{said}; make it again with: {again}")


def _hashable(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def versions() -> dict[str, str]:
    """Versions of Python and of the packages a result can depend on; those not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def committed(folder: Path, experiment: str, scale: str, model: str) -> Path:
    """Where a record of the book lies below ``folder`` (there or not)."""
    return folder / model.replace("/", "--") / f"{experiment}.{scale}.json"


def cached(key: str) -> Path:
    """Where the user's own finished run with this key lies (there or not)."""
    return paths.cache_dir("runs") / f"{key}.json"


def find(key: str, *places: Path, say: Callable[[str], None] = print) -> Record | None:
    """A finished run with exactly this key, in the user's cache or at one of ``places``; a damaged one of the user's own is said and set aside."""
    own = cached(key)
    for path in filter(Path.exists, (own, *places)):
        try:
            record = Record.read(path)
        except ValueError:
            if path != own:
                raise
            path.replace(path.with_suffix(".damaged"))
            say(f"the kept record {path} is damaged; it was set aside and is made again")
        else:
            if record.key == key:
                return record
    return None
