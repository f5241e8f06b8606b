"""Comparisons made by hand, for tests of what comes after the arms: data, arms with a wanted share of right answers, a whole report."""

from __future__ import annotations

import numpy as np

from tunewise.compare.base import ArmResult, Columns, Cost, Finding, Item, OwnData, Report, Settings
from tunewise.compare.decision import decide

LABELS = ("billing", "delivery", "other")
FAMILY = {"majority": "rule", "tfidf": "classifier", "embeddings": "classifier", "zero_shot": "prompt"}
FAMILY |= {"few_shot": "prompt", "lora": "tuned", "endpoint": "endpoint"}
TITLE = {"majority": "The most frequent label", "tfidf": "TF-IDF and logistic regression", "lora": "LoRA"}
TITLE |= {"embeddings": "Sentence embeddings and logistic regression", "few_shot": "Prompt with examples"}


def items(n, first=2, name="tickets.csv", target=True, group_size=1):
    """``n`` rows about the labels in turn."""
    return tuple(
        Item(
            id=f"{name}:{first + i}",
            row=first + i,
            text=f"my {LABELS[i % 3]} question number {i}" + " please" * (i % 17),
            target=LABELS[i % 3] if target else None,
            group=f"g{i // group_size}",
            features={"channel": ("mail", "telephone")[i % 2], "day": f"2026-0{1 + i % 9}-11"},
        )
        for i in range(n)
    )


def data(n=120, group_size=1, **changes):
    test = items(n, first=2, group_size=group_size)
    made = dict(name="tickets.csv", columns=Columns("classification", "text", "label"), labels=LABELS)
    made |= dict(train=items(150, 1000), valid=items(30, 2000), test=test, pool=items(60, 3000, target=False))
    finding = Finding("duplicate", (7, 9), "tickets.csv has 2 rows twice: 7, 9.", "removed from training")
    return OwnData(**(made | dict(findings=(finding,)) | changes))


def arm(name, right, own, *, seconds=0.001, memory=200_000_000, confidences=None, labels=150, **changes):
    """An arm that is right where ``right`` [n] says so, and else gives the next label."""
    wrong = dict(zip(own.labels, (*own.labels[1:], own.labels[0]), strict=True))
    predictions = [i.target if r else wrong[i.target] for i, r in zip(own.test, right, strict=True)]
    outcomes = {own.metric: [float(r) for r in right]}
    made = dict(
        name=name, title=TITLE.get(name, name), family=FAMILY.get(name, "prompt"), settings={"epochs": 4}
    )
    made |= dict(
        predictions=predictions,
        outcomes=outcomes,
        confidences=confidences,
        trials=({"epochs": 4, "score": 0.8},),
    )
    cost = changes.pop("cost", None) or Cost(labels, 12.0, seconds, 80.0, 3.0, memory)
    return ArmResult(**(made | dict(cost=cost) | changes))


def drawn(name, share, own, seed=0, **options):
    """An arm that is right on exactly ``share`` of the items, at random places."""
    n = len(own.test)
    right = np.random.default_rng(seed).permutation(n) < round(share * n)
    return arm(name, right, own, **options)


def report(n=240, settings=None, own=None, **shares):
    """A whole report; shares: name -> share of right answers."""
    own = own or data(n)
    settings = settings or Settings()
    shares = shares or dict(majority=0.35, tfidf=0.70, embeddings=0.93, few_shot=0.80, lora=0.92)
    rng = np.random.default_rng(1)
    arms = [
        drawn(name, share, own, seed=k, confidences=rng.uniform(0.4, 1, len(own.test)).tolist())
        for k, (name, share) in enumerate(shares.items())
    ]
    curve = [
        drawn(f"lora@{k}", s, own, seed=9, title="LoRA", family="tuned", labels=k)
        for k, s in ((30, 0.7), (75, 0.84))
    ]
    kept = dict(
        curve=curve, missing=[("endpoint", "no --endpoint was given")], machine="2 cores", seconds=312.0
    )
    kept |= dict(versions={"tunewise": "0.2.0"}, date="2026-11-25", label_next=own.pool[:20])
    return Report(own, settings, arms, decide(own, arms, settings), **kept)
