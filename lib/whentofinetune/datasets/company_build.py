"""Makes ``data/company/built/`` out of the company's source files: facts, handbook, wordings. The same bytes every time.

Source: ``facts/*.yaml`` (what is true), ``handbook/*.md`` (written by hand; values filled in from the facts), ``wording/*.yaml`` (how
questions, mails and tickets are put), ``jargon.yaml``. All draws come from ``random.Random`` with a fixed text as seed.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import yaml

from whentofinetune.datasets import company
from whentofinetune.datasets.company import Entity, Fact, Passage, Question, says

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


def build(target: Path) -> dict[str, int]:
    """Write all files into ``target``; file name -> number of lines."""
    from whentofinetune.datasets import company_mails

    ents, facts = source_facts()
    pages = handbook()
    rows = {
        "entities": list(ents.values()),
        "facts": list(facts.values()),
        "passages": list(pages),
        **{f"questions_{kind}": made for kind, made in all_questions(ents, facts, pages).items()},
        **company_mails.everything(ents, facts),
    }
    target.mkdir(parents=True, exist_ok=True)
    for name, items in rows.items():
        lines = "".join(json.dumps(_plain(item), ensure_ascii=False) + "\n" for item in items)
        (target / f"{name}.jsonl").write_text(lines, encoding="utf-8", newline="\n")
    return {name: len(items) for name, items in rows.items()}


def source(name: str):
    """A source file in YAML. All values are texts: no number loses its zeros, no time of day becomes a number."""
    return yaml.load((company.folder() / name).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def _plain(item) -> dict:
    """A dataclass as a dict, without what is at its default."""
    return {
        f.name: getattr(item, f.name)
        for f in dataclasses.fields(item)
        if f.default is dataclasses.MISSING or getattr(item, f.name) != f.default
    }


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


# -- questions -------------------------------------------------------------------------------------------------------


def all_questions(
    ents: Mapping[str, Entity], facts: Mapping[str, Fact], pages: Sequence[Passage]
) -> dict[str, list[Question]]:
    """kind -> questions."""
    words = source("wording/questions.yaml")
    at, told = defaultdict(list), defaultdict(list)
    for page in pages:
        for fact in page.facts:
            at[fact].append(page.id)
        for fact in page.changes:
            told[fact].append(page.id)
    if missing := [f.id for f in facts.values() if f.stated and f.id not in at]:
        raise SourceError(f"no passage states {', '.join(missing)}")
    if missing := [f.id for f in facts.values() if f.was and f.id not in told]:
        raise SourceError(f"no passage tells of the change of {', '.join(missing)}")
    stated = [f for f in facts.values() if f.stated]
    return {
        "direct": [_direct(f, ents, words, at) for f in stated],
        "reversed": _reversed(stated, ents, words, at),
        "changed": [q for f in stated if f.was for q in _changed(f, ents, words, told)],
        "multihop": _multihop(stated, ents, words, at),
        "unanswerable": _unanswerable(facts, ents, words),
    }


def _sentence(pattern: str, **slots: str) -> str:
    """The pattern, filled in; with a capital at the beginning and after a full stop or question mark."""
    text = pattern.format(**slots).replace("the the ", "the ")
    return re.sub(r"(^|[a-z0-9][.?] )([a-z])", lambda m: m[1] + m[2].upper(), text)


def _answers(value: str, group_attribute: tuple[str, str] | None = None) -> tuple[str, ...]:
    """The value, and shorter ways to say it: without article, without the unit of a number."""
    short = [value]
    if value.startswith("the "):
        short.append(value[4:])
    if unit := re.fullmatch(r"(\d[\d,.]*) [a-z%].*", value, re.IGNORECASE):
        short.append(unit[1])
    if named := re.fullmatch(r"(?:rule|form) (\S+)", value):
        short.append(named[1])
    return tuple(short)


def _wording(words: dict, ents: Mapping[str, Entity], fact: Fact) -> dict:
    try:
        return words[ents[fact.entity].group][fact.attribute]
    except KeyError:
        raise SourceError(f"wording/questions.yaml has no wording for {fact.id}") from None


def _direct(fact: Fact, ents, words, at) -> Question:
    ask = tuple(_sentence(p, e=ents[fact.entity].name) for p in _wording(words, ents, fact)["ask"])
    return Question(
        f"direct/{fact.id}",
        "direct",
        fact.split,
        ask,
        _answers(fact.value),
        (fact.id,),
        (tuple(at[fact.id]),),
    )


def _reversed(stated: Sequence[Fact], ents, words, at) -> list[Question]:
    """Where a value is that of one entity alone, now and formerly, and also not withheld of another."""
    _, everything = source_facts()
    times = Counter()
    for f in everything.values():
        for value in {f.value.lower(), (f.was or f.value).lower()}:
            times[ents[f.entity].group, f.attribute, value] += 1
    out = []
    for f in stated:
        if times[ents[f.entity].group, f.attribute, f.value.lower()] == 1:
            ask = tuple(_sentence(p, v=f.value) for p in _wording(words, ents, f)["back"])
            out.append(
                Question(
                    f"reversed/{f.id}",
                    "reversed",
                    f.split,
                    ask,
                    _answers(ents[f.entity].name),
                    (f.id,),
                    (tuple(at[f.id]),),
                )
            )
    return out


_NOW = (
    "{What} is {np} now?",
    "{What} is {np} today, after the change of {since}?",
    "{np} was changed on {since}. {What} is it now?",
    "{What} has been {np} since {since}?",
    "As things stand after {since}, {what} is {np}?",
    "I have an old sheet here with {was} for {np}. What is the right entry today?",
    "{np} used to be {was}. And now?",
    "Which entry has the list had for {np} since {since}?",
    "{was} is out of date for {np}. What should I write instead?",
)
_BEFORE = (
    "{What} was {np} before {since}?",
    "{What} was {np} until {since}?",
    "Before it was changed on {since}, {what} was {np}?",
    "{np} is now {now}. {What} was it earlier?",
    "Which entry did the list have for {np} up to {since}?",
    "On {daybefore}, {what} was {np}?",
    "In {yearbefore}, {what} was {np}?",
    "What stood in the old list for {np}, where it now says {now}?",
    "For {np}, {now} is new. What did it replace?",
)
_WHEN = (
    "When did {np} change?",
    "On what day did {np} change from {was} to {now}?",
    "Since when has {np} been {now}?",
    "When was {was} replaced by {now} as {np}?",
    "What is the date of the change in {np}?",
    "From what day on does {now} hold for {np}?",
    "Give the date on which {np} was changed.",
    "{np} was once {was}. When did that end?",
    "Which date stands beside the change of {np}?",
)


def _changed(fact: Fact, ents, words, told) -> list[Question]:
    """Three questions on a change: the value now, the value before, the day."""
    wording = _wording(words, ents, fact)
    what = wording.get("what", "What")
    since = datetime.date.fromisoformat(fact.since)
    slots = {
        "np": wording["np"].format(e=ents[fact.entity].name),
        "What": what,
        "what": what.lower(),
        "was": fact.was,
        "now": fact.value,
        "since": day(fact.since),
        "daybefore": day((since - datetime.timedelta(days=1)).isoformat()),
        "yearbefore": str(since.year - 1),
    }
    out = []
    for aspect, patterns, answer in (
        ("now", _NOW, fact.value),
        ("before", _BEFORE, fact.was),
        ("when", _WHEN, day(fact.since)),
    ):
        ask = tuple(_sentence(p, **slots) for p in patterns)
        answers = _answers(answer) if aspect != "when" else (answer, fact.since)
        id = f"changed/{fact.id}/{aspect}"
        out.append(
            Question(id, "changed", fact.split, ask, answers, (fact.id,), (tuple(told[fact.id]),), aspect)
        )
    return out


_HOPS = (
    "{What} is {np}?",
    "I need to know {np}. {What} is it?",
    "Can you tell me {np}?",
    "Please look up {np}.",
)
_PER_ENTITY = 4


def _multihop(stated: Sequence[Fact], ents, words, at) -> list[Question]:
    """An attribute of the entity that a fact leads to, where no passage states both facts. At most four for each first entity."""
    by_entity = defaultdict(list)
    for f in stated:
        by_entity[f.entity].append(f)
    out = []
    for entity, own in by_entity.items():
        chains = [
            (first, second)
            for first in own
            if first.target and "rel" in _wording(words, ents, first)
            for second in by_entity[first.target]
            if second.target != entity and not set(at[first.id]) & set(at[second.id])
        ]
        draw = random.Random(f"multihop {entity}")
        for first, second in sorted(
            draw.sample(chains, min(_PER_ENTITY, len(chains))), key=lambda c: (c[0].id, c[1].id)
        ):
            hop, last = _wording(words, ents, first), _wording(words, ents, second)
            what = last.get("what", "What")
            phrases = [last["np"].format(e=rel.format(e=ents[entity].name)) for rel in hop["rel"]]
            ask = tuple(_sentence(p, np=np, What=what) for p in _HOPS for np in phrases)
            where = (tuple(at[first.id]), tuple(at[second.id]))
            id = f"multihop/{first.id}/{second.id}"
            out.append(
                Question(
                    id, "multihop", first.split, ask, _answers(second.value), (first.id, second.id), where
                )
            )
    return out


def _unanswerable(facts: Mapping[str, Fact], ents, words) -> list[Question]:
    own = {f"{o['entity']}.own{n:02}": o["ask"] for n, o in enumerate(source("facts/withheld.yaml")["own"])}
    out = []
    for f in facts.values():
        if not f.stated:
            ask = own.get(f.id) or [
                _sentence(p, e=ents[f.entity].name) for p in _wording(words, ents, f)["ask"]
            ]
            aspect = "own" if f.id in own else "asked"
            out.append(
                Question(
                    f"unanswerable/{f.id}",
                    "unanswerable",
                    f.split,
                    tuple(ask),
                    (),
                    (f.id,),
                    ((),),
                    aspect,
                    f.value,
                )
            )
    return out


__all__ = ["SourceError", "all_questions", "build", "day", "handbook", "says", "source", "source_facts"]
