"""``tunewise compare``: a labelled file of your own, and what to do about it."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
import shlex
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewise.compare.base import OwnData, Settings
from tunewise.compare.check_command import add_data_options, data_options
from tunewise.compare.health import counted
from tunewise.models.download import FetchError
from tunewise.paths import CacheError, install_command

if TYPE_CHECKING:
    from tunewise.compare.base import Report

DECIDED, CANNOT_TELL, NOT_RUN = 0, 1, 2
CUT = ("sampled", "rare_label", "too_long")  # findings by which less is compared than the file holds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    usual = Settings()
    parser.epilog = "exit status: 0 decided, 1 cannot tell, 2 could not run"
    add_data_options(parser, needed=False)
    add = parser.add_argument
    add("--docs", type=Path, metavar="FOLDER", help="your documents: answers from them are compared, too")
    add(
        "--questions",
        type=Path,
        metavar="FILE",
        help="with --docs, in place of a file of rows: questions with their right answers, to judge search and reader by",
    )
    add(
        "--model",
        default=usual.model,
        metavar="NAME",
        help=f"a name from `tunewise models`, a folder, an id on the Hub ({usual.model})",
    )
    add(
        "--margin",
        type=_share,
        default=usual.margin,
        metavar="SHARE",
        help=f"the smallest difference that matters to you ({usual.margin})",
    )
    add("--need", type=_share, metavar="SHARE", help="what an arm must reach to be any good, such as 0.9")
    add(
        "--budget",
        type=_seconds,
        metavar="TIME",
        help="stop when it is spent, also within an arm; what is done is kept: 90s, 20m, 2h",
    )
    add(
        "--calls",
        type=_count,
        default=usual.calls,
        metavar="N",
        help=f"calls a month, for the cost ({usual.calls})",
    )
    add("--prices", type=Path, metavar="FILE", help="your own prices (TOML), in place of ours")
    add(
        "--balanced",
        action="store_true",
        help="train on as many rows of each label, not on their natural shares",
    )
    add(
        "--prompt",
        type=Path,
        metavar="FILE",
        help="your own prompt: a text with {text}, and {labels} if you like; or YAML with system, labels, prompt",
    )
    add(
        "--metric",
        choices=("exact", "f1", "contains", "fields", "all_fields", "valid"),
        help="what decides where answers are written",
    )
    add(
        "--scorer",
        metavar="FILE.py:FUNCTION",
        help="your own score of an answer: function(prediction, target) -> number",
    )
    add(
        "--schema",
        type=Path,
        metavar="FILE",
        help="JSON Schema of an extraction; else read off the right answers",
    )
    add("--pool", metavar="FILE", help="rows without a label: which to label next")
    add(
        "--endpoint",
        metavar="URL",
        help="an OpenAI-compatible server as one more arm; its key from TUNEWISE_API_KEY or OPENAI_API_KEY",
    )
    add("--endpoint-model", metavar="NAME", help="the model that the server shall use")
    for side in ("in", "out"):
        add(
            f"--price-{side}",
            type=float,
            default=0.0,
            metavar="EURO",
            help=f"the server's price of a million tokens {side} (0)",
        )
    add(
        "--only",
        type=_names,
        default=(),
        metavar="ARMS",
        help="only these arms, with commas between them; --dry-run names all",
    )
    add("--skip", type=_names, default=(), metavar="ARMS", help="all arms but these")
    add(
        "-o",
        "--output",
        type=Path,
        default=usual.output,
        metavar="FILE",
        help=f"where the report goes ({usual.output})",
    )
    add(
        "--json",
        action="store_true",
        help="print the report as JSON, with every prediction; all else goes to stderr",
    )
    add("--dry-run", action="store_true", help="show the plan, and run nothing")


def main(args: argparse.Namespace) -> int:
    """Run the comparison; 0 decided, 1 cannot tell, 2 could not run."""
    from tunewise.compare.documents_formats import visible

    stream = sys.stderr if args.json else sys.stdout

    def say(line: str) -> None:
        print(visible(line), file=stream, flush=True)

    try:
        return _compare(args, say)
    except ModuleNotFoundError as error:
        said = f"{error.name} is not installed: {install_command('models')}"
    except (ValueError, RuntimeError, FetchError, CacheError) as error:  # written for the reader
        said = str(error)
    except OSError as error:
        said = f"{error.filename or 'a file'} can't be used ({error.strerror or error})"
    except KeyboardInterrupt:
        said = "stopped before anything was measured"
    print(visible(f"tunewise compare: {said}"), file=sys.stderr)
    return NOT_RUN


def _compare(args: argparse.Namespace, say: Callable[[str], None]) -> int:
    from tunewise.compare.documents_command import judge_documents
    from tunewise.compare.intake import prepare
    from tunewise.compare.plan import plan
    from tunewise.compare.run import run, to_score
    from tunewise.compare.workbench import Workbench

    settings = settings_of(args)
    if settings.output.is_dir():
        raise ValueError(
            f"-o {settings.output} is a folder: name a file in it, such as {settings.output / 'report.html'}"
        )
    if args.questions:
        return judge_documents(args.questions, settings, say, as_json=args.json, dry=args.dry_run)
    if not args.file:
        raise ValueError("name a file of labelled rows, or --docs FOLDER --questions FILE")
    data = prepare(args.file, pool=args.pool, **data_options(args))
    for line in introduction(data):
        say(line)
    if args.dry_run:
        for line in plan(Workbench(to_score(data, settings), settings, say), dry=True).lines():
            say(line)
        return DECIDED
    report = run(data, settings, say)
    if report.waiting:
        report = dataclasses.replace(report, command=again(args, sum(report.waiting.values())))
    return finish(report, args, say)


def again(args: argparse.Namespace, seconds: float) -> str:
    """The same command, with a budget for work that is expected to take so long: half as much again, and a minute, for a slow moment."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    budget = f"{math.ceil(1.5 * seconds / 60) + 1}m" if args.budget is not None else None
    said = ["tunewise", "compare"]
    for action in parser._actions:
        value = budget if action.dest == "budget" else getattr(args, action.dest, action.default)
        if value == action.default or not action.option_strings:
            continue
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        said += [action.option_strings[-1], *([] if value is True else [text])]
    return shlex.join([*said[:2], str(args.file), *said[2:]])


def finish(report: Report, args: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Print the verdict, write what is to be taken home, and say by the status whether it is decided."""
    from tunewise.compare.documents_formats import visible
    from tunewise.compare.html_report import write_html
    from tunewise.compare.json_report import as_json, write_json
    from tunewise.compare.next_steps import weakest
    from tunewise.compare.terminal_table import WIDTH, table
    from tunewise.compare.verdict_words import duration, how_split
    from tunewise.compare.winner import write_winner

    for name, why in report.missing:
        say(f"Not run: {name} ({why})")
    say(f"\n{table(report)}\n")
    for arm in report.arms:
        for note in arm.notes:
            say(textwrap.fill(f"{arm.title}: {note}", WIDTH))
    decision = report.decision
    below = (how_split(report.data), weakest(report, report.arm(decision.winner or decision.leading)))
    for sentence in (decision.sentence, *below, *decision.reasons):
        if sentence:
            say(textwrap.fill(sentence, WIDTH))
    if report.waiting:
        say(f"To run the rest (about {duration(sum(report.waiting.values()))}):\n  {report.command}")
    if args.json:
        print(as_json(report))
    output = report.settings.output
    try:
        say(
            f"\nThe report is in {write_html(report, output)}, every prediction in {write_json(report, output.with_suffix('.json'))}."
        )
        if folder := write_winner(report):
            say(f"What won is in {folder}, ready to use.")
        elif not report.decision.winner:
            say("No folder was written: nothing won.")
    except (OSError, ValueError) as error:  # the verdict stands above
        why = f"{error.filename} ({error.strerror})" if isinstance(error, OSError) else str(error)
        remedy = "mend that, or name another place with -o: the same command finds all results again"
        print(visible(f"tunewise compare: not all could be written: {why}; {remedy}"), file=sys.stderr)
    return CANNOT_TELL if report.decision.kind == "cannot_tell" else DECIDED


def introduction(data: OwnData) -> list[str]:
    """What was read, guessed and found, in a few lines."""
    serious = [finding for finding in data.findings if finding.serious]
    what = f"{len(data.labels)} labels" if data.labels else data.kind
    rows = (
        f"{len(data.train)} rows to learn from, {len(data.valid)} to choose by, {len(data.test)} to test on"
    )
    lines = [f"{data.name}: {what}; {rows}.", *data.columns.guessed]
    lines += [f"Careful: {finding.said} ({finding.done})" for finding in serious]
    cut = [finding for finding in data.findings if finding not in serious and finding.kind in CUT]
    lines += [f"{finding.said} ({finding.done})" for finding in cut]
    if more := len(data.findings) - len(serious) - len(cut):
        lines.append(f"{counted(more, 'smaller finding')}: tunewise check says which.")
    return lines


def settings_of(args: argparse.Namespace) -> Settings:
    """The options of the command as settings."""
    same = (
        "model",
        "margin",
        "need",
        "seed",
        "budget",
        "calls",
        "prices",
        "balanced",
        "metric",
        "scorer",
        "schema",
        "endpoint",
        "endpoint_model",
        "docs",
        "only",
        "skip",
        "output",
    )
    given: dict[str, Any] = {name: getattr(args, name) for name in same}
    return Settings(**given, prompt_file=args.prompt, endpoint_price=(args.price_in, args.price_out))


def _share(text: str) -> float:
    """``0.9`` or ``90%``."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(
            f"a share between 0 and 1 is wanted, such as 0.03 or 3%; got {text!r}"
        )
    return value


def _seconds(text: str) -> float:
    """``90s``, ``20m``, ``1.5h``, or seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip().lower())
    if not found:
        raise argparse.ArgumentTypeError(f"a time is wanted, such as 90s, 20m or 2h; got {text!r}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def _count(text: str) -> int:
    if not text.replace("_", "").isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number above 0 is wanted; got {text!r}")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
