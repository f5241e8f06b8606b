"""Figures and tables of the chapter *Both?*, each a function of the run record ``rag_hybrid``."""

import html
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tunewise import report as rp
from tunewise import stats, written_answers
from tunewise.comparison import compare_arrays
from tunewise.record import Record, Row
from tunewise.report.tables import Conditions
from whentofinetune.pages import condition_names
from whentofinetune.pages.passages import passage_html

MODELS = condition_names.methods("rag_citations")
TAUGHT = {
    "facts": "the facts themselves",
    "reading": "reading among distractors",
    "gold only": "reading the right passage alone",
}
MARGIN = 0.1  # of the tests of C33 and C42


def tunings(record: Record) -> dict[str, str]:
    """The kinds of tuning that were measured -> their words."""
    return {t: words for t, words in TAUGHT.items() if record.where(method=t)}


def models(record: Record) -> dict[str, dict]:
    """The base model and each tuned one -> its settings."""
    return {MODELS[m]: {"method": m} for m in ("base", *tunings(record))}


def quadrant(record: Record, tuning: str) -> Conditions:
    """The four quadrants of a kind of tuning -> rows."""
    cells = {
        "neither": {"method": "base", "passages": "none"},
        "retrieval alone": {"method": "base", "passages": "found"},
        "tuning alone": {"method": tuning, "passages": "none"},
        "both": {"method": tuning, "passages": "found"},
    }
    return rp.conditions(record, cells)


def interaction(record: Record, tuning: str) -> dict:
    """(both - retrieval) - (tuning - neither): what the two bring together beyond the sum of what each brings, in [-2, 2]."""
    rows = quadrant(record, tuning)
    neither, rag, tuned, both = (np.array([r.outcomes("right") for r in q]) for q in rows.values())
    return compare_arrays(both - tuned, rag - neither, rows["both"][0].groups).metric()


def quadrants_figure(record: Record) -> rp.Figure:
    """Right answers with and without retrieval, with and without tuning, for each thing that tuning taught."""
    series: dict[str, dict] = {}
    for tuning, taught in tunings(record).items():
        for name, metric in rp.means(quadrant(record, tuning), "right").items():
            series.setdefault(name, {})[f"tuning taught {taught}"] = metric
    return rp.dots(series, "right answers", "Four quadrants")


def over_halves(record: Record, tuning: str) -> dict[str, dict]:
    """Both minus retrieval alone, both minus tuning alone, and the interaction."""
    q = quadrant(record, tuning)
    halves = {f"both minus {h}": q[h] for h in ("retrieval alone", "tuning alone")}
    return rp.gaps(halves, q["both"], "right", less=True) | {"interaction": interaction(record, tuning)}


def over_halves_figure(record: Record) -> rp.Figure:
    """What both bring over each half, and the interaction, for each thing that tuning taught."""
    found = {f"taught {taught}": over_halves(record, t) for t, taught in tunings(record).items()}
    margins = dict.fromkeys(next(iter(found.values())), MARGIN)
    caption = "What both bring over each half"
    return rp.differences(found, "difference in right answers", caption, margins=margins)


# -- what the reader makes of its passages -----------------------------------------------------------------------------


def reading_table(record: Record) -> rp.Html:
    """Each model with the right passage alone, among distractors, with what was found, and from memory."""
    d = record.params["distractors"]

    def of(metric: str = "right", **passages: object) -> Callable:
        return lambda rows: rp.mean(record.where(method=rows[0]["method"], **passages), metric) or "-"

    def lost(rows: Sequence[Row]) -> dict | str:
        pair = (record.where(method=rows[0]["method"], passages="gold", k=k) for k in (1 + d, 1))
        return rp.gap(*pair, "right") or "-"

    columns = {
        "right passage alone": of(passages="gold", k=1),
        f"with {d} distractors": of(passages="gold", k=1 + d),
        "lost to distractors": (lost, rp.points),
        f"{record.params['k']} passages found": of(passages="found"),
        "cites a right passage found": of("cites_gold", passages="found"),
        "from memory": of(passages="none"),
        "abstains, right passage alone": of("abstained", passages="gold", k=1),
    }
    found = rp.conditions(record, models(record))
    return rp.conditions_table(found, "Right answers, by what stands in the prompt", columns, first="model")


def found_among(record: Record, k: int) -> list[int]:
    """For each question: is a right passage among the first k that were found?"""
    kept = record.one(method="retrieval")
    return [int(bool(set(f[:k]) & set(g))) for f, g in zip(kept["found"], kept["gold"], strict=True)]


def _by_k(record: Record, passages: str, of: Callable[[int, Sequence[Row]], dict | None]) -> dict:
    """Model -> {passages in the prompt -> metric}, for the base model and RAG fine-tuning."""
    found = {m: record.by("k", passages=passages, method=m) for m in ("base", "reading")}
    return {MODELS[m]: {k: of(k, rows) for k, rows in at.items()} for m, at in found.items()}


def _sweep(record: Record, series: dict, of: str, caption: str) -> rp.Figure | rp.Html:
    if any(series.values()):
        return rp.curves(series, of, "share of the questions", caption)
    return rp.prose(f"The scale {record.scale} of this run does not vary the number of {of}.")


def distractors_figure(record: Record) -> rp.Figure | rp.Html:
    """Right answers and right citations against the distractors beside the right passage, by model."""
    series = {
        f"{words}, {model}": {k - 1: metric for k, metric in found.items()}
        for words, metric in (("right answers", "right"), ("cites the right passage", "cites_gold"))
        for model, found in _by_k(record, "sweep gold", lambda k, rows, m=metric: rp.mean(rows, m)).items()
    }
    return _sweep(record, series, "distractors", "The right passage among more and more distractors")


def k_figure(record: Record) -> rp.Figure | rp.Html:
    """How often the right passage is among those found, and how often the answer is right, against their number."""

    def among(k: int, rows: Sequence[Row]) -> dict:
        return stats.mean_interval(found_among(record, k)[: len(rows[0].items)], rows[0].groups)

    there = {"the right passage is among them": _by_k(record, "sweep found", among)[MODELS["base"]]}
    answers = _by_k(record, "sweep found", lambda k, rows: rp.mean(rows, "right"))
    series = there | {f"right answer, {model}": found for model, found in answers.items()}
    return _sweep(record, series, "passages found", "More passages found in the handbook")


def losses(record: Record, model: str) -> dict[str, float]:
    """Of all answers with retrieval (all seeds): right; wrong or abstained without a right passage; with one. They add up to one."""
    there = np.array(found_among(record, record.params["k"]))
    said = np.array([r.outcomes("right") for r in record.where(method=model, passages="found")])
    lost = 1 - said
    return {
        "right": float(said.mean()),
        "right passage missing": float((lost * (1 - there)).mean()),
        "right passage there, not used": float((lost * there).mean()),
    }


def losses_figure(record: Record) -> rp.Figure:
    """Where the right answers are lost: in the search, or in reading."""
    found = {name: losses(record, settings["method"]) for name, settings in models(record).items()}
    return rp.stacked_bars(found, "share of the answers", "Where right answers are lost, with retrieval")


# -- looking at single questions ---------------------------------------------------------------------------------------


def browser(
    record: Record, passages: Mapping[str, tuple[str, str]], tuning: str = "reading", n: int = 12
) -> rp.Html:
    """Questions to open: the passages found, the answers before and after tuning, the words of the answer marked where they stand.

    passages: id -> (title, text). tuning: what the tuned model was taught; its first seed is shown. n: how many questions, spread over the record.
    """
    kept, k = record.one(method="retrieval"), record.params["k"]
    shown = {MODELS[m]: record.where(method=m, passages="found")[0] for m in ("base", tuning)}
    items, plain = [], []
    for i in np.unique(np.linspace(0, len(kept["asked"]) - 1, n).astype(int)):
        ask, found, gold = kept["asked"][i], kept["found"][i][:k], set(kept["gold"][i])
        told = {name: (r["predictions"][i], outcome(r, i)) for name, r in shown.items()}
        lines = "".join(
            f"<dt>{html.escape(name)}</dt><dd>“{html.escape(text)}”: {o}; cites {'a' if shown[name].outcomes('cites_gold')[i] else 'no'} right passage</dd>"
            for name, (text, o) in told.items()
        )
        wanted = [text for text, _ in told.values()]
        texts = "".join(passage_html(j, p in gold, *passages[p], wanted) for j, p in enumerate(found, 1))
        outcomes = ", ".join(o for _, o in told.values())
        missing = "" if gold & set(found) else "<p>No passage that states the fact was found.</p>"
        items.append(
            f"<details><summary>{html.escape(ask)} <small>({outcomes})</small></summary><dl>{lines}</dl>{missing}{texts}</details>"
        )
        plain.append(f"{ask} {'; '.join(f'{name}: {text} ({o})' for name, (text, o) in told.items())}")
    return rp.Html(f'<div class="tw-browser">{"".join(items)}</div>', "\n".join(plain))


def outcome(row: Row, i: int) -> str:
    """Is the answer to question ``i`` right, wrong or abstained?"""
    return next(o for o in written_answers.OUTCOMES if row.outcomes(o)[i])
