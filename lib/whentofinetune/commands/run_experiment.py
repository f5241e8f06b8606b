"""``tunewise run EXPERIMENT ... --scale SCALE``: run experiments, or find their finished records."""

import argparse
import json
import sys
from dataclasses import asdict

from tunewise.record import SCALES, Record, Row
from whentofinetune import book_records, experiments
from whentofinetune.commands import run_parts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("experiment", nargs="+", help="one or more; `tunewise list` shows all")
    scale = "how much: seconds, minutes, an hour, a GPU (default: %(default)s)"
    add("--scale", choices=SCALES, default="laptop", help=scale)
    add("--fresh", action="store_true", help="run again even if a finished record is found")
    add("--model", help="another model of the registry than the scale's own")
    change = 'change a parameter, e.g. --set seeds="[0,1]"'
    add("--set", metavar="NAME=JSON", action="append", default=[], help=change)
    add("--commit", action="store_true", help="write the record to data/runs/ too, as the book's own")
    add("--force-commit", action="store_true", help="the same, even with parameters that are not the book's")
    jobs = "processes at once, each with its own seed: 16 on a GPU (default: %(default)s)"
    add("--jobs", type=int, default=1, metavar="N", help=jobs)
    part = "only the conditions of this seed and those without one, for the whole run to find"
    add("--part", type=int, metavar="SEED", help=part)
    add("--json", action="store_true", help="print the whole record")


def main(args: argparse.Namespace) -> int:
    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def refused(why: object) -> int:
        say(f"tunewise run: {why}")
        return 2

    changes = {}
    for pair in args.set:
        name, _, value = pair.partition("=")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            return refused(f"--set {pair}: the value is no JSON; write strings with quotes")
    if args.commit and changes and not args.force_commit:
        return refused(
            f"--commit would put a run with other {', '.join(changes)} in the place of the book's record. Leave it out "
            "(your run is kept in the cache; --json > FILE writes it where you like), or say --force-commit"
        )
    if args.jobs < 1:
        return refused(f"--jobs must be 1 or more; it was given {args.jobs}")
    if args.jobs > 1 and (args.json or args.fresh):
        return refused(
            "--jobs goes with neither --json nor --fresh: run it with --jobs first, then again without"
        )
    changes |= {"model": args.model} if args.model else {}
    try:
        if args.jobs > 1:
            return run_parts.run(run_parts.jobs_of(args, changes), args.jobs, say)
        only = None if args.part is None else lambda c: c.seed in (None, args.part)
        for name in args.experiment:
            record = experiments.run(name, args.scale, fresh=args.fresh, say=say, only=only, **changes)
            if only:
                continue
            if args.commit or args.force_commit:
                path = book_records.committed(name, args.scale, record.model)
                say(f"written: {record.save(path)}")
            show(record, args.json)
    except (ValueError, LookupError, OSError) as error:
        return refused(error)
    except KeyboardInterrupt:
        say("\nstopped; the same command goes on from here")
        return 130
    return 0


def show(record: Record, as_json: bool) -> None:
    """Print a record: whole, or one line a row."""
    if as_json:
        print(json.dumps(asdict(record), ensure_ascii=False, indent=1))
        return
    for row in record.results:
        print(line(row))
    print(f"{len(record.rows)} rows, {record.duration_s:.0f} s of computing, {record.device}, {record.date}")


def line(row: Row) -> str:
    """A row in one line: settings, then each metric with its interval and number of items, then figures about the whole."""
    plain = {k: v for k, v in row.raw.items() if k not in ("items", "outcomes", "predictions", "facts")}
    words = [f"{k} {v}" for k, v in plain.items()]
    facts = row.raw.get("facts", {})
    for name in (*row.metrics, *(k for k, v in facts.items() if isinstance(v, dict) and "n" in v)):
        m = row[name] if name in facts else row.metric(name)
        value = "-" if m["value"] is None else f"{m['value']:.3f}"
        bounds = "" if m["low"] is None else f" [{m['low']:.3f}, {m['high']:.3f}]"
        words.append(f"{name} {value}{bounds} n={m['n']}")
    return "  ".join([*words, *(f"{k} {v}" for k, v in facts.items() if isinstance(v, int | float))])
