"""``tunewise ask --docs FOLDER "question"``: an answer from your own documents, with the passages that it was given.

The first question reads and indexes the folder; later ones only what has changed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from tunewise.compare import documents_folder, documents_index
from tunewise.compare.documents_reader import Reader, reader
from tunewise.compare.printable import visible
from tunewise.retrieval import HOWS, Embed

STATUS = {"answered": 0, "nothing relevant": 1, "not stated": 3, "unusable": 4}  # by outcome
FAILED = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    from tunewise.models import registry

    causal = ", ".join(spec.name for spec in registry.MODELS.values() if spec.kind == "causal")
    docs = f"your documents ({', '.join(documents_folder.SUFFIXES)}); one file will do, too"
    how = "search by words, by meaning, or both (default: hybrid)"
    near = "least similarity of the nearest passage (default: %(default)s); `tunewise compare --docs` finds yours"
    store = "where the vectors lie: a folder, or a Qdrant server (http://localhost:6333); default: the user's cache"
    add = parser.add_argument
    add("question", help="in quotes")
    add("--docs", required=True, metavar="FOLDER", help=docs)
    add("--k", type=int, default=4, help="how many passages the model is given (default: 4)")
    add("--how", choices=HOWS, default="hybrid", help=how)
    add("--threshold", type=float, default=documents_index.RELEVANT, metavar="COSINE", help=near)
    add("--model", default="smollm2-135m", metavar="NAME", help=f"who answers: {causal}, a folder, a Hub id")
    add("--endpoint", metavar="URL", help="an OpenAI-compatible server answers (http://localhost:8080/v1)")
    add("--endpoint-model", metavar="NAME", help="which of the server's models, where it has several")
    add("--store", metavar="ADDRESS", help=store)
    add("--json", action="store_true", help="print the answer and its passages as JSON")
    parser.epilog = (
        "Exit status: 0 answered, 1 nothing relevant was found, 2 something is wrong, "
        "3 the passages do not state it, 4 the model wrote no usable answer."
    )


def main(args: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    return answer(args, partial(reader, args.model, args.endpoint, args.endpoint_model))


def answer(args: argparse.Namespace, who: Callable[[], Reader], embed: Embed | None = None) -> int:
    """Print the answer of ``who()``; the exit status. ``embed``: as in :func:`tunewise.compare.documents_index.index`."""
    options = {name: getattr(args, name) for name in ("k", "how", "threshold", "store")}
    try:
        result = ask(args.docs, args.question, who, embed=embed, say=_say, **options)
    except ModuleNotFoundError:
        raise  # the command's own words for torch and the like
    except (ValueError, OSError, ImportError, LookupError, RuntimeError) as error:
        print(f"tunewise ask: {visible(str(error))}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    print(json.dumps(result, ensure_ascii=False, indent=2) if args.json else report(result, args.threshold))
    return STATUS[result["outcome"]]


def ask(
    docs: str,
    question: str,
    who: Callable[[], Reader],
    *,
    k: int = 4,
    how: str = "hybrid",
    threshold: float = documents_index.RELEVANT,
    store: str | None = None,
    embed: Embed | None = None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """``{"question", "outcome", "answer", "fault", "model", "weak", "similarity", "passages", "left_out", "notes"}``.

    outcome: a key of :data:`STATUS`. answer: None unless ``answered``. fault: what was wrong with an unusable answer. similarity: of the nearest
    passage, None under ``bm25``. passages: dictionaries of file, text, page, heading, line, score and cited (is the answer from it?), best
    first; only the nearest where nothing relevant was found. Raises ValueError, OSError or ImportError, in words, where it cannot be done.
    """
    if not re.search(r"\w", question):
        raise ValueError("the question is empty")
    if k < 1:
        raise ValueError(f"--k must be 1 or more, not {k}")
    asked = who()  # an unknown model or a server that is down shows before anything is indexed
    found = documents_folder.read_folder(docs, read=documents_index.remembered)
    for kind, lines in (("left out", found.left_out), ("note", found.notes)):
        for line in lines:
            say(f"{kind}: {line}")
    retriever = documents_index.index(docs, found.passages, how, store, embed=embed, say=say)
    try:
        hits, similarity = documents_index.search(retriever, question, k, threshold)
    finally:
        retriever.close()
    chosen = [found.passages[hit.index] for hit in hits]
    reply = None
    if hits and (similarity is None or similarity >= threshold):
        (reply,) = asked.answers([question], [[passage.full for passage in chosen]])
    cited = reply.cited if reply else ()
    extra = [{"score": round(hit.score, 4), "cited": i in cited} for i, hit in enumerate(hits)]
    return {
        "question": question,
        "outcome": reply.outcome if reply else "nothing relevant",
        "answer": (reply.text or None) if reply else None,
        "fault": reply.fault if reply else "",
        "model": asked.name,
        "weak": asked.weak,
        "similarity": similarity,
        "passages": [asdict(p) | more for p, more in zip(chosen, extra, strict=True)],
        "left_out": found.left_out,
        "notes": found.notes,
    }


def report(result: dict[str, Any], threshold: float = documents_index.RELEVANT) -> str:
    """The result for a terminal, without escapes. Where the reader is weak the passages come first."""
    passages, who = result["passages"], result["model"]
    marks = [f"[{i}]" for i in range(1, len(passages) + 1)]
    shown = []
    for mark, passage in zip(marks, passages, strict=True):
        known = {f.name: passage[f.name] for f in dataclasses.fields(documents_folder.Passage)}
        shown += [f"{mark} {documents_folder.Passage(**known).where}", _wrapped(passage["text"], "    "), ""]
    outcome = result["outcome"]
    if outcome == "nothing relevant":
        lines = ["Nothing relevant was found, so there is no answer."]
        if passages:
            near = f"similarity {result['similarity']:.2f}, and {threshold} is asked for"
            lines += [f"The nearest passage ({near}; --threshold lowers it):", ""]
        else:
            lines += ["No passage shares a word with the question. `--how hybrid` also searches by meaning."]
    elif outcome == "answered":
        cited = ", ".join(str(i) for i, p in enumerate(passages, 1) if p["cited"])
        source = f"from passage {cited}" if cited else "it stands in none of these passages word for word"
        told = f"Answered by {who} ({source}). Models make mistakes: read the passage."
        lines = [_wrapped(result["answer"]), "", told, ""]
        if result["weak"]:
            warning = f"Read the passages. {who} is too small to be trusted; it answered ({source}):"
            return visible("\n".join(["", *shown, warning, _wrapped(result["answer"], "    ")]))
    elif outcome == "not stated":
        lines = [f"{who} says that these passages do not state it:", ""]
    else:
        lines = [f"{who} wrote no usable answer ({result['fault']}). The nearest passages:", ""]
    return visible("\n".join(["", *lines, *shown]).rstrip("\n"))


def _wrapped(text: str, start: str = "") -> str:
    text = " ".join(text.split())
    return textwrap.fill(text, 100, initial_indent=start, subsequent_indent=start, break_on_hyphens=False)


def _say(line: str) -> None:
    print(visible(line), file=sys.stderr, flush=True)
