"""Numbers and counts in a sentence: a sign that is no hyphen, a zero without one, and the plural."""


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
