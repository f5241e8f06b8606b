"""Arms for answers and records that are written: the nearest row's answer, a prompt, a prompt with examples, LoRA. All is chosen on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tunewise.compare.arms import tuned as tuning
from tunewise.compare.arms.training_runs import as_one, attempts, other_seeds, some
from tunewise.compare.artefact import Artefact
from tunewise.compare.base import ArmResult, Cost
from tunewise.compare.own_prompt import read_prompt
from tunewise.compare.workbench import Arm, Pace, Workbench
from tunewise.compare.writing import CHOICE, Asked, Writer, first_answer

if TYPE_CHECKING:
    from tunewise.finetune import Recipe

SHOTS = (4, 12)
NEAREST = 4
TITLES = {
    "neighbours": "The answer of the nearest row",
    "zero_shot": "The model with a prompt",
    "few_shot": "The model with a prompt and examples",
    "own_prompt": "The model with your own prompt",
    "lora": "The model fine-tuned (LoRA)",
}


def arms(bench: Workbench) -> list[Arm]:
    """In the order in which they are run."""
    valid, test, train = min(CHOICE, len(bench.data.valid)), len(bench.data.test), len(bench.train)

    def writing(texts: float) -> Callable[[Pace], float]:
        return lambda pace: (
            3 * pace.reading(texts)
        )  # a short answer takes about as long to write as the text twice

    def training(n: int | None) -> Callable[[Pace], float]:
        items, more = n or train, 0 if n else bench.settings.runs - 1
        short, long = tuning.passes(items)
        seen, asked = items * (short + (1 + more) * long), (2 + more) * valid + (1 + more) * test
        return lambda pace: pace.training(seen) + 3 * pace.reading(asked)

    def prompted(name: str, maker: Callable[[Workbench], ArmResult], texts: float, inputs: Any = None) -> Arm:
        return Arm(name, TITLES[name], "prompt", maker, writing(texts), inputs=lambda: inputs)

    near, shown = 1 + train / 60, (3 * SHOTS[0] + SHOTS[1] + NEAREST) * valid + NEAREST * test
    found = [
        Arm(
            "neighbours", TITLES["neighbours"], "classifier", neighbours, lambda pace: near, needs_model=False
        )
    ]
    found += [prompted("zero_shot", zero_shot, 3 * valid + test), prompted("few_shot", few_shot, shown)]
    if path := bench.settings.prompt_file:
        own = read_prompt(path, ())
        found.append(prompted("own_prompt", own_prompt, 2 * valid + test, [own.system, own.prompt]))
    return found + [_lora(n, training(n)) for n in (None, *reversed(bench.points()))]


def _lora(n: int | None, seconds: Callable[[Pace], float]) -> Arm:
    name = f"lora@{n}" if n else "lora"
    return Arm(name, TITLES["lora"], "tuned", lambda bench: lora(bench, n), seconds, disk=60_000_000)


def neighbours(bench: Workbench) -> ArmResult:
    """What the nearest training row has for an answer."""
    start, train = time.perf_counter(), list(bench.train)
    known = bench.embed([i.text for i in train])
    trained, start = time.perf_counter() - start, time.perf_counter()
    asked = bench.embed([i.text for i in bench.data.test])
    said = [first_answer(train[i]) for i in (asked @ known.T).argmax(axis=1)]
    cost = Cost(len(train), trained, (time.perf_counter() - start) / len(said))
    shots = [(i.text, first_answer(i)) for i in train]
    folder = bench.leave("neighbours", Artefact("neighbours", encoder="minilm", shots=shots, nearest=1))
    arm = ("neighbours", TITLES["neighbours"], "classifier")
    return Writer(bench).result(arm, {"encoder": "minilm"}, said, cost, artefact=folder)


def zero_shot(bench: Workbench) -> ArmResult:
    """Three templates."""
    writer = Writer(bench)
    return _best(writer, "zero_shot", [Asked(t) for t in writer.templates()])


def own_prompt(bench: Workbench) -> ArmResult:
    """The user's prompt as plain text and as a chat."""
    path = bench.settings.prompt_file
    if path is None:
        raise ValueError("no prompt file was given")
    found = read_prompt(path, ()).templates(bench.ctx.lm.tokenizer, ("",))
    return _best(Writer(bench), "own_prompt", [Asked(t) for t in found])


def few_shot(bench: Workbench) -> ArmResult:
    """Random examples, the same for all texts, and the nearest ones of each text; the template is chosen with the fewest."""
    writer = Writer(bench)
    pool = [(bench.shorten(i.text), writer.answer(i)) for i in bench.train]
    order = np.random.default_rng(bench.settings.seed).permutation(len(pool))
    draws = [[pool[i] for i in order[:k]] for k in SHOTS if k <= len(pool)] or [pool]
    first = [one for t in writer.templates() if writer.fits(one := Asked(t, draws[0]))]
    if not first:
        raise ValueError(f"{len(draws[0])} examples and a text do not fit into the model's window")
    template = max(first, key=writer.valid_score).template
    more = [Asked(template, shots) for shots in draws[1:]]
    more.append(Asked(template, pool, min(NEAREST, len(pool))))
    return _best(writer, "few_shot", [*first, *filter(writer.fits, more)])


def _best(writer: Writer, name: str, tried: list[Asked]) -> ArmResult:
    """What does best on validation, on the test items."""
    scores = [writer.valid_score(one) for one in tried]
    best = tried[int(np.argmax(scores))]
    said, cost = writer.write(best, writer.data.test)
    trials = [{**one.settings(), "score": score} for one, score in zip(tried, scores, strict=True)]
    folder = writer.bench.leave(name, writer.artefact(best))
    arm = (name, TITLES[name], "prompt")
    return writer.result(arm, best.settings(), said, cost, trials=trials, artefact=folder)


def lora(bench: Workbench, n: int | None = None) -> ArmResult:
    """Trained on pairs of prompt and answer, by the shorter or the longer recipe; on all labels with several seeds."""
    writer, items = Writer(bench), bench.draw(n)
    asked = Asked(writer.templates()[0])
    prefix, queries = writer.prompts(asked, items)
    pairs = [(query, writer.answer(item)) for query, item in zip(queries, items, strict=True)]

    def tried(recipe: Recipe) -> _Trial:
        with bench.adapter(pairs, recipe, prefix) as trained:
            score = writer.valid_score(asked, trained)
        return _Trial(recipe, score, trained.seconds, trained.losses)

    notes: list[str] = []
    made = attempts(tuning.recipes(len(items), bench.settings.seed), tried, notes)
    trials = [trial for _, trial in some(made, notes)]
    best = max(trials, key=lambda t: t.score)
    others = other_seeds(best.recipe, 1 if n else bench.settings.runs)
    runs = [best, *(trial for _, trial in attempts(others, tried, notes))]
    said = []
    for run in runs:
        with bench.adapter(pairs, run.recipe, prefix) as trained:
            said.append(writer.write(asked, bench.data.test, trained))
    kept = max(range(len(runs)), key=lambda k: runs[k].score)
    with bench.adapter(pairs, runs[kept].recipe, prefix) as trained:
        folder = None if n else bench.leave("lora", writer.artefact(asked), tuned=trained)
    if best.fell and best is trials[-1]:
        notes.append("the loss on the training rows was still falling at the end: more epochs may help")
    told: dict[str, Any] = dict(notes=notes, artefact=folder)
    told["trials"] = [{**t.settings, "score": t.score} for t in trials]
    arm = (f"lora@{n}" if n else "lora", TITLES["lora"], "tuned")
    settings = {**best.settings, "template": asked.template.name}
    cost = replace(said[kept][1], labels=len(items), train_seconds=sum(t.seconds for t in trials))
    found = [writer.result(arm, settings, texts, cost, **told) for texts, _ in said]
    return as_one(found, kept, bench.data.metric)


@dataclass(frozen=True)
class _Trial:
    """One recipe, how it did on validation, its training time in seconds and the loss of each step."""

    recipe: Recipe
    score: float
    seconds: float
    losses: Sequence[float]

    @property
    def settings(self) -> dict[str, float]:
        return {"epochs": self.recipe.epochs, "learning_rate": self.recipe.learning_rate}

    @property
    def fell(self) -> bool:
        """Whether the loss was still falling at the end."""
        part = len(self.losses) // 4
        last, before = self.losses[-part:], self.losses[-2 * part : -part]
        return part > 0 and bool(np.mean(last) < 0.8 * np.mean(before))
