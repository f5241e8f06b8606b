"""``tunewise claims [C12 ...]``: the article's claims, the tests that decide them, and what the records say for each model."""

import argparse
import json
import sys
from dataclasses import asdict

from whentofinetune import verdicts
from whentofinetune.pages.condition_names import named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("claim", nargs="*", help="ids such as C12; all of them if none is given")
    parser.add_argument("--json", action="store_true", help="everything as JSON")


def main(args: argparse.Namespace) -> int:
    """Print the board, or the claims named with their tests; 2 for a claim that there is not."""
    known = verdicts.claims()
    if unknown := [c for c in args.claim if c not in known]:
        there = f"there are C1 to C{len(known)}"
        print(f"tunewise claims: there is no claim {unknown[0]!r}; {there}", file=sys.stderr)
        return 2
    rows = [r for r in verdicts.board() if not args.claim or r["claim"] in args.claim]
    if args.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1, default=asdict))
        return 0
    for row in rows:
        words = "  ".join(f"{size}: {row['words'][model]}" for model, size in verdicts.LADDER.items())
        print(f"{row['claim']}  {row['says']}\n    {words if row['kind'] == 'effect' else row['kind']}")
        for f in row["findings"] if args.claim else ():
            margin = f"margin {f.margin:g}, predicted {f.predicted}"
            against = f" (closest: {named(f.rival)})" if f.rival else ""
            print(f"    {f.says}{against}\n      {f.reason} [{margin}]")
    if not args.claim:
        print(", ".join(f"{n} {word}" for word, n in verdicts.counts(rows).items()))
    return 0
