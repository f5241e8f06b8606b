"""Read a folder of documents (.txt, .md, .pdf) and split them into passages that know where they are from.

    found = read_folder("my-papers")
    found.passages[0]        # Passage(file="plan.pdf", text="...", page=3)
    found.left_out           # ["scan.pdf: no page has text; ..."]

Splitting: ``semantic-text-splitter`` (fills a passage up with whole paragraphs, then sentences, then words; kept up, no dependencies). Headings
of Markdown: ``markdown-it-py``, so that a ``#`` in a block of code is none. PDF: ``pypdf``. Encodings: ``charset-normalizer``.
The packages are imported when needed: the extra ``rag``.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewise.retrieval import needed

SUFFIXES = (".txt", ".md", ".markdown", ".pdf")
WORDS = 120  # of a passage, at most: under the 256 tokens that the embedding model reads, and four of them fit any prompt
VERSION = 1  # raise it when the same file would be split otherwise: what was kept is then not used any more

READS = "reading documents"


class Unreadable(ValueError):
    """A file that cannot be read, and why, in words."""


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
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}")
    paths = [folder] if folder.is_file() else sorted(_files(folder))
    folder = folder.parent if folder.is_file() else folder
    found, kinds = Found(), ", ".join(SUFFIXES)
    others = [path for path in paths if path.suffix.lower() not in SUFFIXES]
    if len(others) > 5:
        suffixes = ", ".join(sorted({p.suffix.lower() or p.name for p in others})[:5])
        found.left_out.append(f"{len(others)} files of other kinds ({suffixes}): not {kinds}")
    else:
        found.left_out += [f"{path.relative_to(folder).as_posix()}: not one of {kinds}" for path in others]
    for path in sorted(set(paths) - set(others)):
        name = path.relative_to(folder).as_posix()
        try:
            passages, notes = (read or read_file)(path, name, words)
        except Unreadable as error:
            found.left_out.append(f"{name}: {error}")
            continue
        found.files += 1
        found.passages += passages
        found.notes += notes
    if not paths:
        raise ValueError(f"{folder} is empty: put documents into it ({kinds})")
    if not found.files:
        raise ValueError("\n  ".join([f"no file in {folder} can be read:", *found.left_out]))
    return found


def read_file(path: Path, name: str | None = None, words: int = WORDS) -> tuple[list[Passage], list[str]]:
    """The passages of one file, and notes on it. Raises Unreadable, with the reason in words."""
    name = name or path.name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"can't be opened ({error.strerror})") from error
    if not data.strip():
        raise Unreadable("is empty")
    if path.suffix.lower() == ".pdf":
        return _pdf(path, name, words)
    text, notes = _decoded(data)
    split = _markdown if path.suffix.lower() in (".md", ".markdown") else _plain
    passages = [Passage(name, body, heading=heading, line=line) for heading, line, body in split(text, words)]
    if not passages:
        raise Unreadable("has no text")
    return passages, [f"{name}: {note}" for note in notes]


def _files(folder: Path) -> Iterator[Path]:
    """The files under a folder; hidden ones and links to folders are passed over."""
    for here, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        yield from (Path(here) / name for name in names if not name.startswith("."))


def _decoded(data: bytes) -> tuple[str, list[str]]:
    """The text, with its line ends made alike, and a note if the encoding had to be guessed."""
    notes = []
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            best = None if b"\0" in data else _guess(data)
            if best is None:
                said = "is not text, or in an encoding that can't be told: save it as UTF-8"
                raise Unreadable(said) from None
            text = str(best)
            notes = [f"not UTF-8, read as {best.encoding}; if letters look wrong, save it as UTF-8"]
    if "\0" in text:
        raise Unreadable("is not text: it holds zero bytes")
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def _guess(data: bytes) -> Any:
    """The likeliest encoding, as charset-normalizer's match; Windows-1252, the most usual of the old ones, where nothing reads better."""
    # too little to go by, so it is a language of Latin letters
    few = sum(byte > 127 for byte in data) < 0.05 * len(data)
    matches = needed("charset_normalizer", READS).from_bytes(data, cp_isolation=["cp1252"] if few else None)
    best = matches.best()
    return next((m for m in matches if m.encoding == "cp1252" and m.chaos <= best.chaos), best)


def _plain(text: str, words: int) -> Iterator[tuple[None, int, str]]:
    """(None, line, passage) of a plain text."""
    for start, body in _split("TextSplitter", _unwrapped(text), words):
        yield None, text.count("\n", 0, start) + 1, body


def _unwrapped(text: str) -> str:
    """Line breaks within a paragraph as spaces, so that a passage does not end where a line does. As long as before."""
    return re.sub(r"(?<=[^\n])\n(?=[^\W\d_])", " ", text)


def _markdown(text: str, words: int) -> Iterator[tuple[str | None, int, str]]:
    """(heading, line, passage) of a Markdown text: no passage goes over a heading."""
    lines = text.split("\n")
    if lines[0].strip() == "---" and "---" in (rest := [line.strip() for line in lines[1:]]):
        lines[: rest.index("---") + 2] = [""] * (rest.index("---") + 2)  # settings on top of the file
    tokens = needed("markdown_it", READS).MarkdownIt().parse("\n".join(lines))
    trail: list[tuple[int, str]] = []
    start = 0
    for token, inline in zip(tokens, tokens[1:], strict=False):
        if token.type == "heading_open" and token.level == 0:
            yield from _section(lines, start, token.map[0], trail, words)
            level, start = int(token.tag[1]), token.map[1]
            parts = (child for child in inline.children or () if child.type in ("text", "code_inline"))
            title = "".join(part.content for part in parts)
            trail = [(depth, words) for depth, words in trail if depth < level] + [(level, title.strip())]
    yield from _section(lines, start, len(lines), trail, words)


def _section(
    lines: list[str], start: int, end: int, trail: list[tuple[int, str]], words: int
) -> Iterator[tuple[str | None, int, str]]:
    text = "\n".join(lines[start:end])
    heading = " > ".join(title for _, title in trail if title) or None
    for offset, body in _split("MarkdownSplitter", text, words):
        yield heading, start + text.count("\n", 0, offset) + 1, body


def _split(kind: str, text: str, words: int) -> list[tuple[int, str]]:
    """Passages of at most ``words`` words with their offsets."""
    make = getattr(needed("semantic_text_splitter", READS), kind).from_callback
    splitter = make(lambda part: len(part.split()), words)
    return [(offset, body) for offset, body in splitter.chunk_indices(text) if re.search(r"\w", body)]


def _pdf(path: Path, name: str, words: int) -> tuple[list[Passage], list[str]]:
    pypdf = needed("pypdf", READS)
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it mends on the way is of no use to a reader
    try:
        reader = pypdf.PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("needs a password: save a copy without one")
        pages = [_prose(text) for text in _bare([page.extract_text() or "" for page in reader.pages])]
    except Unreadable:
        raise
    except pypdf.errors.DependencyError as error:
        remedy = "pip install cryptography"
        raise Unreadable(f"is encrypted, and reading it needs one more package: {remedy}") from error
    except Exception as error:  # a damaged file can raise almost anything
        reason = str(error).splitlines()[0] if str(error) else "no reason given"
        raise Unreadable(f"is no PDF, or a damaged one ({type(error).__name__}: {reason})") from error
    split = [(i, body) for i, text in enumerate(pages, 1) for _, body in _split("TextSplitter", text, words)]
    passages = [Passage(name, body, page=i) for i, body in split]
    if not passages:
        remedy = "Recognise the text first (ocrmypdf in.pdf out.pdf)"
        raise Unreadable(f"no page has text: it is made of pictures, such as scans. {remedy}")
    silent = [str(i) for i, text in enumerate(pages, 1) if not text.strip()]
    return passages, [f"{name}: no text on page {', '.join(silent)} (pictures?)"] if silent else []


def _bare(pages: list[str]) -> list[str]:
    """Pages without page numbers, and without a first line that most of them share."""
    number = re.compile(r"\W*\d{1,4}\W*")
    lines = [[line for line in page.strip().split("\n") if not number.fullmatch(line)] for page in pages]
    firsts = Counter(page[0].strip() for page in lines if page)
    header = next((line for line, n in firsts.most_common(1) if n >= 3 and n > len(pages) / 2), None)
    return ["\n".join(page[1:] if page and page[0].strip() == header else page) for page in lines]


def _prose(text: str) -> str:
    """A page's lines as paragraphs, words that were cut at a line's end put together."""
    text = re.sub(r"(?<=[a-zß-ÿ])[-\u00ad]\n(?=[a-zß-ÿ])", "", text)
    return re.sub(r"(?<=\S)[ \t]*\n[ \t]*(?=[^\W\d_])", " ", text)
