"""The cost calculator against sums done by hand, and against what must hold for any prices."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from whentofinetune.calculators.cost import CONTROLS, Setting, cost, cost_json, totals, verdict

# -- by hand -----------------------------------------------------------------------------------------------------------


def test_a_call_by_hand():
    """1,500 tokens at $1 and 20 at $3 a million are $0.00156; 150 at $2 and 20 at $6 are $0.00042."""
    c = cost(Setting())
    assert c.prompt_call == pytest.approx(0.00150 + 0.00006, rel=1e-12)
    assert c.tuned_call == pytest.approx(0.00030 + 0.00012, rel=1e-12)
    assert c.training == 10
    # one training of $10 at $0.00114 a call: 8771.9 calls
    assert c.break_even_calls == 8772
    # four trainings a year are $3.333 a month: 2923.98 calls a month pay for them
    assert c.break_even_per_month == pytest.approx(10 * 4 / 12 / 0.00114, rel=1e-12)
    # 100,000 calls save $114 a month, less $3.333: $10 are back after 0.0904 months
    assert c.break_even_months == pytest.approx(10 / (114 - 40 / 12), rel=1e-12)


def test_caching_by_hand():
    """The 1,350 tokens of examples at a tenth of the price: $0.000135 instead of $0.00135. The question is billed in full."""
    c = cost(Setting(caching=True, cache_discount=0.9))
    assert c.prompt_parts["examples"] == pytest.approx(0.000135, rel=1e-12)
    assert c.prompt_parts["question"] == pytest.approx(0.00015, rel=1e-12)
    assert c.prompt_call == pytest.approx(0.000345, rel=1e-12)
    assert c.prompt_call < c.tuned_call and c.break_even_calls is None and c.break_even_months is None
    assert cost(Setting(caching=False, cache_discount=0.9)) == cost(Setting())


def test_hosting_can_make_it_never_pay_at_this_number_of_calls():
    s = Setting(hosting_per_month=500)
    c = cost(s)
    assert c.break_even_calls == 8772 and c.break_even_months is None
    assert c.break_even_per_month == pytest.approx((500 + 40 / 12) / 0.00114, rel=1e-12)
    assert "it still loses" in verdict(s) and "more than 441,520 calls a month" in verdict(s)


def test_totals_by_hand():
    long, tuned = totals(Setting(), 12)
    assert len(long) == len(tuned) == 13
    assert (long[0], tuned[0]) == (0, 10)
    assert long[12] == pytest.approx(12 * 156, rel=1e-12)
    assert tuned[12] == pytest.approx(10 + 12 * (40 / 12 + 42), rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tuned_in": 20.0}, "its input tokens cost 20.0 times as much"),
        ({"tuned_in": 20.0, "caching": True}, "the examples are cheap once cached"),
        (
            {"tuned_in": 20.0, "short_tokens": 0, "tuned_out": 500},
            "never pays for itself: it costs no less per call.",
        ),
        ({"calls_per_month": 1000}, "it still loses"),
        ({}, "after 3 days."),
        ({"calls_per_month": 3000, "retrainings_per_year": 0}, "after 2.9 months."),
        ({"calls_per_month": 3000}, "years."),
        ({"training_price": 0}, "after 1 day."),
    ],
)
def test_the_verdict_in_words(changes, words):
    assert words in verdict(Setting.from_dict(changes))


# -- settings that make no sense ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base_in": -1}, "base_in cannot be negative"),
        ({"short_tokens": 2000}, "make the first shorter or the second longer"),
        ({"cache_discount": 1.5}, "a share between 0 and 1"),
        ({"calls_per_month": float("nan")}, "must be a number"),
        ({"calls_per_month": float("inf")}, "must be a number"),
        ({"calls_per_month": "many"}, "must be a number"),
        ({"calls_per_month": None}, "must be a number"),
        ({"base_in": True}, "must be a number"),
        ({"caching": 1}, "true or false"),
        ({"price": 1}, "unknown setting price; there are base_in"),
    ],
)
def test_nonsense_is_refused_in_words(changes, words):
    with pytest.raises(ValueError, match=words):
        Setting.from_dict(changes)


# -- for any prices ----------------------------------------------------------------------------------------------------

price = st.integers(0, 10_000).map(lambda cents: cents / 100)
settings = st.builds(
    lambda short, examples, **rest: Setting(short_tokens=short, prompt_tokens=short + examples, **rest),
    short=st.integers(0, 5000),
    examples=st.integers(0, 50_000),
    output_tokens=st.integers(0, 5000),
    calls_per_month=st.integers(0, 10**8),
    base_in=price,
    base_out=price,
    caching=st.booleans(),
    cache_discount=st.floats(0, 1),
    tuned_in=price,
    tuned_out=price,
    training_tokens=st.integers(0, 10**9),
    training_price=price,
    retrainings_per_year=st.integers(0, 365),
    hosting_per_month=st.floats(0, 1e5),
)


def exact(s: Setting) -> tuple[Fraction, Fraction, Fraction]:
    """The cost of a call each way and of a training, in fractions, written down anew."""
    f = {k: Fraction(v) for k, v in vars(s).items() if k != "caching"}
    billed = f["prompt_tokens"] - f["short_tokens"]
    billed *= 1 - f["cache_discount"] if s.caching else 1
    long = (f["short_tokens"] + billed) * f["base_in"] + f["output_tokens"] * f["base_out"]
    tuned = f["short_tokens"] * f["tuned_in"] + f["output_tokens"] * f["tuned_out"]
    return long / 10**6, tuned / 10**6, f["training_tokens"] * f["training_price"] / 10**6


@given(settings)
def test_costs_are_those_of_exact_arithmetic(s):
    c, (long, tuned, training) = cost(s), exact(s)
    for ours, theirs in ((c.prompt_call, long), (c.tuned_call, tuned), (c.training, training)):
        assert math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-15)


@given(settings)
def test_break_even_is_where_the_totals_meet(s):
    c = cost(s)
    assume(c.break_even_months is not None and 1e-6 < c.break_even_months < 1e4)
    running = (
        s.retrainings_per_year * c.training / 12 + s.hosting_per_month + s.calls_per_month * c.tuned_call
    )
    m = c.break_even_months
    gain = s.calls_per_month * c.prompt_call - running
    assume(
        gain > 1e-6 * running
    )  # where the two lines are all but parallel, rounding decides where they meet
    assert math.isclose(m * s.calls_per_month * c.prompt_call, c.training + m * running, rel_tol=1e-6)


@given(settings)
def test_after_the_break_even_calls_and_not_one_before_training_has_paid(s):
    c, (long, tuned, training) = cost(s), exact(s)
    assume(long > tuned and float(long - tuned) > 1e-9 * float(long) and c.break_even_calls is not None)
    n = c.break_even_calls
    assume(n < 10**9)
    rounding = Fraction(max(n, 1), 10**6)
    assert (n + rounding) * (long - tuned) >= training and (n - 1 - rounding) * (long - tuned) <= training


@given(settings)
def test_never_means_never(s):
    c, (long, tuned, _) = cost(s), exact(s)
    if c.break_even_calls is None:
        assert float(long - tuned) <= 1e-12 * float(tuned + long) + 1e-15
        assert c.break_even_months is None
    long_by_month, tuned_by_month = totals(s, 240)
    if c.break_even_months is None:
        assert all(t >= p * (1 - 1e-9) for p, t in zip(long_by_month, tuned_by_month, strict=True))


@given(
    settings,
    st.sampled_from(["base_in", "base_out", "tuned_in", "tuned_out", "training_price", "hosting_per_month"]),
    st.floats(0.01, 10),
)
def test_dearer_is_never_cheaper(s, name, more):
    before, after = cost(s), cost(Setting(**{**vars(s), name: getattr(s, name) + more}))
    slack = 1 + 1e-12
    assert after.prompt_call * slack >= before.prompt_call and after.tuned_call * slack >= before.tuned_call
    assert after.training >= before.training


@given(settings)
def test_caching_never_makes_the_long_prompt_dearer(s):
    cached, plain = (cost(Setting(**{**vars(s), "caching": on})) for on in (True, False))
    assert cached.prompt_call <= plain.prompt_call and cached.tuned_call == plain.tuned_call


@given(settings, st.floats(0.01, 100))
def test_another_currency_changes_no_break_even(s, rate):
    money = ("base_in", "base_out", "tuned_in", "tuned_out", "training_price", "hosting_per_month")
    a, b = cost(s), cost(Setting(**{**vars(s), **{k: getattr(s, k) * rate for k in money}}))
    assume(
        abs(a.prompt_call - a.tuned_call) > 1e-9 * (a.prompt_call + a.tuned_call)
        and a.prompt_call + a.tuned_call > 1e-12
    )
    assert (a.break_even_calls is None) == (b.break_even_calls is None)
    if a.break_even_per_month is not None:
        assert math.isclose(a.break_even_per_month, b.break_even_per_month, rel_tol=1e-6, abs_tol=1e-9)


# -- the front ---------------------------------------------------------------------------------------------------------


@given(settings)
def test_the_front_answers_for_every_setting(s):
    answer = json.loads(cost_json(json.dumps(vars(s))))
    assert "nan" not in answer["text"] and "inf" not in answer["text"]
    for figure in answer["figures"]:
        assert figure["alt"] and all(math.isfinite(v) for trace in figure["data"] for v in trace["y"])
    for table in answer["tables"]:
        assert all(len(row) == len(table["header"]) for row in table["rows"])


def test_the_controls_are_the_settings_and_start_where_it_does():
    assert {c["name"]: c["value"] for c in CONTROLS} == vars(Setting())
    for c in CONTROLS:
        assert c["kind"] == "checkbox" or c["min"] <= c["value"] <= c["max"]
