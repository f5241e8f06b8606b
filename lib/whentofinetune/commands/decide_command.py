"""``tunewise decide``: the eight questions, and what follows from the answers."""

import argparse
import datetime
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import yaml

from whentofinetune.calculators import decide
from whentofinetune.calculators.found import evidence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("--questions", action="store_true", help="print the form; it is a file of answers to fill in")
    text = "JSON, or YAML: lines of `question: answer`; - reads what is piped in"
    add("--answers", metavar="FILE", help=text)
    add("--json", action="store_true", help="print the recommendation as JSON")
    text = "also write a decision record of one page, in Markdown"
    add("--record", type=Path, metavar="FILE.md", help=text)


def main(args: argparse.Namespace) -> int:
    """Run the command; 2 for answers that cannot be read."""
    if args.questions:
        print(decide.form(), end="")
        return 0
    try:
        if not args.answers:
            raise ValueError(
                "no answers: `tunewise decide --questions > answers.yml`, fill it in, then `tunewise decide --answers answers.yml`"
            )
        text = sys.stdin.read() if args.answers == "-" else Path(args.answers).read_text(encoding="utf-8-sig")
        answers = parse(text)
        found = decide.decide(answers)
        if args.record:
            today = datetime.date.today().isoformat()
            args.record.write_text(decide.record(answers, today), encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"tunewise decide: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found.to_dict(), indent=2) if args.json else "\n".join(report(found)))
    return 0


def parse(text: str) -> dict:
    """Answers from JSON or YAML. Raises ValueError if it is neither, or answers a question twice."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"the answers are not valid JSON: {error}") from None
    try:
        node = yaml.compose(text)
        names = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"answered a second time: {', '.join(sorted(twice))}")
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"the answers are not valid YAML: {error}") from None


def report(found: decide.Recommendation) -> Iterator[str]:
    """The recommendation for a terminal, line by line."""
    yield from map(_wrapped, decide.in_words(found).split("\n"))
    yield "\nReasons"
    for rule in found.reasons:
        yield _wrapped(f"{decide.step(rule)}: {rule.why}", "- ")
        yield _wrapped(f"[{evidence([rule])}]", "  ")
    yield "\nWhat would change the recommendation"
    for c in found.changes:
        answers = " or ".join(f"'{decide.label(c.question, a)}'" for a in c.answers)
        question, outcome = decide.FORM[c.question].title, decide.OUTCOMES[c.outcome].title
        yield _wrapped(f"{question}: {answers} -> {outcome}", "- ")


def _wrapped(text: str, start: str = "") -> str:
    indent = {"initial_indent": start, "subsequent_indent": " " * len(start)}
    return textwrap.fill(text, 110, **indent, break_long_words=False, break_on_hyphens=False)
