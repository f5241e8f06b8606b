"""Four ways and what they cost: a long prompt, retrieval, a tuned model, and retrieval with a tuned model (C20, C40). Standard library only.

The long prompt and the tuned model are those of :mod:`whentofinetune.calculators.cost`. Retrieval sends a few passages with each call instead of examples; its index has to
be built, kept, and renewed where passages change.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields

from whentofinetune.calculators.cost import (
    EXAMPLE,
    MILLION,
    Prices,
    Setting,
    checked,
    cost,
    from_dict,
    in_time,
    number,
    upper,
)


@dataclass(frozen=True)
class Ways(Prices):
    """What is asked about, for :func:`ways`.

    question_tokens: instruction and question, in every call of every way. examples_tokens: what the long prompt carries besides. passages,
    passage_tokens: how many passages a call of RAG carries, and how long one is.
    corpus_passages: passages in the index. embed_price: of a million tokens embedded; embed_seconds and machine_per_hour: or the
    seconds of one's own machine that a passage takes, and its price; a question is embedded like a passage. changed_per_month: share of the passages
    that is new or altered in a month and embedded again, 0 to 1. store_per_month: what keeping the index costs.
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

    def __post_init__(self):
        checked(self, shares=("cache_discount", "changed_per_month"))

    @classmethod
    def from_dict(cls, values: dict) -> Ways:
        """A setting from a dictionary; what is left out keeps its default. Raises ValueError for an unknown name."""
        return from_dict(cls, values)

    def prompting(self) -> Setting:
        """The long prompt and the tuned model alone, as :func:`cost` knows them."""
        shared = {f.name: getattr(self, f.name) for f in fields(Prices)}
        return Setting(
            prompt_tokens=self.question_tokens + self.examples_tokens,
            short_tokens=self.question_tokens,
            **shared,
        )

    @property
    def embedding(self) -> float:
        """What embedding one passage costs."""
        return (
            self.passage_tokens * self.embed_price / MILLION
            + self.embed_seconds * self.machine_per_hour / 3600
        )

    @property
    def asking(self) -> float:
        """What embedding one question costs."""
        return (
            self.question_tokens * self.embed_price / MILLION
            + self.embed_seconds * self.machine_per_hour / 3600
        )


@dataclass(frozen=True)
class Way:
    """parts: what one call costs, by part. setup: once, before the first call. upkeep: a month, calls aside."""

    parts: dict[str, float]
    setup: float
    upkeep: float

    @property
    def call(self) -> float:
        return math.fsum(self.parts.values())

    def month(self, calls: float) -> float:
        """Running cost of a month with ``calls`` calls."""
        return self.upkeep + calls * self.call


LONG, RAG, TUNED, BOTH = "long prompt", "RAG", "tuned model", "RAG + tuned"


def ways(s: Ways) -> dict[str, Way]:
    """The four ways. With k passages of p tokens a call, N passages in the index, e and q what embedding a passage and a question costs::

        RAG      setup N e    upkeep store + changed N e    a call: question and answer, k p tokens of input more, and q
        tuned    setup T      upkeep r T / 12 + hosting     a call: question and answer at the tuned model's prices

    RAG + tuned has both setups and both upkeeps, and its passages cost what the tuned model's input does. Passages differ from call to call, so no
    cache makes them cheaper.
    """
    c = cost(s.prompting())
    base, tuned = (
        {
            "question": parts["question"],
            "examples": parts["examples"],
            "passages": 0.0,
            "search": 0.0,
            "answer": parts["answer"],
        }
        for parts in (c.prompt_parts, c.tuned_parts)
    )
    carried = s.passages * s.passage_tokens / MILLION
    index, retraining = (
        s.corpus_passages * s.embedding,
        s.retrainings_per_year * c.training / 12 + s.hosting_per_month,
    )
    renewal = s.store_per_month + s.changed_per_month * index
    return {
        LONG: Way(base, 0.0, 0.0),
        RAG: Way(
            base | {"examples": 0.0, "passages": carried * s.base_in, "search": s.asking}, index, renewal
        ),
        TUNED: Way(tuned, c.training, retraining),
        BOTH: Way(
            tuned | {"passages": carried * s.tuned_in, "search": s.asking},
            index + c.training,
            renewal + retraining,
        ),
    }


@dataclass(frozen=True)
class Meeting:
    """When one way has become the cheaper of two. calls_per_month: from so many calls a month its running cost is the lower (None: at no number).
    months: after so many months it has cost less in all, setup included, at the calls given (0: from the start; None: not once it is set up)."""

    calls_per_month: float | None
    months: float | None


def meeting(old: Way, new: Way, calls: float) -> Meeting:
    """Where ``new`` overtakes ``old``. Both cost ``setup + m (upkeep + calls x call)`` after m months."""
    saved, upkeep, setup = old.call - new.call, new.upkeep - old.upkeep, new.setup - old.setup
    gain = calls * saved - upkeep
    return Meeting(
        calls_per_month=max(0.0, upkeep / saved) if saved > 0 else None,
        months=max(0.0, setup / gain) if gain > 0 else None,
    )


def ways_verdict(s: Ways) -> str:
    """The answer in a few plain sentences."""
    found, calls = ways(s), s.calls_per_month
    order = sorted(found, key=lambda name: found[name].month(calls))
    first, second = order[:2]
    lines = [
        f"At {calls:,.0f} calls a month the lowest running cost is that of: {first}, {found[first].month(calls):,.2f} euro a month. "
        f"Next: {second}, {found[second].month(calls):,.2f}."
    ]
    for name in (RAG, TUNED, BOTH):
        m = meeting(found[LONG], found[name], calls)
        if m.months is not None:
            lines.append(f"{upper(name)}: has cost less than the long prompt after {in_time(m.months)}.")
        elif m.calls_per_month is not None:
            lines.append(
                f"{upper(name)}: at this number of calls never cheaper than the long prompt; from {math.ceil(m.calls_per_month):,} calls a month it would be."
            )
        else:
            lines.append(f"{upper(name)}: never cheaper than the long prompt, a call costs no less.")
    return "\n".join(
        [
            *lines,
            "This is the cost alone. Whether a way answers well enough has to be measured; a cheap wrong answer is dear.",
        ]
    )


def ways_json(settings: str) -> str:
    """The calculator's front: a JSON object of settings in, ``{"figures", "tables", "text"}`` out."""
    s = Ways.from_dict(json.loads(settings))
    found, text, months = ways(s), ways_verdict(s), list(range(25))
    curve = {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": months,
                "line": {"width": 3, "dash": dash},
                "y": [round(way.setup + m * way.month(s.calls_per_month), 6) for m in months],
                "hovertemplate": "month %{x}: %{y:,.2f} euro",
            }
            for (name, way), dash in zip(found.items(), ("solid", "dash", "dot", "dashdot"), strict=True)
        ],
        "layout": {
            "title": {"text": "Cost in all, month by month"},
            "xaxis": {"title": {"text": "months"}},
            "yaxis": {"title": {"text": "cost in all, euro"}, "rangemode": "tozero"},
        },
        "alt": f"Four lines over 24 months: what each way has cost in all. {text.splitlines()[0]}",
    }
    shapes = dict(zip(found[LONG].parts, ("", "/", ".", "x", "-"), strict=True))
    bars = {
        "data": [
            {
                "type": "bar",
                "name": part,
                "x": list(found),
                "y": [1000 * way.parts[part] for way in found.values()],
                "marker": {"pattern": {"shape": shape, "fgcolor": "#ffffff", "fillmode": "overlay"}},
                "hovertemplate": "%{x}, " + part + ": %{y:.4~g} euro",
            }
            for part, shape in shapes.items()
        ],
        "layout": {
            "title": {"text": "Cost of 1,000 calls, by part"},
            "barmode": "stack",
            "yaxis": {"title": {"text": "euro for 1,000 calls"}},
            "legend": {"traceorder": "normal"},
        },
        "alt": "Stacked bars, euro for 1,000 calls: "
        + ", ".join(f"{name} {1000 * way.call:.3g}" for name, way in found.items())
        + ".",
    }
    meetings = {
        name: meeting(found[LONG], way, s.calls_per_month) for name, way in found.items() if name != LONG
    }

    def row(label: str, value) -> list[str]:
        return [label, *(value(name, way) for name, way in found.items())]

    def once(name: str, way: Way) -> str:
        if name == LONG:
            return "-"
        m = meetings[name].months
        return "never" if m is None else "at once" if m == 0 else in_time(m)

    def at_least(name: str, way: Way) -> str:
        if name == LONG:
            return "-"
        n = meetings[name].calls_per_month
        return "no number" if n is None else f"{math.ceil(n):,}"

    rows = [
        row("1,000 calls", lambda _, w: f"{1000 * w.call:,.3f}"),
        row("To set up", lambda _, w: f"{w.setup:,.2f}"),
        row("Upkeep a month", lambda _, w: f"{w.upkeep:,.2f}"),
        row("A month in all", lambda _, w: f"{w.month(s.calls_per_month):,.2f}"),
        row("12 months in all", lambda _, w: f"{w.setup + 12 * w.month(s.calls_per_month):,.2f}"),
        row("Beats the long prompt after", once),
        row("Calls a month from which it does", at_least),
    ]
    tables = [{"caption": "What each way costs, in euro", "header": ["", *map(upper, found)], "rows": rows}]
    return json.dumps({"figures": [curve, bars], "tables": tables, "text": text})


_PRICE = "euro per million tokens"
CONTROLS = [
    number("question_tokens", "A call", "Instruction and question", 150, 2000, 10, "tokens", kind="range"),
    number(
        "examples_tokens", "A call", "Examples in the long prompt", 1350, 20000, 50, "tokens", kind="range"
    ),
    number("output_tokens", "A call", "Answer", 20, 2000, 1, "tokens", kind="range"),
    number("calls_per_month", "A call", "Calls a month", 100_000, 1_000_000_000, 1000),
    number("base_in", "Untuned model", "Price of input", 1.0, 1000.0, 0.05, _PRICE, EXAMPLE),
    number("base_out", "Untuned model", "Price of output", 3.0, 1000.0, 0.05, _PRICE, EXAMPLE),
    {
        "name": "caching",
        "group": "Untuned model",
        "label": "The examples are cached",
        "kind": "checkbox",
        "value": False,
        "help": "Passages differ from call to call, so only the long prompt gets cheaper.",
    },
    number(
        "cache_discount",
        "Untuned model",
        "Discount on cached tokens",
        0.9,
        1.0,
        0.05,
        "of the price",
        kind="range",
    ),
    number("passages", "Retrieval", "Passages a call", 3, 50, 1, kind="range"),
    number("passage_tokens", "Retrieval", "Length of a passage", 120, 2000, 10, "tokens", kind="range"),
    number("corpus_passages", "Retrieval", "Passages in the index", 10_000, 1_000_000_000, 100),
    number("embed_price", "Retrieval", "Price of embedding", 0.1, 1000.0, 0.01, _PRICE, EXAMPLE),
    number(
        "embed_seconds",
        "Retrieval",
        "Or: seconds to embed a passage",
        0.0,
        60.0,
        0.001,
        "s",
        "On your own machine; then set the price of embedding to 0.",
    ),
    number(
        "machine_per_hour", "Retrieval", "Price of that machine", 0.5, 1000.0, 0.05, "euro an hour", EXAMPLE
    ),
    number(
        "changed_per_month",
        "Retrieval",
        "Passages changed in a month",
        0.1,
        1.0,
        0.01,
        "of all",
        kind="range",
    ),
    number(
        "store_per_month", "Retrieval", "Keeping the index, a month", 20.0, 1_000_000.0, 1.0, "euro", EXAMPLE
    ),
    number("tuned_in", "Tuned model", "Price of input", 2.0, 1000.0, 0.05, _PRICE, EXAMPLE),
    number("tuned_out", "Tuned model", "Price of output", 6.0, 1000.0, 0.05, _PRICE, EXAMPLE),
    number(
        "training_tokens",
        "Tuned model",
        "Tokens in one training",
        1_000_000,
        100_000_000_000,
        10_000,
        help="Examples times tokens each times epochs.",
    ),
    number("training_price", "Tuned model", "Price of training", 10.0, 10_000.0, 0.5, _PRICE, EXAMPLE),
    number("retrainings_per_year", "Tuned model", "Retrainings a year", 4, 52, 1, kind="range"),
    number("hosting_per_month", "Tuned model", "Hosting a month", 0.0, 1_000_000.0, 10.0, "euro"),
]
