"""Cost and break-even of a long prompt against a tuned model (claims C20 and C40). Standard library only.

The long prompt carries instructions and in-context examples with every call. The tuned model has learned from them, so
its prompt is short, but its tokens may cost more, it must be trained (again and again, if the data changes), and it may
have to be hosted. Every price is an input; none is built in as a fact.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields

MILLION = 1_000_000


@dataclass(frozen=True)
class Prices:
    """What all calculators of calls ask. Prices are in one currency, tokens' per million. The defaults are round examples, nobody's prices.

    output_tokens: tokens answered, the same in every way. caching: whether the examples, the same in every call, are billed at
    ``cache_discount`` off (a share, 0 to 1). training_tokens: tokens billed for one training, epochs included.
    retrainings_per_year: further trainings after the first. hosting_per_month: what the tuned model costs when idle.
    """

    output_tokens: float = 20
    calls_per_month: float = 100_000
    base_in: float = 1.0
    base_out: float = 3.0
    caching: bool = False
    cache_discount: float = 0.9
    tuned_in: float = 2.0
    tuned_out: float = 6.0
    training_tokens: float = 1_000_000
    training_price: float = 10.0
    retrainings_per_year: float = 4
    hosting_per_month: float = 0.0


@dataclass(frozen=True)
class Setting(Prices):
    """A long prompt or a tuned model.

    prompt_tokens: input tokens of a call with the examples in its prompt. short_tokens: without them, as the tuned model gets it.
    """

    prompt_tokens: float = 1500
    short_tokens: float = 150

    def __post_init__(self):
        checked(self, shares=("cache_discount",))
        if self.short_tokens > self.prompt_tokens:
            raise ValueError(
                f"the prompt without examples ({self.short_tokens:,.0f} tokens) cannot be longer than the one with them "
                f"({self.prompt_tokens:,.0f}); make the first shorter or the second longer"
            )

    @classmethod
    def from_dict(cls, values: dict) -> Setting:
        """A setting from a dictionary; what is left out keeps its default. Raises ValueError for an unknown name."""
        return from_dict(cls, values)


@dataclass(frozen=True)
class Cost:
    """The answer. Money in the currency of the prices.

    prompt_parts, tuned_parts: what one call costs, by part. break_even_calls: calls after which one training has paid for
    itself, hosting and retraining aside (None: never). break_even_per_month: calls a month above which the tuned model's
    running cost is the lower one (None: never). break_even_months: months until the tuned model has cost less in all, the
    first training included (None: never, at this number of calls).
    """

    prompt_parts: dict[str, float]
    tuned_parts: dict[str, float]
    training: float
    break_even_calls: int | None
    break_even_per_month: float | None
    break_even_months: float | None

    @property
    def prompt_call(self) -> float:
        return math.fsum(self.prompt_parts.values())  # not sum(): newer Pythons round it differently

    @property
    def tuned_call(self) -> float:
        return math.fsum(self.tuned_parts.values())


def cost(s: Setting) -> Cost:
    """Cost per call and break-even.

    With p and t the cost of a call with the long prompt and with the tuned model, T the cost of one training, r trainings
    a year after the first, h hosting a month and c calls a month, the totals after m months are::

        long prompt   m c p
        tuned model   T + m (c t + r T / 12 + h)

    They meet after T / (p - t) calls if r = h = 0, and after m = T / (c (p - t) - r T / 12 - h) months in general. The
    running costs alone are equal at c = (r T / 12 + h) / (p - t) calls a month.
    """
    examples = s.prompt_tokens - s.short_tokens
    kept = 1 - s.cache_discount if s.caching else 1.0
    prompt_parts = {
        "question": s.short_tokens * s.base_in / MILLION,
        "examples": examples * s.base_in * kept / MILLION,
        "answer": s.output_tokens * s.base_out / MILLION,
    }
    tuned_parts = {
        "question": s.short_tokens * s.tuned_in / MILLION,
        "examples": 0.0,
        "answer": s.output_tokens * s.tuned_out / MILLION,
    }
    saving = math.fsum(prompt_parts.values()) - math.fsum(tuned_parts.values())
    training = s.training_tokens * s.training_price / MILLION
    running = s.retrainings_per_year * training / 12 + s.hosting_per_month
    monthly_gain = s.calls_per_month * saving - running
    return Cost(
        prompt_parts,
        tuned_parts,
        training,
        break_even_calls=math.ceil(training / saving - 1e-9) if saving > 0 else None,
        break_even_per_month=running / saving if saving > 0 else None,
        break_even_months=training / monthly_gain if monthly_gain > 0 else None,
    )


def totals(s: Setting, months: int = 24) -> tuple[list[float], list[float]]:
    """What the long prompt and the tuned model have cost in all after 0, 1, ..., ``months`` months."""
    c = cost(s)
    running = (
        s.retrainings_per_year * c.training / 12 + s.hosting_per_month + s.calls_per_month * c.tuned_call
    )
    each = range(months + 1)
    return [m * s.calls_per_month * c.prompt_call for m in each], [c.training + m * running for m in each]


def verdict(s: Setting) -> str:
    """The answer in two or three plain sentences."""
    c = cost(s)
    first = f"A call costs ${c.prompt_call:.3g} with the long prompt and ${c.tuned_call:.3g} with the tuned model."
    if c.break_even_calls is None:
        ratio = (
            f" Its prompt is {s.prompt_tokens / s.short_tokens:.1f} times shorter" if s.short_tokens else ""
        )
        because = (
            f", but its input tokens cost {s.tuned_in / s.base_in:.1f} times as much"
            if ratio and s.base_in
            else ""
        )
        cached = " and the examples are cheap once cached" if s.caching and ratio else ""
        return f"{first} The tuned model never pays for itself: it costs no less per call.{ratio}{because}{cached}{'.' if ratio else ''}"
    second = f" One training (${c.training:,.2f}) has paid for itself after {c.break_even_calls:,} calls."
    if c.break_even_months is None:
        return (
            f"{first}{second} At {s.calls_per_month:,.0f} calls a month it still loses: retraining and hosting cost more than the "
            f"calls save. It would take more than {math.floor(c.break_even_per_month):,} calls a month."
        )
    return f"{first}{second} With retraining and hosting counted, the tuned model has cost less in all after {in_time(c.break_even_months)}."


def cost_json(settings: str) -> str:
    """The calculator's front: a JSON object of settings in, ``{"figures", "tables", "text"}`` out."""
    s = Setting.from_dict(json.loads(settings))
    c, text = cost(s), verdict(s)
    long, tuned = totals(s)
    months = list(range(len(long)))
    lines = [("long prompt", long, "solid", "circle"), ("tuned model", tuned, "dash", "square")]
    curve = {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": months,
                "y": [round(v, 6) for v in y],
                "line": {"width": 3, "dash": dash},
                "hovertemplate": "month %{x}: $%{y:,.2f}",
            }
            for name, y, dash, _ in lines
        ],
        "layout": {
            "title": {"text": "Cost in all, month by month"},
            "xaxis": {"title": {"text": "months"}},
            "yaxis": {"title": {"text": "cost in all, $"}, "rangemode": "tozero"},
        },
        "alt": f"Two lines over 24 months: what the long prompt and the tuned model have cost in all. {text}",
    }
    parts = {
        "data": [
            {
                "type": "bar",
                "name": part,
                "x": ["long prompt", "tuned model"],
                "y": [1000 * c.prompt_parts[part], 1000 * c.tuned_parts[part]],
                "marker": {"pattern": {"shape": shape, "fgcolor": "#ffffff", "fillmode": "overlay"}},
                "hovertemplate": "%{x}, " + part + ": $%{y:.4~g}",
            }
            for part, shape in zip(c.prompt_parts, ("", "/", "."), strict=True)
        ],
        "layout": {
            "title": {"text": "Cost of 1,000 calls, by part"},
            "barmode": "stack",
            "yaxis": {"title": {"text": "$ for 1,000 calls"}},
            "legend": {"traceorder": "normal"},
        },
        "alt": f"Two stacked bars: 1,000 calls cost ${1000 * c.prompt_call:.3g} with the long prompt and ${1000 * c.tuned_call:.3g} with the tuned model.",
    }
    rows = [
        ["Cost of 1,000 calls", f"${1000 * c.prompt_call:,.3f}", f"${1000 * c.tuned_call:,.3f}"],
        [
            "Calls in a month",
            f"${s.calls_per_month * c.prompt_call:,.2f}",
            f"${s.calls_per_month * c.tuned_call:,.2f}",
        ],
        ["First training", "none", f"${c.training:,.2f}"],
        ["Retraining in a month", "none", f"${s.retrainings_per_year * c.training / 12:,.2f}"],
        ["Hosting in a month", "none", f"${s.hosting_per_month:,.2f}"],
        ["After 12 months, in all", f"${long[12]:,.2f}", f"${tuned[12]:,.2f}"],
    ]
    tables = [{"caption": "What it costs", "header": ["", "Long prompt", "Tuned model"], "rows": rows}]
    return json.dumps({"figures": [curve, parts], "tables": tables, "text": text})


def checked(setting, shares: tuple[str, ...] = ()) -> None:
    """Raises ValueError, in words, for a field that is no number, negative, or a share above 1."""
    for f in fields(setting):
        value = getattr(setting, f.name)
        if f.name == "caching":
            if not isinstance(value, bool):
                raise ValueError(f"caching is true or false, not {value!r}")
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"{f.name} must be a number, not {value!r}")
        elif value < 0:
            raise ValueError(f"{f.name} cannot be negative; it is {value:g}")
        elif f.name in shares and value > 1:
            raise ValueError(f"{f.name} is a share between 0 and 1; it is {value:g}")


def from_dict(cls, values: dict):
    """A setting of class ``cls`` from a dictionary; what is left out keeps its default. Raises ValueError for an unknown name."""
    names = {f.name for f in fields(cls)}
    if unknown := sorted(set(values) - names):
        raise ValueError(f"unknown setting {', '.join(unknown)}; there are {', '.join(sorted(names))}")
    return cls(**values)


def upper(name: str) -> str:
    """With a capital first letter, the others as they are."""
    return name[0].upper() + name[1:]


def in_time(months: float) -> str:
    """A time in words: ``3 days``, ``2.9 months``, ``3.1 years``."""
    if months < 1:
        return f"{max(1, math.ceil(30 * months))} day{'s' if months > 1 / 30 else ''}"
    return f"{months:.1f} months" if months < 24 else f"{months / 12:.1f} years"


def number(
    name: str,
    group: str,
    label: str,
    default,
    most,
    step,
    unit: str = "",
    help: str = "",
    kind: str = "number",
) -> dict:
    """The description of a control for a number from 0 up, as :class:`whentofinetune.pages.live.Live` wants it."""
    found = {
        "name": name,
        "group": group,
        "label": label,
        "kind": kind,
        "min": 0 * step,
        "max": most,
        "step": step,
        "value": default,
        "unit": unit,
        "help": help,
    }
    return {k: v for k, v in found.items() if v != ""}


EXAMPLE = "A round example, nobody's price: put in your provider's."
CONTROLS = [
    {
        "name": "prompt_tokens",
        "group": "A call",
        "label": "Prompt with examples",
        "kind": "range",
        "min": 100,
        "max": 20000,
        "step": 50,
        "value": 1500,
        "unit": "tokens",
    },
    {
        "name": "short_tokens",
        "group": "A call",
        "label": "Prompt without examples",
        "kind": "range",
        "min": 10,
        "max": 2000,
        "step": 10,
        "value": 150,
        "unit": "tokens",
    },
    {
        "name": "output_tokens",
        "group": "A call",
        "label": "Answer",
        "kind": "range",
        "min": 1,
        "max": 2000,
        "step": 1,
        "value": 20,
        "unit": "tokens",
    },
    {
        "name": "calls_per_month",
        "group": "A call",
        "label": "Calls a month",
        "kind": "number",
        "min": 0,
        "max": 1_000_000_000,
        "step": 1000,
        "value": 100_000,
    },
    {
        "name": "base_in",
        "group": "Long prompt",
        "label": "Price of input",
        "kind": "number",
        "min": 0,
        "max": 1000,
        "step": 0.05,
        "value": 1.0,
        "unit": "$ per million tokens",
        "help": EXAMPLE,
    },
    {
        "name": "base_out",
        "group": "Long prompt",
        "label": "Price of output",
        "kind": "number",
        "min": 0,
        "max": 1000,
        "step": 0.05,
        "value": 3.0,
        "unit": "$ per million tokens",
        "help": EXAMPLE,
    },
    {
        "name": "caching",
        "group": "Long prompt",
        "label": "The examples are cached",
        "kind": "checkbox",
        "value": False,
        "help": "Many providers bill a repeated beginning of the prompt at a discount.",
    },
    {
        "name": "cache_discount",
        "group": "Long prompt",
        "label": "Discount on cached tokens",
        "kind": "range",
        "min": 0.0,
        "max": 1.0,
        "step": 0.05,
        "value": 0.9,
        "unit": "of the price",
    },
    {
        "name": "tuned_in",
        "group": "Tuned model",
        "label": "Price of input",
        "kind": "number",
        "min": 0,
        "max": 1000,
        "step": 0.05,
        "value": 2.0,
        "unit": "$ per million tokens",
        "help": EXAMPLE,
    },
    {
        "name": "tuned_out",
        "group": "Tuned model",
        "label": "Price of output",
        "kind": "number",
        "min": 0,
        "max": 1000,
        "step": 0.05,
        "value": 6.0,
        "unit": "$ per million tokens",
        "help": EXAMPLE,
    },
    {
        "name": "training_tokens",
        "group": "Tuned model",
        "label": "Tokens in one training",
        "kind": "number",
        "min": 0,
        "max": 100_000_000_000,
        "step": 10_000,
        "value": 1_000_000,
        "help": "Examples times tokens each times epochs.",
    },
    {
        "name": "training_price",
        "group": "Tuned model",
        "label": "Price of training",
        "kind": "number",
        "min": 0,
        "max": 10_000,
        "step": 0.5,
        "value": 10.0,
        "unit": "$ per million tokens",
        "help": EXAMPLE,
    },
    {
        "name": "retrainings_per_year",
        "group": "Tuned model",
        "label": "Retrainings a year",
        "kind": "range",
        "min": 0,
        "max": 52,
        "step": 1,
        "value": 4,
    },
    {
        "name": "hosting_per_month",
        "group": "Tuned model",
        "label": "Hosting a month",
        "kind": "number",
        "min": 0,
        "max": 1_000_000,
        "step": 10.0,
        "value": 0.0,
        "unit": "$",
    },
]
