"""The recipes among which a training on a larger model chooses."""

from collections.abc import Mapping
from typing import Any


def three_rates(recipe: Mapping[str, Any], passes: int) -> dict[str, Any]:
    """``recipe`` with three candidates (:func:`tunewise.finetune.choose`): two rates at its own passes, and a lower one with ``passes``."""
    rates: list[dict[str, Any]] = [{"learning_rate": 1e-3}, {"learning_rate": 5e-4}]
    return {**recipe, "candidates": [*rates, {"learning_rate": 2e-4, "epochs": passes}]}
