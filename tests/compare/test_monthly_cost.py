"""What an arm costs, against hand calculations; the price file of the user's own."""

from __future__ import annotations

import datetime
import tomllib
from importlib import resources

import made_up
import pytest

from tunewise.compare.base import Cost
from tunewise.compare.monthly_cost import BreakEven, bill, break_even, rank, read_prices

PRICES = read_prices()
OWN = made_up.data(6)


def arm(name, **cost):
    return made_up.arm(name, [1] * 6, OWN, cost=Cost(**({"labels": 0} | cost)))


def test_the_price_file_is_dated_and_every_price_has_a_source_and_the_day_it_was_read():
    assert isinstance(PRICES.date, datetime.date)
    assert [m.memory_gb for m in PRICES.machines] == sorted(m.memory_gb for m in PRICES.machines)
    assert all(m.source.startswith("https://") and m.read <= PRICES.date for m in PRICES.machines)
    training = tomllib.loads(resources.files("tunewise.compare").joinpath("prices.toml").read_text())[
        "training"
    ]
    assert training["source"] and training["read"] <= PRICES.date


def test_a_month_is_the_smallest_machine_that_holds_it_always_on():
    small, large = PRICES.machines[0], PRICES.machines[-1]
    assert bill(arm("tfidf", memory=10**8), 1000, PRICES).month == pytest.approx(small.euro_an_hour * 730)
    found = bill(arm("lora", memory=int(large.memory_gb * 1e9)), 1000, PRICES)
    assert found.month == pytest.approx(large.euro_an_hour * 730) and found.fits
    assert not bill(arm("lora", memory=10**12), 1000, PRICES).fits


def test_many_calls_need_more_machines_and_an_endpoint_is_paid_by_the_call():
    # a machine has 730 h x 3600 s x 0.3 busy: 788,400 calls of one second
    slow = arm("lora", seconds_a_call=1.0)
    one = PRICES.machines[0].euro_an_hour * 730
    assert [round(bill(slow, n, PRICES).month / one) for n in (788_400, 788_401, 2_000_000)] == [1, 2, 3]
    assert bill(arm("endpoint", euro_a_call=0.002), 10_000, PRICES).month == pytest.approx(20)
    assert bill(arm("majority", labels=150), 10_000, PRICES).first_year == 0


def test_labels_and_training_are_paid_once():
    found = bill(arm("lora", labels=180, train_seconds=3600), 1, PRICES)
    assert found.labels == pytest.approx(180 * 20 / 3600 * 30)
    assert found.training == pytest.approx(0.065 * 0.2872)
    assert found.first_year == pytest.approx(found.labels + found.training + 12 * found.month)


def test_break_even_is_where_the_first_year_costs_the_same():
    served, own = arm("endpoint", euro_a_call=0.001), arm("lora", labels=100)
    found = break_even(own, served, PRICES)
    once, month = 100 * 20 / 3600 * 30, PRICES.machines[0].euro_an_hour * 730
    assert found == BreakEven(pytest.approx((once / 12 + month) / 0.001, rel=1e-6), "endpoint", "lora")
    assert break_even(served, own, PRICES) == found
    assert break_even(own, own, PRICES) is None


def test_the_order_of_cheaper():
    arms = [
        arm("endpoint", euro_a_call=0.001),
        arm("lora", labels=100),
        arm("few_shot", labels=8),
        arm("tfidf", labels=100),
    ]
    arms.append(made_up.arm("zero_shot", [1] * 6, OWN, cost=Cost(0)))
    ordered = sorted(arms, key=lambda a: rank(a, bill(a, 100, PRICES).month))
    assert [a.name for a in ordered] == ["endpoint", "tfidf", "zero_shot", "few_shot", "lora"]


def test_prices_of_ones_own(tmp_path):
    text = resources.files("tunewise.compare").joinpath("prices.toml").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("euro_an_hour = 30", "euro_an_hour = 60"), encoding="utf-8")
    assert read_prices(path).labelling_euro_an_hour == 2 * PRICES.labelling_euro_an_hour


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[load]", "[burden]"), "has no 'load'"),
        (("busy = 0.3", "busy = 0"), "a load between 0 and 1"),
        (("busy = 0.3", "busy = "), "is not as prices.toml is"),
        (("busy = 0.3", 'busy = "often"'), "is not as prices.toml is"),
        (("memory_gb = 4", "memory_gb = 4\ncolour = 'red'"), "is not as prices.toml is"),
        (("date = 2026-11-25", "date = 'today'"), "needs a date"),
        (("euro_an_hour = 0.0082", "euro_an_hour = -1"), "prices from 0 up"),
        (("euro_an_hour = 0.0082", "euro_an_hour = 'free'"), "is not as prices.toml is"),
        (("watts = 65", "watts = nan"), "prices from 0 up"),
    ],
)
def test_a_bad_price_file_is_named(change, words, tmp_path):
    text = resources.files("tunewise.compare").joinpath("prices.toml").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(ValueError, match=words) as found:
        read_prices(path)
    assert "mine.toml" in str(found.value)
    with pytest.raises(ValueError, match=r"none\.toml cannot be read"):
        read_prices(tmp_path / "none.toml")
