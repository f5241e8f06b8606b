"""The quiz bank (``data/quiz/questions.yml``): read, checked, and exported as LMSs import it. The same bank gives the same bytes."""

from __future__ import annotations

import html
import random
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from whentofinetune import book_files


class Choice(NamedTuple):
    """Text and reason as HTML."""

    says: str
    why: str
    right: bool


class Question(NamedTuple):
    """``ask`` is HTML; exactly one choice is right; their order depends on ``name`` alone."""

    name: str
    chapter: str
    ask: str
    choices: list[Choice]


def read(chapters: Sequence[str] = (), path: Path | None = None) -> dict[str, list[Question]]:
    """Title of a chapter -> its questions. chapters: only these. Raises ValueError, with words, for an unknown one and for faults of the file."""
    import yaml

    path = path or book_files.data_dir() / "quiz" / "questions.yml"
    bank = yaml.safe_load(path.read_text(encoding="utf-8"))
    if unknown := set(chapters) - set(bank["chapters"]):
        raise ValueError(
            f"no questions on {', '.join(sorted(unknown))}: choose from {', '.join(bank['chapters'])}"
        )
    found: dict[str, list[Question]] = {title: [] for title in bank["chapters"].values()}
    for entry in bank["questions"]:
        name, pairs = entry["id"], [entry["right"], *entry["wrong"]]
        if len({says for says, _ in pairs}) not in (3, 4) or not all(
            says.strip() and why.strip() for says, why in pairs
        ):
            raise ValueError(
                f"{path.name}, {name}: give two or three wrong choices, no choice twice, each with its reason"
            )
        if name in {q.name for q in sum(found.values(), [])}:
            raise ValueError(f"{path.name}: the id {name} stands there twice")
        choices = [Choice(_html(says), _html(why), i == 0) for i, (says, why) in enumerate(pairs)]
        random.Random(name).shuffle(choices)
        found[bank["chapters"][entry["chapter"]]].append(
            Question(name, entry["chapter"], _html(entry["ask"]), choices)
        )
    return {title: qs for title, qs in found.items() if not chapters or qs[0].chapter in chapters}


def _html(text: str) -> str:
    """Plain text, with ``*emphasis*``, as HTML."""
    return re.sub(r"\*(\S[^*]*)\*", r"<em>\1</em>", html.escape(text, quote=False))


def poll(bank: dict[str, list[Question]]) -> dict[str, list[Question]]:
    """``bank`` without its answers: every choice counts as right, none has a reason. Names of its own, so that both fit into one course."""
    return {
        f"{title} (poll)": [
            Question(
                f"{q.name}-poll", f"{q.chapter}-poll", q.ask, [Choice(c.says, "", True) for c in q.choices]
            )
            for q in questions
        ]
        for title, questions in bank.items()
    }


def write(bank: dict[str, list[Question]], kind: str, path: Path) -> Path:
    """Write ``bank`` as ``"moodle"`` (Moodle XML: a category for each chapter) or ``"qti"`` (QTI 1.2 in a zip: a quiz for each chapter)."""
    from jinja2 import Environment, FileSystemLoader

    made = Environment(
        loader=FileSystemLoader(book_files.data_dir() / "quiz"), autoescape=True, keep_trailing_newline=True
    ).get_template
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "moodle":
        path.write_text(made("moodle.xml.jinja").render(bank=bank), encoding="utf-8")
        return path
    files = {
        f"{qs[0].chapter}.xml": made("qti.xml.jinja").render(title=title, questions=qs)
        for title, qs in bank.items()
    }
    files["imsmanifest.xml"] = made("manifest.xml.jinja").render(files=list(files))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, text in files.items():
            out.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
    return path
