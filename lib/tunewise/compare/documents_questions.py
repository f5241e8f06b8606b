"""A person's own questions on their documents, each with its right answers and, where they know it, the file or the passage that has it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewise.compare.documents_folder import Passage
from tunewise.compare.table_files import open_table, text_of
from tunewise.compare.text_encoding import DataError
from tunewise.written_answers import contains, declined, tokens

NAMES = {
    "question": ("question", "query", "q", "prompt", "text", "frage"),
    "answer": ("answer", "answers", "right answer", "completion", "target", "a", "antwort"),
    "file": ("file", "document", "doc", "source", "datei"),
    "passage": ("passage", "quote", "context", "evidence", "stelle"),
}
LEAST = 10  # questions, below which nothing can be said
VALID = 0.3  # the share of questions that the threshold and the search are chosen on


@dataclass(frozen=True)
class Question:
    """One row of the file.

    Parameters
    ----------
    right
        The right answers, the best first; empty where the documents do not answer the question.
    places
        Of the passages that hold the answer; empty where none was found.
    draw
        A number from a hash of its words and the seed, so that added rows leave each question in its part.
    """

    row: int
    ask: str
    right: tuple[str, ...]
    places: frozenset[int]
    draw: int

    @property
    def chooses(self) -> bool:
        """Does it belong to the part that things are chosen on?"""
        return self.draw % 100 < 100 * VALID


def read_questions(
    source: Any, passages: Sequence[Passage], seed: int = 0
) -> tuple[list[Question], list[str]]:
    """The questions of a table file (or pandas frame), and notes.

    Columns: a question and an answer; several right answers stand with ``|`` between them, an empty one or *not stated* says that the documents
    do not answer it. A column with the file, or with words of the passage, says where the answer stands; without, each passage counts that holds
    a right answer and a word of the question.

    Raises
    ------
    DataError
        For a file that can't be read, columns that can't be told, and too few questions.
    """
    table = open_table(source)
    rows, notes = list(table.rows), []
    columns = _columns(table.name, [str(c) for c in (rows[0][1] if rows else {})])
    files = {p.file for p in passages}
    found: dict[str, Question] = {}
    for number, row in rows:
        cells = {name: text_of(row.get(column)) for name, column in columns.items()}
        if not re.search(r"\w", cells["question"]):
            notes.append(f"{table.name}, {table.unit} {number}: no question; left out")
        elif cells["question"] in found:
            notes.append(f"{table.name}, {table.unit} {number}: asked before; left out")
        else:
            if (file := cells.get("file", "")) and not any(_is(name, file) for name in files):
                notes.append(f"{table.name}, {table.unit} {number}: no file {file} among the documents")
            parts = [part.strip() for part in cells["answer"].split("|")]
            right = tuple(part for part in parts if part and not (declined(part) and len(tokens(part)) < 4))
            ask = cells["question"]
            found[ask] = Question(number, ask, right, _places(cells, right, passages), _draw(ask, seed))
    questions = list(found.values())
    answered = [q for q in questions if q.right]
    if len(answered) < LEAST:
        said = f"{table.name} has {len(answered)} questions with an answer, and {LEAST} at least are wanted"
        raise DataError(said)
    if lost := [q for q in answered if not q.places]:
        rows_ = ", ".join(str(q.row) for q in lost[:10]) + (" ..." if len(lost) > 10 else "")
        notes.append(
            f"no passage holds the answer to {len(lost)} questions word for word ({table.unit} {rows_}): the search is not judged by them"
        )
    if "file" not in columns and "passage" not in columns:
        notes.append(
            "no column says where the answers stand: a passage counts that holds an answer and a word of its question"
        )
    return questions, [*table.notes, *notes]


def _draw(ask: str, seed: int) -> int:
    return int(hashlib.sha256(f"{ask}{seed or ''}".encode()).hexdigest(), 16)


def _columns(name: str, there: Sequence[str]) -> dict[str, str]:
    known = {column.strip().lower(): column for column in reversed(there)}
    found = {part: known[n] for part, names in NAMES.items() for n in reversed(names) if n in known}
    if missing := [part for part in ("question", "answer") if part not in found]:
        said = f"{name} has no column {' and no column '.join(missing)} (there are: {', '.join(there) or 'none'})"
        raise DataError(f"{said}: rename the columns to question and answer")
    return found


def _is(name: str, wanted: str) -> bool:
    """Does the user's name of a file mean this one? With or without folders and ending."""
    return wanted in (name, Path(name).name, Path(name).stem) or name.endswith(f"/{wanted}")


def _places(cells: Mapping[str, str], right: Sequence[str], passages: Sequence[Passage]) -> frozenset[int]:
    if not right:
        return frozenset()
    within = [i for i, p in enumerate(passages) if not cells.get("file") or _is(p.file, cells["file"])]
    if quote := cells.get("passage", ""):
        return frozenset(i for i in within if _same(passages[i].full, quote))
    words = {t for t in tokens(cells["question"]) if len(t) > 3}
    holding = [i for i in within if contains(passages[i].full, right)]
    return frozenset(i for i in holding if words & set(tokens(passages[i].full)))


def _same(passage: str, quote: str) -> bool:
    """Does one hold the other, or nearly all of its words?"""
    a, b = set(tokens(passage)), set(tokens(quote))
    return (
        contains(passage, [quote])
        or contains(quote, [passage])
        or len(a & b) >= 0.9 * min(len(a), len(b)) > 0
    )
