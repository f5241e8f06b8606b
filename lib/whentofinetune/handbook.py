"""What the experiments on retrieval share: the company's handbook as a corpus, questions on it, the two things that are tuned, and scores.

Facts are learned from and tested on different wordings of their questions; reading passages is learned on the training entities and tested
on the test entities.
"""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from tunewise import rag
from tunewise import written_answers as score
from tunewise.experiment import Condition, Conditions, Context, Params, Scores, context
from tunewise.finetune import Recipe, finetune, restore
from tunewise.retrieval import Retriever
from tunewise.scoring import label_logprobs
from tunewise.step_cache import digest
from whentofinetune.datasets import company, company_sources, general_items, only

HELD_OUT = -1  # the last wording of each question is kept for testing
NEW_TOKENS = 20  # of an answer, at most
BATCH = 32  # answers that are kept together


class Training(NamedTuple):
    """What :meth:`tunewise.experiment.Context.adapter` takes."""

    pairs: list[tuple[str, str]]
    recipe: Recipe
    prefix: str


class Handbook:
    """The handbook (with facts ``changed``, or ``only`` some passages of it), and what a search in it finds (``bm25``, ``dense`` or ``hybrid``)."""

    def __init__(
        self,
        ctx: Context,
        how: str = "hybrid",
        changed: Mapping[str, str] | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        self.ctx, self.how = ctx, how
        self.passages = company_sources.handbook(changed) if changed else company.passages()
        self.passages = [p for p in self.passages if only is None or p.id in only]
        self.texts = [p.text for p in self.passages]
        self.place = {p.id: i for i, p in enumerate(self.passages)}

    @cached_property
    def retriever(self) -> Any:
        """The index."""
        return Retriever(self.texts, self.ctx.embed, self.how)

    def find(self, asks: Sequence[str], k: int) -> list[list[int]]:
        """Places of the k passages found for each question, best first; found once."""

        def search() -> list[list[int]]:
            return [[hit.index for hit in hits] for hits in self.retriever.search(asks, k)]

        return self.ctx.memo(["passages found", self.how, k, self.texts, list(asks)], search)

    def gold(self, question: company.Question) -> list[set[int]]:
        """For each fact that the answer needs, the places of the passages that state it."""
        return [{self.place[p] for p in ids} for ids in question.passages]

    def show(self, places: Sequence[int]) -> list[str]:
        """The passages at these places."""
        return [self.texts[i] for i in places]


@lru_cache(maxsize=1)
def by_id() -> Mapping[str, company.Question]:
    """All questions by their id."""
    return {q.id: q for q in company.questions()}


def sources(p: Params) -> str:
    """What the experiments on the handbook are about: a hash of its passages and of the questions."""
    asked = [[q.id, q.ask, q.answers] for q in company.questions()]
    return digest([[page.text for page in company.passages()], asked])


def drawn(items: Sequence, n: int, seed: int) -> list:
    """``n`` items (all, if there are fewer), drawn with ``seed``, in their own order."""
    if n >= len(items):
        return list(items)
    chosen = np.random.default_rng([7, seed]).choice(len(items), size=n, replace=False)
    return [items[i] for i in sorted(chosen)]


def wordings(questions: Sequence[company.Question], seed: int) -> list[str]:
    """One wording of each question, drawn with ``seed``."""
    rng = np.random.default_rng([8, seed])
    return [q.ask[rng.integers(len(q.ask))] for q in questions]


def scored(
    questions: Sequence[company.Question],
    answers: Sequence[rag.Answer],
    right: Sequence[Sequence[str]] | None = None,
    parts: Mapping[str, Sequence[bool]] | None = None,
    facts: Mapping[str, Any] | None = None,
    **outcomes: Sequence[Any],
) -> Scores:
    """Each answer is right, wrong or abstained; where there is a right one, its exact match and token F1 as well.

    Parameters
    ----------
    right
        The right answers to each question (none where abstaining is right), if not those of the handbook.
    parts
        Name -> which questions belong to it: the same metrics over these alone, as ``NAME.right``.
    """
    texts, right = [a.text for a in answers], right or [q.answers for q in questions]
    found = [score.outcome(t, r) for t, r in zip(texts, right, strict=True)]
    metrics: dict[str, list] = {kind: [f == kind for f in found] for kind in score.OUTCOMES}
    if any(right):
        metrics["exact"] = [score.exact_match(t, r) for t, r in zip(texts, right, strict=True)]
        metrics["f1"] = [score.token_f1(t, r) for t, r in zip(texts, right, strict=True)]
    for part, inside in (parts or {}).items():
        outcomes |= {f"{part}.{name}": only(values, inside) for name, values in metrics.items()}
    return Scores(questions, predictions=texts, facts=facts, **metrics, **outcomes)


# -- what is learned -------------------------------------------------------------------------------------------------


def fact_set(n_facts: int, n_multihop: int, split: str = "test") -> tuple[list[str], list[company.Question]]:
    """Ids of ``n_facts`` facts of a split, and ``n_multihop`` questions that need two of them each."""
    multihop, facts, known = [], {}, by_id()
    two = company.questions("multihop", split)
    for q in (two[i] for i in np.random.default_rng(6).permutation(len(two))):
        fresh = [f for f in q.facts if f not in facts]
        if len(multihop) < n_multihop and len(fresh) == 2 and all(f"direct/{f}" in known for f in q.facts):
            multihop.append(q)
            facts |= dict.fromkeys(q.facts)
    direct = [q.facts[0] for q in company.questions("direct", split)]
    rest = [f for f in direct if f not in facts and f"reversed/{f}" in known]
    facts |= dict.fromkeys(drawn(rest, n_facts - len(facts), 1))
    return list(facts), multihop


def fact_questions(n_facts: int, n_multihop: int) -> list[company.Question]:
    """The question that asks for each fact of :func:`fact_set`."""
    return [by_id()[f"direct/{f}"] for f in fact_set(n_facts, n_multihop)[0]]


def other_questions(n_facts: int, n_multihop: int) -> list[company.Question]:
    """Questions of the test split about all other facts."""
    facts = set(fact_set(n_facts, n_multihop)[0])
    return [q for q in company.questions("direct", "test") if q.facts[0] not in facts]


def changes(facts: Sequence[str], share: float) -> dict[str, str]:
    """New values for a share of the facts: each gets a value that the same attribute has elsewhere in the company."""
    rng = np.random.default_rng([11, round(100 * share)])
    known, entities, new = company.facts(), company.entities(), {}
    for fact in [facts[i] for i in sorted(rng.permutation(len(facts))[: round(share * len(facts))])]:
        now = known[fact]
        same = [f for f in known.values() if f.stated and f.attribute == now.attribute]
        alike = {f.value for f in same if entities[f.entity].group == entities[now.entity].group}
        if others := sorted(alike - {now.value, now.was}):
            new[fact] = others[rng.integers(len(others))]
    return new


def fact_pairs(
    facts: Sequence[str], phrasings: int, exposures: int, values: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """Question-answer pairs without passages, each fact ``exposures`` times in all, in its first ``phrasings`` wordings.

    Parameters
    ----------
    values
        Fact id -> value, for facts that have changed.

    Raises
    ------
    ValueError
        Where the exposures cannot be shared equally among the phrasings, or the phrasings take in the wording kept for the test.
    """
    if exposures % phrasings:
        raise ValueError(f"{exposures} exposures cannot be shared equally among {phrasings} phrasings")
    pairs = []
    for fact in facts:
        question = by_id()[f"direct/{fact}"]
        if phrasings >= len(question.ask):
            most = f"take at most {len(question.ask) - 1}"
            raise ValueError(f"{phrasings} phrasings would train on the wording kept for the test; {most}")
        value = (values or {}).get(fact, question.answers[0])
        once = [(rag.prompt(ask), rag.target(value)) for ask in question.ask[:phrasings]]
        pairs += once * (exposures // phrasings)
    return pairs


def reading_pairs(ctx: Context, n: int, distractors: int, without: float, seed: int) -> list[tuple[str, str]]:
    """``n`` questions of the training split with the passage that holds the answer and its nearest neighbours."""
    book = Handbook(ctx)
    rng = np.random.default_rng([9, seed])
    pool = company.questions("direct", "train")
    chosen = [pool[i] for i in rng.choice(len(pool), size=n, replace=False)]
    asks = wordings(chosen, seed)
    found, gold = book.find(asks, distractors + 4), [book.gold(q)[0] for q in chosen]
    return rag.raft_pairs(
        [(ask, q.answers[0]) for ask, q in zip(asks, chosen, strict=True)],
        [min(g) for g in gold],
        lambda i: [p for p in found[i] if p not in gold[i]],
        book.texts,
        distractors=distractors,
        without=without,
        rng=rng,
    )


def training(
    ctx: Context,
    method: str,
    seed: int,
    phrasings: int = 8,
    values: Mapping[str, str] | None = None,
    recipe: Mapping[str, Any] | None = None,
    split: str = "test",
) -> Training | None:
    """What a method trains on; None for ``base``, the base model.

    Parameters
    ----------
    method
        ``facts``: question and answer of facts, in ``phrasings`` wordings, with ``values`` for those that have changed. ``reading``: questions
        about the training entities with the right passage among distractors, a share of them without the right one. ``gold only``: with
        the right passage alone.
    recipe
        Of the training (with ``exposures`` of each fact), if not that of the parameters.
    split
        Whose facts are tuned in.

    Raises
    ------
    ValueError
        For another method.
    """
    p = ctx.params
    if method == "base":
        return None
    if method == "facts":
        wanted = dict(recipe or {"exposures": p.exposures, **p.fact_recipe})
        facts, _ = fact_set(p.facts, p.multihop, split)
        pairs = fact_pairs(facts, phrasings, wanted.pop("exposures"), values)
        opening = rag.FROM_MEMORY
    elif method in ("reading", "gold only"):
        reads = (p.distractors, p.without) if method == "reading" else (0, 0.0)
        wanted, opening = recipe or p.reading_recipe, rag.WITH_PASSAGES
        pairs = reading_pairs(ctx, p.readings, *reads, seed)
    else:
        raise ValueError(f"no method is called {method!r}; there are base, facts, reading, gold only")
    return Training(pairs, ctx.chosen(pairs, Recipe(seed=seed, **wanted), opening), opening)


def who(how: Training | None) -> Any:
    """A training as JSON can hold it."""
    return how and [how.pairs, dataclasses.asdict(how.recipe), how.prefix]


@contextlib.contextmanager
def trained(ctx: Context, how: Training | None) -> Iterator[Any]:
    """The model after this training, or the base model."""
    with ctx.adapter(*how) if how else contextlib.nullcontext(ctx.lm) as lm:
        yield lm


# method -> what it learns, and the parameter with its recipes; others ask the base model
LEARNED = {"rag fine-tuning": ("reading", "reading_recipes"), "tuned": ("facts", "fact_recipes")}
READERS = ("plain", "plain, 2 examples", "chat", "chat, 2 examples", "chat, 3 examples")
READERS += ("chat, instruction last, 2 examples",)


def reader(ctx: Context, name: str) -> rag.Reader:
    """One of :data:`READERS`. The third worked example is a question that its passages do not answer."""
    parts, examples = name.split(", "), []
    count = next((int(part.split()[0]) for part in parts if part.endswith("examples")), 0)
    for text, right in reading_pairs(ctx, 2, 2, 0.0, 0) + reading_pairs(ctx, 1, 2, 1.0, 1) if count else []:
        shown, asked = text.removesuffix("\nAnswer:").rsplit("Question: ", 1)
        examples.append((asked, tuple(re.split(r"\[\d\] ", shown.strip()))[1:], right))
    return rag.Reader(parts[0] == "chat", "instruction last" in parts, tuple(examples[:count]))


def answer(
    ctx: Context,
    how: Training | None,
    asks: Sequence[str],
    passages: Sequence[Sequence[str]],
    asked_as: str = "plain",
    from_memory: str = rag.FROM_MEMORY,
) -> list[rag.Answer]:
    """Answers to ``asks``, each from its own ``passages`` (none: from memory), by the model after a training. An answer is given once:
    experiments that ask the same model the same get the same. ``asked_as`` is one of :data:`READERS`."""
    prompts = [rag.prompt(a, p) for a, p in zip(asks, passages, strict=True)]
    how_asked = reader(ctx, asked_as)
    form = [] if asked_as == "plain" else [[how_asked.chat, how_asked.instruction_last, how_asked.examples]]
    form += [] if from_memory == rag.FROM_MEMORY else [from_memory]
    said: list[str] = []
    with contextlib.ExitStack() as stack:
        lm = lru_cache(maxsize=1)(lambda: stack.enter_context(trained(ctx, how)))

        def write(part: slice) -> list[str]:
            options: dict[str, Any] = {
                "reader": how_asked,
                "from_memory": from_memory,
                "max_new_tokens": NEW_TOKENS,
            }
            return [a.said for a in rag.answer(lm(), asks[part], passages[part], **options)]

        for first in range(0, len(prompts), BATCH):
            part = slice(first, first + BATCH)
            said += ctx.memo(["answers", who(how), prompts[part], *form], lambda part=part: write(part))
    return [rag.read(text, len(own)) for text, own in zip(said, passages, strict=True)]


def trials(p: Params) -> Conditions:
    """What is tried on validation: prompts of the base model's RAG, and recipes of both trainings."""
    for name in READERS[: p.readers]:
        yield Condition("rag", trial=True, reader=name)
    for n in range(len(p.fact_recipes)):
        yield Condition("tuned", trial=True, recipe=n)
    for n in range(len(p.reading_recipes) if p.readings else 0):
        yield Condition("rag fine-tuning", trial=True, recipe=n)


def trial_questions(p: Params, method: str) -> list[company.Question]:
    """Questions of the validation split: on the facts that a trial tunes in, or on any."""
    if method == "tuned":
        return [by_id()[f"direct/{f}"] for f in fact_set(p.facts, p.multihop, "valid")[0]][: p.trial_n]
    return drawn(company.questions("direct", "valid"), p.trial_n, 2)


def fair_answer(
    ctx: Context, c: Condition, method: str, asks: Sequence[str], passages: Sequence[Sequence[str]]
) -> list[rag.Answer]:
    """Answers of a method as a trial asks for it, or as the best of its trials did."""
    if method == "closed book":
        return answer(ctx, None, asks, passages)
    if method not in LEARNED:
        best = c.reader or ctx.best("reader", "right", method="rag", trial=True)
        return answer(ctx, None, asks, passages, best)
    (learns, recipes), split = LEARNED[method], "valid" if c.trial else "test"
    n = c.recipe if c.trial else ctx.best("recipe", "right", method=method, trial=True)
    phrasings = c.phrasings or max(ctx.params.phrasings)
    how = training(ctx, learns, c.seed or 0, phrasings, recipe=ctx.params[recipes][n], split=split)
    return answer(ctx, how, asks, passages)


SURE = 0.8  # a choice with at least this probability is called sure


def probes(p: Params) -> dict[str, list[company.Question]]:
    """Questions on the facts that are tuned in (``learned``), and on ``others`` of the same company."""
    others = drawn(other_questions(p.facts, p.multihop), p.questions, 5)
    return {"learned": fact_questions(p.facts, p.multihop), "others": others}


def while_learning(ctx: Context, seed: int | None) -> dict[str, dict]:
    """Share of a training on new facts that is done -> what the model says then to :func:`probes`, and how it does on ``general`` items.

    One training gives all ``stops``; without a seed, the base model gives the stop ``0.0``.
    """
    p, points = ctx.params, {}
    how = None if seed is None else training(ctx, "facts", seed, max(p.phrasings))

    def probe(share: float, **facts: Any) -> None:
        chosen = general_items.items()[: p["items"]]
        scores = [label_logprobs(ctx.lm, "", [item.prompt], item.labels)[0] for item in chosen]
        right = [int(r) for r in general_items.right(scores, chosen)]
        sure = [float(np.exp(s.max() - np.logaddexp.reduce(s))) >= SURE for s in scores]
        wrong = [int(s and not r) for s, r in zip(sure, right, strict=True)]
        points[str(share)] = {"facts": facts, "general": {"right": right, "sure_and_wrong": wrong}}
        for kind, questions in probes(p).items():
            asks = [q.ask[HELD_OUT] for q in questions]
            said = rag.answer(ctx.lm, asks, [()] * len(asks), max_new_tokens=12, batch_size=20)
            points[str(share)][kind] = [a.said for a in said]

    def stop(step: int, steps: int, loss: float) -> None:
        for share in p.stops:
            if step == round(share * steps):
                probe(share, step=step, loss=round(loss, 3))

    def run() -> dict[str, dict]:
        if how is None:
            probe(0.0, step=0)
        else:
            tuned = finetune(ctx.lm, how.pairs, how.recipe, prefix=how.prefix, progress=stop)
            ctx.lm.model = restore(tuned)
        return points

    asked = {kind: [q.id for q in questions] for kind, questions in probes(p).items()}
    return ctx.memo(["probes", asked, p["items"], who(how), p.stops if how else []], run)


def asker(model: str = "smollm2-135m") -> Callable[[str, int], dict]:
    """A function (question, k) -> the answer from the k passages found: ``{"answer", "cited", "passages": [{"id", "title", "text"}]}``.

    The model is loaded at the first question.
    """
    ctx = context({"model": model})
    book = Handbook(ctx)

    def ask(question: str, k: int = 3) -> dict:
        places = book.find([question], k)[0] if k else []
        said = rag.answer(ctx.lm, [question], [book.show(places)])[0]
        shown = [{"id": p.id, "title": p.title, "text": p.text} for p in (book.passages[i] for i in places)]
        return {"answer": said.text, "cited": said.cited, "passages": shown}

    return ask
