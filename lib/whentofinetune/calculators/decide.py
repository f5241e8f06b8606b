"""Which way to go: eight answers in, one piece of advice out, with its reasons and what would change it. Standard library only.

The questions and the rules stand in :mod:`whentofinetune.calculators.decide_rules`. The advice is a place to start measuring (C43),
no verdict: most rules rest on the literature, and each says on what.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from whentofinetune.calculators.decide_rules import (
    EXPERIMENTS,
    FOUND,
    OUTCOMES,
    QUESTIONS,
    RULES,
    STEPS,
    UNKNOWN,
    Question,
    Rule,
)

FORM = {q.name: q for q in QUESTIONS}
_AGREES = {"yes": "agrees", "partly": "agrees in part", "no": "does not agree"}
_STAGES = {
    stage: tuple(r for r in RULES if r.stage == stage)
    for stage in ("facts", "manner", "advice", "note", "conflict")
}


@dataclass(frozen=True)
class Change:
    """If the question had any of these answers instead, all else equal, the advice would be ``outcome``."""

    question: str
    answers: tuple[str, ...]
    outcome: str


@dataclass(frozen=True)
class Advice:
    """The answer.

    answers: all eight, in the form's order. outcome: a key of ``OUTCOMES``. reasons: the rules that decided (of the stages advice,
    facts and manner) and the notes, in the order of the steps. questions: the conflicts, to be settled first. changes: what
    would change the advice, one answer at a time; there is always something, since facts that must be looked up do.
    """

    answers: dict[str, str]
    outcome: str
    reasons: tuple[Rule, ...]
    questions: tuple[Rule, ...]
    changes: tuple[Change, ...]

    @property
    def title(self) -> str:
        return OUTCOMES[self.outcome][0]

    @property
    def meaning(self) -> str:
        return OUTCOMES[self.outcome][1]

    @property
    def measure_next(self) -> str:
        return OUTCOMES[self.outcome][2]

    @property
    def open(self) -> list[str]:
        """Titles of the questions that are not answered."""
        return [q.title for q in QUESTIONS if self.answers[q.name] == UNKNOWN]

    def to_dict(self) -> dict:
        """All of it as JSON can hold it."""

        def sourced(rule: Rule) -> dict:
            return {
                "rule": rule.name,
                "claims": rule.claims.split(),
                "experiments": experiments(rule),
                "literature": rule.literature.split(),
            }

        return {
            "outcome": self.outcome,
            "title": self.title,
            "meaning": self.meaning,
            "measure_next": self.measure_next,
            "answers": self.answers,
            "questions": [{"ask": r.why, **sourced(r)} for r in self.questions],
            "reasons": [
                {"step": step(r), "why": r.why, "decides": r.stage != "note", **sourced(r)}
                for r in self.reasons
            ],
            "changes": [
                {"question": c.question, "answers": list(c.answers), "outcome": c.outcome}
                for c in self.changes
            ],
        }


def decide(answers: Mapping[str, str]) -> Advice:
    """The advice for ``answers`` (question -> answer). A question that is left out counts as not known.

    Raises ValueError, with all that is wrong and what is allowed, for an unknown question or answer.
    """
    known = checked(answers)
    decided = judge(known)
    full = known | {rule.stage: rule.then for rule in decided}
    notes = [rule for rule in _STAGES["note"] if rule.fits(full)]
    order = list(STEPS.values())
    reasons = sorted(
        [*decided, *notes], key=lambda rule: order.index(step(rule))
    )  # stable: what decides comes before the notes
    conflicts = tuple(rule for rule in _STAGES["conflict"] if rule.fits(full))
    return Advice(known, full["advice"], tuple(reasons), conflicts, _changes(known, full["advice"]))


def checked(answers: Mapping[str, str]) -> dict[str, str]:
    """All eight answers in the form's order. Raises ValueError as :func:`decide` does."""
    if not isinstance(answers, Mapping):
        raise ValueError(
            f"answers are pairs of a question and its answer, not {type(answers).__name__}; the questions are {', '.join(FORM)}"
        )
    wrong = [
        f"there is no question {name!r}; there are {', '.join(FORM)}" for name in answers if name not in FORM
    ]
    known = {}
    for q in QUESTIONS:
        known[q.name] = answers.get(q.name, UNKNOWN)
        if not isinstance(known[q.name], str) or known[q.name] not in (*q.options, UNKNOWN):
            wrong.append(
                f"{q.name} can't be {known[q.name]!r}; it is one of {', '.join((*q.options, UNKNOWN))}"
            )
    if wrong:
        raise ValueError("\n".join(wrong))
    return known


def judge(known: Mapping[str, str]) -> tuple[Rule, Rule, Rule]:
    """The three rules that decide, in the order of the stages, for all eight answers."""
    known, decided = dict(known), []
    for stage in ("facts", "manner", "advice"):
        rule = next(rule for rule in _STAGES[stage] if rule.fits(known))
        known[stage] = rule.then
        decided.append(rule)
    return tuple(decided)


def _changes(known: Mapping[str, str], outcome: str) -> tuple[Change, ...]:
    """Other advice that a single other answer leads to. Not knowing is no other answer."""
    found: dict[tuple[str, str], list[str]] = {}
    for q in QUESTIONS:
        for answer in q.options:
            other = judge({**known, q.name: answer})[-1].then
            if other != outcome:
                found.setdefault((q.name, other), []).append(answer)
    return tuple(Change(name, tuple(answers), other) for (name, other), answers in found.items())


# -- in words ---------------------------------------------------------------------------------------------------------


def step(rule: Rule) -> str:
    """The step to which a rule's reason belongs."""
    if rule.stage in ("advice", "facts"):
        return STEPS[rule.stage]
    return STEPS["measure" if rule.then == UNKNOWN else rule.then]


def experiments(rule: Rule) -> list[str]:
    """The book's experiments that test a claim on which the rule rests, those without a record included."""
    return list(dict.fromkeys(name for claim in rule.claims.split() for name in _tests(claim)))


def backing(rule: Rule) -> str:
    """What a rule rests on, in a line: each claim with what our records say of it, then the literature's keys in ``references.bib``."""
    claims = rule.claims.split()
    measured = {
        claim: f"{claim} ({', '.join(_tests(claim))}: {_AGREES[FOUND[claim]]})"
        for claim in claims
        if claim in FOUND
    }
    waiting = list(dict.fromkeys(name for claim in claims if claim not in measured for name in _tests(claim)))
    parts = [", ".join(measured.get(claim, claim) for claim in claims)]
    if rule.literature:
        parts.append(f"literature{'' if measured else ' only'}: {', '.join(rule.literature.split())}")
    elif not measured:
        parts.append("follows from the answer")
    if waiting:
        parts.append(f"no record yet: {', '.join(waiting)}")
    return "; ".join(parts)


def _tests(claim: str) -> list[str]:
    return [name for name, claims in EXPERIMENTS.items() if claim in claims.split()]


def label(question: str, answer: str) -> str:
    """What an answer says in the form."""
    return "Don't know" if answer == UNKNOWN else FORM[question].options[answer]


def verdict(advice: Advice) -> str:
    """The advice in a few plain sentences, one paragraph a line."""
    lines = [
        f"{advice.title}. {advice.meaning}",
        *[f"Settle this first: {rule.why}" for rule in advice.questions],
    ]
    lines.append(f"Measure next: {advice.measure_next}")
    if advice.open:
        lines.append(
            f"Not answered: {'; '.join(advice.open)}. An answer may change the advice; the last table shows which."
        )
    return "\n".join(lines)


def _tables(advice: Advice) -> list[dict]:
    reasons = [[step(rule), rule.why, backing(rule)] for rule in advice.reasons]
    changes = [
        [
            FORM[c.question].title,
            label(c.question, advice.answers[c.question]),
            "; or ".join(label(c.question, a) for a in c.answers),
            OUTCOMES[c.outcome][0],
        ]
        for c in advice.changes
    ]
    return [
        {
            "caption": "The reasons, step by step",
            "header": ["Step", "Reason", "It rests on"],
            "rows": reasons,
        },
        {
            "caption": "What would change the advice: one other answer, all else equal",
            "header": ["Question", "Your answer", "If it were", "Then the advice is"],
            "rows": changes,
        },
    ]


def rules_table() -> dict:
    """All rules in one table, in the order in which they are read: a table as a live block's."""
    stages = {
        "facts": "facts",
        "manner": "manner",
        "advice": "advice",
        "note": "step",
        "conflict": "ask back",
    }

    def condition(rule: Rule) -> str:
        return (
            " and ".join(f"{what} is {' or '.join(allowed.split())}" for what, allowed in rule.when.items())
            or "else"
        )

    rows = [
        [
            rule.name,
            condition(rule),
            f"{stages[rule.stage]}: {rule.then}" if rule.then else stages[rule.stage],
            rule.why,
            backing(rule),
        ]
        for rule in RULES
    ]
    return {
        "caption": "The rules: in each stage the first that fits decides",
        "header": ["Rule", "If", "Then", "Because", "It rests on"],
        "rows": rows,
    }


def record(answers: Mapping[str, str], date: str = "") -> str:
    """A decision record of one page, in Markdown. date: as it is to be printed; left out if empty."""
    advice = decide(answers)
    reasons, changes = _tables(advice)
    lines = [f"# Decision record: {advice.title}", ""]
    lines += [f"Date: {date}", ""] if date else []
    lines += [advice.meaning, "", f"**Measure next.** {advice.measure_next}", ""]
    if advice.questions:
        lines += ["## To be settled first", "", *[f"- {rule.why}" for rule in advice.questions], ""]
    lines += [
        "## Answers",
        "",
        *_markdown(
            ["Question", "Answer"], [[q.title, label(q.name, advice.answers[q.name])] for q in QUESTIONS]
        ),
        "",
    ]
    lines += [f"## {reasons['caption']}", "", *_markdown(reasons["header"], reasons["rows"]), ""]
    lines += [f"## {changes['caption']}", "", *_markdown(changes["header"], changes["rows"]), ""]
    lines += [
        "C1 to C44 are claims of the article that the book *When to Fine-Tune* tests. The advice says where to start measuring; it is no verdict."
    ]
    return "\n".join(lines) + "\n"


def _markdown(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]


def form() -> str:
    """The form as a file of answers, with nothing answered yet: ``question: answer`` lines, the rest in comments."""
    parts = ["# Put one of the answers after each colon."]
    for number, q in enumerate(QUESTIONS, 1):
        width = max(map(len, (*q.options, UNKNOWN)))
        options = [f"#   {a:{width}}  {label(q.name, a)}" for a in (*q.options, UNKNOWN)]
        parts.append("\n".join(["", f"# {number}. {q.title}. {q.asks}", *options, f"{q.name}: {UNKNOWN}"]))
    return "\n".join(parts) + "\n"


# -- the live block ---------------------------------------------------------------------------------------------------


def decide_json(answers: str) -> str:
    """The helper's front: a JSON object of answers in, ``{"figures", "tables", "text", "record"}`` out; record is Markdown, undated."""
    given = json.loads(answers)
    advice = decide(given)
    return json.dumps(
        {"figures": [], "tables": _tables(advice), "text": verdict(advice), "record": record(given)}
    )


def _control(number: int, q: Question) -> dict:
    options = [[a, label(q.name, a)] for a in (UNKNOWN, *q.options)]
    return {
        "name": q.name,
        "label": f"{number}. {q.title}",
        "kind": "select",
        "options": options,
        "value": UNKNOWN,
        "help": q.asks,
    }


CONTROLS = [_control(number, q) for number, q in enumerate(QUESTIONS, 1)]
