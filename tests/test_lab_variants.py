"""What the labs' libraries make for each student holds for all of them, not only for the example."""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

from tunewise.comparison import AGREES, DISAGREES, Comparison, judge
from tunewise.near_duplicates import plain
from whentofinetune.calculators.decide import checked
from whentofinetune.labs import abilities_lab, benchmark_lab, decide_lab, notebooks, variant

ROOT = Path(__file__).resolve().parents[1]
STUDENTS = [variant(f"s{i}") for i in range(25)]


def test_planted_copies_are_alike_and_nothing_else_is(tmp_path):
    """The lab's threshold is a half of the different words, and a student may cut words a little otherwise: keep well away from it."""
    sizes = set()
    for student in STUDENTS[:8]:
        copied = benchmark_lab.write(student, tmp_path)
        train, test = (
            [set(plain(json.loads(line)["text"]).split()) for line in (tmp_path / f"{n}.jsonl").open()]
            for n in ("train", "test")
        )
        most = [max(len(t & other) / len(t | other) for other in train) for t in test]
        assert min(most[i] for i in copied) > 0.6
        assert max(m for i, m in enumerate(most) if i not in copied) < 0.45
        sizes.add((len(test), *copied))
    assert len(sizes) == 8


def test_no_test_tweet_is_near_another_in_any_disguise():
    """So that whoever draws which of them, only planted copies reach the lab's half."""
    train, test = ([row["text"] for row in part] for part in benchmark_lab.pool())
    disguised = [(i, d.format(text)) for i, text in enumerate(test) for d in benchmark_lab._DISGUISES]

    def words(text):
        return set(re.findall(r"\w+", text.lower()))

    others = [(i, words(text)) for i, text in [*((None, t) for t in train), *disguised]]
    mine = [words(text) for text in test]
    assert max(len(w & o) / len(w | o) for i, w in enumerate(mine) for k, o in others if k != i) < 0.45


@pytest.mark.parametrize(("lab", "cell"), [("tune_one", "tune-says"), ("benchmark", "bm-conclude")])
@pytest.mark.parametrize("se", [0.008, 0.02, 0.05])
def test_an_interval_gets_the_books_word(lab, cell, se):
    """Whichever way the difference goes: the lab's solution against the rule for verdicts."""
    cells = nbformat.read(ROOT / "labs" / f"lab_{lab}.ipynb", 4).cells
    (source,) = (c.source for c in cells if notebooks.marker(c.source) == cell)
    room, met = {}, set()
    exec(source, room)
    for estimate in np.linspace(-0.12, 0.12, 49):
        found = Comparison(estimate, se, 50, 0.5, 0.5, n=300, groups=300)
        above, below = (judge(found, 0.05, predicted).verdict for predicted in ("above", "below"))
        word = "better" if above == AGREES else "worse" if below == AGREES else above
        word = below if word == DISAGREES else word
        ends = found.low, found.high
        says, conclude = room.get("says"), room.get("conclude")
        assert word == (says(*ends, 0.05) if says else conclude(estimate, *ends, found.significant, 0.05))
        met.add(word)
    assert {"better", "worse"} < met


def test_every_case_can_be_decided_and_speaks_of_its_own_numbers():
    seen = {}
    for student in STUDENTS:
        case = decide_lab.case(student)
        seen.setdefault(case.title, case)
        checked(decide_lab.key(student))
        assert not hasattr(case, "answers"), "the key of exercise 1 is shown to whoever prints the case"
        assert f"{case.calls:,}" in case.page and f"{case.wrong_costs:.2f}" in case.page
    assert len(seen) == 4
    for case in seen.values():
        items = {frozenset(of) for of in case.outcomes.values()}
        assert len(items) == 1, f"{case.title}: options were not asked about the same items"
        assert items.pop() and all(all(of.values()) for of in case.outcomes.values()), (
            f"{case.title}: no item"
        )
        met = [
            all(
                o[k] is not None and (o[k] <= v if k == "days_to_update" else o[k])
                for k, v in case.must.items()
            )
            for o in case.options.values()
        ]
        assert sum(met) >= 2, f"{case.title}: nothing to decide"
        assert not all(met), f"{case.title}: the memo asks which options were out of the question"


def test_an_option_that_nobody_measured_is_refused(monkeypatch):
    found, calls, wrong_costs = decide_lab._drawn(STUDENTS[0])
    list(found["options"].values())[1]["where"]["method"] = "dowsing"
    monkeypatch.setattr(decide_lab, "_drawn", lambda v: (found, calls, wrong_costs))
    with pytest.raises(ValueError, match="examples in the prompt: no row of voice matches .*dowsing"):
        decide_lab.case(STUDENTS[0])


@pytest.mark.parametrize("name", abilities_lab.RULES)
def test_rules_differ_on_four_letters_and_coincide_on_fewer(name):
    rule = abilities_lab.RULES[name][1]
    others = [r for n, (_, r) in abilities_lab.RULES.items() if n != name] + list(
        abilities_lab.SIMPLE.values()
    )
    for word in ("", "a", "abcd", "abcdefg"):
        assert sorted(rule(list(word))) == sorted(word)
    assert all(other(list("abcd")) != rule(list("abcd")) for other in others)
    assert any(other(list("ab")) == rule(list("ab")) for other in others)
