"""The verdict on own data: each kind of it, what it counts as cheaper, and what it says."""

from __future__ import annotations

import math
from dataclasses import replace

import made_up
import pytest

from tunewise.compare.base import Cost, Settings
from tunewise.compare.decision import decide
from tunewise.compare.verdict_words import rows_to_add


def decided(shares, n=400, settings=None, **options):
    own = made_up.data(n)
    arms = [made_up.drawn(name, s, own, seed=k, **options) for k, (name, s) in enumerate(shares.items())]
    return decide(own, arms, settings or Settings())


def test_an_arm_that_is_better_than_all_others_is_used():
    found = decided({"majority": 0.3, "tfidf": 0.6, "lora": 0.9})
    assert (found.kind, found.winner, found.leading) == ("use", "lora", "lora")
    assert found.sentence.startswith(
        "Use LoRA: 90% on 400 test items, 30 points better than the next, TF-IDF"
    )
    assert set(found.comparisons) == {("lora", "majority"), ("lora", "tfidf")}
    # three pairs as one family: Bonferroni's intervals
    assert all(c.level == pytest.approx(1 - 0.05 / 3) and c.significant for c in found.comparisons.values())


def test_training_runs_that_differ_widen_the_interval_and_may_leave_it_open():
    own = made_up.data(400)
    cheap = made_up.drawn("tfidf", 0.8, own, seed=1)
    lora = made_up.drawn("lora", 0.95, own, seed=2, family="tuned", memory=12_000_000_000)
    assert decide(own, [cheap, lora], Settings()).kind == "use"
    repeats = [made_up.drawn("lora", share, own, seed=3 + k).outcomes for k, share in enumerate((0.9, 0.79))]
    several = replace(lora, repeats=repeats)
    assert several.mean("accuracy") == pytest.approx((0.95 + 0.9 + 0.79) / 3)
    found = decide(own, [cheap, several], Settings())
    gap = found.comparisons["lora", "tfidf"]
    assert (found.kind, gap.seeds_a) == ("cannot_tell", 3)
    assert gap.estimate == pytest.approx(0.08) and gap.low < 0
    assert found.items_to_settle is None and "training runs differ too much" in found.sentence
    assert any("how much its training runs differ" in reason for reason in found.reasons)
    assert any("trained once" in reason for reason in decide(own, [cheap, lora], Settings()).reasons)


def nearly(own, base, changed):
    """Two arms that differ on ``changed`` items only, as often for as against."""
    right = [i % 10 != 0 for i in range(len(own.test))]
    other = [r != (i < changed) for i, r in enumerate(right)]
    return right, other, base


def test_of_two_that_cannot_be_told_apart_the_cheaper_is_taken():
    own = made_up.data(400)
    right, other, _ = nearly(own, 0.9, 4)
    cheap = made_up.arm("few_shot", other, own)
    dear = made_up.arm("lora", right, own, memory=12_000_000_000)
    found = decide(own, [dear, cheap], Settings())
    assert (found.kind, found.winner) == ("cheaper", "few_shot")
    assert (
        "Prompt with examples and LoRA can't be told apart: take the cheaper, prompt with examples"
        in found.sentence
    )
    # and by calls, where one is paid by the call
    served = made_up.arm("endpoint", right, own, cost=Cost(0, euro_a_call=0.001))
    assert decide(own, [served, cheap], Settings(calls=100)).winner == "endpoint"
    assert decide(own, [served, cheap], Settings(calls=1_000_000)).winner == "few_shot"


def test_an_arm_without_a_price_is_not_the_cheaper():
    own = made_up.data(400)
    right, other, _ = nearly(own, 0.9, 4)
    small = made_up.arm("tfidf", other, own)
    served = made_up.arm("endpoint", right, own, cost=Cost(0, euro_a_call=None))
    found = decide(own, [served, small], Settings())
    assert (found.kind, found.winner) == ("cheaper", "tfidf")
    assert "take the cheaper as far as costs are known, TF-IDF" in found.sentence
    free = replace(served, cost=Cost(0, euro_a_call=0.0))
    assert decide(own, [free, small], Settings()).winner == "endpoint"
    assert decide(own, [served], Settings()).winner == "endpoint"  # nothing to be cheaper than
    best = decide(own, [served, made_up.drawn("tfidf", 0.5, own)], Settings())
    assert (best.kind, best.winner) == ("use", "endpoint")


def test_what_is_better_by_less_than_the_margin_is_not_worth_its_price():
    own = made_up.data(2000)
    right = [i % 10 != 0 for i in range(2000)]
    other = [r and i % 100 != 1 for i, r in enumerate(right)]  # wrong on one item in a hundred more
    cheap, dear = made_up.arm("tfidf", other, own), made_up.arm("lora", right, own, memory=12_000_000_000)
    found = decide(own, [cheap, dear], Settings())
    assert (found.kind, found.winner) == ("cheaper", "tfidf")
    assert (
        "LoRA did better than TF-IDF and logistic regression, but by less than the 3 points" in found.sentence
    )
    assert decide(own, [cheap, dear], Settings(margin=0.005)).winner == "lora"


def test_cannot_tell_says_what_how_many_more_items_and_what_to_use_until_then():
    def tried(n):
        own = made_up.data(n)
        shares = {"majority": 0.3, "few_shot": 0.82, "lora": 0.86}
        arms = [made_up.drawn(name, s, own, seed=k) for k, (name, s) in enumerate(shares.items())]
        dear = replace(arms[2].cost, memory=12_000_000_000)
        return own, decide(own, [*arms[:2], replace(arms[2], cost=dear)], Settings())

    own, found = tried(100)
    assert (found.kind, found.winner, found.leading) == ("cannot_tell", None, "lora")
    assert found.sentence.startswith(
        f"Cannot tell which of prompt with examples and LoRA is better by 3 points or more: about {found.items_to_settle} more test items"
    )
    assert not found.same_cost and any("Until then take LoRA" in r for r in found.reasons)
    rows = rows_to_add(own, found.items_to_settle)
    hours = rows * 20 / 3600  # at the price file's 20 seconds a label and 30 euro an hour
    work = f"about {hours:.1f} hours of work, €{30 * hours:,.0f}"
    assert any(f"About {rows:,} more labelled rows" in r and work in r for r in found.reasons)
    assert rows * len(own.test) / sum(map(len, (own.train, own.valid, own.test))) == pytest.approx(
        found.items_to_settle, abs=1
    )
    # with several times that many items and the same shares it is settled, with a third it is not
    wanted = 100 + found.items_to_settle
    assert tried(wanted // 3)[1].kind == "cannot_tell" and tried(4 * wanted)[1].winner == "lora"


def test_of_those_in_doubt_that_cost_the_same_the_best_is_advised_and_nothing_is_decided():
    found = decided({"majority": 0.3, "few_shot": 0.82, "lora": 0.86}, n=100)
    assert (found.kind, found.winner, found.same_cost) == ("cannot_tell", None, True)
    assert found.sentence.endswith("cost about the same: take LoRA, which did best (86% on 100 test items).")
    assert found.reasons[0].startswith("None of them is shown to be better. About ")
    assert not any("Until then" in r for r in found.reasons)
    same = decided({"few_shot": 0.86, "lora": 0.86}, n=100)
    assert "which did as well as any (86%" in same.sentence


def test_a_cheaper_arm_that_may_be_as_good_is_in_the_way_of_a_verdict():
    own = made_up.data(200)
    right = [i % 10 != 0 for i in range(200)]
    other = [r and i % 25 != 1 for i, r in enumerate(right)]
    other[0:40:10] = [True] * 4
    cheap, dear = made_up.arm("tfidf", other, own), made_up.arm("lora", right, own, memory=12_000_000_000)
    found = decide(own, [cheap, dear], Settings(margin=0.02))
    assert found.kind == "cannot_tell"
    assert "whether TF-IDF and logistic regression, cheaper to run, is as good as LoRA" in found.sentence
    # at the same price it is no reason to wait
    assert decide(own, [cheap, replace(dear, cost=cheap.cost)], Settings(margin=0.02)).winner == "lora"


def test_a_need_is_held_against_the_interval():
    shares = {"tfidf": 0.5, "lora": 0.8}
    assert decided(shares, settings=Settings(need=0.9)).kind == "none_good_enough"
    found = decided(shares, settings=Settings(need=0.79))
    assert found.kind == "cannot_tell" and "reaches the 79% that you need" in found.sentence
    found = decided(shares, settings=Settings(need=0.7))
    assert found.kind == "use" and any("reaches the 70%" in r for r in found.reasons)


def test_without_a_winner_differences_are_those_from_the_leading_arm():
    own = made_up.data(1500)
    cheap = made_up.arm("tfidf", [i < 1200 for i in range(1500)], own)
    best = made_up.arm("lora", [i < 1223 for i in range(1500)], own, memory=6_000_000_000)
    assert decide(own, [cheap, best], Settings(margin=0.05)).winner == "tfidf"
    for need, kind in ((0.95, "none_good_enough"), (0.81, "cannot_tell")):
        found = decide(own, [cheap, best], Settings(margin=0.05, need=need))
        assert (found.kind, found.winner, found.leading) == (kind, None, "lora")
        assert list(found.comparisons) == [("lora", "tfidf")]


def test_items_of_one_group_count_once():
    one, many = made_up.data(240), made_up.data(240, group_size=8)
    right = [(i // 8) % 10 != 0 for i in range(240)]
    worse = [(i // 8) % 3 != 0 for i in range(240)]
    found = [
        decide(own, [made_up.arm("tfidf", worse, own), made_up.arm("lora", right, own)], Settings())
        for own in (one, many)
    ]
    wide = [c.high - c.low for d in found for c in d.comparisons.values()]
    assert wide[1] > 2 * wide[0]
    assert any("in 30 groups" in r for r in found[1].reasons)


def test_one_arm_alone_and_scores_without_bounds():
    own = replace(made_up.data(40), metric="score")
    arm = made_up.drawn("lora", 0.5, own)
    assert (
        decide(own, [arm], Settings()).sentence
        == "Use LoRA, the only arm that was run: 0.5 on 40 test items."
    )
    long = replace(arm, name="few_shot", title="long", outcomes={"score": [7.0 + i % 3 for i in range(40)]})
    found = decide(own, [arm, long], Settings())
    assert (
        found.winner == "few_shot" and math.isinf(next(iter(found.comparisons.values())).detectable) is False
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [(dict(margin=0), "--margin"), (dict(margin=float("nan")), "--margin")],
)
def test_bad_settings_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        decided({"tfidf": 0.5}, settings=Settings(**change))


def test_arms_that_do_not_fit_the_items_are_named():
    own = made_up.data(40)
    with pytest.raises(ValueError, match="no arm was run"):
        decide(own, [], Settings())
    with pytest.raises(ValueError, match="tfidf has 40 outcomes of accuracy for 50 items"):
        decide(made_up.data(50), [made_up.drawn("tfidf", 0.5, own)], Settings())
