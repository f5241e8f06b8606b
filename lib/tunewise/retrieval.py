"""Find the passages that bear on a question: by words (BM25), by meaning (sentence vectors), or by both; and how well that was done.

    Retriever(texts, embed).search(["How heavy is the Tolwick?"], k=3)     # [[Hit(index=12, score=0.032), ...]]

- ``bm25``: Robertson & Zaragoza (2009), The Probabilistic Relevance Framework, by ``bm25s`` (numpy only, still kept up, and its scores are checked
  against Lucene's; rank-bm25 has had no release since 2022 and scores every passage in a Python loop).
- ``dense``: cosine similarity of sentence vectors, by ``qdrant-client``: in memory, in a folder, or by the same code on a Qdrant server.
- ``hybrid``: both rankings fused by reciprocal rank, Cormack, Clarke & Büttcher (2009), SIGIR, 758-759.

The packages are imported when a retriever is made: the extra ``rag``. For the measures ``found`` holds for each query the indices of the
passages that came back, best first, and ``relevant`` those that bear on it.
"""

import importlib
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunewise import paths

HOWS = ("bm25", "dense", "hybrid")
RRF_K = 60  # Cormack et al. (2009): what they found on a pilot, and kept
_DIGITS = 6  # of a score: what rounding does to vectors and sums (about 1e-7) decides no rank
_PART = 512  # texts are embedded and stored in parts of so many, so that what is interrupted is not lost
_PACKAGES = {"markdown_it": "markdown-it-py", "bs4": "beautifulsoup4", "pdfminer": "pdfminer.six"}
_SPARE = 16  # vectors asked for beyond k, so that equal ones at the end are told apart here, by their places

Embed = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Hit:
    """The place of a passage among the texts; BM25's score (from 0), the cosine (-1 to 1) or the sum of reciprocal ranks (hybrid)."""

    index: int
    score: float


class Retriever:
    """An index over ``texts`` that can be searched and kept up to date.

    Parameters
    ----------
    embed
        Texts -> float [n, d], rows of length 1, such as ``Encoder().encode``; None suffices for ``bm25``.
    how
        ``bm25``, ``dense`` or ``hybrid``.
    store
        Where the vectors lie: None (in memory), a folder, or a server's address (``http://localhost:6333``).
    collection
        Their name in the store. Vectors that are there already are used, those of other texts are removed: one collection for each set of
        texts and each embedding model.

    Raises
    ------
    ValueError
        For an unknown ``how`` or a missing ``embed``.
    ImportError
        With what to install, where a package is missing.
    ConnectionError
        Where a server does not answer.
    """

    def __init__(
        self,
        texts: Sequence[str],
        embed: Embed | None = None,
        how: str = "hybrid",
        *,
        store: str | Path | None = None,
        collection: str = "tunewise",
    ) -> None:
        if how not in HOWS:
            raise ValueError(f"how must be one of {', '.join(HOWS)}, not {how!r}")
        if how != "bm25" and embed is None:
            raise ValueError(f"{how} retrieval needs an embedding function: Encoder().encode, or how='bm25'")
        self.how = how
        self.words = Words() if how != "dense" else None
        self.vectors = Vectors(embed, store, collection) if embed and how != "bm25" else None
        self.update(texts)

    def update(self, texts: Sequence[str]) -> None:
        """Hold these texts and no others. Only those that were not held before are embedded."""
        if isinstance(texts, str):
            raise TypeError("a retriever wants a list of texts, not one text")
        self.texts = list(texts)
        for part in (self.words, self.vectors):
            if part:
                part.hold(self.texts)

    def search(self, queries: Sequence[str], k: int = 5) -> list[list[Hit]]:
        """The k best passages for each query, best first; of equal ones that with the smaller index.

        Fewer where there are fewer. Under ``bm25`` a passage that shares no word with the query is no hit.
        """
        if isinstance(queries, str):
            raise TypeError("search wants a list of queries, not one query")
        if k < 1:
            raise ValueError(f"k must be 1 or more, not {k}")
        parts = [part for part in (self.words, self.vectors) if part]
        if len(parts) == 1:
            return parts[0].search(queries, k)
        deep = max(10 * k, 100)
        return [fuse(both)[:k] for both in zip(*(p.search(queries, deep) for p in parts), strict=True)]

    def close(self) -> None:
        """Let go of the store, so that another process can open its folder."""
        if self.vectors:
            self.vectors.client.close()


def fuse(rankings: Iterable[Sequence[Hit]]) -> list[Hit]:
    """One ranking from several: a passage scores the sum over the rankings of 1 / (60 + its rank there, from 1)."""
    total: dict[int, float] = {}
    for ranking in rankings:
        for rank, hit in enumerate(ranking, 1):
            total[hit.index] = total.get(hit.index, 0.0) + 1 / (RRF_K + rank)
    return _ordered(total.items(), digits=12)


class Words:
    """The BM25 side: English stop words left out, words stemmed (Snowball). Any change rebuilds the index (it is quick), at the next search."""

    def __init__(self) -> None:
        self._bm25s = needed("bm25s")
        self._stemmer = needed("snowballstemmer").stemmer("english")
        self._tokens: dict[str, list[str]] = {}
        self._index: Any = None

    def hold(self, texts: Sequence[str]) -> None:
        """Index these texts and no others."""
        fresh = [t for t in dict.fromkeys(texts) if t not in self._tokens]
        kept = {t: self._tokens[t] for t in texts if t in self._tokens}
        self._tokens = kept | dict(zip(fresh, self.split(fresh), strict=True))
        self._corpus, self._index = [self._tokens[t] for t in texts], None

    def split(self, texts: Sequence[str]) -> list[list[str]]:
        """The words that count, as stems."""
        if not texts:
            return []
        plain = dict(return_ids=False, show_progress=False)
        return self._bm25s.tokenize(list(texts), stopwords="en", stemmer=self._stemmer, **plain)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The k best passages for each query; none that shares no word with it."""
        if not any(self._corpus):
            return [[] for _ in queries]
        if self._index is None:
            self._index = self._bm25s.BM25()
            self._index.index(self._corpus, show_progress=False)
        found = []
        for words in self.split(queries):
            known = [w for w in words if w in self._index.vocab_dict]
            scores = self._index.get_scores(known) if known else np.zeros(0)
            found.append(_ordered((i, scores[i]) for i in np.flatnonzero(scores > 0).tolist())[:k])
        return found


class Vectors:
    """The dense side: one vector for each different text, in a Qdrant collection, under an id made from the text itself.

    So a store that is opened again says by its ids which texts it holds, and only new ones are embedded.
    """

    def __init__(self, embed: Embed, store: str | Path | None, collection: str) -> None:
        qdrant = needed("qdrant_client")
        self.models = importlib.import_module("qdrant_client.models")
        self.embed, self.collection = embed, collection
        address = str(store) if store is not None else ":memory:"
        self.client = _open(qdrant, address)
        self._ids = self._stored()

    def hold(self, texts: Sequence[str]) -> None:
        """Hold the vectors of these texts and no others."""
        self._places: dict[str, list[int]] = {}
        for place, text in enumerate(texts):
            self._places.setdefault(point_id(text), []).append(place)
        by_id = {point_id(text): text for text in texts}
        if gone := sorted(self._ids - by_id.keys()):
            self.client.delete(self.collection, self.models.PointIdsList(points=gone), wait=True)
        fresh = [i for i in by_id if i not in self._ids]
        for start in range(0, len(fresh), _PART):
            part = fresh[start : start + _PART]
            self._insert(part, np.asarray(self.embed([by_id[i] for i in part]), dtype=np.float32))
        self._ids = set(by_id)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The k nearest passages for each query."""
        if not self._ids or not queries:
            return [[] for _ in queries]
        vectors = np.asarray(self.embed(list(queries)), dtype=np.float32).tolist()
        asked = [self.models.QueryRequest(query=v, limit=k + _SPARE) for v in vectors]
        answers = self.client.query_batch_points(self.collection, asked)
        places = ([(i, p.score) for p in a.points for i in self._places.get(str(p.id), ())] for a in answers)
        return [_ordered(found)[:k] for found in places]

    def _insert(self, ids: list[str], vectors: np.ndarray) -> None:
        if not self.client.collection_exists(self.collection):
            params = self.models.VectorParams(size=vectors.shape[1], distance=self.models.Distance.COSINE)
            self.client.create_collection(self.collection, vectors_config=params)
        self.client.upsert(self.collection, self.models.Batch(ids=ids, vectors=vectors.tolist()), wait=True)

    def _stored(self) -> set[str]:
        """The ids of all points in the collection."""
        found: set[str] = set()
        if not self.client.collection_exists(self.collection):
            return found
        at, more, plain = None, True, dict(with_payload=False, with_vectors=False)
        while more:
            points, at = self.client.scroll(self.collection, limit=1000, offset=at, **plain)
            found |= {str(p.id) for p in points}
            more = at is not None
        return found


def point_id(text: str) -> str:
    """The id under which a text's vector is stored: the same text, the same id."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, text))


def _ordered(scores: Iterable[tuple[int, float]], digits: int = _DIGITS) -> list[Hit]:
    hits = [Hit(int(index), round(float(score), digits)) for index, score in scores]
    return sorted(hits, key=lambda hit: (-hit.score, hit.index))


def needed(module: str, what: str = "retrieval") -> Any:
    """An optional module. Raises ImportError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        package = _PACKAGES.get(module, module.replace("_", "-"))
        raise ImportError(f"{what} needs {package}: {paths.install_command('rag')}") from None


def _open(qdrant: Any, address: str) -> Any:
    """A client for memory, a folder or a server."""
    if address == ":memory:":
        return qdrant.QdrantClient(":memory:")
    if not address.startswith(("http://", "https://")):
        try:
            return qdrant.QdrantClient(path=address)
        except RuntimeError as error:  # Qdrant's own lock: one process at a time
            remedy = "wait for it, or start a server and name its address"
            raise OSError(f"the store {address} is in use by another process: {remedy}") from error
    client = qdrant.QdrantClient(url=address, timeout=60, check_compatibility=False)
    try:
        client.get_collections()
    except Exception as error:  # the client has one kind of error for each transport
        remedy = "docker run -p 6333:6333 qdrant/qdrant starts one"
        raise ConnectionError(f"no Qdrant server answers at {address}: {remedy}") from error
    return client


def recall_at_k(found: Sequence[Sequence[int]], relevant: Sequence[Collection[int]], k: int) -> list[float]:
    """For each query the share of its relevant passages that are among the first ``k``. Raises ValueError where a query has none."""
    if k < 1:
        raise ValueError(f"k must be 1 or more, not {k}")
    return [len(set(mine) & set(first[:k])) / len(set(mine)) for first, mine in _pairs(found, relevant)]


def reciprocal_ranks(found: Sequence[Sequence[int]], relevant: Sequence[Collection[int]]) -> list[float]:
    """For each query 1 / rank of the first relevant passage, the ranks beginning at 1; 0 if none came back."""
    return [
        next((1 / rank for rank, i in enumerate(first, 1) if i in mine), 0.0)
        for first, mine in _pairs(found, relevant)
    ]


def _pairs(
    found: Sequence[Sequence[int]], relevant: Sequence[Collection[int]]
) -> list[tuple[Sequence[int], Collection[int]]]:
    if len(found) != len(relevant):
        raise ValueError(f"{len(found)} results for {len(relevant)} queries: there must be one for each")
    if empty := [i for i, mine in enumerate(relevant) if not mine]:
        raise ValueError(f"query {empty[0]} has no relevant passage: leave it out, for it can't be found")
    return list(zip(found, relevant, strict=True))
