"""The encoding of a text file: known by its mark, tested for UTF-8, else guessed; a file in two encodings is refused."""

from __future__ import annotations

import codecs
import functools
from pathlib import Path

LONGEST = 10_000_000  # bytes of a line, characters of a cell
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The letters beyond ASCII of the languages that are written in an encoding; the first wins a tie.
LETTERS = {
    "cp1252": "àâæçéèêëîïôœùûüÿäößñáíóúåøãõìò¿¡€",
    "cp1250": "ąćęłńóśźżáčďéěíňřšťúůýžäôĺľŕőűöüß€",
    "cp1254": "çğıöşüâîû€",
}
OTHER_SCRIPTS = ("cp1251", "cp1253", "cp1255", "cp1256", "cp932", "gb18030", "big5", "euc_jp", "euc_kr")


class DataError(ValueError):
    """The reader's file can't be used as it is. The message says where and what to do."""


def encoding_of(path: Path, notes: list[str]) -> str:
    """The file's encoding: by its mark, UTF-8 if all of it is, else guessed, which is added to ``notes``.

    Raises
    ------
    DataError
        For a binary file, and for one that is UTF-8 in some lines and something else in others.
    """
    with path.open("rb") as file:
        head = file.read(65_536)
        if mark := next((codec for mark, codec in BYTE_ORDER_MARKS if head.startswith(mark)), None):
            if mark != "utf-8-sig":
                notes.append(f"{path.name} is read as {mark.upper()}, as its first bytes say.")
                return mark
        elif b"\0" in head:
            if wide := _without_mark(head):
                notes.append(f"{path.name} is read as {wide.upper()} (guessed: it has no byte order mark).")
                return wide
            raise DataError(f"{path.name} is a binary file, not a table: save the rows as CSV UTF-8")
        file.seek(0)
        good = 0
        bad: list[tuple[int, bytes]] = []
        n_bad = 0
        for number, line in enumerate(iter(functools.partial(file.readline, LONGEST), b""), 1):
            if len(line) == LONGEST:
                raise DataError(
                    f"{path.name}, line {number} is longer than {LONGEST // 10**6} MB: one row a line is read"
                )
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
                good += 1
            except UnicodeDecodeError:
                n_bad += 1
                if len(bad) < 500:
                    bad.append((number, line))
    if not n_bad:
        return "utf-8-sig"
    if good >= n_bad:
        said = f"{path.name} mixes encodings: {_some([n for n, _ in bad], n_bad)} {'are' if n_bad > 1 else 'is'} not UTF-8"
        raise DataError(f"{said}, {good} others are. Save those lines as UTF-8 again, or remove them")
    return _guess(path, notes, b"".join(line for _, line in bad))


def _some(numbers: list[int], n: int) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return f"line{'s' * (n > 1)} {shown}" + (f" and {n - 5} more" if n > 5 else "")


def _without_mark(head: bytes) -> str | None:
    """UTF-16 shows by a zero in every second byte of Latin text."""
    head = head[: len(head) // 2 * 2]
    for codec, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[0::2])):
        if zeros.count(0) > 0.7 * len(zeros):
            return codec
    return None


def _guess(path: Path, notes: list[str], sample: bytes) -> str:
    try:
        from charset_normalizer import from_bytes
    except ModuleNotFoundError:
        best = None
    else:
        best = from_bytes(sample, cp_isolation=[*LETTERS, *OTHER_SCRIPTS]).best()
    codec: str = best.encoding if best else "cp1252"
    if codec in LETTERS:  # these differ in a few letters only
        codec = max(
            LETTERS, key=lambda c: sum(ch in LETTERS[c] for ch in sample.decode(c, "replace").lower())
        )
    shown = codec.replace("cp125", "Windows-125")
    notes.append(f"{path.name} is not UTF-8; it is read as {shown} (guessed: look at its accented letters).")
    return codec
