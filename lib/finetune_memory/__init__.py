"""GPU memory of one fine-tuning step: a closed formula, a simulation and a measurement.

>>> from finetune_memory import GPUS, Settings, estimate, fits, largest
>>> step = Settings(model="llama-2-7b", method="lora", batch=2, seq=512, checkpointing=True)
>>> found = estimate(step)
>>> f"{found.peak_bytes / 1e9:.1f} GB in the {found.phase} phase"
'14.3 GB in the loss phase'
>>> fits(found, GPUS["t4"]), largest(step, GPUS["rtx4090"], "batch")
('yes', 29)

``simulate(step)`` takes the same step with the real libraries on tensors without memory; ``finetune-memory measure`` takes
it on a GPU. The modules named in ``PURE`` need nothing but Python and run in a browser; the others need torch.
"""

from typing import Any

from finetune_memory.fit import GPUS, Gpu, changes, fits, largest
from finetune_memory.formula import Estimate, estimate
from finetune_memory.settings import SFT_TRAINER, Settings
from finetune_memory.shape import Shape, UnknownModel
from finetune_memory.training_time import hours

PURE: tuple[str, ...] = ("calculator", "fit", "formula", "known_models", "settings", "shape", "tape")
PURE += ("training_step", "training_time")
COMMANDS = {
    "memory": (
        "finetune_memory.estimate_command",
        "how much GPU memory a fine-tuning step takes, and what it fits",
    ),
    "measure-memory": (
        "finetune_memory.measure_command",
        "take real training steps here and record their peak memory",
    ),
}
__all__ = ["COMMANDS", "GPUS", "PURE", "SFT_TRAINER", "Estimate", "Gpu", "Settings", "Shape", "UnknownModel"]
__all__ += ["changes", "estimate", "fits", "hours", "largest", "Simulation", "simulate"]


def __getattr__(name: str) -> Any:
    """The simulation is imported when it is first asked for, so that all else needs no torch."""
    if name not in ("Simulation", "simulate"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from finetune_memory import simulation

    return getattr(simulation, name)
