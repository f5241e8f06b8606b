"""Figures and tables of the chapters on retrieval, each a function of a run record; an answer is right, wrong or abstains.

:mod:`whentofinetune.pages.rag_or_weights` has the fair fight for facts, :mod:`whentofinetune.pages.hybrid` what the chapter on retrieval and
tuning together adds.
"""

from collections.abc import Sequence
from functools import partial
from itertools import product
from statistics import fmean

from tunewise import report as rp
from tunewise import stats
from tunewise.record import Record, Row
from tunewise.report.tables import Conditions
from tunewise.words import counted
from tunewise.written_answers import OUTCOMES
from whentofinetune.pages.condition_names import arms
from whentofinetune.verdicts import LADDER, title

SEARCHES = {"bm25": "BM25 (words)", "dense": "embeddings (meaning)", "hybrid": "both, ranks fused"}
ASKED = {
    "direct": "a value is asked for",
    "reversed": "reversed question",
    "changed": "about a change",
    "multihop": "over two facts",
}


# -- does the right passage come back? ---------------------------------------------------------------------------------


def recall_menu(record: Record) -> rp.Figure:
    """A menu over the kind of question: how often the right passage is among the first k, by method of search."""
    figures = {}
    for asked in record.params["kinds"]:
        series = {
            SEARCHES[r["method"]]: {k: rp.mean([r], f"recall.{k}") for k in record.params["ks"]}
            for r in record.where(asked=asked)
        }
        words = ("passages found (k)", "right passage among them", f"Questions, {ASKED[asked]}")
        figures[ASKED[asked]] = rp.curves(series, *words)
    return rp.choose(figures, "kind of question")


def retrieval_table(record: Record, k: int = 3) -> rp.Html:
    """Recall among k by kind of question and method of search, what fusing adds, and the mean reciprocal rank."""
    rows = []
    for asked in record.params["kinds"]:
        fused = record.where(method="hybrid", asked=asked)
        for r in record.where(asked=asked):
            row = {"question": ASKED[asked], "search": SEARCHES[r["method"]]}
            row[f"right passage among {k}"] = rp.mean([r], f"recall.{k}")
            row["fused minus this"] = "-" if r is fused[0] else rp.gap(fused, [r], f"recall.{k}")
            rows.append(row | {"mean reciprocal rank": rp.mean([r], "mrr")})
    said = {"fused minus this": rp.points, "mean reciprocal rank": rp.plain}
    return rp.table(rows, "Three methods to find a passage of the handbook", show=said)


# -- question 3: right, wrong, abstained -------------------------------------------------------------------------------


def answered(record: Record, asked: str) -> Conditions:
    """Model and passages -> rows of the answers to this kind of question (answerable, unanswerable)."""
    return arms(record, part="retriever", asked=asked)


def outcomes_menu(*records: Record) -> rp.Figure:
    """A menu over model and kind of question: right, wrong and abstained, by tuning and passages. At first the last one, which the prediction asks for."""
    figures = {}
    for record, asked in product(records, ("answerable", "unanswerable")):
        found = answered(record, asked).items()
        bars = {name: {o: rp.mean(rows, o) for o in OUTCOMES} for name, rows in found}
        caption = f"{asked.capitalize()} questions, {title(record.model)}"
        entry = f"{asked}, {LADDER.get(record.model, record.model)}"  # short enough for a telephone
        figures[entry] = rp.stacked_bars(bars, "share of the answers", caption)
    return rp.choose(figures, "questions", entry)


PROBES = {
    "the new facts, right": ("learned", "right"),
    "other facts of the company, hallucinated": ("others", "wrong"),
    "general questions, right": ("general", "right"),
    "general questions, sure and wrong": ("general", "sure_and_wrong"),
}


def learning_figure(record: Record) -> rp.Figure:
    """What happens during tuning on new facts: to the facts, to facts that it does not teach, and to general knowledge."""
    series: dict[str, dict[float, dict]] = {}
    for name, (asked, metric) in PROBES.items():
        found = rp.means(record.by("share", part="epochs", asked=asked), metric)
        series[name] = {100 * share: mean for share, mean in found.items()}
    words = ("share of the training done, in per cent", "share of the questions", "Tuning on new facts")
    return rp.curves(series, *words)


# -- question 5: data that change --------------------------------------------------------------------------------------


def updates(record: Record) -> Conditions:
    """Name -> rows of each method to meet a change, at the smallest share of changed facts that was measured."""
    return arms(record, share=min(record.params["shares"]))


def changed(record: Record, name: str) -> str:
    """How often a method to meet a change is right about the changed facts, in words."""
    return rp.pct(rp.mean(updates(record)[name], "changed.right"))


def update_seconds(rows: Sequence[Row]) -> str:
    """What bringing a method up to date took, in words (mean over seeds)."""
    keys = {"index brought up to date": "index_seconds", "weights trained again": "train_seconds"}
    key = keys.get(rows[0]["method"])
    return rp.plain(fmean(r[key] for r in rows), "s") if key else "nothing done"


def dynamic_table(record: Record) -> rp.Html:
    """Right answers today about changed and unchanged facts, and the seconds that each update took."""
    columns = {"changed facts": "changed.right", "unchanged facts": "unchanged.right"}
    columns["to bring it up to date"] = update_seconds
    caption = f"After {rp.pct(min(record.params['shares']))} of the facts have changed"
    return rp.conditions_table(updates(record), caption, columns)


# -- question 6: citations ---------------------------------------------------------------------------------------------

WHO = {"own": "named by the model", "after": "found afterwards"}


def ratio(rows: Sequence[Row], good: str, among: str) -> dict | None:
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


def citing(record: Record, condition: str) -> Conditions:
    """Model -> rows, for the passages that were ``found``, or with one ``planted``."""
    return arms(record, condition=condition)


def citations_table(record: Record) -> rp.Html:
    """Recall (of all answers) and precision (of those that cite) of citations; do they tell right answers from wrong ones?"""
    heads = {
        "right source, of answers that cite": ("source", "{}.given"),
        "right source, of right answers": ("source", "right"),
        "words stand in the source, of wrong answers": ("holds", "wrong"),
    }
    rows = []
    for name, found in citing(record, "found").items():
        for key, who in WHO.items():
            row = {"model": name, "citation": who, "answers with one": rp.mean(found, f"{key}.given")}
            row["right source, of all answers"] = rp.mean(found, f"{key}.source")
            for head, (good, among) in heads.items():
                row[head] = ratio(found, f"{key}.{good}", among.format(key)) or "too few"
            rows.append(row)
    return rp.table(rows, "Citations, when nothing is planted")


def planted_table(record: Record) -> rp.Html:
    """How often the planted value is repeated, and how often a passage can be cited for it."""
    columns = {"right": "right", "abstained": "abstained", "the planted value": "planted"}
    stands = "of these, its words stand in a passage"
    columns[stands] = lambda rows: ratio(rows, "after.holds", "planted") or "too few"
    found = citing(record, "planted")
    return rp.conditions_table(found, "A forged copy beside the right passage", columns, first="model")


def citations_measured(record: Record) -> dict:
    """Name -> metric, of what references are worth: the figures of C39."""
    ours = {}
    for name, rows in citing(record, "found").items():
        ours |= {f"right source {who}, {name}": rp.mean(rows, f"{key}.source") for key, who in WHO.items()}
        if of_wrong := ratio(rows, "after.holds", "wrong"):
            ours[f"wrong answers whose words stand in a passage, {name}"] = of_wrong
    planted = rp.means(citing(record, "planted"), "planted").items()
    return ours | {f"planted value repeated, {name}": metric for name, metric in planted}


# -- question 7: cost --------------------------------------------------------------------------------------------------


def _trained_on(row: Row) -> str:
    return (
        f"training on {row['examples']} {'fact pairs' if row['what'] == 'facts' else 'examples of reading'}"
    )


def _answered_from(row: Row) -> str:
    return f"an answer with {counted(row['k'], 'passage')} in its prompt"


def cost_table(record: Record) -> rp.Html:
    """Seconds, tokens and bytes: to set up and to answer."""
    index, s = record.one(method="index"), partial(rp.plain, unit="s")

    def kib(size: float) -> str:
        return rp.plain(size / 1024, "KiB")

    size = kib(index["vector_bytes"] + index["text_bytes"])
    found = [(f"index of {index['passages']} passages", s(index["build_seconds"]), "-", size)]
    found.append(("a search in it", s(index["search_seconds"]), "-", "-"))
    for r in record.where(method="training"):
        told = (s(r["train_seconds"]), f"{r['train_tokens']:,}", kib(r["adapter_bytes"]))
        found.append((_trained_on(r), *told))
    for r in record.where(method="answer"):
        found.append((_answered_from(r), s(r["seconds"]), rp.plain(r["prompt_tokens"]), "-"))
    heads = ("what", "seconds", "tokens read", "on disk")
    return rp.table_from_lists(heads, found, "What it takes to set up, and to answer")


def cost_measured(record: Record) -> dict[str, str]:
    """Name -> seconds, of what a search and a training take: the figures of C40."""
    index = record.one(method="index")
    ours = {f"an index of {index['passages']} passages": index["build_seconds"]}
    ours |= {_trained_on(r): r["train_seconds"] for r in record.where(method="training")}
    ours |= {_answered_from(r): r["seconds"] for r in record.where(method="answer")}
    return {name: rp.plain(seconds, "s") for name, seconds in ours.items()}
