"""Figures, tables and summaries of the chapters on retrieval, each a function of run records.

An answer is right, wrong or abstains; methods that were asked the same are compared question by question.
:mod:`whentofinetune.pages.hybrid` has what the chapter on both together adds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tunewise import stats
from tunewise.record import Record, Row
from tunewise.report.figures import (
    Figure,
    Html,
    bars_with_interval,
    line_with_interval,
    stacked_bars,
    table,
    table_from_lists,
    with_menu,
    with_slider,
)
from tunewise.report.notes import measured, prose
from tunewise.report.numbers import pct, plain, points
from tunewise.written_answers import OUTCOMES
from whentofinetune.book_records import load
from whentofinetune.pages.verdict import verdict

Rows = Sequence[Row]
Metric = Mapping
HOWS = {"bm25": "BM25 (words)", "dense": "embeddings (meaning)", "hybrid": "both, ranks fused"}
ASKED = {
    "direct": "a value is asked for",
    "reversed": "the other way round",
    "changed": "about a change",
    "multihop": "over two facts",
}
KINDS = ("same wording", "reworded", "reversed", "two facts")
AS_ASKED = {"reworded": "in a new wording", "reversed": "the other way round", "two facts": "over two facts"}
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


def share(rows: Rows, metric: str = "right") -> dict | None:
    """A metric over seeds, with its interval; None for no rows."""
    return stats.mean_over_seeds([r.metric(metric) for r in rows]) if rows else None


def bits(rows: Rows, metric: str = "right") -> list[list[int]]:
    """[seeds, questions] of 0 and 1; questions to which the metric does not apply are left out."""
    return [[int(v) for v in r.outcomes(metric) if v is not None] for r in rows]


def mean_of(found: Sequence[Sequence[int]]) -> dict:
    """The mean of 0 and 1 [seeds, questions] with its interval."""
    return stats.mean_over_seeds([stats.proportion(sum(b), len(b)) for b in found])


def difference(a: Sequence[Sequence[int]], b: Sequence[Sequence[int]]) -> dict | None:
    """Mean of ``a`` minus mean of ``b``, each [seeds, questions] of 0 and 1 on the same questions, paired; None if one has no seed."""
    if not a or not b:
        return None
    ones = [1] * len(a[0])
    if len(a) == len(b) == 1:
        return stats.mcnemar(a[0], b[0], ones)["difference"]
    return stats.difference_over_seeds(a, b, ones)


def gap(a: Rows, b: Rows, metric: str = "right") -> dict | None:
    """A metric of ``a`` minus that of ``b``, paired by question."""
    return difference(bits(a, metric), bits(b, metric))


def clear(metric: Metric | None) -> int:
    """1 if the interval of a difference lies above zero, -1 if below, 0 if it holds zero or is not measured."""
    return 0 if metric is None else (metric["low"] > 0) - (metric["high"] < 0)


def compared(metric: Metric | None, more: str, less: str, same: str) -> str:
    """A difference in a word, by its interval: ``more`` only where it lies above zero."""
    return {1: more, -1: less, 0: same}[clear(metric)]


def room(*metrics: Metric | None) -> str:
    """What the intervals of differences that are not clear still allow, in a sentence: no evidence of a gain is not evidence of none."""
    most = max((m["high"] for m in metrics if m is not None), default=0)
    return f" The intervals still allow a gain of up to {100 * most:.0f} points." if most > 0 else ""


def turned(metric: Metric) -> dict:
    """A difference with its sign turned round."""
    return {**metric, "value": -metric["value"], "low": -metric["high"], "high": -metric["low"]}


def listed(words: Sequence, last: str = "and") -> str:
    """``a, b and c``."""
    words = [str(w) for w in words]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def in_words(bars: Mapping[str, Mapping]) -> str:
    """The values of bars in words, for those who cannot see them."""

    def one(cells: Mapping) -> str:
        known = {c: m for c, m in cells.items() if m is not None}
        return ", ".join(f"{c} {m['value'] if isinstance(m, Mapping) else m:.0%}" for c, m in known.items())

    return "; ".join(f"{name}: {one(cells)}" for name, cells in bars.items())


def from_zero_to_one(figure: Figure) -> Figure:
    """The same figure with an axis from none to all, so that the positions of a slider can be compared."""
    figure.layout["yaxis"]["range"] = [0, 1]
    return figure


def share_bars(bars: Mapping[str, Mapping], y: str, before: str, title: str = "") -> Figure:
    """Bars of shares with their intervals; what is seen is also said, after ``before``."""
    return from_zero_to_one(bars_with_interval(bars, y, alt=f"{before} {in_words(bars)}.", title=title))


def stacks(bars: Mapping[str, Mapping[str, float]], before: str) -> Figure:
    """Shares of all answers that add up to one, one bar a model."""
    figure = stacked_bars(bars, "share of the answers", f"{before}: {in_words(bars)}.", horizontal=True)
    figure.layout["xaxis"] |= {"tickformat": ".0%", "range": [0, 1]}
    return figure


# -- does the right passage come back? ---------------------------------------------------------------------------------


def recall_menu(record: Record) -> Figure:
    """A menu over the kind of question: how often the right passage is among the first k, by way to search."""
    figures, ks = {}, record.params["ks"]
    for asked in record.params["kinds"]:
        rows = {HOWS[r["method"]]: r for r in record.where(asked=asked)}
        series = {name: [(k, r.metric(f"recall.{k}")) for k in ks] for name, r in rows.items()}
        alt = f"Questions, {ASKED[asked]}: right passage among the first {min(ks)}: " + ", ".join(
            f"{name} {r.metric(f'recall.{min(ks)}')['value']:.0%}" for name, r in rows.items()
        )
        figures[ASKED[asked]] = from_zero_to_one(
            line_with_interval(series, "passages brought back (k)", "right passage among them", alt=alt)
        )
    return with_menu(figures, "kind of question")


def retrieval_table(record: Record, k: int = 3) -> Html:
    """Recall among k, and the mean reciprocal rank, for each kind of question and way to search."""
    rows = [
        {
            "question": ASKED[asked],
            "search": HOWS[r["method"]],
            f"right passage among {k}": r.metric(f"recall.{k}"),
            "mean reciprocal rank": r["mrr"],
        }
        for asked in record.params["kinds"]
        for r in record.where(asked=asked)
    ]
    caption = "Three ways to find a passage of the handbook"
    return table(rows, caption, show={"mean reciprocal rank": plain})


def retrieval_summary(record: Record, k: int = 3) -> str:
    """Which way to search finds more, for each kind of question about one fact, decided by paired differences."""
    told, found = [], f"recall.{k}"
    for asked in (a for a in record.params["kinds"] if a != "multihop"):
        rows = {how: record.one(method=how, asked=asked) for how in record.params["hows"]}
        single = max(("bm25", "dense"), key=lambda how: rows[how].metric(found)["value"])
        fused = gap([rows["hybrid"]], [rows[single]], found)
        word = compared(fused, "clearly more than", "clearly less than", "not clearly different from")
        told.append(
            f"{ASKED[asked]}, {pct(rows['hybrid'].metric(found))}, {word} {HOWS[single]} alone ({points(fused, n=False)})"
        )
    text = (
        f"How often a right passage is among the first {k} when both rankings are fused: {'; '.join(told)}."
    )
    if "multihop" in record.params["kinds"]:
        both = record.one(method="hybrid", asked="multihop").metric(found)
        text += f" Questions over two facts need two passages; both are among the first {k} for {pct(both)}."
    return text


# -- question 1: external knowledge ------------------------------------------------------------------------------------


def _phrasings(n: int) -> str:
    return f"{n} phrasing{'s' * (n > 1)}"


def phrasings_of(record: Record) -> list[int]:
    """Numbers of phrasings that facts were trained in."""
    return sorted({r["phrasings"] for r in record.where(method="tuned")})


def knowledge(record: Record, method: str, asked: str) -> list[Row]:
    """The rows of a method: ``closed book``, ``rag``, ``rag, tuned to read``, ``whole corpus``, or ``tuned`` on the most phrasings."""
    most = {"phrasings": phrasings_of(record)[-1]} if method == "tuned" else {}
    return record.where(method=method, asked=asked, **most)


def reading_method(record: Record) -> str:
    """Retrieval as it was measured at its best: read by the model that was tuned for it, where there is one."""
    return "rag, tuned to read" if record.where(method="rag, tuned to read") else "rag"


def _ways_to_know(record: Record, phrasings: int) -> dict[str, list[Row]]:
    found = {
        "closed book": record.where(method="closed book"),
        "tuned on the facts": record.where(method="tuned", phrasings=phrasings),
        "RAG": record.where(method="rag"),
        "RAG, tuned to read": record.where(method="rag, tuned to read"),
        "a small corpus, whole in the prompt": record.where(method="whole corpus"),
    }
    return {name: rows for name, rows in found.items() if rows}


def _by_kind(rows: Rows) -> dict[str, dict]:
    found = {kind: share([r for r in rows if r["asked"] == kind]) for kind in KINDS}
    return {kind: metric for kind, metric in found.items() if metric}


def knowledge_slider(record: Record) -> Figure:
    """A slider over the phrasings that each fact was trained in: right answers by method and kind of question."""
    figures = {}
    for p in phrasings_of(record):
        bars = {name: _by_kind(rows) for name, rows in _ways_to_know(record, p).items()}
        title = f"Each fact trained {record.params['exposures']} times, in {_phrasings(p)}"
        figures[str(p)] = share_bars(bars, "right answers", f"{title}.", title)
    return with_slider(figures, "phrasings of each fact in training")


def knowledge_table(record: Record) -> Html:
    """The same in numbers, for all phrasings."""
    rows = {}
    for p in phrasings_of(record):
        for name, found in _ways_to_know(record, p).items():
            way = f"{name}, {_phrasings(p)}" if name.startswith("tuned") else name
            rows[way] = {"way": way} | dict.fromkeys(KINDS, "-") | _by_kind(found)
    return table(list(rows.values()), "Right answers to questions about the same facts")


def scores_table(record: Record, asked: str = "reworded") -> Html:
    """The same answers scored in three ways, and how many decline to answer."""
    rows = [
        {
            "way": name,
            "holds a right answer": share(found),
            "exact match": share(found, "exact"),
            "token F1": share(found, "f1"),
            "abstained": share(found, "abstained"),
        }
        for name, rows_ in _ways_to_know(record, phrasings_of(record)[-1]).items()
        if (found := [r for r in rows_ if r["asked"] == asked])
    ]
    caption = "Three ways to score, questions in a new wording"
    return table(rows, caption, show={"token F1": partial(plain, digits=2)})


def memorised_table(record: Record) -> Html:
    """What tuning memorises and what it generalises: the trained wording against others, by number of phrasings."""
    rows = []
    for p in phrasings_of(record):
        same, new = (
            record.where(method="tuned", phrasings=p, asked=kind) for kind in ("same wording", "reworded")
        )
        rows.append(
            {
                "phrasings in training": str(p),
                "the trained wording": share(same),
                "a new wording": share(new),
                "new minus trained": gap(new, same),
            }
        )
    caption = "The same facts, seen equally often in training"
    return table(rows, caption, show={"new minus trained": points})


def knowledge_summary(record: Record) -> str:
    """Where the facts should go, in a paragraph, by kind of question."""
    rag = reading_method(record)
    text = (
        f"Asked in a new wording, the model knows {pct(share(knowledge(record, 'closed book', 'reworded')))} of the facts by itself, "
        f"{pct(share(knowledge(record, 'tuned', 'reworded')))} after tuning on them, {pct(share(knowledge(record, 'rag', 'reworded')))} with retrieval"
    )
    if rag != "rag":
        text += f", and {pct(share(knowledge(record, rag, 'reworded')))} with retrieval after tuning to read"
    gaps = {kind: gap(knowledge(record, rag, kind), knowledge(record, "tuned", kind)) for kind in AS_ASKED}
    words = {
        1: "retrieval is clearly ahead",
        -1: "the tuned-in facts are clearly ahead",
        0: "neither is clearly ahead",
    }
    told = [
        f"{words[sign]} for questions {listed([AS_ASKED[k] for k in gaps if clear(gaps[k]) == sign])}"
        for sign in words
        if any(clear(g) == sign for g in gaps.values())
    ]
    return f"{text}. Retrieval{' by the model tuned to read' if rag != 'rag' else ''} set against facts in the weights: {'; '.join(told)}."


# -- question 3: right, wrong, abstained -------------------------------------------------------------------------------

RETRIEVERS = {
    ("untouched", "none"): "as it comes, from memory",
    ("untouched", "bad"): "as it comes, wrong passages",
    ("untouched", "good"): "as it comes, found passages",
    ("reading", "bad"): "tuned to read, wrong passages",
    ("reading", "good"): "tuned to read, found passages",
}


def answered(record: Record, method: str, retriever: str, asked: str) -> list[Row]:
    """The rows of a model, a retriever (none, good, bad) and a kind of question (answerable, unanswerable)."""
    return record.where(part="retriever", method=method, retriever=retriever, asked=asked)


def outcomes_menu(record: Record) -> Figure:
    """A menu over the kind of question: right, wrong and abstained, by model and retriever."""
    figures = {}
    for asked in ("answerable", "unanswerable"):
        found = {name: answered(record, *key, asked) for key, name in RETRIEVERS.items()}
        bars = {n: {o: share(rows, o)["value"] for o in OUTCOMES} for n, rows in found.items() if rows}
        figures[f"{asked} questions"] = stacks(bars, f"{asked} questions")
    return with_menu(figures, "questions")


def outcomes_table(record: Record) -> Html:
    """The same in numbers."""
    rows = []
    for key, name in RETRIEVERS.items():
        can, cannot = (answered(record, *key, asked) for asked in ("answerable", "unanswerable"))
        if can:
            rows.append(
                {
                    "model, passages": name,
                    "answerable: right": share(can),
                    "answerable: wrong": share(can, "wrong"),
                    "unanswerable: invented": share(cannot, "wrong"),
                    "unanswerable: abstained": share(cannot, "abstained"),
                }
            )
    return table(rows, "What is right, what is made up, and what is left open")


def epochs(record: Record, asked: str) -> list[tuple[float, list[Row]]]:
    """The stops of tuning on new facts: (share of the training done, the rows of all seeds)."""
    stops = sorted({r["share"] for r in record.where(part="epochs")})
    return [(stop, record.where(part="epochs", share=stop, asked=asked)) for stop in stops]


def epochs_figure(record: Record) -> Figure:
    """What happens during tuning on new facts: to the facts, to facts that it does not teach, and to general knowledge."""
    lines = {
        "the new facts, right": ("learned", "right"),
        "other facts of the company, made up": ("others", "wrong"),
        "general questions, right": ("general", "right"),
        "general questions, sure and wrong": ("general", "sure_and_wrong"),
    }
    series = {
        name: [(100 * x, share(rows, metric)) for x, rows in epochs(record, asked)]
        for name, (asked, metric) in lines.items()
    }
    ends = "; ".join(
        f"{name} from {line[0][1]['value']:.0%} to {line[-1][1]['value']:.0%}"
        for name, line in series.items()
    )
    x, y = "share of the training done, in per cent", "share of the questions"
    return from_zero_to_one(line_with_interval(series, x, y, alt=f"From before to after tuning: {ends}."))


def side_effects(record: Record) -> dict[str, dict]:
    """What tuning on new facts changes elsewhere, end minus start, paired: general right, sure and wrong, made up."""
    told = {
        "right": ("general", "right"),
        "sure": ("general", "sure_and_wrong"),
        "made up": ("others", "wrong"),
    }
    stops = {name: epochs(record, asked) for name, (asked, _) in told.items()}
    return {name: gap(stops[name][-1][1], stops[name][0][1], metric) for name, (_, metric) in told.items()}


def invention(record: Record) -> dict[str, dict]:
    """Wrong answers to all questions, answerable and not, by model and retriever, each against the model from memory, paired."""

    def wrong(key: tuple[str, str]) -> list[list[int]]:
        can, cannot = (
            bits(answered(record, *key, asked), "wrong") for asked in ("answerable", "unanswerable")
        )
        return [a + b for a, b in zip(can, cannot, strict=True)]

    memory, *others = RETRIEVERS
    return {RETRIEVERS[key]: difference(wrong(key), wrong(memory)) for key in others if wrong(key)}


def hallucination_summary(record: Record) -> str:
    """How much retrieval and tuning to read keep down what is made up, in a paragraph."""
    plain_, read = (
        share(answered(record, m, "good", "unanswerable"), "wrong") for m in ("untouched", "reading")
    )
    bad = share(answered(record, "reading", "bad", "answerable"), "wrong")
    change, sure = invention(record)[RETRIEVERS["untouched", "good"]], side_effects(record)["sure"]
    fewer = compared(
        change, "gives clearly more", "gives clearly fewer", "does not clearly change the number of"
    )
    harm = compared(sure, "rises", "falls", "does not clearly change")
    return (
        f"Retrieval {fewer} wrong answers, set against memory ({points(change)}). Asked what the handbook does not say, the model "
        f"as it comes invents an answer in {pct(plain_)}, and after tuning to read, with some questions that have no answer, in {pct(read)}. With passages that do not hold the answer, "
        f"the tuned reader is wrong in {pct(bad)}. While a model is tuned on new facts, the share of general questions that it answers wrong and is sure of {harm} "
        f"({points(sure)})."
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
PARTS = {"changed.right": "facts that changed", "unchanged.right": "facts that did not"}


def updates(record: Record, changed_share: float | None = None) -> dict[str, list[Row]]:
    """Name -> rows of each way to meet a change. changed_share: of the facts (the smallest that was measured, if None)."""
    changed_share = min(record.params["shares"]) if changed_share is None else changed_share
    found = {
        name: [r for r in record.where(method=method, share=changed_share) if ("seed" in r) == seeded]
        for (method, seeded), name in UPDATES.items()
    }
    return {name: rows for name, rows in found.items() if rows}


def best_index(record: Record) -> str:
    """The new index, read by the model that was tuned for it, where there is one."""
    reads = "new index, tuned to read"
    return reads if reads in updates(record) else "new index, as it comes"


def dynamic_figure(record: Record) -> Figure:
    """Right answers about facts that changed and facts that did not, by way to meet the change."""
    figures = {}
    for s in record.params["shares"]:
        ways, words = updates(record, s), f"{s:.0%} of the facts changed"
        bars = {
            part: {name: share(rows, metric) for name, rows in ways.items()} for metric, part in PARTS.items()
        }
        figures[words] = share_bars(bars, "right today", f"{words}.")
    return next(iter(figures.values())) if len(figures) == 1 else with_menu(figures, "share of changed facts")


def repair_seconds(record: Record, name: str) -> float | None:
    """Seconds that bringing a way up to date took (mean over seeds); None where nothing is done."""
    key = {"new": "index_seconds", "weights": "train_seconds"}.get(name.split()[0])
    found = [r[key] for r in updates(record)[name] if r.get(key) is not None] if key else []
    return sum(found) / len(found) if found else None


def dynamic_table(record: Record) -> Html:
    """The same in numbers, with the seconds that each repair took."""
    rows = []
    for name, found in updates(record).items():
        seconds = repair_seconds(record, name)
        rows.append(
            {
                "way": name,
                "changed facts": share(found, "changed.right"),
                "unchanged facts": share(found, "unchanged.right"),
                "to bring it up to date": "nothing done" if seconds is None else plain(seconds, "s"),
            }
        )
    return table(rows, f"After {min(record.params['shares']):.0%} of the facts have changed")


def mixed(changed: Metric, unchanged: Metric, s: float) -> dict:
    """``s`` times one rate plus ``1 - s`` times the other, as a metric; the two are taken to be independent.

    Interval: the method of variance estimates recovery, Zou, Huang & Zhang (2009), Comput. Stat. Data Anal. 53, 1080-1085.
    """
    parts = ((s, changed), (1 - s, unchanged))
    value = sum(w * m["value"] for w, m in parts)
    down, up = (
        math.sqrt(sum((w * (m[side] - m["value"])) ** 2 for w, m in parts)) for side in ("low", "high")
    )
    n = changed["n"] + unchanged["n"]
    return {"value": value, "n": n, "low": max(0.0, value - down), "high": min(1.0, value + up)}


def change_slider(record: Record) -> Figure:
    """A slider over the share of changed facts. Only one share was measured: the others are computed from its two rates."""
    rates = {name: [share(rows, metric) for metric in PARTS] for name, rows in updates(record).items()}
    figures = {}
    for s in (tenth / 10 for tenth in range(11)):
        bars = {name: mixed(changed, unchanged, s) for name, (changed, unchanged) in rates.items()}
        title = f"If {s:.0%} of the facts had changed (computed from the two measured rates)"
        figure = bars_with_interval(
            bars, "right today", alt=f"{title}. {in_words({'right': bars})}.", title=title
        )
        figures[f"{s:.0%}"] = from_zero_to_one(figure)
    return with_slider(figures, "share of changed facts")


def dynamic_summary(record: Record) -> str:
    """What a change costs each way, in a paragraph."""
    reader = best_index(record)
    right = {name: pct(share(rows, "changed.right")) for name, rows in updates(record).items()}
    return (
        f"About facts that have changed, old weights are right in {right['old weights']} of the answers, weights trained again in "
        f"{right['weights trained again']}, and retrieval from the new index ({reader.split(', ')[1]}) in {right[reader]}. "
        f"Training again took {plain(repair_seconds(record, 'weights trained again'), 's')}, replacing the changed passages in the index "
        f"{plain(repair_seconds(record, reader), 's')}."
    )


# -- question 6: citations ---------------------------------------------------------------------------------------------

WHO = {"own": "named by the model", "after": "found afterwards"}


def ratio(rows: Rows, good: str, among: str) -> dict | None:
    """Of the answers for which the metric ``among`` holds, the share for which ``good`` holds as well.

    A ratio of two counts, its interval by a bootstrap over questions with their seeds together (Wilson's where all or none are good). None
    where fewer than five questions have such an answer.
    """
    pairs = [list(zip(*both, strict=True)) for both in zip(bits(rows, good), bits(rows, among), strict=True)]
    counts = [(sum(g and a for g, a in q), sum(a for _, a in q)) for q in zip(*pairs, strict=True)]
    kept = [(g, t) for g, t in counts if t]
    if len(kept) < 5:
        return None
    if (whole := sum(g for g, _ in kept) / sum(t for _, t in kept)) in (0, 1):
        return stats.proportion(int(whole) * len(kept), len(kept))
    return stats.bootstrap(tuple(map(list, zip(*kept, strict=True))), lambda g, t: g.sum() / t.sum())


def precision(rows: Rows, who: str, what: str) -> dict | None:
    """Of the answers that cite, the share whose citation ``holds`` their words, or is a right ``source``; None where too few cite."""
    return ratio(rows, f"{who}.{what}", f"{who}.given")


def sourced(rows: Rows, who: str) -> dict | None:
    """Of the right answers, the share with a right source."""
    return ratio(rows, f"{who}.source", "right")


def misleading(rows: Rows, who: str) -> dict | None:
    """Of the wrong answers, the share with a citation whose passage holds the answer's words: one that survives a quick look."""
    return ratio(rows, f"{who}.holds", "wrong")


def citing(record: Record, condition: str) -> dict[str, list[Row]]:
    """Model -> rows, for the passages that were ``found``, or with one ``planted``."""
    found = {MODELS[m]: record.where(method=m, condition=condition) for m in ("untouched", "reading")}
    return {name: rows for name, rows in found.items() if rows}


def citing_each(record: Record) -> list[tuple[str, str, list[Row]]]:
    """(model, kind of citation, rows), nothing planted."""
    return [(name, who, rows) for name, rows in citing(record, "found").items() for who in WHO]


def citations_figure(record: Record) -> Figure:
    """How often there is a citation, its passage holds the answer, and it is the right source; by model and way to cite."""
    words = {
        "given": "there is one",
        "holds": "its passage holds the answer's words",
        "source": "it is a right source",
    }
    bars = {
        word: {f"{name}, {WHO[who]}": share(rows, f"{who}.{what}") for name, who, rows in citing_each(record)}
        for what, word in words.items()
    }
    return share_bars(bars, "share of the answers", "Citations of the answers:")


def citations_table(record: Record) -> Html:
    """Recall (of all answers) and precision (of those that cite)."""
    rows = [
        {
            "model": name,
            "citation": WHO[who],
            "answers with one": share(rows, f"{who}.given"),
            "of these, holds the words": precision(rows, who, "holds") or "too few",
            "of these, right source": precision(rows, who, "source") or "too few",
            "right source, of all answers": share(rows, f"{who}.source"),
        }
        for name, who, rows in citing_each(record)
    ]
    return table(rows, "Citations, when nobody lies")


def trust_table(record: Record) -> Html:
    """Does a citation tell right answers from wrong ones?"""
    rows = [
        {
            "model": name,
            "citation": WHO[who],
            "of right answers, with a right source": sourced(rows, who) or "too few",
            "of wrong answers, with one that holds their words": misleading(rows, who) or "too few",
        }
        for name, who, rows in citing_each(record)
    ]
    return table(rows, "Does a citation tell right answers from wrong ones? (n: questions)")


def lies(rows: Rows, who: str) -> dict:
    """The share of answers that are the planted value, with a citation of this kind to a passage that holds it."""
    return mean_of(
        [
            [a and b for a, b in zip(*both, strict=True)]
            for both in zip(bits(rows, "planted"), bits(rows, f"{who}.holds"), strict=True)
        ]
    )


def planted_figure(record: Record) -> Figure:
    """What is answered when a right passage and a forged copy of it are both shown."""
    bars = {}
    for name, rows in citing(record, "planted").items():
        planted = sum(bits(rows, "planted"), [])

        def honest(kind: str, rows: Rows = rows, planted: Sequence[int] = planted) -> float:
            return sum(o and not p for o, p in zip(sum(bits(rows, kind), []), planted, strict=True)) / len(
                planted
            )

        bars[name] = {
            "right": honest("right"),
            "planted value": sum(planted) / len(planted),
            "abstained": honest("abstained"),
            "something else": honest("wrong"),
        }
    return stacks(bars, "With a forged copy beside the right passage")


def planted_table(record: Record) -> Html:
    """How often the planted value is repeated, and how often with a citation that holds up to a look."""
    rows = [
        {
            "model": name,
            "right": share(found),
            "the planted value": share(found, "planted"),
            "with the model's own citation to it": lies(found, "own"),
            "with one found afterwards": lies(found, "after"),
        }
        for name, found in citing(record, "planted").items()
    ]
    return table(rows, "A wrong source among the passages")


def citations_summary(record: Record) -> str:
    """What a reference is worth, in a paragraph."""
    name, found = list(citing(record, "found").items())[-1]
    _, forged = list(citing(record, "planted").items())[-1]
    own, after = (share(found, f"{who}.source") for who in WHO)
    right, wrong = sourced(found, "after"), misleading(found, "after")
    return (
        f"The model ({name}) names a right source by itself in {pct(own)} of its answers; looked up afterwards, there is one for {pct(after)}. "
        f"Looked up, a right source stands behind {pct(right) if right else 'too few to say'} of its right answers, and words that match behind {pct(wrong) if wrong else 'too few to say'} of its wrong ones. "
        f"With a forged copy of the right passage beside it, it repeats the forged value in {pct(share(forged, 'planted'))}, and in {pct(lies(forged, 'after'))} of all answers "
        f"with a citation in which the words can be found."
    )


# -- question 7: cost --------------------------------------------------------------------------------------------------


def answer_from(k: int) -> str:
    """An answer, by the number of passages in its prompt."""
    return f"an answer from {k} passage{'s' * (k > 1)}" if k else "an answer from memory"


def answers_by_k(record: Record) -> list[Row]:
    """The rows of answers, the fewest passages first."""
    return sorted(record.where(method="answer"), key=lambda r: r["k"])


def cost_table(record: Record) -> Html:
    """Seconds, tokens and bytes: to set up and to answer."""
    index, kinds = record.one(method="index"), {"facts": "fact pairs", "reading": "examples of reading"}
    size = (index["vector_bytes"] + index["text_bytes"]) / 1024
    rows = [
        (
            f"index of {index['passages']} passages",
            f"{plain(index['build_seconds'], 's')} once",
            "-",
            plain(size, "KiB"),
        ),
        ("a search in it", plain(index["search_seconds"], "s"), "-", "-"),
    ]
    for r in record.where(method="training"):
        seconds, size = f"{plain(r['train_seconds'], 's')} each time", plain(r["adapter_bytes"] / 1024, "KiB")
        rows.append(
            (f"training on {r['examples']} {kinds[r['what']]}", seconds, f"{r['train_tokens']:,}", size)
        )
    rows += [
        (answer_from(r["k"]), plain(r["seconds"], "s"), plain(r["prompt_tokens"]), "-")
        for r in record.where(method="answer")
    ]
    return table_from_lists(
        ["what", "seconds", "tokens read", "on disk"], rows, "What it takes to set up, and to answer"
    )


def cost_figure(record: Record) -> Figure:
    """Seconds an answer against the number of passages in the prompt."""
    rows = answers_by_k(record)
    ends = [f"{r['seconds']['value']:.2g} s with {r['k']}" for r in (rows[0], rows[-1])]
    return line_with_interval(
        {"an answer": [(r["k"], r["seconds"]) for r in rows]},
        "passages in the prompt",
        "seconds an answer",
        alt=f"An answer takes {ends[0]} passages and {ends[1]}.",
        percent=False,
    )


def answers_until_even(record: Record) -> float | None:
    """Answers after which one training on facts has cost fewer seconds in all than an index and longer prompts; None for never."""
    rows = answers_by_k(record)
    k = next((r for r in rows if r["k"] >= 3), rows[-1])
    saved = k["seconds"]["value"] - rows[0]["seconds"]["value"]
    trained = record.one(method="training", what="facts")["train_seconds"]
    return max(0.0, (trained - record.one(method="index")["build_seconds"]) / saved) if saved > 0 else None


def ways_settings(record: Record, k: int = 3) -> dict:
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


def live_table(record: Record) -> Html:
    """The rows of a run of the reader's own: what was asked of what, and how many answers were right."""
    rows = []
    for r in (r for r in record.results if "right" in r):
        trained = f", {_phrasings(r['phrasings'])}" if "phrasings" in r else ""
        shown = f"passages: {r.get('passages')}" + (f", {r['k']}" if r.get("k") else "")
        rows.append(
            {
                "method": MODELS.get(r["method"], r["method"]) + trained,
                "asked": r.get("asked", shown),
                "right": r["right"],
                "abstained": r["abstained"],
            }
        )
    return table(rows, f"A live run, scale {record.scale}")
