"""A language that the model hardly knows: what does LoRA on it bring, and take away? (C18)

The language is Hindi. Two labelled tasks on the same held-out messages: which of four English texts does this Hindi one mean (*meaning*), and which of four Hindi
texts says this English one (*writing*); and the bits of the Hindi messages. English is tested before and after as well: bits of newspaper
sentences, and easy general items. Baselines: pairs in the prompt, and two that are no language model: which option's length fits best, and
a table of which words of the training pairs go together. The recipe was chosen by two trials on messages of valid.
"""

from collections.abc import Sequence
from dataclasses import asdict

from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.scoring import choose, encode, text_bits
from whentofinetune.datasets import general_items, vader
from whentofinetune.datasets import hindi_pairs as data

TASKS = (*data.TASKS, "hindi", "english", "general")


def conditions(p: Params) -> Conditions:
    yield from (Condition("tokens", language=language) for language in ("en", "hi"))
    yield from (Condition(method, task=task) for task in data.TASKS for method in ("length", "words"))
    yield from (Condition("base", task=task) for task in TASKS)
    yield from (Condition("few-shot", k=p.shots, seed=s, task=task) for s in p.seeds for task in data.TASKS)
    yield from (Condition("lora", n_labels=p.pairs, seed=s, task=task) for s in p.seeds for task in TASKS)


def evaluate(ctx: Context, c: Condition) -> Scores:
    p, test = ctx.params, data.pairs("test")[: ctx.params.test_n]
    if c.method == "tokens":
        pairs = data.pairs()[: p.counted]
        texts = [getattr(pair, c.language) for pair in pairs]
        counts = [len(encode(ctx.lm.tokenizer, text)) for text in texts]
        words, sizes = [len(t.split()) for t in texts], [len(t.encode()) for t in texts]
        return Scores(pairs, tokens=counts, words=words, bytes=sizes)
    if c.method in ("length", "words"):
        return chosen(test, data.without_a_model(c.method, c.task, test, data.choices(test)))
    if c.method != "lora":
        return probe(ctx.lm, c.task, test, p, data.shots(c.k, c.seed) if c.k else "")
    with ctx.adapter(data.training_pairs(c.n_labels, c.seed), Recipe(seed=c.seed, **p.recipe)) as lm:
        outcome = probe(lm, c.task, test, p)
        outcome.facts |= {"train_seconds": round(lm.seconds, 1), "examples_seen": lm.examples}
        return outcome


def probe(lm, task: str, test: Sequence[data.Pair], p: Params, prefix: str = "") -> Scores:
    """One of :data:`TASKS`; the labelled Hindi ones by likelihood above the habitual one."""
    if task in ("hindi", "english"):
        news = [r for r in vader.split("news")["test"] if len(r.text) >= 60][: p.texts]
        items, texts = (test, [i.hi for i in test]) if task == "hindi" else (news, [r.text for r in news])
        bits, sizes = text_bits(lm, texts)
        return Scores(items, bits=bits, bytes=sizes)
    if task == "general":
        items = general_items.items()[: p["items"]]
        choices = choose(lm, "", [i.prompt for i in items], [i.labels for i in items])
        right = [s == i.answer for s, i in zip(choices, items, strict=True)]
        return Scores(items, predictions=choices, accuracy=right)
    queries = [data.prompt(pair, task) for pair in test]
    options = [[data.completion(test[j], task) for j in mine] for mine in data.choices(test)]
    return chosen(test, choose(lm, prefix, queries, options, neutral=data.NEUTRAL[task]))


def chosen(test: Sequence[data.Pair], choices: Sequence[int]) -> Scores:
    return Scores(test, predictions=choices, accuracy=data.right(test, choices))


def sources(p: Params) -> list:
    return [asdict(pair) for pair in data.pairs()]
