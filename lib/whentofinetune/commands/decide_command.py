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

MAKE = "`tunewise decide --questions > answers.yml` writes the form; fill it in, then `tunewise decide --answers answers.yml`"


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
            raise ValueError(f"no answers: {MAKE}")
        answers = parse(_read(args.answers))
        found = decide.decide(answers)
        if args.record:
            today = datetime.date.today().isoformat()
            args.record.write_text(decide.record(answers, today), encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"tunewise decide: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found.to_dict(), indent=2) if args.json else "\n".join(report(found)))
    return 0


def _read(name: str) -> str:
    """The file of answers, or what is piped in. Raises ValueError, with what to do, where it can't be read."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"there is no file {name} in {Path.cwd()}: {MAKE}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{name} is no text in UTF-8: save it as such, or {MAKE}") from None
    except OSError as error:
        raise ValueError(f"{name} can't be read ({error.strerror}): {MAKE}") from None


def parse(text: str) -> dict:
    """Answers from JSON or YAML; nothing is answered in an empty text. Raises ValueError if it is neither, or answers a question twice."""
    try:
        found = _parsed(text)
    except RecursionError:
        raise ValueError(f"the answers are lists inside lists: {MAKE}") from None
    if not isinstance(found, dict):
        raise ValueError(f"the answers are no lines of `question: answer`: {MAKE}")
    return found


def _parsed(text: str) -> object:
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"the answers are not valid JSON ({error}); {MAKE}") from None
    try:
        node = yaml.compose(text)
        names = [str(key.value) for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"answered a second time: {', '.join(sorted(twice))}")
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ValueError(f"the answers are not valid YAML ({why}{place}); {MAKE}") from None


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
