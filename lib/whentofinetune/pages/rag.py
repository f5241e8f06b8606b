"""Figures, tables and summaries of the chapters on retrieval, each a function of run records.

An answer is right (R), wrong (W) or abstains (A); the rows of a record keep one letter a question, so that two ways which were asked the
same are compared question by question. :mod:`whentofinetune.pages.hybrid` has what the chapter on both together adds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tunewise import stats
from tunewise.report.figures import (
    Figure,
    Html,
    bars_with_interval,
    line_with_interval,
    stacked_bars,
    table,
    with_menu,
    with_slider,
)
from tunewise.report.numbers import measured, pct, plain, points, prose
from whentofinetune.book_records import load
from whentofinetune.pages.verdict import verdict

Rows = Sequence[Mapping]
HOWS = {"bm25": "BM25 (words)", "dense": "embeddings (meaning)", "hybrid": "both, ranks fused"}
ASKED = {
    "direct": "a value is asked for",
    "reversed": "the other way round",
    "changed": "about a change",
    "multihop": "over two facts",
}
KINDS = ("same wording", "reworded", "reversed", "two facts")
OUTCOMES = {"R": "right", "W": "wrong", "A": "abstained"}
MODELS = {
    "untouched": "as it comes",
    "reading": "tuned to read",
    "facts": "tuned on the facts",
    "gold only": "tuned to read, no distractors",
}


# -- from the book's records to the page -------------------------------------------------------------------------------


def show(make: Callable, *names: str, **options):
    """What ``make`` makes of the book's records of these names (a text as a paragraph), or a note of the one that is missing."""

    def shown():
        made = make(*map(load, names), **options)
        return prose(made) if isinstance(made, str) else made

    return measured(shown)


def judge(claim: str, make: Callable, *names: str):
    """The verdict on a claim that ``make`` reaches from the book's records, or a note of the one that is missing."""
    return measured(lambda: verdict(claim, *make(*map(load, names))))


# -- rows that differ by seed only -------------------------------------------------------------------------------------


def share(rows: Rows, letter: str = "R", part: str | None = None) -> dict | None:
    """The share of answers with this outcome, over seeds, with its interval; None for no rows. part: a part of each row, such as ``changed``."""
    return mean_of(bits(rows, letter, part))


def bits(rows: Rows, letter: str = "R", part: str | None = None) -> list[list[int]]:
    """Has each answer this outcome? [seeds, questions] of 0 and 1."""
    return [[int(o == letter) for o in (r[part] if part else r)["outcomes"]] for r in rows]


def mean_of(found: Sequence[Sequence[int]]) -> dict | None:
    """The mean of 0 and 1 [seeds, questions] with its interval; None without a seed."""
    return stats.mean_over_seeds([stats.proportion(sum(b), len(b)) for b in found]) if found else None


def difference(a: Sequence[Sequence[int]], b: Sequence[Sequence[int]]) -> dict | None:
    """Mean of ``a`` minus mean of ``b``, each [seeds, questions] of 0 and 1 on the same questions, paired; None if one has no seed."""
    if not a or not b:
        return None
    ones = [1] * len(a[0])
    if len(a) == len(b) == 1:
        return stats.mcnemar(a[0], b[0], ones)["difference"]
    return stats.difference_over_seeds(a, b, ones)


def gap(a: Rows, b: Rows, letter: str = "R", part: str | None = None) -> dict | None:
    """The share of ``letter`` among the answers of ``a`` minus that among those of ``b``, paired by question."""
    return difference(bits(a, letter, part), bits(b, letter, part))


def clear(metric: Mapping | None) -> int:
    """1 if the interval of a difference lies above zero, -1 if below, 0 if it holds zero or is not measured."""
    return 0 if metric is None else (metric["low"] > 0) - (metric["high"] < 0)


def compared(
    metric: Mapping | None, more: str = "more", less: str = "fewer", same: str = "about as many"
) -> str:
    """A difference in a word, by its interval: ``more`` only where it lies above zero."""
    return {1: more, -1: less, 0: same}[clear(metric)]


def room(*metrics: Mapping | None) -> str:
    """What the intervals of differences that are not clear still allow, in a sentence: no evidence of a gain is not evidence of none."""
    most = max((m["high"] for m in metrics if m is not None), default=0)
    return f" The intervals still allow a gain of up to {100 * most:.0f} points." if most > 0 else ""


def turned(metric: Mapping) -> dict:
    """A difference with its sign turned round."""
    return {**metric, "value": -metric["value"], "low": -metric["high"], "high": -metric["low"]}


def listed(words: Sequence, last: str = "and") -> str:
    """``a, b and c``."""
    words = [str(w) for w in words]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def from_zero_to_one(figure: Figure) -> Figure:
    """The same figure with an axis from none to all, so that the positions of a slider can be compared."""
    figure.layout["yaxis"]["range"] = [0, 1]
    return figure


def in_words(bars: Mapping[str, Mapping]) -> str:
    """The values of bars in words, for those who cannot see them."""

    def one(cells) -> str:
        return ", ".join(
            f"{c} {m['value'] if isinstance(m, Mapping) else m:.0%}"
            for c, m in cells.items()
            if m is not None
        )

    return "; ".join(f"{name}: {one(cells)}" for name, cells in bars.items())


# -- does the right passage come back? ---------------------------------------------------------------------------------


def recall_menu(record) -> Figure:
    """A menu over the kind of question: how often the right passage is among the first k, by way to search."""
    figures = {}
    for asked in record.params["kinds"]:
        rows = record.where(asked=asked)
        series = {HOWS[r["how"]]: [(int(k), m) for k, m in r["recall"].items()] for r in rows}
        few = min(rows[0]["recall"], key=int)
        alt = f"Questions, {ASKED[asked]}: right passage among the first {few}: " + ", ".join(
            f"{HOWS[r['how']]} {r['recall'][few]['value']:.0%}" for r in rows
        )
        figures[ASKED[asked]] = from_zero_to_one(
            line_with_interval(series, "passages brought back (k)", "right passage among them", alt=alt)
        )
    return with_menu(figures, "kind of question")


def retrieval_table(record, k: int = 3) -> Html:
    """Recall among k, and the mean reciprocal rank, for each kind of question and way to search."""
    rows = [
        {"asked": ASKED[r["asked"]], "how": HOWS[r["how"]], "recall": r["recall"][str(k)], "mrr": r["mrr"]}
        for asked in record.params["kinds"]
        for r in record.where(asked=asked)
    ]
    heads = {
        "asked": "question",
        "how": "search",
        "recall": f"right passage among {k}",
        "mrr": "mean reciprocal rank",
    }
    return table(rows, "Three ways to find a passage of the handbook", heads, show={"mrr": plain})


def among(record, how: str, asked: str, k: int) -> list[list[int]]:
    """Is a right passage among the first k? For questions that need one fact."""
    return [[int(0 < rank <= k) for rank in record.one(how=how, asked=asked)["first_rank"]]]


def retrieval_summary(record, k: int = 3) -> str:
    """Which way to search finds more, for each kind of question about one fact, decided by paired differences."""
    told = []
    for asked in (a for a in record.params["kinds"] if a != "multihop"):
        recall = {how: record.one(how=how, asked=asked)["recall"][str(k)] for how in record.params["hows"]}
        single = max(("bm25", "dense"), key=lambda how: recall[how]["value"])
        fused = difference(among(record, "hybrid", asked, k), among(record, single, asked, k))
        verdict_ = compared(fused, "clearly more than", "clearly less than", "not clearly different from")
        told.append(
            f"{ASKED[asked]}, {pct(recall['hybrid'])}, {verdict_} {HOWS[single]} alone ({points(fused, n=False)})"
        )
    text = (
        f"How often a right passage is among the first {k} when both rankings are fused: {'; '.join(told)}."
    )
    if "multihop" in record.params["kinds"]:
        text += f" Questions over two facts need two passages; both are among the first {k} for {pct(record.one(how='hybrid', asked='multihop')['recall'][str(k)])}."
    return text


# -- question 1: external knowledge ------------------------------------------------------------------------------------


def _phrasings(n: int) -> str:
    return f"{n} phrasing{'s' * (n > 1)}"


def phrasings_of(record) -> list[int]:
    return sorted({r["phrasings"] for r in record.where(method="tuned")})


def knowledge(record, method: str, asked: str) -> list[dict]:
    """The rows of a way to know: ``closed book``, ``rag``, ``rag, tuned to read``, ``whole corpus``, or ``tuned`` on the most phrasings."""
    if method == "tuned":
        return record.where(method="tuned", asked=asked, phrasings=phrasings_of(record)[-1])
    return record.where(method=method, asked=asked)


def _ways_to_know(record, phrasings: int) -> dict[str, list[dict]]:
    found = {
        "closed book": record.where(method="closed book"),
        "tuned on the facts": record.where(method="tuned", phrasings=phrasings),
        "RAG": record.where(method="rag"),
        "RAG, tuned to read": record.where(method="rag, tuned to read"),
        "a small corpus, whole in the prompt": record.where(method="whole corpus"),
    }
    return {name: rows for name, rows in found.items() if rows}


def _by_kind(rows: Rows) -> dict[str, dict]:
    return {
        kind: share([r for r in rows if r["asked"] == kind])
        for kind in KINDS
        if any(r["asked"] == kind for r in rows)
    }


def knowledge_slider(record) -> Figure:
    """A slider over the phrasings that each fact was trained in: right answers by way to know and kind of question."""
    figures = {}
    for p in phrasings_of(record):
        bars = {name: _by_kind(rows) for name, rows in _ways_to_know(record, p).items()}
        title = f"Each fact trained {record.params['exposures']} times, in {_phrasings(p)}"
        figures[str(p)] = from_zero_to_one(
            bars_with_interval(bars, "right answers", alt=f"{title}. {in_words(bars)}.", title=title)
        )
    return with_slider(figures, "phrasings of each fact in training")


def knowledge_table(record) -> Html:
    """The same in numbers, for all phrasings."""
    ways = {}
    for p in phrasings_of(record):
        ways |= {
            (f"{name}, {_phrasings(p)}" if name.startswith("tuned") else name): rows
            for name, rows in _ways_to_know(record, p).items()
        }
    rows = [
        {"way": name, **{kind: _by_kind(found).get(kind, "-") for kind in KINDS}}
        for name, found in ways.items()
    ]
    return table(
        rows,
        "Right answers to questions about the same facts",
        {"way": "way"} | {kind: kind for kind in KINDS},
    )


def scores_table(record, asked: str = "reworded") -> Html:
    """The same answers scored in three ways, and how many decline to answer."""
    rows = [
        {
            "way": name,
            "right": share(found),
            **{m: stats.mean_over_seeds([r[m] for r in found]) for m in ("exact", "f1", "abstained")},
        }
        for name, rows_ in _ways_to_know(record, phrasings_of(record)[-1]).items()
        if (found := [r for r in rows_ if r["asked"] == asked])
    ]
    heads = {
        "way": "way",
        "right": "holds a right answer",
        "exact": "exact match",
        "f1": "token F1",
        "abstained": "abstained",
    }
    return table(
        rows, "Three ways to score, questions in a new wording", heads, show={"f1": partial(plain, digits=2)}
    )


def memorised_table(record) -> Html:
    """What tuning memorises and what it generalises: the trained wording against others, by number of phrasings."""
    rows = []
    for p in phrasings_of(record):
        of = {kind: record.where(method="tuned", phrasings=p, asked=kind) for kind in KINDS}
        rows.append(
            {
                "p": str(p),
                "same": share(of["same wording"]),
                "new": share(of["reworded"]),
                "lost": gap(of["reworded"], of["same wording"]),
            }
        )
    heads = {
        "p": "phrasings in training",
        "same": "the trained wording",
        "new": "a new wording",
        "lost": "new minus trained",
    }
    return table(rows, "The same facts, seen equally often in training", heads, show={"lost": points})


def knowledge_summary(record) -> str:
    """Where the facts should go, in a paragraph, by kind of question."""
    rag = "rag, tuned to read" if record.where(method="rag, tuned to read") else "rag"
    text = (
        f"Asked in a new wording, the model knows {pct(share(knowledge(record, 'closed book', 'reworded')))} of the facts by itself, "
        f"{pct(share(knowledge(record, 'tuned', 'reworded')))} after tuning on them, {pct(share(knowledge(record, 'rag', 'reworded')))} with retrieval"
    )
    if rag != "rag":
        text += f", and {pct(share(knowledge(record, rag, 'reworded')))} with retrieval after tuning to read"
    gaps = {kind: gap(knowledge(record, rag, kind), knowledge(record, "tuned", kind)) for kind in KINDS[1:]}
    words = {
        1: "retrieval is clearly ahead",
        -1: "the tuned-in facts are clearly ahead",
        0: "neither is clearly ahead",
    }
    told = [
        f"{words[sign]} for questions {listed([asked_as(k) for k in gaps if clear(gaps[k]) == sign])}"
        for sign in (1, -1, 0)
        if any(clear(g) == sign for g in gaps.values())
    ]
    return f"{text}. Retrieval{' by the model tuned to read' if rag != 'rag' else ''} set against facts in the weights: {'; '.join(told)}."


def asked_as(kind: str) -> str:
    return {"reworded": "in a new wording", "reversed": "the other way round", "two facts": "over two facts"}[
        kind
    ]


# -- question 3: right, wrong, abstained -------------------------------------------------------------------------------

RETRIEVERS = {
    ("untouched", "none"): "as it comes, from memory",
    ("untouched", "bad"): "as it comes, wrong passages",
    ("untouched", "good"): "as it comes, found passages",
    ("reading", "bad"): "tuned to read, wrong passages",
    ("reading", "good"): "tuned to read, found passages",
}


def answered(record, method: str, retriever: str, asked: str) -> list[dict]:
    """The rows of a model, a retriever (none, good, bad) and a kind of question (answerable, unanswerable)."""
    return record.where(part="retriever", method=method, retriever=retriever, asked=asked)


def _retriever_rows(record, asked: str) -> dict[str, list[dict]]:
    return {name: rows for key, name in RETRIEVERS.items() if (rows := answered(record, *key, asked))}


def outcomes_menu(record) -> Figure:
    """A menu over the kind of question: right, wrong and abstained, by model and retriever."""
    figures = {}
    for asked in ("answerable", "unanswerable"):
        bars = {
            name: {word: share(rows, o)["value"] for o, word in OUTCOMES.items()}
            for name, rows in _retriever_rows(record, asked).items()
        }
        figure = stacked_bars(
            bars, "share of the answers", f"{asked} questions: {in_words(bars)}.", horizontal=True
        )
        figure.layout["xaxis"] |= {"tickformat": ".0%", "range": [0, 1]}
        figures[f"{asked} questions"] = figure
    return with_menu(figures, "questions")


def outcomes_table(record) -> Html:
    """The same in numbers."""
    rows = []
    for key, name in RETRIEVERS.items():
        can, cannot = (answered(record, *key, asked) for asked in ("answerable", "unanswerable"))
        if can:
            rows.append(
                {
                    "way": name,
                    "right": share(can),
                    "wrong": share(can, "W"),
                    "invented": share(cannot, "W"),
                    "abstained": share(cannot, "A"),
                }
            )
    heads = {
        "way": "model, passages",
        "right": "answerable: right",
        "wrong": "answerable: wrong",
        "invented": "unanswerable: invented",
        "abstained": "unanswerable: abstained",
    }
    return table(rows, "What is right, what is made up, and what is left open", heads)


def epochs(record) -> list[tuple[float, list[dict]]]:
    """The stops of tuning on new facts: (share of the training done, the points of all seeds)."""
    start = record.one(part="epochs", method="untouched")["points"][0]
    seeds = [r["points"] for r in record.where(part="epochs", method="facts")]
    return [(0.0, [start])] + [(stop[0]["share"], list(stop)) for stop in zip(*seeds, strict=True)]


def _digits(stop: Rows, key: str) -> list[list[int]]:
    return [[int(b) for b in point[key]] for point in stop]


def epochs_figure(record) -> Figure:
    """What happens during tuning on new facts: to the facts, to facts that it does not teach, and to general knowledge."""
    stops = epochs(record)
    series = {
        "the new facts, right": [(100 * x, share(s, "R", "learned")) for x, s in stops],
        "other facts of the company, made up": [(100 * x, share(s, "W", "others")) for x, s in stops],
        "general questions, right": [(100 * x, mean_of(_digits(s, "general_right"))) for x, s in stops],
        "general questions, sure and wrong": [
            (100 * x, mean_of(_digits(s, "general_wrong"))) for x, s in stops
        ],
    }
    ends = "; ".join(
        f"{name} from {line[0][1]['value']:.0%} to {line[-1][1]['value']:.0%}"
        for name, line in series.items()
    )
    return from_zero_to_one(
        line_with_interval(
            series,
            "share of the training done, in per cent",
            "share of the questions",
            alt=f"From before to after tuning: {ends}.",
        )
    )


def side_effects(record) -> dict[str, dict]:
    """What tuning on new facts changes elsewhere, end minus start, paired: general right, sure and wrong, made up."""
    (_, first), (_, last) = epochs(record)[0], epochs(record)[-1]
    return {
        "right": difference(_digits(last, "general_right"), _digits(first, "general_right")),
        "sure": difference(_digits(last, "general_wrong"), _digits(first, "general_wrong")),
        "made up": gap(last, first, "W", "others"),
    }


def invention(record) -> dict[str, dict]:
    """Wrong answers to all questions, answerable and not, by model and retriever, each against the model from memory, paired."""

    def wrong(key) -> list[list[int]]:
        can, cannot = (bits(answered(record, *key, asked), "W") for asked in ("answerable", "unanswerable"))
        return [a + b for a, b in zip(can, cannot, strict=True)]

    memory = wrong(("untouched", "none"))
    return {
        name: difference(wrong(key), memory)
        for key, name in RETRIEVERS.items()
        if key[1] != "none" and wrong(key)
    }


def hallucination_summary(record) -> str:
    """How much retrieval and tuning to read keep down what is made up, in a paragraph."""
    plain_, read = (share(answered(record, m, "good", "unanswerable"), "W") for m in ("untouched", "reading"))
    bad = share(answered(record, "reading", "bad", "answerable"), "W")
    changes, effects = invention(record), side_effects(record)
    fewer = compared(
        changes[RETRIEVERS["untouched", "good"]],
        "gives clearly more",
        "gives clearly fewer",
        "does not clearly change the number of",
    )
    harm = {1: "rises", -1: "falls", 0: "does not clearly change"}[clear(effects["sure"])]
    return (
        f"Retrieval {fewer} wrong answers, set against memory ({points(changes[RETRIEVERS['untouched', 'good']])}). Asked what the handbook does not say, the model "
        f"as it comes invents an answer in {pct(plain_)}, and after tuning to read, with some questions that have no answer, in {pct(read)}. With passages that do not hold the answer, "
        f"the tuned reader is wrong in {pct(bad)}. While a model is tuned on new facts, the share of general questions that it answers wrong and is sure of {harm} "
        f"({points(effects['sure'])})."
    )


# -- question 5: data that change --------------------------------------------------------------------------------------

UPDATES = {
    ("stale index", False): "old index, as it comes",
    ("stale index", True): "old index, tuned to read",
    ("index brought up to date", False): "new index, as it comes",
    ("index brought up to date", True): "new index, tuned to read",
    ("stale weights", True): "old weights",
    ("weights trained again", True): "weights trained again",
}


def updates(record, changed_share: float | None = None) -> dict[str, list[dict]]:
    """Name -> rows of each way to meet a change. changed_share: of the facts (the smallest that was measured, if None)."""
    changed_share = min(record.params["shares"]) if changed_share is None else changed_share
    found = {}
    for (method, seeded), name in UPDATES.items():
        rows = [r for r in record.where(method=method, share=changed_share) if ("seed" in r) == seeded]
        if rows:
            found[name] = rows
    return found


def dynamic_figure(record) -> Figure:
    """Right answers about facts that changed and facts that did not, by way to meet the change."""
    figures = {}
    for s in record.params["shares"]:
        ways = updates(record, s)
        bars = {
            words: {name: share(rows, "R", part) for name, rows in ways.items()}
            for part, words in _PARTS.items()
        }
        figures[f"{s:.0%} of the facts changed"] = from_zero_to_one(
            bars_with_interval(bars, "right today", alt=f"{s:.0%} of the facts changed. {in_words(bars)}.")
        )
    return next(iter(figures.values())) if len(figures) == 1 else with_menu(figures, "share of changed facts")


_PARTS = {"changed": "facts that changed", "unchanged": "facts that did not"}


def repair_seconds(record, name: str) -> float | None:
    """Seconds that bringing a way up to date took (mean over seeds); None where nothing is done."""
    key = {"new": "index_seconds", "weights": "train_seconds"}.get(name.split()[0])
    found = [r[key] for r in updates(record)[name] if r.get(key) is not None] if key else []
    return sum(found) / len(found) if found else None


def dynamic_table(record) -> Html:
    """The same in numbers, with the seconds that each repair took."""
    rows = []
    for name, found in updates(record).items():
        seconds = repair_seconds(record, name)
        rows.append(
            {
                "way": name,
                "changed": share(found, "R", "changed"),
                "unchanged": share(found, "R", "unchanged"),
                "seconds": "nothing done" if seconds is None else plain(seconds, "s"),
            }
        )
    heads = {
        "way": "way",
        "changed": "changed facts",
        "unchanged": "unchanged facts",
        "seconds": "to bring it up to date",
    }
    return table(rows, f"After {min(record.params['shares']):.0%} of the facts have changed", heads)


def mixed(changed: Mapping, unchanged: Mapping, s: float) -> dict:
    """``s`` times one rate plus ``1 - s`` times the other, as a metric; the two are taken to be independent.

    Interval: the method of variance estimates recovery, Zou, Huang & Zhang (2009), Comput. Stat. Data Anal. 53, 1080-1085.
    """
    parts = ((s, changed), (1 - s, unchanged))
    value = sum(w * m["value"] for w, m in parts)
    down, up = (
        math.sqrt(sum((w * (m[side] - m["value"])) ** 2 for w, m in parts)) for side in ("low", "high")
    )
    return {
        "value": value,
        "n": changed["n"] + unchanged["n"],
        "low": max(0.0, value - down),
        "high": min(1.0, value + up),
    }


def change_slider(record) -> Figure:
    """A slider over the share of changed facts. Only one share was measured: the others are computed from its two rates."""
    rates = {
        name: [share(rows, "R", part) for part in ("changed", "unchanged")]
        for name, rows in updates(record).items()
    }
    figures = {}
    for tenth in range(11):
        s = tenth / 10
        bars = {name: mixed(changed, unchanged, s) for name, (changed, unchanged) in rates.items()}
        title = f"If {s:.0%} of the facts had changed (computed from the two measured rates)"
        figures[f"{s:.0%}"] = from_zero_to_one(
            bars_with_interval(bars, "right today", alt=f"{title}. {in_words({'right': bars})}.", title=title)
        )
    return with_slider(figures, "share of changed facts")


def dynamic_summary(record) -> str:
    """What a change costs each way, in a paragraph."""
    ways = updates(record)
    reader = "new index, tuned to read" if "new index, tuned to read" in ways else "new index, as it comes"
    old, again, new = ways["old weights"], ways["weights trained again"], ways[reader]
    return (
        f"About facts that have changed, old weights are right in {pct(share(old, 'R', 'changed'))} of the answers, weights trained again in "
        f"{pct(share(again, 'R', 'changed'))}, and retrieval from the new index ({reader.split(', ')[1]}) in {pct(share(new, 'R', 'changed'))}. "
        f"Training again took {plain(repair_seconds(record, 'weights trained again'), 's')}, replacing the changed passages in the index "
        f"{plain(repair_seconds(record, reader), 's')}."
    )


# -- question 6: citations ---------------------------------------------------------------------------------------------

WHO = {"own": "named by the model", "after": "found afterwards"}


def cited(rows: Rows, who: str, what: int) -> list[list[int]]:
    """[seeds, questions]: is there a citation (what = 0), does its passage hold the answer's words (1), is it the right source (2)?"""
    return [[c[who][what] for c in r["citations"]] for r in rows]


def ratio(
    rows: Rows, good: Callable[[str, Mapping], bool], among_: Callable[[str, Mapping], bool]
) -> dict | None:
    """Of the answers ``among_``, the share that are ``good`` as well, each a function of outcome and citation: a ratio of two counts, its interval by a
    bootstrap over questions with their seeds together (Wilson's where all or none are good). None where fewer than five questions have such an answer."""
    told = [[(o, c) for o, c in zip(r["outcomes"], r["citations"], strict=True)] for r in rows]
    counts = [
        (sum(among_(*a) and bool(good(*a)) for a in column), sum(bool(among_(*a)) for a in column))
        for column in zip(*told, strict=True)
    ]
    kept = [(g, t) for g, t in counts if t]
    if len(kept) < 5:
        return None
    if (whole := sum(g for g, _ in kept) / sum(t for _, t in kept)) in (0, 1):
        return stats.proportion(int(whole) * len(kept), len(kept))
    return stats.bootstrap(tuple(map(list, zip(*kept, strict=True))), lambda g, t: g.sum() / t.sum())


def precision(rows: Rows, who: str, what: int) -> dict | None:
    """Of the answers that cite, the share whose citation is good; None where too few cite."""
    return ratio(rows, lambda o, c: c[who][what], lambda o, c: c[who][0])


def sourced(rows: Rows, who: str) -> dict | None:
    """Of the right answers, the share with a right source."""
    return ratio(rows, lambda o, c: c[who][2], lambda o, c: o == "R")


def misleading(rows: Rows, who: str) -> dict | None:
    """Of the wrong answers, the share with a citation whose passage holds the answer's words: one that survives a quick look."""
    return ratio(rows, lambda o, c: c[who][1], lambda o, c: o == "W")


def citing(record, condition: str) -> dict[str, list[dict]]:
    return {
        MODELS[m]: rows
        for m in ("untouched", "reading")
        if (rows := record.where(method=m, condition=condition))
    }


def citations_figure(record) -> Figure:
    """How often there is a citation, its passage holds the answer, and it is the right source; by model and way to cite."""
    words = ("there is one", "its passage holds the answer's words", "it is a right source")
    bars = {
        word: {
            f"{name}, {WHO[who]}": mean_of(cited(rows, who, what))
            for name, rows in citing(record, "found").items()
            for who in WHO
        }
        for what, word in enumerate(words)
    }
    return from_zero_to_one(
        bars_with_interval(bars, "share of the answers", alt=f"Citations of the answers: {in_words(bars)}.")
    )


def citations_table(record) -> Html:
    """Recall (of all answers) and precision (of those that cite)."""
    rows = []
    for name, found in citing(record, "found").items():
        for who, words in WHO.items():
            cell = {what: precision(found, who, what) or "too few" for what in (1, 2)}
            rows.append(
                {
                    "model": name,
                    "who": words,
                    "there": mean_of(cited(found, who, 0)),
                    "holds": cell[1],
                    "source": cell[2],
                    "all": mean_of(cited(found, who, 2)),
                }
            )
    heads = {
        "model": "model",
        "who": "citation",
        "there": "answers with one",
        "holds": "of these, holds the words",
        "source": "of these, right source",
        "all": "right source, of all answers",
    }
    return table(rows, "Citations, when nobody lies", heads)


def trust_table(record) -> Html:
    """Does a citation tell right answers from wrong ones?"""
    rows = [
        {
            "model": name,
            "who": words,
            "right": sourced(found, who) or "too few",
            "wrong": misleading(found, who) or "too few",
        }
        for name, found in citing(record, "found").items()
        for who, words in WHO.items()
    ]
    heads = {
        "model": "model",
        "who": "citation",
        "right": "of right answers, with a right source",
        "wrong": "of wrong answers, with one that holds their words",
    }
    return table(rows, "Does a citation tell right answers from wrong ones? (n: questions)", heads)


def lies(rows: Rows, who: str | None = None) -> list[list[int]]:
    """[seeds, questions]: is the answer the planted value? who: and does a citation of this kind point to a passage that holds it?"""
    return [[int(c["false"] and (who is None or c[who][1])) for c in r["citations"]] for r in rows]


def planted_figure(record) -> Figure:
    """What is answered when a right passage and a forged copy of it are both shown."""
    bars = {}
    for name, rows in citing(record, "planted").items():
        said = [
            ("planted value" if c["false"] else OUTCOMES[o])
            for r in rows
            for o, c in zip(r["outcomes"], r["citations"], strict=True)
        ]
        words = ("right", "planted value", "abstained", "wrong")
        bars[name] = {("something else" if w == "wrong" else w): said.count(w) / len(said) for w in words}
    figure = stacked_bars(
        bars,
        "share of the answers",
        f"With a forged copy beside the right passage: {in_words(bars)}.",
        horizontal=True,
    )
    figure.layout["xaxis"] |= {"tickformat": ".0%", "range": [0, 1]}
    return figure


def planted_table(record) -> Html:
    """How often the planted value is repeated, and how often with a citation that holds up to a look."""
    rows = [
        {
            "model": name,
            "right": share(found),
            "lie": mean_of(lies(found)),
            "own": mean_of(lies(found, "own")),
            "after": mean_of(lies(found, "after")),
        }
        for name, found in citing(record, "planted").items()
    ]
    heads = {
        "model": "model",
        "right": "right",
        "lie": "the planted value",
        "own": "with the model's own citation to it",
        "after": "with one found afterwards",
    }
    return table(rows, "A wrong source among the passages", heads)


def citations_summary(record) -> str:
    """What a reference is worth, in a paragraph."""
    name, found = list(citing(record, "found").items())[-1]
    _, forged = list(citing(record, "planted").items())[-1]
    own, after = (mean_of(cited(found, who, 2)) for who in WHO)
    right, wrong = sourced(found, "after"), misleading(found, "after")
    return (
        f"The model ({name}) names a right source by itself in {pct(own)} of its answers; looked up afterwards, there is one for {pct(after)}. "
        f"Looked up, a right source stands behind {pct(right) if right else 'too few to say'} of its right answers, and words that match behind {pct(wrong) if wrong else 'too few to say'} of its wrong ones. "
        f"With a forged copy of the right passage beside it, it repeats the forged value in {pct(mean_of(lies(forged)))}, and in {pct(mean_of(lies(forged, 'after')))} of all answers "
        f"with a citation in which the words can be found."
    )


# -- question 7: cost --------------------------------------------------------------------------------------------------


def answer_from(k: int) -> str:
    return f"an answer from {k} passage{'s' * (k > 1)}" if k else "an answer from memory"


def cost_table(record) -> Html:
    """Seconds, tokens and bytes: to set up and to answer."""
    index = record.one(method="index")
    rows = [
        {
            "what": f"index of {index['passages']} passages",
            "seconds": f"{plain(index['build_seconds'], 's')} once",
            "tokens": "-",
            "size": f"{plain((index['vector_bytes'] + index['text_bytes']) / 1024, 'KiB')}",
        },
        {
            "what": "a search in it",
            "seconds": plain(index["search_seconds"], "s"),
            "tokens": "-",
            "size": "-",
        },
    ]
    for r in record.where(method="training"):
        what = (
            f"training on {r['examples']} {'fact pairs' if r['what'] == 'facts' else 'examples of reading'}"
        )
        rows.append(
            {
                "what": what,
                "seconds": f"{plain(r['train_seconds'], 's')} each time",
                "tokens": f"{r['train_tokens']:,}",
                "size": plain(r["adapter_bytes"] / 1024, "KiB"),
            }
        )
    for r in record.where(method="answer"):
        what = answer_from(r["k"])
        rows.append(
            {
                "what": what,
                "seconds": plain(r["seconds"], "s"),
                "tokens": plain(r["prompt_tokens"]),
                "size": "-",
            }
        )
    heads = {"what": "what", "seconds": "seconds", "tokens": "tokens read", "size": "on disk"}
    return table(rows, "What it takes to set up, and to answer", heads)


def cost_figure(record) -> Figure:
    """Seconds an answer against the number of passages in the prompt."""
    rows = sorted(record.where(method="answer"), key=lambda r: r["k"])
    first, last = rows[0], rows[-1]
    alt = f"An answer takes {first['seconds']['value']:.2g} s with {first['k']} passages and {last['seconds']['value']:.2g} s with {last['k']}."
    return line_with_interval(
        {"an answer": [(r["k"], r["seconds"]) for r in rows]},
        "passages in the prompt",
        "seconds an answer",
        alt=alt,
        percent=False,
    )


def answers_until_even(record) -> float | None:
    """Answers after which one training on facts has cost fewer seconds in all than an index and longer prompts; None for never."""
    rows = sorted(record.where(method="answer"), key=lambda r: r["k"])
    k = next((r for r in rows if r["k"] >= 3), rows[-1])
    saved = k["seconds"]["value"] - rows[0]["seconds"]["value"]
    more = (
        record.one(method="training", what="facts")["train_seconds"]
        - record.one(method="index")["build_seconds"]
    )
    return max(0.0, more / saved) if saved > 0 else None


def ways_settings(record, k: int = 3) -> dict:
    """What the calculator of four ways starts with: lengths and seconds as measured, rounded to the steps of its controls; prices are the reader's."""
    index = record.one(method="index")
    tokens = {r["k"]: r["prompt_tokens"]["value"] for r in record.where(method="answer")}
    k = k if k in tokens else max(tokens)
    return {
        "question_tokens": max(10, 10 * round(tokens[0] / 10)),
        "passages": k,
        "passage_tokens": max(10, 10 * round((tokens[k] - tokens[0]) / k / 10)),
        "corpus_passages": index["passages"],
        "embed_price": 0.0,
        "embed_seconds": round(index["build_seconds"] / index["passages"], 3),
    }


# -- a live run --------------------------------------------------------------------------------------------------------


def live_table(record) -> Html:
    """The rows of a run of the reader's own: what was asked of what, and how many answers were right."""

    def row(r: Mapping) -> dict:
        method = MODELS.get(r["method"], r["method"]) + (
            f", {_phrasings(r['phrasings'])}" if "phrasings" in r else ""
        )
        asked = r.get("asked") or (f"passages: {r['passages']}" + (f", {r['k']}" if r["k"] else ""))
        return {"method": method, "asked": asked, "right": r["right"], "abstained": r["abstained"]}

    heads = {"method": "method", "asked": "asked", "right": "right", "abstained": "abstained"}
    return table([row(r) for r in record.results if "right" in r], f"A live run, scale {record.scale}", heads)
