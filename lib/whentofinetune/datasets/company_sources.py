"""The invented company's facts and handbook, from their source files in ``data/company/``.

``facts/*.yaml`` says what is true, ``handbook/*.md`` was written by hand, with slots that are filled in from the facts. ``data/company/build.py``
writes what comes of it to ``data/company/built/``; a handbook with other facts is made when it is asked for.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

import yaml

from whentofinetune.datasets import company
from whentofinetune.datasets.company import Entity, Fact, Passage

_FILES = ("products", "people", "sites", "policies", "suppliers", "customers")
_GROUPS = ("product", "person", "site", "policy", "supplier", "customer")
_HANDS = ("manual", "policy", "memo", "faq", "chat", "table", "staff", "notice", "file")


class SourceError(ValueError):
    """A source file says something that can't be. The message names the file or id."""


def source(name: str):
    """A source file in YAML. All values are texts: no number loses its zeros, no time of day becomes a number."""
    return yaml.load((company.folder() / name).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


# -- facts -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def source_facts() -> tuple[dict[str, Entity], dict[str, Fact]]:
    """The entities and facts of ``facts/*.yaml``, by id."""
    ents, raw = {}, {}
    for file, group in zip(_FILES, _GROUPS, strict=True):
        for id, spec in source(f"facts/{file}.yaml").items():
            if id in ents:
                raise SourceError(f"facts/{file}.yaml: there are two entities {id!r}")
            ents[id] = Entity(id, group, spec["kind"], spec["name"], spec["split"])
            raw[id] = spec["facts"]
    withheld = source("facts/withheld.yaml")
    found = [_fact(ents, e, a, value, True) for e, spec in raw.items() for a, value in spec.items()]
    found += [_fact(ents, e, a, v, False) for e, spec in withheld["asked"].items() for a, v in spec.items()]
    for number, own in enumerate(withheld["own"]):
        found.append(_fact(ents, own["entity"], f"own{number:02}", own["truth"], False))
    return ents, {fact.id: fact for fact in found}


def _fact(ents: Mapping[str, Entity], entity: str, attribute: str, value: str | dict, stated: bool) -> Fact:
    value = value if isinstance(value, dict) else {"now": value, "was": None, "since": None}
    target = value["now"][1:] if value["now"].startswith("@") else None
    now, was = (v and (ents[v[1:]].name if v.startswith("@") else v) for v in (value["now"], value["was"]))
    id, split = f"{entity}.{attribute}", ents[entity].split
    return Fact(id, entity, attribute, now, split, target, was, value["since"], stated)


def day(iso: str) -> str:
    """``2024-09-02`` as ``2 September 2024``."""
    date = datetime.date.fromisoformat(iso)
    return f"{date.day} {date:%B} {date.year}"


# -- handbook --------------------------------------------------------------------------------------------------------

_SLOT = re.compile(r"\{\^?(\w+)\.(\w+)(?:\.(was|since))?\}")


def handbook(changed: Mapping[str, str] | None = None) -> tuple[Passage, ...]:
    """The passages, with the values of ``changed`` (fact id -> value) in place of those in the facts. A passage about a change
    then tells it as it would have been told: from the same old value to the new one."""
    _, facts = source_facts()
    changed = dict(changed or {})
    pages = [_passage(hand, part, facts, changed) for hand in _HANDS for part in _parts(hand)]
    if repeated := [i for i, n in Counter(p.id for p in pages).items() if n > 1]:
        raise SourceError(f"handbook: passages with the same id: {', '.join(repeated)}")
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
            raise SourceError(f"handbook/{hand}.md, {id}: nothing to put for {match[0]}")
        (old if which else stated)[fact.id] = None
        now = changed.get(fact.id, fact.value)
        value = {"was": fact.was, "since": fact.since and day(fact.since)}.get(which) or now
        return value[0].upper() + value[1:] if _opens_sentence(match) else value

    text = _SLOT.sub(fill, body.strip())
    if "{" in text:
        raise SourceError(f"handbook/{hand}.md, {id}: a brace is left over: {text[text.index('{') :][:40]!r}")
    return Passage(id, hand, title, f"{title}\n\n{text}", tuple(stated), tuple(f for f in old if f in stated))


def _opens_sentence(match: re.Match) -> bool:
    """Is a capital due? At the beginning of a line, after a full stop, a question mark or ``**Name:**``, and after ``{^``."""
    before = match.string[: match.start()]
    return match[0].startswith("{^") or bool(re.search(r"(^|\n|([a-z)\]}\"*][.?]|:\*\*) )\Z", before))
