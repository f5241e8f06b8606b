"""Somebody else's text as it may be printed: in a terminal, on a page, in Markdown."""

from __future__ import annotations

import re
import unicodedata

# terminal escape sequences whole; then what is neither a character nor a line break or tab, and what turns the direction of the text after it
_ESCAPE = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])"
CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_HIDDEN = re.compile(f"{_ESCAPE}|{CONTROL_CHARACTER.pattern}")
_JOINERS = "\u200c\u200d"  # invisible, and parts of words and emoji


def visible(text: str) -> str:
    """The text without terminal escapes, control and direction characters; line breaks and tabs stay."""
    return _HIDDEN.sub("", text)


def one_line(text: object, longest: int = 280) -> str:
    """The text in one line, without any character that does not show, cut where it is longer than ``longest`` characters."""
    words = " ".join(visible(str(text)[: 4 * longest]).split())
    out = "".join(c for c in words if c in _JOINERS or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    return out if len(out) <= longest else f"{out[: longest - 1]}…"
