"""Make ``data/company/built/`` out of the company's source files, the same bytes every time: ``python data/company/build.py``.

Source: ``facts/*.yaml`` (what is true), ``handbook/*.md`` (written by hand; values filled in from the facts), ``wording/*.yaml`` (how
questions, mails and tickets are put), ``jargon.yaml``. All draws come from ``random.Random`` with a fixed text as seed. Products, writers,
situations, towns and faults of one split are not used in another, and a text that comes out as a near-duplicate of one that is there already
is drawn again.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import yaml

from tunewise.near_duplicates import near_duplicates
from whentofinetune.datasets import company
from whentofinetune.datasets.company import (
    DESKS,
    Entity,
    Fact,
    JargonQuestion,
    Labelled,
    Mail,
    Passage,
    Question,
    Term,
    Ticket,
)
from whentofinetune.datasets.company_sources import day, handbook

MAILS = {"train": 240, "valid": 40, "test": 120}
TICKETS = {"train": 240, "valid": 40, "test": 120}
LABELLED = {"train": 360, "valid": 60, "test": 240}  # of each desk a third
_TRIES = 400


def build(target: Path) -> dict[str, int]:
    """Write all files into ``target``; file name -> number of lines."""
    ents, facts = source_facts()
    pages = handbook({}, facts)
    if repeated := [i for i, n in Counter(p.id for p in pages).items() if n > 1]:
        raise ValueError(f"handbook: passages with the same id: {', '.join(repeated)}")
    if broken := [p for p in pages if "{" in p.text]:
        left = broken[0].text[broken[0].text.index("{") :][:40]
        raise ValueError(f"handbook/{broken[0].hand}.md, {broken[0].id}: a brace is left over: {left!r}")
    rows = {
        "entities": list(ents.values()),
        "facts": list(facts.values()),
        "passages": list(pages),
        **{f"questions_{kind}": made for kind, made in all_questions(ents, facts, pages).items()},
        **texts(ents, facts),
    }
    target.mkdir(parents=True, exist_ok=True)
    for name, items in rows.items():
        lines = "".join(json.dumps(_plain(item), ensure_ascii=False) + "\n" for item in items)
        (target / f"{name}.jsonl").write_text(lines, encoding="utf-8", newline="\n")
    return {name: len(items) for name, items in rows.items()}


def _plain(item) -> dict:
    """A dataclass as a dict, without what is at its default."""
    return {
        f.name: getattr(item, f.name)
        for f in dataclasses.fields(item)
        if f.default is dataclasses.MISSING or getattr(item, f.name) != f.default
    }


# -- facts -----------------------------------------------------------------------------------------------------------

_FILES = ("products", "people", "sites", "policies", "suppliers", "customers")
_GROUPS = ("product", "person", "site", "policy", "supplier", "customer")


def source(name: str):
    """A source file in YAML. All values are texts: no number loses its zeros, no time of day becomes a number."""
    return yaml.load((company.folder() / name).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


@lru_cache(maxsize=1)
def source_facts() -> tuple[dict[str, Entity], dict[str, Fact]]:
    """The entities and facts of ``facts/*.yaml``, by id."""
    ents, raw = {}, {}
    for file, group in zip(_FILES, _GROUPS, strict=True):
        for id, spec in source(f"facts/{file}.yaml").items():
            if id in ents:
                raise ValueError(f"facts/{file}.yaml: there are two entities {id!r}")
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
        raise ValueError(f"no passage states {', '.join(missing)}")
    if missing := [f.id for f in facts.values() if f.was and f.id not in told]:
        raise ValueError(f"no passage tells of the change of {', '.join(missing)}")
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
        raise ValueError(f"wording/questions.yaml has no wording for {fact.id}") from None


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


# -- texts -----------------------------------------------------------------------------------------------------------


def texts(ents, facts) -> dict[str, list]:
    """file name -> items."""
    people = source("wording/mails.yaml")["senders"]
    products = defaultdict(list)
    for e in ents.values():
        if e.group == "product":
            products[e.split].append(e)
    terms = source("jargon.yaml")
    return {
        "mails": _mails(source("wording/mails.yaml"), products, facts),
        "tickets": _tickets(source("wording/tickets.yaml"), people, products),
        "labelled": _labelled(source("wording/labels.yaml"), products),
        "terms": [
            Term(_slug(t["term"]), t["term"], t["kind"], t["gloss"], t["define"], t["split"]) for t in terms
        ],
        "jargon": _jargon(terms),
    }


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text.lower())


class _Distinct:
    """Texts so far; tells whether another one is a near-duplicate of any of them (see whentofinetune.datasets.vader.near_duplicates)."""

    def __init__(self):
        self._of_run = defaultdict(list)
        self._texts: list[str] = []

    def add(self, text: str) -> bool:
        """Keep ``text`` unless it is a near-duplicate; was it kept?"""
        words = re.findall(r"[^\W_]+", text.lower())
        runs = {tuple(words[k : k + n]) for n in (2, 3) for k in range(len(words) - n + 1)}
        shared = Counter(i for run in runs for i in self._of_run[run])
        if any(near_duplicates([text, self._texts[i]]) for i in shared):
            return False
        for run in runs:
            self._of_run[run].append(len(self._texts))
        self._texts.append(text)
        return True


class _Deck:
    """Deals the items of a pool in random order, each before any comes twice."""

    def __init__(self, draw: random.Random, pool: Sequence):
        self._draw, self._pool, self._left = draw, list(pool), []

    def deal(self):
        if not self._left:
            self._left = self._draw.sample(self._pool, len(self._pool))
        return self._left.pop()


class _Decks:
    """A deck for each pool, by name."""

    def __init__(self, draw: random.Random):
        self.draw, self._decks = draw, {}

    def __call__(self, name: str, pool: Sequence):
        if name not in self._decks:
            self._decks[name] = _Deck(self.draw, pool)
        return self._decks[name].deal()


def _names(decks: _Decks, people: Mapping, used: set[str]) -> str:
    """A name that has not been used yet."""
    for _ in range(_TRIES):
        name = f"{decks('first', people['first'])} {decks('last', people['last'])}"
        if name not in used:
            used.add(name)
            return name
    raise ValueError("wording/mails.yaml: too few names for that many texts")


# -- mails -----------------------------------------------------------------------------------------------------------


def _mails(words: Mapping, products: Mapping, facts: Mapping) -> list[Mail]:
    distinct, out = _Distinct(), []
    for split, wanted in MAILS.items():
        decks, used = _Decks(random.Random(f"mails {split}")), set()
        # every product as often as any other, with each of its facts in turn
        asked = {p.id: [f for f in _askable(p.id, words, facts)] for p in products[split]}
        made = 0
        while made < wanted:
            product = decks("product", products[split])
            own = asked[product.id]
            chosen = [decks(f"fact {product.id}", own)]
            if decks.draw.random() < 0.4:
                chosen.append(decks.draw.choice([f for f in own if f is not chosen[0]]))
            sender = _names(decks, words["senders"][split], used)
            code = facts[f"{product.id}.code"].value
            for _ in range(_TRIES):
                situation = decks("situation", words["situations"][split])
                text = _mail(decks, words, product.bare, chosen, situation, sender)
                if distinct.add(text):
                    break
            else:
                raise ValueError(f"no new mail was found for {product.id}: write more wordings")
            reply = _reply(decks, words, product.bare, code, chosen, situation, sender)
            ids, values = tuple(f.id for f in chosen), tuple(f.value for f in chosen)
            out.append(
                Mail(f"mail/{split}/{made:03}", split, sender, product.id, text, reply, code, ids, values)
            )
            made += 1
    return out


def _askable(product: str, words: Mapping, facts: Mapping) -> list:
    return [
        f
        for f in facts.values()
        if f.entity == product and f.stated and f.attribute in words["ask"] and _natural(f)
    ]


def _natural(fact) -> bool:
    """Is it something to ask by mail? Nobody asks whether he can lift a cloth or a remote control."""
    return fact.attribute != "weight" or fact.value.endswith(" kg")


def _mail(decks: _Decks, words: Mapping, name: str, chosen: Sequence, situation: Mapping, sender: str) -> str:
    """One mail, in one of twelve hands; the full name of its writer stands in each."""
    draw = decks.draw
    first = _an(
        decks(f"ask {chosen[0].attribute}", words["ask"][chosen[0].attribute]["first"]).format(p=name)
    )
    more = (
        decks(f"more {chosen[1].attribute}", words["ask"][chosen[1].attribute]["second"])
        if len(chosen) > 1
        else ""
    )
    say = _an(situation["say"].format(p=name))
    tone = draw.choice(["formal", "warm"])
    greet, close = decks(f"greet {tone}", words["greet"][tone]), decks(f"close {tone}", words["close"][tone])
    ask = f"{first} {more}".strip()
    hand = decks("hand", range(12))
    if hand == 0:
        return f"{greet}\n\n{say} {ask}\n\n{close}\n{sender}"
    if hand == 1:
        return f"{ask} {say}\n\n{sender}"
    if hand == 2:
        return f"{_lower(say)}\n{_lower(ask)}\n{sender.lower()}\n(sent from the garden)"
    if hand == 3:
        return f"{greet}\n\n{ask}\n\nThe reason is this. {say}\n\n{sender}"
    if hand == 4:
        listed = f"\n- {more}" if more else "\n- (that is all)"
        return f"{greet}\n\n{say} What I need to know:\n\n- {first}{listed}\n\n{close}\n{sender}"
    if hand == 5:
        return f"Subject: {name}\n\n{say}\n\n{ask}\n\n{sender}"
    if hand == 6:
        after = f"\n\nP.S. {more}" if more else ""
        return f"{greet}\n\n{say}\n\n{first}\n\n{close}\n{sender}{after}"
    if hand == 7:
        return f"Quick one. {ask}\n\n{sender}\n\nP.S. {say}"
    if hand == 8:
        return f'Message on the machine, {draw.randint(8, 17)}:{draw.randint(10, 59)}. "{sender} here. {say} {ask} Well. Goodbye."'
    if hand == 9:
        return f"{say} {_step(draw)} {ask}\n\n{close}\n{sender}"
    if hand == 10:
        return f"{sender} asks:\n\n{ask}\n\n{say}"
    return f"{greet}\n{ask} You will want to know why. {say}\n{sender}"


def _step(draw: random.Random) -> str:
    """A step from a story to a question."""
    return draw.choice(
        [
            "So here is my question.",
            "Hence this mail.",
            "Which is why I write.",
            "Now to the point.",
            "You see where this leads.",
        ]
    )


def _lower(text: str) -> str:
    """As typed on a telephone: no capitals but those of models, no full stop at the end."""
    return re.sub(r"\bI\b|(?:^|(?<=[.?!] ))[A-Z](?=[a-z ])", lambda m: m[0].lower(), text).removesuffix(".")


def _an(text: str) -> str:
    """``a`` before the name of a model that begins with a vowel becomes ``an``."""
    return re.sub(r"\b([Aa]) (?=[AEIOU][a-z])", r"\1n ", text)


def _reply(
    decks: _Decks, words: Mapping, name: str, code: str, chosen: Sequence, situation: Mapping, sender: str
) -> str:
    """The reply in the voice: greeting, a word on what was told, the answers, an offer, the closing line."""
    said = []
    for place, fact in enumerate(chosen):
        pattern = decks(
            f"answer {place} {fact.attribute}",
            words["answer"][fact.attribute]["second" if place else "first"],
        )
        said.append(_capital(_an(pattern.format(pc=f"{name} [{code}]", v=fact.value))))
    if len(chosen) == 1 or decks.draw.random() < 0.3:
        said.append(decks("extra", words["extra"]))
    offers = words["offer"][chosen[0].attribute] if decks.draw.random() < 0.7 else words["offer"]["any"]
    offer = decks.draw.choice(offers)
    layout = decks.draw.choice(["{ack} {said}\n\n{offer}", "{ack}\n\n{said} {offer}", "{ack} {said} {offer}"])
    body = layout.format(ack=situation["ack"], said=" ".join(said), offer=offer)
    return f"Good day, {sender}.\n\n{body}\n\nThe shade is yours. Zellmarch, Orrenfeld"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


# -- tickets ---------------------------------------------------------------------------------------------------------


def _tickets(words: Mapping, people: Mapping, products: Mapping) -> list[Ticket]:
    distinct, out, orders = _Distinct(), [], set()
    for split, wanted in TICKETS.items():
        decks = _Decks(random.Random(f"tickets {split}"))
        for number in range(wanted):
            for _ in range(_TRIES):
                record = _record(decks, words, people, products, split, orders)
                channel = decks("channel", ("mail", "telephone", "letter", "form", "chat", "fitter"))
                text = _ticket(decks, words, people, products, split, channel, record)
                if distinct.add(text):
                    break
            else:
                raise ValueError("no new ticket was found: write more wordings")
            out.append(Ticket(f"ticket/{split}/{number:03}", split, channel, text, record))
    return out


def _record(decks: _Decks, words, people, products, split: str, orders: set[str]) -> dict[str, str]:
    """A record with a new order number; names may come again, as people do."""
    draw = decks.draw
    name = f"{decks('first', people[split]['first'])} {decks('last', people[split]['last'])}"
    while (order := f"ZO-{draw.randint(10_000, 99_999)}") in orders:
        pass
    orders.add(order)
    product = decks("product", products[split])
    family = FAMILIES[product.kind]
    record = {
        "customer": name,
        "product": product.bare,
        "order": order,
        "town": decks("town", words["towns"][split]),
    }
    record["fault"] = decks(f"fault {family}", words["faults"][split][family])
    if draw.random() < 0.7:
        record["since"] = decks("since", words["since"][split])
    if draw.random() < 0.7:
        last = _slug(name.split()[-1])
        record["contact"] = draw.choice(
            [
                f"0{draw.randint(311, 989)} {draw.randint(10_000, 99_999)}",
                f"{last}@{draw.choice(_HOSTS)}.example",
            ]
        )
    return record


# kind of product -> what can go wrong with it (wording/tickets.yaml)
FAMILIES = {
    kind: family
    for family, kinds in {
        "awning": ("folding-arm awning", "cassette awning"),
        "canopy": ("free-standing canopy", "pergola roof", "market-stall canopy"),
        "screen": ("balcony screen", "side screen", "conservatory blind", "vertical blind"),
        "shutter": ("roller shutter",),
        "drive": ("drive unit", "shutter drive"),
        "radio": (
            "wind sensor",
            "rain sensor",
            "sun gauge",
            "frost sensor",
            "hand control",
            "awning lantern",
        ),
        "metal": ("wall bracket", "rafter bracket", "crank", "gutter profile", "balcony clamp", "box cover"),
        "cloth": ("acrylic cloth", "woven cloth"),
    }.items()
    for kind in kinds
}
# families that every trouble of the labelling rule can befall, so that a product's name gives no hint of the desk
_LABELLED_FAMILIES = ("awning", "screen")
_HOSTS = ("tarnpost", "daskmail", "fusenet", "quaybox", "millpost")


def _ticket(
    decks: _Decks, words, people, products, split: str, channel: str, record: Mapping[str, str]
) -> str:
    """The text of a ticket, as it comes in by a channel."""
    draw = decks.draw
    others = {
        "town2": draw.choice([t for t in words["towns"][split] if t != record["town"]]),
        "order2": f"ZO-{draw.randint(10_000, 99_999)}",
        "last2": draw.choice([n for n in people[split]["last"] if n not in record["customer"]]),
        "product2": draw.choice([p.bare for p in products[split] if p.bare != record["product"]]),
    }
    if channel == "form":
        return _form(decks, words, record)
    if channel == "chat":
        return _chat(decks, words, record)
    register = {"mail": "first", "letter": "first", "telephone": "third", "fitter": "scribble"}[channel]
    pool = words[register]

    def one(part: str) -> str:
        return _an(decks(f"{register} {part}", pool[part]).format(**record, **others))

    fields = [part for part in ("order", "town", "since", "contact") if part in record]
    draw.shuffle(fields)
    fault = "fault"
    head = [fault, *fields] if draw.random() < 0.5 else [*fields[:2], fault, *fields[2:]]
    parts = [one("who"), *(one(part) for part in head)]
    if draw.random() < 0.25:
        parts = parts[1:] + parts[:1]
    for extra, share in (("fill", 0.6), ("decoy", 0.5)):
        if draw.random() < share:
            parts.insert(draw.randint(1, len(parts)), one(extra))
    if channel == "fitter":
        return draw.choice(["\n", "; ", " / ", "\n- "]).join(parts)
    parts = [_capital(p) for p in parts]
    if channel == "telephone":
        return f"[{draw.randint(7, 18)}:{draw.randint(10, 59)}] " + " ".join(parts)
    if channel == "letter":
        cut = draw.randint(2, len(parts) - 1)
        return " ".join(parts[:cut]) + "\n\n" + " ".join(parts[cut:])
    opening = draw.choice(
        [
            "Hello,",
            "Dear Zellmarch,",
            "To the workshop,",
            "Good evening,",
            "Subject: " + draw.choice(["repair", "a fault", "help", "your fitters"]),
        ]
    )
    return f"{opening}\n\n" + " ".join(parts)


def _form(decks: _Decks, words, record: Mapping[str, str]) -> str:
    draw, labels = decks.draw, words["form"]
    keys = {"who": "customer"}
    rows = [
        (decks(f"form {part}", labels[part]), record[keys.get(part, part)])
        for part in _FIELDS
        if keys.get(part, part) in record
    ]
    fills = dict(filled.split("|") for filled in draw.sample(labels["fill"], draw.randint(0, 2)))
    rows += fills.items()
    draw.shuffle(rows)
    mark = draw.choice([": ", " = ", " | ", " -> "])
    return "\n".join(
        f"{label}{' ' if label.endswith('?') and mark == ': ' else mark}{value}" for label, value in rows
    )


_FIELDS = ("who", "product", "order", "town", "fault", "since", "contact")


def _chat(decks: _Decks, words, record: Mapping[str, str]) -> str:
    draw, lines = decks.draw, words["chat"]
    agent, given = draw.choice(lines["agent"]), record["customer"].split()[0]
    keys = {"who": "customer"}
    parts = [part for part in _FIELDS if keys.get(part, part) in record]
    rest = parts[1:]
    draw.shuffle(rest)
    out = []
    for part in (parts[0], *rest):
        said = decks(f"chat said {part}", lines["said"][part])
        out.append(
            f"{agent}: {decks(f'chat {part}', lines[part])}\n{given}: {_an(said.format(x=record[keys.get(part, part)]))}"
        )
    return "\n".join(out)


# -- tickets to label ------------------------------------------------------------------------------------------------


def _labelled(words: Mapping, products: Mapping) -> list[Labelled]:
    distinct, out = _Distinct(), []
    for split, wanted in LABELLED.items():
        decks = _Decks(random.Random(f"labelled {split}"))
        for number in range(wanted):
            label = DESKS[number % len(DESKS)]
            wording = "new" if split != "train" and number // len(DESKS) % 2 else "seen"
            for _ in range(_TRIES):
                signs = _signs(decks.draw, words, label)
                text = _complaint(
                    decks, words, products[split], split if wording == "new" else "train", signs
                )
                if distinct.add(text):
                    break
            else:
                raise ValueError("no new ticket to label was found: write more wordings")
            out.append(Labelled(f"label/{split}/{number:03}", split, text, label, signs, wording))
        part = out[-wanted:]
        decks.draw.shuffle(part)
        out[-wanted:] = part
    return out


def desk(signs: Mapping[str, str]) -> str:
    """Which desk a ticket goes to: ``bench`` (the thing is sent in), ``road`` (a fitter drives out) or ``letter`` (it is answered).

    The house has never written this down; the dispatcher "sees it". signs:

    - ``trouble``: rhythm (a noise with a beat), drone (an even noise), water, cloth (torn or loose), dead (does nothing), paper (bills,
      orders), looks (marks, colour)
    - ``who``: trade (an installer or dealer writes for somebody), public (hotel, school, town), private
    - ``place``: high (upper floor), low, or unsaid
    - ``before``: again (has written already) or first
    """
    trouble, who, place, before = (signs[k] for k in ("trouble", "who", "place", "before"))
    if trouble in (
        "paper",
        "looks",
    ):  # it can be answered; but a mark that was written about twice is looked at
        return "road" if trouble == "looks" and before == "again" else "letter"
    if who == "trade":  # they have a ladder: send it in, and for what can't be sent they get a letter
        return "letter" if trouble in ("water", "cloth") else "bench"
    if trouble in ("water", "cloth"):
        return "road"
    if trouble == "drone":  # all drives drone: said politely, until they write again
        return "road" if before == "again" else "letter"
    # rhythm or dead: the drive has to come to the bench, and somebody has to take it down where the owner can't
    return "road" if place == "high" or who == "public" else "bench"


def _signs(draw: random.Random, words: Mapping, label: str) -> dict[str, str]:
    """Signs that the rule sends to ``label``."""
    while True:
        signs = {
            "trouble": draw.choice(list(words["trouble"])),
            "who": draw.choices(["private", "public", "trade"], [7, 2, 2])[0],
            "place": draw.choices(["unsaid", "low", "high"], [4, 3, 2])[0],
            "before": draw.choices(["first", "again"], [4, 1])[0],
        }
        if desk(signs) == label:
            return signs


_DEFAULTS = {"private": 0.4, "low": 0.5}  # what is taken for granted, and how often it is said all the same


def _complaint(decks: _Decks, words: Mapping, products: Sequence, pool: str, signs: Mapping[str, str]) -> str:
    """A sentence for each sign, in any order; how a sign is worded comes from the cues of ``pool``."""
    parts = []
    for sign, value in signs.items():
        if value in words[sign] and (value not in _DEFAULTS or decks.draw.random() < _DEFAULTS[value]):
            parts.append(decks(f"{pool} {sign} {value}", words[sign][value][pool]))
    draw = decks.draw
    if draw.random() < 0.3:
        parts.append(decks("fill", words["fill"]))
    draw.shuffle(parts)
    able = [p for p in products if FAMILIES[p.kind] in _LABELLED_FAMILIES]
    return _an(" ".join(parts).format(p=decks(f"product {desk(signs)}", able).bare))


# -- jargon ----------------------------------------------------------------------------------------------------------

_CHOICES = 4
_ASKED = {
    "meaning": (
        'What does the house mean by "{t}"?',
        'At Zellmarch, what is the meaning of "{t}"?',
        'A new colleague hears the word "{t}". What does it mean here?',
        'Explain "{t}" as it is used at the Works.',
        'On the shop floor somebody says "{t}". What is meant?',
        'What is "{t}" in the language of the house?',
    ),
    "name": (
        "{h} What is the word of the house for this?",
        "What do we call this at Zellmarch? {h}",
        "{h} Which word fits?",
        "There is a word for this here. {h} Which?",
        "{h} How would one of us say that in a word?",
        "Name it in the language of the house. {h}",
    ),
    "gap": (
        "Fill the gap: {s}",
        "Which word is missing? {s}",
        "{s} Which word of the house goes into the gap?",
        "One word has dropped out. {s}",
    ),
    "use": (
        'Is the word "{t}" used rightly here? {s}',
        '{s} Would we say "{t}" here?',
        'Does "{t}" fit, as the house uses it? {s}',
        '{s} Is that what "{t}" means at the Works?',
    ),
}


def _jargon(terms: Sequence[Mapping]) -> list[JargonQuestion]:
    """Six questions a term: its meaning, its name, two gaps, one right use and one wrong. The other options are terms of the same part
    of speech, and glosses, of the same split."""
    draw, decks = random.Random("jargon"), _Decks(random.Random("jargon wordings"))
    out = []
    for t in terms:
        others = [o for o in terms if o["split"] == t["split"] and o is not t]
        alike = [o for o in others if o["pos"] == t["pos"]]
        alike += draw.sample([o for o in others if o["pos"] != t["pos"]], max(0, _CHOICES - 1 - len(alike)))
        for kind, number, question, options, answer in _about(t, alike, draw, decks):
            id = f"jargon/{_slug(t['term'])}/{kind}" + (f"-{number}" if number else "")
            out.append(
                JargonQuestion(
                    id, kind, t["split"], t["term"], question, tuple(options), options.index(answer)
                )
            )
    return out


def _about(t: Mapping, alike: Sequence[Mapping], draw: random.Random, decks: _Decks) -> Iterator[tuple]:
    def options(field: str) -> list[str]:
        return draw.sample([t[field], *(o[field] for o in draw.sample(alike, _CHOICES - 1))], _CHOICES)

    def asked(kind: str, **slots: str) -> str:
        return decks(kind, _ASKED[kind]).format(t=t["term"], **slots)

    yield "meaning", 0, asked("meaning"), options("gloss"), t["gloss"]
    yield "name", 0, asked("name", h=t["hint"]), options("term"), t["term"]
    for n, use in enumerate(t["uses"], 1):
        gap = _capital(use.replace("{" + t["term"] + "}", "___").replace("a(n)", "a"))
        yield "gap", n, asked("gap", s=gap), options("term"), t["term"]
    whole = {"yes": draw.choice(t["uses"]), "no": t["misuse"]}
    for n, (answer, use) in enumerate(whole.items(), 1):
        sentence = _capital(use.replace("{" + t["term"] + "}", t["term"]))
        yield "use", n, asked("use", s=sentence), ["yes", "no"], answer


if __name__ == "__main__":
    for name, count in build(Path(__file__).parent / "built").items():
        print(f"{name:24} {count}")
