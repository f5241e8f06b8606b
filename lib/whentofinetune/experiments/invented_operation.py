"""Does tuning give an ability that was not there, or is the task only easy? (C22)

The same training pairs go to the pretrained model (LoRA) and to a model of the same architecture with random weights (all of them
trained, as an adapter on random weights would be too weak a control). On the easy task both should do well. Rivals: the rule in words,
and examples in the prompt. Tested on lists that are not in training, of the trained lengths and of one that is longer.
"""

from itertools import product

from tunewise import finetune as ft
from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.models.load import LoadedModel
from whentofinetune.datasets import synthetic_task

VERSION = 2


def conditions(p: Params) -> Conditions:
    yield Condition("base", task="frell")
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
