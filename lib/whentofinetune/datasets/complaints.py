"""What a complaint to the invented company is about: a small classification task."""

from __future__ import annotations

from functools import cache

from tunewise.data import Example, Task
from whentofinetune.datasets import company

ABOUT = {"rhythm": "noise", "drone": "noise", "water": "water", "cloth": "cloth", "paper": "bill"}


@cache
def complaints() -> Task:
    """What a complaint is about: noise, water, cloth or a bill. As many of each as the rarest has, in turn."""
    labels = tuple(dict.fromkeys(ABOUT.values()))

    def examples(split: str) -> tuple[Example, ...]:
        found = company.labelled(split)
        of = [[i for i in found if ABOUT.get(i.signs["trouble"]) == label] for label in labels]
        in_turn = zip(*of, strict=False)
        return tuple(Example(i.text, y, i.id) for one_of_each in in_turn for y, i in enumerate(one_of_each))

    return Task("complaints", labels, *map(examples, company.SPLITS))
