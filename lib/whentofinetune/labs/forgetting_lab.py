"""The material of the lab "Forgetting": each student's slice of the record of ``forgetting``, and texts for a training of their own."""

from __future__ import annotations

import numpy as np

from tunewise.stats import Array
from whentofinetune import book_records
from whentofinetune.datasets import vader
from whentofinetune.datasets.rated_tasks import load_task
from whentofinetune.labs import Variant
from whentofinetune.pages.forgetting_figures import Method, base_model, methods, name, stops


def my_method(v: Variant) -> Method:
    """One of the trained methods of the record: (full, lora or qlora; rank; learning rate)."""
    trained = methods(book_records.load("forgetting"))
    return trained[v.rng("method").integers(len(trained))]


def before_after(v: Variant, probe: str) -> tuple[Array, Array, list[str]]:
    """Of the student's method, item by item: before training and after its last step, one seed's.

    Parameters
    ----------
    v
        The student's variant.
    probe
        ``bits`` (of a neutral sentence), or ``task``, ``general``, ``recall`` (1: right, 0: wrong).

    Returns
    -------
    tuple
        Two arrays of shape [items] in the same order, and the group of each item: sentences of one article share one.

    Raises
    ------
    KeyError
        For another probe.
    """
    record, method = book_records.load("forgetting"), my_method(v)
    after = stops(record, method, max(record.params["stops"]))
    row = after[v.rng("seed").integers(len(after))]
    base = base_model(record, method)[0]
    values = np.array([base.outcomes(probe), row.outcomes(probe)], dtype=float)  # the same items in all rows
    asked = ~np.isnan(values).any(axis=0)
    groups = [g for g, a in zip(base.groups, asked, strict=True) if a]
    return values[0, asked], values[1, asked], groups


def curves() -> dict[str, dict[int, float]]:
    """Method -> step -> accuracy on validation tweets, the mean of its seeds."""
    record = book_records.load("forgetting")
    return {
        name(m): {
            s: float(np.mean([r["task"]["value"] for r in stops(record, m, s)]))
            for s in record.params["stops"]
        }
        for m in methods(record)
    }


def texts(v: Variant) -> dict[str, list]:
    """Texts of a small training: ``tweets`` to tune on, ``valid_tweets``; ``valid`` and ``test``, neutral sentences; ``pool``, all neutral
    sentences of the book from 60 characters on, the ones of ``valid`` and ``test`` among them."""
    rng, task = v.rng("texts"), load_task("tweets")
    pool = [r.text for part in ("train", "test") for r in vader.split("news")[part] if len(r.text) >= 60]
    held = [pool[i] for i in rng.choice(len(pool), 10, replace=False)]
    tweets = [task.train[i] for i in rng.choice(len(task.train), 12, replace=False)]
    valid = [task.valid[i] for i in rng.choice(len(task.valid), 9, replace=False)]
    return {"tweets": tweets, "valid_tweets": valid, "valid": held[:5], "test": held[5:], "pool": pool}
