"""What every combination of answers to the decision helper leads to, as data that its page looks up.

The rules stay in Python. For each rule a decision diagram says where it holds: a node is a question with the node that each answer leads to, and
diagrams share their nodes, so all combinations take a few kilobytes. ``assets/decide.js`` walks them and knows no rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from whentofinetune import verdicts
from whentofinetune.calculators import decide as d
from whentofinetune.calculators.decide_rules import (
    CONTRARY,
    NEEDS,
    OUTCOMES,
    QUESTIONS,
    RULES,
    STAGES,
    STEPS,
    UNKNOWN,
)
from whentofinetune.calculators.found import evidence
from whentofinetune.pages.verdict import cite

ANSWERS = {q.name: (UNKNOWN, *q.options) for q in QUESTIONS}
_NAMES = tuple(ANSWERS)


class Diagrams:
    """Functions of the eight answers. A node is ``[question, where its first answer leads, ...]``; ``~value`` is a value."""

    def __init__(self) -> None:
        self.nodes: list[list[int]] = []
        self._known: dict[tuple[int, ...], int] = {}

    def add(self, rules: Sequence[int], value: Callable[[dict[str, str]], int], needed: int = -1) -> int:
        """The root of the diagram of ``value``, which depends on ``rules`` (places in ``RULES``) and is 0 unless ``needed`` may hold."""
        seen: dict[tuple[int, tuple[int, ...]], int] = {}

        def at(depth: int, alive: tuple[int, ...], answers: dict[str, str]) -> int:
            if needed >= 0 and needed not in alive:
                return ~0
            if depth == len(_NAMES):
                return ~value(answers)
            if (depth, alive) not in seen:
                name = _NAMES[depth]
                leads = [at(depth + 1, _left(alive, depth, a), {**answers, name: a}) for a in ANSWERS[name]]
                seen[depth, alive] = leads[0] if len({*leads}) == 1 else self._node(depth, leads)
            return seen[depth, alive]

        return at(0, tuple(rules), {})

    def _node(self, question: int, leads: list[int]) -> int:
        node = self._known.setdefault((question, *leads), len(self.nodes))
        if node == len(self.nodes):
            self.nodes.append([question, *leads])
        return node


def _left(alive: Sequence[int], depth: int, answer: str) -> tuple[int, ...]:
    """The rules that can still hold after this answer, without those behind a rule of their stage that is certain by now."""
    kept, certain = [], set()
    for i in alive:
        rule = RULES[i]
        if rule.stage in certain or answer not in rule.when.get(_NAMES[depth], (answer,)):
            continue
        kept.append(i)
        if rule.stage in STAGES and not set(rule.when) - {*_NAMES[: depth + 1]}:
            certain.add(rule.stage)
    return tuple(kept)


@cache
def outcomes() -> dict:
    """All that the page looks up. A ``leaf`` are the three rules that decide, with what they rest on together."""
    diagrams, leaves = Diagrams(), {}
    place = {rule.name: i for i, rule in enumerate(RULES)}
    deciding = [i for i, rule in enumerate(RULES) if rule.stage in STAGES]

    def leaf(answers: dict[str, str]) -> int:
        rules = tuple(place[rule.name] for rule in d.deciding(answers))
        return leaves.setdefault(rules, len(leaves))

    def holds(i: int) -> Callable[[dict[str, str]], int]:
        return lambda answers: RULES[i].fits(
            answers | {rule.stage: rule.then for rule in d.deciding(answers)}
        )

    decides = diagrams.add(deciding, leaf)
    others = [i for i, rule in enumerate(RULES) if rule.stage not in STAGES]
    roots = {i: diagrams.add([*deciding, i], holds(i), needed=i) for i in others}
    steps = list(STEPS.values())

    def at_step(rule: d.Rule) -> int:
        return steps.index(d.step(rule))

    named = {key: cite(key) for rule in RULES for key in rule.literature}
    return {
        "questions": [[q.name, q.title, [d.label(q.name, a) for a in ANSWERS[q.name]]] for q in QUESTIONS],
        "outcomes": {name: [o.title, o.meaning, o.measure_next] for name, o in OUTCOMES.items()},
        "steps": steps,
        "needs": NEEDS,
        "rules": [
            [r.stage, r.then, "" if r.stage == "conflict" else at_step(r), r.why, evidence([r])]
            for r in RULES
        ],
        "leaves": [[*rules, evidence(sorted((RULES[i] for i in rules), key=at_step))] for rules in leaves],
        "nodes": diagrams.nodes,
        "decides": decides,
        "others": list(roots.items()),
        "links": {c: f"{e['chapter']}.html#{c}" for c, e in verdicts.claims().items() if "chapter" in e}
        | {key: list(source) for key, source in named.items()}
        | {name: [c["title"], f"{c['chapter']}.html"] for name, c in CONTRARY.items()},
    }
