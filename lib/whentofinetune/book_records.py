"""The book's own run records, under ``data/runs/``."""

from __future__ import annotations

from pathlib import Path

from tunewise import record
from tunewise.record import NotMeasured, Record
from whentofinetune import book_files


def committed(experiment: str, scale: str = "full", model: str | None = None) -> Path:
    """Where the book's record of an experiment lies (there or not): of its own model at that scale, unless another is named."""
    from whentofinetune import experiments

    name = model or experiments.get(experiment).scales[scale]["model"]
    return record.committed(book_files.data_dir() / "runs", experiment, scale, name)


def load(experiment: str, scale: str = "full", model: str | None = None) -> Record:
    """The book's record of an experiment. Raises NotMeasured, which names the command that makes it, if there is none."""
    path = committed(experiment, scale, model)
    if not path.exists():
        raise NotMeasured(experiment, scale, model)
    return Record.read(path)
