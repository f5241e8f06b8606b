"""The invented company's facts and handbook, from their source files in ``data/company/``.

``facts/*.yaml`` says what is true, ``handbook/*.md`` was written by hand, with slots that are filled in from the facts. ``data/company/build.py``
writes what comes of it to ``data/company/built/``; a handbook with other facts is made when it is asked for.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

import yaml

from whentofinetune.datasets import company
from whentofinetune.datasets.company import Entity, Fact, Passage

_GROUPS = {
    "products": "product",
    "people": "person",
    "sites": "site",
    "policies": "policy",
    "suppliers": "supplier",
    "customers": "customer",
}
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
    for file, group in _GROUPS.items():
        for id, spec in source(f"facts/{file}.yaml").items():
            if id in ents:
                raise SourceError(f"facts/{file}.yaml: there are two entities {id!r}")
            ents[id] = Entity(id, group, spec["kind"], spec["name"], spec["split"])
            raw[id] = spec["facts"]
    facts = {}
    for id, attributes in raw.items():
        for attribute, value in attributes.items():
            facts[f"{id}.{attribute}"] = _fact(ents, id, attribute, value)
    withheld = source("facts/withheld.yaml")
    for id, attributes in withheld["asked"].items():
        for attribute, value in attributes.items():
            facts[f"{id}.{attribute}"] = dataclasses.replace(_fact(ents, id, attribute, value), stated=False)
    for number, own in enumerate(withheld["own"]):
        id = f"{own['entity']}.own{number:02}"
        facts[id] = Fact(
            id, own["entity"], f"own{number:02}", own["truth"], ents[own["entity"]].split, stated=False
        )
    return ents, facts


def _fact(ents: Mapping[str, Entity], entity: str, attribute: str, value: str | dict) -> Fact:
    now, was, since = (
        (value["now"], value["was"], value["since"]) if isinstance(value, dict) else (value, None, None)
    )
    target = now[1:] if now.startswith("@") else None
    names = [v and (ents[v[1:]].name if v.startswith("@") else v) for v in (now, was)]
    return Fact(
        f"{entity}.{attribute}", entity, attribute, names[0], ents[entity].split, target, names[1], since
    )


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
        value = {"was": fact.was, "since": fact.since and day(fact.since)}.get(which) or changed.get(
            fact.id, fact.value
        )
        return value[0].upper() + value[1:] if _opens_sentence(match) else value

    text = _SLOT.sub(fill, body.strip())
    if "{" in text:
        raise SourceError(f"handbook/{hand}.md, {id}: a brace is left over: {text[text.index('{') :][:40]!r}")
    return Passage(id, hand, title, f"{title}\n\n{text}", tuple(stated), tuple(f for f in old if f in stated))


def _opens_sentence(match: re.Match) -> bool:
    """Is a capital due? At the beginning of a line, after a full stop, a question mark or ``**Name:**``, and after ``{^``."""
    before = match.string[: match.start()]
    return (
        match[0].startswith("{^")
        or before.endswith("\n")
        or not before
        or bool(re.search(r"([a-z)\]}\"*][.?]|:\*\*) $", before))
    )
