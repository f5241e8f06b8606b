"""GPU memory of one fine-tuning step. Standard library only."""

from __future__ import annotations

from tunewise.calculators.memory_settings import Settings
from tunewise.calculators.memory_shape import Shape, UnknownModel

__all__ = ["Settings", "Shape", "UnknownModel"]
