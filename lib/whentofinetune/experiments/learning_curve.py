"""How many labels does fine-tuning need? (C1, C13, C14, C15)

LoRA beside classifiers that are no LLM, and beside a small encoder that is fine-tuned.
"""

from itertools import product

from tunewise import baselines
from tunewise.encoder_finetuning import fit_encoder
from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from whentofinetune.classification import answered, sample, subset, tuned, without_llm

SENTIMENT = ("tweets", "products", "films", "news")  # what the word list is about


def conditions(p: Params) -> Conditions:
    yield Condition("majority")
    if p.tasks[0] in SENTIMENT:
        yield Condition("lexicon")
    for seed, n, method in product(p.seeds, p.labels, ("tfidf", "embeddings")):
        yield Condition(method, n_labels=n, seed=seed)
    for n, seed in product(p.encoder, p.seeds):
        yield Condition("encoder", n_labels=n, seed=seed)
    for method, sizes in p.tuned.items():
        for n, seed in product(sizes, p.seeds):
            yield Condition(method, n_labels=n, seed=seed)


def evaluate(ctx: Context, c: Condition) -> Scores:
    task = ctx.task(ctx.params.tasks[0])
    test = subset(task.test, ctx.params.test_n)
    if c.method == "majority":
        return answered(test, baselines.majority([e.label for e in task.train], len(test)))
    if c.method == "lexicon":
        return answered(test, baselines.lexicon([e.text for e in test]))
    if c.method in ("tfidf", "embeddings"):
        return answered(test, without_llm(ctx, c.method, sample(task, c.n_labels, c.seed), test))
    if c.method == "encoder":
        model, trials = fit_encoder(
            ctx.encoder, sample(task, c.n_labels, c.seed), ctx.params.encoder_recipes, c.seed
        )
        return answered(test, model.predict([e.text for e in test]), recipe=trials)
    recipe = Recipe(method=c.method, seed=c.seed, **ctx.params.recipe[c.method])
    return tuned(ctx, task, c.n_labels, recipe, ctx.params.wording, test)
