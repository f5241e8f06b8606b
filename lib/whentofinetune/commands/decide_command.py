"""``tunewise decide``: the eight questions, and what follows from the answers. Runs on a bare Python."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import textwrap
from pathlib import Path

from whentofinetune.calculators import decide


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--questions", action="store_true", help="print the form; it is a file of answers to fill in"
    )
    parser.add_argument(
        "--answers",
        metavar="FILE",
        help="JSON, YAML or lines of `question: answer`; - reads what is piped in",
    )
    parser.add_argument("--json", action="store_true", help="print the advice as JSON")
    parser.add_argument(
        "--record", type=Path, metavar="FILE.md", help="also write a decision record of one page, in Markdown"
    )


def main(args: argparse.Namespace) -> int:
    if args.questions:
        print(decide.form(), end="")
        return 0
    try:
        if not args.answers:
            raise ValueError(
                "no answers: `tunewise decide --questions > answers.yml`, fill it in, then `tunewise decide --answers answers.yml`"
            )
        answers = parse(
            sys.stdin.read() if args.answers == "-" else Path(args.answers).read_text(encoding="utf-8-sig")
        )
        advice = decide.decide(answers)
        if args.record:
            args.record.write_text(
                decide.record(answers, datetime.date.today().isoformat()), encoding="utf-8"
            )
    except (OSError, ValueError) as error:
        print(f"tunewise decide: {error}", file=sys.stderr)
        return 2
    print(json.dumps(advice.to_dict(), indent=2) if args.json else report(advice))
    return 0


def parse(text: str) -> dict:
    """Answers from JSON, from YAML if PyYAML is there, or from lines of ``question: answer``. Raises ValueError if it is none of these."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"the answers are not valid JSON: {error}") from None
    try:
        import yaml
    except ImportError:
        return _lines(text)
    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"the answers are not valid YAML: {error}") from None


def _lines(text: str) -> dict:
    answers = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        name, colon, answer = (part.strip() for part in line.partition(":"))
        if line in ("", "---"):
            continue
        if not colon or not name or not answer:
            raise ValueError(f"line {number} of the answers is not `question: answer`: {line!r}")
        if name in answers:
            raise ValueError(f"line {number} answers {name} a second time")
        answers[name] = answer.strip("\"'")
    return answers


def report(advice: decide.Advice) -> str:
    """The advice for a terminal."""
    body = [*map(_wrapped, decide.verdict(advice).split("\n")), "", "Reasons"]
    for rule in advice.reasons:
        body += [
            _wrapped(f"{decide.step(rule)}: {rule.why}", "- "),
            _wrapped(f"[{decide.backing(rule)}]", "  "),
        ]
    body += ["", "What would change the advice"]
    for c in advice.changes:
        answers = " or ".join(f"'{decide.label(c.question, a)}'" for a in c.answers)
        body.append(
            _wrapped(f"{decide.FORM[c.question].title}: {answers} -> {decide.OUTCOMES[c.outcome][0]}", "- ")
        )
    return "\n".join(body)


def _wrapped(text: str, start: str = "") -> str:
    return textwrap.fill(
        text,
        110,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )
