"""Cost and break-even: a long prompt against a tuned model, both against retrieval, and a student against its teacher (C19, C20, C40).
Standard library only.

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
class Setting:
    """What is asked about. Prices are in one currency per million tokens. The defaults are round examples, nobody's prices.

    prompt_tokens: input tokens of a call with the examples in its prompt. short_tokens: without them, as the tuned model
    gets it. output_tokens: tokens answered, the same for both. caching: whether the examples, the same in every call, are
    billed at ``cache_discount`` off (a share, 0 to 1). training_tokens: tokens billed for one training, epochs included.
    retrainings_per_year: further trainings after the first. hosting_per_month: what the tuned model costs when idle.
    """

    prompt_tokens: float = 1500
    short_tokens: float = 150
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

    def __post_init__(self):
        _checked(self, shares=("cache_discount",))
        if self.short_tokens > self.prompt_tokens:
            raise ValueError(
                f"the prompt without examples ({self.short_tokens:,.0f} tokens) cannot be longer than the one with them "
                f"({self.prompt_tokens:,.0f}); make the first shorter or the second longer"
            )

    @classmethod
    def from_dict(cls, values: dict) -> Setting:
        """A setting from a dictionary; what is left out keeps its default. Raises ValueError for an unknown name."""
        return _from_dict(cls, values)


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
        prompt_parts, tuned_parts, training,
        break_even_calls=math.ceil(training / saving - 1e-9) if saving > 0 else None,
        break_even_per_month=running / saving if saving > 0 else None,
        break_even_months=training / monthly_gain if monthly_gain > 0 else None,
    )  # fmt: skip


def totals(s: Setting, months: int = 24) -> tuple[list[float], list[float]]:
    """What the long prompt and the tuned model have cost in all after 0, 1, ..., ``months`` months."""
    c = cost(s)
    running = s.retrainings_per_year * c.training / 12 + s.hosting_per_month + s.calls_per_month * c.tuned_call
    each = range(months + 1)
    return [m * s.calls_per_month * c.prompt_call for m in each], [c.training + m * running for m in each]


def verdict(s: Setting) -> str:
    """The answer in two or three plain sentences."""
    c = cost(s)
    first = f"A call costs ${c.prompt_call:.3g} with the long prompt and ${c.tuned_call:.3g} with the tuned model."
    if c.break_even_calls is None:
        ratio = f" Its prompt is {s.prompt_tokens / s.short_tokens:.1f} times shorter" if s.short_tokens else ""
        because = f", but its input tokens cost {s.tuned_in / s.base_in:.1f} times as much" if ratio and s.base_in else ""
        cached = " and the examples are cheap once cached" if s.caching and ratio else ""
        return f"{first} The tuned model never pays for itself: it costs no less per call.{ratio}{because}{cached}{'.' if ratio else ''}"
    second = f" One training (${c.training:,.2f}) has paid for itself after {c.break_even_calls:,} calls."
    if c.break_even_months is None:
        return (
            f"{first}{second} At {s.calls_per_month:,.0f} calls a month it still loses: retraining and hosting cost more than the "
            f"calls save. It would take more than {math.floor(c.break_even_per_month):,} calls a month."
        )
    return f"{first}{second} With retraining and hosting counted, the tuned model has cost less in all after {_time(c.break_even_months)}."


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
                "type": "scatter", "mode": "lines", "name": name, "x": months, "y": [round(v, 6) for v in y],
                "line": {"width": 3, "dash": dash}, "hovertemplate": "month %{x}: $%{y:,.2f}",
            }
            for name, y, dash, _ in lines
        ],
        "layout": {
            "title": {"text": "Cost in all, month by month"}, "xaxis": {"title": {"text": "months"}},
            "yaxis": {"title": {"text": "cost in all, $"}, "rangemode": "tozero"},
        },
        "alt": f"Two lines over 24 months: what the long prompt and the tuned model have cost in all. {text}",
    }  # fmt: skip
    parts = {
        "data": [
            {
                "type": "bar", "name": part, "x": ["long prompt", "tuned model"],
                "y": [1000 * c.prompt_parts[part], 1000 * c.tuned_parts[part]],
                "marker": {"pattern": {"shape": shape, "fgcolor": "#ffffff", "fillmode": "overlay"}}, "hovertemplate": "%{x}, " + part + ": $%{y:.4~g}",
            }
            for part, shape in zip(c.prompt_parts, ("", "/", "."), strict=True)
        ],
        "layout": {
            "title": {"text": "Cost of 1,000 calls, by part"}, "barmode": "stack", "yaxis": {"title": {"text": "$ for 1,000 calls"}},
            "legend": {"traceorder": "normal"},
        },
        "alt": f"Two stacked bars: 1,000 calls cost ${1000 * c.prompt_call:.3g} with the long prompt and ${1000 * c.tuned_call:.3g} with the tuned model.",
    }  # fmt: skip
    rows = [
        ["Cost of 1,000 calls", f"${1000 * c.prompt_call:,.3f}", f"${1000 * c.tuned_call:,.3f}"],
        ["Calls in a month", f"${s.calls_per_month * c.prompt_call:,.2f}", f"${s.calls_per_month * c.tuned_call:,.2f}"],
        ["First training", "none", f"${c.training:,.2f}"],
        ["Retraining in a month", "none", f"${s.retrainings_per_year * c.training / 12:,.2f}"],
        ["Hosting in a month", "none", f"${s.hosting_per_month:,.2f}"],
        ["After 12 months, in all", f"${long[12]:,.2f}", f"${tuned[12]:,.2f}"],
    ]
    tables = [{"caption": "What it costs", "header": ["", "Long prompt", "Tuned model"], "rows": rows}]
    return json.dumps({"figures": [curve, parts], "tables": tables, "text": text})


def _time(months: float) -> str:
    if months < 1:
        return f"{max(1, math.ceil(30 * months))} day{'s' if months > 1 / 30 else ''}"
    return f"{months:.1f} months" if months < 24 else f"{months / 12:.1f} years"


_EXAMPLE = "A round example, nobody's price: put in your provider's."
CONTROLS = [
    {"name": "prompt_tokens", "group": "A call", "label": "Prompt with examples", "kind": "range", "min": 100, "max": 20000, "step": 50, "value": 1500, "unit": "tokens"},
    {"name": "short_tokens", "group": "A call", "label": "Prompt without examples", "kind": "range", "min": 10, "max": 2000, "step": 10, "value": 150, "unit": "tokens"},
    {"name": "output_tokens", "group": "A call", "label": "Answer", "kind": "range", "min": 1, "max": 2000, "step": 1, "value": 20, "unit": "tokens"},
    {"name": "calls_per_month", "group": "A call", "label": "Calls a month", "kind": "number", "min": 0, "max": 1_000_000_000, "step": 1000, "value": 100_000},
    {"name": "base_in", "group": "Long prompt", "label": "Price of input", "kind": "number", "min": 0, "max": 1000, "step": 0.05, "value": 1.0, "unit": "$ per million tokens", "help": _EXAMPLE},
    {"name": "base_out", "group": "Long prompt", "label": "Price of output", "kind": "number", "min": 0, "max": 1000, "step": 0.05, "value": 3.0, "unit": "$ per million tokens", "help": _EXAMPLE},
    {"name": "caching", "group": "Long prompt", "label": "The examples are cached", "kind": "checkbox", "value": False, "help": "Many providers bill a repeated beginning of the prompt at a discount."},
    {"name": "cache_discount", "group": "Long prompt", "label": "Discount on cached tokens", "kind": "range", "min": 0.0, "max": 1.0, "step": 0.05, "value": 0.9, "unit": "of the price"},
    {"name": "tuned_in", "group": "Tuned model", "label": "Price of input", "kind": "number", "min": 0, "max": 1000, "step": 0.05, "value": 2.0, "unit": "$ per million tokens", "help": _EXAMPLE},
    {"name": "tuned_out", "group": "Tuned model", "label": "Price of output", "kind": "number", "min": 0, "max": 1000, "step": 0.05, "value": 6.0, "unit": "$ per million tokens", "help": _EXAMPLE},
    {"name": "training_tokens", "group": "Tuned model", "label": "Tokens in one training", "kind": "number", "min": 0, "max": 100_000_000_000, "step": 10_000, "value": 1_000_000, "help": "Examples times tokens each times epochs."},
    {"name": "training_price", "group": "Tuned model", "label": "Price of training", "kind": "number", "min": 0, "max": 10_000, "step": 0.5, "value": 10.0, "unit": "$ per million tokens", "help": _EXAMPLE},
    {"name": "retrainings_per_year", "group": "Tuned model", "label": "Retrainings a year", "kind": "range", "min": 0, "max": 52, "step": 1, "value": 4},
    {"name": "hosting_per_month", "group": "Tuned model", "label": "Hosting a month", "kind": "number", "min": 0, "max": 1_000_000, "step": 10.0, "value": 0.0, "unit": "$"},
]  # fmt: skip


# -- four ways side by side: long prompt, retrieval, tuning, both ------------------------------------------------------------


@dataclass(frozen=True)
class Ways:
    """What is asked about, for :func:`ways`. Prices are in one currency, tokens' per million. The defaults are round examples, nobody's prices.

    question_tokens: instruction and question, in every call of every way. examples_tokens: what the long prompt carries besides. passages,
    passage_tokens: how many passages a call of RAG carries, and how long one is. The fields from output_tokens to hosting_per_month mean what they do
    in :class:`Setting`. corpus_passages: passages in the index. embed_price: of a million tokens embedded; embed_seconds and machine_per_hour: or the
    seconds of one's own machine that a passage takes, and its price; a question is embedded like a passage. changed_per_month: share of the passages
    that is new or altered in a month and embedded again, 0 to 1. store_per_month: what keeping the index costs.
    """

    question_tokens: float = 150
    examples_tokens: float = 1350
    passages: float = 3
    passage_tokens: float = 120
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
    corpus_passages: float = 10_000
    embed_price: float = 0.1
    embed_seconds: float = 0.0
    machine_per_hour: float = 0.5
    changed_per_month: float = 0.1
    store_per_month: float = 20.0

    def __post_init__(self):
        _checked(self, shares=("cache_discount", "changed_per_month"))

    @classmethod
    def from_dict(cls, values: dict) -> Ways:
        """A setting from a dictionary; what is left out keeps its default. Raises ValueError for an unknown name."""
        return _from_dict(cls, values)

    def prompting(self) -> Setting:
        """The long prompt and the tuned model alone, as :func:`cost` knows them."""
        shared = {f.name: getattr(self, f.name) for f in fields(Setting) if hasattr(self, f.name)}
        return Setting(prompt_tokens=self.question_tokens + self.examples_tokens, short_tokens=self.question_tokens, **shared)

    @property
    def embedding(self) -> float:
        """What embedding one passage costs."""
        return self.passage_tokens * self.embed_price / MILLION + self.embed_seconds * self.machine_per_hour / 3600

    @property
    def asking(self) -> float:
        """What embedding one question costs."""
        return self.question_tokens * self.embed_price / MILLION + self.embed_seconds * self.machine_per_hour / 3600


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
        {"question": parts["question"], "examples": parts["examples"], "passages": 0.0, "search": 0.0, "answer": parts["answer"]}
        for parts in (c.prompt_parts, c.tuned_parts)
    )
    carried = s.passages * s.passage_tokens / MILLION
    index, retraining = s.corpus_passages * s.embedding, s.retrainings_per_year * c.training / 12 + s.hosting_per_month
    renewal = s.store_per_month + s.changed_per_month * index
    return {
        LONG: Way(base, 0.0, 0.0),
        RAG: Way(base | {"examples": 0.0, "passages": carried * s.base_in, "search": s.asking}, index, renewal),
        TUNED: Way(tuned, c.training, retraining),
        BOTH: Way(tuned | {"passages": carried * s.tuned_in, "search": s.asking}, index + c.training, renewal + retraining),
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
        f"At {calls:,.0f} calls a month the {first} has the lowest running cost, {found[first].month(calls):,.2f} euro a month; "
        f"next comes the {second} with {found[second].month(calls):,.2f}."
    ]
    for name in (RAG, TUNED, BOTH):
        m = meeting(found[LONG], found[name], calls)
        if m.months is not None:
            lines.append(f"{_upper(name)}: has cost less than the long prompt after {_time(m.months)}.")
        elif m.calls_per_month is not None:
            lines.append(f"{_upper(name)}: at this number of calls never cheaper than the long prompt; from {math.ceil(m.calls_per_month):,} calls a month it would be.")
        else:
            lines.append(f"{_upper(name)}: never cheaper than the long prompt, a call costs no less.")
    return "\n".join([*lines, "This is the cost alone. Whether a way answers well enough has to be measured; a cheap wrong answer is dear."])


def ways_json(settings: str) -> str:
    """The calculator's front: a JSON object of settings in, ``{"figures", "tables", "text"}`` out."""
    s = Ways.from_dict(json.loads(settings))
    found, text, months = ways(s), ways_verdict(s), list(range(25))
    curve = {
        "data": [
            {
                "type": "scatter", "mode": "lines", "name": name, "x": months, "line": {"width": 3, "dash": dash},
                "y": [round(way.setup + m * way.month(s.calls_per_month), 6) for m in months], "hovertemplate": "month %{x}: %{y:,.2f} euro",
            }
            for (name, way), dash in zip(found.items(), ("solid", "dash", "dot", "dashdot"), strict=True)
        ],
        "layout": {
            "title": {"text": "Cost in all, month by month"}, "xaxis": {"title": {"text": "months"}},
            "yaxis": {"title": {"text": "cost in all, euro"}, "rangemode": "tozero"},
        },
        "alt": f"Four lines over 24 months: what each way has cost in all. {text.splitlines()[0]}",
    }  # fmt: skip
    shapes = dict(zip(found[LONG].parts, ("", "/", ".", "x", "-"), strict=True))
    bars = {
        "data": [
            {
                "type": "bar", "name": part, "x": list(found), "y": [1000 * way.parts[part] for way in found.values()],
                "marker": {"pattern": {"shape": shape, "fgcolor": "#ffffff", "fillmode": "overlay"}}, "hovertemplate": "%{x}, " + part + ": %{y:.4~g} euro",
            }
            for part, shape in shapes.items()
        ],
        "layout": {
            "title": {"text": "Cost of 1,000 calls, by part"}, "barmode": "stack", "yaxis": {"title": {"text": "euro for 1,000 calls"}},
            "legend": {"traceorder": "normal"},
        },
        "alt": "Stacked bars, euro for 1,000 calls: " + ", ".join(f"{name} {1000 * way.call:.3g}" for name, way in found.items()) + ".",
    }  # fmt: skip
    meetings = {name: meeting(found[LONG], way, s.calls_per_month) for name, way in found.items() if name != LONG}

    def row(label: str, value) -> list[str]:
        return [label, *(value(name, way) for name, way in found.items())]

    def once(name: str, way: Way) -> str:
        if name == LONG:
            return "-"
        m = meetings[name].months
        return "never" if m is None else "at once" if m == 0 else _time(m)

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
    tables = [{"caption": "What each way costs, in euro", "header": ["", *map(_upper, found)], "rows": rows}]
    return json.dumps({"figures": [curve, bars], "tables": tables, "text": text})


# -- a student in place of a teacher ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Distilling:
    """What is asked about, for :func:`distilling`. teacher_seconds, student_seconds: of the machine for 1,000 items. machine_per_hour: its price.
    human_labels, label_price: labels by people that the teacher learned from, and what one costs. train_seconds: of the teacher's training. pool: items that the
    teacher labels for the student. items_per_month: to be answered."""

    teacher_seconds: float = 60
    student_seconds: float = 6
    machine_per_hour: float = 0.5
    human_labels: float = 60
    label_price: float = 0.1
    train_seconds: float = 60
    pool: float = 300
    items_per_month: float = 1_000_000

    def __post_init__(self):
        _checked(self)

    @classmethod
    def from_dict(cls, values: dict) -> Distilling:
        """A setting from a dictionary; what is left out keeps its default. Raises ValueError for an unknown name."""
        return _from_dict(cls, values)


def distilling(s: Distilling) -> dict[str, Way]:
    """The teacher in service, the student that learned from it, and a student that learned from people's labels of the same ``pool`` items. An
    answer is one call; the student's own training, seconds on a laptop, is not counted."""
    second = s.machine_per_hour / 3600
    teacher = Way({"answer": s.teacher_seconds * second / 1000}, s.human_labels * s.label_price + s.train_seconds * second, 0.0)
    student = {"answer": s.student_seconds * second / 1000}
    return {
        "teacher": teacher,
        "student of the teacher": Way(student, teacher.setup + s.pool * teacher.call, 0.0),
        "student of people": Way(student, s.pool * s.label_price, 0.0),
    }


def distilling_json(settings: str) -> str:
    """The calculator's front: a JSON object of settings in, ``{"figures", "tables", "text"}`` out."""
    s = Distilling.from_dict(json.loads(settings))
    found = distilling(s)
    teacher, student = found["teacher"], found["student of the teacher"]
    saved, extra = teacher.call - student.call, student.setup - teacher.setup
    first = f"1,000 answers cost {1000 * teacher.call:.3g} euro by the teacher and {1000 * student.call:.3g} by the student."
    if saved > 0:
        second = f" The labels that the student learned from cost {extra:.3g} euro of the teacher's time; they are paid back after {math.ceil(extra / saved - 1e-9):,} answers."
    else:
        second = " The student is no faster than the teacher, so nothing pays for the labels."
    rows = [
        ["1,000 answers", *(f"{1000 * way.call:,.4f}" for way in found.values())],
        ["To set up", *(f"{way.setup:,.2f}" for way in found.values())],
        ["A month of answers", *(f"{way.month(s.items_per_month * 1.0):,.2f}" for way in found.values())],
        ["First year in all", *(f"{way.setup + 12 * way.month(s.items_per_month):,.2f}" for way in found.values())],
    ]
    bars = {
        "data": [
            {
                "type": "bar", "name": part, "x": list(found), "y": values,
                "marker": {"pattern": {"shape": shape, "fgcolor": "#ffffff", "fillmode": "overlay"}}, "hovertemplate": "%{x}, " + part + ": %{y:,.4~g} euro",
            }
            for part, shape, values in (
                ("set up", "/", [way.setup for way in found.values()]),
                ("answers of a year", "", [12 * way.month(s.items_per_month) for way in found.values()]),
            )
        ],
        "layout": {"title": {"text": "The first year"}, "barmode": "stack", "yaxis": {"title": {"text": "euro"}}, "legend": {"traceorder": "normal"}},
        "alt": "Stacked bars of the first year's cost: " + ", ".join(f"{n} {w.setup + 12 * w.month(s.items_per_month):.3g} euro" for n, w in found.items()) + ".",
    }  # fmt: skip
    tables = [{"caption": "What each costs, in euro", "header": ["", *map(_upper, found)], "rows": rows}]
    return json.dumps({"figures": [bars], "tables": tables, "text": first + second})


def _checked(setting, shares: tuple[str, ...] = ()) -> None:
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


def _from_dict(cls, values: dict):
    names = {f.name for f in fields(cls)}
    if unknown := sorted(set(values) - names):
        raise ValueError(f"unknown setting {', '.join(unknown)}; there are {', '.join(sorted(names))}")
    return cls(**values)


def _upper(name: str) -> str:
    return name[0].upper() + name[1:]


def _number(name: str, group: str, label: str, default, most, step, unit: str = "", help: str = "", kind: str = "number") -> dict:
    found = {"name": name, "group": group, "label": label, "kind": kind, "min": 0 * step, "max": most, "step": step, "value": default, "unit": unit, "help": help}
    return {k: v for k, v in found.items() if v != ""}


_PRICE = "euro per million tokens"
WAYS_CONTROLS = [
    _number("question_tokens", "A call", "Instruction and question", 150, 2000, 10, "tokens", kind="range"),
    _number("examples_tokens", "A call", "Examples in the long prompt", 1350, 20000, 50, "tokens", kind="range"),
    _number("output_tokens", "A call", "Answer", 20, 2000, 1, "tokens", kind="range"),
    _number("calls_per_month", "A call", "Calls a month", 100_000, 1_000_000_000, 1000),
    _number("base_in", "Untuned model", "Price of input", 1.0, 1000.0, 0.05, _PRICE, _EXAMPLE),
    _number("base_out", "Untuned model", "Price of output", 3.0, 1000.0, 0.05, _PRICE, _EXAMPLE),
    {"name": "caching", "group": "Untuned model", "label": "The examples are cached", "kind": "checkbox", "value": False,
     "help": "Passages differ from call to call, so only the long prompt gets cheaper."},
    _number("cache_discount", "Untuned model", "Discount on cached tokens", 0.9, 1.0, 0.05, "of the price", kind="range"),
    _number("passages", "Retrieval", "Passages a call", 3, 50, 1, kind="range"),
    _number("passage_tokens", "Retrieval", "Length of a passage", 120, 2000, 10, "tokens", kind="range"),
    _number("corpus_passages", "Retrieval", "Passages in the index", 10_000, 1_000_000_000, 100),
    _number("embed_price", "Retrieval", "Price of embedding", 0.1, 1000.0, 0.01, _PRICE, _EXAMPLE),
    _number("embed_seconds", "Retrieval", "Or: seconds to embed a passage", 0.0, 60.0, 0.001, "s", "On your own machine; then set the price of embedding to 0."),
    _number("machine_per_hour", "Retrieval", "Price of that machine", 0.5, 1000.0, 0.05, "euro an hour", _EXAMPLE),
    _number("changed_per_month", "Retrieval", "Passages changed in a month", 0.1, 1.0, 0.01, "of all", kind="range"),
    _number("store_per_month", "Retrieval", "Keeping the index, a month", 20.0, 1_000_000.0, 1.0, "euro", _EXAMPLE),
    _number("tuned_in", "Tuned model", "Price of input", 2.0, 1000.0, 0.05, _PRICE, _EXAMPLE),
    _number("tuned_out", "Tuned model", "Price of output", 6.0, 1000.0, 0.05, _PRICE, _EXAMPLE),
    _number("training_tokens", "Tuned model", "Tokens in one training", 1_000_000, 100_000_000_000, 10_000, help="Examples times tokens each times epochs."),
    _number("training_price", "Tuned model", "Price of training", 10.0, 10_000.0, 0.5, _PRICE, _EXAMPLE),
    _number("retrainings_per_year", "Tuned model", "Retrainings a year", 4, 52, 1, kind="range"),
    _number("hosting_per_month", "Tuned model", "Hosting a month", 0.0, 1_000_000.0, 10.0, "euro"),
]  # fmt: skip

DISTIL_CONTROLS = [
    _number("teacher_seconds", "Measured", "Teacher, 1,000 items", 60.0, 1_000_000.0, 0.01, "s"),
    _number("student_seconds", "Measured", "Student, 1,000 items", 6.0, 1_000_000.0, 0.01, "s"),
    _number("train_seconds", "Measured", "Training the teacher", 60.0, 10_000_000.0, 1.0, "s"),
    _number("machine_per_hour", "Prices", "The machine", 0.5, 1000.0, 0.05, "euro an hour", _EXAMPLE),
    _number("label_price", "Prices", "A label by a person", 0.1, 1000.0, 0.01, "euro", _EXAMPLE),
    _number("human_labels", "How many", "Labels that the teacher learns from", 60, 1_000_000, 10),
    _number("pool", "How many", "Items it labels for the student", 300, 100_000_000, 100),
    _number("items_per_month", "How many", "Items to be answered a month", 1_000_000, 10_000_000_000, 1000),
]  # fmt: skip
