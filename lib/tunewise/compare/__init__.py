"""What should *we* do, and how sure can we be? A comparison on own data, from a labelled file to a verdict, a report and a winner to use."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunewise.compare.base import Report


def compare(source: Any, **settings: Any) -> Report:
    """Compare what can be done with labelled rows of your own; a notebook shows the report.

    Parameters
    ----------
    source
        A file, a pandas frame, or a list of dicts.
    settings
        Those of :class:`tunewise.compare.base.Settings`, of :func:`tunewise.compare.intake.prepare` (columns, task), and ``say``,
        which is called with each line of text. A path may be a text, and the arms of ``only`` and ``skip`` one text with commas between them.

    Raises
    ------
    ValueError
        For rows that can't be compared on, or a setting that there is not; with the remedy.
    """
    from tunewise.compare.base import Settings
    from tunewise.compare.intake import prepare
    from tunewise.compare.run import run

    reading = inspect.signature(prepare).parameters.keys() - {"source"}
    known = {field.name: str(field.type) for field in dataclasses.fields(Settings)}
    say = settings.pop("say", print)
    if unknown := settings.keys() - reading - known.keys():
        raise ValueError(
            f"there is no setting {sorted(unknown)[0]!r}; there are {', '.join(sorted(known.keys() | reading))}"
        )
    data = prepare(source, **{name: value for name, value in settings.items() if name in reading})
    asked = {name: _meant(name, known[name], value) for name, value in settings.items() if name in known}
    for name in ("need", "margin"):
        if not asked.get("scorer") and not 0 < (asked.get(name) or 0.5) < 1:
            raise ValueError(f"{name} is a share between 0 and 1, such as 0.9; got {asked[name]}")
    runs = asked.get("runs", 1)
    if not isinstance(runs, int) or runs < 1:
        raise ValueError(f"runs is a number of training runs from 1 on; got {runs!r}")
    return run(data, Settings(**asked), say)


def _meant(name: str, kind: str, value: Any) -> Any:
    """A setting that was given as text, as what it stands for: a path, names, or what the command line reads from it."""
    from tunewise.compare.compare_options import seconds, share

    if isinstance(value, str) and name in (read := {"need": share, "margin": share, "budget": seconds}):
        try:
            return read[name](value)
        except argparse.ArgumentTypeError as error:
            raise ValueError(f"{name}: {error}") from None
    if isinstance(value, str) and kind.startswith("Path"):
        return Path(value)
    if isinstance(value, str) and kind.startswith("tuple"):
        return tuple(name.strip() for name in value.split(","))
    return value


class _Callable(types.ModuleType):
    """Python hangs this package on ``tunewise`` as ``tunewise.compare``, where the function is looked for: so the package can be called."""

    def __call__(self, source: Any, **settings: Any) -> Report:
        return compare(source, **settings)


sys.modules[__name__].__class__ = _Callable
