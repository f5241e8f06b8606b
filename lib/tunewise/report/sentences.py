"""Sentences beside figures: prose with numbers from records, where a record comes from, and what is not measured yet."""

import html
from collections.abc import Callable
from typing import TypeVar

from tunewise.record import NotMeasured, Record
from tunewise.report.tables import Html
from tunewise.words import duration

T = TypeVar("T")


def prose(text: str) -> Html:
    """A paragraph whose numbers were read from records: what a page says in words without a number being typed."""
    return Html(f"<p>{html.escape(text)}</p>", text)


def provenance(record: Record) -> Html:
    """One line on where a record's numbers come from: model, device, date, scale, seeds, versions, how long it took."""
    wanted = ("tunewise", "torch", "transformers", "peft", "bitsandbytes")
    versions = ", ".join(f"{k} {record.versions[k]}" for k in wanted if k in record.versions)
    seeds = f", {len(record.seeds)} seeds" if len(record.seeds) > 1 else ""
    text = (
        f"Measured: {record.experiment} with {record.model}, scale {record.scale}{seeds}, on {record.device}, {record.date}, "
        f"in {duration(record.duration_s)}; {versions}."
    )
    return Html(f'<p class="tw-provenance"><small>{html.escape(text)}</small></p>', text)


def measured(make: Callable[[], T]) -> T | Html:
    """What ``make()`` returns, or where a record is missing a note that says so, with the command that makes it."""
    try:
        return make()
    except NotMeasured as missing:
        what = f"{missing.experiment.replace('_', ' ')} on a GPU" if missing.scale == "gpu" else "This run"
        return Html(
            f'<div class="tw-missing" role="note"><p><strong>{html.escape(what)} is not yet measured.</strong> '
            f"To measure it: <code>{html.escape(missing.command)}</code></p></div>",
            f"{what} is not yet measured. To measure it: {missing.command}",
        )
