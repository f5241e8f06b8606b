"""One module a question; :func:`run` runs it at a scale, or finds its finished record."""

import os

from tunewise.experiment import perform
from whentofinetune import book_records
from whentofinetune.experiments.definition import NAMES, get, settled


def run(name: str, scale: str = "laptop", *, fresh: bool = False, say=print, only=None, **changes):
    """Run experiment ``name`` and return its record; see :func:`tunewise.experiment.perform`, and :func:`settled` for what is asked for."""
    experiment = settled(name, scale, changes)
    space = book_records.workspace()
    return perform(experiment, scale, fresh=fresh, say=say, workspace=space, only=only, **changes)


def on_gpu(name: str):
    """The experiment at scale ``gpu``: run here if there is a GPU, else the book's record of such a run.

    Raises :class:`whentofinetune.book_records.NotMeasured`, which names the command, if there is neither.
    """
    import torch

    return run(name, "gpu") if torch.cuda.is_available() else book_records.load(name, "gpu")


def live_scale() -> str:
    """The scale at which a notebook's live cells run: ``laptop`` for a reader, ``smoke`` (seconds) while the book is built.

    ``TUNEWISE_SCALE`` in the environment decides; the Makefile sets it, empty unless told otherwise.
    """
    value = os.environ.get("TUNEWISE_SCALE")
    return "laptop" if value is None else value or "smoke"


def overview() -> list[dict]:
    """One row a record that the book has or should have (scales ``full`` and ``gpu``): when it was made, or the command that makes it.

    Of larger models than the bundled one at scale ``full``, those that were recorded.
    """
    rows = []
    for name in NAMES:
        experiment = get(name)
        told = {"experiment": name, "question": experiment.question, "claims": ", ".join(experiment.claims)}
        models = [None, *book_records.larger_models(name)]
        for scale, model in [("full", m) for m in models] + [("gpu", None)] * ("gpu" in experiment.scales):
            row = told | {"scale": scale, "model": model or experiment.scales[scale]["model"]}
            try:
                made = {"date": book_records.load(name, scale, model).date, "command": ""}
            except book_records.NotMeasured as missing:
                made = {"date": "", "command": missing.command}
            rows.append(row | made)
    return rows
