"""Training runs of one recipe that differ by their seed alone: their mean is judged, and the best on validation is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from tunewise.compare.base import ArmResult

if TYPE_CHECKING:
    from tunewise.finetune import Recipe

T = TypeVar("T")


class OnValidation:
    """How a training run did on the validation items."""

    score: float
    log_loss: float

    def rank(self) -> tuple[float, float]:
        """More items right; among equals, the lower log loss."""
        return self.score, -self.log_loss


def attempts(
    recipes: Iterable[Recipe], attempt: Callable[[Recipe], T], astray: list[str]
) -> list[tuple[Recipe, T]]:
    """Each recipe with what ``attempt`` gives for it; one that goes astray is noted in ``astray``, since another rate or seed may do."""
    made = []
    for recipe in recipes:
        try:
            made.append((recipe, attempt(recipe)))
        except FloatingPointError:
            how = f"at a rate of {recipe.learning_rate:g} with seed {recipe.seed}"
            astray.append(f"training {how} went astray: its loss was no number")
    return made


def some(made: Sequence[T], astray: Sequence[str]) -> Sequence[T]:
    """``made``, where it holds any. Raises FloatingPointError where all went astray."""
    if not made:
        raise FloatingPointError(f"training failed: {'; '.join(astray)}")
    return made


def other_seeds(recipe: Recipe, runs: int) -> list[Recipe]:
    """The recipe with other seeds, so that there are so many runs with its own."""
    return [replace(recipe, seed=recipe.seed + k) for k in range(1, runs)]


def as_one(runs: Sequence[ArmResult], kept: int, metric: str) -> ArmResult:
    """The run to use, with the outcomes of the others and a note on what each reached on the test rows."""
    if len(runs) == 1:
        return runs[0]
    means = [run.mean(metric) for run in runs]
    shares = [f"{mean:.3g}" if metric == "score" else f"{mean:.0%}" for mean in means]
    note = (
        f"{len(runs)} training runs that differ by their seed alone reached {', '.join(shares[:-1])} and {shares[-1]}: it is judged by their "
        f"mean. The one with {shares[kept]} did best on validation and is the one to use"
    )
    others = [run.outcomes for k, run in enumerate(runs) if k != kept]
    return replace(runs[kept], repeats=others, notes=[*runs[kept].notes, note])
