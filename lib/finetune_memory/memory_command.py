"""The command ``finetune-memory``: ``estimate`` (which may be left out) and ``measure``."""

from __future__ import annotations

import argparse
import sys

from finetune_memory import estimate_command, measure_command

SUBCOMMANDS = {
    "estimate": (
        estimate_command,
        "how much GPU memory a fine-tuning step takes, and what it fits (the default)",
    ),
    "measure": (measure_command, "take real training steps here and record their peak memory"),
}


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : list of str, optional
        Its words; those of the command line by default.

    Returns
    -------
    int
        Exit status: 0, 1 if a measurement failed, 2 for wrong settings, 130 if interrupted.
    """
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] not in (*SUBCOMMANDS, "-h", "--help"):
        words = ["estimate", *words]
    parser = argparse.ArgumentParser(
        prog="finetune-memory", description="Will this fine-tuning step fit the GPU?"
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, text) in SUBCOMMANDS.items():
        subparser = subparsers.add_parser(name, help=text, description=text)
        module.add_arguments(subparser)
        subparser.set_defaults(main=module.main)
    args = parser.parse_args(words)
    return int(args.main(args))


if __name__ == "__main__":
    raise SystemExit(main())
