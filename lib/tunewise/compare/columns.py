"""Which column is the text and which the answer: as the user says, else by name and content, with the reason in words."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, get_args

from tunewise.compare.base import Columns, Kind
from tunewise.compare.dates import REMEDY, no_dates
from tunewise.compare.table_files import text_of
from tunewise.compare.text_encoding import DataError

MOST_LABELS = 150
# Names of columns in lower case, the likelier ones first.
TEXTS = """text prompt question body message content description input instruction sentence comment review query ticket tweet
utterance document mail email request article post title subject summary nachricht beschreibung anfrage frage texte texto testo"""
LABELS = """label labels class category intent topic queue target sentiment kategorie klasse thema categorie catégorie étiquette
categoria categoría etiqueta etichetta clase"""
ANSWERS = "completion answer answers response output expected reference gold extraction antwort réponse respuesta risposta"
GROUPS = """group group_id thread thread_id conversation_id session_id customer customer_id user_id author_id document_id patient_id
gruppe"""
SPLITS = ("split", "fold", "subset", "partition", "set")
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev", "development"), "valid"),
    **dict.fromkeys(("test", "testing", "eval", "heldout", "held-out"), "test"),
}
TOGETHER = (
    ("instruction", "input"),
    ("instruction", "context"),
    ("subject", "body"),
    ("title", "body"),
    ("question", "context"),
)
CHATS = ("messages", "conversations", "conversation")

DATE = re.compile(r"(\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4})([T ]|$)")


def choose(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    text: str | None = None,
    label: str | None = None,
    group: str | None = None,
    time: str | None = None,
    split: str | None = None,
    task: str | None = None,
) -> Columns:
    """The columns of a table from its first rows; what is given by name is taken as it is.

    ``text`` may name several columns with commas between them: they are read one after the other. The kind is settled by
    ``kind_of`` when all targets are known, unless ``task`` says it.

    Raises
    ------
    DataError
        For a column that is not there, and where more than one column could be meant, with the candidates.
    """
    if task is not None and task not in get_args(Kind):
        raise DataError(f"--task {task}: choose one of {', '.join(get_args(Kind))}")
    there = list(dict.fromkeys(key for row in rows for key in row))
    for option, given in (("--label", label), ("--group", group), ("--time", time), ("--split", split)):
        if given is not None and given not in there:
            raise DataError(f"{name}: {option} {given}: there is no such column; there are {_listed(there)}")
    guessed: list[str] = []
    values = {column: [v for row in rows if (v := text_of(row.get(column)))] for column in there}
    chat = next((c for c in there if c.lower() in CHATS and _is_chat(values[c])), None)
    taken = {c for c in (label, group, time, split) if c}
    _each_named_once(
        name,
        parts(text, there) if text else [],
        {"--label": label, "--group": group, "--time": time, "--split": split},
        chat,
    )
    if time is not None and (strange := no_dates(values[time])):
        some = _listed([v[:40] for v in strange[:3]], "and")
        others = [c for c in there if c not in taken and _is_date(values[c])]
        hint = f", but {_listed(others)} does" if others else ""
        raise DataError(
            f"{name}: --time {time}: this column holds no dates ({some}){hint}; {REMEDY}, name another column, or leave out --time"
        )
    if text is not None:
        for part in parts(text, there):
            if part not in there:
                raise DataError(f"{name}: --text {part}: there is no such column; there are {_listed(there)}")
    elif chat and label is None:
        guessed.append(
            f"Each row is a chat ({chat!r}): the assistant's last message is the target, what stands before it the prompt."
        )
        text = chat
    else:
        text = _text(name, values, taken, guessed)
    if label is None:
        read = {*parts(text, there), *taken}
        label = chat if text == chat and chat else _label(name, values, read, guessed, len(rows))
    marked = next((c for c in there if c.lower() in SPLITS and _is_split(values[c])), None)
    if split is None and marked and time is not None:
        guessed.append(f"{marked!r} looks like splits, but {time!r} decides them (--time).")
    elif split is None and marked:
        split = marked
        guessed.append(
            f"{marked!r} gives the splits (its values are {_listed(sorted(set(values[marked])))})."
        )
    if group is None:
        group = _group(values, {text, label, time, split}, time or split, guessed)
    used = {*parts(text, there), label, group, time, split}
    if time is None and (dates := [c for c in there if c not in used and _is_date(values[c])]):
        guessed.append(
            f"Found a date column {dates[0]!r}: `--time {shlex.quote(dates[0])}` tests on the latest rows."
        )
    return Columns(task or "answers", text, label, group, time, split, tuple(guessed))  # type: ignore[arg-type]


def parts(text: str, there: Sequence[str]) -> list[str]:
    """The columns that ``--text`` names."""
    return [text] if text in there else [part.strip() for part in text.split(",")]


def kind_of(label_column: str, counts: Mapping[str, int]) -> tuple[Kind, str]:
    """Classification, answers or extraction, by the targets and how often each stands there; and why, in words."""
    n, different = sum(counts.values()), len(counts)
    if sum(_is_object(target) for target in counts) > 0.9 * different:
        return "extraction", f"The targets in {label_column!r} are JSON objects: an extraction."
    short = sum(n_of for target, n_of in counts.items() if len(target) <= 60) > 0.9 * n
    named = label_column.lower() in LABELS.split()
    if short and (
        different <= n / 5 or (named and different <= n / 2) or (different <= 20 and different <= n / 2)
    ):
        return (
            "classification",
            f"{label_column!r} has {different} different short values in {n:,} rows: a classification.",
        )
    return (
        "answers",
        f"{label_column!r} has {different:,} different values in {n:,} rows: answers in free text.",
    )


def _text(name: str, values: Mapping[str, list[str]], taken: set[str], guessed: list[str]) -> str:
    free = [c for c in values if c not in taken and values[c]]
    lower = {c.lower(): c for c in reversed(free)}
    for pair in TOGETHER:
        if all(part in lower for part in pair):
            both = [lower[part] for part in pair]
            guessed.append(f"The text is {both[0]!r} and {both[1]!r}, one after the other (by their names).")
            return ",".join(both)
    named = [lower[n] for n in TEXTS.split() if n in lower]
    if named:
        others = f"; {_listed(named[1:3])} could be it too: --text" if len(named) > 1 else ""
        guessed.append(f"The text is {named[0]!r} (by its name{others}).")
        return named[0]
    lengths = {
        c: fmean(map(len, values[c]))
        for c in free
        if len(set(values[c])) > len(values[c]) / 2 and not _is_split(values[c])
    }
    by_length = sorted(lengths, key=lengths.__getitem__, reverse=True)
    if (
        by_length
        and lengths[by_length[0]] >= 15
        and (len(by_length) == 1 or lengths[by_length[0]] > 2 * lengths[by_length[1]])
    ):
        guessed.append(f"The text is {by_length[0]!r} (the column with the longest values).")
        return by_length[0]
    hint = "" if len(values) > 1 else " There is only one column: is the delimiter a comma, semicolon or tab?"
    likely = f"; likely {_listed(by_length[:3])}" if by_length else ""
    raise DataError(
        f"{name}: which column is the text? Name it with --text; there are {_listed(list(values))}{likely}.{hint}"
    )


def _label(name: str, values: Mapping[str, list[str]], read: set[str], guessed: list[str], n: int) -> str:
    free = [
        c
        for c in values
        if c not in read and values[c] and not (c.lower() in SPLITS and _is_split(values[c]))
    ]
    lower = {c.lower(): c for c in reversed(free)}
    likely = [
        c for c in free if _few(values[c], n) and c.lower() not in GROUPS.split() and not _is_date(values[c])
    ]
    answers = [lower[a] for a in ANSWERS.split() if a in lower]
    named = [c for c in free if c.lower() in LABELS.split()]
    could = [lower["completion"]] if "completion" in lower else named + answers or likely
    if len(could) > 1:
        raise DataError(
            f"{name}: {_listed(could, 'and')} could each be the label; name the one to predict with --label:{_to_paste(could, values)}"
        )
    if not could:
        hint = " Is the first line a header?" if free else ""
        raise DataError(
            f"{name}: which column is the label? Name it with --label; there are {_listed(list(values))}.{hint}{_to_paste(free, values)}"
        )
    if could[0] in values[could[0]]:
        said = (
            f"{name}: the first line seems to be a row, not a header ({could[0]!r} stands there again below)"
        )
        header = f"if it is the header, say --label {shlex.quote(could[0])}"
        raise DataError(f"{said}; put a line such as text,label above it, or, {header}")
    others = [c for c in likely if c not in could]
    more = f"; {_listed(others)} could be predicted too: --label" if others else ""
    why = "it has few different values" if could == likely and not named else "by its name"
    guessed.append(f"The label or answer is {could[0]!r} ({why}{more}).")
    return could[0]


def _to_paste(could: Sequence[str], values: Mapping[str, list[str]]) -> str:
    """A line for each column that may be the label: what to add to the command, and a few values that stand there."""
    lines = []
    for column in could[:6]:
        some = ", ".join(
            textwrap.shorten(v, 20, placeholder="...") for v in list(dict.fromkeys(values[column]))[:3]
        )
        lines.append(f"\n  --label {shlex.quote(column)}  ({some})")
    return "".join(lines)


def _each_named_once(
    name: str, text: Sequence[str], others: Mapping[str, str | None], chat: str | None
) -> None:
    """Raises DataError where an option names a column that is the text or the label. A chat holds both."""
    roles = {part: "--text" for part in text}
    for option, column in others.items():
        if column in roles and not (option == "--label" and column == chat and len(text) == 1):
            said = f"{name}: {roles[column]} and {option} both name the column {column!r}"
            raise DataError(f"{said}: name another one for {option}, or leave it out")
        if column and option == "--label":
            roles[column] = option


def _group(
    values: Mapping[str, list[str]], taken: set[str | None], by: str | None, guessed: list[str]
) -> str | None:
    """A column that by its name says what belongs together, with many values, each a small part of the rows."""
    for column, cells in values.items():
        if column.lower() in GROUPS.split() and column not in taken and 20 <= len(set(cells)) < len(cells):
            together = (
                f"belong together (by its name), but {by!r} decides the splits"
                if by
                else "stay in the same split (by its name)"
            )
            guessed.append(f"Rows with the same {column!r} {together}.")
            return column
    return None


def _few(values: list[str], n: int) -> bool:
    different = len(set(values))
    return 2 <= different <= min(MOST_LABELS, max(2, n / 5)) and fmean(map(len, set(values))) <= 60


def _is_split(values: list[str]) -> bool:
    return len(set(values)) > 1 and all(v.lower() in SPLIT_NAMES for v in set(values))


def _is_date(values: list[str]) -> bool:
    """Different days, written as 2026-01-31, 31.1.2026 or 1/31/2026, with or without a time."""
    return len(set(values)) > 1 and all(DATE.match(v) for v in values)


def _is_object(text: str) -> bool:
    if not text.startswith("{"):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _is_chat(values: list[str]) -> bool:
    return (
        bool(values) and values[0].startswith("[") and any(key in values[0] for key in ('"role"', '"from"'))
    )


def _listed(names: Sequence[str], last: str = "or") -> str:
    shown = [repr(name) for name in names[:12]] + ([f"{len(names) - 12} more"] if len(names) > 12 else [])
    return f" {last} ".join(shown) if len(shown) == 2 else ", ".join(shown)
