"""What does an answer cost, and what does it cost to be able to give it? (C40)

In tokens and seconds, from memory, from a few passages and from many; and what each method costs to set up. Seconds are comparable with each other only if nothing else runs on the machine.
"""

from tunewise import rag
from tunewise.experiment import Condition, Conditions, Context, Params, Scores
from tunewise.finetune import Recipe, finetune, restore
from tunewise.scoring import prompt_tokens
from whentofinetune import handbook as hb
from whentofinetune.datasets import company
from whentofinetune.timing import timed


def conditions(p: Params) -> Conditions:
    yield Condition("index")
    for k in (0, *p.ks):
        yield Condition("answer", k=k)
    for what in ("facts", "reading"):
        yield Condition("training", what=what)


def evaluate(ctx: Context, c: Condition) -> Scores:
    questions = hb.drawn(company.questions("direct", "train"), ctx.params.questions, 19)
    asks, book = [q.ask[0] for q in questions], hb.Handbook(ctx)
    if c.method == "training":
        return training(ctx, c.what)
    if c.method == "answer":
        passages = [book.show(f) for f in book.find(asks, c.k)] if c.k else [[] for _ in asks]
        rag.answer(ctx.lm, asks[:1], passages[:1])
        pairs = zip(asks, passages, strict=True)
        waits = [timed(rag.answer, ctx.lm, [a], [p], max_new_tokens=8) for a, p in pairs]
        opening, prompts = rag.WITH_PASSAGES if c.k else rag.FROM_MEMORY, map(rag.prompt, asks, passages)
        read = [float(prompt_tokens(ctx.lm, opening, [prompt])) for prompt in prompts]
        return Scores(questions, seconds=waits, prompt_tokens=read)
    ctx.embed(asks)  # loads the encoder; no passage is embedded yet, as this is the first condition
    built = timed(lambda: book.retriever)
    facts = {
        "passages": len(book.texts),
        "build_seconds": round(built, 2),
        "vector_bytes": int(ctx.embed(book.texts).nbytes),
        "text_bytes": sum(len(t.encode()) for t in book.texts),
    }
    waits = [timed(book.retriever.search, [ask], ctx.params.ks[0]) for ask in asks]
    return Scores(questions, facts=facts, search_seconds=waits)


def training(ctx: Context, what: str) -> Scores:
    """What one training costs, on facts or on examples of reading."""
    n = ctx.params.trained
    if what == "facts":
        facts, _ = hb.fact_set(ctx.params.facts, 0, "train")
        pairs, opening = hb.fact_pairs(facts, 8, 8)[:n], rag.FROM_MEMORY
    else:
        pairs, opening = hb.reading_pairs(ctx, n, 2, 0.2, 0), rag.WITH_PASSAGES
    tuned = finetune(ctx.lm, pairs, Recipe(epochs=1, batch_size=8, min_steps=1, seed=0), prefix=opening)
    ctx.lm.model = restore(tuned)
    read = round(sum(prompt_tokens(ctx.lm, "", [p + a]) for p, a in pairs))
    facts = {"train_seconds": round(tuned.seconds, 2), "train_tokens": read}
    return Scores(facts={"examples": len(pairs), **facts, "adapter_bytes": 4 * tuned.trainable})


sources = hb.sources
