"""Numbers, counts and durations in a sentence: a sign that is no hyphen, a zero without one, the plural, and the unit that suits."""


def signed(number: float, form: str = ".0f", plus: str = "+") -> str:
    """A number with its sign, a true minus; what rounds to zero has none.

    Parameters
    ----------
    form
        How the number is written, as in an f-string.
    plus
        The sign of what is above zero; empty for numbers that are no differences.
    """
    text = f"{abs(number):{form}}"
    if float(text.replace(",", "")) == 0:
        return text
    return f"{plus if number > 0 else '−'}{text}"


def counted(n: int, what: str = "row") -> str:
    """``1 row``, ``2 rows``."""
    return f"{n:,} {what}{'s' * (n != 1)}"


def duration(seconds: float) -> str:
    """Seconds in round words, of what is planned or long past: ``12 s``, ``4 min``, ``1.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def measured_duration(seconds: float) -> str:
    """Seconds as they were measured, to three digits: ``17.6 ms``, ``63.5 s``."""
    for limit, unit, size in ((1e-3, "µs", 1e-6), (1, "ms", 1e-3), (90, "s", 1.0), (5400, "min", 60.0)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}" if seconds else "none"
    return f"{seconds / 3600:.1f} h"
