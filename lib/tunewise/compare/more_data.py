"""Would more labels help, and which rows should be labelled next?

The share of wrong answers falls with the number of labels about as a power, a line on logarithmic axes: J. Hestness and others (2017),
*Deep Learning Scaling is Predictable, Empirically*. Its logit is taken in place of its logarithm, which is the same for few errors and
keeps many below all. The band carries what is not known: which test items were drawn (bootstrap over
their groups), how much one training differs from the next (the points' distance from the line, which with three points says little and
therefore is drawn from its posterior), and that gains may be over at the last point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

if TYPE_CHECKING:
    from tunewise.compare.base import ArmResult, Item, OwnData, Report

Array = NDArray[Any]
BAND = 0.9
DRAWS = 1000
OVER = 0.1  # chance that the gain is over at the last point
LIKELY, UNLIKELY = 0.75, 0.1  # chances of a gain that matters
TRAINING_SD = (
    0.12  # of the logit of a training's share of wrong answers, known before: counts as PRIOR_POINTS points
)
PRIOR_POINTS = 2
STEPS = (2, 4)  # times the labels that there are
NEXT = 20  # rows of the pool that are named


@dataclass(frozen=True)
class Forecast:
    """The arm with ``labels`` training examples: expected share of right answers and its band, and the chance of a gain that matters."""

    labels: int
    value: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True)
class LearningCurve:
    """Measured points (labels, share), forecasts for more labels, and what they say in a sentence.

    ``advice``: ``label more``, ``enough`` or ``cannot tell``.
    """

    name: str
    title: str
    points: tuple[tuple[int, float], ...]
    forecasts: tuple[Forecast, ...]
    advice: str
    sentence: str


def forecast(
    labels: Sequence[int],
    outcomes: ArrayLike,
    groups: Sequence[str],
    *,
    margin: float = 0.03,
    seed: int = 0,
) -> tuple[Forecast, ...]:
    """What :data:`STEPS` times the most labels would give.

    Parameters
    ----------
    labels
        Numbers of training examples, two different ones at least, [points].
    outcomes
        Outcomes in [0, 1] on the same test items, [points, items].
    groups
        The group of each item, [items].
    margin
        The smallest gain that matters.

    Raises
    ------
    ValueError
        For fewer than two numbers of labels.
    """
    order = np.argsort(labels)
    x, y = np.log(np.asarray(labels, dtype=float)[order]), np.asarray(outcomes, dtype=float)[order]
    if len(set(labels)) < 2:
        raise ValueError("a learning curve needs results at two numbers of labels or more")
    rng = np.random.default_rng(seed)
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1
    weights = rng.multinomial(count, np.full(count, 1 / count), size=DRAWS)[:, member]  # [draws, items]
    items = weights.sum(axis=1, keepdims=True)
    wrong = (weights @ (1 - y).T + 0.5) / (
        items + 1
    )  # half an item more on both sides, so that none is at 0 or 1
    wrong_logit = logit(wrong)
    centred = x - x.mean()
    fitted = logit(((1 - y).sum(axis=1) + 0.5) / (y.shape[1] + 1))
    rest = fitted - fitted.mean() - centred * (centred @ fitted) / (centred @ centred)
    df = len(x) - 2 + PRIOR_POINTS
    scale = float(rest @ rest) + PRIOR_POINTS * TRAINING_SD**2
    noise = np.sqrt(scale / rng.chisquare(df, DRAWS))  # of one training, [draws]
    drawn = wrong_logit + noise[:, None] * rng.standard_normal((DRAWS, len(x)))
    slope = np.minimum(drawn @ centred / (centred @ centred), 0)
    slope = np.where(rng.random(DRAWS) < OVER, 0, slope)
    last = drawn.mean(axis=1) + slope * (x[-1] - x.mean())
    last = np.where(slope == 0, wrong_logit[:, -1], last)
    tail = 100 * np.array([(1 - BAND) / 2, (1 + BAND) / 2])
    found = []
    for times in STEPS:
        future = last + slope * np.log(times) + noise * rng.standard_normal(DRAWS)
        share = 1 - expit(future)
        gain = share - (1 - wrong[:, -1])
        low, high = (float(v) for v in np.percentile(share, tail))
        chance = float((gain >= margin).mean())
        found.append(Forecast(int(max(labels) * times), float(np.median(share)), low, high, chance))
    return tuple(found)


def learning_curve(report: Report, name: str) -> LearningCurve | None:
    """The curve of one arm from its points ``NAME@LABELS``; None without any, or for a metric that is no share."""
    metric, margin = report.data.metric, report.settings.margin
    points = [a for a in report.curve if a.name.partition("@")[0] == name]
    whole = report.arm(name)
    arms = sorted(
        [*(p for p in points if p.cost.labels < whole.cost.labels), whole], key=lambda a: a.cost.labels
    )
    if metric == "score" or len(arms) < 2:
        return None
    return curve_of(arms, report.data, margin)


def curve_of(arms: Sequence[ArmResult], data: OwnData, margin: float) -> LearningCurve:
    """The curve of one arm at rising numbers of labels (``cost.labels``), the last of them all there are."""
    outcomes = [a.runs(data.metric).mean(axis=0) for a in arms]
    labels = [a.cost.labels for a in arms]
    found = forecast(labels, outcomes, [i.group for i in data.test], margin=margin)
    twice, fourfold = found[0], found[-1]
    now = float(np.mean(outcomes[-1]))
    span = f"{100 * twice.low:.0f}% to {100 * twice.high:.0f}%"
    said = f"With {twice.labels:,} labels, twice as many, {arms[-1].named} would be at {span} (now {100 * now:.0f}%)"
    points = f"{100 * margin:.1f}".removesuffix(".0") + " points"
    chance = f"the chance of a gain of {points} or more is about {100 * twice.chance:.0f}%"
    if twice.chance >= LIKELY:
        beware = (
            ", though a gain is not certain: the band starts below today's value" if twice.low < now else ""
        )
        advice, why = "label more", f"label more: {chance}{beware}"
    elif fourfold.chance <= UNLIKELY:
        advice, why = (
            "enough",
            f"enough labels: even four times as many would hardly bring the {points} that matter",
        )
    else:
        advice, why = "cannot tell", f"{chance}: too little to advise it, too much to rule it out"
    shares = tuple((n, float(np.mean(o))) for n, o in zip(labels, outcomes, strict=True))
    return LearningCurve(arms[-1].name, arms[-1].title, shares, found, advice, f"{said}; {why}.")


def label_next(data: OwnData) -> tuple[Item, ...]:
    """The rows of the pool to label first: where three quick classifiers disagree, spread over what the texts are about.

    Returns
    -------
    tuple of Item
        In the order in which to label them; all of the pool where it has no more than :data:`NEXT`.

    Notes
    -----
    Disagreement is the entropy of the votes (query by committee: H. S. Seung and others, COLT 1992). Rows are taken one after another,
    each the largest in (entropy + 0.1) x distance to the nearest row that is labelled or taken already (k-center: O. Sener & S. Savarese,
    ICLR 2018), in TF-IDF vectors.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    if len(data.pool) <= NEXT:
        return tuple(data.pool)
    texts = [i.text for i in data.pool]
    known = [i.text for i in data.train]
    vectors = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 4), max_features=20_000)
    made = vectors.fit_transform([*known, *texts])
    seen, pool = made[: len(known)], made[len(known) :]
    votes = _committee(data, seen, pool)
    entropy = np.array([_entropy([v[n] for v in votes]) for n in range(len(texts))]) + 0.1
    nearest = np.asarray((pool @ seen.T).max(axis=1).todense()).ravel() if known else np.zeros(len(texts))
    taken: list[int] = []
    for _ in range(NEXT):
        worth = entropy * (1 - nearest)
        worth[taken] = -1
        taken.append(int(worth.argmax()))
        nearest = np.maximum(nearest, np.asarray((pool @ pool[taken[-1]].T).todense()).ravel())
    return tuple(data.pool[n] for n in taken)


def _committee(data: OwnData, seen: Any, pool: Any) -> list[list[str]]:
    """What three quick classifiers say; one vote for all where there is nothing to classify."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import ComplementNB
    from sklearn.neighbors import KNeighborsClassifier

    targets = [i.target or "" for i in data.train]
    if data.kind != "classification" or len(set(targets)) < 2:
        return [[""] * pool.shape[0]]
    committee = (
        LogisticRegression(C=10, max_iter=500),
        ComplementNB(),
        KNeighborsClassifier(min(5, len(targets)), metric="cosine"),
    )
    return [list(c.fit(seen, targets).predict(pool)) for c in committee]


def _entropy(votes: Sequence[str]) -> float:
    _, counts = np.unique(votes, return_counts=True)
    share = counts / counts.sum()
    return float(-(share * np.log(share)).sum())
