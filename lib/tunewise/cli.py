"""The command ``tunewise``. Each subcommand is imported when it is called,
so that ``tunewise memory`` runs on a bare Python with nothing installed."""

import argparse
import importlib
import importlib.metadata
import os
import sys
from pathlib import Path

from tunewise import __version__
from tunewise.models.download import FetchError
from tunewise.paths import CacheError, cache_root, install_command


def commands() -> dict[str, tuple[str, str]]:
    """Name -> (module with ``add_arguments(parser)`` and ``main(args) -> int``, one line of help) of every subcommand.

    A package adds its own by an entry point of the group ``tunewise.commands`` that names such a table.
    """
    found: dict[str, tuple[str, str]] = {}
    for point in sorted(importlib.metadata.entry_points(group="tunewise.commands"), key=lambda p: p.name):
        found |= point.load()
    return found


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status. Errors that are the user's to mend become one line."""
    argv = sys.argv[1:] if argv is None else argv
    wanted = next((word for word in argv if not word.startswith("-")), None)
    try:
        return _run(argv, wanted)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (FetchError, CacheError) as error:  # written for the reader: what is wrong, and the remedy
        said = str(error)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in ("", "tunewise", "whentofinetune", "finetune_memory"):  # a fault of our own
            raise
        said = f"{package} is not installed: {install_command('models', 'rag')}"
    except OSError as error:  # a full or read-only disk shows when the first file is written
        if not (error.filename and Path(os.fsdecode(error.filename)).is_relative_to(cache_root())):
            raise
        said = str(CacheError(cache_root(), error))
    print(f"tunewise {wanted}: {said}", file=sys.stderr)
    return 1


def _run(argv: list[str], wanted: str | None) -> int:
    parser = argparse.ArgumentParser(prog="tunewise", description="Should I fine-tune? Measure it.")
    parser.add_argument("--version", action="version", version=f"tunewise {__version__}")
    subcommands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, text) in commands().items():
        sub = subcommands.add_parser(name, help=text, description=text)
        if name == wanted:  # only the subcommand that is called is imported
            loaded = importlib.import_module(module)
            loaded.add_arguments(sub)
            sub.set_defaults(main=loaded.main)
    args = parser.parse_args(argv)
    status: int = args.main(args)
    return status
