"""The decision helper's form and rules, as ``data/decide/rules.yml`` has them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from whentofinetune.calculators import read

UNKNOWN = "unknown"
STAGES = ("facts", "style", "recommendation")


@dataclass(frozen=True)
class Question:
    """One of the eight. options: answer -> its words in the form; :data:`UNKNOWN` comes on top of them."""

    name: str
    title: str
    asks: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """What can be recommended: its title, what it means, and what to measure next."""

    title: str
    meaning: str
    measure_next: str


@dataclass(frozen=True)
class Rule:
    """If all of ``when`` holds, then ``then``, because ``why``.

    stage: one of :data:`STAGES`, note or conflict. when: question or earlier stage -> the answers that fit. then: the stage's result;
    for a note the step (:data:`STEPS`) to which it belongs; for a conflict nothing. claims, against: ids in ``data/claims.yml`` whose
    tests, where they agree, support the rule or speak against it. literature: keys in ``references.bib``. contrary: keys of
    :data:`CONTRARY`.
    """

    name: str
    stage: str
    why: str
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    then: str = ""
    claims: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    literature: tuple[str, ...] = ()
    contrary: tuple[str, ...] = ()

    @property
    def tests(self) -> tuple[str, ...]:
        """The claims whose tests concern the rule."""
        return self.claims + self.against

    def fits(self, known: Mapping[str, str]) -> bool:
        """Whether the rule holds for these answers and results of earlier stages."""
        return all(known[what] in allowed for what, allowed in self.when.items())


def _rule(stage: str, entry: dict) -> Rule:
    when = {k: (v,) if isinstance(v, str) else tuple(v) for k, v in entry.pop("when", {}).items()}
    rest = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    return Rule(stage=stage, when=when, **rest)


_READ = read("rules")
QUESTIONS = tuple(Question(name, **q) for name, q in _READ["questions"].items())
OUTCOMES = {name: Outcome(**o) for name, o in _READ["outcomes"].items()}
NEEDS: dict[str, dict[str, str]] = _READ["needs"]
STEPS: dict[str, str] = _READ["steps"]
CONTRARY: dict[str, dict[str, Any]] = _READ["contrary"]
VERDICTS: dict[str, int] = _READ["verdicts"]
EVIDENCE: dict[int, list[str]] = _READ["evidence"]
RULES = tuple(_rule(stage, entry) for stage, entries in _READ["rules"].items() for entry in entries)
