"""The rows of a table file, one at a time: CSV, TSV, JSONL, JSON, Parquet or Excel, each with the number that a person sees beside it.

Nothing is held but the row at hand (JSON and Excel excepted, which are one value each).
"""

from __future__ import annotations

import csv
import datetime
import importlib
import io
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewise.compare.text_encoding import LONGEST, DataError, encoding_of

MOST_BYTES = 300_000_000  # to go through more takes minutes, and a comparison uses a sample of it anyway
FORMATS = ".csv, .tsv, .jsonl, .ndjson, .json, .parquet or .xlsx"
MAGIC = ((b"PK\x03\x04", ".xlsx"), (b"PAR1", ".parquet"))
SEPARATOR = re.compile(r'"?sep=([^\w\s"]|\t)"?\s*', re.I)  # a first line by which Excel is told the delimiter
Row = tuple[int, dict[str, Any]]


@dataclass
class Table:
    """A file's rows as (number, column -> value).

    Parameters
    ----------
    name
        The file's name, for messages.
    unit
        What the numbers count: ``line``, ``row`` or ``entry``.
    rows
        To be gone through once.
    notes
        What was guessed or met while reading, one sentence each; complete when the rows are through.
    """

    name: str
    unit: str
    rows: Iterator[Row]
    notes: list[str] = field(default_factory=list)


def open_table(source: Any) -> Table:
    """The table of a path, of a pandas frame (or what has ``to_pandas``), or of a list of dicts.

    Raises
    ------
    DataError
        For what is no file, or no table; while the rows are gone through also for a row that can't be read.
    """
    if not isinstance(source, str | Path):
        return _in_memory(source)
    path = Path(source)
    if not path.exists():
        raise DataError(f"there is no file {path}: check the name, and the folder you are in ({Path.cwd()})")
    if path.is_dir():
        raise DataError(f"{path} is a folder: name the file in it that has the labelled rows")
    if not path.is_file():
        raise DataError(f"{path} is not an ordinary file (a pipe or a device): save the rows to a file first")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise DataError(
            f"{path.name} has {size / 1e9:.1f} GB, and files up to {MOST_BYTES / 1e9:.1f} GB are read: write 20,000 of its rows, drawn at "
            "random, to a smaller file; of more rows a sample would be used anyway"
        )
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise DataError(f"{path.name} can't be opened: {error.strerror}") from error
    if not head:
        raise DataError(f"{path.name} is empty: was it saved, or downloaded to the end?")
    suffix = next((kind for magic, kind in MAGIC if head.startswith(magic)), path.suffix.lower())
    if head.startswith(b"\xd0\xcf\x11\xe0") or suffix == ".xls":
        raise DataError(f"{path.name} is an old Excel file (.xls): save it as .xlsx or CSV UTF-8")
    table = Table(path.name, "line", iter(()))
    if suffix in (".csv", ".tsv"):
        table.rows = _csv(table, path, encoding_of(path, table.notes), "\t" if suffix == ".tsv" else None)
    elif suffix in (".jsonl", ".ndjson"):
        table.rows = _jsonl(table, path, encoding_of(path, table.notes))
    elif suffix == ".json":
        table.unit, table.rows = "entry", _json(table, path)
    elif suffix == ".parquet":
        table.unit, table.rows = "row", _parquet(table, path)
    elif suffix == ".xlsx":
        table.unit, table.rows = "row", _excel(table, path)
    else:
        raise DataError(f"{path.name}: the name must end in {FORMATS}, so that the format is known")
    return table


def _in_memory(source: Any) -> Table:
    frame = source.to_pandas() if hasattr(source, "to_pandas") else source
    if hasattr(frame, "to_dict") and hasattr(frame, "columns"):
        columns = [str(c) for c in frame.columns]
        values = frame.itertuples(index=False, name=None)
        records: Any = (dict(zip(columns, row, strict=True)) for row in values)
    elif isinstance(frame, list | tuple) and all(isinstance(r, dict) for r in frame):
        records = frame
    else:
        said = f"a {type(source).__name__} is no table: give a path, a pandas frame or a list of dicts"
        raise DataError(said)
    return Table("frame", "row", enumerate(records))


def text_of(value: Any) -> str:
    """A cell as text: nothing for an empty one, ``3`` for 3.0, ``true`` for True, JSON for a list or dict."""
    if isinstance(value, str):
        # half a character, as a cut JSON string may hold, can't be written anywhere
        return (value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")).strip()
    if hasattr(value, "tolist"):  # numpy's
        value = value.tolist()
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "" if value != value else str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, dict | list | tuple):
        return text_of(json.dumps(value, ensure_ascii=False, default=str))
    return str(value).strip()


def _csv(table: Table, path: Path, encoding: str, delimiter: str | None) -> Iterator[Row]:
    csv.field_size_limit(LONGEST)
    with path.open(encoding=encoding, newline="") as file:
        first = next((line for line in file if line.strip()), "")
        file.seek(0)
        if told := SEPARATOR.fullmatch(first):
            delimiter = told[1]
            table.notes.append(f"Columns are parted by {delimiter!r}, as the first line says.")
        elif delimiter is None:  # Excel writes semicolons in many countries
            delimiter = max(",;\t|", key=first.count)
            if delimiter in ";|":
                table.notes.append(f"Columns are parted by {delimiter!r}.")
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        columns: list[str] = []
        begins = 1
        try:
            for cells in reader:
                number, begins = begins, reader.line_num + 1
                if not any(cells):
                    continue
                if told:
                    told = None
                    continue
                if not columns:
                    columns = _named(cells)
                    continue
                if any(cells[len(columns) :]):  # empty ones are left by a delimiter at the end of the line
                    said = f"{table.name}, line {number}: {len(cells)} values, but {len(columns)} columns in the header"
                    remedy = f"a text that contains {delimiter!r} must stand in double quotes"
                    if len(cells) == len(columns) + 1 and cells[0].isdigit():
                        remedy += (
                            f"; if the first value is the row's number, begin the header with row{delimiter}"
                        )
                    raise DataError(f"{said}; {remedy}")
                yield number, dict(itertools.zip_longest(columns, cells[: len(columns)]))
        except csv.Error as error:
            said = f"{table.name}, line {begins}: this row is not CSV ({error})"
            remedy = "a quote that is opened must be closed, and a quote inside a text is written twice"
            raise DataError(f"{said}; {remedy}") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{table.name}, after line {begins}: not {encoding}; save it as UTF-8") from error


def _named(cells: list[Any]) -> list[str]:
    """Names of the columns: a nameless one gets its place, a second of the same name a number."""
    names: list[str] = []
    for place, cell in enumerate(cells, 1):
        name = text_of(cell) or f"column {place}"
        n = names.count(name)
        names.append(f"{name} ({n + 1})" if n else name)
    return names


def _jsonl(table: Table, path: Path, encoding: str) -> Iterator[Row]:
    with path.open(encoding=encoding, newline="\n") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                why = (
                    f"{error.msg.removesuffix(' at')}, character {error.colno}"
                    if isinstance(error, json.JSONDecodeError)
                    else "nested too deeply"
                )
                said = f"{table.name}, line {number} is not JSON ({why})"
                raise DataError(f"{said}; JSONL has one object a line: mend or remove this line") from error
            yield number, _object(table, number, record)


def _object(table: Table, number: int, record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        said = f"{table.name}, {table.unit} {number} is a {type(record).__name__}, not an object"
        raise DataError(f'{said} such as {{"text": ..., "label": ...}}')
    return record


def _json(table: Table, path: Path) -> Iterator[Row]:
    raw = path.read_bytes()
    try:
        content = json.loads(raw)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not in UTF-8, as JSON has to be (byte {error.start}); save it as UTF-8"
        ) from error
    except (ValueError, RecursionError) as error:
        hint = " One object a line? Then name it .jsonl." if raw.lstrip().startswith(b"{") else ""
        raise DataError(f"{path.name} is not JSON: {error}.{hint}") from error
    if isinstance(content, dict):
        lists = {key: value for key, value in content.items() if isinstance(value, list)}
        if len(lists) != 1:
            raise DataError(
                f"{path.name} must hold a list of objects; it is one object with {len(lists)} lists"
            )
        ((key, content),) = lists.items()
        table.notes.append(f"The rows are the list {key!r} of {path.name}.")
    if not isinstance(content, list):
        raise DataError(f"{path.name} must hold a list of objects, not a {type(content).__name__}")
    for number, record in enumerate(content, 1):
        yield number, _object(table, number, record)


def _parquet(table: Table, path: Path) -> Iterator[Row]:
    parquet = _needed("pyarrow.parquet", "Parquet", "pyarrow")
    try:
        file = parquet.ParquetFile(path)
        batches = (batch.to_pylist() for batch in file.iter_batches(batch_size=1000))
        yield from enumerate(itertools.chain.from_iterable(batches), 1)
    except (ValueError, OSError) as error:  # pyarrow's own errors are of these kinds
        why = str(error).splitlines()[0]
        raise DataError(f"{path.name} can't be read as Parquet ({why}): write it again") from error


def _excel(table: Table, path: Path) -> Iterator[Row]:
    openpyxl = _needed("openpyxl", "Excel", "openpyxl")
    try:
        book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()), read_only=True)
        sheets = [sheet for sheet in book.worksheets if next(_filled(sheet), None)]
    except Exception as error:  # a zip or XML library's own, of many kinds
        raise DataError(
            f"{path.name} can't be read as an Excel file ({error}): save it again as .xlsx or as CSV UTF-8"
        ) from error
    if not sheets:
        raise DataError(f"{path.name} has no sheet with rows")
    if len(sheets) > 1:
        table.notes.append(f"Of {len(sheets)} sheets the first is read: {sheets[0].title!r}.")
    rows = _filled(sheets[0])
    columns = _named(next(rows)[1])
    for number, cells in rows:
        if len(cells) > len(columns):
            columns = _named([*columns, *[None] * (len(cells) - len(columns))])
        yield number, dict(itertools.zip_longest(columns, cells))


def _filled(sheet: Any) -> Iterator[tuple[int, list[Any]]]:
    """The rows that hold something, each with its number, whatever size the file says that the sheet has."""
    sheet.reset_dimensions()
    for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        if any(cell is not None and cell != "" for cell in cells):
            yield number, list(cells)


def _needed(module: str, what: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise DataError(
            f"to read {what} files: pip install {package}; or save the file as CSV UTF-8"
        ) from error
