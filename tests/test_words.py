"""Numbers in sentences: their sign, their plural."""

import pytest

from tunewise.words import counted, signed


@pytest.mark.parametrize(
    ("number", "form", "plus", "said"),
    [
        (12.4, ".0f", "+", "+12"),
        (-12.4, ".1f", "+", "−12.4"),
        (-0.4, ".0f", "+", "0"),
        (0.04, ".1f", "+", "0.0"),
        (-1234.5, ",.1f", "", "−1,234.5"),
        (0.0714, ".3g", "", "0.0714"),
    ],
)
def test_a_minus_is_no_hyphen_and_a_zero_has_no_sign(number, form, plus, said):
    assert signed(number, form, plus) == said


def test_one_is_singular():
    assert [counted(n, "seed") for n in (0, 1, 2, 1200)] == ["0 seeds", "1 seed", "2 seeds", "1,200 seeds"]
