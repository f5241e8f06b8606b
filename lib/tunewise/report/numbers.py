"""Numbers of run records in words: no number of an experiment is typed into the prose, it is printed by these."""

from collections.abc import Callable, Mapping

from tunewise.words import signed


def pct(metric: Mapping | float | None, n: bool = True) -> str:
    """A share in per cent with its 95 % interval and n: ``73 % [66, 79], n = 300``; a plain share without them.

    n: whether n is said, here and in the other functions.
    """
    if metric is not None and not isinstance(metric, Mapping):  # also a number of numpy
        return f"{100 * metric:.0f} %"
    return _shown(metric, lambda v: f"{100 * v:.0f}", " %", n)


def points(metric: Mapping | None, n: bool = True) -> str:
    """A difference of two shares in percentage points, with its sign, which a zero has none of: ``+12 points [+4, +20], n = 300``.

    With a decimal where whole points would hide the interval: ends that round to the same number, or one other than zero that rounds to it.
    """
    ends = [100 * metric[end] for end in ("low", "high") if metric[end] is not None] if metric else []
    whole = [round(end) for end in ends]
    hidden = len({*whole}) < len({*ends}) or any(end and not w for end, w in zip(ends, whole, strict=True))
    digits = 1 if hidden else 0
    one = metric is not None and not hidden and round(100 * metric["value"]) in (1, -1)
    return _shown(metric, lambda v: signed(100 * v, f".{digits}f"), f" point{'s' * (not one)}", n)


def relative(metric: Mapping, n: bool = True) -> str:
    """A relative change in per cent with its sign, which a zero has none of: ``+3.4 % [−1.4, +8.2], n = 60``."""
    return _shown(metric, lambda v: signed(100 * v, ".1f"), " %", n)


def plain(metric: Mapping | float | None, unit: str = "", digits: int = 3, n: bool = True) -> str:
    """Any other metric: ``1.23 s [1.1, 1.4], n = 20``; digits: how many significant ones."""
    unit = f" {unit}" if unit else ""
    if metric is not None and not isinstance(metric, Mapping):  # also a number of numpy
        return f"{_sig(metric, digits)}{unit}"
    return _shown(metric, lambda v: _sig(v, digits), unit, n)


def in_words(found: Mapping, show: Callable = pct) -> str:
    """The numbers of a figure for those who cannot see it: name -> metric, or name -> {name -> metric}; ``show`` prints one."""
    parts = {k: v for k, v in found.items() if isinstance(v, Mapping) and "value" not in v}
    said = {k: f": {in_words(v, show)}" if k in parts else f" {show(v, n=False)}" for k, v in found.items()}
    return "; ".join(f"{name}{words}" for name, words in said.items())


def _shown(metric: Mapping | None, show: Callable, unit: str, n: bool) -> str:
    """Value, unit, interval and n; a metric from a single group has no interval."""
    if metric is None:
        return "not yet measured"
    low, high = metric["low"], metric["high"]
    bounds = "" if low is None else f" [{show(low)}, {show(high)}]"
    items = f", n\u00a0=\u00a0{metric['n']:,}" if n else ""
    return f"{show(metric['value'])}{unit}{bounds}{items}"


def _sig(number: float, digits: int) -> str:
    form = ",.0f" if "e" in f"{number:,.{digits}g}" else f",.{digits}g"
    return signed(number, form, plus="")
