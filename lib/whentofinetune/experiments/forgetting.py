"""What does fine-tuning on one task take away from everything else? (C6, C7)

Full, LoRA and QLoRA on their way to the same accuracy. Each method is stopped at several steps. At each stop we ask how well it does its task (on validation items), how far its weights have
moved, and what it has lost (:mod:`whentofinetune.probes`). So methods can be compared where they have *learned* equally much, not where
they have trained equally long.
"""

from collections.abc import Iterator
from itertools import product

from tunewise import finetune as ft
from tunewise.experiment import Condition, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.prompting import TEMPLATES
from whentofinetune.classification import sample
from whentofinetune.probes import is_adapted, moved, probe


def conditions(p: Params) -> Iterator[Condition]:
    for quantized in sorted({m["method"] == "qlora" for m in p.methods}):
        yield Condition("base", quantized=quantized)
    for method, seed, step in product(p.methods, p.seeds, p.stops):
        yield Condition(**method, seed=seed, step=step)


def evaluate(ctx: Context, c: Condition) -> Scores:
    p = ctx.params
    task, template = ctx.task(p.tasks[0]), TEMPLATES[p.wording]
    if c.method == "base":
        return probe(ctx.model_for("qlora" if c.quantized else "lora"), task, template, p.probes)
    recipe = {k: v for k, v in c.settings.items() if k not in ("seed", "step")}
    recipe = Recipe(seed=c.seed, epochs=1, min_steps=max(p.stops), alpha=2 * recipe.get("rank", 8), **recipe)

    def trajectory() -> dict:
        """Train, and probe at each stop."""
        answers = template.answers(task.labels)
        pairs = [(template.query(task, text), answers[y]) for text, y in sample(task, p.labels, c.seed)]
        lm, found = ctx.model_for(c.method), {}
        weights = lm.model.named_parameters() if c.method == "full" else ()
        before = {n: w.detach().clone() for n, w in weights if is_adapted(n)} or None

        def stop(step: int, steps: int, loss: float) -> None:
            if step in p.stops:
                facts = {"moved": round(moved(lm.model, before), 5)}
                found[str(step)] = probe(lm, task, template, p.probes, **facts).row()

        tuned = ft.finetune(lm, pairs, recipe, prefix=template.prefix(task), progress=stop)
        lm.model = ft.restore(tuned)
        return found

    data = [task.name, p.wording, p.labels, p.stops, p.probes]
    told = ["forgetting", vars(recipe) | {"targets": list(recipe.targets)}, data]
    return Scores.of_row(ctx.memo(told, trajectory)[str(c.step)])
