"""Numbers of run records in words: no number of an experiment is typed into the prose, it is printed by these."""

from __future__ import annotations

import html
from collections.abc import Mapping


def pct(metric: Mapping | float | None, n: bool = True) -> str:
    """A share in per cent with its 95 % interval and n: ``73 % [66, 79], n = 300``; a plain share without them.

    n: whether n is said, here and in :func:`points` and :func:`plain`.
    """
    if metric is None:
        return "not yet measured"
    if not isinstance(metric, Mapping):
        return f"{100 * metric:.0f} %"
    return f"{100 * metric['value']:.0f} % [{100 * metric['low']:.0f}, {100 * metric['high']:.0f}]{_items(metric, n)}"


def points(metric: Mapping | None, n: bool = True) -> str:
    """A difference of two shares in percentage points, with its sign: ``+12 points [+4, +20], n = 300``."""
    if metric is None:
        return "not yet measured"
    value, low, high = (f"{100 * metric[k]:+.0f}".replace("-", "−") for k in ("value", "low", "high"))
    return f"{value} points [{low}, {high}]{_items(metric, n)}"


def plain(metric: Mapping | float | None, unit: str = "", digits: int = 3, n: bool = True) -> str:
    """Any other metric: ``1.23 s [1.1, 1.4], n = 20``; digits: how many significant ones."""
    if metric is None:
        return "not yet measured"
    unit = f" {unit}" if unit else ""
    if not isinstance(metric, Mapping):
        return f"{_sig(metric, digits)}{unit}"
    value, low, high = (_sig(metric[k], digits) for k in ("value", "low", "high"))
    return f"{value}{unit} [{low}, {high}]{_items(metric, n)}"


def _items(metric: Mapping, said: bool) -> str:
    return f", n\u00a0=\u00a0{metric['n']:,}" if said else ""


def prose(text: str):
    """A paragraph whose numbers were read from records: what a page says in words without a number being typed."""
    from tunewise.report.figures import Html

    return Html(f"<p>{html.escape(text)}</p>", text)


def provenance(record):
    """One line on where a record's numbers come from: device, date, scale, seeds, versions, how long it took."""
    from tunewise.report.figures import Html

    wanted = ("tunewise", "torch", "transformers", "peft", "bitsandbytes")
    versions = ", ".join(f"{k} {record.versions[k]}" for k in wanted if k in record.versions)
    seeds = f", {len(record.seeds)} seeds" if len(record.seeds) > 1 else ""
    text = (
        f"Measured: {record.experiment}, scale {record.scale}{seeds}, on {record.device}, {record.date}, "
        f"in {_duration(record.duration_s)}; {versions}."
    )
    return Html(f'<p class="tw-provenance"><small>{html.escape(text)}</small></p>', text)


def not_yet_measured(command: str, what: str = "This run"):
    """What stands where a record is missing: that it is missing, and the command that makes it."""
    from tunewise.report.figures import Html

    text = f"{what} is not yet measured. To measure it: {command}"
    return Html(
        f'<div class="tw-missing" role="note"><p><strong>{html.escape(what)} is not yet measured.</strong> '
        f"To measure it: <code>{html.escape(command)}</code></p></div>",
        text,
    )


def _sig(number: float, digits: int) -> str:
    text = f"{number:,.{digits}g}"
    return f"{number:,.0f}" if "e" in text else text


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def measured(make):
    """What ``make()`` returns, or the *not yet measured* note with its command where a record is missing."""
    from tunewise.record import NotMeasured

    try:
        return make()
    except NotMeasured as missing:
        return not_yet_measured(
            missing.command,
            f"{missing.experiment.replace('_', ' ')} on a GPU" if missing.scale == "gpu" else "This run",
        )
