"""Texts that a reader looks at: passages with the words of an answer marked, replies word for word."""

import html
import re
from collections.abc import Sequence

from tunewise import written_answers


def passage_html(
    place: int, gold: bool, title: str, text: str, said: Sequence[str] = (), cited: bool = False
) -> str:
    """One passage as ``details``, open if it is cited: number and title, does it state the fact, the words of the answers marked."""
    notes = [note for note, so in (("states the fact", gold), ("cited", cited)) if so]
    told = f" <strong>({', '.join(notes)})</strong>" if notes else ""
    head = f"<details{' open' * cited}><summary>[{place}] {html.escape(title)}{told}</summary>"
    return f"{head}{marked(text.removeprefix(title), said)}</details>"


def marked(text: str, said: Sequence[str]) -> str:
    """A Markdown text as HTML (its own HTML is shown, not used), with ``mark`` around each place where one of the answers stands word for word."""
    from markdown_it import MarkdownIt
    from markdown_it.common.utils import escapeHtml

    safe = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").render(text)
    stands = [s for s in said if written_answers.tokens(s) and written_answers.contains(text, [s])]
    parts = "|".join(re.escape(escapeHtml(s.strip(" .,;:"))) for s in stands)
    pattern = rf"<[^>]*>|(?<!\w)({parts})(?!\w)"  # a tag stays as it is
    return re.sub(pattern, lambda m: f"<mark>{m[1]}</mark>" if m[1] else m[0], safe, flags=re.IGNORECASE)
