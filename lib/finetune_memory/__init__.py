"""GPU memory of a fine-tuning step: a closed formula, a simulation, and a measurement.

The modules named in ``PURE`` need nothing but Python and run in a browser; ``simulate`` and ``measure`` need torch.
"""

PURE = ("calculator", "estimate", "fit", "known_models", "settings", "shape", "tape", "training_step")

COMMANDS = {
    "memory": ("finetune_memory.cli", "how much GPU memory a fine-tuning step takes, and what it fits"),
    "measure-memory": (
        "finetune_memory.measure",
        "take real training steps here and record their peak memory",
    ),
}
