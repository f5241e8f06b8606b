"""The benchmark of the lab "Is the benchmark telling the truth?": a folder with three planted faults, another for each student.

Tweets and answers of the language models are real: the book's records hold them. The classifier is trained on the spot. The faults are planted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tunewise.near_duplicates import plain
from whentofinetune import book_records
from whentofinetune.datasets.rated_tasks import load_task
from whentofinetune.labs import Variant

ALIKE = 0.4  # this share of different words in common, and a tweet is too near; the lab calls a half a copy
LABELS = 300  # training tweets, as many as the recorded rivals had
_DISGUISES = ("RT {}", "{} http://t.co/7fk2", "@sam {}", "{} !!!")


def classify(train: Sequence[dict], texts: Sequence[str]) -> list[str]:
    """Train logistic regression on words of ``train`` (rows with text and label); its answers to ``texts``."""
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=1000))
    return list(model.fit([r["text"] for r in train], [r["label"] for r in train]).predict(texts))


def write(v: Variant, where: Path) -> list[int]:
    """Write the student's benchmark into the folder ``where``; returns which test rows (their places) also stand in training."""
    task, rng = load_task("tweets"), v.rng("benchmark")
    train, test = pool()
    train = [train[i] for i in rng.choice(len(train), LABELS, replace=False)]
    rows = [test[i] for i in rng.choice(len(test), int(rng.integers(38, 47)), replace=False)]
    copied = sorted(rng.choice(len(rows), len(rows) // 2, replace=False).tolist())
    for i in copied:
        train.append(rows[i] | {"text": str(rng.choice(_DISGUISES)).format(rows[i]["text"]).upper()})
    train = [{k: train[i][k] for k in ("text", "label")} for i in rng.permutation(len(train))]
    template = rng.choice(["mood", "bare"])
    asked = book_records.load("wordings").one(method="generate", wording=template, split="test")
    replies = dict(zip(asked.items, asked.raw["predictions"], strict=True))
    for row, answer in zip(rows, classify(train, [r["text"] for r in rows]), strict=True):
        reply = replies[row["id"]]
        row |= {"language model": "" if reply is None else task.labels[reply], "classifier": answer}
    right = {m: sum(r[m] == r["label"] for r in rows) for m in ("classifier", "language model")}
    found = ", ".join(f"{m} {k / len(rows):.0%}" for m, k in right.items())
    where.mkdir(parents=True, exist_ok=True)
    what = f"Prompt template: {template}, replies read as text. {len(rows)} test tweets."
    claim = f"# Which tweets are positive, neutral, negative?\n\n{what} Accuracy: {found}. Our classifier has won.\n"
    (where / "README.md").write_text(claim, encoding="utf-8")
    for name, part in {"train": train, "test": rows}.items():
        (where / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in part), encoding="utf-8")
    return copied


def pool() -> tuple[list[dict], list[dict]]:
    """The training and test rows that a benchmark is drawn from: long enough, and no test row near another or near a training row."""
    task = load_task("tweets")
    train, test = (
        [r for r in (_row(task, e) for e in part) if len(set(plain(r["text"]).split())) > 7]
        for part in (task.train, task.test)
    )
    return train, _alone(test, train)


def templates(test_ids: Sequence[str]) -> dict[str, dict[str, list[int]]]:
    """Prompt template -> what the language model, its labels scored, got right (1) and wrong (0): ``valid`` on all validation tweets,
    ``test`` on those of ``test_ids``."""
    record, found = book_records.load("wordings"), {}
    for name in record.params["wordings"]:
        valid, test = (_right(record.one(method="score", wording=name, split=s)) for s in ("valid", "test"))
        found[name] = {"valid": list(valid.values()), "test": [test[i] for i in test_ids]}
    return found


def all_tests() -> tuple[list[dict], dict[str, list[int]]]:
    """All recorded test tweets, and what three rivals got right on them: one draw of examples, one training on 300 labels each."""
    task, few, curve = load_task("tweets"), book_records.load("few_shot"), book_records.load("learning_curve")
    recorded = {"few-shot": min(few.where(method="balanced", seed=0), key=lambda r: r["k"])}
    recorded |= {m: curve.one(method=m, n_labels=LABELS, seed=0) for m in ("embeddings", "lora")}
    rows = [_row(task, e) for e in task.test]
    right = {m: _right(found) for m, found in recorded.items()}
    return rows, {m: [of[r["id"]] for r in rows] for m, of in right.items()}


def _alone(test: list[dict], train: list[dict]) -> list[dict]:
    """The test rows that have no near copy in training or, as it is or in any disguise, among the others."""
    texts, n = [r["text"] for r in test], len(train)
    others = [r["text"] for r in train] + [d.format(t) for d in ("{}", *_DISGUISES) for t in texts]
    words = CountVectorizer(binary=True, token_pattern=r"[^\W_]+").fit(others)
    a, b = words.transform(texts), words.transform(others)
    both = (a @ b.T).toarray()
    alike = both / (np.asarray(a.sum(axis=1)) + np.asarray(b.sum(axis=1)).T - both)
    for i in range(len(test)):
        alike[i, n + i :: len(test)] = 0  # itself
    return [row for row, most in zip(test, alike.max(axis=1), strict=True) if most < ALIKE]


def _row(task, example) -> dict[str, str]:
    return {"id": example.id, "text": example.text, "label": task.labels[example.label]}


def _right(row) -> dict[str, int]:
    return {item: int(x) for item, x in zip(row.items, row.outcomes("accuracy"), strict=True)}
