"""The invented company's handbook, as it would read if some of the facts had changed.

``data/company/handbook/*.md`` was written by hand, with slots that are filled in from the facts.
"""

import datetime
import re
from collections.abc import Mapping

from whentofinetune.datasets import company
from whentofinetune.datasets.company import Fact, Passage

_HANDS = ("manual", "policy", "memo", "faq", "chat", "table", "staff", "notice", "file")


def day(iso: str) -> str:
    """``2024-09-02`` as ``2 September 2024``."""
    date = datetime.date.fromisoformat(iso)
    return f"{date.day} {date:%B} {date.year}"


_SLOT = re.compile(r"\{\^?(\w+)\.(\w+)(?:\.(was|since))?\}")


def handbook(changed: Mapping[str, str], facts: Mapping[str, Fact] | None = None) -> tuple[Passage, ...]:
    """The passages, with the values of ``changed`` (fact id -> value) in place of those in ``facts`` (None: the company's). A passage about
    a change then tells it as it would have been told: from the same old value to the new one. Raises KeyError for a fact that no passage states.
    """
    facts = company.facts() if facts is None else facts
    pages = [_passage(hand, part, facts, changed) for hand in _HANDS for part in _parts(hand)]
    if unknown := set(changed) - {f for p in pages for f in p.facts}:
        raise KeyError(f"the handbook states no fact {', '.join(sorted(unknown))}")
    return tuple(pages)


def _parts(hand: str) -> list[str]:
    text = (company.folder() / "handbook" / f"{hand}.md").read_text(encoding="utf-8")
    return re.split(r"^## ", text, flags=re.MULTILINE)[1:]


def _passage(hand: str, part: str, facts: Mapping[str, Fact], changed: Mapping[str, str]) -> Passage:
    head, body = part.split("\n", 1)
    id, title = (x.strip() for x in head.split("|", 1))
    stated, old = {}, {}

    def fill(match: re.Match) -> str:
        entity, attribute, which = match.groups()
        fact = facts.get(f"{entity}.{attribute}")
        if fact is None or (which and fact.was is None) or not fact.stated:
            raise ValueError(f"handbook/{hand}.md, {id}: nothing to put for {match[0]}")
        (old if which else stated)[fact.id] = None
        now = changed.get(fact.id, fact.value)
        value = {"was": fact.was, "since": fact.since and day(fact.since)}.get(which) or now
        return value[0].upper() + value[1:] if _opens_sentence(match) else value

    text = _SLOT.sub(fill, body.strip())
    return Passage(id, hand, title, f"{title}\n\n{text}", tuple(stated), tuple(f for f in old if f in stated))


def _opens_sentence(match: re.Match) -> bool:
    """Is a capital due? At the beginning of a line, after a full stop, a question mark or ``**Name:**``, and after ``{^``."""
    before = match.string[: match.start()]
    return match[0].startswith("{^") or bool(re.search(r"(^|\n|([a-z)\]}\"*][.?]|:\*\*) )\Z", before))
