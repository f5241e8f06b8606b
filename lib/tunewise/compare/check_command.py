"""``tunewise check``: what is in a file of labelled rows, and what is wrong with it, before anything is measured on it."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import textwrap
from collections import Counter
from dataclasses import asdict
from typing import Any

from tunewise.compare.base import OwnData

WIDTH = 80
SHOWN_ROWS = 5  # of a finding


def add_data_options(parser: argparse.ArgumentParser, *, needed: bool = True) -> None:
    """The file (``needed``, or it may be left out) and what its columns are: the same for every command that reads one."""
    rows = "labelled rows: .csv, .tsv, .jsonl, .ndjson, .json, .parquet or .xlsx"
    parser.add_argument("file", nargs=None if needed else "?", help=rows)
    named = "name of the column with %s; guessed, and said, where it is left out"
    parser.add_argument(
        "--text", metavar="COLUMN", help=named % "the text (several with commas between them)"
    )
    parser.add_argument("--label", metavar="COLUMN", help=named % "the label or right answer")
    parser.add_argument("--group", metavar="COLUMN", help=named % "what belongs together, such as a customer")
    parser.add_argument("--time", metavar="COLUMN", help="column with a date: the latest rows are the test")
    parser.add_argument("--split", metavar="COLUMN", help=named % "train, valid or test")
    kinds = ("classification", "answers", "extraction")
    parser.add_argument("--task", choices=kinds, help="guessed from the labels where it is left out")
    rare = "leave out labels with fewer than ten different texts instead of stopping"
    parser.add_argument("--drop-rare", action="store_true", help=rare)
    parser.add_argument(
        "--rows", metavar="N", type=int, help="of a longer file, take a sample of N rows (10,000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another number gives other splits (0)")


def data_options(args: argparse.Namespace) -> dict[str, Any]:
    """The keywords of ``intake.prepare`` in the options of a command."""
    names = ("text", "label", "group", "time", "split", "task", "drop_rare", "seed")
    return {name: getattr(args, name) for name in names} | (
        {"most_rows": args.rows} if args.rows is not None else {}
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_data_options(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON, with all row numbers")


def main(args: argparse.Namespace) -> int:
    """Print what was found; 0 where nothing is serious, 1 where something is, 2 for a file that can't be used."""
    from tunewise.compare.intake import RareLabels, prepare
    from tunewise.compare.printable import visible
    from tunewise.compare.text_encoding import DataError

    asked = data_options(args)
    try:
        data = prepare(args.file, **asked)
    except DataError as error:
        print(visible(f"tunewise check: {error}"), file=sys.stderr)
        if isinstance(error, RareLabels) and not args.json:
            with contextlib.suppress(DataError):
                rest = prepare(args.file, **{**asked, "drop_rare": True})
                print(visible(f"With --drop-rare, this would be left:\n\n{as_text(rest)}"))
        return 2
    print(json.dumps(as_json(data), ensure_ascii=False, indent=2) if args.json else visible(as_text(data)))
    return int(any(finding.serious for finding in data.findings))


def as_json(data: OwnData) -> dict[str, Any]:
    """What the check found, with all row numbers."""
    return {
        "file": data.name,
        "columns": asdict(data.columns),
        "labels": {label: n for label, *n in _labels(data)},
        "rows": {split: len(getattr(data, split)) for split in ("train", "valid", "test", "pool")},
        "findings": [asdict(finding) for finding in data.findings],
    }


def as_text(data: OwnData) -> str:
    """The same for a terminal of 80 columns: the serious findings first."""
    n = len(data.train) + len(data.valid) + len(data.test)
    lines = [f"{data.name}: {n:,} rows to compare on", ""]
    for sentence in data.columns.guessed:
        lines += _wrapped(sentence)
    named = {"group": data.columns.group, "time": data.columns.time, "split": data.columns.split}
    by = next(
        (f"by {kind} ({column!r})" for kind, column in reversed(named.items()) if column),
        "by a hash of the text",
    )
    lines += [
        "",
        f"Splits {by}: {len(data.train):,} training, {len(data.valid):,} validation, {len(data.test):,} test",
    ]
    if data.labels:
        lines += ["", f"{'label':42} {'training':>10} {'validation':>10} {'test':>10}"]
        for label, *counts in _labels(data):
            lines.append(
                f"{textwrap.shorten(label, 42, placeholder='...'):42} "
                + " ".join(f"{n:>10,}" for n in counts)
            )
    for serious, title in ((True, "Look at these first"), (False, "Also found")):
        if found := [finding for finding in data.findings if finding.serious is serious]:
            lines += ["", title]
            for finding in found:
                lines += _wrapped(finding.said, "  - ") + _wrapped(
                    f"{finding.done[0].upper()}{finding.done[1:]}{'' if finding.done.endswith('?') else '.'}",
                    "    -> ",
                )
    if any(len(finding.rows) > SHOWN_ROWS for finding in data.findings):
        lines += ["", "With --json all row numbers are shown."]
    if not data.findings:
        lines += ["", "Nothing was found that is wrong with it."]
    return "\n".join(lines)


def _labels(data: OwnData) -> list[tuple[str, int, int, int]]:
    train, valid, test = (
        Counter(item.target for item in part) for part in (data.train, data.valid, data.test)
    )
    return [(label, train[label], valid[label], test[label]) for label in data.labels]


def _wrapped(text: str, start: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False
    )
