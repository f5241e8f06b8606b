"""What a student guessed before a result was shown, beside the result."""

from __future__ import annotations


def beside(guess: object, found: float, unit: str = "") -> str:
    """One or two sentences: what was found, and how far the guess lay from it.

    Parameters
    ----------
    guess
        A number, or ``...`` where the student has not guessed.
    unit
        ``"%"`` for shares (0 to 1), else what follows the numbers.
    """
    scale, digits, after = (100, 0, "%") if unit == "%" else (1, 2, f" {unit}".rstrip())

    def number(value: float) -> str:
        return f"{round(scale * value, digits):g}{after}"

    shown = f"Found: {number(found)}."
    if not isinstance(guess, int | float):
        return f"{shown} You have set no guess (a number): guess before you look, next time."
    if number(guess) == number(found):
        return f"{shown} You guessed the same."
    way = "high" if guess > found else "low"
    return f"{shown} You guessed {number(guess)}: too {way}."
