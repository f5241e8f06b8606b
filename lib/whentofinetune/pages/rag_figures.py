"""Figures and tables of the chapters on retrieval, each a function of a run record; an answer is right, wrong or abstains.

:mod:`whentofinetune.pages.hybrid` has what the chapter on retrieval and tuning together adds.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean

from tunewise import stats
from tunewise.record import Record, Row
from tunewise.report import (
    Figure,
    Html,
    bars_with_interval,
    gap,
    in_words,
    line_with_interval,
    mean,
    measured,
    pct,
    plain,
    points,
    prose,
    stacked_bars,
    table,
    with_menu,
    with_slider,
)
from tunewise.written_answers import OUTCOMES
from whentofinetune import verdicts
from whentofinetune.book_records import load

Rows = Sequence[Row]
right = partial(mean, metric="right")
wrong = partial(mean, metric="wrong")
SEARCHES = {"bm25": "BM25 (words)", "dense": "embeddings (meaning)", "hybrid": "both, ranks fused"}
ASKED = {
    "direct": "a value is asked for",
    "reversed": "reversed question",
    "changed": "about a change",
    "multihop": "over two facts",
}
KINDS = ("same wording", "reworded", "reversed", "two facts")
MODELS = {
    "base": "base model",
    "reading": "RAG fine-tuning",
    "facts": "tuned on the facts",
    "gold only": "RAG fine-tuning, no distractors",
}


# -- for every page on retrieval ---------------------------------------------------------------------------------------


def show(make: Callable, *names: str, **options):
    """What ``make`` makes of the book's records of these names (a text as a paragraph), or a note of the one that is missing."""

    def shown():
        made = make(*map(load, names), **options)
        return prose(made) if isinstance(made, str) else made

    return measured(shown)


def links(*claims: str) -> Html:
    """The verdicts on these claims in a line each, with a link to the chapter that gives the reasons."""
    found = [(c, verdicts.claims()[c], verdicts.headline(c)) for c in claims]
    size = {c: f" ({verdicts.LADDER[v.model]})" if v.findings else "" for c, _, v in found}
    items = "".join(
        f'<li>{c}. {html.escape(e["claim"])} <a href="{e["chapter"]}.html">{v.word}</a>{size[c]}</li>'
        for c, e, v in found
    )
    return Html(f"<ul>{items}</ul>", "\n".join(f"{c}. {e['claim']} {v.word}{size[c]}" for c, e, v in found))


def from_zero_to_one(figure: Figure) -> Figure:
    """The same figure with an axis from none to all, so that the positions of a slider can be compared."""
    figure.layout["yaxis"]["range"] = [0, 1]
    return figure


def share_bars(bars: Mapping[str, Mapping], y: str, title: str) -> Figure:
    """Bars of shares with their intervals; what is seen is also said."""
    return from_zero_to_one(bars_with_interval(bars, y, alt=f"{title}. {in_words(bars)}.", title=title))


def stacks(bars: Mapping[str, Mapping[str, float]], before: str) -> Figure:
    """Shares of all answers that add up to one, one bar a model."""
    figure = stacked_bars(bars, "share of the answers", f"{before}: {in_words(bars)}.", horizontal=True)
    figure.layout["xaxis"] |= {"tickformat": ".0%", "range": [0, 1]}
    return figure


def live_table(record: Record) -> Html:
    """The rows of a run of the reader's own: what was asked of what, and how many answers were right."""
    rows = [
        {
            "method": MODELS.get(r["method"], r["method"])
            + (f", phrasings: {r['phrasings']}" if "phrasings" in r else ""),
            "question": r.get("asked") or f"passages: {r['passages']}, {r['k']}",
            "right": r["right"],
            "abstained": r["abstained"],
        }
        for r in record.results
        if "right" in r
    ]
    return table(rows, f"A live run, scale {record.scale}")


# -- does the right passage come back? ---------------------------------------------------------------------------------


def recall_menu(record: Record) -> Figure:
    """A menu over the kind of question: how often the right passage is among the first k, by method of search."""
    figures = {}
    for asked in record.params["kinds"]:
        series = {
            SEARCHES[r["method"]]: [(k, mean([r], f"recall.{k}")) for k in record.params["ks"]]
            for r in record.where(asked=asked)
        }
        first = in_words({name: line[0][1] for name, line in series.items()})
        alt = f"Questions, {ASKED[asked]}: right passage among the first {record.params['ks'][0]}: {first}."
        line = line_with_interval(series, "passages found (k)", "right passage among them", alt=alt)
        figures[ASKED[asked]] = from_zero_to_one(line)
    return with_menu(figures, "kind of question")


def retrieval_table(record: Record, k: int = 3) -> Html:
    """Recall among k by kind of question and method of search, what fusing adds, and the mean reciprocal rank."""
    rows = [
        {
            "question": ASKED[asked],
            "search": SEARCHES[r["method"]],
            f"right passage among {k}": mean([r], f"recall.{k}"),
            "fused minus this": "-"
            if r["method"] == "hybrid"
            else gap(record.where(method="hybrid", asked=asked), [r], f"recall.{k}"),
            "mean reciprocal rank": mean([r], "mrr"),
        }
        for asked in record.params["kinds"]
        for r in record.where(asked=asked)
    ]
    show_as = {"fused minus this": points, "mean reciprocal rank": plain}
    return table(rows, "Three methods to find a passage of the handbook", show=show_as)


# -- question 1: external knowledge ------------------------------------------------------------------------------------


def phrasings_of(record: Record) -> list[int]:
    """Numbers of phrasings that facts were trained in."""
    return sorted({r["phrasings"] for r in record.where(method="tuned")})


def methods_to_know(record: Record, asked: str, phrasings: int | None = None) -> dict[str, list[Row]]:
    """Name -> rows of each method that was asked this kind of question; facts tuned in with the most phrasings, if not said."""
    tuned = {"method": "tuned", "phrasings": phrasings or phrasings_of(record)[-1]}
    found = {
        "closed book": {"method": "closed book"},
        "tuned on the facts": tuned,
        "RAG": {"method": "rag"},
        "RAG fine-tuning": {"method": "rag fine-tuning"},
        "a small corpus, whole in the prompt": {"method": "whole corpus"},
    }
    rows = {name: record.where(asked=asked, **where) for name, where in found.items()}
    return {name: r for name, r in rows.items() if r}


def knowledge_slider(record: Record) -> Figure:
    """A slider over the phrasings that each fact was trained in: right answers by method and kind of question."""
    figures = {}
    for p in phrasings_of(record):
        bars: dict[str, dict] = {}
        for kind in KINDS:
            for name, rows in methods_to_know(record, kind, p).items():
                bars.setdefault(name, {})[kind] = right(rows)
        title = f"Each fact trained {record.params['exposures']} times, number of phrasings: {p}"
        figures[str(p)] = share_bars(bars, "right answers", title)
    return with_slider(figures, "phrasings of each fact in training")


def scores_table(record: Record) -> Html:
    """The answers to reworded questions scored in three ways, and how many decline to answer."""
    metrics = {
        "holds a right answer": "right",
        "exact match": "exact",
        "token F1": "f1",
        "abstained": "abstained",
    }
    rows = [
        {"method": name, **{head: mean(found, metric) for head, metric in metrics.items()}}
        for name, found in methods_to_know(record, "reworded").items()
    ]
    return table(rows, "Three ways to score reworded questions", show={"token F1": partial(plain, digits=2)})


def memorised_table(record: Record) -> Html:
    """What tuning memorises and what it generalises: the trained wording against a new one, by number of phrasings."""
    rows = []
    for p in phrasings_of(record):
        same, new = (record.where(method="tuned", phrasings=p, asked=k) for k in ("same wording", "reworded"))
        row = {"phrasings in training": str(p), "the trained wording": right(same), "reworded": right(new)}
        rows.append(row | {"reworded minus trained": gap(new, same, "right")})
    caption = "The same facts, seen equally often in training"
    return table(rows, caption, show={"reworded minus trained": points})


def knowledge_summary(record: Record) -> str:
    """Where the facts should go: right answers to reworded questions by method, and the difference for each kind of question."""
    reader = "RAG fine-tuning" if record.where(method="rag fine-tuning") else "RAG"
    found = {kind: methods_to_know(record, kind) for kind in KINDS[1:]}
    said = in_words({name: right(rows) for name, rows in found["reworded"].items()}, pct)
    gaps = {kind: gap(rows[reader], rows["tuned on the facts"], "right") for kind, rows in found.items()}
    return (
        f"Right answers to reworded questions: {said}. {reader} minus tuned on the facts, by kind of question: "
        f"{in_words(gaps, points)}."
    )


# -- question 3: right, wrong, abstained -------------------------------------------------------------------------------

RETRIEVERS = {
    ("base", "none"): "base model, from memory",
    ("base", "bad"): "base model, wrong passages",
    ("base", "good"): "base model, found passages",
    ("reading", "bad"): "RAG fine-tuning, wrong passages",
    ("reading", "good"): "RAG fine-tuning, found passages",
}


def answered(record: Record, asked: str) -> dict[str, list[Row]]:
    """Model and passages -> rows of the answers to this kind of question (answerable, unanswerable)."""
    found = {
        name: record.where(part="retriever", method=m, retriever=r, asked=asked)
        for (m, r), name in RETRIEVERS.items()
    }
    return {name: rows for name, rows in found.items() if rows}


def outcomes_menu(record: Record) -> Figure:
    """A menu over the kind of question: right, wrong and abstained, by model and passages."""
    figures = {}
    for kind in (f"{asked} questions" for asked in ("answerable", "unanswerable")):
        found = answered(record, kind.split()[0])
        figures[kind] = stacks(
            {n: {o: mean(r, o)["value"] for o in OUTCOMES} for n, r in found.items()}, kind
        )
    return with_menu(figures, "questions")


def outcomes_table(record: Record) -> Html:
    """The same in numbers."""
    cannot = answered(record, "unanswerable")
    rows = [
        {
            "model, passages": name,
            "answerable: right": right(can),
            "answerable: wrong": wrong(can),
            "unanswerable: hallucinated": wrong(cannot[name]),
            "unanswerable: abstained": mean(cannot[name], "abstained"),
        }
        for name, can in answered(record, "answerable").items()
    ]
    return table(rows, "What is right, what is hallucinated, and what is left open")


PROBES = {
    "the new facts, right": ("learned", "right"),
    "other facts of the company, hallucinated": ("others", "wrong"),
    "general questions, right": ("general", "right"),
    "general questions, sure and wrong": ("general", "sure_and_wrong"),
}


def stops(record: Record, asked: str) -> list[tuple[float, list[Row]]]:
    """The stops of tuning on new facts: (share of the training done, the rows of all seeds)."""
    shares = sorted({r["share"] for r in record.where(part="epochs")})
    return [(s, record.where(part="epochs", share=s, asked=asked)) for s in shares]


def learning_figure(record: Record) -> Figure:
    """What happens during tuning on new facts: to the facts, to facts that it does not teach, and to general knowledge."""
    series = {n: [(100 * x, mean(r, m)) for x, r in stops(record, a)] for n, (a, m) in PROBES.items()}
    ends = in_words({name: {"before": line[0][1], "after": line[-1][1]} for name, line in series.items()})
    x, y = "share of the training done, in per cent", "share of the questions"
    return from_zero_to_one(line_with_interval(series, x, y, alt=f"Tuning on new facts. {ends}."))


def learning_summary(record: Record) -> str:
    """What tuning on new facts changes, from before to after, paired by question."""
    ends = {n: ([r for _, r in stops(record, a)], m) for n, (a, m) in PROBES.items()}
    changes = {name: gap(rows[-1], rows[0], metric) for name, (rows, metric) in ends.items()}
    return f"From before to after tuning on new facts: {in_words(changes, points)}."


# -- question 5: data that change --------------------------------------------------------------------------------------

UPDATES = {
    "old index, base model": {"method": "stale index", "reader": "base"},
    "old index, RAG fine-tuning": {"method": "stale index", "reader": "reading"},
    "new index, base model": {"method": "index brought up to date", "reader": "base"},
    "new index, RAG fine-tuning": {"method": "index brought up to date", "reader": "reading"},
    "old weights": {"method": "stale weights"},
    "weights trained again": {"method": "weights trained again"},
}


def updates(record: Record) -> dict[str, list[Row]]:
    """Name -> rows of each method to meet a change, at the smallest share of changed facts that was measured."""
    found = {n: record.where(share=min(record.params["shares"]), **where) for n, where in UPDATES.items()}
    return {name: rows for name, rows in found.items() if rows}


def update_seconds(record: Record, name: str) -> str:
    """What bringing a method up to date took, in words (mean over seeds)."""
    key = {"new": "index_seconds", "weights": "train_seconds"}.get(name.split()[0])
    return plain(fmean(r[key] for r in updates(record)[name]), "s") if key else "nothing done"


def dynamic_table(record: Record) -> Html:
    """Right answers today about changed and unchanged facts, and the seconds that each update took."""
    rows = [
        {
            "method": name,
            "changed facts": mean(found, "changed.right"),
            "unchanged facts": mean(found, "unchanged.right"),
            "to bring it up to date": update_seconds(record, name),
        }
        for name, found in updates(record).items()
    ]
    return table(rows, f"After {min(record.params['shares']):.0%} of the facts have changed")


def mixed(changed: Mapping, unchanged: Mapping, s: float) -> dict:
    """``s`` times one rate plus ``1 - s`` times the other, as a metric; the two are taken to be independent.

    Interval: the method of variance estimates recovery, Zou, Huang & Zhang (2009), Comput. Stat. Data Anal. 53, 1080-1085.
    """
    parts = ((s, changed), (1 - s, unchanged))
    value = sum(w * m["value"] for w, m in parts)
    down, up = (math.hypot(*(w * (m[side] - m["value"]) for w, m in parts)) for side in ("low", "high"))
    n = changed["n"] + unchanged["n"]
    return {"value": value, "n": n, "low": max(0.0, value - down), "high": min(1.0, value + up)}


def change_slider(record: Record) -> Figure:
    """A slider over the share of changed facts. One share was measured: the others are computed from its two rates."""
    rates = {n: [mean(r, f"{p}.right") for p in ("changed", "unchanged")] for n, r in updates(record).items()}
    figures = {}
    for s in (tenth / 10 for tenth in range(11)):
        title = f"If {s:.0%} of the facts had changed (computed from the two measured rates)"
        bars = {name: mixed(*rate, s) for name, rate in rates.items()}
        figures[f"{s:.0%}"] = share_bars(bars, "right today", title)
    return with_slider(figures, "share of changed facts")


def dynamic_summary(record: Record) -> str:
    """What a change costs with each method, in a paragraph."""
    said = in_words({name: mean(rows, "changed.right") for name, rows in updates(record).items()})
    return (
        f"Right answers about facts that have changed: {said}. Training again took {update_seconds(record, 'weights trained again')}, "
        f"replacing the changed passages in the index {update_seconds(record, 'new index, base model')}."
    )


# -- question 6: citations ---------------------------------------------------------------------------------------------

WHO = {"own": "named by the model", "after": "found afterwards"}


def ratio(rows: Rows, good: str, among: str) -> dict | None:
    """Of the answers for which the metric ``among`` holds, the share for which ``good`` holds as well.

    A ratio of two counts, its interval by a bootstrap over questions with their seeds together (Wilson's where all or none are good). None
    where fewer than five questions have such an answer.
    """
    pairs = [zip(r.outcomes(good), r.outcomes(among), strict=True) for r in rows]
    counts = [(sum(g * a for g, a in q), sum(a for _, a in q)) for q in zip(*pairs, strict=True)]
    kept = [(g, t) for g, t in counts if t]
    if len(kept) < 5:
        return None
    if (whole := sum(g for g, _ in kept) / sum(t for _, t in kept)) in (0, 1):
        return stats.proportion(int(whole) * len(kept), len(kept))
    return stats.bootstrap(tuple(map(list, zip(*kept, strict=True))), lambda g, t: g.sum() / t.sum())


def citing(record: Record, condition: str) -> dict[str, list[Row]]:
    """Model -> rows, for the passages that were ``found``, or with one ``planted``."""
    found = {MODELS[m]: record.where(method=m, condition=condition) for m in ("base", "reading")}
    return {name: rows for name, rows in found.items() if rows}


def citations_table(record: Record) -> Html:
    """Recall (of all answers) and precision (of those that cite) of citations; do they tell right answers from wrong ones?"""
    rows = [
        {
            "model": name,
            "citation": who,
            "answers with one": mean(found, f"{key}.given"),
            "right source, of all answers": mean(found, f"{key}.source"),
            "right source, of answers that cite": ratio(found, f"{key}.source", f"{key}.given") or "too few",
            "right source, of right answers": ratio(found, f"{key}.source", "right") or "too few",
            "words stand in the source, of wrong answers": ratio(found, f"{key}.holds", "wrong") or "too few",
        }
        for name, found in citing(record, "found").items()
        for key, who in WHO.items()
    ]
    return table(rows, "Citations, when nothing is planted")


def planted_table(record: Record) -> Html:
    """How often the planted value is repeated, and how often a passage can be cited for it."""
    rows = [
        {
            "model": name,
            "right": right(found),
            "abstained": mean(found, "abstained"),
            "the planted value": mean(found, "planted"),
            "of these, its words stand in a passage": ratio(found, "after.holds", "planted") or "too few",
        }
        for name, found in citing(record, "planted").items()
    ]
    return table(rows, "A forged copy beside the right passage")


def citations_measured(record: Record) -> dict:
    """Name -> metric, of what references are worth: the figures of C39."""
    ours = {}
    for name, rows in citing(record, "found").items():
        ours |= {f"right source {who}, {name}": mean(rows, f"{key}.source") for key, who in WHO.items()}
        if of_wrong := ratio(rows, "after.holds", "wrong"):
            ours[f"wrong answers whose words stand in a passage, {name}"] = of_wrong
    planted = citing(record, "planted").items()
    return ours | {f"planted value repeated, {name}": mean(rows, "planted") for name, rows in planted}


def citations_summary(record: Record) -> str:
    """The same in a sentence."""
    return f"Of the answers: {in_words(citations_measured(record))}."


# -- question 7: cost --------------------------------------------------------------------------------------------------


def cost_table(record: Record) -> Html:
    """Seconds, tokens and bytes: to set up and to answer."""
    index = record.one(method="index")
    size = (index["vector_bytes"] + index["text_bytes"]) / 1024
    found = [
        (
            f"index of {index['passages']} passages",
            plain(index["build_seconds"], "s"),
            "-",
            plain(size, "KiB"),
        )
    ]
    found += [("a search in it", plain(index["search_seconds"], "s"), "-", "-")]
    for r in record.where(method="training"):
        what = (
            f"training on {r['examples']} {'fact pairs' if r['what'] == 'facts' else 'examples of reading'}"
        )
        size = plain(r["adapter_bytes"] / 1024, "KiB")
        found.append((what, plain(r["train_seconds"], "s"), f"{r['train_tokens']:,}", size))
    for r in record.where(method="answer"):
        what = f"an answer, passages in its prompt: {r['k']}"
        found.append((what, plain(r["seconds"], "s"), plain(r["prompt_tokens"]), "-"))
    heads = ("what", "seconds", "tokens read", "on disk")
    return table([dict(zip(heads, f, strict=True)) for f in found], "What it takes to set up, and to answer")


def cost_measured(record: Record) -> dict[str, str]:
    """Name -> seconds, of what a search and a training take: the figures of C40."""
    ours = {"index": plain(record.one(method="index")["build_seconds"], "s")}
    ours |= {
        f"training ({r['what']})": plain(r["train_seconds"], "s") for r in record.where(method="training")
    }
    return ours | {
        f"an answer, passages in its prompt: {r['k']}": plain(r["seconds"], "s")
        for r in record.where(method="answer")
    }


def methods_settings(record: Record, k: int = 3) -> dict:
    """What the calculator of four methods starts with: lengths and seconds as measured, rounded to the steps of its controls."""
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
