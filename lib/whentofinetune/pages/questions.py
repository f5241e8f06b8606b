"""Questions to the reader: a prediction before a figure, and self-checks after a section.

On the site ``assets/questions.js`` makes them work: a prediction covers the figure after it until the reader has committed to one; answers are
kept in the reader's browser alone. Without JavaScript, and in a notebook, the figure simply stands there and the answers stand in a fold.
"""

import html
from collections.abc import Sequence
from typing import NamedTuple

from tunewise.report.tables import Html


class Choice(NamedTuple):
    """A possible answer, and why it is right or wrong, in a sentence."""

    text: str
    reason: str


def predict(
    name: str,
    question: str,
    truth: float | str,
    *,
    unit: str = "%",
    bounds: tuple[float, float] = (0, 100),
    step: float = 1,
    choices: Sequence[str] = (),
) -> Html:
    """A question whose answer is the figure or table in the next cell.

    Parameters
    ----------
    name
        Of this question on its page, in letters, digits and dashes.
    truth
        The measured value, from a record, in ``unit``; or the right one of ``choices``.
    bounds, step
        Of the slider on which a number is guessed.
    choices
        Answers to choose from, instead of a slider.

    Raises
    ------
    ValueError
        For a truth that the reader could not have chosen.
    """
    ident, asked = f"predict-{name}", html.escape(question)
    if choices:
        if truth not in choices:
            raise ValueError(f"{name}: the truth {truth!r} is not among the choices {list(choices)}")
        field = _radios(ident, choices)
        wanted = str(list(choices).index(str(truth)))
    else:
        low, high = bounds
        value = float(truth)
        if not low <= value <= high:
            raise ValueError(f"{name}: the measured value {value} lies outside the slider's {low} to {high}")
        middle = low + step * round((high - low) / 2 / step)
        field = (
            f'<label for="{ident}">Move the slider. Your prediction: <output for="{ident}">{middle:g}</output> {html.escape(unit)}</label>'
            f'<input type="range" id="{ident}" min="{low:g}" max="{high:g}" step="{step:g}" value="{middle:g}">'
        )
        wanted = f"{value:.4g}"
    body = (
        f'<form class="tw-question tw-predict" data-name="{name}" data-truth="{wanted}" data-unit="{html.escape(unit)}" autocomplete="off">'
        f'<fieldset><legend>Predict before you look</legend><p>{asked}</p><div class="tw-asked" hidden>{field}'
        '<p class="tw-buttons"><button type="submit">Show the result</button></p></div>'
        '<p class="tw-answer" role="status" aria-live="polite"></p></fieldset></form>'
    )
    return Html(body, f"Predict before you look: {question}")


def check(name: str, question: str, choices: Sequence[Choice | tuple[str, str]], right: int = 0) -> Html:
    """A self-check: one of the choices is right, and each has its reason.

    Parameters
    ----------
    name
        Of this question on its page.
    right
        The place of the right choice. They are shown in an order that ``name`` fixes, so that the right one may be written first.

    Raises
    ------
    ValueError
        For fewer than two choices, or a right one that is not among them.
    """
    if len(choices) < 2 or not 0 <= right < len(choices):
        raise ValueError(f"{name}: a check has two choices at least, and the right one among them")
    order = sorted(range(len(choices)), key=lambda i: (sum(map(ord, name)) * (i + 7)) % 31)
    shown = [Choice(*choices[i]) for i in order]
    reasons = "".join(
        f"<li><strong>{'Right' if i == right else 'Wrong'}: {html.escape(c.text)}</strong> {html.escape(c.reason)}</li>"
        for i, c in zip(order, shown, strict=True)
    )
    body = (
        f'<form class="tw-question tw-check" data-name="{name}" data-truth="{order.index(right)}" autocomplete="off">'
        f"<fieldset><legend>Check yourself</legend><p>{html.escape(question)}</p>"
        f'<div class="tw-asked" hidden>{_radios(f"check-{name}", [c.text for c in shown])}</div>'
        '<p class="tw-answer" role="status" aria-live="polite"></p>'
        f"<details><summary>All answers</summary><ul>{reasons}</ul></details></fieldset></form>"
    )
    return Html(body, f"Check yourself: {question}")


def _radios(ident: str, choices: Sequence[str]) -> str:
    rows = (
        f'<div><input type="radio" name="{ident}" id="{ident}-{i}" value="{i}"><label for="{ident}-{i}">{html.escape(c)}</label></div>'
        for i, c in enumerate(choices)
    )
    return f'<div class="tw-radios">{"".join(rows)}</div>'
