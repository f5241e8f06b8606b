"""Run records: what was run on what, and what came out.

A record is one JSON file: ``<experiment>.<scale>.json``. Those that the book shows are committed under ``data/runs/``;
those of the reader's own runs lie in their cache. A metric is always the dictionary
``{"value", "n", "low", "high"}``: the estimate, the number of items behind it, and its 95 % interval.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tunewise import paths
from tunewise.record import NotMeasured
from whentofinetune import book_files

SCALES = ("smoke", "laptop", "full", "gpu")
PACKAGES = (
    "tunewise",
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "accelerate",
    "scikit-learn",
    "numpy",
)


@dataclass
class RunRecord:
    """One finished run.

    params: everything that was set (sizes, prompts, recipe). results: one row a condition, each with the condition's
    settings, its metrics, and its raw predictions or scores. key: the hash of what went in. checksums: of model and data.
    duration_s: seconds of computing, over all sittings. date: the day (UTC) on which the run ended.
    """

    experiment: str
    scale: str
    version: int
    params: dict
    seeds: list[int]
    results: list[dict]
    key: str
    checksums: dict
    device: str
    versions: dict
    date: str
    duration_s: float
    notes: dict = field(default_factory=dict)

    def where(self, **conditions) -> list[dict]:
        """The rows whose settings equal all of ``conditions``; a row without the setting does not match."""
        return [r for r in self.results if all(k in r and r[k] == v for k, v in conditions.items())]

    def one(self, **conditions) -> dict:
        """The only row that matches. Raises LookupError with what there is, when none or several do."""
        rows = self.where(**conditions)
        if len(rows) != 1:
            raise LookupError(
                f"{len(rows)} rows of {self.experiment}.{self.scale} match {conditions}, wanted one"
            )
        return rows[0]

    def save(self, path: Path) -> Path:
        """Write atomically; one row of results a line, so that a diff of two records can be read."""
        head = asdict(self)
        rows = head.pop("results")
        text = json.dumps(head, ensure_ascii=False, indent=1)[:-2]
        body = ",\n  ".join(json.dumps(r, ensure_ascii=False) for r in rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".part")
        half.write_text(f'{text},\n "results": [\n  {body}\n ]\n}}\n', encoding="utf-8")
        os.replace(half, path)
        return path

    @classmethod
    def read(cls, path: Path) -> RunRecord:
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{path} is no run record ({error}); delete it and run the experiment again"
            ) from error


def digest(thing) -> str:
    """SHA-256 of anything JSON can hold, independent of the order of keys."""
    return hashlib.sha256(json.dumps(thing, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def versions() -> dict:
    """Versions of Python and of the packages a result can depend on; those not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def committed(experiment: str, scale: str = "full", model: str | None = None) -> Path:
    """Where the book's record of an experiment lies (there or not): of its own model at that scale, unless another is named."""
    from tunewise import record
    from whentofinetune import experiments

    name = model or experiments.get(experiment).scales[scale]["model"]
    return record.committed(book_files.data_dir() / "runs", experiment, scale, name)


def _old(experiment: str, scale: str) -> Path:
    return book_files.data_dir() / "runs" / f"{experiment}.{scale}.json"


def cached(key: str) -> Path:
    """Where the user's own finished run with this key lies (there or not)."""
    return paths.cache_dir("runs") / f"{key}.json"


def load(experiment: str, scale: str = "full", model: str | None = None):
    """The book's record of an experiment. Raises NotMeasured, which names the command that makes it, if there is none."""
    from tunewise.record import Record

    if (path := committed(experiment, scale, model)).exists():
        return Record.read(path)
    if model is None and (path := _old(experiment, scale)).exists():
        return RunRecord.read(path)
    raise NotMeasured(experiment, scale, model)


def find(key: str, experiment: str, scale: str) -> RunRecord | None:
    """A finished run with exactly this key: the user's own, else the book's."""
    for path in (cached(key), _old(experiment, scale)):
        if path.exists():
            record = RunRecord.read(path)
            if record.key == key:
                return record
    return None
