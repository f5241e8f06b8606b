"""The table for markers of the lab "Decide": it is the lab's own rule on the records, for every case that can be drawn."""

from pathlib import Path

from conftest import load

lab_decisions = load(Path(__file__).resolve().parents[1] / "book" / "lab_decisions.py")


def test_every_variant_has_a_decision_among_the_options_that_are_allowed():
    found = {(title, calls, euro): held for title, calls, euro, held in lab_decisions.decisions()}
    assert len(found) == 36
    desks = {key: held for key, held in found.items() if key[0] == "Three desks"}
    assert len(desks) == 9 and "examples in the prompt" not in desks.values(), (
        "nobody knows whether it runs in the house"
    )
    assert "facts in the weights" not in found.values(), "it takes longer than the client allows"
