"""What should *we* do, and how sure can we be? A comparison on own data, from a labelled file to a verdict, a report and a winner to use."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
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
        which is called with each line of text.

    Raises
    ------
    ValueError
        For rows that can't be compared on, or a setting that there is not; with the remedy.
    """
    from tunewise.compare.base import Settings
    from tunewise.compare.intake import prepare
    from tunewise.compare.run import run

    reading = inspect.signature(prepare).parameters.keys() - {"source"}
    known = {field.name for field in dataclasses.fields(Settings)}
    say = settings.pop("say", print)
    if unknown := settings.keys() - reading - known:
        raise ValueError(
            f"there is no setting {sorted(unknown)[0]!r}; there are {', '.join(sorted(known | reading))}"
        )
    data = prepare(source, **{name: value for name, value in settings.items() if name in reading})
    return run(data, Settings(**{name: value for name, value in settings.items() if name in known}), say)


class _Callable(types.ModuleType):
    """Python hangs this package on ``tunewise`` as ``tunewise.compare``, where the function is looked for: so the package can be called."""

    def __call__(self, source: Any, **settings: Any) -> Report:
        return compare(source, **settings)


sys.modules[__name__].__class__ = _Callable
