"""``tunewise compare``: a labelled file of your own, and what to do about it."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tunewise.compare.base import OwnData
from tunewise.compare.check_command import data_options
from tunewise.compare.compare_options import add_arguments, again, settings_of
from tunewise.models.download import FetchError
from tunewise.paths import CacheError, install_command
from tunewise.step_cache import write_whole
from tunewise.words import counted, duration

if TYPE_CHECKING:
    from tunewise.compare.base import Report

__all__ = ["add_arguments", "main"]
DECIDED, CANNOT_TELL, NOT_RUN = 0, 1, 2
CUT = ("sampled", "rare_label", "too_long")  # findings by which less is compared than the file holds


def main(args: argparse.Namespace) -> int:
    """Run the comparison; 0 decided, 1 cannot tell, 2 could not run."""
    from tunewise.compare.printable import visible

    stream = sys.stderr if args.json else sys.stdout

    def say(line: str) -> None:
        print(visible(line), file=stream, flush=True)

    try:
        return _compare(args, say)
    except ModuleNotFoundError as error:
        said = f"{error.name} is not installed: {install_command('models')}"
    except (ImportError, ValueError, RuntimeError, FetchError, CacheError) as error:  # written for the reader
        said = str(error)
    except OSError as error:
        said = f"{error.filename or 'a file'} can't be used ({error.strerror or error})"
    except KeyboardInterrupt:
        said = "stopped; what is done is kept, and the same command goes on from there"
    print(visible(f"tunewise compare: {said}"), file=sys.stderr)
    return NOT_RUN


def _compare(args: argparse.Namespace, say: Callable[[str], None]) -> int:
    from tunewise.compare.documents_command import judge_documents
    from tunewise.compare.intake import prepare
    from tunewise.compare.plan import finds, plan
    from tunewise.compare.run import run, to_score
    from tunewise.compare.workbench import Workbench

    settings = settings_of(args)
    _check_output(args)
    if args.questions:
        return judge_documents(args.questions, settings, say, as_json=args.json, dry=args.dry_run)
    if not args.file:
        raise ValueError("name a file of labelled rows, or --docs FOLDER --questions FILE")
    data = prepare(args.file, pool=args.pool, **data_options(args))
    for line in introduction(data):
        say(line)
    if args.dry_run:
        made = plan(Workbench(to_score(data, settings), settings, say), fetch=False)
        for line in (*made.lines(settings.budget), *finds(data, made.arms)):
            say(line)
        return DECIDED
    report = run(data, settings, say)
    if report.waiting:
        report = dataclasses.replace(report, command=again(args, sum(report.waiting.values())))
    tell(report, say)
    write(report, say, as_json=args.json)
    return CANNOT_TELL if report.decision.kind == "cannot_tell" else DECIDED


def _check_output(args: argparse.Namespace) -> None:
    """Raises ValueError where the report can't be written, or where it, the JSON beside it or the winner's folder would lie on what is read,
    or among the documents."""
    from tunewise.compare.winner import folder_of

    output = args.output
    if output.is_dir():
        raise ValueError(f"-o {output} is a folder: name a file in it, such as {output / 'report.html'}")
    if (beside := output.with_suffix(".json")).is_dir():
        raise ValueError(
            f"-o {output}: {beside}, for the predictions, is a folder; name another place with -o"
        )
    if output.suffix.lower() != ".html":
        raise ValueError(f"-o {output}: the report is a page, so its name must end in .html")
    scorer = args.scorer and args.scorer.rpartition(":")[0]
    read = (
        args.file,
        args.pool,
        args.docs,
        args.questions,
        args.prompt_file,
        args.schema,
        args.prices,
        scorer,
    )
    for name in filter(None, read):
        for written in (output, output.with_suffix(".json"), folder_of(output)):
            ours, theirs = _place(written), _place(Path(name))
            if ours == theirs or ours in theirs.parents or theirs in ours.parents:
                raise ValueError(
                    f"-o {output} would write {written} over or into {name}: name another place with -o"
                )
    _try_to_write(output)


def _try_to_write(output: Path) -> None:
    """Raises ValueError where the report can't be written. It is tried in a folder that is gone again afterwards."""
    there = next(folder for folder in output.absolute().parents if folder.exists())
    below = output.absolute().relative_to(there)
    try:
        with tempfile.TemporaryDirectory(prefix=".tunewise-", dir=there) as trial:
            write_whole(Path(trial) / below.with_suffix(".json"), "")
    except OSError as error:
        said = f"-o {output} can't be written: {there} ({error.strerror or error})"
        raise ValueError(
            f"{said}; name a place where you may write, such as {Path.home() / output.name}"
        ) from error


def _place(path: Path) -> Path:
    """Where a path leads; small letters, as not every disk tells tickets.JSON from tickets.json."""
    return Path(str(path.expanduser().resolve()).lower())


def tell(report: Report, say: Callable[[str], None]) -> None:
    """Print what was not run, the table, and the verdict with what it rests on."""
    from tunewise.compare.next_steps import weakest
    from tunewise.compare.terminal_table import WIDTH, table
    from tunewise.compare.verdict_words import how_split

    gone = {name for name, _ in report.missing}
    for name, why in report.missing:
        if name.partition("@")[0] not in gone - {name}:  # a learning curve goes with its arm
            say(f"Not run: {name} ({why})")
    say(f"\n{table(report)}\n")
    decision = report.decision
    notes = (f"{arm.title}: {note}" for arm in report.arms for note in arm.notes)
    below = (how_split(report.data), weakest(report, report.arm(decision.winner or decision.leading)))
    for sentence in (*notes, decision.sentence, *below, *decision.reasons):
        if sentence:
            say(textwrap.fill(sentence, WIDTH))
    if report.waiting:
        say(f"To run the rest (about {duration(sum(report.waiting.values()))}):\n  {report.command}")


def write(report: Report, say: Callable[[str], None], *, as_json: bool) -> None:
    """Write the report and what is to be taken home; where that fails, the verdict stands all the same."""
    from tunewise.compare.html_report import write_html
    from tunewise.compare.json_report import as_json as json_of
    from tunewise.compare.json_report import write_json
    from tunewise.compare.next_steps import without_folder
    from tunewise.compare.printable import visible
    from tunewise.compare.terminal_table import WIDTH
    from tunewise.compare.winner import write_winner

    if as_json:
        print(json_of(report))
    output, decision = report.settings.output, report.decision
    try:
        page, predictions = write_html(report, output), write_json(report, output.with_suffix(".json"))
        say(f"\nThe report is in {page}, every prediction in {predictions}.")
        if folder := write_winner(report, say=say):
            say(f"What won is in {folder}, ready to use.")
        elif not decision.winner:
            say("No folder was written: nothing won.")
        else:
            said, _, command = without_folder(report, report.arm(decision.winner)).partition("\n")
            say(f"{textwrap.fill(said, WIDTH)}\n{command}".rstrip())
    except (OSError, ValueError) as error:
        why = str(error)
        if isinstance(error, OSError):
            why = f"{error.filename or output.parent} ({error.strerror or 'is the disk full?'})"
        remedy = "mend that, or name another place with -o: the same command finds all results again"
        print(visible(f"tunewise compare: not all could be written: {why}; {remedy}"), file=sys.stderr)


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
