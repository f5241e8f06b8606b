"""The invented company: its facts, handbook, questions, mails, tickets and jargon. Card: ``data/company/README.md``.

    facts()["tolwick.weight"].value          # '43.7 kg'
    [p.text for p in passages()]             # the handbook, as a corpus for retrieval
    questions("direct", "test")              # also reversed, changed, multihop, unanswerable
    mails("train"), tickets("test"), labelled("train"), jargon("test")

Entities are split into train, valid and test; a question, mail or ticket lies in the split of every entity that it is about. The
handbook holds the passages of all entities. ``python data/company/build.py`` makes ``data/company/built/`` from the source files, byte for byte.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from whentofinetune import book_files
from whentofinetune.datasets import SPLITS as SPLITS
from whentofinetune.datasets import check_one_of, of_split, read_lines
from whentofinetune.datasets.voice_rules import VoiceRule, checked, rules_from

QUESTION_KINDS = ("direct", "reversed", "changed", "multihop", "unanswerable")
FORMS = ("json", "yaml", "markdown")
DESKS = ("bench", "road", "letter")


@dataclass(frozen=True)
class Entity:
    """group: product, person, site, policy, supplier or customer. name: as in a sentence (``the Tolwick``). kind: a finer word."""

    id: str
    group: str
    kind: str
    name: str
    split: str

    @property
    def bare(self) -> str:
        """The name without an article."""
        return self.name.removeprefix("the ")


@dataclass(frozen=True)
class Fact:
    """One attribute of one entity. id: ``entity.attribute``. value: as written; the name, where it is an entity, with ``target`` its id.
    was, since: the value before and the day (ISO) of the change, or None. stated: False for what the handbook leaves out."""

    id: str
    entity: str
    attribute: str
    value: str
    split: str
    target: str | None = None
    was: str | None = None
    since: str | None = None
    stated: bool = True


@dataclass(frozen=True)
class Passage:
    """hand: the kind of paper it is from (manual, policy, memo, faq, chat, table, staff, notice, file). facts: ids of those it states
    as they are now. changes: ids of those whose old value and day it states as well."""

    id: str
    hand: str
    title: str
    text: str
    facts: tuple[str, ...]
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """ask: wordings of the same question. answers: what counts as right, the first being the answer as written; empty if the handbook
    does not answer it. facts: the ids that lead to the answer, in order. passages: for each of those facts the ids of the passages that
    state it. aspect: for changed questions now, before or when; for unanswerable ones asked or own. truth: of an unanswerable question,
    the value that is nowhere in the handbook. Questions on the same fact are a group."""

    id: str
    kind: str
    split: str
    ask: tuple[str, ...]
    answers: tuple[str, ...]
    facts: tuple[str, ...]
    passages: tuple[tuple[str, ...], ...]
    aspect: str | None = None
    truth: str | None = None
    group = property(lambda self: self.facts[0])


@dataclass(frozen=True)
class Mail:
    """A customer's mail and the reply in the company's voice. code: of the product, whose mails are one group. facts: what was asked;
    values: what a right reply has to say."""

    id: str
    split: str
    sender: str
    product: str
    text: str
    reply: str
    code: str
    facts: tuple[str, ...]
    values: tuple[str, ...]
    group = property(lambda self: self.product)


@dataclass(frozen=True)
class Ticket:
    """A service ticket as it came in by ``channel``, and the record to extract (5 to 7 fields, values as they stand in the text)."""

    id: str
    split: str
    channel: str
    text: str
    record: Mapping[str, str]


@dataclass(frozen=True)
class Labelled:
    """A ticket with the desk that it goes to. signs: what the rule looks at (``desk`` in ``data/company/build.py``). wording: ``seen`` if the signs are worded as
    in training, ``new`` if each is worded in a way that training does not have (half of valid and of test)."""

    id: str
    split: str
    text: str
    label: str
    signs: Mapping[str, str]
    wording: str


@dataclass(frozen=True)
class Term:
    """A word of the house. kind: new (a made-up word) or old (an English word with a meaning of its own). gloss: in a few words."""

    id: str
    term: str
    kind: str
    gloss: str
    definition: str
    split: str


@dataclass(frozen=True)
class JargonQuestion:
    """kind: meaning (which gloss), name (which term), gap (which term fits the sentence) or use (is it used rightly: yes or no).
    options: the possible answers; answer: an index into them. Questions on one term are a group."""

    id: str
    kind: str
    split: str
    term: str
    question: str
    options: tuple[str, ...]
    answer: int
    group = property(lambda self: self.term)


# -- loading ---------------------------------------------------------------------------------------------------------


def folder() -> Path:
    """``data/company/``."""
    return book_files.data_dir() / "company"


@cache
def _built(name: str, cls: type) -> tuple:
    path = folder() / "built" / f"{name}.jsonl"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: python data/company/build.py makes it")
    return read_lines(path, cls)


@cache
def entities() -> Mapping[str, Entity]:
    """id -> entity."""
    return {e.id: e for e in _built("entities", Entity)}


@cache
def facts() -> Mapping[str, Fact]:
    """id -> fact; those with ``stated=False`` are true, but not in the handbook."""
    return {f.id: f for f in _built("facts", Fact)}


def questions(kind: str | None = None, split: str | None = None) -> tuple[Question, ...]:
    """Questions of a kind (``direct``, ``reversed``, ``changed``, ``multihop``, ``unanswerable``; None: all) and split (None: all). Raises ValueError for others."""
    if kind is not None:
        check_one_of(kind, QUESTION_KINDS, "the kind of questions")
    kinds = QUESTION_KINDS if kind is None else (kind,)
    return of_split([q for k in kinds for q in _built(f"questions_{k}", Question)], split)


def _items(name: str, cls: type, split: str | None = None) -> tuple:
    return of_split(_built(name, cls), split)


# The handbook; :func:`whentofinetune.datasets.company_sources.handbook` makes one of a company whose facts have moved on.
passages = partial(_built, "passages", Passage)
# Each takes a split (None: all).
mails = partial(_items, "mails", Mail)  # customers' mails with replies in the company's voice
tickets = partial(_items, "tickets", Ticket)  # with the record to extract
labelled = partial(_items, "labelled", Labelled)  # tickets with the desk that they go to
terms = partial(_items, "terms", Term)  # the company's jargon, with definitions
jargon = partial(_items, "jargon", JargonQuestion)  # questions on the use and meaning of the jargon


# -- saying the same, and the voice ----------------------------------------------------------------------------------


def says(text: str, value: str) -> bool:
    """Does ``text`` contain ``value`` as whole words, whatever the case and the spacing? ``43.7 kg`` is not in ``143.7 kg``."""
    words = r"\s+".join(re.escape(w) for w in value.split())
    return re.search(rf"(?<![\w.,-])(?<!\d:){words}(?![\w-]|[.,:]\d)", text, re.IGNORECASE) is not None


@cache
def voice() -> tuple[VoiceRule, ...]:
    """The rules of the company's voice, from ``voice.yaml``."""
    return rules_from(book_files.read_yaml("company/voice.yaml")["rules"])


def voice_prompt() -> str:
    """The rules as a system prompt would state them, one a line."""
    return "\n".join(f"- {rule.says}" for rule in voice())


def check_voice(reply: str, sender: str) -> dict[str, bool]:
    """rule name -> is it kept by this reply to ``sender``?"""
    return checked(voice(), reply, sender)


def content_kept(mail: Mail, reply: str) -> float:
    """The share of what a right reply has to say (the product's code and the values asked for) that ``reply`` says."""
    wanted = (mail.code, *mail.values)
    return sum(says(reply, value) for value in wanted) / len(wanted)


# -- records ---------------------------------------------------------------------------------------------------------


@cache
def ticket_schema() -> dict:
    """The JSON Schema of a ticket's record."""
    return json.loads((folder() / "ticket.schema.json").read_text(encoding="utf-8"))


def render(record: Mapping[str, str], form: str) -> str:
    """A record as JSON, YAML or a Markdown list (``- **field**: value``), in the order of the schema. Raises ValueError for another form."""
    check_one_of(form, FORMS, "form")
    ordered = {field: record[field] for field in ticket_schema()["properties"] if field in record}
    if form == "json":
        return json.dumps(ordered, ensure_ascii=False, indent=2)
    if form == "yaml":
        return "\n".join(f"{field}: {json.dumps(v, ensure_ascii=False)}" for field, v in ordered.items())
    return "\n".join(f"- **{field}**: {value}" for field, value in ordered.items())


def parse(text: str, form: str) -> dict[str, str]:
    """The record that ``text`` holds. Raises ValueError where it is not of that form or not a flat record."""
    check_one_of(form, FORMS, "form")
    if form == "markdown":
        lines = [line for line in text.strip().split("\n") if line.strip()]
        found = [re.fullmatch(r"[-*] \*\*(\w+)\*\*: (.+)", line.strip()) for line in lines]
        if not found or None in found:
            raise ValueError("not a Markdown list of '- **field**: value'")
        return {m[1]: m[2].strip() for m in found}
    try:
        record = json.loads(text) if form == "json" else yaml.load(text, Loader=yaml.BaseLoader)
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"not {form.upper()}: {str(error).splitlines()[0]}") from error
    if not isinstance(record, dict) or not all(isinstance(v, str) for v in record.values()):
        raise ValueError("not a flat record of texts")
    return record


def schema_errors(record: Mapping[str, str]) -> list[str]:
    """What the schema has against a record; [] if nothing."""
    return [error.message for error in Draft202012Validator(ticket_schema()).iter_errors(dict(record))]
