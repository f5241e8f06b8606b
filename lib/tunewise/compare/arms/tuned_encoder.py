"""The sentence encoder trained whole: rate chosen on validation, at all labels and at fewer; the one that was chosen is trained with several seeds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from scipy.special import log_softmax

from tunewise.baselines import fit_embeddings
from tunewise.compare.arms.training_runs import OnValidation, as_one
from tunewise.compare.artefact import OWN_ENCODER, Artefact
from tunewise.compare.base import ArmResult, Cost, Item
from tunewise.compare.workbench import CHUNK, VERSION, Arm, Workbench, accuracy, log_loss
from tunewise.encoder_finetuning import BATCH, EncoderClassifier, fit_encoder, steps_of

TITLE = "The sentence encoder fine-tuned (MiniLM)"
RATES = (5e-5, 1e-4, 2e-4)
SEEN, MOST = 8000, 4  # examples that a training sees, repeats counted; passes at most
TOKENS_A_SECOND = 2000  # that MiniLM embeds on a core; training on one takes three times as long


def arms(bench: Workbench) -> list[Arm]:
    """On all training items."""
    return [_arm(bench, None)]


def curve(bench: Workbench) -> list[Arm]:
    """On fewer training items."""
    return [_arm(bench, n) for n in bench.points()]


def _arm(bench: Workbench, n: int | None) -> Arm:
    labels, runs = n or len(bench.train), 1 if n else bench.settings.runs
    trained = BATCH * steps_of(labels, passes(labels)) * (len(RATES) + runs - 1)
    scored = len(bench.data.valid) * (len(RATES) + runs - 1) + len(bench.data.test) * runs
    tokens = float(np.mean([min(256, 2 + len(item.text) / 4) for item in bench.train]))
    seconds = (3 * trained + scored) * tokens / TOKENS_A_SECOND
    name, evaluate, disk = f"encoder@{n}" if n else "encoder", partial(encoder, n=n), 0 if n else 90_000_000
    return Arm(name, TITLE, "classifier", evaluate, lambda pace: seconds, disk=disk, needs_model=False)


def passes(n: int) -> int:
    """Passes over ``n`` examples: large sets are seen less often."""
    return min(MOST, max(1, round(SEEN / n)))


def encoder(bench: Workbench, n: int | None = None) -> ArmResult:
    """The rate of three that does best on validation, on the test items; on all labels trained with several seeds."""
    work, seed = _Training(bench, bench.draw(n)), bench.settings.seed
    recipe = {"epochs": passes(len(work.items))}
    tried = [work.run({**recipe, "learning_rate": rate}, seed) for rate in RATES]
    best = max(tried, key=_Run.rank)
    work.drop_all_but(best)
    runs, scored = [best], [work.test(best)]
    for k in range(1, 1 if n else bench.settings.runs):
        runs.append(work.run(best.recipe, seed + k))
        scored.append(work.test(runs[-1]))
        work.drop_all_but(max(runs, key=_Run.rank))
    kept = runs.index(max(runs, key=_Run.rank))
    folder = None
    if n is None:
        labels = [bench.labels[c] for c in work.classes]
        body, head = work.model(best.recipe, runs[kept].seed).parts()
        made = Artefact("classifier", labels, encoder=OWN_ENCODER)
        folder = bench.leave("encoder", made, classifier=head, encoder=body)
    cost = Cost(len(work.items), sum(t.seconds for t in tried), scored[kept][1])
    arm = (f"encoder@{n}" if n else "encoder", TITLE, "classifier")
    trials = [{**t.settings, "score": t.score} for t in tried]
    told: dict[str, Any] = dict(settings=best.settings, cost=cost, trials=trials, artefact=folder)
    return as_one([bench.classified(arm, scores, **told) for scores, _ in scored], kept, "accuracy")


@dataclass(frozen=True)
class _Run(OnValidation):
    """One training: its recipe and seed, and how it does on validation."""

    recipe: dict[str, Any]
    seed: int
    score: float
    log_loss: float
    seconds: float

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "epochs": self.recipe["epochs"],
            "learning_rate": self.recipe["learning_rate"],
            "encoder": "minilm",
        }


class _Training:
    """What all trainings of an arm share; what each gave is kept, so that an interrupted arm goes on."""

    def __init__(self, bench: Workbench, items: Sequence[Item]) -> None:
        self.bench, self.items = bench, items
        y = bench.y(items)
        self.classes = sorted(set(y))
        places = [self.classes.index(label) for label in y]
        self.pairs = list(zip((i.text for i in items), places, strict=True))
        self.models: dict[str, EncoderClassifier] = {}

    def run(self, recipe: dict[str, Any], seed: int) -> _Run:
        """Train by a recipe, and ask the validation items."""
        bench = self.bench

        def train() -> dict[str, Any]:
            start = time.perf_counter()
            self.model(recipe, seed)
            seconds = time.perf_counter() - start
            return {"scores": self._scores(recipe, seed, bench.data.valid).tolist(), "seconds": seconds}

        kept = bench.cache.memo(["encoder trial", *self._made_of(recipe, seed, bench.data.valid)], train)
        scores, y = np.array(kept["scores"]), bench.y(bench.data.valid)
        return _Run(recipe, seed, accuracy(scores, y), log_loss(scores, y), float(kept["seconds"]))

    def test(self, run: _Run) -> tuple[np.ndarray, float]:
        """Log-probabilities of the labels for the test items [n, labels], and seconds a text."""
        items = self.bench.data.test

        def score() -> dict[str, Any]:
            self.model(run.recipe, run.seed)
            start = time.perf_counter()
            scores = self._scores(run.recipe, run.seed, items).tolist()
            return {"scores": scores, "seconds": (time.perf_counter() - start) / len(items)}

        kept = self.bench.cache.memo(["encoder test", *self._made_of(run.recipe, run.seed, items)], score)
        return np.array(kept["scores"]), float(kept["seconds"])

    def model(self, recipe: dict[str, Any], seed: int) -> EncoderClassifier:
        """The model after training; trained again where an earlier call did it."""
        name = f"{recipe} {seed}"
        if name not in self.models:
            told = {"probe": self.probe, "each_step": self.bench.on_time}
            self.models[name], _ = fit_encoder(self.bench.encoder, self.pairs, [recipe], seed, **told)
        return self.models[name]

    def drop_all_but(self, run: _Run) -> None:
        """Free the memory of all models but this one."""
        name = f"{run.recipe} {run.seed}"
        self.models = {name: self.models[name]} if name in self.models else {}

    @cached_property
    def probe(self) -> Any:
        """The logistic regression on the untouched vectors with which every training begins."""
        texts, places = zip(*self.pairs, strict=True)
        return fit_embeddings(self.bench.embed(texts), places)

    def _scores(self, recipe: dict[str, Any], seed: int, items: Sequence[Item]) -> np.ndarray:
        """Log-probabilities of all labels [n, labels]."""
        model, logits = self.model(recipe, seed), []
        for first in range(0, len(items), CHUNK):
            self.bench.on_time()
            logits.append(model.logits([i.text for i in items[first : first + CHUNK]]).numpy())
        found = log_softmax(np.concatenate(logits).astype(float), axis=1)
        return self.bench.of_all_labels(found, self.classes)

    def _made_of(self, recipe: dict[str, Any], seed: int, items: Sequence[Item]) -> list[Any]:
        texts = [i.text for i in items]
        return [
            VERSION,
            self.bench.encoder_revision,
            recipe,
            seed,
            self.pairs,
            texts,
            list(self.bench.labels),
        ]
