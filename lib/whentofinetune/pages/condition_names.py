"""What a condition of a record is called (``data/conditions.yml``): the same words in figures, tables and verdict boxes."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from tunewise import report as rp
from tunewise.record import Record, Row
from tunewise.words import counted
from whentofinetune import book_files


@cache
def names(experiment: str) -> dict[str, dict[str, Any]]:
    """Words -> the settings that they stand for. Raises KeyError for an experiment whose conditions have no words."""
    written = book_files.read_yaml("conditions.yml")[experiment]
    return {words: {"method": s} if isinstance(s, str) else s for words, s in written.items()}


def methods(experiment: str) -> dict[str, str]:
    """Method -> its words, of an experiment whose conditions are told apart by their method."""
    return {settings["method"]: words for words, settings in names(experiment).items()}


def arms(record: Record, **shared: Any) -> dict[str, list[Row]]:
    """Words -> rows, one a seed, of each condition that the record has. shared: settings that all have in common."""
    return rp.conditions(record, names(record.experiment), **shared)


def named(condition: Mapping[str, Any]) -> str:
    """``vote of the nearest, no language model, 16 examples``. Raises KeyError for a condition that has no words."""
    for words, settings in names(condition["experiment"]).items():
        if settings.items() <= condition.items():
            k = condition.get("k")
            if not k or "passages" in condition:
                return words.replace("{k} ", "")
            return words.format(k=k) if "{k}" in words else f"{words}, {counted(k, 'example')}"
    raise KeyError(f"no words for {dict(condition)} in data/conditions.yml")
