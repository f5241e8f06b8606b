"""The company's complaints as two classification tasks, and what a prompt can say of the rule behind the first.

The complaints go to one of three desks by a rule that was never written down (``desk`` in ``data/company/build.py``). Half of
the validation and test texts are worded as in training (``seen``), half anew (``new``).
"""

from collections.abc import Sequence
from functools import cache

from tunewise.baselines import majority
from tunewise.data import Example, Task
from tunewise.prompting import TEMPLATES, PromptTemplate
from whentofinetune.book_files import read_yaml
from whentofinetune.datasets import company

PARTS = ("seen", "new")


def _rule(name: str, says: str) -> PromptTemplate:
    return PromptTemplate(name, f"{says}\n\n", "Complaint:", "\nDesk:")


# What a prompt can say of the desks: only their names, or the rule in words.
_SENT = _rule("sent to", "Each complaint is sent to one of three desks: bench, road or letter.")
NAMES = (TEMPLATES["instruction"], _SENT)
RULES = tuple(_rule(*r) for r in read_yaml("company/desk_rules.yaml").items())


def desks(test_n: int | None = None) -> Task:
    """The labelled complaints with the labels of ``company.DESKS``.

    Parameters
    ----------
    test_n
        As many test items, a sixth of them from each desk and wording (None: all 240).

    Raises
    ------
    ValueError
        If ``test_n`` is no multiple of six or more than there are.
    """
    kinds, test = [(d, p) for d in company.DESKS for p in PARTS], company.labelled("test")
    if test_n is not None:
        least = len(kinds)
        if test_n < least or test_n % least or test_n > len(test):
            allowed = f"a multiple of {least} from {least} to {len(test)}"
            raise ValueError(f"test_n must be {allowed}, not {test_n}")
        of = {kind: [t.id for t in test if (t.label, t.wording) == kind][: test_n // least] for kind in kinds}
        test = [t for t in test if t.id in of[t.label, t.wording]]
    splits = (company.labelled("train"), company.labelled("valid"), test)
    made = (tuple(Example(i.text, company.DESKS.index(i.label), i.id) for i in items) for items in splits)
    return Task("desks", company.DESKS, *made)


def wording(items: Sequence[Example]) -> list[str]:
    """``seen`` or ``new`` for each of the complaints."""
    known = {i.id: i.wording for i in company.labelled()}
    return [known[e.id] for e in items]


def by_trouble(task: Task) -> list[int]:
    """Labels of the test texts, predicted from each text's trouble alone: the desk to which most training texts with that trouble go."""
    signs = {i.id: i.signs["trouble"] for i in company.labelled()}
    of = {t: [e.label for e in task.train if signs[e.id] == t] for t in signs.values()}
    return [int(majority(of[signs[e.id]], 1)[0]) for e in task.test]


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
