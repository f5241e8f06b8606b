"""Cost and break-even of a long prompt against a tuned model (claims C20 and C40). Standard library only.

The long prompt carries instructions and in-context examples with every call. The tuned model has learned from them, so
its prompt is short, but its tokens may cost more, it must be trained (again and again, if the data changes), and it may
have to be hosted. Every price is an input; none is built in as a fact.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from whentofinetune.calculators import read

MILLION = 1_000_000
MONTH = 730 * 3600  # seconds, as tunewise compare counts them
LONG, TUNED = "long prompt", "tuned model"
DASHES, SHAPES = ("solid", "dash", "dot", "dashdot", "longdash"), ("", "/", ".", "x", "-")


@dataclass(frozen=True)
class Settings:
    """What a reader sets: numbers from 0 up, or true and false where the default is one of these.

    Raises ValueError, in words, for a field that is no number, negative, or a share above 1.
    """

    SHARES: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(f.default, bool):
                if not isinstance(value, bool):
                    raise ValueError(f"{f.name} is true or false, not {value!r}")
            elif isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"{f.name} must be a number, not {value!r}")
            elif value < 0:
                raise ValueError(f"{f.name} cannot be negative; it is {value:g}")
            elif f.name in self.SHARES and value > 1:
                raise ValueError(f"{f.name} is a share between 0 and 1; it is {value:g}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Settings from a dictionary; what is left out keeps its default. Raises ValueError for an unknown name."""
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise ValueError(f"unknown setting {', '.join(unknown)}; there are {', '.join(sorted(names))}")
        return cls(**values)

    @classmethod
    def controls(cls, form: str) -> list[dict]:
        """The form's controls (``data/decide/forms.yml``), as :class:`whentofinetune.pages.live.Live` wants them."""
        start, number = {f.name: f.default for f in fields(cls)}, {"kind": "number", "min": 0}
        return [
            {"name": name, "group": group, "value": start[name]}
            | ({} if c.get("kind") == "checkbox" else number)
            | c
            for group, controls in read("forms")[form].items()
            for name, c in controls.items()
        ]


@dataclass(frozen=True)
class Prices(Settings):
    """What all calculators of calls ask. Prices are in euro, tokens' per million. The defaults are round examples, nobody's prices.

    output_tokens: tokens answered, the same with every method. caching: whether the examples, the same in every call, are billed at
    ``cache_discount`` off (a share, 0 to 1), if they have ``cached_from`` tokens at least. training_tokens: tokens billed for one training,
    epochs included. retrainings_per_year: further trainings after the first. hosting_per_month: what the tuned model costs when idle, at a
    provider that is paid by the token; with ``own_server`` the price of one server of one's own, of which there are as many as the calls
    need. seconds_a_call: how long the tuned model is busy with one. busy: the share of the time that a server may be busy (above 0 to 1).
    """

    SHARES = ("cache_discount", "changed_per_month", "label_share", "busy")

    output_tokens: float = 20
    calls_per_month: float = 100_000
    base_in: float = 1.0
    base_out: float = 3.0
    caching: bool = False
    cache_discount: float = 0.9
    cached_from: float = 1024
    tuned_in: float = 2.0
    tuned_out: float = 6.0
    training_tokens: float = 1_000_000
    training_price: float = 10.0
    retrainings_per_year: float = 4
    hosting_per_month: float = 0.0
    own_server: bool = False
    seconds_a_call: float = 0.25
    busy: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.busy:
            raise ValueError("busy cannot be 0: a server that is never busy answers no call")

    def capacity(self, seconds: float) -> float:
        """Calls a month that a server answers, each of which takes ``seconds``."""
        return self.busy * MONTH / seconds if seconds else math.inf


@dataclass(frozen=True)
class Setting(Prices):
    """A long prompt or a tuned model.

    prompt_tokens: input tokens of a call with the examples in its prompt. short_tokens: without them, as the tuned model gets it.
    """

    prompt_tokens: float = 1500
    short_tokens: float = 150

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.short_tokens > self.prompt_tokens:
            raise ValueError(
                f"the prompt without examples ({self.short_tokens:,.0f} tokens) cannot be longer than the one with them "
                f"({self.prompt_tokens:,.0f}); make the first shorter or the second longer"
            )

    @property
    def examples(self) -> float:
        """Tokens of the examples: the same at the beginning of every call."""
        return self.prompt_tokens - self.short_tokens

    @property
    def cached(self) -> bool:
        """Whether the examples get the cache's discount: providers cache no short beginning."""
        return self.caching and self.examples >= self.cached_from


@dataclass(frozen=True)
class Method:
    """A method and its cost in euro. parts: one call, by part. setup: once, before the first call. upkeep: a month, calls and servers aside.

    server: a month of one server of one's own. capacity: calls a month that it answers; 0 where the method runs on none.
    """

    parts: dict[str, float]
    setup: float = 0.0
    upkeep: float = 0.0
    server: float = 0.0
    capacity: float = 0.0

    @property
    def call(self) -> float:
        """What one call costs."""
        return math.fsum(self.parts.values())  # not sum(): newer Pythons round it differently

    def servers(self, calls: float) -> int:
        """Servers of one's own for ``calls`` calls a month; one at least is always on."""
        return max(1, math.ceil(calls / self.capacity)) if self.capacity else 0

    def standing(self, calls: float) -> float:
        """A month's upkeep and servers."""
        return self.upkeep + self.server * self.servers(calls)

    def month(self, calls: float) -> float:
        """Running cost of a month with ``calls`` calls."""
        return self.standing(calls) + calls * self.call

    def total(self, months: float, calls: float) -> float:
        """Cost in all after ``months`` months of ``calls`` calls each."""
        return self.setup + months * self.month(calls)


@dataclass(frozen=True)
class Meeting:
    """When the newer of two methods has become the cheaper one.

    calls_per_month: from so many calls a month its running cost is and stays the lower (None: from no number). months: after so many months it has
    cost less in all, at the calls given (0: from the start; None: not once it is set up).
    """

    calls_per_month: float | None
    months: float | None


def meeting(old: Method, new: Method, calls: float) -> Meeting:
    """Where ``new`` overtakes ``old`` at ``calls`` calls a month. ``old`` has no servers, those of ``new`` may have to grow.

    Both cost ``setup + m (standing + calls x call)`` after m months. So a month of ``new`` is a straight line in the calls that jumps
    by a server wherever the last one is full. It is the lower for good from where it crosses that of ``old`` on the first stretch, of
    n servers, at whose end the next server is already paid for: ``n capacity saved >= upkeep + (n + 1) server``.
    """
    saved, upkeep, setup = old.call - new.call, new.upkeep - old.upkeep, new.setup - old.setup
    gain = calls * saved - (new.standing(calls) - old.standing(calls))
    least, months = math.inf, max(0.0, setup / gain) if gain > 0 else math.inf
    if saved > 0 and not new.capacity:
        least = max(0.0, upkeep / saved)
    elif (left := new.capacity * saved - new.server) > 0:  # what a full server saves, less its price
        stretches = (upkeep + new.server) / left
        if stretches < math.inf:
            least = max(0.0, (upkeep + max(1, math.ceil(stretches)) * new.server) / saved)
    return Meeting(*(value if value < math.inf else None for value in (least, months)))


def cost(s: Setting) -> dict[str, Method]:
    """The long prompt, and the tuned model: T for one training at first, and r T / 12 + hosting a month with r retrainings a year.

    Hosting on servers of one's own is paid for each.
    """
    kept = 1 - s.cache_discount if s.cached else 1.0
    examples = s.examples * s.base_in * kept / MILLION
    base, tuned = (
        {"question": s.short_tokens * i / MILLION, "examples": e, "answer": s.output_tokens * o / MILLION}
        for i, e, o in ((s.base_in, examples, s.base_out), (s.tuned_in, 0.0, s.tuned_out))
    )
    training = s.training_tokens * s.training_price / MILLION
    retraining, hosting = s.retrainings_per_year * training / 12, s.hosting_per_month
    if s.own_server:
        found = Method(tuned, training, retraining, hosting, s.capacity(s.seconds_a_call))
    else:
        found = Method(tuned, training, retraining + hosting)
    return {LONG: Method(base), TUNED: found}


# -- what the calculators show alike -----------------------------------------------------------------------------------


def answer(found: Mapping[str, Method], calls: float, text: str) -> str:
    """Methods against the long prompt, as JSON: their cost over 24 months, that of 1,000 calls by part, both in a table, and ``text``."""
    months = list(range(25))
    data = [
        dict(type="scatter", mode="lines", name=name, x=months, line={"width": 3, "dash": dash})
        | dict(
            y=[round(method.total(m, calls), 6) for m in months], hovertemplate="month %{x}: %{y:,.2f} euro"
        )
        for (name, method), dash in zip(found.items(), DASHES, strict=False)
    ]
    alt = f"Lines over 24 months: cost in all of {', '.join(found)}. {text.splitlines()[0]}"
    axis = {"title": {"text": "cost in all, euro"}, "rangemode": "tozero"}
    layout = dict(title={"text": "Cost in all, month by month"}, yaxis=axis)
    layout["xaxis"] = {"title": {"text": "months"}}
    parts = {part: [1000 * method.parts[part] for method in found.values()] for part in found[LONG].parts}
    bars = stacked(list(found), parts, "Cost of 1,000 calls, by part", "euro for 1,000 calls")
    meetings = [meeting(found[LONG], method, calls) for name, method in found.items() if name != LONG]
    sums = [(w.setup, w.standing(calls), w.month(calls), w.total(12, calls)) for w in found.values()]
    heads = ("To set up", "Upkeep a month", "A month in all", "12 months in all")
    rows = [["1,000 calls", *(f"{1000 * w.call:,.3f}" for w in found.values())]]
    rows += [[head, *(f"{s:,.2f}" for s in of)] for head, *of in zip(heads, *sums, strict=True)]
    rows.append(["Beats the long prompt after", "-", *(_after(m.months) for m in meetings)])
    rows.append(
        ["Calls a month from which it always does", "-", *(_from(m.calls_per_month) for m in meetings)]
    )
    table = {"caption": "What each costs, in euro", "header": ["", *map(upper, found)], "rows": rows}
    figures = [{"data": data, "layout": layout, "alt": alt}, bars]
    return json.dumps({"figures": figures, "tables": [table], "text": text})


def stacked(names: list[str], parts: Mapping[str, list[float]], title: str, unit: str) -> dict:
    """Stacked bars, one a name. parts: part -> a number for each name."""
    sums = (f"{name} {math.fsum(values):.3g}" for name, *values in zip(names, *parts.values(), strict=True))
    data = [
        dict(type="bar", name=part, x=names, y=values, hovertemplate="%{x}, " + part + ": %{y:,.4~g} euro")
        | dict(marker={"pattern": {"shape": shape, "fgcolor": "#ffffff", "fillmode": "overlay"}})
        for (part, values), shape in zip(parts.items(), SHAPES, strict=False)
    ]
    layout = dict(title={"text": title}, barmode="stack", yaxis={"title": {"text": unit}})
    layout["legend"] = {"traceorder": "normal"}
    return {"data": data, "layout": layout, "alt": f"Stacked bars, {unit}: {', '.join(sums)}."}


def _after(months: float | None) -> str:
    return "never" if months is None else "at once" if months == 0 else in_time(months)


def _from(calls: float | None) -> str:
    return "no number" if calls is None else f"{math.ceil(calls):,}"


def upper(name: str) -> str:
    """With a capital first letter, the others as they are."""
    return name[0].upper() + name[1:]


def in_time(months: float) -> str:
    """A time in words: ``3 days``, ``2.9 months``, ``3.1 years``."""
    if months < 1:
        return f"{max(1, math.ceil(30 * months))} day{'s' if months > 1 / 30 else ''}"
    return f"{months:.1f} months" if months < 24 else f"{months / 12:.1f} years"
