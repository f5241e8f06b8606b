"""tunewise: measure whether to fine-tune a language model, or to do something else."""

__version__ = "0.2.0"
