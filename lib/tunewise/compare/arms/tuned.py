"""LoRA: passes and learning rate chosen on validation, at all labels and at fewer; the recipe that was chosen is trained with several seeds."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tunewise.compare.arms.prompts import answer_tokens, model_bytes, prompt_artefact
from tunewise.compare.arms.training_runs import OnValidation, as_one, attempts, other_seeds, some
from tunewise.compare.base import ArmResult, Cost
from tunewise.compare.own_prompt import our_templates
from tunewise.compare.workbench import VERSION, Arm, Pace, Workbench, accuracy, log_loss

if TYPE_CHECKING:
    from tunewise.finetune import Recipe

TITLE = "The model fine-tuned (LoRA)"
SEEN = 480  # examples that the shortest recipe sees, repeats counted; between 1 and 4 passes
LONGER = 2  # times as many passes in the longer recipe
RATE, HIGHER, LOWER = 1e-3, 2e-3, 5e-4
HIGH_LOSS = 0.5  # of the loss of guessing by the labels' shares: training that ends above it was too short


def arms(bench: Workbench) -> list[Arm]:
    """On all training items, then on half and a quarter of them."""
    return [_arm(bench, None), *(_arm(bench, n) for n in reversed(bench.points()))]


def _arm(bench: Workbench, n: int | None) -> Arm:
    labels, valid, test = n or len(bench.train), len(bench.data.valid), len(bench.data.test)

    def seconds(pace: Pace) -> float:
        short, long = passes(labels)
        more = 0 if n else bench.settings.runs - 1
        seen = labels * (short + (1.5 + more) * long)
        return pace.training(seen) + pace.reading((3 + more) * valid + (1 + more) * test)

    name = f"lora@{n}" if n else "lora"
    return Arm(name, TITLE, "tuned", lambda b: lora(b, n), seconds, disk=60_000_000)


def passes(n: int) -> tuple[int, int]:
    """Passes over n examples of the shorter and the longer recipe: small sets are seen more often."""
    short = min(4, max(1, round(SEEN / n)))
    return short, LONGER * short


def recipes(n: int, seed: int) -> Iterator[Recipe]:
    """The shorter and the longer recipe, at the usual rate."""
    from tunewise.finetune import Recipe

    short, long = passes(n)
    base = Recipe(learning_rate=RATE, epochs=short, batch_size=8 if n < 200 else 16, min_steps=1, seed=seed)
    yield base
    yield dataclasses.replace(base, epochs=long)


def lora(bench: Workbench, n: int | None = None) -> ArmResult:
    """The recipe of three that does best on validation, on the test items; on all labels trained with several seeds."""
    from tunewise.scoring import prompt_tokens

    work, whole = _Training(bench, n), n is None
    tried = work.recipes()
    best = max(tried, key=_Trial.rank)
    work.drop(t for t in tried if t is not best)  # figures are kept, weights that lost are not
    runs = [best, *work.runs(other_seeds(best.recipe, bench.settings.runs if whole else 1))]
    notes = [*work.astray, *work.too_short(best)]
    scores = [work.test_scores(run) for run in runs]
    kept = max(range(len(runs)), key=lambda k: runs[k].rank())
    with work.trained(runs[kept].recipe) as tuned:
        _, seconds = bench.scores(work.prefix, work.asked, work.answers, work.end, tuned=tuned)
        folder = (
            bench.leave("lora", prompt_artefact(bench, work.template, work.end), tuned=tuned)
            if whole
            else None
        )
        memory = model_bytes(tuned)
    work.drop(run for run in runs if run is not runs[kept])
    cost = Cost(
        labels=len(work.items),
        train_seconds=sum(t.seconds for t in tried),
        seconds_a_call=seconds,
        prompt_tokens=prompt_tokens(bench.ctx.lm, work.prefix, work.asked),
        completion_tokens=answer_tokens(bench.ctx.lm, work.answers),
        memory=memory,
    )
    trials = [{**t.settings, "score": t.score, "loss": t.loss} for t in tried]
    told: dict[str, Any] = dict(
        settings=best.settings, cost=cost, trials=trials, notes=notes, artefact=folder
    )
    arm = (f"lora@{n}" if n else "lora", TITLE, "tuned")
    return as_one([bench.classified(arm, s, **told) for s in scores], kept, "accuracy")


class _Training:
    """What all trainings of an arm share: examples, prompt, validation and test."""

    def __init__(self, bench: Workbench, n: int | None) -> None:
        self.bench, self.items = bench, bench.draw(n)
        self.template = our_templates(bench.ctx.lm.tokenizer, bench.data.columns.target)[0]
        self.prefix, self.answers = self.template.prefix(bench.task), self.template.answers(bench.task.labels)
        self.end = bench.ctx.lm.tokenizer.eos_token  # as in training
        texts = zip(self._queries(self.items), bench.y(self.items), strict=True)
        self.pairs = [(query, self.answers[y]) for query, y in texts]
        self.valid, self.y = self._queries(bench.data.valid), bench.y(bench.data.valid)
        self.asked = self._queries(bench.data.test)
        self.guessing = guess_loss(bench, self.items, self.answers)
        self.astray: list[str] = []

    def _queries(self, items: Sequence[Any]) -> list[str]:
        return [self.template.query(self.bench.task, self.bench.shorten(i.text)) for i in items]

    def trained(self, recipe: Recipe) -> contextlib.AbstractContextManager[Any]:
        """The model after training by a recipe."""
        return self.bench.adapter(self.pairs, recipe, self.prefix)

    def recipes(self) -> list[_Trial]:
        """The recipes tried: the shorter, the longer, and the better of them at another rate, until all validation rows are right."""
        tried: list[_Trial] = []
        for recipe in recipes(len(self.items), self.bench.settings.seed):
            if not tried or tried[-1].score < 1.0:
                tried += self.runs([recipe])
        better = max(tried, key=_Trial.rank, default=None)
        if better is None or better.score < 1.0:
            high = better is not None and better.loss > HIGH_LOSS * self.guessing
            base = better.recipe if better else recipe
            tried += self.runs([dataclasses.replace(base, learning_rate=HIGHER if high else LOWER)])
        return list(some(tried, self.astray))

    def runs(self, recipes: Sequence[Recipe]) -> list[_Trial]:
        """Each recipe trained and asked the validation items; one that goes astray is left out, with a note."""
        return [trial for _, trial in attempts(recipes, lambda recipe: _Trial(self, recipe), self.astray)]

    def too_short(self, best: _Trial) -> list[str]:
        """A note where more passes might have helped."""
        if (
            self.guessing and best.loss > HIGH_LOSS * self.guessing
        ):  # with one label there is nothing to guess
            share = best.loss / self.guessing
            return [
                f"the loss on the training rows was still high, {share:.0%} of what guessing gives: more epochs may help"
            ]
        if best.recipe.epochs == max(passes(len(self.items))) and best.falling:
            return ["the loss on the training rows was still falling in the last epoch: more epochs may help"]
        return []

    def test_scores(self, run: _Trial) -> np.ndarray:
        """Log-probabilities of the labels for the test items, [n, labels]; found again when they were computed before."""

        def score() -> list[list[float]]:
            with self.trained(run.recipe) as tuned:
                scores, _ = self.bench.scores(self.prefix, self.asked, self.answers, self.end, tuned=tuned)
            found: list[list[float]] = scores.tolist()
            return found

        made_of = ["lora test", VERSION, run.key, self.prefix, self.asked, list(self.answers)]
        return np.array(self.bench.ctx.memo(made_of, score))

    def drop(self, runs: Iterable[_Trial]) -> None:
        """Delete the weights of these."""
        for run in runs:
            folder = self.bench.ctx.cache.folder.parent / "adapters" / run.key
            shutil.rmtree(folder, ignore_errors=True)


class _Trial(OnValidation):
    """One recipe: trained, and asked the validation items; found again when it was before."""

    def __init__(self, work: _Training, recipe: Recipe) -> None:
        self.recipe = recipe
        self.settings = {"epochs": recipe.epochs, "learning_rate": recipe.learning_rate}

        def train() -> dict[str, Any]:
            with work.trained(recipe) as tuned:
                scores, _ = work.bench.scores(work.prefix, work.valid, work.answers, work.end, tuned=tuned)
                per_pass = max(1, len(tuned.losses) // recipe.epochs)
                last, before = tuned.losses[-per_pass:], tuned.losses[-2 * per_pass : -per_pass]
                told = {"loss": float(np.mean(last)), "before": float(np.mean(before or last))}
                return told | {"scores": scores.tolist(), "seconds": tuned.seconds, "key": tuned.key}

        texts = [work.prefix, work.pairs, work.valid, list(work.answers)]
        kept = work.bench.ctx.memo(["lora trial", VERSION, dataclasses.asdict(recipe), *texts], train)
        scores = np.array(kept["scores"])
        self.score, self.log_loss = accuracy(scores, work.y), log_loss(scores, work.y)
        self.loss, self.seconds, self.key = float(kept["loss"]), float(kept["seconds"]), str(kept["key"])
        self.falling = self.loss < 0.9 * float(kept["before"]) and self.loss > 0.02


def guess_loss(bench: Workbench, items: Sequence[Any], answers: Sequence[str]) -> float:
    """Loss a token (nats) of guessing the label by its share in training; the end of the answer costs nothing."""
    from tunewise.models.packing import encode

    counts = np.bincount(bench.y(items), minlength=len(answers))
    share = counts[counts > 0] / counts.sum()
    tokens = np.array([len(encode(bench.ctx.lm.tokenizer, a)) + 1 for a in answers])
    return float(-(share * np.log(share)).sum() / (tokens @ counts / counts.sum()))
