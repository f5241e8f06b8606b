"""Figures and tables of the chapter *Both?*, each a function of the run record ``rag_hybrid``."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence

import numpy as np

from tunewise import stats, written_answers
from tunewise.comparison import compare_arrays
from tunewise.record import Record, Row
from tunewise.report import (
    Figure,
    Html,
    differences,
    gap,
    in_words,
    mean,
    points,
    table,
    with_menu,
    with_slider,
)
from whentofinetune.pages.rag_figures import MODELS, right, share_bars, stacks

TAUGHT = {
    "facts": "the facts themselves",
    "reading": "reading among distractors",
    "gold only": "reading the right passage alone",
}
QUADRANTS = ("neither", "retrieval alone", "tuning alone", "both")
MARGIN = 0.1  # of the tests of C33 and C42


def tunings(record: Record) -> list[str]:
    """The kinds of tuning that were measured."""
    return [t for t in TAUGHT if record.where(method=t)]


def quadrant(record: Record, tuning: str) -> dict[str, list[Row]]:
    """The four quadrants of a kind of tuning -> rows."""
    cells = (("base", "none"), ("base", "found"), (tuning, "none"), (tuning, "found"))
    return {name: record.where(method=m, passages=p) for name, (m, p) in zip(QUADRANTS, cells, strict=True)}


def interaction(record: Record, tuning: str) -> dict:
    """(both - retrieval) - (tuning - neither): what the two bring together beyond the sum of what each brings, in [-2, 2]."""
    rows = quadrant(record, tuning)
    neither, rag, tuned, both = (np.array([r.outcomes("right") for r in q]) for q in rows.values())
    return compare_arrays(both - tuned, rag - neither, rows["both"][0].groups).metric()


def quadrants_menu(record: Record) -> Figure:
    """A menu over what tuning taught: right answers with and without retrieval, with and without tuning."""
    figures = {}
    for tuning in tunings(record):
        neither, rag, tuned, both = map(right, quadrant(record, tuning).values())
        bars = {
            "without tuning": {"from memory": neither, "with retrieval": rag},
            "tuned": {"from memory": tuned, "with retrieval": both},
        }
        figures[TAUGHT[tuning]] = share_bars(bars, "right answers", f"Tuning taught {TAUGHT[tuning]}")
    return with_menu(figures, "what tuning taught")


def over_halves(record: Record, tuning: str) -> dict[str, dict]:
    """Both minus retrieval alone, both minus tuning alone, and the interaction."""
    q = quadrant(record, tuning)
    halves = {f"both minus {h}": gap(q["both"], q[h], "right") for h in ("retrieval alone", "tuning alone")}
    return halves | {"interaction": interaction(record, tuning)}


def over_halves_figure(record: Record) -> Figure:
    """What both bring over each half, and the interaction, for each thing that tuning taught."""
    found = {f"taught {TAUGHT[t]}": over_halves(record, t) for t in tunings(record)}
    margins = dict.fromkeys(next(iter(found.values())), MARGIN)
    alt = f"What both bring over each half. {in_words(found, points)}."
    return differences(found, "difference in right answers", alt, margins=margins)


def hybrid_summary(record: Record) -> str:
    """What both bring over the better of their halves, for each thing that tuning taught."""
    found = {}
    for tuning in tunings(record):
        halves = {n: m for n, m in over_halves(record, tuning).items() if n != "interaction"}
        half = min(halves, key=lambda name: halves[name]["value"])
        found[f"taught {TAUGHT[tuning]}, {half}"] = halves[half]
    return f"Retrieval and tuning together against the better of the two, in right answers: {in_words(found, points)}."


# -- what the reader makes of its passages -----------------------------------------------------------------------------


def reading_table(record: Record) -> Html:
    """Each model with the right passage alone, among distractors, with what was found, and from memory."""
    d, rows = record.params["distractors"], []
    for m in ("base", *tunings(record)):
        alone, among = (record.where(method=m, passages="gold", k=k) for k in (1, 1 + d))
        found = record.where(method=m, passages="found")
        row = {
            "model": MODELS[m],
            "right passage alone": right(alone) or "-",
            f"with {d} distractors": right(among) or "-",
            "lost to distractors": gap(among, alone, "right") or "-",
            f"{record.params['k']} passages found": right(found),
            "cites a right passage found": mean(found, "cites_gold"),
        }
        rows.append(row | {"from memory": right(record.where(method=m, passages="none"))})
    return table(rows, "Right answers, by what stands in the prompt", show={"lost to distractors": points})


def found_among(record: Record, k: int) -> list[int]:
    """For each question: is a right passage among the first k that were found?"""
    kept = record.one(method="retrieval")
    return [int(bool(set(f[:k]) & set(g))) for f, g in zip(kept["found"], kept["gold"], strict=True)]


def _slider(record: Record, passages: str, label: str, bars, title: str, less: int = 0) -> Figure | Html:
    """A slider over the passages in the prompt; ``bars`` takes k and the rows of each model, ``less`` is taken from k for its name."""
    figures = {}
    for k in sorted({r["k"] for r in record.where(passages=passages)}):
        rows = {MODELS[m]: record.where(passages=passages, k=k, method=m) for m in ("base", "reading")}
        figures[str(k - less)] = share_bars(bars(k, rows), "share", title.format(k - less))
    if figures:
        return with_slider(figures, label)
    text = f"The scale {record.scale} of this run does not vary the number of {label}."
    return Html(f"<p>{text}</p>", text)


def distractors_slider(record: Record) -> Figure | Html:
    """A slider over the distractors beside the right passage: right answers and right citations, by model."""
    metrics = {"right answers": "right", "cites the right passage": "cites_gold"}

    def bars(k: int, rows: Mapping[str, Sequence[Row]]) -> dict:
        return {n: {m: mean(r, metric) for m, r in rows.items()} for n, metric in metrics.items()}

    return _slider(record, "sweep gold", "distractors", bars, "The right passage, distractors: {}", 1)


def k_slider(record: Record) -> Figure | Html:
    """A slider over the passages found: how often the right one is among them, and how often the answer is right."""

    def bars(k: int, rows: Mapping[str, Sequence[Row]]) -> dict:
        base = rows[MODELS["base"]][0]
        there = stats.mean_interval(found_among(record, k)[: len(base.items)], base.groups)
        answers = {f"right answer, {m}": right(r) for m, r in rows.items()}
        return {"of the questions": {"the right passage is among them": there, **answers}}

    return _slider(record, "sweep found", "passages found", bars, "Passages found in the handbook: {}")


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


def losses_figure(record: Record) -> Figure:
    """Where the right answers are lost: in the search, or in reading."""
    return stacks({MODELS[m]: losses(record, m) for m in ("base", *tunings(record))}, "With retrieval")


# -- looking at single questions ---------------------------------------------------------------------------------------


def browser(
    record: Record, passages: Mapping[str, tuple[str, str]], tuning: str = "reading", n: int = 12
) -> Html:
    """Questions to open: the passages found, the answers before and after tuning, the words of the answer marked where they stand.

    passages: id -> (title, text). tuning: what the tuned model was taught; its first seed is shown. n: how many questions, spread over the record.
    """
    kept, k = record.one(method="retrieval"), record.params["k"]
    models = {MODELS[m]: record.where(method=m, passages="found")[0] for m in ("base", tuning)}
    items, plain = [], []
    for i in np.unique(np.linspace(0, len(kept["asked"]) - 1, n).astype(int)):
        told = {
            name: (r["predictions"][i], outcome(r, i), r.outcomes("cites_gold")[i])
            for name, r in models.items()
        }
        items.append(_question(kept["asked"][i], kept["found"][i][:k], set(kept["gold"][i]), told, passages))
        said = "; ".join(f"{name}: {text} ({o})" for name, (text, o, _) in told.items())
        plain.append(f"{kept['asked'][i]} {said}")
    return Html(f'<div class="tw-browser">{"".join(items)}</div>', "\n".join(plain))


def outcome(row: Row, i: int) -> str:
    """Is the answer to question ``i`` right, wrong or abstained?"""
    return next(o for o in written_answers.OUTCOMES if row.outcomes(o)[i])


def _question(ask: str, found: Sequence[str], gold: set, told: Mapping, passages: Mapping) -> str:
    """One question as ``details`` that open without a script."""
    lines = "".join(
        f"<dt>{html.escape(name)}</dt><dd>“{html.escape(text)}”: {o}; cites {'a' if cites else 'no'} right passage</dd>"
        for name, (text, o, cites) in told.items()
    )
    wanted = [text for text, *_ in told.values()]
    shown = "".join(passage_html(i, p in gold, *passages[p], wanted) for i, p in enumerate(found, 1))
    outcomes = ", ".join(o for _, o, _ in told.values())
    missing = "" if gold & set(found) else "<p>No passage that states the fact was found.</p>"
    return f"<details><summary>{html.escape(ask)} <small>({outcomes})</small></summary><dl>{lines}</dl>{missing}{shown}</details>"


def passage_html(
    place: int, gold: bool, title: str, text: str, said: Sequence[str] = (), cited: bool = False
) -> str:
    """One passage as ``details``, open if it is cited: number and title, does it state the fact, the words of the answers marked."""
    notes = [note for note, so in (("states the fact", gold), ("cited", cited)) if so]
    told = f" <strong>({', '.join(notes)})</strong>" if notes else ""
    head = f"<details{' open' * cited}><summary>[{place}] {html.escape(title)}{told}</summary>"
    return f"{head}<p>{marked(text, said)}</p></details>"


def marked(text: str, said: Sequence[str]) -> str:
    """The text as HTML, with ``mark`` around each place where one of the answers stands in it word for word."""
    stands = [s for s in said if written_answers.tokens(s) and written_answers.contains(text, [s])]
    parts = [re.escape(html.escape(s.strip(" .,;:"))) for s in stands]
    safe = html.escape(text)
    pattern = rf"(?<!\w)({'|'.join(parts)})(?!\w)"
    return re.sub(pattern, r"<mark>\1</mark>", safe, flags=re.IGNORECASE) if parts else safe
