"""Labelled texts: a text in, one of a few labels out.

mine = own_data("tickets.csv", text_column="subject", label_column="queue")
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Example:
    """text, the index of its label in the task's ``labels``, and an id that leads back to the source."""

    text: str
    label: int
    id: str


@dataclass(frozen=True)
class Task:
    """Examples in random order, in three splits that share no text.

    The splits of the built-in tasks are balanced (as many examples of each label); those of own data keep its shares.
    """

    name: str
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    valid: tuple[Example, ...]
    test: tuple[Example, ...]

    def counts(self) -> dict[str, dict[str, int]]:
        """split -> label -> number of examples."""
        return {
            split: {
                label: sum(e.label == i for e in getattr(self, split)) for i, label in enumerate(self.labels)
            }
            for split in SPLITS
        }


MIN_A_LABEL = 10


class DataError(ValueError):
    """The reader's file can't be used as it is. The message says where and what to do."""


def own_data(
    path: str | Path,
    text_column: str = "text",
    label_column: str = "label",
    *,
    name: str | None = None,
    seed: int = 0,
    test: float = 0.2,
    valid: float = 0.1,
) -> Task:
    """A reader's own labelled texts, from ``.csv``, ``.tsv`` or ``.jsonl`` in UTF-8.

    The labels are sorted by name; a prompt shows them as they are, so words beat codes. Texts that are equal but for case and
    punctuation are kept once.

    Parameters
    ----------
    text_column, label_column
        Names in the header (CSV) or keys (JSONL).
    test, valid
        Shares of each label.

    Raises
    ------
    DataError
        For what can't be read, a label with few texts, or texts with two labels, since no method can be right on both.
    """
    path = Path(path)
    if not (0 < test < 1 and 0 <= valid < 1 and test + valid < 0.9):
        raise DataError(f"test={test} and valid={valid} must be shares that leave enough for training")
    kept: dict[str, tuple[str, str, int]] = {}
    clashes = []
    for line, text, label in _rows(path, text_column, label_column):
        key = plain(text) or text
        if key not in kept:
            kept[key] = (text, label, line)
        elif kept[key][1] != label:
            clashes.append(f"lines {kept[key][2]} ({kept[key][1]!r}) and {line} ({label!r}): {text[:60]!r}")
    if clashes:
        listed = "\n  ".join(["Decide on one, or remove them:", *clashes[:5]])
        raise DataError(f"{path.name}: {len(clashes)} texts have two labels. {listed}")
    of = defaultdict(list)
    for text, label, line in kept.values():
        of[label].append((text, line))
    if len(of) == 1:
        only = f"{path.name}: all rows have the label {next(iter(of))!r}"
        raise DataError(f"{only}; a classification needs at least two")
    few = {label: len(group) for label, group in sorted(of.items()) if len(group) < MIN_A_LABEL}
    if few:
        listed = ", ".join(f"{label!r} has {n}" for label, n in list(few.items())[:5])
        more = f" (and {len(few) - 5} more labels)" if len(few) > 5 else ""
        hint = " Is this the right column?" if len(of) > 50 else ""
        wanted = f"at least {MIN_A_LABEL} are needed to train and to test"
        remedy = f"Label more, merge labels, or remove the rare ones.{hint}"
        said = f"{path.name}: too few different texts of a label: {listed}{more}; {wanted}. {remedy}"
        raise DataError(said)
    labels = tuple(sorted(of))
    rng = np.random.default_rng(seed)
    splits: dict[str, list[Example]] = {"test": [], "valid": [], "train": []}
    for y, label in enumerate(labels):
        group = [of[label][i] for i in rng.permutation(len(of[label]))]
        n_test = max(1, round(test * len(group)))
        n_valid = max(1, round(valid * len(group))) if valid else 0
        for place, (text, line) in enumerate(group):
            split = "test" if place < n_test else "valid" if place < n_test + n_valid else "train"
            splits[split].append(Example(text, y, f"{path.name}:{line}"))
    mixed = {k: tuple(v[i] for i in rng.permutation(len(v))) for k, v in splits.items()}
    return Task(name or path.stem, labels, **mixed)


def _rows(path: Path, text_column: str, label_column: str) -> list[tuple[int, str, str]]:
    """(line number, text, label) of each row; raises DataError for what can't be read or is empty."""
    if not path.exists():
        raise DataError(f"there is no file {path}")
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f'{path.name} is in UTF-16 (Excel\'s "Unicode text"); save it as CSV UTF-8')
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        where = f"byte 0x{content[error.start]:02x} in line {line}"
        remedy = f"convert it: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8-{path.name}"
        said = f'{path.name} is not in UTF-8: {where}. Save it as UTF-8 (Excel: "CSV UTF-8"), or {remedy}'
        raise DataError(said) from error
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".ndjson", ".csv", ".tsv"):
        raise DataError(f"{path.name}: the name must end in .csv, .tsv or .jsonl")
    tab = "\t" if suffix == ".tsv" else None
    records = _csv(path.name, text, tab) if suffix in (".csv", ".tsv") else _jsonl(path.name, text)
    if not records:
        raise DataError(f"{path.name} has no rows")
    rows, empty = [], defaultdict(list)
    for line, record in records:
        values = {}
        for column in (text_column, label_column):
            where = f"{path.name}, line {line}"
            if column not in record:
                there = ", ".join(repr(k) for k in record if k is not None)
                remedy = "Name yours with text_column= and label_column="
                raise DataError(f"{where}: there is no column {column!r}; there are {there}. {remedy}")
            value = values[column] = record[column]
            if isinstance(value, dict | list):
                raise DataError(f"{where}: {column!r} is a {type(value).__name__}, not a text")
            if value is None or not str(value).strip():
                empty[column].append(line)
        label = values[label_column]
        label = str(label).lower() if isinstance(label, bool) else str(label).strip()
        rows.append((line, str(values[text_column]).strip(), label))
    for column, kind in ((label_column, "label"), (text_column, "text")):
        if lines := empty[column]:
            shown = ", ".join(map(str, lines[:10])) + (" ..." if len(lines) > 10 else "")
            empties = f"empty {kind} ({column!r}) in {len(lines)} rows, lines {shown}"
            raise DataError(f"{path.name}: {empties}. Fill or remove them")
    return rows


def _jsonl(name: str, text: str) -> list[tuple[int, dict]]:
    records = []
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            record = json.loads(content)
        except ValueError as error:
            said = f"{name}, line {line} is not JSON ({error})"
            raise DataError(f"{said}; JSONL has one object a line") from error
        if not isinstance(record, dict):
            said = f"{name}, line {line} is a {type(record).__name__}, not an object"
            raise DataError(f'{said} such as {{"text": ..., "label": ...}}')
        records.append((line, record))
    return records


def _csv(name: str, text: str, delimiter: str | None) -> list[tuple[int, dict]]:
    if delimiter is None:  # Excel writes semicolons in many countries
        delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records = []
    try:
        for record in reader:
            if None in record:
                said = f"more values than the {len(reader.fieldnames or ())} columns of the header"
                remedy = f"a text that contains {delimiter!r} must stand in double quotes"
                raise DataError(f"{name}, line {reader.line_num}: {said}; {remedy}")
            records.append((reader.line_num, record))
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num} is not CSV: {error}") from error
    return records


def is_file_name(name: str) -> bool:
    """Is this the path of a reader's own file, and not the name of a task?"""
    return name.lower().endswith((".csv", ".tsv", ".jsonl", ".ndjson"))


def fingerprint(task: Task) -> str:
    """SHA-256 of everything in the task but its name: the same data gives the same fingerprint on any machine."""
    content: list = [list(task.labels)]
    content += [[[e.id, e.text, e.label] for e in getattr(task, split)] for split in SPLITS]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode("utf-8")).hexdigest()


def overlap(task: Task) -> list[tuple[str, str]]:
    """Pairs of ids from different splits whose texts are near-duplicates; empty for the built-in tasks, worth a look for own data."""
    placed = [(split, e) for split in SPLITS for e in getattr(task, split)]
    pairs = near_duplicates([e.text for _, e in placed])
    return [(placed[i][1].id, placed[j][1].id) for i, j in pairs if placed[i][0] != placed[j][0]]


def plain(text: str) -> str:
    """Lower-case words and digits only: two texts that differ in case and punctuation are the same text."""
    return " ".join(_words(text))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def near_duplicates(texts: Sequence[str], share: float = 0.6) -> list[tuple[int, int]]:
    """Pairs of texts that are one text in two wordings: equal but for case and punctuation, or with a run of three words
    in common (two, when both have at most five words) and at least ``share`` of their different words (Jaccard)."""
    words = [_words(t) for t in texts]
    sets = [set(w) for w in words]
    same, runs = defaultdict(list), defaultdict(list)
    for i, w in enumerate(words):
        same[" ".join(w)].append(i)
        for n in (2, 3) if len(w) <= 5 else (3,):
            for run in {tuple(w[k : k + n]) for k in range(len(w) - n + 1)}:
                runs[run].append(i)
    pairs = [(group[0], i) for group in same.values() for i in group[1:]]
    seen = set()
    for group in runs.values():
        if len(group) > 100:  # a phrase so common that it says nothing
            continue
        for k, i in enumerate(group):
            for j in group[k + 1 :]:
                if (i, j) not in seen:
                    seen.add((i, j))
                    if len(sets[i] & sets[j]) >= share * len(sets[i] | sets[j]):
                        pairs.append((i, j))
    return pairs
