"""What our own tests say of a claim, and in words what a rule of the decision helper therefore rests on."""

from collections.abc import Iterable, Mapping
from functools import cache

from tunewise import report as rp
from whentofinetune import verdicts
from whentofinetune.calculators.decide_rules import CONTRARY, EVIDENCE, VERDICTS, Rule


@cache
def found() -> dict[str, tuple[str, str]]:
    """Claim -> its verdict and the size of the largest model measured (empty where no model was compared)."""
    heads = map(verdicts.headline, verdicts.claims())
    return {v.claim: (v.word, verdicts.LADDER[v.model] if v.findings else "") for v in heads}


@cache
def contrary() -> dict[str, str]:
    """Comparisons of ours outside the claims' tests that came out against a rule, by their record: what each found, with its interval."""
    model = next(iter(verdicts.LADDER))
    found = {name: verdicts.finding(test, model, 0.95) for name, test in CONTRARY.items()}
    return {
        name: f"{f.says}, {rp.points(f.comparison.metric())}, {verdicts.LADDER[model]}"
        for name, f in found.items()
        if f.verdict == "agrees"
    }


def side(claim: str, rule: Rule, said: Mapping[str, tuple[str, str]]) -> int:
    """1 where the verdict on ``claim`` supports the rule, -1 where it speaks against it, 0 where it leaves the matter open, 2 for no verdict."""
    speaks = VERDICTS.get(said[claim][0], 0)
    return -speaks if claim in rule.against and speaks != 2 else speaks


def evidence(rules: Iterable[Rule], said: Mapping[str, tuple[str, str]] | None = None) -> str:
    """What these rules rest on, in words: tests of ours that speak against them, leave them open or support them, and the literature.

    Parameters
    ----------
    rules
        The rules.
    said
        Claim -> verdict and model size; today's (:func:`found`) if left out.

    Returns
    -------
    str
        A sentence for each side that has a test, with the literature of the rules that stand no better; another for rules
        that no test of ours concerns.
    """
    said = said or found()
    tests: dict[int | None, list[str]] = {at: [] for at in (*EVIDENCE, None)}
    sources: dict[int | None, list[str]] = {at: [] for at in tests}
    for rule in rules:
        for claim in rule.tests:
            word, size = said[claim]
            opposite = "the opposite claim " if claim in rule.against else ""
            tests[side(claim, rule, said)].append(f"{opposite}{claim} ({word}{', ' + size if size else ''})")
        ours = [f"{contrary()[name]} ({name})" for name in rule.contrary if name in contrary()]
        tests[-1] += ours
        sides = [side(claim, rule, said) for claim in rule.tests] + [-1] * bool(ours)
        sources[min(sides, default=None)] += rule.literature

    def listed(names: list[str]) -> str:
        return ", ".join(dict.fromkeys(names))

    what = "part of this" if len([*filter(None, tests.values())]) + bool(sources[None]) > 1 else "this"
    text = []
    for at, (ours, theirs) in EVIDENCE.items():
        if tests[at]:
            text.append(ours.format(what=what, tests=listed(tests[at])))
        if tests[at] and sources[at]:
            text.append(theirs.format(literature=listed(sources[at])))
    if sources[None]:
        what = "the rest" if text else "this"
        text.append(f"No test of ours concerns {what}; it follows published work: {listed(sources[None])}.")
    return " ".join(text) or "This follows from the answers."
