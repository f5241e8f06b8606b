"""A student's prediction beside what was found: shown only once there is a prediction."""

from __future__ import annotations


def reveal(guess: float | str | None, found: float | str, unit: str = "") -> None:
    """Print what was found and how far the guess lies from it; without a guess only what to do.

    Parameters
    ----------
    guess
        A number, or one of the choices; None as long as the student has not predicted.
    found
        The same kind of thing, as measured or computed.
    unit
        Of both numbers.
    """
    if guess is None:
        print("Put your prediction into the cell above first. It is not marked.")
    elif isinstance(found, str):
        print(f"{found}: {'as you predicted' if guess == found else f'you predicted {guess}'}")
    else:
        far = float(guess) - found
        side = "just that" if far == 0 else f"{abs(far):.3g} too {'high' if far > 0 else 'low'}"
        print(f"{found:.3g} {unit}".strip() + f"; you predicted {float(guess):g}: {side}")
