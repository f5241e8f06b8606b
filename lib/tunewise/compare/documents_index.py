"""A folder of documents, read and ready to search. What was read is kept in the user's cache by the hash of each file, the vectors in a
Qdrant store by the text of each passage, so that only what has changed is read and embedded again."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

from tunewise import paths
from tunewise.compare import documents_folder as folder
from tunewise.retrieval import Embed, Hit, Retriever
from tunewise.step_cache import write_whole

EMBEDDING = "minilm"
# The least cosine similarity (all-MiniLM-L6-v2) of a question and its nearest passage that counts as relevant. Chosen on an invented company's
# training and validation questions against questions on anything else; tests/test_ask.py computes it again. It parts a question about these
# documents from one about something else. It cannot tell whether the answer stands there. `tunewise compare --docs` chooses one on own questions.
RELEVANT = 0.35

Say = Callable[[str], None]


def index(
    docs: str | Path,
    passages: Sequence[folder.Passage],
    how: str,
    store: str | None = None,
    *,
    say: Say,
    embed: Embed | None = None,
) -> Retriever:
    """The folder's passages, ready to search. Those that the store knows already are not embedded again.

    Parameters
    ----------
    how
        ``bm25``, ``dense`` or ``hybrid``.
    store
        A folder or a server's address; None: the user's cache.
    embed
        Texts -> vectors of length 1; None: the sentence encoder :data:`EMBEDDING`.
    """
    name = hashlib.sha256(str(Path(docs).expanduser().resolve()).encode()).hexdigest()[:16]
    kept, collection = store or paths.cache_dir("ask", name), f"tunewise-{name}-{EMBEDDING}"
    vectors = partial(_embedded, embed=embed or encode, say=say)
    made = partial(Retriever, [p.full for p in passages], vectors, how, store=kept, collection=collection)
    try:
        return made()
    except (ValueError, KeyError, EOFError, sqlite3.Error, pickle.UnpicklingError):
        if store is not None:
            raise
        say("the index in the cache is damaged: making it again")
    shutil.rmtree(kept)
    return made()


def search(
    retriever: Retriever, question: str, k: int, threshold: float = RELEVANT
) -> tuple[list[Hit], float | None]:
    """The k best passages, and the cosine similarity of the nearest (None under ``bm25``). Only the nearest passage, if it is too far away."""
    if retriever.vectors is None:
        return retriever.search([question], k)[0], None
    nearest = retriever.vectors.search([question], 1)[0]
    similarity = round(nearest[0].score, 4) if nearest else 0.0
    return (retriever.search([question], k)[0] if similarity >= threshold else nearest), similarity


def remembered(path: Path, name: str, words: int) -> tuple[list[folder.Passage], list[str]]:
    """As :func:`documents_folder.read_file`; what was read from a file with this content before is taken from the user's cache."""
    try:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return folder.read_file(path, name, words)  # it says why
    kind = f"{path.suffix.lower()[1:]}-{words}-{folder.VERSION}"
    kept = paths.cache_dir("ask", "files") / f"{content}-{kind}.json"
    try:
        held = json.loads(kept.read_text(encoding="utf-8"))
        passages = [folder.Passage(**p | {"file": name}) for p in held["passages"]]
        return passages, [f"{name}: {note}" for note in held["notes"]]
    except (OSError, ValueError, TypeError, KeyError):
        pass  # not there, or damaged: read the file itself
    passages, notes = folder.read_file(path, name, words)
    held = {"passages": [asdict(p) for p in passages], "notes": [n.removeprefix(f"{name}: ") for n in notes]}
    write_whole(kept, json.dumps(held))
    return passages, notes


def encode(texts: Sequence[str]) -> Any:
    """Sentence vectors, float32 [n, 384], of length 1."""
    return _encoder().encode(texts)


def _embedded(texts: Sequence[str], *, embed: Embed, say: Say) -> Any:
    if len(texts) > 1:
        say(f"embedding {len(texts)} texts")
    return embed(texts)


@cache
def _encoder() -> Any:
    from tunewise.models.encoder import Encoder

    return Encoder(EMBEDDING)
