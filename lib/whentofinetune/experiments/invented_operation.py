"""Does tuning give an ability that was not there, or is the task only easy? (C22)

The same training pairs go to the pretrained model (LoRA) and to a model of the same architecture with random weights (all of them
trained, as an adapter on random weights would be too weak a control). On the easy task both should do well. Rivals: the rule in words,
and examples in the prompt. Tested on lists that are not in training, of the trained lengths and of one that is longer.
"""

from collections.abc import Iterator
from itertools import product

from tunewise import finetune as ft
from tunewise.experiment import Condition, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.models.load import LoadedModel
from whentofinetune.datasets import synthetic_task
from whentofinetune.experiments import described
from whentofinetune.recipes import three_rates


def conditions(p: Params) -> Iterator[Condition]:
    yield Condition("untouched", task="frell")
    yield Condition("described", task="frell")
    for k, seed, method in product(p.shots, p.seeds, ("few-shot", "described and few-shot")):
        yield Condition(method, task="frell", k=k, seed=seed)
    for task, sizes in p.sizes.items():
        for n, (method, seeds) in product(sizes, (("pretrained", p.seeds), ("random", p.control_seeds))):
            for seed in seeds if method == "pretrained" or n == max(sizes) else ():
                yield Condition(method, task=task, n_labels=n, seed=seed)


def evaluate(ctx: Context, c: Condition) -> Scores:
    asked = synthetic_task.tests(c.task, ctx.params.test_n, ctx.params.longer_n)
    held_out = {i.prompt for i in asked["same"]}
    train = synthetic_task.items(c.task, c.n_labels or c.k or 0, c.seed or 0, without=held_out)
    pairs = [(i.prompt, i.answer) for i in train]
    if c.n_labels is None:
        shots = "".join(f"{prompt}{answer}\n" for prompt, answer in pairs)
        prefix = (synthetic_task.RULE if "described" in c.method else "") + shots
        return synthetic_task.scored(ctx.lm, asked, prefix, ends=False)
    if c.method == "random":
        recipe = Recipe(seed=c.seed, **ctx.params.recipe | ctx.params.control)
        return trained(ft.finetune(random_weights(ctx.lm, c.seed), pairs, recipe), asked)
    with ctx.adapter(pairs, Recipe(seed=c.seed, **ctx.params.recipe)) as lm:
        return trained(lm, asked)


def random_weights(lm: LoadedModel, seed: int) -> LoadedModel:
    """A control that knows nothing: the same architecture and tokenizer, with weights drawn anew."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(lm.model.config).to(lm.model.device)
    return LoadedModel(model.eval(), lm.tokenizer, lm.spec, lm.precision)


def trained(lm, asked: dict) -> Scores:
    facts = {"train_seconds": round(lm.seconds, 1), "trainable": lm.trainable}
    return synthetic_task.scored(lm, asked, **facts, last_loss=round(sum(lm.losses[-3:]) / 3, 3))


_RECIPE = {"learning_rate": 2e-3, "epochs": 1, "batch_size": 8, "min_steps": 12}
# The control gets twice the passes: what it then does not learn, it does not fail to learn for want of time.
_CONTROL = {"method": "full", "learning_rate": 1e-3, "epochs": 2}
_COMMON = {"model": "smollm2-135m", "recipe": _RECIPE, "control": _CONTROL, "shots": [8, 32]}
_SEEDS = {"seeds": [0, 1, 2, 3, 4], "control_seeds": [0, 1, 2]}
_FEW = {"shots": [2], "seeds": [0], "control_seeds": [0]}
_GPU = {"recipe": _RECIPE | {"learning_rate": 5e-4}, "control": _CONTROL | {"learning_rate": 3e-4}}
_LARGE = {"sizes": {"frell": [60, 240, 1000, 2000], "easy": [240]}, "test_n": 300, "longer_n": 100}

EXPERIMENT = described(
    __name__,
    _COMMON,
    larger={
        "recipe": three_rates(_RECIPE, 3),
        "test_n": 200,
        "control": _CONTROL | {"learning_rate": 3e-4, "candidates": []},
    },
    smoke=_FEW | {"sizes": {"frell": [4]}, "test_n": 3, "longer_n": 2},
    laptop=_FEW | {"sizes": {"frell": [240]}, "test_n": 60, "longer_n": 20},
    full=_SEEDS | {"sizes": {"frell": [60, 120, 240], "easy": [120]}, "test_n": 100, "longer_n": 40},
    gpu={"model": "qwen2.5-1.5b"} | _SEEDS | _GPU | _LARGE,
)
