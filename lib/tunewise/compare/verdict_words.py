"""The sentences of a verdict on own data: what to use, what it rests on, what to do until more is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunewise.words import signed

if TYPE_CHECKING:
    from tunewise.compare.base import ArmResult, OwnData, Settings
    from tunewise.compare.monthly_cost import Prices
    from tunewise.comparison import Comparison


def begun(sentence: str) -> str:
    """The sentence with a capital at its beginning."""
    return sentence[:1].upper() + sentence[1:]


def rows_to_add(data: OwnData, items: int) -> int:
    """Rows to label until there are so many more test items: with splits of ours a part of the new rows becomes the test."""
    if data.columns.split:
        return items
    return math.ceil(items * (1 + (len(data.train) + len(data.valid)) / len(data.test)))


def how_split(data: OwnData) -> str:
    """How the rows were split, and why."""
    sizes = f"{len(data.train):,} rows to learn from, {len(data.valid):,} to choose settings by, {len(data.test):,} to test on"
    columns = data.columns
    if columns.time:
        how = f"the latest by {columns.time} are the test, as texts to come will be later still"
    elif columns.split:
        how = f"as the column {columns.split} says"
    elif columns.group:
        how = f"drawn at random, rows with the same {columns.group} together, so that the test holds none that an arm half knows"
    else:
        how = "drawn at random, near-duplicates together where they can be, so that the test holds none that an arm half knows"
    large = (
        ""
        if columns.split
        else " The test part is large, since it decides how small a difference can be told."
    )
    return f"{sizes}: {how}.{large}"


def labelling(rows: int, prices: Prices) -> str:
    """What it costs to label so many rows, in words."""
    hours = rows * prices.seconds_a_label / 3600
    return f"about {hours:.1f} hours of work, €{hours * prices.labelling_euro_an_hour:,.0f}"


@dataclass(frozen=True)
class Words:
    """The sentences of a verdict; arms in the order of price."""

    data: OwnData
    settings: Settings
    arms: Sequence[ArmResult]
    months: Sequence[float]
    leading: int
    level: float
    prices: Prices

    @property
    def n(self) -> int:
        return len(self.data.test)

    def size(self, value: float, sign: bool = False) -> str:
        plus = "+" if sign else ""
        if self.data.metric == "score":
            return signed(value, ".3g", plus)
        return f"{signed(100 * value, '.1f', plus)} points".replace(".0 points", " points")

    def mean(self, value: float) -> str:
        return f"{value:.3g}" if self.data.metric == "score" else f"{100 * value:.0f}%"

    def title(self, i: int) -> str:
        return self.arms[i].named

    def names(self, places: Sequence[int]) -> str:
        names = [self.title(i) for i in places]
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

    def got(self, i: int) -> str:
        return f"{self.mean(self.arms[i].mean(self.data.metric))} on {self.n} test items"

    @property
    def repeated(self) -> bool:
        """Whether an arm was trained more than once."""
        return any(a.repeats for a in self.arms)

    @property
    def as_far(self) -> str:
        """A reservation where an arm has no price."""
        return " as far as costs are known" if math.inf in self.months else ""

    @property
    def did(self) -> str:
        """How the leading arm did; there may be others with the same mean."""
        means = [a.mean(self.data.metric) for a in self.arms]
        return "did best" if means.count(max(means)) == 1 else "did as well as any"

    def use(self, winner: int, tested: Mapping[int, Comparison]) -> str:
        if not tested:
            return f"Use {self.title(winner)}, the only arm that was run: {self.got(winner)}."
        j, near = min(tested.items(), key=lambda p: p[1].estimate)
        span = f" ({self.size(near.low, True)} to {self.size(near.high, True)})" if near.low > 0 else ""
        return f"Use {self.title(winner)}: {self.got(winner)}, {self.size(near.estimate)} better than the next, {self.title(j)}{span}."

    def cheaper(self, winner: int, tested: Mapping[int, Comparison]) -> str:
        x, margin = self.title(winner), self.size(self.settings.margin)
        behind = [j for j, c in tested.items() if c.significant and c.estimate < 0]
        if behind:
            return f"{begun(self.names(behind))} did better than {x}, but by less than the {margin} that matter: take the cheaper{self.as_far}, {x} ({self.got(winner)})."
        equal = [j for j, c in tested.items() if not c.significant]
        told = f"{begun(self.names([winner, *equal]))} can't be told apart"
        if all(round(self.months[j], 0) > round(self.months[winner], 0) for j in equal):
            return f"{told}: take {'the cheaper' if len(equal) == 1 else 'the cheapest'}{self.as_far}, {x} ({self.got(winner)})."
        if all(j > winner for j in equal):
            return f"{told}, and cost about the same: take the simplest, {x} ({self.got(winner)})."
        return f"{told}: take {x}, which no other beats by {margin} or more ({self.got(winner)})."

    def doubt(self, still: Sequence[int], blocking: Sequence[int]) -> str:
        """What cannot be told."""
        margin = self.size(self.settings.margin)
        if blocking:
            others = self.names([i for i in still if i not in blocking])
            verb = "is" if len(blocking) == 1 else "are"
            return f"whether {self.names(blocking)}, cheaper to run{self.as_far}, {verb} as good as {others}, or less than {margin} worse"
        if len(still) == 1:
            return f"whether another arm is better than {self.title(still[0])} by {margin} or more"
        return f"which of {self.names(still)} is better by {margin} or more"

    def cannot(self, doubt: str, more: int | None, same_cost: bool) -> str:
        if same_cost:
            return f"Cannot tell {doubt}, and they cost about the same: take {self.title(self.leading)}, which {self.did} ({self.got(self.leading)})."
        if more is None:
            near = "too close, or training runs differ too much," if self.repeated else "too close"
            return f"Cannot tell {doubt}: they are {near} for any realistic number of test items."
        return f"Cannot tell {doubt}: about {more:,} more test items would settle it, if the differences stay as they are."

    def undecided(self, still: Sequence[int], more: int | None, same_cost: bool) -> list[str]:
        out = []
        if more:
            rows = rows_to_add(self.data, more)
            work = labelling(rows, self.prices)
            out.append(
                f"About {rows:,} more labelled rows in {self.data.name} bring so many test items: {work}."
            )
        if same_cost:
            margin = self.size(self.settings.margin)
            tell = f"About {more:,} more test items would tell them apart. " if more else ""
            worth = f" That is worth it only if {margin} are worth the work to you." if more else ""
            return [f"None of them is shown to be better. {tell}{''.join(out)}{worth}"]
        cheap = f", or {self.title(still[0])} ({self.got(still[0])}), the cheapest that may be as good"
        cheap = "" if still[0] == self.leading else cheap
        return [
            *out,
            f"Until then take {self.title(self.leading)}, which {self.did} ({self.got(self.leading)}){cheap}.",
        ]

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
        return f"{begun(self.title(winner))} reaches the {self.mean(self.settings.need or 0)} that you need: at least {self.mean(found['low'])}."

    def sure(self, winner: int, chance: float) -> list[str]:
        """How sure it is that no other arm is better by the margin."""
        if len(self.arms) < 2:
            return []
        shown = f"at most {100 * max(chance, 0.001):.1f}%"
        return [
            f"If another arm were better than {self.title(winner)} by {self.size(self.settings.margin)} or more, results like these would come up "
            f"in {shown} of cases."
        ]

    def basis(self, tested: Mapping[int, Comparison]) -> list[str]:
        """What the verdict rests on."""
        groups = len({i.group for i in self.data.test})
        together = f" in {groups} groups of rows that belong together" if groups < self.n else ""
        margin, k = self.size(self.settings.margin), len(self.arms)
        out = [
            f"A difference of {margin} or more matters; {self.n} test items{together}, which no arm saw before."
        ]
        if tested:
            least = self.size(min(tested.values(), key=lambda c: c.estimate).detectable)
            out.append(
                f"{k} arms were compared, each with each. The intervals hold for all pairs at once at {100 * self.level:.0f}%, so "
                "that picking the best of them on the same items does no harm. Whether a difference is shown is decided by Holm's procedure, "
                "which can show one whose interval just touches 0. The smallest difference between the two best that these items would show in four "
                f"of five cases is {least}."
            )
        if self.settings.need is None:
            out.append("Whether the best is good enough was not asked: --need 0.9, for one, asks it.")
        if self.repeated:
            out.append("The intervals of a fine-tuned model hold how much its training runs differ.")
        elif any(a.family == "tuned" or a.name == "encoder" for a in self.arms):
            out.append(
                "What was fine-tuned was trained once: a training run with another seed can come out several points better or worse, which the interval does not hold. --runs 3 measures it."
            )
        return out
