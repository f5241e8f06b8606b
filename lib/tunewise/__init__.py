"""tunewise: measure whether to fine-tune a language model, or to do something else."""

__version__ = "0.2.0"

# Subcommands of ``tunewise``: name -> (module, one line of help).
COMMANDS = {
    "models": (
        "tunewise.models_command",
        "the models by name: which are here, what they take, where they come from",
    ),
}
