"""The company's complaints as a classification task, and what a prompt can say of the rule behind it.

The complaints go to one of three desks by a rule that was never written down (:func:`whentofinetune.datasets.company.desk`). Half of
the validation and test texts are worded as in training (``seen``), half anew (``new``).
"""

from __future__ import annotations

from collections.abc import Sequence

from tunewise.baselines import majority
from tunewise.data import Example, Task
from tunewise.prompting import TEMPLATES, PromptTemplate
from whentofinetune.datasets import company

PARTS = ("seen", "new")


def _rule(name: str, says: str) -> PromptTemplate:
    return PromptTemplate(name, f"{says.strip()}\n\n", "Complaint:", "\nDesk:")


# What a prompt can say of the desks: only their names, or the rule in words.
NAMES = (
    TEMPLATES["instruction"],
    _rule("sent to", "Each complaint is sent to one of three desks: bench, road or letter."),
)
RULES = (
    _rule(
        "short",
        """
Send each complaint to a desk. Noises with a beat and dead drives: bench. Water and torn cloth: road. Bills, looks and even noises: letter.""",
    ),
    _rule(
        "desks",
        """
Each complaint goes to one of three desks.
letter: what can be answered in writing. Bills and orders, marks and colours, and an even noise such as a hum.
road: a fitter drives out. Water, torn or loose cloth, and a mark or a hum that the customer has written about before.
bench: the drive is sent in to us. A noise with a beat, such as a knock, and a drive that does nothing. If it hangs high, or in a public place such as a
hotel or a school, the fitter drives out instead: road.
If an installer or a dealer writes, noises and dead drives go to the bench, and water and cloth get a letter.""",
    ),
    _rule(
        "steps",
        """
Send each complaint to a desk. Take the first line that fits.
1. A bill or an order: letter.
2. A mark or a colour: letter. Written about before: road.
3. An installer or dealer writes: letter for water and cloth, bench for the rest.
4. Water, or torn or loose cloth: road.
5. An even noise: letter. Written about before: road.
6. A noise with a beat, or a dead drive: road if it hangs high or in a public place, else bench.""",
    ),
    _rule(
        "story",
        """
Ask what it takes to put a complaint right. If a few lines will do, as for a bill, a stain or a hum, it gets a letter, but who has to complain of a stain
or a hum a second time gets a visit: road. Rain and torn cloth are for the fitter on the road. Knocks and dead drives are mended on our bench, if the
owner can take the thing down; in a hotel, a school or high up we fetch it: road. Installers have ladders: they send in what is broken, bench, and mend
water and cloth with a letter from us.""",
    ),
)


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
    groups, test = len(company.DESKS) * len(PARTS), company.labelled("test")
    if test_n is not None:
        if test_n < groups or test_n % groups or test_n > len(test):
            raise ValueError(
                f"test_n must be a multiple of {groups} from {groups} to {len(test)}, not {test_n}"
            )
        kept = {
            i.id
            for d in company.DESKS
            for p in PARTS
            for i in [t for t in test if (t.label, t.wording) == (d, p)][: test_n // groups]
        }
        test = [t for t in test if t.id in kept]
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
    usual = {
        t: int(majority([e.label for e in task.train if signs[e.id] == t], 1)[0])
        for t in {signs[e.id] for e in task.train}
    }
    return [usual[signs[e.id]] for e in task.test]
