"""Can a small model take over a judge's verdicts, and what does a verdict cost? (C21)

The teacher is a program: four rules of the invented company's voice, each of which says what a text must not have
(:func:`whentofinetune.datasets.company.check_voice`). A text is two sentences of a reply and two more that were put in, each of which breaks one rule or none; the sentences for
test are not those for training. *Pointwise*, a judge says whether a text keeps all four rules; *pairwise*, which of two texts breaks fewer. A judge that
says A should say B when the two change places. Label scoring only: no judge writes reasons. The recipe was
chosen by three trials on valid, which has the sentences of training in other replies.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import numpy as np

from tunewise import baselines, prompting, stats
from tunewise.finetune import Recipe
from tunewise.scoring import encode, label_logprobs
from whentofinetune.book_records import digest
from whentofinetune.datasets import company
from whentofinetune.old_bench import Bench, Experiment, outcome, public

RULES = ("calm", "house", "full_words", "plain")
# What is put in, by the rule it breaks (None: no rule). The first half is for training, the second for test: no wording is in both.
INSERTS = {
    None: (
        "This is as of today.",
        "The house is open until six.",
        "It is on the label.",
        "That has not changed since spring.",
        "The list is renewed each week.",
        "We keep it in stock.",
        "It is the same for both sizes.",
        "Our sheet says no more.",
    ),
    "calm": (
        "That is good news!",
        "What a fine choice!",
        "It is in stock!",
        "Ready by Friday!",
        "This one is a favourite!",
        "It will last for years!",
        "How well it looks!",
        "There is one left!",
    ),
    "house": (
        "I have checked it twice.",
        "The note on my desk says so.",
        "To me it is clear.",
        "I will see to it.",
        "My drawer holds the sheet.",
        "I asked the workshop.",
        "That is what they told me.",
        "I know it by heart.",
    ),
    "full_words": (
        "It's on the label.",
        "We don't change it.",
        "That's all there is to it.",
        "You won't need a tool.",
        "They're kept in stock.",
        "We've measured it.",
        "It isn't heavy.",
        "You'll see it on the sheet.",
    ),
    "plain": (
        "Thank you for asking.",
        "Sorry for the wait.",
        "Please take a note of it.",
        "Unfortunately it is so.",
        "We apologise for the delay.",
        "Many thanks for the question.",
        "Dear reader, it is so.",
        "We regret the wait.",
    ),
}
POINT = ("Does the text keep the rules of the house?\n\nText:", "\nKept:", (" yes", " no"))
PAIR = ("Which text keeps the rules of the house better?\n\nA:", "\nBetter:", (" A", " B"))


@dataclass(frozen=True)
class Text:
    """broken: how many of the four rules it breaks, as the teacher says."""

    text: str
    broken: int


def body(mail: company.Mail) -> str:
    """The first two sentences of a reply, without its greeting."""
    middle = " ".join(mail.reply.split("\n\n")[1:-1])
    return " ".join(re.split(r"(?<=[.?!])\s+", middle)[:2])


def teacher(text: str) -> int:
    """How many of the four rules a text breaks."""
    checked = company.check_voice(text, "")
    return sum(not checked[rule] for rule in RULES)


def written(mail: company.Mail, broken: int, split: str, rng) -> Text:
    """A text of ``mail``'s reply that breaks ``broken`` rules, 0 to 2."""
    rules = [RULES[i] for i in rng.permutation(len(RULES))[:broken]] + [None] * (2 - broken)
    half = len(INSERTS[None]) // 2
    own = {rule: INSERTS[rule][half:] if split == "test" else INSERTS[rule][:half] for rule in INSERTS}
    sentences, places = [], rng.permutation(2)
    for i in places:
        left = [s for s in own[rules[i]] if s not in sentences]
        sentences.append(left[int(rng.integers(len(left)))])
    text = " ".join([sentences[0], body(mail), sentences[1]])
    return Text(text, teacher(text))


def pointwise(split: str, n: int, seed: int) -> list[Text]:
    """``n`` texts, every other one of which keeps all rules; of the rest half break one rule and half two."""
    rng = np.random.default_rng([21, seed, company.SPLITS.index(split)])
    mails = company.mails(split)
    chosen = [mails[i] for i in np.resize(rng.permutation(len(mails)), n)]
    return [written(mail, (0, 1, 0, 2)[i % 4], split, rng) for i, mail in enumerate(chosen)]


def pairwise(split: str, n: int, seed: int) -> list[tuple[Text, Text]]:
    """``n`` pairs of texts of one mail each, of which one breaks fewer rules; the better one stands first in every other pair."""
    rng = np.random.default_rng([22, seed, company.SPLITS.index(split)])
    mails = company.mails(split)
    pairs = []
    for i, k in enumerate(np.resize(rng.permutation(len(mails)), n)):
        better, worse = (written(mails[k], b, split, rng) for b in ((0, 1), (0, 2), (1, 2))[i // 2 % 3])
        pairs.append((better, worse) if i % 2 else (worse, better))
    return pairs


def rubric() -> str:
    """The four rules as a prompt states them."""
    said = {rule.name: rule.says for rule in company.voice()}
    return "Rules of the house:\n" + "".join(f"- {said[name]}\n" for name in RULES) + "\n"


def point_query(text: Text) -> str:
    return f" {text.text}{POINT[1]}"


def pair_query(pair: tuple[Text, Text]) -> str:
    return f" {pair[0].text}\nB: {pair[1].text}{PAIR[1]}"


def run(bench: Bench, params: dict) -> list[dict]:
    """One row for each judge, way of judging and seed; the teacher's verdicts; the linear rivals; the time of a verdict."""
    points, pairs = pointwise("test", params["points"], 0), pairwise("test", params["pairs"], 0)
    point_labels = [int(t.broken > 0) for t in points]
    pair_labels = [int(b.broken < a.broken) for a, b in pairs]
    swapped = [(b, a) for a, b in pairs]
    rows = [
        {"method": "items", "way": way, "labels": "".join(map(str, y))}
        for way, y in (("point", point_labels), ("pair", pair_labels))
    ]
    same = {"data": digest([[t.text for t in points], [[a.text, b.text] for a, b in pairs]])}

    def step(settings: dict, measure) -> None:
        rows.append(public(bench.work.step(settings | same, measure)))

    def by_points(lm, before: str = "", mend: bool = True) -> dict:
        queries = [point_query(t) for t in points]
        halves = _scores(lm, POINT, before, [point_query(t) for pair in pairs for t in pair], mend)
        better = (halves[:, 0] - halves[:, 1]).reshape(-1, 2).argmax(axis=1)
        said = _scores(lm, POINT, before, queries, mend).argmax(axis=1)
        return outcome(said, point_labels) | {
            "pairs": outcome(better, pair_labels),
            **_cost(lm, POINT, before, queries, params),
        }

    def by_pairs(lm, before: str = "", mend: bool = True) -> dict:
        first, second = (
            _scores(lm, PAIR, before, [pair_query(p) for p in asked], mend) for asked in (pairs, swapped)
        )
        said, turned = first.argmax(axis=1), second.argmax(axis=1)
        both = (first + second[:, ::-1]).argmax(axis=1)
        return outcome(said, pair_labels) | {
            "swapped": outcome(1 - turned, pair_labels),
            "both_orders": outcome(both, pair_labels),
            "consistent": stats.proportion(int((said != turned).sum()), len(pairs)),
            **_cost(lm, PAIR, before, [pair_query(p) for p in pairs], params),
        }

    ways = {"point": by_points, "pair": by_pairs}
    for way, judge in ways.items():
        step({"method": "asked", "way": way, "calls": params["calls"]}, lambda judge=judge: judge(bench.lm))
        step(
            {"method": "rubric", "way": way, "calls": params["calls"]},
            lambda judge=judge: judge(bench.lm, rubric()),
        )
    for seed in params["seeds"]:
        texts, couples = (
            pointwise("train", params["texts"], seed),
            pairwise("train", params["texts"] // 2, seed),
        )
        lessons = {
            "point": [(point_query(t), POINT[2][t.broken > 0]) for t in texts],
            "pair": [(pair_query(p), PAIR[2][p[1].broken < p[0].broken]) for p in couples],
        }
        for way, judge in ways.items():
            tuning = Recipe(seed=seed, **params["recipe"])
            told = {
                "method": "lora",
                "way": way,
                "n_labels": len(lessons[way]),
                "seed": seed,
                "lessons": digest(lessons[way]),
            }

            def tuned(way=way, judge=judge, told=told, tuning=tuning, lessons=lessons) -> dict:
                with bench.adapter(
                    told, tuning, lambda: lessons[way], {"point": POINT, "pair": PAIR}[way][0]
                ) as lm:
                    return judge(lm, mend=False) | {
                        "train_seconds": round(lm.seconds, 2),
                        "examples_seen": lm.examples,
                    }

            step({**told, "method": "tuned", "recipe": params["recipe"], "calls": params["calls"]}, tuned)
        taught = [(t.text, int(t.broken > 0)) for t in texts]
        told = {"way": "point", "n_labels": len(taught), "seed": seed, "lessons": digest(taught)}
        step(
            {"method": "tfidf", **told},
            lambda taught=taught: outcome(baselines.tfidf(taught, [t.text for t in points]), point_labels),
        )

        def embedded(taught=taught) -> dict:
            vectors = bench.embed([t for t, _ in taught]), bench.embed([t.text for t in points])
            return outcome(baselines.embeddings(vectors[0], [y for _, y in taught], vectors[1]), point_labels)

        step({"method": "embeddings", **told}, embedded)
    step(
        {"method": "rules", "way": "point"},
        lambda: {"seconds": _clock(lambda i: teacher(points[i % len(points)].text), params["calls"])},
    )
    return [{k: v for k, v in row.items() if k != "lessons"} for row in rows]


def _scores(lm, form: tuple, before: str, queries: list[str], mend: bool) -> np.ndarray:
    """Log-probabilities of the two verdicts. mend: calibrated by what is said of nothing; a tuned judge rightly says that nothing breaks no rule."""
    opening, closing, answers = form
    if not mend:
        return label_logprobs(lm, before + opening, queries, answers)
    empty = [f" {t}{closing}" if form is POINT else f" {t}\nB: {t}{closing}" for t in prompting.EMPTY_TEXTS]
    scores = label_logprobs(lm, before + opening, queries + empty, answers)
    return prompting.calibrate(scores[: len(queries)], scores[len(queries) :])


def _cost(lm, form: tuple, before: str, queries: list[str], params: dict) -> dict:
    """Prompt tokens a verdict, those of them that every verdict shares, and seconds of a verdict asked for alone, nothing kept between calls."""
    opening, _, answers = form
    shared = len(encode(lm.tokenizer, before + opening))
    own = float(np.mean([len(encode(lm.tokenizer, q)) for q in queries]))
    waits = _clock(
        lambda i: label_logprobs(lm, before + opening, [queries[i % len(queries)]], answers), params["calls"]
    )
    return {"prompt_tokens": round(shared + own, 1), "shared_tokens": shared, "seconds": waits}


def _clock(call, calls: int) -> dict:
    waits = []
    for i in range(calls + 1):
        start = time.perf_counter()
        call(i)
        waits.append(time.perf_counter() - start)
    return stats.bootstrap(waits[1:])


_RECIPE = {"learning_rate": 2e-3, "epochs": 3, "min_steps": 1, "batch_size": 4}
_COMMON = {"model": "smollm2-135m", "recipe": _RECIPE}

EXPERIMENT = Experiment(
    name="judge",
    question="Can a small model take over a judge's verdicts, and what does a verdict cost?",
    claims=("C21",),
    run=run,
    scales={
        "smoke": _COMMON
        | {"texts": 8, "points": 4, "pairs": 4, "seeds": [0], "calls": 2, "recipe": _RECIPE | {"epochs": 1}},
        "laptop": _COMMON | {"texts": 32, "points": 32, "pairs": 20, "seeds": [0], "calls": 4},
        "full": _COMMON | {"texts": 60, "points": 48, "pairs": 24, "seeds": [0, 1, 2, 3, 4], "calls": 8},
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "recipe": _RECIPE | {"learning_rate": 5e-4},
            "texts": 240,
            "points": 240,
            "pairs": 120,
            "seeds": [0, 1, 2, 3, 4],
            "calls": 40,
        },
    },
)
