"""Splits share nothing, keep the labels' shares, and leave rows where they were when others are added."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewise.compare.base import Item
from tunewise.compare.intake import prepare
from tunewise.compare.splits import by_hash, by_time, completed, position, tie
from tunewise.near_duplicates import near_duplicates

WORDS = [
    a + b for a in ("lo", "mi", "ra", "te", "su", "ka", "pe") for b in ("ban", "der", "fil", "gat", "hun")
]


def some(n, shares=(6, 3, 1), seed=0, group=None):
    rng = random.Random(seed)
    labels = rng.choices(("a", "b", "c"), shares, k=n)
    return [
        Item(
            f"{seed}:{i}",
            i + 2,
            " ".join(rng.choices(WORDS, k=12)),
            label,
            group(i) if group else f"{seed}:{i}",
        )
        for i, label in enumerate(labels)
    ]


def test_added_rows_leave_old_rows_where_they_were():
    old, new = some(300), some(60, seed=1)
    before = by_hash(old, tie(old))
    everything = new[:30] + old + new[30:]
    after = by_hash(everything, tie(everything))[30:330]
    assert np.mean([a == b for a, b in zip(before, after, strict=True)]) > 0.97


def test_the_splits_have_the_natural_shares_of_the_labels():
    items = some(3000)
    split = by_hash(items, tie(items))
    assert [round(split.count(name) / 3000, 1) for name in ("test", "valid", "train")] == [0.4, 0.2, 0.4]
    whole = Counter(item.target for item in items)
    for name in ("train", "valid", "test"):
        part = Counter(item.target for item, s in zip(items, split, strict=True) if s == name)
        for label, n in whole.items():
            assert abs(part[label] / part.total() - n / 3000) < 0.05


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_a_label_of_ten_rows_is_in_every_split(seed):
    items = some(40, (1, 1, 0), seed=seed) + [
        Item(f"r{i}", i, f"{w}{seed} alone", "rare", f"r{i}") for i, w in enumerate(WORDS[:10])
    ]
    split = by_hash(items, tie(items), seed)
    rare = Counter(s for item, s in zip(items, split, strict=True) if item.target == "rare")
    assert rare["test"] >= 2 and rare["valid"] >= 1 and rare["train"] >= 5


def test_groups_and_near_duplicates_stay_together():
    items = some(120, group=lambda i: f"customer {i // 3}")
    twins = [Item(f"t{i}", 500 + i, f"{items[i].text} please", items[i].target, f"t{i}") for i in range(30)]
    items += twins
    split = by_hash(items, tie(items))
    of_group = {}
    for item, s in zip(items, split, strict=True):
        assert of_group.setdefault(item.group, s) == s
    assert all(split[i] == split[j] for i, j in near_duplicates([item.text for item in items]))


def grouped(sizes, seed=0):
    of = [g for g, size in enumerate(sizes) for _ in range(size)]
    return some(len(of), seed=seed, group=lambda i: f"g{seed} {of[i]}")


def test_large_and_many_groups_leave_the_parts_their_sizes():
    for seed, sizes in enumerate([(2, 12, 8, 4) * 6, (9,) * 15, (14, 12, 10) * 4 + (1,) * 60, (2,) * 50] * 3):
        items = grouped(sizes, seed)
        count = Counter(by_hash(items, tie(items), labelled=False))
        for name, share in (("test", 0.4), ("valid", 0.2), ("train", 0.4)):
            assert abs(count[name] / len(items) - share) < 0.05, (sizes, count)


def test_a_very_large_group_is_for_training_and_the_others_are_shared_out():
    items = grouped((100, *[3] * 60))
    split = by_hash(items, tie(items))
    assert set(split[:100]) == {"train"}
    count = Counter(split)
    assert count["test"] > 80 and count["valid"] > 40 and count["train"] - 100 >= 40
    shops = Counter(by_hash(*(lambda own: (own, tie(own)))(grouped((30,) * 6)), labelled=False))
    assert shops == {"test": 60, "valid": 30, "train": 90}


def test_added_groups_leave_old_rows_where_they_were():
    for seed in range(5):
        old, new = grouped((3, 5, 8, 1) * 20, seed), grouped((4, 2) * 8, seed + 100)
        before, after = by_hash(old, tie(old)), by_hash(new + old, tie(new + old))[len(new) :]
        assert np.mean([a == b for a, b in zip(before, after, strict=True)]) > 0.8


def test_a_few_large_groups_do_not_leave_a_split_empty():
    for seed in range(20):
        items = some(60, seed=seed, group=lambda i: f"g{i % 12}")
        count = Counter(by_hash(items, tie(items), seed))
        assert count["test"] >= 12 and count["train"] >= 12 and count["valid"] >= 3


def test_rows_of_a_template_are_not_put_into_one_split():
    records = [
        {
            "text": f"my order number {i} has not arrived yet"
            if i % 2
            else f"the invoice {i} is wrong again",
            "label": "ab"[i % 2],
        }
        for i in range(200)
    ]
    mine = prepare(records)
    assert min(len(mine.train), len(mine.test)) > 40
    (finding,) = [f for f in mine.findings if f.kind == "near_duplicate"]
    assert finding.serious and len(finding.rows) == 200


@pytest.mark.parametrize("n", [95, 150])
def test_many_rows_of_one_template_are_near_duplicates_too(n):
    said = "Backup job on server{} failed last night please look at the disk and restart it"
    others = some(400)
    items = others + [Item(f"s{i}", 500 + i, said.format(i), "a", f"s{i}") for i in range(n)]
    ties = tie(items)
    rows = {*range(400, 400 + n)}
    assert rows <= {i for pair in ties.near for i in pair} and rows <= {*ties.templated}
    few = tie(items + some(1500, seed=3))
    assert len({*few.of[400 : 400 + n]}) == 1 and not few.templated


def test_the_latest_rows_are_the_test():
    records = [
        {"text": item.text, "label": item.target, "day": f"2025-{1 + i % 12:02d}-{1 + i % 27:02d}"}
        for i, item in enumerate(some(200))
    ]
    mine = prepare(records, time="day")
    latest = {
        name: [item.features["day"] for item in getattr(mine, name)] for name in ("train", "valid", "test")
    }
    assert max(latest["train"]) < min(latest["valid"]) and max(latest["valid"]) < min(latest["test"])
    assert by_time(list("31254")) == ["valid", "train", "train", "test", "test"]


def test_given_splits_are_kept_and_what_they_lack_comes_out_of_training():
    items = some(400)
    given_split = ["test" if i < 100 else "train" for i in range(400)]
    split = completed(given_split, items, tie(items))
    assert [s == "test" for s in split] == [s == "test" for s in given_split]
    assert 30 < split.count("valid") < 90
    both = completed(["train"] * 400, items, tie(items))
    assert both == [s if s != "train" else "train" for s in both] and 130 < both.count("test") < 190


def test_what_given_splits_share_leaves_training():
    texts = [item.text for item in some(150)]
    records = [
        {"text": t, "label": "ab"[i % 2], "split": "test" if i >= 100 else "train"}
        for i, t in enumerate(texts)
    ]
    records += [{"text": f"{texts[i].upper()}!", "label": "ab"[i % 2], "split": "test"} for i in range(8)]
    mine = prepare(records)
    assert len(mine.test) == 58
    assert not {t.text for t in mine.train + mine.valid} & set(texts[:8])
    (leak,) = [f for f in mine.findings if f.kind == "leak"]
    assert leak.serious and set(leak.rows) == {*range(8), *range(150, 158)}


def test_where_a_text_falls_does_not_hang_on_case_or_the_machine():
    assert position("Hello, World") == position("hello world") != position("hello world", seed=1)
    assert abs(np.mean([position(f"text {i}") for i in range(4000)]) - 0.5) < 0.02
