"""Does tuning give a model the company's voice, and does what it says stay right? (C9, C35)

Customers' mails are answered by the company's rules of style, which a program checks one by one; the same replies are checked for content.
The mails of train, valid and test share no product, no writer and no situation, but the ways in which replies are worded. The recipe was chosen
by two trials on mails of valid: ten steps of four pairs were too few (the replies repeated one line), thirty steps of two were enough.
"""

from itertools import product

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.generation import generate
from tunewise.scoring import prompt_tokens
from whentofinetune.classification import subset, training_facts
from whentofinetune.datasets import company
from whentofinetune.mail_replies import drawn, prefix, prompt, scored


def conditions(p: Params) -> Conditions:
    for facts in (False, True):
        yield Condition("rules", with_facts=facts)
        for method, seed in product(p.prompts, p.seeds):
            if facts or method != "both":
                yield Condition(method, with_facts=facts, k=p.k, seed=seed)
        for n, runs in p["labels_with" if facts else "labels_without"]:  # training pairs, and how many seeds
            yield from (Condition("lora", with_facts=facts, n_labels=n, seed=seed) for seed in p.seeds[:runs])


def evaluate(ctx: Context, c: Condition) -> Scores:
    shots = drawn(c.k, c.seed) if c.k else []
    start = prefix(c.method in ("rules", "both"), shots, c.with_facts)
    if c.method != "lora":
        return _replies(ctx, ctx.lm, c, start)
    pairs = [(prompt(m, c.with_facts), m.reply) for m in drawn(c.n_labels, c.seed)]
    with ctx.adapter(pairs, Recipe(seed=c.seed, **ctx.params.recipe), start) as lm:
        return _replies(ctx, lm, c, start, **training_facts(lm))


def _replies(ctx: Context, lm, c: Condition, start: str, **facts) -> Scores:
    """What ``lm`` replies to the mails after the prefix ``start``, scored."""
    mails = subset(company.mails(ctx.params.split), ctx.params.test_n)
    prompts, longest = [prompt(m, c.with_facts) for m in mails], ctx.params.max_new_tokens
    replies = generate(lm, prompts, prefix=start, max_new_tokens=longest, batch_size=len(prompts), stop=None)
    tokens = round(prompt_tokens(lm, start, prompts), 1)
    return scored(mails, replies, prompt_tokens=tokens, replies=replies[: ctx.params.shown], **facts)


def sources(p: Params) -> list:
    """All mails and prompts."""
    both = (False, True)
    asked = [prefix(r, (), f) + prompt(m, f) for m, r, f in product(company.mails(), both, both)]
    return [asked, [vars(m) for m in company.mails()]]
