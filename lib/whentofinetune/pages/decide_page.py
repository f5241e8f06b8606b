"""The rules of the decision helper, to read on its page."""

import html
import re

from tunewise.report import Html
from whentofinetune import verdicts
from whentofinetune.calculators import decide as d
from whentofinetune.calculators.decide_rules import CONTRARY, NEEDS, OUTCOMES, QUESTIONS, RULES, STEPS
from whentofinetune.calculators.found import evidence
from whentofinetune.pages.verdict import cite, link, sources


def rules() -> Html:
    """All rules to read, in the order in which they are tried, a fold for each stage."""
    heads = {
        "facts": "Facts: the first that fits decides",
        "style": "Tone and behaviour: the first that fits decides",
        "recommendation": "The recommendation: the first that fits decides",
        "note": "Notes: every one that fits is added",
        "conflict": "Asked back: every one that fits",
    }
    parts = []
    for stage, head in heads.items():
        items = "".join(_rule(rule) for rule in RULES if rule.stage == stage)
        parts.append(f"<details><summary>{head}</summary><ol>{items}</ol></details>")
    text = "\n".join(f"{rule.stage}: {rule.name}: {rule.why}" for rule in RULES)
    return Html(f'<div class="tw-rules">{"".join(parts)}</div>', text)


def _rule(rule: d.Rule) -> str:
    """One rule: if, then, because, and what it rests on."""
    asked = {q.name: q.title for q in QUESTIONS}

    def said(what: str, answer: str) -> str:
        if what in asked:
            return f"“{d.label(what, answer)}”"
        return OUTCOMES[answer].title if what == "recommendation" else NEEDS[what][answer]

    conditions = [
        f"<b>{html.escape(asked.get(what, what).lower())}</b> is {html.escape(' or '.join(said(what, a) for a in allowed))}"
        for what, allowed in rule.when.items()
    ]
    then = {"note": f"under {STEPS.get(rule.then)}", "conflict": "ask"}.get(rule.stage)
    then = then or f"then {said(rule.stage, rule.then)}"
    return (
        f"<li><b>{html.escape(rule.name)}</b><br>{'If ' + ', and '.join(conditions) if conditions else 'Else'}: {html.escape(then)}. "
        f"{html.escape(rule.why)}<br><small>{_linked(evidence([rule]))}</small></li>"
    )


def _linked(text: str) -> str:
    """Claims with a link to their verdict, sources by their short names with a link."""

    def linked(match: re.Match) -> str:
        word = match[0]
        if word in sources():
            return link(*cite(word))
        if word in CONTRARY:
            return link(CONTRARY[word]["title"], f"{CONTRARY[word]['chapter']}.html")
        chapter = verdicts.claims().get(word, {}).get("chapter")
        return link(word, f"{chapter}.html#{word}" if chapter else "")

    return re.sub(r"\b\w+\b", linked, html.escape(text))
