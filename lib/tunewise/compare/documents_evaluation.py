"""How good are search and reader on a person's own documents, by their own questions?

    found = evaluate_documents("handbook", "questions.csv", Settings(), print)
    print(found.text)                 # found.rows, found.html, found.verdict

Three things are told apart: whether the right passage is found, whether the reader answers rightly when it has it, and whether questions that the
documents do not answer are left unanswered. Search method and threshold are chosen on three tenths of the questions and measured on the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunewise import stats
from tunewise.compare import documents_folder, documents_index
from tunewise.compare.base import Settings
from tunewise.compare.documents_questions import Question, read_questions
from tunewise.compare.documents_reader import KeptReader, Reader, Reply, reader
from tunewise.compare.documents_report import (
    ALL_RIGHT,
    FOUND_RIGHT,
    GIVEN_RIGHT,
    RANK,
    DocumentsReport,
    K,
    Row,
)
from tunewise.retrieval import HOWS, Embed, fuse, recall_at_k, reciprocal_ranks
from tunewise.step_cache import StepCache
from tunewise.written_answers import contains

DEEP = 100  # passages of each search
OFTEN = 0.05  # the most of the answerable questions that a threshold may refuse, where no question is known to have no answer

Say = Callable[[str], None]


def evaluate_documents(
    docs: str | Path,
    questions: Any,
    settings: Settings,
    say: Say,
    *,
    who: Reader | None = None,
    embed: Embed | None = None,
    store: str | None = None,
) -> DocumentsReport:
    """Measure search and reader on the user's own questions. Answers are kept, so that what was stopped goes on.

    Parameters
    ----------
    questions
        A table file or frame, as :func:`tunewise.compare.documents_questions.read_questions` reads it.
    who, embed, store
        The reader, the encoder and the place of the vectors; None: those of the settings, and of ``tunewise ask``.

    Raises
    ------
    ValueError, OSError
        In words, where documents or questions can't be used.
    """
    found = documents_folder.read_folder(docs, read=documents_index.remembered)
    asked, notes = read_questions(questions, found.passages)
    texts = [p.full for p in found.passages]
    say(f"{len(asked)} questions on {len(texts)} passages of {found.files} files")
    searched, similar = _search(docs, found.passages, [q.ask for q in asked], store, embed, say)
    chosen, test = _parts(asked)
    how = max(
        HOWS, key=lambda h: (_mean(reciprocal_ranks(*_judged(searched[h], asked, chosen))), h == "hybrid")
    )
    threshold, reason = _threshold([similar[i] for i in chosen], [bool(asked[i].right) for i in chosen])
    rows = [row for h in HOWS for row in _retrieval(h, *_judged(searched[h], asked, test))]
    who = who or reader(settings.model, settings.endpoint, settings.endpoint_model)
    places = {i: searched[how][i][:K] for i in test}
    near = [i for i in test if similar[i] >= threshold]
    given = [i for i in test if asked[i].places]
    said = _asked(
        who, {i: (asked[i].ask, [texts[p] for p in places[i]]) for i in near}, "with the passages found", say
    )
    led = _asked(
        who, {i: (asked[i].ask, [texts[min(asked[i].places)]]) for i in given}, "with the right passage", say
    )
    rows += _answers(asked, test, places, said, led, texts)
    answers = [
        {
            "row": asked[i].row,
            "question": asked[i].ask,
            "right": list(asked[i].right),
            "similarity": similar[i],
            "passages": [found.passages[p].where for p in places[i]],
            "found": bool(set(places[i]) & asked[i].places),
            "answer": said[i].said if i in said else None,
            "outcome": _outcome(said.get(i), asked[i]),
            "answer with the right passage": led[i].said if i in led else None,
            "outcome with the right passage": _outcome(led[i], asked[i]) if i in led else None,
        }
        for i in test
    ]
    notes = [*found.left_out, *found.notes, *notes, reason]
    return DocumentsReport(how, threshold, who.name, rows, notes, answers, settings.margin, settings.need)


def _asked(who: Reader, asked: Mapping[int, tuple[str, list[str]]], what: str, say: Say) -> dict[int, Reply]:
    """The reader's replies to questions with their passages, by the questions' places."""
    kept = KeptReader(
        who, StepCache(say=say), who.name, lambda n: say(f"  {who.name} {what}: {n} of {len(asked)}")
    )
    replies = kept.answers([q for q, _ in asked.values()], [p for _, p in asked.values()])
    return dict(zip(asked, replies, strict=True))


def _search(
    docs: str | Path,
    passages: Sequence[documents_folder.Passage],
    asks: Sequence[str],
    store: str | None,
    embed: Embed | None,
    say: Say,
) -> tuple[dict[str, list[list[int]]], list[float]]:
    """Of each method the places found for each question, the best first; and the similarity of each question's nearest passage."""
    both = documents_index.index(docs, passages, "hybrid", store, embed=embed, say=say)
    try:
        vectors, words = both.vectors, both.words
        assert vectors is not None and words is not None
        by_word, by_meaning = words.search(asks, DEEP), vectors.search(asks, DEEP)
    finally:
        both.close()
    fused = [fuse(pair) for pair in zip(by_word, by_meaning, strict=True)]
    found = {"bm25": by_word, "dense": by_meaning, "hybrid": fused}
    return (
        {how: [[hit.index for hit in hits] for hits in each] for how, each in found.items()},
        [round(hits[0].score, 4) if hits else 0.0 for hits in by_meaning],
    )


def _parts(asked: Sequence[Question]) -> tuple[list[int], list[int]]:
    """Places of the questions that things are chosen on, and of the test questions."""
    chosen = [i for i, q in enumerate(asked) if q.chooses]
    return chosen, [i for i in range(len(asked)) if i not in set(chosen)]


def _judged(
    found: Sequence[Sequence[int]], asked: Sequence[Question], part: Sequence[int]
) -> tuple[list[Sequence[int]], list[frozenset[int]]]:
    """What was found, and what is relevant, for the questions of a part whose passage is known."""
    known = [i for i in part if asked[i].places]
    return [found[i] for i in known], [asked[i].places for i in known]


def _retrieval(how: str, found: list[Sequence[int]], relevant: list[frozenset[int]]) -> list[Row]:
    """A question counts as found among k where one of its passages is; rank 1 / (rank of the first)."""
    rows = []
    for k in (1, K, 10):
        hits = [float(share > 0) for share in recall_at_k(found, relevant, k)]
        rows += _row(f"search, {how}", f"right passage among {k}", hits)
    return rows + _row(f"search, {how}", RANK, reciprocal_ranks(found, relevant))


def _answers(
    asked: Sequence[Question],
    test: Sequence[int],
    places: Mapping[int, Sequence[int]],
    said: Mapping[int, Reply],
    led: Mapping[int, Reply],
    texts: Sequence[str],
) -> list[Row]:
    answerable = [i for i in test if asked[i].right]
    found = [i for i in answerable if set(places[i]) & asked[i].places and i in said]
    right = {i: float(_outcome(said.get(i), asked[i]) == "right") for i in answerable}
    other = [i for i in test if not asked[i].right]
    spoken = [i for i in said if said[i].outcome == "answered"]
    bare = {i: float(not any(contains(texts[p], [said[i].text]) for p in places[i])) for i in spoken}
    sides: dict[tuple[str, str], list[float]] = {
        ("answers", ALL_RIGHT): [right[i] for i in answerable],
        ("answers", FOUND_RIGHT): [right[i] for i in found],
        ("answers", GIVEN_RIGHT): [float(_outcome(r, asked[i]) == "right") for i, r in led.items()],
        ("refusals", "false, by the threshold"): [float(i not in said) for i in answerable],
        ("refusals", "false, by the reader"): [float(i not in spoken) for i in answerable if i in said],
        ("unsupported", "answered, though the documents do not"): [float(i in spoken) for i in other],
        ("unsupported", "in no passage word for word"): [bare[i] for i in spoken],
    }
    return [row for (name, metric), values in sides.items() for row in _row(name, metric, values)]


def _outcome(reply: Reply | None, question: Question) -> str:
    """``right``, ``wrong`` or ``refused`` (by the threshold, by the reader, or for want of a usable answer)."""
    if reply is None or reply.outcome != "answered":
        return "refused"
    return "right" if contains(reply.text, question.right) else "wrong"


def _threshold(similar: Sequence[float], answerable: Sequence[bool]) -> tuple[float, str]:
    """The least similarity to answer at, and how it was chosen.

    With questions that have no answer: the largest sum of the two shares that are right (Youden's index), of equal ones the lowest. Without: the
    highest that refuses at most :data:`OFTEN` of the others.
    """
    yes = np.array([s for s, a in zip(similar, answerable, strict=True) if a])
    no = np.array([s for s, a in zip(similar, answerable, strict=True) if not a])
    if not len(yes):
        return documents_index.RELEVANT, "no question to choose a threshold on: the usual one was taken"
    if len(no) < 5:
        lowest = float(np.floor(100 * np.quantile(yes, OFTEN)) / 100)
        few = "too few questions without an answer to choose a threshold by: it refuses hardly any of those with one"
        return min(lowest, documents_index.RELEVANT), few
    grid = np.round(np.arange(0.0, 0.81, 0.01), 2)
    best = max(grid, key=lambda t: (round(np.mean(yes >= t) + np.mean(no < t), 9), -t))
    return float(best), f"threshold chosen on {len(yes)} questions with an answer and {len(no)} without"


def _row(name: str, metric: str, values: Sequence[float]) -> list[Row]:
    """The mean with its interval; nothing for fewer than two questions."""
    if len(values) < 2:
        return []
    mean = stats.mean_interval(values)
    return [Row(name, metric, mean["value"], mean["low"], mean["high"], len(values))]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
