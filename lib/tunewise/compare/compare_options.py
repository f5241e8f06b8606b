"""What may follow ``tunewise compare``: the options, their values, and the command line that runs what is left."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunewise.compare.base import Settings
from tunewise.compare.check_command import add_data_options

OF_QUESTIONS = {"docs", "questions", "model", "margin", "need", "budget", "seed"}
OF_QUESTIONS |= {"endpoint", "endpoint_model", "output", "json", "dry_run", "fresh"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    usual = Settings()
    parser.epilog = "exit status: 0 decided among the arms that were run, 1 cannot tell, 2 could not run"
    add_data_options(parser, needed=False)

    def add(name: str, value: str, help: str, kind: Callable[[str], Any] = str, usual: Any = None) -> None:
        parser.add_argument(name, metavar=value, help=help, type=kind, default=usual)

    add("--docs", "FOLDER", "your documents: answers from them are compared, too", Path)
    rows = "with --docs, in place of a file of rows: questions with their right answers, to judge search and reader by"
    add("--questions", "FILE", rows, Path)
    model = f"a name from `tunewise models`, a folder, an id on the Hub ({usual.model})"
    add("--model", "NAME", model, usual=usual.model)
    margin = f"the smallest difference that matters to you ({usual.margin})"
    add("--margin", "SHARE", margin, share, usual.margin)
    add("--need", "SHARE", "what an arm must reach to be any good, such as 0.9", share)
    budget = "stop when it is spent, also within an arm; what is done is kept: 90s, 20m, 2h"
    add("--budget", "TIME", budget, seconds)
    add("--calls", "N", f"calls a month, for the cost ({usual.calls})", _count, usual.calls)
    add("--prices", "FILE", "your own prices (TOML), in place of ours", Path)
    runs = f"training runs of what is fine-tuned, each with its own seed ({usual.runs}); 1 is quick and hides how much they differ"
    add("--runs", "N", runs, _count, usual.runs)
    balanced = "train on equally many rows of each label, as many as the rarest has, in place of all rows"
    parser.add_argument("--balanced", action="store_true", help=balanced)
    prompt = (
        "your own prompt: a text with {text}, and {labels} if you like; or YAML with system, labels, prompt"
    )
    parser.add_argument("--prompt", dest="prompt_file", metavar="FILE", type=Path, help=prompt)
    metrics = ("exact", "f1", "contains", "fields", "all_fields", "valid")
    parser.add_argument("--metric", choices=metrics, help="what decides where answers are written")
    add("--scorer", "FILE.py:FUNCTION", "your own score of an answer: function(prediction, target) -> number")
    add("--schema", "FILE", "JSON Schema of an extraction; else read off the right answers", Path)
    add("--pool", "FILE", "rows without a label: which to label next")
    server = "an OpenAI-compatible server as one more arm; its key from TUNEWISE_API_KEY or OPENAI_API_KEY"
    add("--endpoint", "URL", server)
    add("--endpoint-model", "NAME", "the model that the server shall use")
    for side in ("in", "out"):
        add(
            f"--price-{side}",
            "EURO",
            f"the server's price of a million tokens {side}; 0 where it costs you nothing",
            float,
        )
    only = "only these arms, with commas between them or the option again; --dry-run names all"
    for name, told in (("--only", only), ("--skip", "all arms but these")):
        parser.add_argument(name, metavar="ARMS", help=told, type=_names, action="extend", default=[])
    output = f"where the report goes ({usual.output})"
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, default=usual.output, help=output)
    as_json = "print the report as JSON, with every prediction; all else goes to stderr"
    parser.add_argument("--json", action="store_true", help=as_json)
    fresh = "compute and ask all anew, in place of what is kept; one that was interrupted goes on without it"
    parser.add_argument("--fresh", action="store_true", help=fresh)
    parser.add_argument("--dry-run", action="store_true", help="show the plan, and run nothing")


def settings_of(args: argparse.Namespace) -> Settings:
    """The options of the command as settings. Raises ValueError for what has no part in judging documents by questions, and for half a price."""
    useless = [
        a.option_strings[-1] if a.option_strings else "FILE"
        for a, _ in _given(args)
        if a.dest not in OF_QUESTIONS
    ]
    if args.questions and useless:
        said = f"--questions judges search and reader, and takes no {', '.join(useless)}"
        raise ValueError(f"{said}: leave that out")
    given = {f.name: getattr(args, f.name) for f in dataclasses.fields(Settings) if hasattr(args, f.name)}
    given |= {"only": tuple(args.only), "skip": tuple(args.skip)}
    prices = (args.price_in, args.price_out)
    if prices.count(None) == 1:
        raise ValueError(
            "--price-in and --price-out belong together: name both, and 0 for what costs nothing"
        )
    return Settings(**given, endpoint_price=None if None in prices else prices)


def again(args: argparse.Namespace, expected: float) -> str:
    """The same command, with a budget for work that is expected to take so many seconds: half as much again, and a minute, for a slow moment."""
    said = ["tunewise", "compare", str(args.file)]
    for action, value in _given(args):
        if action.dest in ("file", "fresh"):
            continue
        text = ",".join(value) if isinstance(value, list) else str(value)
        if action.dest == "budget":
            text = f"{math.ceil(1.5 * expected / 60) + 1}m"
        said += [action.option_strings[-1], *([] if value is True else [text])]
    return shlex.join(said)


def _given(args: argparse.Namespace) -> list[tuple[argparse.Action, Any]]:
    """The options that are not as they are by default, and their values."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    values = [(action, getattr(args, action.dest, action.default)) for action in parser._actions]
    return [(action, value) for action, value in values if value != action.default]


def share(text: str) -> float:
    """``0.9`` or ``90%``."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        said = f"a share between 0 and 1 is wanted, such as 0.03 or 3%; got {text!r}"
        raise argparse.ArgumentTypeError(said)
    return value


def seconds(text: str) -> float:
    """``90s``, ``20m``, ``1.5h``, or seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip().lower())
    if not found:
        raise argparse.ArgumentTypeError(f"a time is wanted, such as 90s, 20m or 2h; got {text!r}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def _count(text: str) -> int:
    if not text.replace("_", "").isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number above 0 is wanted; got {text!r}")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
