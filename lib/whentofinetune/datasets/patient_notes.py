"""Invented patient notes and the summary of fixed form that is wanted of each. Card: ``data/notes/README.md``.

note = notes("train")[0]
note.text          # "I saw Odile Farrowby this morning, file 402 913 ..."
summary(note)      # "Odile Farrowby; file 402913; age 54; complaint a stiff neck; ..."
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from whentofinetune import book_files
from whentofinetune.datasets import SPLITS as SPLITS
from whentofinetune.datasets import drawn, of_split, read_lines

FIELDS = ("file", "age", "complaint", "diagnosis", "medicine", "allergy", "next")


@dataclass(frozen=True)
class Note:
    """name: of the patient, who is in one split only. hand: who writes. new: is the hand in no training note? record: field -> value as it stands in the text."""

    id: str
    split: str
    name: str
    hand: str
    new: bool
    text: str
    record: Mapping[str, str]


@cache
def notes(split: str) -> tuple[Note, ...]:
    """The notes of a split, always the same ones; half of those of test are in a hand that training does not have."""
    return of_split(read_lines(book_files.data_dir() / "notes" / "notes.jsonl", Note), split)


def summary(note: Note) -> str:
    """The summary that is wanted: the name, then every field with its value, in one line."""
    return "; ".join((note.name, *(f"{field} {note.record[field]}" for field in FIELDS)))


def read(text: str) -> dict[str, str]:
    """The fields that a summary holds in the wanted form; a part of another form is left out, of a field that comes twice the first counts."""
    found: dict[str, str] = {}
    for part in text.split(";"):
        if match := re.fullmatch(rf"\s*({'|'.join(FIELDS)}):?\s+(.+?)\s*\.?\s*", part, re.IGNORECASE):
            found.setdefault(match[1].lower(), match[2])
    return found


def recalled(note: Note, text: str) -> dict[str, bool]:
    """field -> does the summary give its value, in the wanted form?"""
    found = read(text)
    return {field: _plain(found.get(field, "")) == _plain(value) for field, value in note.record.items()}


def mentioned(note: Note, text: str) -> dict[str, bool]:
    """field -> does the value stand anywhere in the text, whatever the form?"""
    return {field: f" {_plain(value)} " in f" {_plain(text)} " for field, value in note.record.items()}


def outcomes(test: Sequence[Note], completions: Sequence[str]) -> dict[str, list[float]]:
    """``recalled`` and ``mentioned``, the share of each note's fields that is right, and field by field as ``recalled.FIELD``."""
    out: dict[str, list[float]] = {}
    for name, score in (("recalled", recalled), ("mentioned", mentioned)):
        found = [score(note, text) for note, text in zip(test, completions, strict=True)]
        out[name] = [sum(right.values()) / len(right) for right in found]
        out |= {f"{name}.{field}": [right[field] for right in found] for field in FIELDS}
    return out


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[\w-]+", text.lower()))


# -- prompts, and who is in the training notes -------------------------------------------------------------------------

INSTRUCTION = (
    "Summarise each patient note in one line of this form: name; file number; age; complaint; diagnosis; medicine with its dose (the present one); "
    "allergy; next visit. Use the words of the note.\n\n"
)
FORM = f"Form: name; {'; '.join(f'{f} ...' for f in FIELDS)}\n\n"
EXPOSED = ("never", "once", "repeated")


def query(note: Note) -> str:
    """A note as a prompt."""
    return f"Note: {note.text}\nSummary:"


def shots(n: int, seed: int) -> str:
    """``n`` training notes with their summaries, to stand in a prompt."""
    return "".join(f"{query(note)} {summary(note)}\n\n" for note in drawn(notes("train"), n, 63, seed))


def people(n: int, asked: int, seed: int) -> dict[str, list[Note]]:
    """Who is in ``n`` training notes how often: ``asked`` patients ``repeated`` and as many ``never``, the rest ``once``."""
    order = drawn(notes("train"), n + asked, 62, seed)
    return {"repeated": order[:asked], "once": order[asked:n], "never": order[n:]}


def training_pairs(of: Mapping[str, Sequence[Note]], repeats: int) -> list[tuple[str, str]]:
    """Pairs of prompt and completion from :func:`people`."""
    return [(query(n), f" {summary(n)}") for n in (*of["once"], *[*of["repeated"]] * repeats)]
