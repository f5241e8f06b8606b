"""Read a folder of documents and split them into passages that know where they are from.

    found = read_folder("my-papers")
    found.passages[0]        # Passage(file="plan.pdf", text="...", page=3)
    found.left_out           # ["scan.pdf: no page has text; ..."]

How each kind of file is read: :mod:`tunewise.compare.documents_formats`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tunewise.compare import documents_formats as formats
from tunewise.compare.documents_formats import WORDS, Unreadable
from tunewise.compare.printable import visible

SUFFIXES = (".txt", ".md", ".markdown", ".html", ".htm", ".rst", ".docx", ".pdf")
LARGEST = 200_000_000  # bytes of a file
VERSION = 2  # raise it when the same file would be split otherwise: what was kept is then not used any more


@dataclass(frozen=True)
class Passage:
    """A piece of a document (one to ``WORDS`` words), and where it is from: its file, relative to the folder, and of page (from 1), heading
    (with those above it, ``Care > Washing``) and line (from 1) what the kind of file has."""

    file: str
    text: str
    page: int | None = None
    heading: str | None = None
    line: int | None = None

    @property
    def where(self) -> str:
        """File, page or heading, line, in words."""
        page, line = f"page {self.page}" if self.page else "", f"line {self.line}" if self.line else ""
        parts = (self.file, page, self.heading or "", line)
        return ", ".join(part for part in parts if part)

    @property
    def full(self) -> str:
        """What is searched and read: the text under its heading."""
        return f"{self.heading}\n\n{self.text}" if self.heading else self.text


@dataclass
class Found:
    """The passages of a folder in the order of the files' names, how many files were read, which were left out and why, and notes."""

    passages: list[Passage] = field(default_factory=list)
    files: int = 0
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Read = Callable[[Path, str, int], tuple[list[Passage], list[str]]]


def read_folder(folder: str | Path, read: Read | None = None, words: int = WORDS) -> Found:
    """All passages of a folder, with its folders, or of one file. A file that can't be read is named in ``left_out``; the rest goes on.

    Parameters
    ----------
    read
        Another function (path, name, words) -> (passages, notes) than :func:`read_file`, such as one that remembers.
    words
        The most of a passage.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder.
    ValueError
        Where no file in it can be read.
    """
    folder = Path(folder).expanduser().absolute()
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}")
    found, kinds = Found(), ", ".join(SUFFIXES)
    paths = sorted(_files(folder, found.left_out)) if folder.is_dir() else [folder]
    paths = [p for p in paths if not p.is_symlink() or p.resolve() not in paths]  # two names of one file
    folder = folder if folder.is_dir() else folder.parent
    others = [path for path in paths if path.suffix.lower() not in SUFFIXES]
    if len(others) > 5:
        suffixes = ", ".join(sorted({visible(p.suffix.lower() or p.name) for p in others})[:5])
        found.left_out.append(f"{len(others)} files of other kinds ({suffixes}): not {kinds}")
    else:
        found.left_out += [f"{_name(path, folder)}: not one of {kinds}" for path in others]
    for path in sorted(set(paths) - set(others)):
        name = _name(path, folder)
        try:
            if path.exists() and not path.is_file():
                raise Unreadable("is no ordinary file")  # to open a pipe would wait for ever
            passages, notes = (read or read_file)(path, name, words)
        except Unreadable as error:
            found.left_out.append(f"{name}: {error}")
            continue
        found.files += 1
        found.passages += passages
        found.notes += notes
    if not paths:
        raise ValueError(
            "\n  ".join([f"{folder} is empty: put documents into it ({kinds})", *found.left_out])
        )
    if not found.files:
        raise ValueError("\n  ".join([f"no file in {folder} can be read:", *found.left_out]))
    return found


def read_file(path: Path, name: str | None = None, words: int = WORDS) -> tuple[list[Passage], list[str]]:
    """The passages of one file, and notes on it. Raises Unreadable, with the reason in words."""
    name, suffix = name or path.name, path.suffix.lower()
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise Unreadable(f"has {size / 1e6:.0f} MB, more than {LARGEST / 1e6:.0f}: split it")
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"can't be opened ({error.strerror})") from error
    if not data.strip():
        raise Unreadable("is empty")
    pieces, notes = formats.READERS[suffix](data, words)
    passages = [Passage(name, p.text, p.page, p.heading, p.line) for p in pieces]
    if not passages:
        raise Unreadable("has no text")
    return passages, [f"{name}: {note}" for note in notes]


def _name(path: Path, folder: Path) -> str:
    return visible(path.relative_to(folder).as_posix())


def _files(folder: Path, left_out: list[str]) -> Iterator[Path]:
    """The files under a folder; hidden ones and links to folders are passed over, folders that can't be opened are named."""

    def closed(error: OSError) -> None:
        left_out.append(f"{visible(str(error.filename))}: can't be opened ({error.strerror})")

    for here, folders, names in os.walk(folder, onerror=closed):
        folders[:] = [f for f in folders if not f.startswith(".")]
        yield from (Path(here) / name for name in names if not name.startswith("."))
