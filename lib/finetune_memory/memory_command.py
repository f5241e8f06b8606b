"""The command ``finetune-memory``: ``estimate`` (which may be left out) and ``measure``."""

import argparse
import os
import sys

from finetune_memory import COMMANDS, estimate_command, known_models, measure_command

SUBCOMMANDS = {
    "estimate": (estimate_command, COMMANDS["memory"][1] + " (the default)"),
    "measure": (measure_command, COMMANDS["measure-memory"][1]),
}


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns its exit status: 0, 1 if a measurement failed, 2 for wrong settings, 130 if interrupted."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] not in (*SUBCOMMANDS, "-h", "--help"):
        if words and not words[0].startswith("-"):
            meant = known_models.suggestion(words[0], SUBCOMMANDS)
            print(f"finetune-memory: there is no command {words[0]!r}{meant}", file=sys.stderr)
            return 2
        words = ["estimate", *words]
    question = "Will this fine-tuning step fit the GPU?"
    parser = argparse.ArgumentParser(prog="finetune-memory", description=question)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, text) in SUBCOMMANDS.items():
        subparser = subparsers.add_parser(name, help=text, description=text)
        module.add_arguments(subparser)
        subparser.set_defaults(main=module.main)
    args = parser.parse_args(words)
    try:
        status = int(args.main(args))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    raise SystemExit(main())
