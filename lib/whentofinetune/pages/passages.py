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
    return f"{head}<p>{marked(text, said)}</p></details>"


def marked(text: str, said: Sequence[str]) -> str:
    """The text as HTML, with ``mark`` around each place where one of the answers stands in it word for word."""
    stands = [s for s in said if written_answers.tokens(s) and written_answers.contains(text, [s])]
    parts = [re.escape(html.escape(s.strip(" .,;:"))) for s in stands]
    safe = html.escape(text)
    pattern = rf"(?<!\w)({'|'.join(parts)})(?!\w)"
    return re.sub(pattern, r"<mark>\1</mark>", safe, flags=re.IGNORECASE) if parts else safe


def lines(text: str) -> str:
    """The text as HTML that keeps its lines."""
    return html.escape(text).replace("\n", "<br>")
