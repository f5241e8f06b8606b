"""From the user's file to data that a comparison can run on: columns, kind, sample, health, splits.

mine = prepare("tickets.csv")            # or a pandas frame; label="queue", group="customer", task="answers", ...
mine.labels, len(mine.train), len(mine.test), mine.findings
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunewise.compare import health, splits
from tunewise.compare.base import Columns, Finding, Item, OwnData
from tunewise.compare.columns import MOST_LABELS, SPLIT_NAMES, choose, kind_of, parts
from tunewise.compare.dates import dated
from tunewise.compare.sampling import RawRow, Sample
from tunewise.compare.table_files import Table, open_table, text_of
from tunewise.compare.text_encoding import DataError
from tunewise.words import counted

ROWS = 10_000  # at most; 4,000 test rows tell two points of accuracy apart
LEAST_A_LABEL = 10
HEAD = 1000  # rows by which the columns are guessed
OTHER_COLUMNS = 20
POOL = "rows without a label"


class RareLabels(DataError):
    """Labels have too few rows; ``drop_rare`` would leave them out."""


def prepare(
    source: Any,
    *,
    text: str | None = None,
    label: str | None = None,
    group: str | None = None,
    time: str | None = None,
    split: str | None = None,
    task: str | None = None,
    drop_rare: bool = False,
    seed: int = 0,
    most_rows: int = ROWS,
    pool: str | Path | None = None,
) -> OwnData:
    """Read, check and split labelled rows.

    Parameters
    ----------
    source
        Path of a CSV, TSV, JSONL, JSON, Parquet or Excel file; a pandas frame; a list of dicts.
    text, label, group, time, split
        Names of columns; guessed where not given (``time`` never is). ``text`` may be several, with commas between them.
    task
        ``classification``, ``answers`` or ``extraction``; guessed from the targets where not given.
    drop_rare
        Leave out labels with fewer than ten different texts, instead of refusing the file.
    most_rows
        Of a longer file, the pool too, a sample of this many rows is taken, with at least thirty of each label where there are.
    pool
        Another file with unlabelled rows, beside the rows without a label in this one.

    Raises
    ------
    DataError
        For whatever can't be read or compared on, with file, row and remedy.
    """
    if most_rows < 3 * LEAST_A_LABEL:
        raise DataError(f"a sample of {most_rows} rows is too small (--rows): at least {3 * LEAST_A_LABEL}")
    table = open_table(source)
    columns, items, unlabelled, findings = _read(
        table, dict(text=text, label=label, group=group, time=time, split=split, task=task), seed, most_rows
    )
    if pool is not None:
        more, found = _pool(pool, columns, seed, most_rows)
        unlabelled += more
        findings += found
    items, found = health.without_repeats(table.name, items, columns)
    findings += found
    labels: tuple[str, ...] = ()
    if columns.kind == "classification":
        items, labels, found = _labels(table.name, items, columns, drop_rare)
        findings += found
    elif len(items) < 3 * LEAST_A_LABEL:
        raise DataError(
            f"{table.name}: {len(items)} different rows with a target; at least {3 * LEAST_A_LABEL} are needed to train and to test"
        )
    if columns.time:
        items = dated(f"{table.name}, {table.unit}", items, columns.time)
    ties = splits.tie(items)
    items = [replace(item, group=items[bundle].group) for item, bundle in zip(items, ties.of, strict=True)]
    split_of = _split(table, items, columns, ties, seed)
    items, split_of, found = health.apart(table.name, items, split_of, ties)
    findings += found
    findings += health.look(table.name, items, split_of, columns)
    part = {
        name: tuple(i for i, s in zip(items, split_of, strict=True) if s == name) for name in splits.NAMES
    }
    for name, named in zip(splits.NAMES, ("training", "validation", "test"), strict=True):
        if not part[name]:
            raise DataError(
                f"{table.name}: no rows are left for {named}; add rows, or leave out --split, --time and --group"
            )
    if len(groups := {item.group for item in part["test"]}) == 1:
        of_one = (
            f"belongs to one {columns.group!r} ({groups.pop()[:40]!r})"
            if columns.group
            else "is one row and its near-duplicates"
        )
        remedy = "add rows, or name other columns with --group, --split or --time"
        raise DataError(f"{table.name}: the test set {of_one}, which says nothing of others; {remedy}")
    metric = {"classification": "accuracy", "extraction": "fields", "answers": "f1"}[columns.kind]
    columns = replace(columns, guessed=(*columns.guessed, *table.notes))
    return OwnData(
        table.name,
        columns,
        labels,
        part["train"],
        part["valid"],
        part["test"],
        pool=tuple(unlabelled),
        findings=tuple(findings),
        metric=metric,
    )


def _read(
    table: Table, asked: Mapping[str, str | None], seed: int, most: int
) -> tuple[Columns, list[Item], list[Item], list[Finding]]:
    """Columns, rows with a target, rows without one, and what was found on the way."""
    head = list(itertools.islice(table.rows, HEAD))
    if not head:
        raise DataError(f"{table.name} has no rows below its header: add rows, one text and its label each")
    columns = choose(table.name, [record for _, record in head], **asked)
    there = list(dict.fromkeys(key for _, record in head for key in record))
    text_columns = parts(columns.text, there)
    counts: Counter[str] = Counter()
    sample, pool = Sample(most, seed), Sample(most, seed)
    no_text: list[int] = []
    for row, record in itertools.chain(head, table.rows):
        raw = _raw(table, row, record, columns, text_columns)
        if not raw.text:
            no_text.append(row)
        elif not raw.target:
            pool.add(raw)
        else:
            if len(counts) < most or raw.target in counts:
                counts[raw.target] += 1
            sample.add(raw)
    if not counts:
        what = f"both a text ({columns.text!r}) and a target ({columns.target!r})"
        raise DataError(f"{table.name}: no row has {what}; fill them, or name others with --text and --label")
    if asked["task"] is None:
        kind, why = kind_of(columns.target, counts)
        columns = replace(columns, kind=kind, guessed=(*columns.guessed, f"{why} Another: --task"))
    labelled = sample.taken(counts if columns.kind == "classification" else ())
    found = health.of_reading(table.name, no_text, sample.seen, labelled, pool.seen)
    found += health.of_sample(table.name, POOL, pool.seen, min(pool.seen, most))
    items, unlabelled = (
        [_item(table.name, raw, columns, there) for raw in rows] for rows in (labelled, pool.taken())
    )
    return columns, items, unlabelled, found


def _raw(
    table: Table, row: int, record: dict[str, Any], columns: Columns, text_columns: Sequence[str]
) -> RawRow:
    added: dict[str, str] = {}
    if columns.text == columns.target:
        text, target, added = _chat(table, row, record.get(columns.text))
    else:
        text = "\n".join(filter(None, [text_of(record.get(part)) for part in text_columns]))
        target = text_of(record.get(columns.target))
    clean, clean_target = map(health.without_control_characters, (text, target))
    return RawRow(row, clean, clean_target, added, record, (clean, clean_target) != (text, target))


def _item(name: str, raw: RawRow, columns: Columns, there: Sequence[str]) -> Item:
    named = {*parts(columns.text, there), columns.target, columns.group}
    kept = [c for c in (columns.time, columns.split) if c]
    kept += [c for c in there if c not in named and not isinstance(raw.record.get(c), dict | list)]
    features = raw.added | {c: text_of(raw.record.get(c))[:200] for c in kept[:OTHER_COLUMNS]}
    digest = hashlib.sha256(f"{raw.text}\0{raw.target}".encode()).hexdigest()[:16]
    group = text_of(raw.record.get(columns.group)) if columns.group else ""
    id = f"{name}:{digest}"
    return Item(id, raw.row, raw.text, raw.target or None, group or id, features)


def _chat(table: Table, row: int, value: Any) -> tuple[str, str, dict[str, str]]:
    """Prompt, target and system prompt of a list of messages (``role``/``content``, or ``from``/``value``)."""
    where = f"{table.name}, {table.unit} {row}"
    try:
        messages = json.loads(value) if isinstance(value, str) else list(value or ())
        said = [
            (str(m.get("role") or m["from"]), text_of(m.get("content", m.get("value")))) for m in messages
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f'{where}: the messages must be a list such as [{{"role": "user", "content": "..."}}, ...]'
        ) from error
    system = "\n".join(text for role, text in said if role in ("system", "developer"))
    said = [(role, text) for role, text in said if role not in ("system", "developer")]
    target = said.pop()[1] if said and said[-1][0] in ("assistant", "gpt", "model") else ""
    text = said[0][1] if len(said) == 1 else "\n".join(f"{role}: {text}" for role, text in said)
    return text, target, {"system": system} if system else {}


def _pool(source: str | Path, columns: Columns, seed: int, most: int) -> tuple[list[Item], list[Finding]]:
    table = open_table(source)
    head = list(itertools.islice(table.rows, HEAD))
    there = list(dict.fromkeys(key for _, record in head for key in record))
    text_columns = parts(columns.text, there)
    for part in text_columns:
        if part not in there:
            raise DataError(
                f"{table.name}: there is no column {part!r}, which holds the text of the labelled rows"
            )
    sample = Sample(most, seed)
    for row, record in itertools.chain(head, table.rows):
        raw = _raw(table, row, record, columns, text_columns)
        if raw.text:
            sample.add(replace(raw, target=""))
    taken = [_item(table.name, raw, columns, there) for raw in sample.taken()]
    return taken, health.of_sample(table.name, POOL, sample.seen, len(taken))


def _labels(
    name: str, items: list[Item], columns: Columns, drop_rare: bool
) -> tuple[list[Item], tuple[str, ...], list[Finding]]:
    """Items of the labels that can be compared on, the labels by frequency, and what was left out."""
    rows: dict[str, list[int]] = defaultdict(list)
    for item in items:
        rows[item.target or ""].append(item.row)
    if not rows:
        raise DataError(f"{name}: every text stands there with two labels: decide on one a text")
    rare = {label: found for label, found in rows.items() if len(found) < LEAST_A_LABEL}
    findings = []
    if rare and drop_rare and len(rows) > len(rare):
        gone = tuple(sorted(itertools.chain.from_iterable(rare.values())))
        said = f"{name}: fewer than {LEAST_A_LABEL} rows a label (a text counts once): {_counted(rare)}."
        findings.append(Finding("rare_label", gone, said, f"left out, {counted(len(gone))} (--drop-rare)"))
        rows = {label: found for label, found in rows.items() if label not in rare}
        rare = {}
    if len(rows) > MOST_LABELS:
        said = f"{name}: {columns.target!r} has {len(rows)} different labels; up to {MOST_LABELS} can be compared"
        raise DataError(f"{said}. Merge labels, --drop-rare, or --task answers if it is free text")
    if len(rows) == 1 and not rare:
        only = f"{name}: all rows have the label {next(iter(rows))!r}"
        raise DataError(
            f"{only}; a classification needs at least two. Is {columns.target!r} the right column (--label)?"
        )
    if rare:
        said = f"{name}: fewer than {LEAST_A_LABEL} rows a label (a text counts once): {_counted(rare)}"
        remedy = "Label more, merge labels, or leave these out with --drop-rare"
        hint = (
            f"; is {columns.target!r} the right column (--label), or free text (--task answers)?"
            if len(rare) > 10
            else "."
        )
        same = [labels for labels in health.spellings(rows) if rare.keys() & {*labels}]
        one = f" There are {health.spelled_apart(same)}; write each the same way first." if same else ""
        raise RareLabels(f"{said}; {LEAST_A_LABEL} are needed to train and to test.{one} {remedy}{hint}")
    labels = tuple(sorted(rows, key=lambda label: (-len(rows[label]), label)))
    return [item for item in items if item.target in rows], labels, findings


def _counted(rows: Mapping[str, Sequence[int]]) -> str:
    shown = [
        f"{label[:40]!r} has {len(found)} ({health.listed(found, 3)})"
        for label, found in sorted(rows.items())[:8]
    ]
    return ", ".join(shown) + (f" and {len(rows) - 8} more labels" if len(rows) > 8 else "")


def _split(table: Table, items: Sequence[Item], columns: Columns, ties: splits.Ties, seed: int) -> list[str]:
    if columns.time and columns.split:
        raise DataError(
            f"{table.name}: splits by time and by the column {columns.split!r} exclude each other: name one"
        )
    if columns.time:
        return splits.by_time([item.features[columns.time] for item in items])
    if columns.split:
        given = []
        for item in items:
            value = item.features[columns.split]
            if value.lower() not in SPLIT_NAMES:
                said = f"{table.name}, {table.unit} {item.row}: {value!r} in {columns.split!r} is no split"
                raise DataError(f"{said}: write train, valid or test")
            given.append(SPLIT_NAMES[value.lower()])
        return splits.completed(given, items, ties, seed)
    return splits.by_hash(items, ties, seed, columns.kind == "classification")
