"""A rule that nobody wrote down: describe it, show it, or learn it? (C12, C37)

And how many labels does that take? Prompts get the names of the desks, a description of the rule, twenty examples, or both; learners get 10 to 300 labels. The prompt, plain or
calibrated, is chosen on the validation texts. So was LoRA's recipe: one pass at a rate of 1e-3 learned next to nothing from 300 labels.
"""

from functools import partial
from itertools import product

from tunewise import baselines
from tunewise.data import fingerprint
from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from whentofinetune.classification import answered, plain_and_calibrated, sample, tuned, without_llm
from whentofinetune.datasets.desks import NAMES, RULES, by_trouble, desks, wording

PROMPTS = {w.name: w for w in (*NAMES, *RULES)}


def conditions(p: Params) -> Conditions:
    yield from map(Condition, ("majority", "trouble known"))
    for method, prompts in (("names", NAMES), ("rule", RULES[: p.rules])):
        yield from (Condition(method, prompt=w.name, split="valid") for w in prompts)
    yield from (Condition(method, split="test") for method in ("names", "rule"))
    for seed, method in product(p.seeds, ("examples", "rule and examples")):
        yield Condition(method, split="test", k=p.k, seed=seed)
    for seed, n, method in product(p.seeds, p.labels, ("tfidf", "embeddings")):
        yield Condition(method, n_labels=n, seed=seed)
    yield from (Condition("lora", n_labels=n, seed=seed) for n, seed in product(p.tuned, p.seeds))


def evaluate(ctx: Context, c: Condition) -> Scores:
    if c.split == "valid":
        task, prompt = desks(), PROMPTS[c.prompt]
        (plain, calibrated), tokens = plain_and_calibrated(ctx, prompt, task, task.valid)
        scores = answered(task.valid, plain, says=prompt.opening, prompt_tokens=tokens)
        return scores.add("calibrated", answered(task.valid, calibrated))
    p, task = ctx.params, desks(ctx.params.test_n)
    scored = partial(answered, task.test, slices=wording(task.test))
    if c.method == "majority":
        return scored(baselines.majority([e.label for e in task.train], len(task.test)))
    if c.method == "trouble known":
        return scored(by_trouble(task))
    if c.method == "lora":
        found = tuned(ctx, task, c.n_labels, Recipe(seed=c.seed, **p.recipe), p.wording, task.test)
        return scored(found.predictions, **found.facts)
    if c.n_labels:
        return scored(without_llm(ctx, c.method, sample(task, c.n_labels, c.seed), task.test))
    name, calibrate = _chosen(ctx, "rule" if "rule" in c.method else "names")
    shots = sample(task, c.k, c.seed) if c.k else []
    found, tokens = plain_and_calibrated(ctx, PROMPTS[name], task, task.test, shots)
    scores = scored(found[calibrate], prompt=name, calibrated=calibrate, prompt_tokens=tokens)
    return scores.add("other", answered(task.test, found[not calibrate]))


def _chosen(ctx: Context, method: str) -> tuple[str, bool]:
    """The prompt, and whether calibrated, that did best on the validation texts (the first of them on a tie)."""
    tried = product(ctx.earlier(method=method, split="valid"), ("accuracy", "calibrated.accuracy"))
    row, metric = max(tried, key=lambda t: t[0].metric(t[1])["value"])
    return row["prompt"], metric != "accuracy"


_FIELDS = ("name", "opening", "before", "after", "verbal")  # of a prompt template: what these prompts set


def sources(p: Params) -> list:
    return [fingerprint(desks()), [{f: vars(w)[f] for f in _FIELDS} for w in PROMPTS.values()]]
