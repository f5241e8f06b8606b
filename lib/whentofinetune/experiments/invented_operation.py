"""Does tuning give a model an ability that it did not have, or is the task only easy? (C22)

The same training pairs go to the pretrained model (LoRA) and to a model of the same architecture with random weights (all of them trained, as an adapter on random
weights would be too weak a control). On the easy task both should do well, and that proves nothing about what the pretrained model brings. Rivals: the rule in words, and
examples in the prompt. Tested on lists that are not in training, of the trained lengths and of one that is longer.
"""

from __future__ import annotations

import torch

from tunewise import finetune as ft
from tunewise import stats
from tunewise.finetune import Recipe
from tunewise.multiple_choice import written
from whentofinetune.datasets import synthetic_task
from whentofinetune.datasets.synthetic_task import Item
from whentofinetune.old_bench import Bench, Experiment, public

TEST_SEED, LONG_SEED = 1000, 1001


def tests(task: str, params: dict) -> dict[str, list[Item]]:
    """The test items of a task: new lists of the trained lengths, and longer ones."""
    found = {"same": synthetic_task.items(task, params["test_n"], TEST_SEED)}
    if task == "frell":
        found["longer"] = synthetic_task.items(task, params["longer_n"], LONG_SEED, synthetic_task.LONGER)
    return found


def lessons(task: str, n: int, seed: int, params: dict) -> list[tuple[str, str]]:
    held_out = {item.prompt for item in tests(task, params)["same"]}
    return [(i.prompt, i.answer) for i in synthetic_task.items(task, n, seed, without=held_out)]


def score(lm, task: str, params: dict, prefix: str = "", ends: bool = True) -> dict:
    """Exact answers, and the share of right letters (each after the right ones before it), on new lists and on longer ones.

    ends: whether the end of the text must follow; in a prompt with examples a line break ends the answer as well.
    """
    out = {}
    for name, found in tests(task, params).items():
        hits = written(lm, [i.prompt for i in found], [i.answer for i in found], prefix=prefix)
        hits = hits if ends else [h[:-1] for h in hits]
        right = [all(h) for h in hits]
        letters = [sum(h[: len(h) - ends]) / (len(h) - ends) for h in hits]
        out[name] = {
            "exact": stats.proportion(sum(right), len(right)),
            "right": "".join(str(int(r)) for r in right),
            "letters": stats.bootstrap(letters),
        }
    return out


def random_model(bench: Bench, seed: int):
    """The same architecture and tokenizer with freshly drawn weights."""
    from transformers import AutoModelForCausalLM

    from tunewise.models.load import LoadedModel

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(bench.lm.model.config).to(bench.lm.model.device)
    return LoadedModel(model.eval(), bench.lm.tokenizer, bench.lm.spec, bench.lm.precision)


def run(bench: Bench, params: dict) -> list[dict]:
    """One row a way, size and seed; each with ``same`` and (for frell) ``longer``."""
    rows = []
    same = {"test_n": params["test_n"], "longer_n": params["longer_n"]}

    def step(settings: dict, measure) -> None:
        rows.append(public(bench.work.step(settings | same, measure)))

    def examples(k: int, seed: int) -> str:
        return "".join(f"{p}{a}\n" for p, a in lessons("frell", k, seed, params))

    step({"method": "untouched", "task": "frell"}, lambda: score(bench.lm, "frell", params, ends=False))
    step(
        {"method": "described", "task": "frell"},
        lambda: score(bench.lm, "frell", params, synthetic_task.RULE, ends=False),
    )
    for k in params["shots"]:
        for seed in params["seeds"]:
            for method, opening in (("few-shot", ""), ("described and few-shot", synthetic_task.RULE)):
                prefix = opening + examples(k, seed)
                step(
                    {"method": method, "task": "frell", "k": k, "seed": seed},
                    lambda p=prefix: score(bench.lm, "frell", params, p, ends=False),
                )
    for task, sizes in params["sizes"].items():
        for n in sizes:
            for method in ("pretrained", "random"):
                if method == "random" and n < max(sizes):
                    continue
                for seed in params["seeds" if method == "pretrained" else "control_seeds"]:
                    recipe = params["recipe"] | (params["control"] if method == "random" else {})
                    tuning = Recipe(seed=seed, **recipe)
                    settings = {
                        "method": method,
                        "task": task,
                        "n_labels": n,
                        "seed": seed,
                        "tuning": vars(tuning) | {"targets": list(tuning.targets)},
                    }

                    def tuned(task=task, n=n, method=method, seed=seed, tuning=tuning, settings=settings):
                        lm = random_model(bench, seed) if method == "random" else bench.lm
                        trained = ft.finetune(
                            lm,
                            lessons(task, n, seed, params),
                            tuning,
                            checkpoint=bench.work.checkpoint(settings | same),
                        )
                        try:
                            told = {
                                "train_seconds": round(trained.seconds, 1),
                                "trainable": trained.trainable,
                                "last_loss": round(sum(trained.losses[-3:]) / 3, 3),
                            }
                            return score(trained, task, params) | told
                        finally:
                            if method == "pretrained":
                                bench.forget(tuning, bench.lm, trained)

                    step(settings, tuned)
    return rows


_RECIPE = {"learning_rate": 2e-3, "epochs": 1, "batch_size": 8, "min_steps": 12}
# The control gets twice the passes: what it then does not learn, it does not fail to learn for want of time.
_COMMON = {
    "model": "smollm2-135m",
    "recipe": _RECIPE,
    "control": {"method": "full", "learning_rate": 1e-3, "epochs": 2},
}

EXPERIMENT = Experiment(
    name="invented_operation",
    question="Does tuning give an ability that was not there, or is the task only easy?",
    claims=("C22",),
    run=run,
    scales={
        "smoke": _COMMON
        | {
            "recipe": _RECIPE | {"min_steps": 1},
            "shots": [2],
            "sizes": {"frell": [4]},
            "test_n": 3,
            "longer_n": 2,
            "seeds": [0],
            "control_seeds": [0],
        },
        "laptop": _COMMON
        | {
            "shots": [16],
            "sizes": {"frell": [240]},
            "test_n": 60,
            "longer_n": 20,
            "seeds": [0],
            "control_seeds": [],
        },
        "full": _COMMON
        | {
            "shots": [8, 32],
            "sizes": {"frell": [60, 120, 240], "easy": [120]},
            "test_n": 100,
            "longer_n": 40,
            "seeds": [0, 1, 2, 3, 4],
            "control_seeds": [0, 1, 2],
        },
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "recipe": _RECIPE | {"learning_rate": 5e-4},
            "control": {"method": "full", "learning_rate": 3e-4, "epochs": 2},
            "shots": [8, 32],
            "sizes": {"frell": [60, 240, 1000, 2000], "easy": [240]},
            "test_n": 300,
            "longer_n": 100,
            "seeds": [0, 1, 2, 3, 4],
            "control_seeds": [0, 1, 2],
        },
    },
)
