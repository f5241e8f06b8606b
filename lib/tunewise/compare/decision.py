"""The verdict: which arm to use, by a rule that was fixed before anybody saw the figures.

All arms answer the same test items, so each is compared with each, item by item and group by group. The differences of all pairs are one
family (:func:`tunewise.comparison.family`): that one arm is better than another is said by Holm's procedure over all pairs, and the
printed intervals hold for all pairs at once. They hold whichever arm is picked, so picking the best on the same items does no harm.

From the cheapest arm on, the first is taken that no other beats by the margin or more: the p values of "that other arm is better by the
margin", summed over the other arms (Bonferroni's bound on any of them being it), stay below 0.05. An arm that is truly the margin or more
below the best is so taken in at most one case in twenty; choosing among several such arms adds less than that in practice, which
``bench/compare_simulation.py`` tries with known truths. This is a test of no loss against the best of all: J. C. Hsu (1984), *Constrained
simultaneous confidence intervals for multiple comparisons with the best*, Annals of Statistics 12, 1136-1144.

Where a much cheaper arm may be as good but is not shown to be, nothing is decided, and it is said how many more items would decide it.
Arms in doubt that cost the same are not decided about either: to take the leading of them would be wrong more often than in one decided
case of twenty. It is advised all the same, since whoever must take one of them can do no better without more labels.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from tunewise.compare.base import ArmResult, Decision, OwnData, Settings
from tunewise.compare.monthly_cost import bill, rank, read_prices
from tunewise.compare.verdict_words import Words
from tunewise.comparison import Comparison, compare_arrays, family, mean_arrays
from tunewise.stats import LEVEL

MATTERS = 10.0  # euro a month: for less nobody waits for more test items
MOST_ITEMS = 100_000  # more test items than that are no advice
Pairs = Mapping[tuple[int, int], Comparison]


@dataclass(frozen=True)
class _Choice:
    """Places in the order of price: the arm to use, if any; those that may be the best or as good; the cheaper ones in its way.

    ``chances``: for each arm the bound on the chance of results like these, were another arm better by the margin.
    """

    winner: int | None
    still: tuple[int, ...]
    blocking: tuple[int, ...]
    chances: Sequence[float]


def _pairs(outcomes: Sequence[np.ndarray], groups: Sequence[str], alpha: float) -> Pairs:
    """(i, j) -> i minus j, for all i and j in both directions, as one family; outcomes are [runs, items]."""
    places = [(i, j) for i in range(len(outcomes)) for j in range(i + 1, len(outcomes))]
    found = [compare_arrays(outcomes[i], outcomes[j], groups) for i, j in places]
    return _both_ways(dict(zip(places, found, strict=True)), alpha)


def _both_ways(one_way: Pairs, alpha: float) -> Pairs:
    """The family of the pairs i < j, and each turned round."""
    together = dict(zip(one_way, family(list(one_way.values()), alpha), strict=True))
    return together | {(j, i): _turned(c) for (i, j), c in together.items()}


def _turned(c: Comparison) -> Comparison:
    swapped: dict[str, Any] = dict(mean_a=c.mean_b, mean_b=c.mean_a, seeds_a=c.seeds_b, seeds_b=c.seeds_a)
    return replace(c, estimate=-c.estimate, **swapped)


def _choose(pairs: Pairs, months: Sequence[float], margin: float, alpha: float) -> _Choice:
    places = range(len(months))
    chances = [sum(_p_better(pairs[j, i], margin) for j in places if j != i) for i in places]
    beaten = [
        any(pairs[j, i].significant and pairs[j, i].estimate > 0 for j in places if j != i) for i in places
    ]
    safe = [i for i in places if chances[i] <= alpha]
    still = tuple(i for i in places if i in safe or not beaten[i])
    if not safe:
        return _Choice(None, still, (), chances)
    blocking = tuple(i for i in still if i < safe[0] and months[i] < months[safe[0]] - MATTERS)
    return _Choice(None if blocking else safe[0], still, blocking, chances)


def _p_better(found: Comparison, margin: float) -> float:
    """One-sided p of "a is better than b by the margin or more"; small where it is not."""
    if found.se == 0:
        return float(found.estimate >= margin)
    return float(special.stdtr(found.df, (found.estimate - margin) / found.se))


def decide(data: OwnData, arms: Sequence[ArmResult], settings: Settings) -> Decision:
    """The verdict on ``arms`` by the outcomes of ``data.metric`` on the test items.

    Parameters
    ----------
    settings
        ``margin``, ``need``, ``calls`` and ``prices`` count here.

    Raises
    ------
    ValueError
        For no arms, outcomes that do not fit the test items, a margin that is no positive number, or items of a single group.
    """
    _check(data, arms, settings)
    prices, alpha = read_prices(settings.prices), 1 - LEVEL
    month = {a.name: bill(a, settings.calls, prices).month for a in arms}
    arms = sorted(arms, key=lambda a: rank(a, month[a.name]))
    months = [month[a.name] for a in arms]
    groups = [i.group for i in data.test]
    outcomes = [a.runs(data.metric) for a in arms]
    pairs = _pairs(outcomes, groups, alpha)
    choice = _choose(pairs, months, settings.margin, alpha)
    leading = int(np.argmax([np.mean(o) for o in outcomes]))
    centre = leading if choice.winner is None else choice.winner
    say = Words(data, settings, arms, months, leading, LEVEL, prices)

    def against(i: int) -> dict[int, Comparison]:
        return {j: pairs[i, j] for j in range(len(arms)) if j != i}

    def verdict(kind: Any, winner: int | None, sentence: str, reasons: list[str], **more: Any) -> Decision:
        """With the comparisons of the winner, or of the leading arm where there is none."""
        shown = leading if winner is None else winner
        found = {(arms[shown].name, arms[j].name): c for j, c in against(shown).items()}
        name = None if winner is None else arms[winner].name
        return Decision(kind, name, sentence, reasons, found, leading=arms[leading].name, **more)

    if settings.need is not None:
        means = [mean_arrays(o, groups) for o in outcomes]
        if all(m["high"] < settings.need for m in means):
            sentence = say.none(means[leading])
            return verdict("none_good_enough", None, sentence, say.basis(against(leading)))
    tested = against(centre)
    if choice.winner is None:
        more = _items_to_settle(pairs, months, settings.margin, alpha, len(groups))
        same = len(choice.still) > 1 and float(np.ptp([months[i] for i in choice.still])) <= MATTERS
        sentence = say.cannot(say.doubt(choice.still, choice.blocking), more, same)
        reasons = [*say.undecided(choice.still, more, same), *say.basis(tested)]
        return verdict("cannot_tell", None, sentence, reasons, items_to_settle=more, same_cost=same)
    better = all(c.significant and c.estimate > 0 for c in tested.values())
    sentence = say.use(centre, tested) if better else say.cheaper(centre, tested)
    reasons = [*say.sure(centre, choice.chances[centre]), *say.basis(tested)]
    if settings.need is not None:
        reached = mean_arrays(outcomes[centre], groups, 1 - alpha / len(arms))
        if reached["low"] < settings.need:
            more = _items_to_reach(reached, settings.need, len(groups))
            unsure = say.unsure_of_need(centre, reached, more)
            return verdict("cannot_tell", None, unsure, [sentence, *reasons], items_to_settle=more)
        reasons = [say.reaches(centre, reached), *reasons]
    return verdict("use" if better else "cheaper", centre, sentence, reasons)


def _check(data: OwnData, arms: Sequence[ArmResult], settings: Settings) -> None:
    if not arms:
        raise ValueError("there is no arm to decide about: no arm was run")
    if not settings.margin > 0:
        raise ValueError(
            f"--margin is the smallest difference that matters, above 0; got {settings.margin:g}"
        )
    for arm in arms:
        for run in (arm.outcomes, *arm.repeats):
            if (n := len(run.get(data.metric, ()))) != len(data.test):
                raise ValueError(f"{arm.name} has {n} outcomes of {data.metric} for {len(data.test)} items")


def _items_to_settle(
    pairs: Pairs, months: Sequence[float], margin: float, alpha: float, n: int
) -> int | None:
    """How many more items would decide, were all differences to stay, to the next ten; None above :data:`MOST_ITEMS`."""

    def decided(items: int) -> bool:
        larger = {k: c.with_groups(c.groups * items // n) for k, c in pairs.items() if k[0] < k[1]}
        return _choose(_both_ways(larger, alpha), months, margin, alpha).winner is not None

    wanted = bisect.bisect_left(range(MOST_ITEMS), True, lo=n, key=decided)
    return -(-(wanted - n) // 10) * 10 if wanted < MOST_ITEMS else None


def _items_to_reach(found: Mapping[str, float], need: float, n: int) -> int | None:
    """How many more items would bring the interval off ``need``, were the mean to stay."""
    gap = abs(found["value"] - need)
    wide = max(found["value"] - found["low"], found["high"] - found["value"])
    wanted = n * (wide / gap) ** 2 if gap else MOST_ITEMS
    return max(1, int(np.ceil(wanted)) - n) if wanted < MOST_ITEMS else None
