"""``tunewise run EXPERIMENT --scale SCALE``: run an experiment, or find its finished record."""

from __future__ import annotations

import argparse
import json
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from whentofinetune.book_records import SCALES

    parser.add_argument("experiment", help="its name; `tunewise list` shows all")
    parser.add_argument(
        "--scale",
        choices=SCALES,
        default="laptop",
        help="how much: seconds, minutes, an hour, a GPU (default: laptop)",
    )
    parser.add_argument("--fresh", action="store_true", help="run again even if a finished record is found")
    parser.add_argument("--model", help="another model of the registry than the scale's own")
    parser.add_argument(
        "--set",
        metavar="NAME=JSON",
        action="append",
        default=[],
        help='change a parameter, e.g. --set seeds="[0,1]"',
    )
    parser.add_argument(
        "--commit", action="store_true", help="write the record to data/runs/ too, as the book's own"
    )
    parser.add_argument("--json", action="store_true", help="print the whole record")


def main(args: argparse.Namespace) -> int:
    from whentofinetune import experiments
    from whentofinetune.book_records import committed

    changes = {}
    for pair in args.set:
        name, _, value = pair.partition("=")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            print(
                f"tunewise run: --set {pair}: the value is no JSON; write strings with quotes",
                file=sys.stderr,
            )
            return 2
    if args.model:
        changes["model"] = args.model

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        record = experiments.run(args.experiment, args.scale, fresh=args.fresh, say=say, **changes)
    except (ValueError, LookupError, OSError) as error:
        print(f"tunewise run: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    if args.commit:
        print(f"written: {record.save(committed(args.experiment, args.scale))}", file=sys.stderr)
    if args.json:
        from dataclasses import asdict

        print(json.dumps(asdict(record), ensure_ascii=False, indent=1))
    else:
        for row in record.results:
            print(_line(row))
        print(
            f"{len(record.results)} rows, {record.duration_s:.0f} s of computing, {record.device}, {record.date}"
        )
    return 0


def _line(row: dict) -> str:
    """A row in one line: settings, then each metric with its interval and n."""
    words = []
    for key, value in row.items():
        if isinstance(value, dict) and {"value", "low", "high", "n"} <= value.keys():
            words.append(
                f"{key} {value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}] n={value['n']}"
            )
        elif isinstance(value, str | int | float) and key not in ("predictions", "said"):
            words.append(f"{key} {value}")
    return "  ".join(words)
