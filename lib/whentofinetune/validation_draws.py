"""How well do few validation items pick a method? Drawn from many held-out items again and again, and judged on those not drawn."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tunewise.compare.base import ArmResult, Columns, Cost, Item, OwnData, Settings
from tunewise.compare.decision import decide
from tunewise.record import Row

# Arm -> its family for the rule of a comparison; from the cheapest to the most expensive, as the rule is told.
FAMILIES = {
    "majority": "rule",
    "tfidf": "classifier",
    "neighbours": "classifier",
    "embeddings": "classifier",
    "zero-shot": "prompt",
    "few-shot": "prompt",
}
CHOICES = ("picked", "estimated", "best", "guide", "rule")
Arms = Mapping[str, Sequence[float]]  # arm -> right (1) or wrong (0) on each held-out item


class Case(NamedTuple):
    """The arms of one data set and one training, right or wrong on the same held-out items; ``guide`` is the arm that won elsewhere."""

    name: str
    group: str
    arms: Arms
    guide: str


def cases(rows: Mapping[str, Sequence[Row]], seeds: Sequence[int]) -> list[Case]:
    """Data set -> rows of its arms, as one case a data set and seed. An arm whose row has no seed takes part at each.

    The guide of a data set is the arm with the highest mean accuracy over the others, of the arms that all of them have: what experience says
    before anything is measured.
    """
    right = {
        (name, seed): {r["method"]: r.outcomes("accuracy") for r in of if r.raw.get("seed") in (None, seed)}
        for name, of in rows.items()
        for seed in seeds
    }
    shared = [arm for arm in FAMILIES if all(arm in arms for arms in right.values())]
    found = []
    for (name, seed), arms in right.items():
        others = [of for (other, _), of in right.items() if other != name]
        guide = max(shared, key=lambda arm, others=others: sum(np.mean(of[arm]) for of in others))
        found.append(Case(f"{name}/{seed}", name, arms, guide))
    return found


def draws(case: Case, n: int, times: int, margin: float) -> Iterator[dict[str, dict[str, float | None]]]:
    """What ``n`` validation items say, ``times`` times: choice -> metric -> value, with accuracies of the items that were not drawn.

    ``picked``: the arm that is best on the n items (the cheaper of equals); ``estimated``: the same arm on the n items themselves;
    ``best``: the arm that is best on the others; ``guide``: the arm that won on other data sets; ``rule``: the arm that the verdict of a
    comparison on the n items names, the leading one where it cannot tell. ``gain`` is above always the most frequent label.
    """
    names = [arm for arm in FAMILIES if arm in case.arms]
    right = np.array([case.arms[arm] for arm in names])
    for draw in range(times):
        order = np.random.default_rng([43, draw, *case.name.encode()]).permutation(right.shape[1])
        seen, rest = right[:, order[:n]], right[:, order[n:]].mean(axis=1)
        picked, best = int(seen.mean(axis=1).argmax()), int(rest.argmax())
        verdict = decide(*_asked(names, seen), Settings(margin=margin))
        ruled = names.index(verdict.winner or verdict.leading)
        lost = bool(rest[ruled] <= rest[best] - margin)
        taken = {"picked": picked, "best": best, "guide": names.index(case.guide), "rule": ruled}
        found = {choice: {"accuracy": rest[arm]} for choice, arm in taken.items()}
        found["estimated"] = {"accuracy": seen[picked].mean(), "gain": seen[picked].mean() - seen[0].mean()}
        for choice in ("picked", "best"):
            found[choice]["gain"] = found[choice]["accuracy"] - rest[0]
        found["picked"] |= {"right": picked == best, "near": rest[picked] > rest[best] - margin}
        found["rule"] |= {"decided": bool(verdict.winner), "wrong": lost if verdict.winner else None}
        yield {w: {m: v if v is None else round(float(v), 4) for m, v in f.items()} for w, f in found.items()}


def _asked(names: Sequence[str], right: np.ndarray) -> tuple[OwnData, list[ArmResult]]:
    """Arms [arms, n] as a comparison on own data hands them to its verdict."""
    n = right.shape[1]
    columns = Columns("classification", "text", "label")
    items = tuple(Item(f"{i}", i + 2, "", "", f"{i}") for i in range(n))
    arms = [
        ArmResult(a, a, FAMILIES[a], {}, [""] * n, {"accuracy": r.tolist()}, Cost(1, seconds_a_call=k / 1e3))
        for k, (a, r) in enumerate(zip(names, right, strict=True))
    ]
    return OwnData("drawn", columns, ("",), (), (), items), arms
