"""The verdict: which arm to use, by a rule that was fixed before anybody saw the figures.

All arms answer the same test items, so each is compared with each, item by item. Every interval has level 1 - 0.05 / (k - 1) for k
arms. Errors of the verdict can only come from the k - 1 comparisons with the arm that is truly best, whichever it is, so these
intervals hold for all of them at once, and picking the best arm on the same items does no harm: multiple comparisons with the best,
J. C. Hsu (1984), Annals of Statistics 12, 1136-1144. ``bench/compare_simulation.py`` tries it with known truths.

From the cheapest arm on, the first is taken that no other arm beats by the margin or more. Where a cheaper arm may be as good but is
not shown to be, nothing is decided, and it is said how many more items would decide it.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats as distributions

from tunewise import stats
from tunewise.compare.base import ArmResult, Decision, OwnData, Settings
from tunewise.compare.monthly_cost import Prices, bill, rank, read_prices
from tunewise.comparison import Comparison, compare_arrays, family
from tunewise.stats import LEVEL

MATTERS = 1.0  # euro a month: a smaller difference in price is none
MOST_ITEMS = 100_000  # more test items than that are no advice


@dataclass(frozen=True)
class _Choice:
    """Place in the order of price of the arm to use, if any; of those not shown to be worse than the leading one; of those in the way."""

    winner: int | None
    open: tuple[int, ...]
    blocking: tuple[int, ...]


def _choose(estimates: NDArray[Any], halves: NDArray[Any], months: Sequence[float], margin: float) -> _Choice:
    """Arms in the order of price; [i, j] of estimates and half widths is i minus j."""
    others = ~np.eye(len(months), dtype=bool)
    beaten = ((estimates - halves > 0) & others).any(axis=0)
    safe = ((estimates + halves < margin) | ~others).all(axis=0)
    still = tuple(int(i) for i in np.flatnonzero(safe | ~beaten))
    if not safe.any():
        return _Choice(None, still, ())
    first = int(np.argmax(safe))
    blocking = tuple(i for i in still if i < first and months[i] < months[first] - MATTERS)
    return _Choice(None if blocking else first, still, blocking)


def decide(
    data: OwnData,
    arms: Sequence[ArmResult],
    settings: Settings,
    *,
    prices: Prices | None = None,
    level: float = LEVEL,
) -> Decision:
    """The verdict on ``arms`` by the outcomes of ``data.metric`` on the test items.

    Parameters
    ----------
    settings
        ``margin``, ``need`` and ``calls`` count here, and ``prices`` where none are given.
    level
        Confidence that the verdict is not wrong, over all comparisons together.

    Raises
    ------
    ValueError
        For no arms, outcomes that do not fit the test items, a margin that is no positive number, or items of a single group.
    """
    if not arms:
        raise ValueError("there is no arm to decide about: no arm was run")
    if not settings.margin > 0:
        raise ValueError(
            f"--margin is the smallest difference that matters, above 0; got {settings.margin:g}"
        )
    for arm in arms:
        found = len(arm.outcomes.get(data.metric, ()))
        if found != len(data.test):
            raise ValueError(f"{arm.name} has {found} outcomes of {data.metric} for {len(data.test)} items")
    prices = prices or read_prices(settings.prices)
    month = {a.name: bill(a, settings.calls, prices).month for a in arms}
    arms = sorted(arms, key=lambda a: rank(a, month[a.name]))
    groups = [i.group for i in data.test]
    outcomes = [np.asarray(a.outcomes[data.metric], dtype=float) for a in arms]
    share = 1 - (1 - level) / max(1, len(arms) - 1)
    pairs = {
        (i, j): replace(compare_arrays([outcomes[i]], [outcomes[j]], groups), level=share)
        for i in range(len(arms))
        for j in range(len(arms))
        if i != j
    }
    estimates, se, quantile = (np.zeros((len(arms), len(arms))) for _ in range(3))
    for (i, j), p in pairs.items():
        estimates[i, j], se[i, j] = p.estimate, p.se
        quantile[i, j] = distributions.t.ppf((1 + share) / 2, p.df)
    months = [month[a.name] for a in arms]
    choice = _choose(estimates, quantile * se, months, settings.margin)
    leading = int(np.argmax([o.mean() for o in outcomes]))
    winner = choice.winner
    centre = leading if winner is None else winner
    rest = [j for j in range(len(arms)) if j != centre]
    tested = family([pairs[centre, j] for j in rest], alpha=1 - level) if rest else []
    comparisons = {(arms[centre].name, arms[j].name): c for j, c in zip(rest, tested, strict=True)}
    said = _Words(data, settings, arms, months, leading, len(groups), share, level)
    kwargs: dict[str, Any] = dict(comparisons=comparisons, leading=arms[leading].name)
    if settings.need is not None:
        means = [stats.mean_interval(o.tolist(), groups, level) for o in outcomes]
        if all(m["high"] < settings.need for m in means):
            return Decision("none_good_enough", None, said.none(means[leading]), said.basis(tested), **kwargs)
    if winner is None:

        def settled(n: int) -> bool:
            halves = quantile * se * np.sqrt(len(groups) / n)
            return _choose(estimates, halves, months, settings.margin).winner is not None

        n = bisect.bisect_left(range(MOST_ITEMS), True, lo=len(groups), key=settled)
        more = None if n >= MOST_ITEMS else n - len(groups)
        return Decision(
            "cannot_tell",
            None,
            said.cannot(more),
            said.undecided(choice) + said.basis(tested),
            **kwargs,
            items_to_settle=more,
        )
    better = all(c.significant and c.estimate > 0 for c in tested)
    equal = [j for j, c in zip(rest, tested, strict=True) if not c.significant or c.estimate < 0]
    sentence = said.use(winner, tested, rest) if better else said.cheaper(winner, equal, comparisons)
    reasons = said.basis(tested)
    if settings.need is not None:
        reached = stats.mean_interval(outcomes[winner].tolist(), groups, 1 - (1 - level) / len(arms))
        if reached["low"] < settings.need:
            more = _items_to_reach(reached, settings.need, len(groups))
            return Decision(
                "cannot_tell",
                None,
                said.unsure_of_need(winner, reached, more),
                [sentence, *reasons],
                **kwargs,
                items_to_settle=more,
            )
        reasons = [said.reaches(winner, reached), *reasons]
    return Decision("use" if better else "cheaper", arms[winner].name, sentence, reasons, **kwargs)


def _items_to_reach(found: Mapping[str, float], need: float, n: int) -> int | None:
    """How many more items would bring the interval off ``need``, were the mean to stay."""
    gap = abs(found["value"] - need)
    wide = max(found["value"] - found["low"], found["high"] - found["value"])
    more = int(np.ceil(n * (wide / gap) ** 2)) - n if gap else MOST_ITEMS
    return max(more, 1) if more < MOST_ITEMS else None


@dataclass(frozen=True)
class _Words:
    """The sentences of a verdict; arms in the order of price."""

    data: OwnData
    settings: Settings
    arms: Sequence[ArmResult]
    months: Sequence[float]
    leading: int
    n: int
    share: float
    level: float

    def size(self, value: float, sign: bool = False) -> str:
        plus = "+" if sign else ""
        if self.data.metric == "score":
            return f"{value:{plus}.3g}"
        return f"{100 * value:{plus}.1f} points".replace(".0 points", " points").replace("-", "−")

    def mean(self, value: float) -> str:
        return f"{value:.3g}" if self.data.metric == "score" else f"{100 * value:.0f}%"

    def title(self, i: int) -> str:
        return self.arms[i].title

    def names(self, places: Sequence[int]) -> str:
        names = [self.title(i) for i in places]
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

    def got(self, i: int) -> str:
        values = self.arms[i].outcomes[self.data.metric]
        return f"{self.mean(float(np.mean(values)))} on {self.n} test items"

    def use(self, winner: int, tested: Sequence[Comparison], rest: Sequence[int]) -> str:
        if not tested:
            return f"Use {self.title(winner)}, the only arm that was run: {self.got(winner)}."
        j, near = min(zip(rest, tested, strict=True), key=lambda p: p[1].estimate)
        return (
            f"Use {self.title(winner)}: {self.got(winner)}, {self.size(near.estimate)} better than the next, {self.title(j)} "
            f"({self.size(near.low, True)} to {self.size(near.high, True)})."
        )

    def cheaper(self, winner: int, equal: Sequence[int], found: Mapping[tuple[str, str], Comparison]) -> str:
        x, margin = self.title(winner), self.size(self.settings.margin)
        behind = [
            j
            for j in equal
            if (c := found[self.arms[winner].name, self.arms[j].name]).significant and c.estimate < 0
        ]
        if behind:
            return f"{self.names(behind)} did better than {x}, but by less than the {margin} that matter: take the cheaper, {x} ({self.got(winner)})."
        dearer = [j for j in equal if self.months[j] > self.months[winner] + MATTERS]
        if dearer:
            word = "the cheaper" if len(equal) == 1 else "the cheapest"
            if len(dearer) == len(equal):
                return f"{self.names([winner, *equal])} can't be told apart: take {word}, {x} ({self.got(winner)})."
        why = (
            "the simplest of them" if all(j > winner for j in equal) else "which no other beats by the margin"
        )
        return f"{self.names([winner, *equal])} can't be told apart, and cost about the same: take {x}, {why} ({self.got(winner)})."

    def cannot(self, more: int | None) -> str:
        if more is None:
            return "Cannot tell: the arms are too close for any realistic number of test items."
        return f"Cannot tell: about {more:,} more test items would settle it."

    def undecided(self, choice: _Choice) -> list[str]:
        margin, best = self.size(self.settings.margin), self.title(self.leading)
        out = (
            [f"{self.names(choice.open)} may each be the best, or within {margin} of it."]
            if len(choice.open) > 1
            else []
        )
        if choice.blocking:
            out.append(
                f"{self.names(choice.blocking)} would be cheaper; whether it is as good, these items cannot tell."
                if len(choice.blocking) == 1
                else f"{self.names(choice.blocking)} would be cheaper; whether they are as good, these items cannot tell."
            )
        until = f"Until then take {best}, which did best ({self.got(self.leading)})"
        first = choice.open[0]
        cheap = (
            ""
            if first == self.leading
            else f", or {self.title(first)} ({self.got(first)}), the cheapest that may be as good"
        )
        return [*out, f"{until}{cheap}."]

    def none(self, best: Mapping[str, Any]) -> str:
        return (
            f"None is good enough: {self.title(self.leading)} did best with {self.got(self.leading)} "
            f"({self.mean(best['low'])} to {self.mean(best['high'])}), below the {self.mean(self.settings.need or 0)} that you need."
        )

    def unsure_of_need(self, winner: int, found: Mapping[str, Any], more: int | None) -> str:
        remedy = (
            "no realistic number of test items would tell"
            if more is None
            else f"about {more:,} more test items would tell"
        )
        return (
            f"Cannot tell whether {self.title(winner)} reaches the {self.mean(self.settings.need or 0)} that you need "
            f"({self.got(winner)}, {self.mean(found['low'])} to {self.mean(found['high'])}): {remedy}."
        )

    def reaches(self, winner: int, found: Mapping[str, Any]) -> str:
        return f"{self.title(winner)} reaches the {self.mean(self.settings.need or 0)} that you need: at least {self.mean(found['low'])}."

    def basis(self, tested: Sequence[Comparison]) -> list[str]:
        """What the verdict rests on."""
        groups = len({i.group for i in self.data.test})
        together = f" in {groups} groups that belong together" if groups < self.n else ""
        out = [
            f"A difference of {self.size(self.settings.margin)} or more matters; {self.n} test items{together}, which no arm saw before."
        ]
        if tested:
            least = self.size(max(c.detectable for c in tested))
            out.append(
                f"{len(self.arms)} arms were compared, and each interval is at {100 * self.share:.1f}%, so that all comparisons with the best "
                f"arm hold together at {100 * self.level:.0f}%. The smallest difference that these items would show in four of five cases "
                f"is {least}."
            )
        if any(self.arms[i].family == "tuned" for i in range(len(self.arms))):
            out.append(
                "A tuned arm stands for the one model that was trained here: a new training may come out a little differently."
            )
        return out
