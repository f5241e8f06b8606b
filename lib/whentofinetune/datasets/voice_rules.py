"""How the rules of the company's voice are checked. Standard library only: the rule checker on the page runs it in the browser."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from whentofinetune.datasets import check_one_of


@dataclass(frozen=True)
class VoiceRule:
    """name, what it asks in words, and ``check(reply, sender)``."""

    name: str
    says: str
    check: Callable[[str, str], bool]


def rules_from(entries: Sequence[Mapping[str, Any]]) -> tuple[VoiceRule, ...]:
    """The rules that ``voice.yaml`` lists. Raises ValueError for a kind of check that is not among :data:`CHECKS`."""
    for r in entries:
        check_one_of(r["how"], CHECKS, f"voice.yaml: how rule {r['name']!r} is checked")
    return tuple(VoiceRule(r["name"], r["says"], partial(CHECKS[r["how"]], r)) for r in entries)


def checked(rules: Sequence[VoiceRule], reply: str, sender: str) -> dict[str, bool]:
    """rule name -> is it kept by this reply to ``sender``?"""
    return {rule.name: rule.check(reply.strip(), sender) for rule in rules}


def _no_such_words(rule: Mapping[str, Any], reply: str, sender: str) -> bool:
    words = "|".join(map(re.escape, rule["words"]))
    return not re.search(rf"\b({words})\b", reply.replace(sender, ""), re.IGNORECASE)


def _last_sentence(reply: str) -> str:
    """The last sentence above the last line."""
    body = [line.strip() for line in reply.split("\n")[:-1] if line.strip()]
    return re.split(r"(?<=[.?!])\s+", body[-1])[-1] if body else ""


CHECKS: dict[str, Callable[[Mapping[str, Any], str, str], bool]] = {
    "first_line": lambda rule, reply, who: reply.split("\n")[0].strip() == rule["text"].format(sender=who),
    "last_line": lambda rule, reply, who: reply.split("\n")[-1].strip() == rule["text"],
    "never": _no_such_words,
    "never_text": lambda rule, reply, who: not re.search(rule["pattern"], reply.replace(who, "")),
    "has": lambda rule, reply, who: re.search(rule["pattern"], reply) is not None,
    "before_last": lambda rule, reply, who: re.search(rule["pattern"], _last_sentence(reply)) is not None,
    "words": lambda rule, reply, who: rule["least"] <= len(reply.split()) <= rule["most"],
}
