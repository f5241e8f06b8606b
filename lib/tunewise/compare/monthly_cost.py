"""What an arm costs: once, and each month at a number of calls, from what was measured and a dated file of prices.

An arm that runs on own machines pays for a server that is always on: the smallest that holds it, and as many as the calls need. An
endpoint is paid by the call. Labels and training are paid once.
"""

from __future__ import annotations

import datetime
import math
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunewise.compare.base import ArmResult, Cost

HOURS = 730.0  # in a month
MONTHS = 12
GB = 1e9


@dataclass(frozen=True)
class Machine:
    """A server for rent: memory in GB, price in euro an hour; ``read``: the day on which the price stood in ``source``."""

    name: str
    memory_gb: float
    euro_an_hour: float
    source: str = ""
    read: datetime.date | None = None


@dataclass(frozen=True)
class Prices:
    """The price file: machines by rising memory, the share of time that one may be busy, electricity, and the work of labelling."""

    date: datetime.date
    machines: tuple[Machine, ...]
    busy: float
    watts: float
    euro_a_kilowatt_hour: float
    labelling_euro_an_hour: float
    seconds_a_label: float


@dataclass(frozen=True)
class Bill:
    """What an arm costs, in euro.

    Parameters
    ----------
    month
        Running it, each month; infinite for an endpoint whose price is not known, which so counts as the dearest.
    labels, training
        Once: the work of labelling its training examples, and electricity.
    how
        What the month pays for, in words.
    fits
        False where no machine of the price file holds the arm: the month is that of the largest.
    """

    month: float
    labels: float
    training: float
    how: str
    fits: bool = True

    @property
    def first_year(self) -> float:
        return self.labels + self.training + MONTHS * self.month


def read_prices(path: Path | None = None) -> Prices:
    """The prices of ``path``, a TOML file; those that come with the package for None.

    Raises
    ------
    ValueError
        For a file that is no TOML, lacks a key, or has a number that makes no sense, with its name.
    """
    name = str(path or "prices.toml")
    try:
        text = (
            path.read_text(encoding="utf-8")
            if path
            else resources.files("tunewise.compare").joinpath("prices.toml").read_text(encoding="utf-8")
        )
        raw: dict[str, Any] = tomllib.loads(text)
        machines = tuple(sorted((Machine(**m) for m in raw["machine"]), key=lambda m: m.memory_gb))
        found = Prices(
            date=raw["date"],
            machines=machines,
            busy=float(raw["load"]["busy"]),
            watts=float(raw["training"]["watts"]),
            euro_a_kilowatt_hour=float(raw["training"]["euro_a_kilowatt_hour"]),
            labelling_euro_an_hour=float(raw["labels"]["euro_an_hour"]),
            seconds_a_label=float(raw["labels"]["seconds_a_label"]),
        )
        sizes = [v for m in machines for v in (m.memory_gb, m.euro_an_hour)]
        sizes += [
            found.watts,
            found.euro_a_kilowatt_hour,
            found.labelling_euro_an_hour,
            found.seconds_a_label,
        ]
        sane = machines and 0 < found.busy <= 1 and all(math.isfinite(v) and v >= 0 for v in sizes)
    except OSError as error:
        raise ValueError(f"the price file {name} cannot be read: {error.strerror}") from error
    except KeyError as error:
        raise ValueError(f"the price file {name} has no {error}: see the comments in prices.toml") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"the price file {name} is not as prices.toml is: {error}") from error
    if not sane or not isinstance(found.date, datetime.date):
        raise ValueError(
            f"the price file {name} needs a date, a machine, prices from 0 up and a load between 0 and 1"
        )
    return found


def bill(arm: ArmResult, calls: float, prices: Prices) -> Bill:
    """What ``arm`` costs at ``calls`` a month. A rule runs in what is there already; an endpoint is paid by the call."""
    cost = arm.cost
    labels = cost.labels * prices.seconds_a_label / 3600 * prices.labelling_euro_an_hour
    training = cost.train_seconds / 3.6e6 * prices.watts * prices.euro_a_kilowatt_hour
    if arm.family == "rule":
        return Bill(0.0, 0.0, 0.0, "nothing: a line in your own code")
    if arm.family == "endpoint":
        month = math.inf if cost.euro_a_call is None else calls * cost.euro_a_call
        return Bill(month, labels, training, f"{calls:,.0f} calls of the endpoint")
    machine, number, fits = _servers(cost, calls, prices)
    how = f"{number} x {machine.name}, always on"
    return Bill(number * machine.euro_an_hour * HOURS, labels, training, how, fits)


def _servers(cost: Cost, calls: float, prices: Prices) -> tuple[Machine, int, bool]:
    wanted = (cost.memory or 0) / GB
    fitting = [m for m in prices.machines if m.memory_gb >= wanted]
    busy_seconds = calls * cost.seconds_a_call / prices.busy
    number = max(1, math.ceil(busy_seconds / (HOURS * 3600)))
    return (fitting or prices.machines[-1:])[0], number, bool(fitting)


@dataclass(frozen=True)
class BreakEven:
    """Where two arms cost the same over the first year: ``below`` is the cheaper at fewer ``calls`` a month, ``above`` at more."""

    calls: float
    below: str
    above: str


def break_even(a: ArmResult, b: ArmResult, prices: Prices) -> BreakEven | None:
    """The number of calls a month at which ``a`` and ``b`` cost the same over the first year, once-costs included.

    None where one is the cheaper, or they cost the same, at every number of calls up to a thousand million.
    """

    def gap(calls: float) -> float:
        return bill(a, calls, prices).first_year - bill(b, calls, prices).first_year

    steps = [0.0, *(10 ** (k / 8) for k in range(0, 73))]
    for low, high in zip(steps, steps[1:], strict=False):
        if gap(low) * gap(high) < 0:
            start = gap(low)
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (middle, high) if gap(middle) * start > 0 else (low, middle)
            first, second = (a.name, b.name) if start < 0 else (b.name, a.name)
            return BreakEven(high, first, second)
    return None


def rank(arm: ArmResult, month: float) -> tuple[float, int, int, float]:
    """The order of *cheaper*: euro a month, to the euro; then what is simpler; then fewer labels; then seconds a call."""
    simplicity = ("rule", "classifier", "prompt", "retrieval", "tuned", "endpoint")
    return (round(month, 0), simplicity.index(arm.family), arm.cost.labels, arm.cost.seconds_a_call)
