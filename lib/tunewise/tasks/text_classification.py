"""Text classification tasks: real snippets rated by people, or the reader's own file.

The ratings come with the source distribution of vaderSentiment 3.3.2 (Hutto & Gilbert 2014): tweets, product reviews, film
reviews and newspaper editorials, each snippet rated by 20 people from -4 (extremely negative) to +4. ``data/vader/README.md`` is their
data card.
"""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tunewise import fetch

THRESHOLD = 0.8  # mean rating from which a snippet counts as positive (negative below minus this)
SENTIMENT = ("positive", "neutral", "negative")
_FILES = {
    "tweets": "tweets_GroundTruth.txt",
    "products": "amazonReviewSnippets_GroundTruth.txt",
    "films": "movieReviewSnippets_GroundTruth.txt",
    "news": "nytEditorialSnippets_GroundTruth.txt",
}
# items a class in test and valid; training gets what balance leaves
_SIZES = {
    "tweets": (100, 50), "products": (50, 20), "films": (50, 20), "news": (50, 20),
    "tweets-polarity": (75, 25), "tweets-subjectivity": (75, 25), "domain": (50, 20),
}  # fmt: skip
NAMES = tuple(_SIZES)


@dataclass(frozen=True)
class Example:
    """One text, the index of its label, and where it comes from."""

    text: str
    label: int
    id: str


@dataclass(frozen=True)
class Task:
    """A classification task: label names, and three splits that share no text and no source document."""

    name: str
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    valid: tuple[Example, ...]
    test: tuple[Example, ...]


def load_task(name: str, seed: int = 0) -> Task:
    """The task ``name`` (one of ``NAMES``) with balanced splits; ``seed`` decides which item goes where.

    Raises ValueError for an unknown name, :class:`tunewise.fetch.CannotFetch` when the data are neither cached nor to be had.
    """
    if name not in NAMES:
        raise ValueError(f"no task {name!r}; there are {', '.join(NAMES)}; your own file: own_data(path, text, label)")
    return _load(name, seed)


@lru_cache(maxsize=16)
def _load(name: str, seed: int) -> Task:
    if name == "domain":
        labels = ("tweet", "product review", "film review", "newspaper")
        pool = [(i, text, label) for label, source in enumerate(_FILES) for i, _, text in _snippets(source)]
    else:
        rows = _snippets(name.split("-")[0])
        if name == "tweets-polarity":
            labels = ("positive", "negative")
            pool = [(i, text, int(r < 0)) for i, r, text in rows if abs(r) >= THRESHOLD]
        elif name == "tweets-subjectivity":
            labels = ("emotional", "factual")
            pool = [(i, text, int(abs(r) < THRESHOLD)) for i, r, text in rows]
        else:
            labels = SENTIMENT
            pool = [(i, text, 0 if r >= THRESHOLD else 2 if r <= -THRESHOLD else 1) for i, r, text in rows]
    test, valid = _SIZES[name]
    return _split(name, labels, pool, test, valid, seed)


def _snippets(source: str) -> list[tuple[str, float, str]]:
    """(id, mean rating, text) of all snippets of a source, without repeated texts and without texts of under two words."""
    path = fetch.source("vader")
    with tarfile.open(path) as outer:
        member = next(n for n in outer.getnames() if n.endswith("hutto_ICWSM_2014.tar.gz"))
        inner_bytes = outer.extractfile(member).read()
    with tarfile.open(fileobj=io.BytesIO(inner_bytes)) as inner:
        member = next(n for n in inner.getnames() if n.endswith(_FILES[source]))
        lines = inner.extractfile(member).read().decode("utf-8", errors="replace").splitlines()
    rows, seen = [], set()
    for line in lines:
        fields = line.split("\t", 2)
        if len(fields) != 3:
            continue
        number, rating, text = fields
        text = " ".join(html.unescape(text).split())
        key = normal(text)
        if len(key.split()) < 2 or key in seen:
            continue
        seen.add(key)
        rows.append((f"{source}-{number}", float(rating), text))
    return rows


def normal(text: str) -> str:
    """A text reduced to its words, for finding repeats: lower case, no addresses, user names, digits or punctuation."""
    text = re.sub(r"https?://\S+|www\.\S+|@\w+", " ", text.lower())
    return " ".join(re.findall(r"[^\W\d_]+", text))


def _split(name: str, labels: Sequence[str], pool: list[tuple[str, str, int]], test: int, valid: int, seed: int) -> Task:
    """Balanced splits; snippets of one document (``products-12_3`` is of document 12) stay together."""
    rng = np.random.default_rng([seed, len(labels)])
    groups: dict[str, list[tuple[str, str, int]]] = {}
    for item in pool:
        groups.setdefault(item[0].split("_")[0], []).append(item)
    order = [list(groups)[i] for i in rng.permutation(len(groups))]
    want = {"test": test, "valid": valid}
    splits: dict[str, list] = {"test": [], "valid": [], "train": []}
    counts = {s: Counter() for s in splits}
    for group in order:
        place = next((s for s in want if any(counts[s][c] < want[s] for c in range(len(labels)))), "train")
        for number, text, label in groups[group]:
            if place == "train" or counts[place][label] < want[place]:
                splits[place].append(Example(text, label, number))
                counts[place][label] += 1
    smallest = min(counts["train"][c] for c in range(len(labels)))
    kept = Counter()
    train = []
    for e in splits["train"]:
        if kept[e.label] < smallest:
            kept[e.label] += 1
            train.append(e)
    return Task(name, tuple(labels), tuple(train), tuple(splits["valid"]), tuple(splits["test"]))


def fingerprint(task: Task) -> str:
    """SHA-256 of everything in a task: labels, texts, which split each is in."""
    content = [task.name, task.labels] + [[(e.text, e.label) for e in s] for s in (task.train, task.valid, task.test)]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


def own_data(path: str | Path, text: str = "text", label: str = "label", seed: int = 0, name: str | None = None) -> Task:
    """The reader's own CSV or JSONL file as a task: 20 % test, 10 % valid, the rest training, each in the file's own proportions.

    text, label: the columns' names. Repeated texts are dropped. Raises ValueError with what is wrong and where: no such
    column, an empty label or text, one class only, fewer than 10 rows a class, not UTF-8, broken JSON; FileNotFoundError.
    """
    path = Path(path)
    rows = _read_rows(path)
    if not rows:
        raise ValueError(f"{path} holds no rows")
    for column in (text, label):
        if column not in rows[0][1]:
            raise ValueError(f"{path} has no column {column!r}; it has {', '.join(map(str, rows[0][1]))}")
    pool, seen, told = [], {}, []
    for line, row in rows:
        t, y = str(row.get(text) or "").strip(), str("" if row.get(label) is None else row[label]).strip()
        if not t or not y:
            raise ValueError(f"{path}, line {line}: the {'text' if not t else 'label'} is empty; fill it or delete the row")
        key = normal(t) or t
        if key in seen:
            if seen[key] != y:
                told.append(line)
            continue
        seen[key] = y
        pool.append((line, t, y))
    if told:
        raise ValueError(f"{path}, line {told[0]}: the same text stands twice with different labels ({len(told)} such rows)")
    labels = sorted(Counter(y for _, _, y in pool))
    if len(labels) < 2:
        raise ValueError(f"{path}: all rows have the label {labels[0]!r}; two or more are needed")
    counts = Counter(y for _, _, y in pool)
    if few := [f"{y} ({counts[y]})" for y in labels if counts[y] < 10]:
        raise ValueError(f"{path}: fewer than 10 different texts for {', '.join(few)}; collect more or merge labels")
    rng = np.random.default_rng(seed)
    splits: dict[str, list[Example]] = {"train": [], "valid": [], "test": []}
    for index, y in enumerate(labels):
        own = [p for p in pool if p[2] == y]
        own = [own[i] for i in rng.permutation(len(own))]
        n_test, n_valid = max(2, round(0.2 * len(own))), max(1, round(0.1 * len(own)))
        for at, (line, t, _) in enumerate(own):
            place = "test" if at < n_test else "valid" if at < n_test + n_valid else "train"
            splits[place].append(Example(t, index, f"line-{line}"))
    shuffled = {s: tuple(v[i] for i in rng.permutation(len(v))) for s, v in splits.items()}
    return Task(name or path.stem, tuple(labels), **shuffled)


def _read_rows(path: Path) -> list[tuple[int, dict]]:
    """(line number, row) of a CSV or JSONL file."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8, or convert it: iconv -f latin1 -t utf-8"
        ) from error
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        rows = []
        for line, content_line in enumerate(content.splitlines(), 1):
            if not content_line.strip():
                continue
            try:
                row = json.loads(content_line)
            except ValueError as error:
                raise ValueError(f"{path}, line {line}: no JSON object ({error}); one object a line is wanted") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {line}: a JSON object is wanted, not {type(row).__name__}")
            rows.append((line, row))
        return rows
    reader = csv.DictReader(io.StringIO(content, newline=""))
    return [(reader.line_num, row) for row in reader]
