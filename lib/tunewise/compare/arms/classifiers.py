"""Arms without a language model: the most frequent label, logistic regression on words or on sentence embeddings, nearest neighbours."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tunewise import baselines, prompting
from tunewise.compare.artefact import Artefact
from tunewise.compare.base import ArmResult, Cost, Item
from tunewise.compare.workbench import NO_CHANCE, Arm, Workbench, accuracy, log_loss

NEIGHBOURS = (1, 3, 5, 9, 15, 25)
TITLES = {
    "majority": "The most frequent label",
    "tfidf": "TF-IDF and logistic regression",
    "embeddings": "Sentence embeddings and logistic regression",
    "neighbours": "Nearest neighbours by sentence embeddings",
}


def arms(bench: Workbench) -> list[Arm]:
    """On all training items."""
    makers = {"majority": majority, "tfidf": tfidf, "embeddings": embeddings, "neighbours": neighbours}
    return [_arm(bench, name, name, maker) for name, maker in makers.items()]


def curve(bench: Workbench) -> list[Arm]:
    """On fewer training items."""
    makers = {"tfidf": tfidf, "embeddings": embeddings}
    return [
        _arm(bench, f"{name}@{n}", name, partial(maker, n=n))
        for name, maker in makers.items()
        for n in bench.points()
    ]


def _arm(bench: Workbench, name: str, title: str, maker: Callable[[Workbench], ArmResult]) -> Arm:
    rows = len(bench.train) + len(bench.data.valid) + len(bench.data.test)
    embedding = 4 + rows / 60 if name == "embeddings" else 1.0  # the others find the vectors there
    seconds = {"majority": 0.0, "tfidf": 1 + rows / 500}.get(title, embedding)
    family = "rule" if title == "majority" else "classifier"
    return Arm(name, TITLES[title], family, maker, lambda pace: seconds, needs_model=False)


def majority(bench: Workbench) -> ArmResult:
    """The label that training has most of."""
    counts = np.bincount(bench.y(bench.train), minlength=len(bench.labels))
    scores = np.tile(np.log(np.maximum(counts, 1e-9) / counts.sum()), (len(bench.data.test), 1))
    arm = ("majority", TITLES["majority"], "rule")
    return bench.classified(arm, scores, settings={}, cost=Cost(labels=len(bench.train)))


def tfidf(bench: Workbench, n: int | None = None) -> ArmResult:
    """Words or runs of characters, chosen on validation."""
    items = bench.draw(n)
    pairs = [(item.text, y) for item, y in zip(items, bench.y(items), strict=True)]
    start, tried = time.perf_counter(), []
    for characters in (False, True):
        try:
            model = baselines.fit_tfidf(pairs, characters=characters)
        except ValueError:  # no text holds a word of two letters
            continue
        tried.append(({"features": "characters" if characters else "words"}, model))
    return _chosen(bench, "tfidf", items, tried, lambda part: [i.text for i in part], start)


def embeddings(bench: Workbench, n: int | None = None) -> ArmResult:
    """Vectors of the bundled sentence encoder."""
    items = bench.draw(n)
    start = time.perf_counter()
    model = baselines.fit_embeddings(bench.embed([i.text for i in items]), bench.y(items))

    def vectors(part: Sequence[Item]) -> np.ndarray:
        return bench.embed([i.text for i in part])

    return _chosen(bench, "embeddings", items, [({"encoder": "minilm"}, model)], vectors, start)


def _chosen(
    bench: Workbench,
    name: str,
    items: Sequence[Item],
    tried: Sequence[tuple[dict[str, Any], Any]],
    inputs: Callable[[Sequence[Item]], Any],
    start: float,
) -> ArmResult:
    """The fitted classifier (settings, model) that does best on validation, on the test items."""
    valid = bench.y(bench.data.valid)
    scored = [_log_probabilities(bench, model, inputs(bench.data.valid)) for _, model in tried]
    trials = [{**tried[i][0], "score": accuracy(s, valid)} for i, s in enumerate(scored)]
    best = max(range(len(tried)), key=lambda i: (accuracy(scored[i], valid), -log_loss(scored[i], valid)))
    settings, model = tried[best]
    trained = time.perf_counter() - start
    asked = inputs(bench.data.test)
    start = time.perf_counter()
    scores = _log_probabilities(bench, model, asked)
    seconds = (time.perf_counter() - start) / len(bench.data.test)
    if "encoder" in settings:  # most texts were embedded before
        seconds += bench.embedding_seconds
    cost = Cost(len(items), trained, seconds)
    whole = len(items) == len(bench.train)
    arm = (name if whole else f"{name}@{len(items)}", TITLES[name], "classifier")
    folder = None
    if whole:
        labels = [bench.labels[c] for c in model.classes_]
        made = Artefact("classifier", labels, encoder=settings.get("encoder", ""))
        folder = bench.leave(name, made, classifier=model)
    return bench.classified(arm, scores, settings=settings, cost=cost, trials=trials, artefact=folder)


def _log_probabilities(bench: Workbench, model: Any, inputs: Any) -> np.ndarray:
    """Of all labels [n, labels]."""
    return bench.of_all_labels(np.log(np.maximum(model.predict_proba(inputs), NO_CHANCE)), model.classes_)


def neighbours(bench: Workbench) -> ArmResult:
    """A vote of the k nearest training texts, k chosen on validation."""
    start = time.perf_counter()
    train, test, valid = list(bench.train), bench.data.test, bench.data.valid
    known, y = bench.embed([i.text for i in train]), bench.y(train)
    asked = bench.embed([i.text for i in valid])
    trials: list[dict[str, Any]] = []
    for k in (k for k in NEIGHBOURS if k <= len(train)):
        said = prompting.nearest_vote(y, known, asked, k)
        trials.append({"k": k, "score": float(np.mean(said == np.array(bench.y(valid))))})
    k = int(max(trials, key=lambda t: t["score"])["k"])
    trained = time.perf_counter() - start
    asked = bench.embed([i.text for i in test])
    start = time.perf_counter()
    voted = prompting.nearest_vote(y, known, asked, k)
    seconds = (time.perf_counter() - start) / len(test) + bench.embedding_seconds
    cost = Cost(len(train), trained, seconds)
    shots = [(i.text, i.target or "") for i in train]
    made = Artefact("neighbours", bench.labels, encoder="minilm", shots=shots, nearest=k)
    return ArmResult(
        "neighbours",
        TITLES["neighbours"],
        "classifier",
        settings={"k": k, "encoder": "minilm"},
        predictions=[bench.labels[p] for p in voted],
        outcomes={"accuracy": [float(p == t) for p, t in zip(voted, bench.y(test), strict=True)]},
        cost=cost,
        trials=trials,
        artefact=bench.leave("neighbours", made),
    )
