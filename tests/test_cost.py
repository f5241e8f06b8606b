"""The cost calculator against sums done by hand, and against what must hold for any prices."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tunewise.compare import monthly_cost
from tunewise.compare.base import Cost
from whentofinetune.calculators.cost import Method, Setting, answer, cost, in_time, meeting

# -- by hand -----------------------------------------------------------------------------------------------------------


def both(s: Setting):
    """The long prompt, the tuned model, and where they meet."""
    long, tuned = cost(s).values()
    return long, tuned, meeting(long, tuned, s.calls_per_month)


def test_a_call_by_hand():
    """1,500 tokens at 1 euro and 20 at 3 a million are 0.00156 euro; 150 at 2 and 20 at 6 are 0.00042."""
    long, tuned, m = both(Setting())
    assert long.call == pytest.approx(0.00150 + 0.00006, rel=1e-12)
    assert tuned.call == pytest.approx(0.00030 + 0.00012, rel=1e-12)
    assert tuned.setup == 10 and long.setup == long.upkeep == 0
    # four trainings a year are 3.333 euro a month: 2923.98 calls a month pay for them
    assert m.calls_per_month == pytest.approx(10 * 4 / 12 / 0.00114, rel=1e-12)
    # 100,000 calls save 114 euro a month, less 3.333: 10 euro are back after 0.0904 months
    assert m.months == pytest.approx(10 / (114 - 40 / 12), rel=1e-12)
    assert long.total(12, 100_000) == pytest.approx(12 * 156, rel=1e-12) and long.total(0, 100_000) == 0
    assert tuned.total(12, 100_000) == pytest.approx(10 + 12 * (40 / 12 + 42), rel=1e-12)


def test_caching_by_hand():
    """The 1,350 tokens of examples at a tenth of the price: 0.000135 euro instead of 0.00135. The question is billed in full."""
    long, tuned, m = both(Setting(caching=True, cache_discount=0.9))
    assert long.parts["examples"] == pytest.approx(0.000135, rel=1e-12)
    assert long.parts["question"] == pytest.approx(0.00015, rel=1e-12)
    assert long.call == pytest.approx(0.000345, rel=1e-12)
    assert long.call < tuned.call and m.calls_per_month is None and m.months is None
    assert both(Setting(caching=False, cache_discount=0.9)) == both(Setting())


@pytest.mark.parametrize(("examples", "billed"), [(1023, 1023), (1024, 1024 / 10), (450, 450)])
def test_a_beginning_that_is_too_short_is_billed_in_full(examples, billed):
    """OpenAI caches from 1,024 tokens on (Prompt Caching 201, whose example is a prompt of 900: never a hit)."""
    long, _, _ = both(Setting(caching=True, prompt_tokens=50 + examples, short_tokens=50, cached_from=1024))
    assert long.parts["examples"] == pytest.approx(billed / 1e6, rel=1e-12)


def test_hosting_can_make_it_never_pay_at_this_number_of_calls():
    s = Setting(hosting_per_month=500)
    m = both(s)[2]
    assert m.months is None
    assert m.calls_per_month == pytest.approx((500 + 40 / 12) / 0.00114, rel=1e-12)


# -- servers of one's own ----------------------------------------------------------------------------------------------

OWN = Setting(own_server=True, tuned_in=0, tuned_out=0, training_price=0, hosting_per_month=16.5)


def test_servers_by_hand():
    """A thousand million calls of 0.25 s; 30% of a month's 2,628,000 s are 788,400: 317.1 servers, so 318. One answers 3,153,600 calls."""
    tuned = both(replace(OWN, seconds_a_call=0.25, busy=0.3))[1]
    assert [tuned.servers(calls) for calls in (0, 3_153_000, 3_154_000, 1e9)] == [1, 1, 2, 318]
    assert tuned.month(1e9) == pytest.approx(318 * 16.5) and tuned.total(12, 1e9) == pytest.approx(
        12 * 318 * 16.5
    )
    hosted = both(replace(OWN, own_server=False))[1]
    assert hosted.servers(1e9) == 0 and hosted.month(1e9) == hosted.month(0) == 16.5


@pytest.mark.parametrize("calls", [0, 1e5, 1e7, 1e9])
@pytest.mark.parametrize("seconds", [0.255, 0.014])
def test_as_many_servers_as_tunewise_compare_counts(calls, seconds):
    prices = monthly_cost.read_prices()
    tuned = both(replace(OWN, seconds_a_call=seconds, busy=prices.busy, hosting_per_month=1))[1]
    arm = SimpleNamespace(family="tuned", cost=Cost(labels=0, seconds_a_call=seconds))
    server = prices.machines[0].euro_an_hour * monthly_cost.HOURS
    assert tuned.month(calls) * server == pytest.approx(monthly_cost.bill(arm, calls, prices).month)
    assert Setting().busy == prices.busy


@given(*(st.integers(0, 40) for _ in range(3)), st.integers(1, 30))
def test_from_the_break_even_on_it_is_cheaper_for_good_and_just_below_it_is_not(
    saved, upkeep, server, capacity
):
    """In whole numbers, so that nothing is rounded; looked for call by call, over the jumps of hundreds of servers."""
    old, new = Method({"a": saved + 1.0}), Method({"a": 1.0}, 0.0, upkeep, server, capacity)
    least = meeting(old, new, 0).calls_per_month
    if least is None:
        jumps = (0, capacity, 7 * capacity, 10**6 * capacity)
        assert all(new.month(n + 1e-3) >= old.month(n + 1e-3) for n in jumps)
    else:
        assert least < 10**5
        assert all(new.month(n) <= old.month(n) for n in range(math.ceil(least), math.ceil(least) + 500))
        assert not least or new.month(least - 1e-6) > old.month(least - 1e-6)


def test_where_a_second_server_makes_it_dearer_once_more():
    """A server of 10 euro answers 15 calls, each of which saves 1. 12 calls are cheaper, 16 need a second server. From 20 on it is for good:
    the third server, from the 31st call on, is already paid for."""
    old, new = Method({"a": 1.0}), Method({"a": 0.0}, 5.0, 0.0, 10.0, 15.0)
    assert meeting(old, new, 12).calls_per_month == 20
    assert meeting(old, new, 12).months == pytest.approx(5 / 2) and meeting(old, new, 16).months is None
    # a server of 16 euro: full, it saves 15
    assert meeting(old, Method({"a": 0.0}, server=16.0, capacity=15.0), 1e6).calls_per_month is None


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
        ({"busy": 0}, "answers no call"),
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
    cached_from=st.sampled_from([0, 1024, 2048]),
    tuned_in=price,
    tuned_out=price,
    training_tokens=st.integers(0, 10**9),
    training_price=price,
    retrainings_per_year=st.integers(0, 365),
    hosting_per_month=st.floats(0, 1e5),
)


def exact(s: Setting) -> tuple[Fraction, Fraction, Fraction]:
    """The cost of a call by either method and of a training, in fractions, written down anew."""
    f = {k: Fraction(v) for k, v in vars(s).items() if k != "caching"}
    billed = f["prompt_tokens"] - f["short_tokens"]
    billed *= 1 - f["cache_discount"] if s.caching and billed >= f["cached_from"] else 1
    long = (f["short_tokens"] + billed) * f["base_in"] + f["output_tokens"] * f["base_out"]
    tuned = f["short_tokens"] * f["tuned_in"] + f["output_tokens"] * f["tuned_out"]
    return long / 10**6, tuned / 10**6, f["training_tokens"] * f["training_price"] / 10**6


@given(settings)
def test_costs_are_those_of_exact_arithmetic(s):
    long, tuned, _ = both(s)
    for ours, theirs in zip((long.call, tuned.call, tuned.setup), exact(s), strict=True):
        assert math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-15)


@given(settings)
def test_break_even_is_where_the_totals_meet(s):
    long, tuned, m = both(s)
    running = tuned.month(s.calls_per_month)
    # where the two lines are all but parallel, rounding decides where they meet
    if (
        m.months is not None
        and 1e-6 < m.months < 1e4
        and long.month(s.calls_per_month) - running > 1e-6 * running
    ):
        assert math.isclose(*(way.total(m.months, s.calls_per_month) for way in (long, tuned)), rel_tol=1e-6)


@given(settings)
def test_never_means_never(s):
    long, tuned, m = both(s)
    a, b, _ = exact(s)
    if m.calls_per_month is None:
        assert float(a - b) <= 1e-12 * float(a + b) + 1e-15 and m.months is None
    if m.months is None:
        calls = s.calls_per_month
        assert all(tuned.total(n, calls) >= long.total(n, calls) * (1 - 1e-9) for n in range(241))


@given(
    settings,
    st.sampled_from(["base_in", "base_out", "tuned_in", "tuned_out", "training_price", "hosting_per_month"]),
    st.floats(0.01, 10),
)
def test_more_expensive_is_never_cheaper_and_caching_never_costs(s, name, more):
    (long, tuned, _), (more_long, more_tuned, _) = (
        both(s),
        both(replace(s, **{name: getattr(s, name) + more})),
    )
    slack = 1 + 1e-12
    assert more_long.call * slack >= long.call and more_tuned.call * slack >= tuned.call
    assert more_tuned.setup >= tuned.setup and more_tuned.upkeep >= tuned.upkeep
    (cached, same, _), (plain, _, _) = (both(replace(s, caching=on)) for on in (True, False))
    assert cached.call <= plain.call and same == tuned


@given(settings, st.floats(0.01, 100))
def test_another_currency_changes_no_break_even(s, rate):
    money = ("base_in", "base_out", "tuned_in", "tuned_out", "training_price", "hosting_per_month")
    (long, tuned, a), (_, _, b) = both(s), both(replace(s, **{k: getattr(s, k) * rate for k in money}))
    assume(abs(long.call - tuned.call) > 1e-9 * (long.call + tuned.call) and long.call + tuned.call > 1e-12)
    assert (a.calls_per_month is None) == (b.calls_per_month is None)
    if a.calls_per_month is not None:
        assert math.isclose(a.calls_per_month, b.calls_per_month, rel_tol=1e-6, abs_tol=1e-9)


# -- the front ---------------------------------------------------------------------------------------------------------


@given(settings)
def test_the_front_answers_for_every_setting(s):
    found = json.loads(answer(cost(s), s.calls_per_month, "said"))
    assert "nan" not in json.dumps(found["tables"]) and "inf" not in json.dumps(found["tables"])
    for figure in found["figures"]:
        assert figure["alt"] and all(math.isfinite(v) for trace in figure["data"] for v in trace["y"])
    for table in found["tables"]:
        assert all(len(row) == len(table["header"]) for row in table["rows"])


@pytest.mark.parametrize(
    ("months", "words"), [(0.09, "3 days"), (0.01, "1 day"), (2.94, "2.9 months"), (37.0, "3.1 years")]
)
def test_a_time_in_words(months, words):
    assert in_time(months) == words
