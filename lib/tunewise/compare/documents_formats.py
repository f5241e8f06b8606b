"""The kinds of document that are read: each from its bytes into pieces of text that know their heading, line or page.

Splitting: ``semantic-text-splitter`` (fills a piece up with whole paragraphs, then sentences, then words; kept up, no dependencies). Headings
of Markdown: ``markdown-it-py``, so that a ``#`` in a block of code is none. HTML becomes Markdown by ``markdownify``, DOCX becomes HTML by
``mammoth``. PDF: ``pdfminer.six``, which puts the spaces back that a PDF leaves out. Encodings: ``charset-normalizer``.
The packages are imported when needed: the extra ``rag``.
"""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tunewise.compare.printable import visible
from tunewise.retrieval import needed

WORDS = 60  # of a passage, at most: half the reading of 120; bench/documents.py --words compares lengths
UNPACKED = 500_000_000  # bytes that a DOCX may unpack to
LONG_WORD, RUN_TOGETHER = (
    25,
    0.01,
)  # more than this share of words longer than so many letters: the spaces are missing

READS = "reading documents"


class Unreadable(ValueError):
    """A file that cannot be read, and why, in words."""


@dataclass(frozen=True)
class Piece:
    """A text of one to ``words`` words, with what is known of its place: heading (with those above it), line and page (from 1)."""

    text: str
    heading: str | None = None
    line: int | None = None
    page: int | None = None


def plain(data: bytes, words: int) -> tuple[list[Piece], list[str]]:
    """Pieces of a plain text, and notes on the file."""
    text, notes = _decoded(data)
    pieces = _split("TextSplitter", _unwrapped(text), words)
    return [Piece(body, line=text.count("\n", 0, start) + 1) for start, body in pieces], notes


def markdown(data: bytes, words: int) -> tuple[list[Piece], list[str]]:
    """Pieces of a Markdown text: none goes over a heading."""
    text, notes = _decoded(data)
    return list(_by_heading(text, words)), notes


def html(data: bytes, words: int) -> tuple[list[Piece], list[str]]:
    """Pieces of a page's main part: without scripts, menus, header and footer."""
    soup = needed("bs4", READS).BeautifulSoup(
        data, "html.parser"
    )  # it finds the encoding, which the page may name
    body = soup.find("main") or soup.find("article") or soup
    for tag in body(["script", "style", "noscript", "template", "nav", "header", "footer", "aside", "title"]):
        tag.decompose()
    options = dict(heading_style="ATX", strip=["a", "img"], escape_asterisks=False, escape_underscores=False)
    text = needed("markdownify", READS).MarkdownConverter(**options).convert_soup(body)
    return [Piece(p.text, p.heading) for p in _by_heading(visible(text), words)], []


def docx(data: bytes, words: int) -> tuple[list[Piece], list[str]]:
    """Pieces of a Word file."""
    mammoth = needed("mammoth", READS)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            if sum(part.file_size for part in packed.infolist()) > UNPACKED:
                raise Unreadable(f"unpacks to more than {UNPACKED / 1e6:.0f} MB")
        no_pictures = mammoth.images.img_element(lambda image: {"src": ""})
        page = mammoth.convert_to_html(io.BytesIO(data), convert_image=no_pictures).value
    except Unreadable:
        raise
    except Exception as error:  # a damaged file can raise almost anything
        raise Unreadable(f"is no DOCX file, or a damaged one ({_reason(error)})") from error
    return html(page.encode(), words) if page.strip() else ([], [])


def pdf(data: bytes, words: int) -> tuple[list[Piece], list[str]]:
    """Pieces of a PDF's pages; none goes over a page's end."""
    needed("pdfminer", READS)
    from pdfminer.high_level import extract_text
    from pdfminer.pdfdocument import PDFPasswordIncorrect

    logging.getLogger("pdfminer").setLevel(
        logging.CRITICAL
    )  # what it mends on the way is of no use to a reader
    try:
        text = extract_text(io.BytesIO(data))
    except PDFPasswordIncorrect as error:
        raise Unreadable("needs a password: save a copy without one") from error
    except Exception as error:  # a damaged file can raise almost anything
        raise Unreadable(f"is no PDF, or a damaged one ({_reason(error)})") from error
    pages = [_prose(visible(page)) for page in _bare(text.removesuffix("\f").split("\f"))]
    numbered = enumerate(pages, 1)
    pieces = [Piece(body, page=i) for i, page in numbered for _, body in _split("TextSplitter", page, words)]
    if not pieces:
        remedy = "Recognise the text first (ocrmypdf in.pdf out.pdf)"
        raise Unreadable(f"no page has text: it is made of pictures, such as scans. {remedy}")
    silent = [str(i) for i, page in enumerate(pages, 1) if not page.strip()]
    notes = [f"no text on page {', '.join(silent)} (pictures?)"] if silent else []
    if (share := _run_together(pages)) > RUN_TOGETHER:
        remedy = "search and answers suffer; take the text from the source of the PDF, or recognise it anew (ocrmypdf --redo-ocr)"
        notes.append(f"words run together, {share:.0%} of them are longer than {LONG_WORD} letters: {remedy}")
    return pieces, notes


READERS: dict[str, Callable[[bytes, int], tuple[list[Piece], list[str]]]] = {
    **dict.fromkeys((".md", ".markdown"), markdown),
    **dict.fromkeys((".html", ".htm"), html),
    **dict.fromkeys((".txt", ".rst"), plain),
    ".docx": docx,
    ".pdf": pdf,
}


def _reason(error: Exception) -> str:
    said = str(error).splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__


def _run_together(pages: list[str]) -> float:
    """The share of words that are too long to be one; addresses and lines of dots are none."""
    found = [word for page in pages for word in page.split()]
    letters = [word for word in found if not re.search(r"[/@]|\.\.|__", word)]
    return sum(len(word) > LONG_WORD for word in letters) / max(1, len(letters))


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
    return visible(text.replace("\r\n", "\n").replace("\r", "\n")), notes


def _guess(data: bytes) -> Any:
    """The likeliest encoding, as charset-normalizer's match; Windows-1252, the most usual of the old ones, where nothing reads better."""
    # too little to go by, so it is a language of Latin letters
    few = sum(byte > 127 for byte in data) < 0.05 * len(data)
    matches = needed("charset_normalizer", READS).from_bytes(data, cp_isolation=["cp1252"] if few else None)
    best = matches.best()
    return next((m for m in matches if m.encoding == "cp1252" and m.chaos <= best.chaos), best)


def _unwrapped(text: str) -> str:
    """Line breaks within a paragraph as spaces, so that a passage does not end where a line does. As long as before."""
    return re.sub(r"(?<=[^\n])\n(?=[^\W\d_])", " ", text)


def _by_heading(text: str, words: int) -> Iterator[Piece]:
    """Pieces of a Markdown text: none goes over a heading."""
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
) -> Iterator[Piece]:
    text = "\n".join(lines[start:end])
    heading = " > ".join(title for _, title in trail if title) or None
    for offset, body in _split("MarkdownSplitter", text, words):
        yield Piece(body, heading, start + text.count("\n", 0, offset) + 1)


def _split(kind: str, text: str, words: int) -> list[tuple[int, str]]:
    """Passages of at most ``words`` words with their offsets."""
    make = getattr(needed("semantic_text_splitter", READS), kind).from_callback
    splitter = make(lambda part: len(part.split()), words)
    return [(offset, body) for offset, body in splitter.chunk_indices(text) if re.search(r"\w", body)]


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
