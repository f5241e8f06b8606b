"""Does the form come from a constraint, and the content from tuning? (C10)

Tickets to records in JSON, YAML and Markdown. Methods: the JSON Schema in the prompt, two solved tickets in the prompt, LoRA on solved tickets; each also with constrained decoding. Names,
towns, faults and products of test tickets occur in no training ticket. The recipe was chosen by one trial on tickets of valid.
"""

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.scoring import prompt_tokens
from whentofinetune.classification import subset, training_facts
from whentofinetune.datasets import company
from whentofinetune.ticket_records import SAYS, drawn, grammar, pairs, prefix, prompt, scored, written


def conditions(p: Params) -> Conditions:
    size = {"schema": {}, "examples": {"k": p.k}, "lora": {"n_labels": p.labels}}
    for form, arms in p.forms.items():
        for arm, seeds in arms.items():
            method, _, constraint = arm.partition(" + ")
            for seed in seeds:
                drawn_by = {} if method == "schema" else {"seed": seed}  # nothing is drawn for the schema
                yield Condition(method, form=form, constrained=bool(constraint), **drawn_by, **size[method])


def evaluate(ctx: Context, c: Condition) -> Scores:
    start = prefix(c.form, c.method == "schema", drawn(c.k, c.seed) if c.k else ())
    if c.method != "lora":
        return _records(ctx, ctx.lm, c, start)
    recipe = Recipe(seed=c.seed, **ctx.params.recipe)
    with ctx.adapter(pairs(drawn(c.n_labels, c.seed), c.form), recipe, start) as lm:
        return _records(ctx, lm, c, start, **training_facts(lm))


def _records(ctx: Context, lm, c: Condition, start: str, **facts) -> Scores:
    """What ``lm`` writes for the tickets after the prefix ``start``, scored."""
    tickets = subset(company.tickets(ctx.params.split), ctx.params.test_n)
    prompts = [prompt(t) for t in tickets]
    replies = written(lm, prompts, start, c.form, c.constrained, ctx.params.max_new_tokens)
    tokens = round(prompt_tokens(lm, start, prompts), 1)
    return scored(
        tickets, replies, c.form, prompt_tokens=tokens, replies=replies[: ctx.params.shown], **facts
    )


def sources(p: Params) -> list:
    """All tickets, prompts and grammars."""
    texts = [[prefix(form, True), prefix(form, False), grammar(form)] for form in SAYS]
    return [texts, [vars(t) for t in company.tickets()]]
