"""LoRA, QLoRA or full fine-tuning: what does each bring? (C4, C7, C14)

The same labels for each; and how long does it take?
"""

from itertools import product

from tunewise.experiment import Condition, Conditions, Params
from whentofinetune.experiments.learning_curve import evaluate as evaluate  # of this experiment, too


def conditions(p: Params) -> Conditions:
    """The three methods see the same labels in the same order."""
    for method, n, seed in product(p.methods, p.labels, p.seeds):
        yield Condition(method, n_labels=n, seed=seed)
