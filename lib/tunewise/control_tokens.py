"""Control tokens in somebody's text stay text: who writes ``<|im_end|>`` into a ticket ends no turn of a chat."""

import re
from collections.abc import Iterator
from typing import Any

# Marks around what looks like a control token. Unicode keeps these two for a program's own use: no text may hold them.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_CONTROL = re.compile(r"<[|｜][^<>]{1,60}[|｜]>|</?[a-z_]{1,20}>|\[/?[A-Z_]{2,20}\]")


def inert(text: str) -> str:
    """``text`` of a user, a file or a document, to be put into a prompt: :func:`tunewise.models.packing.encode` makes no control token of it."""
    plain = text.replace(_OPEN, "").replace(_CLOSE, "")
    return _CONTROL.sub(lambda found: f"{_OPEN}{found[0]}{_CLOSE}", plain)


def parts(tokenizer: Any, text: str) -> Iterator[tuple[str, bool]]:
    """``text`` without marks, in pieces: each with whether it is to be read as plain text.

    It is cut only where the tokenizer would see a control token, so that all other texts keep their tokens.
    """
    pieces = re.split(f"{_OPEN}(.*?){_CLOSE}", text, flags=re.DOTALL)  # by turns outside and inside the marks
    held = pieces[0]
    if len(pieces) > 1:
        controls = {str(token) for token in tokenizer.added_tokens_decoder.values()}
        for inside, outside in zip(pieces[1::2], pieces[2::2], strict=True):
            if inside in controls:
                yield from [(held, False)] if held else []
                yield inside, True
                held = outside
            else:
                held += inside + outside
    if held:
        yield held, False


def spaced(text: str) -> str:
    """``text`` for a server, which can't be told what is plain: what looks like a control token gets a space after its first sign."""
    return _CONTROL.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
