"""The command ``tunewise``. Each subcommand is imported when it is called,
so that ``tunewise memory`` runs on a bare Python with nothing installed."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import sys

from tunewise import __version__
from tunewise.models.download import FetchError


def commands() -> dict[str, tuple[str, str]]:
    """Name -> (module with ``add_arguments(parser)`` and ``main(args) -> int``, one line of help) of every subcommand.

    A package adds its own by an entry point of the group ``tunewise.commands`` that names such a table.
    """
    found: dict[str, tuple[str, str]] = {}
    for point in sorted(importlib.metadata.entry_points(group="tunewise.commands"), key=lambda p: p.name):
        found |= point.load()
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tunewise", description="Should I fine-tune? Measure it.")
    parser.add_argument("--version", action="version", version=f"tunewise {__version__}")
    subcommands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    argv = sys.argv[1:] if argv is None else argv
    wanted = next((word for word in argv if not word.startswith("-")), None)
    for name, (module, text) in commands().items():
        sub = subcommands.add_parser(name, help=text, description=text)
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
        if package in ("", "tunewise", "whentofinetune", "finetune_memory"):
            raise
        print(
            f"tunewise {wanted}: {package} is not installed: pip install 'tunewise[models]'", file=sys.stderr
        )
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
