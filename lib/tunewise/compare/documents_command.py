"""``tunewise compare --docs FOLDER --questions FILE``: search and reader on own documents, judged by own questions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tunewise.compare.base import Settings
from tunewise.compare.documents_evaluation import evaluate_documents, plan_documents
from tunewise.step_cache import write_whole

DECIDED, CANNOT_TELL = 0, 1


def judge_documents(
    questions: Path,
    settings: Settings,
    say: Callable[[str], None],
    *,
    as_json: bool = False,
    dry: bool = False,
) -> int:
    """Evaluate, print, and write the report as HTML and JSON; ``dry``: say what would be done, and do nothing.

    Returns
    -------
    int
        1 where ``--need`` lies inside the interval of the right answers, so that more questions are wanted; else 0.

    Raises
    ------
    ValueError, OSError
        In words, where no folder is named or something can't be read.
    """
    if settings.docs is None:
        raise ValueError("--questions needs --docs FOLDER: the documents that they are about")
    if dry:
        for line in plan_documents(settings.docs, questions, settings):
            say(line)
        return DECIDED
    found = evaluate_documents(settings.docs, questions, settings, say)
    say(f"\n{found.text}\n")
    held = json.dumps(found.as_json(), ensure_ascii=False, indent=1)
    if as_json:
        print(held)
    write_whole(settings.output, found.page)
    write_whole(settings.output.with_suffix(".json"), held)
    say(f"The report is in {settings.output}, every answer in {settings.output.with_suffix('.json')}.")
    return DECIDED if found.decided else CANNOT_TELL
