"""The book's own run records, under ``data/runs/``: one folder a model."""

from collections.abc import Iterable
from pathlib import Path

from tunewise import record
from tunewise.experiment import Workspace
from tunewise.record import NotMeasured, Record
from whentofinetune import book_files
from whentofinetune.datasets.rated_tasks import load_task

BUNDLED = "smollm2-135m"


def committed(experiment: str, scale: str = "full", model: str | None = None) -> Path:
    """Where the book's record of an experiment lies (there or not).

    Without a model that of the bundled one, or at other scales than ``full`` of whichever model it was made with.
    """
    runs = book_files.data_dir() / "runs"
    if model is None and scale != "full":
        found = sorted(runs.glob(f"*/{experiment}.{scale}.json"))
        if found:
            return found[0]
    return record.committed(runs, experiment, scale, model or BUNDLED)


def load(experiment: str, scale: str = "full", model: str | None = None) -> Record:
    """The book's record of an experiment. Raises NotMeasured, which names the command that makes it, if there is none."""
    path = committed(experiment, scale, model)
    if not path.exists():
        raise NotMeasured(experiment, scale, model)
    return Record.read(path)


def larger_models(experiment: str) -> list[str]:
    """The models other than the bundled one of which the book has this experiment's full record."""
    found = (book_files.data_dir() / "runs").glob(f"*/{experiment}.full.json")
    return sorted(path.parent.name for path in found if path.parent.name != BUNDLED)


def machines(records: Iterable[Record]) -> str:
    """The kinds of machine on which these were made, each once: the names of GPUs, and ``CPU``."""
    parts = {part for r in records for part in r.device.split("; ")}
    return ", ".join(sorted({"CPU" if "CPU" in part else part for part in parts}))


def workspace() -> Workspace:
    """Where the book's experiments find committed records and tasks."""
    return Workspace(book_files.data_dir() / "runs", load_task)
