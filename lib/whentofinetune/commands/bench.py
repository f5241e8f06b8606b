"""``make bench``: speed and accuracy against other tools, side by side in one go, with the ratios.

    python -m whentofinetune.commands.bench              all parts
    python -m whentofinetune.commands.bench training     one of them

Needs a checkout of the book (its folder ``bench/``) and the packages of requirements.txt. Each part is a program of its own, so
that one tool's memory and settings do not weigh on the next; within a part both sides run in the same process, one after the
other. A part writes what it found to ``data/bench/``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# name -> (program and arguments, what it compares)
PARTS = {
    "scoring": (("bench/speed.py", "scoring"), "label scoring: ours against lm-eval"),
    "training": (("bench/speed.py", "training"), "LoRA training: ours against TRL's SFTTrainer"),
    "generation": (
        ("bench/speed.py", "generation"),
        "answers from passages: ours against transformers' generate",
    ),
    "memory": (("bench/memory.py",), "peak memory: simulated against published and measured"),
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m whentofinetune.commands.bench", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all that are there)"
    )
    wanted = parser.parse_args(argv).parts or list(PARTS)
    if unknown := sorted(set(wanted) - set(PARTS)):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    failed = []
    for name in wanted:
        command, title = PARTS[name]
        print(f"\n==== {title} ====", flush=True)
        if not (ROOT / command[0]).exists():
            print(f"{command[0]} is not here: left out (`make bench` needs a checkout of the book)")
            failed += [name] if len(wanted) < len(PARTS) else []
            continue
        if subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
            failed.append(name)
    for name in wanted:
        report(ROOT / "data" / "bench" / f"speed-{name}.json", PARTS[name][1])
    if failed:
        print(f"\nFailed: {', '.join(failed)}. The messages above say why.", file=sys.stderr)
    return 1 if failed else 0


def report(path: Path, title: str) -> None:
    """Print a recorded part as a table, with where and when it was measured. Parts that print their own table have no such file."""
    if not path.exists():
        return
    record = json.loads(path.read_text(encoding="utf-8"))
    print(f"\n{title}; {record['device']}, {record['date']}")
    print(table(record["results"]))


def table(rows: Iterable[Mapping]) -> str:
    """Rows as columns of equal width; a row without a value leaves its place empty, lists are counted."""
    rows = list(rows)
    heads = list(dict.fromkeys(key for row in rows for key in row))

    def cell(value) -> str:
        if value is None:
            return ""
        if isinstance(value, float):
            return f"{value:.3g}"
        return str(len(value)) if isinstance(value, list) else str(value)

    lines = [heads, *([cell(row.get(head)) for head in heads] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join(
        "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in lines
    )


if __name__ == "__main__":
    sys.exit(main())
