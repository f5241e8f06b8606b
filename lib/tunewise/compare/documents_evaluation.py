"""How good are search and reader on a person's own documents, by their own questions?

    found = evaluate_documents("handbook", "questions.csv", Settings(), print)
    print(found.text)                 # found.rows, found.html, found.verdict

Three things are told apart: whether the right passage is found, whether the reader answers rightly when it has it, and whether questions that the
documents do not answer are left unanswered. Search method and threshold are chosen on three tenths of the questions and measured on the rest.
A budget stops the reading between two parts: what was read until then is a random draw, and is what the report is about.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunewise import stats
from tunewise.compare import documents_folder, documents_index
from tunewise.compare.base import Settings
from tunewise.compare.documents_formats import WORDS
from tunewise.compare.documents_questions import Question, read_questions
from tunewise.compare.documents_reader import PART, KeptReader, LocalReader, Reader, Reply, reader
from tunewise.compare.documents_report import (
    ALL_RIGHT,
    ALL_WRONG,
    AMONG,
    DEPTHS,
    FOUND_RIGHT,
    GIVEN_REFUSED,
    GIVEN_RIGHT,
    GIVEN_WRONG,
    RANK,
    DocumentsReport,
    K,
    Row,
)
from tunewise.retrieval import HOWS, Embed, fuse, recall_at_k, reciprocal_ranks
from tunewise.step_cache import StepCache
from tunewise.written_answers import contains

DEEP = 100  # passages of each search
OFTEN = 0.05  # the most of the answerable questions that the threshold may refuse
AROUND = 80  # tokens of a question, what stands around it, and its answer
FEW = 5  # questions without an answer, below which no threshold is chosen by them

Say = Callable[[str], None]


def evaluate_documents(
    docs: str | Path,
    questions: Any,
    settings: Settings,
    say: Say,
    *,
    who: Reader | None = None,
    embed: Embed | None = None,
    words: int = WORDS,
) -> DocumentsReport:
    """Measure search and reader on the user's own questions. Answers are kept, so that what was stopped goes on.

    Parameters
    ----------
    questions
        A table file or frame, as :func:`tunewise.compare.documents_questions.read_questions` reads it.
    who, embed
        The reader and the encoder; None: those of the settings, and of ``tunewise ask``.
    words
        The most of a passage.

    Raises
    ------
    ValueError, OSError
        In words, where documents or questions can't be used.
    """
    start = time.perf_counter()
    found = documents_folder.read_folder(docs, read=documents_index.remembered, words=words)
    asked, notes = read_questions(questions, found.passages, settings.seed)
    texts = [p.full for p in found.passages]
    say(f"{len(asked)} questions on {len(texts)} passages of {found.files} files")
    searched, similar = _search(docs, found.passages, [q.ask for q in asked], embed, say)
    chosen, test = _parts(asked)
    how = max(
        HOWS, key=lambda h: (_mean(reciprocal_ranks(*_judged(searched[h], asked, chosen))), h == "hybrid")
    )
    threshold, reason = _threshold([similar[i] for i in chosen], [bool(asked[i].right) for i in chosen])
    rows = [row for h in HOWS for row in _retrieval(h, *_judged(searched[h], asked, test))]
    who = who or reader(settings.model, settings.endpoint, settings.endpoint_model, settings.fresh)
    kept = KeptReader(who, StepCache(fresh=settings.fresh, say=say), who.key)
    places = {i: searched[how][i][:K] for i in test}
    near = {i: [texts[p] for p in places[i]] for i in test if similar[i] >= threshold}
    given = {i: [texts[min(asked[i].places)]] for i in test if asked[i].places}
    stop = None if settings.budget is None else start + settings.budget
    done, said, led = _read(kept, asked, test, near, given, stop, say)
    if len(done) < len(test):
        notes.append(
            f"the budget was spent after {len(done)} of {len(test)} test questions; what was read is kept, and the same command with more time goes on from there"
        )
    rows += _answers(asked, done, places, said, led, texts)
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
        for i in done
    ]
    notes = [*found.left_out, *found.notes, *notes, reason]
    return DocumentsReport(how, threshold, who.name, rows, notes, answers, settings.margin, settings.need)


def plan_documents(docs: str | Path, questions: Any, settings: Settings) -> list[str]:
    """What :func:`evaluate_documents` would do, in lines; no model is loaded. Raises what it raises."""
    found = documents_folder.read_folder(docs, read=documents_index.remembered)
    asked, notes = read_questions(questions, found.passages, settings.seed)
    chosen, test = _parts(asked)
    who = reader(settings.model, settings.endpoint, settings.endpoint_model)
    takes = ""
    if isinstance(who, LocalReader):
        from tunewise.compare.plan import ROUGH_FLOPS
        from tunewise.words import duration

        words = _mean([len(passage.full.split()) for passage in found.passages])
        tokens = 2 * len(test) * (2 * words + AROUND)
        takes = f" (very roughly {duration(2 * who.spec.parameters * tokens / ROUGH_FLOPS)})"
    lines = [
        f"{len(asked)} questions on {len(found.passages)} passages of {found.files} files",
        f"  {len(chosen)} choose the search ({', '.join(HOWS)}) and the threshold, {len(test)} test",
        f"  {who.name} answers each test question from what the search finds, and from the right passage where it is known{takes}",
    ]
    return [*lines, *(f"note: {note}" for note in (*found.left_out, *found.notes, *notes))]


def _read(
    kept: KeptReader,
    asked: Sequence[Question],
    test: Sequence[int],
    near: Mapping[int, list[str]],
    given: Mapping[int, list[str]],
    stop: float | None,
    say: Say,
) -> tuple[list[int], dict[int, Reply], dict[int, Reply]]:
    """Of the test questions those that were reached until ``stop`` (by ``time.perf_counter``), in the file's order, and the replies to them with the
    passages that were found and with the right one, by the questions' places. In the order of their draws, so that any beginning is a fair sample."""
    done: list[int] = []
    said: dict[int, Reply] = {}
    led: dict[int, Reply] = {}
    order = sorted(test, key=lambda i: asked[i].draw)
    while len(done) < len(order):
        enough = sum(bool(asked[i].right) for i in done) >= 2  # no interval without
        if stop is not None and enough and time.perf_counter() > stop:
            break
        part = order[len(done) : len(done) + PART]
        for replies, passages in ((said, near), (led, given)):
            own = [i for i in part if i in passages]
            read = kept.answers([asked[i].ask for i in own], [passages[i] for i in own])
            replies |= dict(zip(own, read, strict=True))
        done += part
        say(f"  {kept.who.name}: {len(done)} of {len(order)} test questions")
    return sorted(done), said, led


def _search(
    docs: str | Path,
    passages: Sequence[documents_folder.Passage],
    asks: Sequence[str],
    embed: Embed | None,
    say: Say,
) -> tuple[dict[str, list[list[int]]], list[float]]:
    """Of each method the places found for each question, the best first; and the similarity of each question's nearest passage."""
    both = documents_index.index(docs, passages, "hybrid", embed=embed, say=say)
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
    for k in DEPTHS:
        hits = [float(share > 0) for share in recall_at_k(found, relevant, k)]
        rows += _row(f"search, {how}", AMONG.format(k), hits)
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
    outcomes = {i: _outcome(said.get(i), asked[i]) for i in answerable}
    given = [_outcome(reply, asked[i]) for i, reply in led.items()]

    def share(which: Sequence[str], outcome: str) -> list[float]:
        return [float(one == outcome) for one in which]

    other = [i for i in test if not asked[i].right]
    spoken = [i for i in said if said[i].outcome == "answered"]
    bare = {i: float(not any(contains(texts[p], [said[i].text]) for p in places[i])) for i in spoken}
    sides: dict[tuple[str, str], list[float]] = {
        ("answers", ALL_RIGHT): share(list(outcomes.values()), "right"),
        ("answers", ALL_WRONG): share(list(outcomes.values()), "wrong"),
        ("answers", FOUND_RIGHT): share([outcomes[i] for i in found], "right"),
        ("answers", GIVEN_RIGHT): share(given, "right"),
        ("answers", GIVEN_WRONG): share(given, "wrong"),
        ("answers", GIVEN_REFUSED): share(given, "refused"),
        ("refusals", "false, by the threshold"): [float(i not in said) for i in answerable],
        ("refusals", "false, by the reader, where the passage was found"): [
            float(i not in spoken) for i in found
        ],
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

    Of those that refuse at most :data:`OFTEN` of the questions with an answer the one that refuses most of those without, of equal ones the
    lowest. Where there are fewer than :data:`FEW` of these: the highest, but none above the usual one.
    """
    yes = np.array([s for s, a in zip(similar, answerable, strict=True) if a])
    no = np.array([s for s, a in zip(similar, answerable, strict=True) if not a])
    if not len(yes):
        return documents_index.RELEVANT, "no question to choose a threshold on: the usual one was taken"
    grid = np.round(np.arange(0.0, 1.0, 0.01), 2)
    allowed = grid[[np.mean(yes < t) <= OFTEN for t in grid]]
    if len(no) < FEW:
        few = "too few questions without an answer to choose a threshold by: it refuses hardly any of those with one"
        return min(float(allowed[-1]), documents_index.RELEVANT), few
    best = max(allowed, key=lambda t: (np.mean(no < t), -t))
    told = (
        f"threshold chosen on {len(yes)} questions with an answer, of which it refuses {np.sum(yes < best)}"
    )
    return float(best), f"{told}, and {len(no)} without, of which it refuses {np.sum(no < best)}"


def _row(name: str, metric: str, values: Sequence[float]) -> list[Row]:
    """The mean with its interval, which lies within the values' own range; nothing for fewer than two questions."""
    if len(values) < 2:
        return []
    mean = stats.mean_interval(values) if {*values} <= {0, 1} else stats.bootstrap(values)
    return [Row(name, metric, mean["value"], mean["low"], mean["high"], len(values))]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
