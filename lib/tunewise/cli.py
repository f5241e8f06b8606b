"""The command ``tunewise``. Each subcommand stands beside the room that does its work and is imported when called,
so that ``tunewise memory`` runs on a bare Python with nothing installed."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from tunewise import __version__
from tunewise.fetch import FetchError

# name -> (module with `add_arguments(parser)` and `main(args) -> int`, one line of help)
COMMANDS: dict[str, tuple[str, str]] = {
    "memory": ("tunewise.commands.memory", "how much GPU memory a fine-tuning step takes, and what it fits"),
    "measure-memory": ("tunewise.commands.measure_memory", "take real training steps here and record their peak memory"),
    "decide": ("tunewise.commands.decide", "prompt, examples, RAG or fine-tuning: eight questions, one piece of advice"),
    "ask": ("tunewise.commands.ask", "a question to your own documents, with the passages that the answer is from"),
    "doctor": ("tunewise.commands.doctor", "what this machine can do, and what is missing"),
    "run": ("tunewise.commands.run", "run an experiment, or find its finished record"),
    "list": ("tunewise.commands.list_runs", "the experiments and their records"),
    "labs": ("tunewise.commands.labs", "make, collect and repair lab notebooks"),
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tunewise", description="Should I fine-tune? Measure it.")
    parser.add_argument("--version", action="version", version=f"tunewise {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    argv = sys.argv[1:] if argv is None else argv
    wanted = next((word for word in argv if not word.startswith("-")), None)
    for name, (module, text) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text)
        if name == wanted:  # only the subcommand that is called is imported
            loaded = importlib.import_module(module)
            loaded.add_arguments(sub)
            sub.set_defaults(main=loaded.main)
    args = parser.parse_args(argv)
    try:
        return args.main(args)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except FetchError as error:  # its words are for the reader: which file, from where, how to get it
        print(f"tunewise {wanted}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in ("", "tunewise"):
            raise
        print(f"tunewise {wanted}: {package} is not installed: pip install 'tunewise[models]'", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
