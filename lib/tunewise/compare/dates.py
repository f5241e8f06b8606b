"""A column of dates, however they are written, as text that sorts by time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tunewise.compare.base import Item
from tunewise.compare.text_encoding import DataError
from tunewise.words import counted

NUMBERS = re.compile(r"^(\d\d?)([./-])(\d\d?)\2(\d{4}|\d\d)(?!\d)")  # a date that begins with day or month
REMEDY = "write dates as 2026-01-31"


def dated(where: str, items: Sequence[Item], column: str) -> list[Item]:
    """The items with their dates in ISO form, in UTC.

    Before a dot stands the day, as nobody writes it otherwise; where slashes part day and month, a number above 12 somewhere in the column
    tells which comes first.

    Parameters
    ----------
    where
        The file and what its row numbers count, such as ``tickets.csv, line``.

    Raises
    ------
    DataError
        For a cell that is no date, and where day and month can't be told apart.
    """
    cells = [item.features[column] for item in items]
    found = [match for cell in cells if (match := NUMBERS.match(cell))]
    day_first = _day_first(cells)
    if found and not day_first and all(int(m[3]) <= 12 for m in found):
        said = f"{where.rpartition(', ')[0]}: {found[0][0]!r} in {column!r} may be either of two days, and no other date there tells which"
        raise DataError(f"{said}; {REMEDY}")
    parsed = _parsed(cells, day_first)
    if bad := [item for item, unread in zip(items, parsed.isna(), strict=True) if unread]:
        first = list(dict.fromkeys(item.features[column] for item in bad))[:3]
        shown = ", ".join(repr(value[:40]) if value else "an empty cell" for value in first)
        said = f"{where} {bad[0].row}: {shown} in {column!r} {'is no date' if len(first) == 1 else 'are no dates'}"
        raise DataError(f"{said} ({counted(len(bad))} without one); {REMEDY}, or leave out --time")
    whole = bool((parsed == parsed.dt.normalize()).all())
    written = parsed.dt.strftime("%Y-%m-%d" if whole else "%Y-%m-%d %H:%M:%S")
    return [replace(i, features={**i.features, column: t}) for i, t in zip(items, written, strict=True)]


def no_dates(cells: Sequence[str]) -> list[str]:
    """The different cells that hold something that is no date, where these are half of all or more; else none."""
    filled = [cell for cell in cells if cell]
    unread = [
        cell for cell, bad in zip(filled, _parsed(filled, _day_first(filled)).isna(), strict=True) if bad
    ]
    return list(dict.fromkeys(unread)) if 2 * len(unread) >= len(filled) else []


def _day_first(cells: Sequence[str]) -> bool:
    found = (match for cell in cells if (match := NUMBERS.match(cell)))
    return any(m[2] == "." or int(m[1]) > 12 for m in found)


def _parsed(cells: Sequence[str], day_first: bool) -> Any:
    import pandas

    def iso(match: re.Match[str]) -> str:
        day, month = (match[1], match[3]) if day_first else (match[3], match[1])
        year = int(match[4]) + (0 if len(match[4]) == 4 else 2000 if int(match[4]) < 69 else 1900)
        return f"{year}-{int(month):02}-{int(day):02}" if int(month) <= 12 else "none"

    days = pandas.Series([NUMBERS.sub(iso, cell) for cell in cells], dtype=str)
    return pandas.to_datetime(days, errors="coerce", format="mixed", utc=True)
