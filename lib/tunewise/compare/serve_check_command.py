"""``tunewise serve-check``: does a served model answer what was evaluated? It is asked the test items with the same prompts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewise import stats
from tunewise.compare.api_server import EndpointError, Server
from tunewise.compare.endpoint import Answer, Endpoint
from tunewise.compare.take_home.named_label import label_of, without_thoughts
from tunewise.compare.take_home.prompt_parts import ended
from tunewise.compare.winner import ASKED_AGAIN, EVALUATED, named_by

SAME, DIFFERENT, NOT_CHECKED = 0, 1, 2
AGREEMENT = 0.98  # rounding on other hardware turns a close call now and then
SHOWN = 10
REMEDY = "Look whether the server has this base model, this adapter and this chat template, without quantisation: tunewise export names its start."
ROOM = 4  # tokens beside those of the longest label


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.epilog = (
        "exit status: 0 the share of equal answers reaches --need, 1 it does not, 2 it could not be checked"
    )
    add = parser.add_argument
    add("url", metavar="URL", help="an OpenAI-compatible server, such as http://localhost:8000/v1")
    add("--model", metavar="NAME", help="the model's name on the server")
    add(
        "--report",
        type=Path,
        default=Path("report.json"),
        metavar="FILE",
        help="the report of tunewise compare, or its folder with the winner (report.json)",
    )
    add(
        "--need", type=float, default=AGREEMENT, metavar="SHARE", help=f"agreement that will do ({AGREEMENT})"
    )


def main(args: argparse.Namespace) -> int:
    """Ask, compare and print; 0 the same, 1 different, 2 could not be checked."""
    from tunewise.compare.printable import visible

    try:
        found = check(Server(args.url), args.model, args.report)
    except (EndpointError, ValueError) as error:
        print(visible(f"tunewise serve-check: {error}"), file=sys.stderr)
        return NOT_CHECKED
    for line in found.lines(args.need):
        print(visible(line))
    return SAME if found.share >= args.need else DIFFERENT


@dataclass(frozen=True)
class Check:
    """What came of it.

    Parameters
    ----------
    rows, evaluated, served
        One a test item: row of the user's file, what was evaluated, what the server answered.
    notes
        How the server was asked, and what happened on the way.
    """

    model: str
    rows: Sequence[int]
    evaluated: Sequence[str]
    served: Sequence[str]
    notes: Sequence[str]

    @property
    def share(self) -> float:
        """Share of equal answers."""
        return sum(a == b for a, b in zip(self.evaluated, self.served, strict=True)) / len(self.rows)

    def lines(self, need: float) -> list[str]:
        """The outcome in words, with the rows that differ."""
        same = [float(a == b) for a, b in zip(self.evaluated, self.served, strict=True)]
        found = stats.mean_interval(same)
        interval = f"95% interval {found['low']:.1%} to {found['high']:.1%}"
        enough = self.share >= need
        verdict = "the server answers as the evaluated model did"
        if not enough:
            verdict = "the server does not answer as the evaluated model did"
        n = len(same)
        said = [
            f"{self.model}: {verdict}: {sum(same):.0f} of {n} answers agree ({self.share:.1%}, {interval})."
        ]
        differ = [i for i in range(n) if not same[i]]
        for i in differ[:SHOWN]:
            said.append(f"  row {self.rows[i]}: evaluated {self.evaluated[i]!r}, served {self.served[i]!r}")
        if len(differ) > SHOWN:
            rows = ", ".join(str(self.rows[i]) for i in differ[SHOWN : 5 * SHOWN])
            said.append(f"  and rows {rows}" + (" ..." if len(differ) > 5 * SHOWN else ""))
        if not enough:
            said.append(f"At least {need:.1%} have to agree (--need). {REMEDY}")
        elif differ:
            said.append(
                f"That is enough (--need {need:g}): rounding on other hardware turns a close call now and then."
            )
        return [*said, *self.notes]


def check(server: Server, model: str | None, report: Path) -> Check:
    """Ask a server the test items of a report.

    Raises
    ------
    ValueError
        Where there is no winner that can be served.
    EndpointError
        Where the server can't be used.
    """
    folder = named_by(report)
    try:
        told = json.loads((folder / "arm.json").read_text(encoding="utf-8"))
        lines = (folder / EVALUATED).read_text(encoding="utf-8").splitlines()
        items = [json.loads(line) for line in lines]
    except FileNotFoundError as error:
        raise ValueError(_missing(folder)) from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} can't be read ({error}): run tunewise compare again") from error
    endpoint = Endpoint(
        server, model, option="--model"
    )  # without a cache: what is asked is what is served now
    ask = _talk if told["how"] == "endpoint" else _continue
    answers, notes = ask(endpoint, told, [item["text"] for item in items])
    served = [_read(answer.text, told) for answer in answers]
    if refused := [a.refused for a in answers if a.refused]:
        notes.append(f"{len(refused)} requests were refused: {refused[0]}")
    evaluated = [str(item["prediction"]) for item in items]
    return Check(
        endpoint.model, [item["row"] for item in items], evaluated, served, [*notes, *endpoint.notes()]
    )


def _missing(folder: Path) -> str:
    """Why a folder without one of its files can't be checked, and what to do."""
    if not (folder / "arm.json").exists():
        remedy = "give --report, the report of tunewise compare or its folder with the winner"
        return f"{folder} holds no winner that can be served: {remedy}"
    if json.loads((folder / "arm.json").read_text(encoding="utf-8"))["how"] not in ASKED_AGAIN:
        return f"what won in {folder} needs no model server, so there is nothing to check: its predict.py gives the answers"
    return f"{folder / EVALUATED} is missing, the test texts and what was evaluated: copy it there, or run tunewise compare again"


def _talk(endpoint: Endpoint, told: dict[str, Any], texts: Sequence[str]) -> tuple[list[Answer], list[str]]:
    from tunewise.compare.arms.remote import Talk

    shots = [(text, answer) for text, answer in told["shots"]]
    talk = Talk("", told["system"], shots, told["before"], told["after"])
    return endpoint.chat([talk.messages(text) for text in texts], told["max_new_tokens"]), []


def _continue(
    endpoint: Endpoint, told: dict[str, Any], texts: Sequence[str]
) -> tuple[list[Answer], list[str]]:
    """The prompts as token ids, so that nothing is added to them and control tokens in a text stay text; as text where a server takes no ids."""
    from transformers import AutoTokenizer

    from tunewise.compare.export_command import base_folder
    from tunewise.compare.take_home.prompt_parts import Prompts

    tokenizer = AutoTokenizer.from_pretrained(base_folder(told), local_files_only=True)
    prompts = Prompts(told, tokenizer)
    ids = [start + rest for start, rest in map(prompts.of, texts)]
    # what is written is cut here, as it was evaluated: a server would stop at a line break before the answer
    most, notes = told["max_new_tokens"], []
    options: dict[str, Any] = {}
    if told["how"] == "score":
        most = ROOM + max(len(prompts.encode(answer)) for answer in told["answers"])
        options = {"stop": "\n"}
        notes.append(
            "The server wrote each label; the evaluation scored all of them, so that close calls may differ."
        )
        if told["bias"]:
            notes.append("The evaluation calibrated the labels, which no server does: predict.py does it.")
    try:
        return endpoint.complete(ids, most, **options), notes
    except EndpointError:
        plain = [str(tokenizer.decode(one)) for one in ids]
        found = endpoint.complete(plain, most, **options)
        return found, [
            *notes,
            "The server takes no token ids: the prompts went as text, in which control tokens are not kept apart.",
        ]


def _read(text: str, told: dict[str, Any]) -> str:
    """The label that was written, or the answer."""
    said = without_thoughts(text)
    if not told["labels"]:
        return ended(said, told["stop"])
    if told["how"] == "endpoint":  # was evaluated by what it wrote, not by scores
        return label_of(said, told["labels"])
    by_words = dict(zip(told["answers"], told["labels"], strict=True))
    begun = [words for words in by_words if said.startswith(words.strip())]
    return by_words[max(begun, key=len)] if begun else label_of(said, told["labels"])
