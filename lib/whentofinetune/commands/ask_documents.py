"""``tunewise ask --docs FOLDER "question"``: an answer from your own documents, with the passages that it was given.

The first question reads and indexes the folder; later ones only what has changed. What was read is kept in the user's cache by the hash of each
file, the vectors in a Qdrant store by the text of each passage.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import pickle
import re
import shutil
import sqlite3
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path

from tunewise import documents, paths
from tunewise.retrieval import HOWS, Hit, Retriever
from tunewise.step_cache import write_whole

EMBEDDING = "minilm"
# The least cosine similarity (all-MiniLM-L6-v2) of a question and its nearest passage that counts as relevant. Chosen on the company's training and
# validation questions against questions on anything else; tests/test_ask.py computes it again. It parts a question about these documents
# from one about something else. It cannot tell whether the answer stands there: a question that the handbook leaves open is as near to it.
RELEVANT = 0.35
ANSWERED, NOTHING_RELEVANT, FAILED = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    from tunewise.models import registry

    causal = ", ".join(spec.name for spec in registry.MODELS.values() if spec.kind == "causal")
    docs = f"your documents ({', '.join(documents.SUFFIXES)}); one file will do, too"
    how = "search by words, by meaning, or both (default: hybrid)"
    tuned = "RAG fine-tuning first: the model learns to read passages, on the book's invented company (minutes, once)"
    store = "where the vectors lie: a folder, or a Qdrant server (http://localhost:6333); default: the user's cache"
    add = parser.add_argument
    add("question", help="in quotes")
    add("--docs", required=True, metavar="FOLDER", help=docs)
    add("--k", type=int, default=4, help="how many passages the model is given (default: 4)")
    add("--how", choices=HOWS, default="hybrid", help=how)
    add("--model", default="smollm2-135m", metavar="NAME", help=f"who answers: {causal}")
    add("--tuned", action="store_true", help=tuned)
    add("--store", metavar="ADDRESS", help=store)
    add("--json", action="store_true", help="print the answer and its passages as JSON")
    parser.epilog = "Exit status: 0 answered, 1 nothing relevant was found, 2 something is wrong."


def main(args: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    options = {name: getattr(args, name) for name in ("k", "how", "model", "tuned", "store")}
    try:
        result = ask(args.docs, args.question, **options)
    except ModuleNotFoundError:
        raise  # the command's own words for torch and the like
    except (ValueError, OSError, ImportError, LookupError) as error:
        print(f"tunewise ask: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    print(json.dumps(result, ensure_ascii=False, indent=2) if args.json else report(result))
    return ANSWERED if result["answer"] is not None else NOTHING_RELEVANT


def ask(
    docs: str,
    question: str,
    *,
    k: int = 4,
    how: str = "hybrid",
    model: str = "smollm2-135m",
    tuned: bool = False,
    store: str | None = None,
) -> dict:
    """``{"question", "answer", "model", "tuned", "similarity", "passages", "left_out", "notes"}``.

    answer: None where nothing relevant was found; the passages are then the nearest one only. similarity: of the nearest passage, None under ``bm25``.
    passages: dictionaries of file, text, page, heading, line, score and cited (did the answer name it?), best first.
    Raises ValueError, OSError or ImportError, in words, where it cannot be done.
    """
    from tunewise.models import registry

    if not re.search(r"\w", question):
        raise ValueError("the question is empty")
    if k < 1:
        raise ValueError(f"--k must be 1 or more, not {k}")
    if (spec := registry.get(model)).kind != "causal":
        raise ValueError(f"{spec.name} answers no questions: it is an embedding model")
    found = documents.read_folder(docs, read=_remembered)
    for line in (*found.left_out, *found.notes):
        _say(f"left out: {line}" if line in found.left_out else f"note: {line}")
    retriever = index(docs, found.passages, how, store)
    try:
        hits, similarity = search(retriever, question, k)
    finally:
        retriever.close()
    chosen, text, cited = [found.passages[hit.index] for hit in hits], None, ()
    if hits and (similarity is None or similarity >= RELEVANT):
        answer = answered(spec.name, question, [passage.full for passage in chosen], tuned)
        text, cited = answer.text, answer.cited
    extra = [{"score": round(hit.score, 4), "cited": i in cited} for i, hit in enumerate(hits)]
    return {
        "question": question,
        "answer": text,
        "model": spec.name,
        "tuned": tuned,
        "similarity": similarity,
        "passages": [asdict(p) | more for p, more in zip(chosen, extra, strict=True)],
        "left_out": found.left_out,
        "notes": found.notes,
    }


def index(docs: str, passages: Sequence[documents.Passage], how: str, store: str | None) -> Retriever:
    """The folder's passages, ready to search. Those that the store knows already are not embedded again."""
    folder = hashlib.sha256(str(Path(docs).expanduser().resolve()).encode()).hexdigest()[:16]
    kept, collection = store or paths.cache_dir("ask", folder), f"tunewise-{folder}-{EMBEDDING}"
    made = partial(Retriever, [p.full for p in passages], _embed, how, store=kept, collection=collection)
    try:
        return made()
    except (ValueError, KeyError, EOFError, sqlite3.Error, pickle.UnpicklingError):
        if store is not None:
            raise
        _say("the index in the cache is damaged: making it again")
    shutil.rmtree(kept)
    return made()


def search(retriever: Retriever, question: str, k: int) -> tuple[list[Hit], float | None]:
    """The k best passages, and the cosine similarity of the nearest (None under ``bm25``). Only the nearest passage, if it is too far away."""
    if retriever.vectors is None:
        return retriever.search([question], k)[0], None
    nearest = retriever.vectors.search([question], 1)[0]
    similarity = round(nearest[0].score, 4) if nearest else 0.0
    return (retriever.search([question], k)[0] if similarity >= RELEVANT else nearest), similarity


def answered(model: str, question: str, texts: Sequence[str], tuned: bool = False):
    """The model's answer from the passages (:class:`tunewise.rag.Answer`)."""
    from tunewise import rag
    from tunewise.models.load import load

    with reader(model) if tuned else contextlib.nullcontext(load(model)) as lm:
        said = rag.answer(lm, [question], [texts], max_new_tokens=60)[0]
    return dataclasses.replace(said, text=once(said.text))


def once(text: str) -> str:
    """The text up to where a small model begins to say a sentence again."""
    kept: list[str] = []
    for sentence in re.split(r"(?<=[.!?])\s+", text):
        if any(earlier.startswith(sentence) for earlier in kept):
            break
        kept.append(sentence)
    return " ".join(kept)


def reader(model: str):
    """The model after tuning to read passages, as the book's experiments tune it (a ``with`` block). Tuned once, then kept in the cache."""
    from tunewise.experiment import context
    from whentofinetune import handbook

    ctx = context({"model": model, **handbook.READING}, say=_say)
    return ctx.adapter(*handbook.training(ctx, "reading", 0))


def report(result: dict) -> str:
    """The result for a terminal."""
    passages, similarity = result["passages"], result["similarity"]
    who = result["model"] + (", after RAG fine-tuning" if result["tuned"] else "")
    marks = [f"[{i}]" for i in range(1, len(passages) + 1)]
    if result["answer"] is None:
        lines, marks = ["Nothing relevant was found, so there is no answer."], ["-"]
        if passages:
            lines += [f"The nearest passage (similarity {similarity:.2f}, and {RELEVANT} is asked for):"]
        else:
            lines += ["No passage shares a word with the question. `--how hybrid` also searches by meaning."]
    elif result["answer"]:
        cited = ", ".join(str(i) for i, p in enumerate(passages, 1) if p["cited"])
        source = f"it names passage {cited}" if cited else "it names no passage"
        told = f"Answered by {who} from these passages ({source}). Models make mistakes: read the passage."
        lines = [_wrapped(result["answer"]), "", told]
    else:
        hint = "" if result["tuned"] else " (--tuned lets it learn to read first)"
        lines = [f"Passages were found, but {who} read no answer in them{hint}. The nearest passages:"]
    for mark, passage in zip(marks, passages, strict=False):
        known = {f.name: passage[f.name] for f in dataclasses.fields(documents.Passage)}
        lines += ["", f"{mark} {documents.Passage(**known).where}", _wrapped(passage["text"], "    ")]
    return "\n".join(["", *lines])


def _wrapped(text: str, start: str = "") -> str:
    text = " ".join(text.split())
    return textwrap.fill(text, 100, initial_indent=start, subsequent_indent=start, break_on_hyphens=False)


# -- what is kept ----------------------------------------------------------------------------------------------------


def _remembered(path: Path, name: str, words: int) -> tuple[list[documents.Passage], list[str]]:
    """As :func:`documents.read_file`; what was read from a file with this content before is taken from the user's cache."""
    try:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return documents.read_file(path, name, words)  # it says why
    kind = f"{path.suffix.lower()[1:]}-{words}-{documents.VERSION}"
    kept = paths.cache_dir("ask", "files") / f"{content}-{kind}.json"
    try:
        held = json.loads(kept.read_text(encoding="utf-8"))
        passages = [documents.Passage(**p | {"file": name}) for p in held["passages"]]
        return passages, [f"{name}: {note}" for note in held["notes"]]
    except (OSError, ValueError, TypeError, KeyError):
        pass  # not there, or damaged: read the file itself
    passages, notes = documents.read_file(path, name, words)
    held = {"passages": [asdict(p) for p in passages], "notes": [n.removeprefix(f"{name}: ") for n in notes]}
    write_whole(kept, json.dumps(held))
    return passages, notes


def _embed(texts: Sequence[str]):
    """Sentence vectors."""
    if len(texts) > 1:
        _say(f"indexing {len(texts)} new passages")
    return _encoder().encode(texts)


@cache
def _encoder():
    from tunewise.models.encoder import Encoder

    return Encoder(EMBEDDING)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
