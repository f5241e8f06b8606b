"""LoRA: passes and learning rate chosen on validation, at all labels and at fewer."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tunewise.compare.arms.prompts import answer_tokens, model_bytes, prompt_artefact
from tunewise.compare.base import ArmResult, Cost
from tunewise.compare.own_prompt import our_templates
from tunewise.compare.workbench import VERSION, Arm, Pace, Workbench, accuracy, surprise

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
        return pace.training(labels * (short + 1.5 * long)) + pace.reading(3 * valid + test)

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
    """The recipe of three that does best on validation, on the test items."""
    from tunewise.scoring import prompt_tokens

    items, task = bench.draw(n), bench.task
    template = our_templates(bench.ctx.lm.tokenizer, bench.data.columns.target)[0]
    prefix, answers = template.prefix(task), template.answers(task.labels)

    def queries(part: Sequence[Any]) -> list[str]:
        return [template.query(task, bench.shorten(i.text)) for i in part]

    pairs = [(q, answers[y]) for q, y in zip(queries(items), bench.y(items), strict=True)]
    guessing, y = guess_loss(bench, items, answers), bench.y(bench.data.valid)
    tried: list[_Trial] = []
    notes: list[str] = []

    def attempt(recipe: Recipe) -> None:
        try:
            tried.append(_Trial(bench, recipe, pairs, prefix, queries(bench.data.valid), answers, y))
        except FloatingPointError:  # another rate may do
            notes.append(
                f"training at a rate of {recipe.learning_rate:g} went astray: its loss was no number"
            )

    for recipe in recipes(len(items), bench.settings.seed):
        if not tried or tried[-1].score < 1.0:
            attempt(recipe)
    better = max(tried, key=_Trial.rank, default=None)
    if better is None or better.score < 1.0:
        high = better is not None and better.loss > HIGH_LOSS * guessing
        base = better.recipe if better else recipe
        attempt(dataclasses.replace(base, learning_rate=HIGHER if high else LOWER))
    if not tried:
        raise FloatingPointError(f"training failed: {'; '.join(notes)}")
    best = max(tried, key=_Trial.rank)
    for other in tried:
        if other.key != best.key:  # figures are kept, weights that lost are not
            shutil.rmtree(bench.ctx.cache.folder.parent / "adapters" / other.key, ignore_errors=True)
    if best.loss > HIGH_LOSS * guessing:
        share = best.loss / guessing
        notes.append(
            f"the loss on the training rows was still high, {share:.0%} of what guessing gives: more passes may help"
        )
    elif best.recipe.epochs == max(passes(len(items))) and best.falling:
        notes.append("the loss on the training rows was still falling in the last pass: more passes may help")
    whole = n is None
    asked = queries(bench.data.test)
    with bench.adapter(pairs, best.recipe, prefix) as tuned:
        scores, seconds = bench.scores(prefix, asked, answers, tuned=tuned)
        made = prompt_artefact(bench, template)
        folder = bench.leave("lora", made, tuned=tuned) if whole else None
        memory = model_bytes(tuned)
    cost = Cost(
        labels=len(items),
        train_seconds=sum(t.seconds for t in tried),
        seconds_a_call=seconds,
        prompt_tokens=prompt_tokens(bench.ctx.lm, prefix, asked),
        completion_tokens=answer_tokens(bench.ctx.lm, answers),
        memory=memory,
    )
    arm = ("lora" if whole else f"lora@{n}", TITLE, "tuned")
    trials = [{**t.settings, "score": t.score, "loss": t.loss} for t in tried]
    return bench.classified(
        arm, scores, settings=best.settings, cost=cost, trials=trials, notes=notes, artefact=folder
    )


class _Trial:
    """One recipe: trained, and asked the validation items; found again when it was before."""

    def __init__(
        self,
        bench: Workbench,
        recipe: Recipe,
        pairs: Sequence[tuple[str, str]],
        prefix: str,
        queries: Sequence[str],
        answers: Sequence[str],
        y: Sequence[int],
    ) -> None:
        self.recipe = recipe
        self.settings = {"passes": recipe.epochs, "rate": recipe.learning_rate}

        def train() -> dict[str, Any]:
            with bench.adapter(pairs, recipe, prefix) as tuned:
                scores, _ = bench.scores(prefix, queries, answers, tuned=tuned)
                per_pass = max(1, len(tuned.losses) // recipe.epochs)
                last, before = tuned.losses[-per_pass:], tuned.losses[-2 * per_pass : -per_pass]
                told = {"loss": float(np.mean(last)), "before": float(np.mean(before or last))}
                return told | {"scores": scores.tolist(), "seconds": tuned.seconds, "key": tuned.key}

        made_of = [
            "lora trial",
            VERSION,
            dataclasses.asdict(recipe),
            prefix,
            list(pairs),
            list(queries),
            list(answers),
        ]
        kept = bench.ctx.memo(made_of, train)
        scores = np.array(kept["scores"])
        self.score, self.surprise = accuracy(scores, y), surprise(scores, y)
        self.loss, self.seconds, self.key = float(kept["loss"]), float(kept["seconds"]), str(kept["key"])
        self.falling = self.loss < 0.9 * float(kept["before"]) and self.loss > 0.02

    def rank(self) -> tuple[float, float]:
        """More items right; among equals, less surprised by the right labels."""
        return self.score, -self.surprise


def guess_loss(bench: Workbench, items: Sequence[Any], answers: Sequence[str]) -> float:
    """Loss a token (nats) of guessing the label by its share in training; the end of the answer costs nothing."""
    from tunewise.models.packing import encode

    counts = np.bincount(bench.y(items), minlength=len(answers))
    share = counts[counts > 0] / counts.sum()
    tokens = np.array([len(encode(bench.ctx.lm.tokenizer, a)) + 1 for a in answers])
    return float(-(share * np.log(share)).sum() / (tokens @ counts / counts.sum()))
