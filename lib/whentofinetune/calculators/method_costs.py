"""Five methods and what they cost: long prompt, retrieval, tuned model, both, small classifier (claims C20, C40). Standard library only.

The long prompt and the tuned model are those of :mod:`whentofinetune.calculators.cost`. Retrieval sends a few passages with each call
instead of examples; its index has to be built, kept, and renewed where passages change. A small classifier can only choose a
label; it has servers and labels to pay, but no tokens.
"""

import json
import math
from dataclasses import dataclass, fields, replace

from whentofinetune.calculators import cost as c
from whentofinetune.calculators.cost import LONG, MILLION, MONTH, TUNED, Method, Prices, Setting

RAG, BOTH, SMALL = "RAG", "RAG + tuned", "small classifier"
# After so many seconds without a call OpenAI may clear a cache: https://openai.com/index/api-prompt-caching/
CACHE = 5 * 60


@dataclass(frozen=True)
class Methods(Prices):
    """What is asked about, for :func:`methods`.

    question_tokens: instruction and question, in every call. examples_tokens: what the long prompt carries besides. passages,
    passage_tokens: how many passages a call of RAG carries, and how long one is. corpus_passages: passages in the index. embed_price: of a
    million tokens embedded; embed_seconds and machine_per_hour: or the seconds of one's own machine that a passage takes, and its price; a
    question is embedded like a passage. changed_per_month: share of the passages that is new or altered in a month and embedded again, 0 to
    1. store_per_month: what keeping the index costs. wage: what an hour of a person costs; prompt_hours, rag_hours, tuned_hours: people's
    time to set a method up (writing, labelling, testing), and rag_month_hours, tuned_month_hours: to look after it each month. labels,
    label_seconds: what the tuned model and the small classifier learn from, and a person's time for one; label_share: how much of that is
    labelled anew for each retraining, 0 to 1. server_per_month: a machine on which the small classifier is trained and answers, and
    small_seconds: how long a call keeps it busy. seconds_longer: how much longer the tuned model takes for 1,000 tokens more in its prompt, on
    a server of one's own.
    """

    question_tokens: float = 150
    examples_tokens: float = 1350
    passages: float = 3
    passage_tokens: float = 120
    corpus_passages: float = 10_000
    embed_price: float = 0.1
    embed_seconds: float = 0.0
    machine_per_hour: float = 0.5
    changed_per_month: float = 0.1
    store_per_month: float = 20.0
    wage: float = 50.0
    prompt_hours: float = 0.0
    rag_hours: float = 0.0
    rag_month_hours: float = 0.0
    tuned_hours: float = 0.0
    tuned_month_hours: float = 0.0
    server_per_month: float = 6.0
    small_seconds: float = 0.015
    seconds_longer: float = 2.0
    labels: float = 300
    label_seconds: float = 30.0
    label_share: float = 0.2

    def prompting(self) -> Setting:
        """The long prompt and the tuned model alone, as :func:`cost` knows them."""
        shared = {f.name: getattr(self, f.name) for f in fields(Prices)}
        prompt = self.question_tokens + self.examples_tokens
        return Setting(prompt_tokens=prompt, short_tokens=self.question_tokens, **shared)

    def embedding(self, tokens: float) -> float:
        """What embedding a passage or a question of ``tokens`` tokens costs."""
        return tokens * self.embed_price / MILLION + self.embed_seconds * self.machine_per_hour / 3600


def methods(s: Methods) -> dict[str, Method]:
    """The five methods. With k passages of p tokens a call, N passages in the index, e and q what embedding a passage and a question costs::

        RAG      setup N e    upkeep store + changed N e    a call: question and answer, k p tokens of input more, and q
        tuned    setup T + L  upkeep r (T + share L) / 12 + hosting    a call: question and answer at the tuned model's prices
        small    setup L            upkeep r share L / 12 + servers    a call: nothing

    L is people's time for the labels; the tuned model needs it, too. People's other time comes on top. RAG + tuned has both setups and both upkeeps, and its passages cost what the tuned model's input does. Passages differ from call to
    call, so no cache makes them cheaper, and on a server of one's own they take time.
    """
    long, tuned = c.cost(s.prompting()).values()
    index, asking = s.corpus_passages * s.embedding(s.passage_tokens), s.embedding(s.question_tokens)
    renewal = s.store_per_month + s.changed_per_month * index + s.wage * s.rag_month_hours
    labels = s.wage * s.labels * s.label_seconds / 3600
    relabelling = s.retrainings_per_year / 12 * s.label_share * labels
    training = tuned.setup + labels + s.wage * s.tuned_hours
    retraining = tuned.upkeep + relabelling + s.wage * s.tuned_month_hours
    index += s.wage * s.rag_hours
    carried = s.passages * s.passage_tokens / MILLION
    longer = s.seconds_a_call + s.seconds_longer * 1000 * carried
    with_passages = s.capacity(longer) if s.own_server else 0.0

    def parts(method: Method, price: float | None = None) -> dict[str, float]:
        retrieval = {"passages": 0.0, "search": 0.0}
        if price is not None:
            retrieval = {"examples": 0.0, "passages": carried * price, "search": asking}
        rest = dict(method.parts)
        last = rest.pop("answer")
        return rest | retrieval | {"answer": last}

    return {
        LONG: Method(parts(long), s.wage * s.prompt_hours),
        RAG: Method(parts(long, s.base_in), index, renewal),
        TUNED: replace(tuned, parts=parts(tuned), setup=training, upkeep=retraining),
        BOTH: Method(
            parts(tuned, s.tuned_in), index + training, renewal + retraining, tuned.server, with_passages
        ),
        SMALL: Method(
            dict.fromkeys(parts(long), 0.0),
            labels,
            relabelling,
            s.server_per_month,
            s.capacity(s.small_seconds),
        ),
    }


def methods_verdict(s: Methods) -> str:
    """The answer in a few plain sentences."""
    found, calls = methods(s), s.calls_per_month
    first, second = sorted(found, key=lambda name: found[name].month(calls))[:2]
    lines = [
        f"At {calls:,.0f} calls a month the lowest running cost is that of: {first}, {found[first].month(calls):,.2f} euro a month. "
        f"Next: {second}, {found[second].month(calls):,.2f}."
    ]
    for name in (RAG, TUNED, BOTH, SMALL):
        m = c.meeting(found[LONG], found[name], calls)
        if m.months is not None:
            said = f"has cost less than the long prompt after {c.in_time(m.months)}."
        elif m.calls_per_month is not None:
            least = math.ceil(m.calls_per_month)
            said = f"at this number of calls never cheaper than the long prompt; from {least:,} calls a month it would be."
        elif found[name].call < found[LONG].call:
            said = "never cheaper than the long prompt, a full server costs no less than its calls save."
        else:
            said = "never cheaper than the long prompt, a call costs no less."
        lines.append(f"{c.upper(name)}: {said}")
    own = ", ".join(f"{name} {m.servers(calls):,}" for name, m in found.items() if m.capacity)
    lines.append(f"Servers of your own, each busy {s.busy:.0%} of the time at most: {own}.")
    if s.hosting_per_month and not s.own_server:
        lines.append("Hosting of the tuned model is taken as a provider's: the same at any number of calls.")
    if s.caching:
        lines.append(_cache(s))
    lines.append("A small classifier can only choose a label from a list: leave it aside for any other task.")
    if not any((s.prompt_hours, s.rag_hours, s.rag_month_hours, s.tuned_hours, s.tuned_month_hours)):
        hosting = "" if s.hosting_per_month else " and hosting"
        lines.append(f"People's hours{hosting} are 0, save for the labels: this is no budget.")
    lines.append("This is the cost alone. Whether a method answers well enough has to be measured.")
    return "\n".join(lines)


def _cache(s: Methods) -> str:
    """What the cache asks for, and whether it is given."""
    if not s.prompting().cached:
        return (
            f"No cache: the examples have {s.examples_tokens:,.0f} tokens, and a beginning is cached from "
            f"{s.cached_from:,.0f} tokens on. The long prompt is billed in full."
        )
    said = "Every call is billed as cached, and filling the cache as free. That needs calls within minutes of each other."
    if s.calls_per_month * CACHE < MONTH:
        said += f" Yours are more than {CACHE // 60} minutes apart on average: look at the bill without the cache, too."
    return said


def methods_json(settings: str) -> str:
    """The calculator's front: a JSON object of settings in, ``{"figures", "tables", "text"}`` out."""
    s = Methods.from_dict(json.loads(settings))
    return c.answer(methods(s), s.calls_per_month, methods_verdict(s))


CONTROLS = Methods.controls("methods")
