"""LoRA, QLoRA or full fine-tuning: what does each bring on the same labels, and how long does it take? (C4, C7, C14)"""

from __future__ import annotations

from whentofinetune.experiments import learning_curve
from whentofinetune.old_bench import Bench, Experiment

_COMMON = learning_curve.COMMON


def run(bench: Bench, params: dict) -> list[dict]:
    """One row a method, number of labels and seed; the three methods see the same labels in the same order."""
    name = params["tasks"][0]
    return [
        bench.tuned(name, n, learning_curve.tuning(params, method, seed), params["wording"], params["test_n"])
        for method in params["methods"]
        for n in params["labels"]
        for seed in params["seeds"]
    ]


EXPERIMENT = Experiment(
    name="tuning_methods",
    question="LoRA, QLoRA or full fine-tuning: what does each bring?",
    claims=("C4", "C7", "C14"),
    run=run,
    scales={
        "smoke": _COMMON
        | {
            "methods": ["lora"],
            "labels": [8],
            "seeds": [0],
            "test_n": 24,
            "recipe": {"lora": {"learning_rate": 1e-3, "epochs": 1, "min_steps": 2}},
        },
        "laptop": _COMMON | {"methods": ["lora", "full"], "labels": [30], "seeds": [0], "test_n": 90},
        "full": _COMMON
        | {
            "methods": ["lora", "qlora", "full"],
            "labels": [30, 100, 300],
            "seeds": [0, 1, 2, 3, 4],
            "test_n": None,
        },
        # full fine-tuning of 1.5B parameters in float32 takes more than 24 GB: on such a GPU, --set methods='["full"]'
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "methods": ["lora", "qlora"],
            "labels": [30, 100, 300, 700],
            "seeds": [0, 1, 2, 3, 4],
            "test_n": None,
        },
    },
)
