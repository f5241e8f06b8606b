"""Which method to try first: eight answers in, one recommendation out, with its reasons and what would change it.

The questions and the rules stand in ``data/decide/rules.yml``. The recommendation is a place to start measuring (C43); where our own tests
do not settle it or speak against it, it says so.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from whentofinetune.calculators.decide_rules import (
    NEEDS,
    OUTCOMES,
    QUESTIONS,
    RULES,
    STAGES,
    STEPS,
    UNKNOWN,
    Outcome,
    Rule,
)
from whentofinetune.calculators.found import evidence

FORM = {q.name: q for q in QUESTIONS}
_STAGES = {stage: tuple(r for r in RULES if r.stage == stage) for stage in (*STAGES, "note", "conflict")}


@dataclass(frozen=True)
class Change:
    """If the question had any of these answers instead, all else equal, ``outcome`` would be recommended."""

    question: str
    answers: tuple[str, ...]
    outcome: str


@dataclass(frozen=True)
class Recommendation:
    """The answer.

    answers: all eight, in the form's order. outcome: a key of ``OUTCOMES``. reasons: the rules that decided and the notes, in the order of
    the steps. questions: the conflicts, to be settled first. changes: what would change the recommendation, one answer at a time; there
    is always something, since facts that must be looked up do.
    """

    answers: dict[str, str]
    outcome: str
    reasons: tuple[Rule, ...]
    questions: tuple[Rule, ...]
    changes: tuple[Change, ...]

    @property
    def details(self) -> Outcome:
        """Title, meaning, and what to measure next."""
        return OUTCOMES[self.outcome]

    @property
    def needs(self) -> dict[str, str]:
        """What is to be done about facts and about behaviour, each by itself: a task may need both."""
        results = {rule.stage: rule.then for rule in self.reasons}
        return {words["title"]: words[results[stage]] for stage, words in NEEDS.items()}

    @property
    def open(self) -> list[str]:
        """Titles of the questions that are not answered."""
        return [q.title for q in QUESTIONS if self.answers[q.name] == UNKNOWN]

    @property
    def evidence(self) -> str:
        """What the rules that decided rest on."""
        return evidence(r for r in self.reasons if r.stage in STAGES)

    def to_dict(self) -> dict:
        """All of it as JSON can hold it."""

        def sourced(rule: Rule, **said: object) -> dict:
            rests = {"claims": rule.tests, "literature": rule.literature, "evidence": evidence([rule])}
            return {**said, "rule": rule.name, **rests}

        told = {name: getattr(self, name) for name in ("evidence", "needs", "answers")}
        told["questions"] = [sourced(r, ask=r.why) for r in self.questions]
        told["reasons"] = [
            sourced(r, step=step(r), why=r.why, decides=r.stage in STAGES) for r in self.reasons
        ]
        changes = [asdict(c) for c in self.changes]
        return {"outcome": self.outcome, **asdict(self.details), **told, "changes": changes}


def decide(answers: Mapping[str, str]) -> Recommendation:
    """The recommendation for ``answers`` (question -> answer). A question that is left out counts as not known.

    Raises ValueError, with all that is wrong and what is allowed, for an unknown question or answer.
    """
    known = checked(answers)
    decided = deciding(known)
    full = known | {rule.stage: rule.then for rule in decided}
    notes, conflicts = ([r for r in _STAGES[stage] if r.fits(full)] for stage in ("note", "conflict"))
    order = list(STEPS.values())
    # stable: what decides comes before the notes
    reasons = sorted([*decided, *notes], key=lambda r: order.index(step(r)))
    outcome = full["recommendation"]
    return Recommendation(known, outcome, tuple(reasons), tuple(conflicts), _changes(known, outcome))


def checked(answers: Mapping[str, str]) -> dict[str, str]:
    """All eight answers in the form's order. Raises ValueError as :func:`decide` does."""
    if not isinstance(answers, Mapping):
        raise ValueError(
            f"answers are pairs of a question and its answer, not {type(answers).__name__}; the questions are {', '.join(FORM)}"
        )
    there = f"there are {', '.join(FORM)}"
    wrong = [f"there is no question {name!r}; {there}" for name in answers if name not in FORM]
    known = {name: answers.get(name, UNKNOWN) for name in FORM}
    for name, answer in known.items():
        allowed = (*FORM[name].options, UNKNOWN)
        if not isinstance(answer, str) or answer not in allowed:
            wrong.append(f"{name} can't be {answer!r}; it is one of {', '.join(allowed)}")
    if wrong:
        raise ValueError("\n".join(wrong))
    return known


def deciding(known: Mapping[str, str]) -> tuple[Rule, ...]:
    """The three rules that decide, in the order of the stages, for all eight answers."""
    known, decided = dict(known), []
    for stage in STAGES:
        decided.append(next(rule for rule in _STAGES[stage] if rule.fits(known)))
        known[stage] = decided[-1].then
    return tuple(decided)


def _changes(known: Mapping[str, str], outcome: str) -> tuple[Change, ...]:
    """Other recommendations that a single other answer leads to. Not knowing is no other answer."""
    found: dict[tuple[str, str], list[str]] = {}
    for q in QUESTIONS:
        for answer in q.options:
            if (other := deciding({**known, q.name: answer})[-1].then) != outcome:
                found.setdefault((q.name, other), []).append(answer)
    return tuple(Change(name, tuple(answers), other) for (name, other), answers in found.items())


# -- in words ---------------------------------------------------------------------------------------------------------


def step(rule: Rule) -> str:
    """The step to which a rule's reason belongs."""
    name = rule.stage if rule.stage in ("recommendation", "facts") else rule.then
    return STEPS["measure" if name == UNKNOWN else name]


def label(question: str, answer: str) -> str:
    """What an answer says in the form."""
    return "Don't know" if answer == UNKNOWN else FORM[question].options[answer]


def in_words(found: Recommendation) -> str:
    """The recommendation in a few plain sentences, one paragraph a line."""
    lines = [f"{found.details.title}. {found.details.meaning}"]
    lines += ["; ".join(f"{need}: {words}" for need, words in found.needs.items()) + ".", found.evidence]
    lines += [f"Settle this first: {rule.why}" for rule in found.questions]
    lines.append(f"Measure next: {found.details.measure_next}")
    if found.open:
        lines.append(
            f"Not answered: {'; '.join(found.open)}. An answer may change the recommendation; the last table shows which."
        )
    return "\n".join(lines)


def tables(found: Recommendation) -> list[dict]:
    """The reasons, and what would change the recommendation, as a live block has its tables."""
    reasons = [[step(rule), rule.why, evidence([rule])] for rule in found.reasons]
    changes = []
    for c in found.changes:
        others = "; or ".join(label(c.question, answer) for answer in c.answers)
        given = label(c.question, found.answers[c.question])
        changes.append([FORM[c.question].title, given, others, OUTCOMES[c.outcome].title])
    heads = ["Question", "Your answer", "If it were", "Then the recommendation is"]
    caption = "What would change the recommendation: one other answer, all else equal"
    first = _table("The reasons, step by step", ["Step", "Reason", "It rests on"], reasons)
    return [first, _table(caption, heads, changes)]


def _table(caption: str, header: list[str], rows: list[list[str]]) -> dict:
    return {"caption": caption, "header": header, "rows": rows}


def record(answers: Mapping[str, str], date: str = "") -> str:
    """A decision record of one page, in Markdown. date: as it is to be printed; left out if empty."""
    found = decide(answers)
    given = [[q.title, label(q.name, found.answers[q.name])] for q in QUESTIONS]
    parts = [f"# Decision record: {found.details.title}", *([f"Date: {date}"] if date else [])]
    parts += [found.details.meaning, found.evidence, f"**Measure next.** {found.details.measure_next}"]
    if found.questions:
        parts += ["## To be settled first", "\n".join(f"- {rule.why}" for rule in found.questions)]
    for t in (_table("Answers", ["Question", "Answer"], given), *tables(found)):
        lines = (t["header"], ["---"] * len(t["header"]), *t["rows"])
        parts += [f"## {t['caption']}", "\n".join(f"| {' | '.join(cells)} |" for cells in lines)]
    parts.append(
        "C1 to C44 are claims of the article that the book *When to Fine-Tune* tests. The recommendation says where to start measuring; "
        "it is no verdict."
    )
    return "\n\n".join(parts) + "\n"


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
    """The form's front in a notebook: a JSON object of answers in, ``{"tables", "text"}`` out."""
    found = decide(json.loads(answers))
    return json.dumps({"tables": tables(found), "text": in_words(found)})


CONTROLS = [
    dict(name=q.name, label=f"{number}. {q.title}", kind="select", value=UNKNOWN, help=q.asks)
    | dict(options=[[a, label(q.name, a)] for a in (UNKNOWN, *q.options)])
    for number, q in enumerate(QUESTIONS, 1)
]
