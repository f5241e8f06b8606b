"""LoRA, QLoRA or full fine-tuning: what does each bring? (C4, C7, C14)

The same labels for each; and how long does it take?
"""

from collections.abc import Iterator
from itertools import product

from tunewise.experiment import Condition, Params
from whentofinetune.experiments import described
from whentofinetune.experiments.learning_curve import COMMON, SMOKE
from whentofinetune.experiments.learning_curve import evaluate as evaluate  # of this experiment, too


def conditions(p: Params) -> Iterator[Condition]:
    """The three methods see the same labels in the same order."""
    for method, n, seed in product(p.methods, p.labels, p.seeds):
        yield Condition(method, n_labels=n, seed=seed)


_FULL = {"seeds": [0, 1, 2, 3, 4], "test_n": None}

EXPERIMENT = described(
    __name__,
    COMMON,
    smoke=SMOKE | {"methods": ["lora"], "labels": [8]},
    laptop={"methods": ["lora", "full"], "labels": [30], "seeds": [0], "test_n": 90},
    full=_FULL | {"methods": ["lora", "qlora", "full"], "labels": [30, 100, 300]},
    # full fine-tuning of 1.5B parameters in float32 takes more than 24 GB: on such a GPU, --set methods='["full"]'
    gpu=_FULL | {"model": "qwen2.5-1.5b", "methods": ["lora", "qlora"], "labels": [30, 100, 300, 700]},
)
