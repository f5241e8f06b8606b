"""Figures, tables and summaries of the chapter *Both?*, each a function of the run record ``rag_hybrid``."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence

import numpy as np

from tunewise import stats, written_answers
from tunewise.record import Record, Row
from tunewise.report.figures import (
    Figure,
    Html,
    bars_with_interval,
    table,
    with_menu,
    with_slider,
)
from tunewise.report.numbers import pct, points
from whentofinetune.pages.rag import (
    MODELS,
    bits,
    clear,
    from_zero_to_one,
    gap,
    in_words,
    listed,
    mean_of,
    share,
    share_bars,
    stacks,
)

TAUGHT = {
    "facts": "the facts themselves",
    "reading": "reading among distractors",
    "gold only": "reading the right passage alone",
}
QUADRANTS = ("neither", "retrieval alone", "tuning alone", "both")


def ways(record: Record) -> list[str]:
    """The methods of tuning that were measured."""
    return [w for w in TAUGHT if record.where(method=w)]


def quadrant(record: Record, way: str) -> dict[str, list[Row]]:
    """The four quadrants of a way of tuning -> rows."""
    cells = (("untouched", "none"), ("untouched", "found"), (way, "none"), (way, "found"))
    return {name: record.where(method=m, passages=p) for name, (m, p) in zip(QUADRANTS, cells, strict=True)}


def over_seeds_and_questions(values: Sequence[Sequence[float]], draws: int = 4000, seed: int = 0) -> dict:
    """The mean of ``values`` [seeds, questions] as a metric, its interval from a bootstrap over both.

    Seeds and questions are drawn again with replacement, independently (Owen 2007, The pigeonhole bootstrap, Ann. Appl. Stat. 1,
    386-411, which errs on the wide side); percentiles. With one seed the questions alone are drawn.
    """
    v = np.asarray(values, dtype=float)
    rng = np.random.default_rng(seed)
    rows, columns = (rng.multinomial(n, [1 / n] * n, size=draws) / n for n in v.shape)
    low, high = np.quantile(
        ((rows @ v) * columns).sum(axis=1), [(1 - stats.LEVEL) / 2, (1 + stats.LEVEL) / 2]
    )
    return {
        "value": float(v.mean()),
        "n": v.shape[1],
        "low": float(low),
        "high": float(high),
        "seeds": v.shape[0],
    }


def interaction(record: Record, way: str) -> dict:
    """(both - retrieval) - (tuning - neither): what the two bring together beyond the sum of what each brings, in [-2, 2].

    Paired by question, and by seed of the tuning.
    """
    neither, rag, tuned, both = (np.array(bits(rows), dtype=float) for rows in quadrant(record, way).values())
    return over_seeds_and_questions(both - tuned - rag + neither)


def quadrants_menu(record: Record) -> Figure:
    """A menu over what was tuned: right answers with and without retrieval, with and without tuning."""
    figures = {}
    for way in ways(record):
        q = {name: share(rows) for name, rows in quadrant(record, way).items()}
        bars = {
            "without tuning": {"from memory": q["neither"], "with retrieval": q["retrieval alone"]},
            "tuned": {"from memory": q["tuning alone"], "with retrieval": q["both"]},
        }
        figures[TAUGHT[way]] = share_bars(bars, "right answers", f"Tuned on {TAUGHT[way]}.")
    return with_menu(figures, "what tuning taught")


def quadrants_table(record: Record) -> Html:
    """The four quadrants, what both bring over each alone, and the interaction, for each thing that tuning taught."""
    rows = []
    for way in ways(record):
        over = over_halves(record, way)
        differences = {
            "both minus retrieval": over["retrieval alone"],
            "both minus tuning": over["tuning alone"],
            "interaction": interaction(record, way),
        }
        found = {name: share(rows_) for name, rows_ in quadrant(record, way).items()}
        rows.append({"tuning taught": TAUGHT[way], **found, **differences})
    return table(rows, "Retrieval, tuning, both", show=dict.fromkeys(differences, points))


def over_halves(record: Record, way: str) -> dict[str, dict]:
    """What both bring over each half: both minus retrieval alone, both minus tuning alone."""
    q = quadrant(record, way)
    return {half: gap(q["both"], q[half]) for half in ("retrieval alone", "tuning alone")}


def over_halves_figure(record: Record) -> Figure:
    """Both minus each half, and the interaction, with their intervals."""
    bars = {
        f"both minus {half}": {TAUGHT[w]: over_halves(record, w)[half] for w in ways(record)}
        for half in ("retrieval alone", "tuning alone")
    }
    bars["interaction"] = {TAUGHT[w]: interaction(record, w) for w in ways(record)}
    return bars_with_interval(
        bars,
        "difference in right answers (zero: nothing added)",
        alt=f"What both bring over each half. {in_words(bars)}.",
        line=(0, ""),
    )


# -- what the reader makes of its passages -----------------------------------------------------------------------------


def with_gold(record: Record, way: str, distractors: int) -> list[Row]:
    """The rows where the right passage was shown beside so many distractors."""
    return record.where(method=way, passages="gold", k=1 + distractors)


def reading_table(record: Record) -> Html:
    """Each model with the right passage alone, among distractors, with what was found, and from memory."""
    d = record.params["distractors"]
    rows = []
    for way in ("untouched", *ways(record)):
        alone, among = with_gold(record, way, 0), with_gold(record, way, d)
        rows.append(
            {
                "model": MODELS[way],
                "right passage alone": share(alone) or "-",
                f"with {d} distractors": share(among) or "-",
                "lost to distractors": gap(among, alone) or "-",
                f"{record.params['k']} passages found": share(record.where(method=way, passages="found")),
                "from memory": share(record.where(method=way, passages="none")),
            }
        )
    return table(rows, "Right answers, by what stands in the prompt", show={"lost to distractors": points})


def _sweep(record: Record, passages: str) -> dict[int, dict[str, list[Row]]]:
    """k -> model -> rows, of a sweep over the passages in the prompt."""
    return {
        k: {MODELS[m]: record.where(passages=passages, k=k, method=m) for m in ("untouched", "reading")}
        for k in sorted({r["k"] for r in record.where(passages=passages)})
    }


def found_among(record: Record, k: int) -> list[int]:
    """For each question: is a right passage among the first k that were found?"""
    kept = record.one(method="retrieval")
    return [int(bool(set(f[:k]) & set(g))) for f, g in zip(kept["found"], kept["gold"], strict=True)]


def distractors_slider(record: Record) -> Figure | Html:
    """A slider over the distractors beside the right passage: right answers and right citations, by model."""
    figures = {}
    for k, models in _sweep(record, "sweep gold").items():
        bars = {
            "right answers": {m: share(rows) for m, rows in models.items()},
            "cites the right passage": {m: share(rows, "cites_gold") for m, rows in models.items()},
        }
        title = f"The right passage and {k - 1} distractor{'s' * (k != 2)}"
        figures[str(k - 1)] = share_bars(bars, "share of the answers", f"{title}.", title)
    return with_slider(figures, "distractors") if figures else _none(record, "number of distractors")


def k_slider(record: Record) -> Figure | Html:
    """A slider over the passages brought back: how often the right one is among them, and how often the answer is right."""
    figures = {}
    for k, models in _sweep(record, "sweep found").items():
        n = len(models[MODELS["untouched"]][0].items)
        bars = {"the right passage is among them": mean_of([found_among(record, k)[:n]])}
        bars |= {f"right answer, {m}": share(rows) for m, rows in models.items()}
        title = f"{k} passage{'s' * (k > 1)} from the handbook"
        told = f"{title}. {in_words({'of the questions': bars})}."
        figure = bars_with_interval(bars, "share of the questions", alt=told, title=title)
        figures[str(k)] = from_zero_to_one(figure)
    if not figures:
        return _none(record, "number of passages")
    return with_slider(figures, "passages brought back (k)")


def _none(record: Record, what: str) -> Html:
    text = f"The scale {record.scale} of this run does not vary the {what}."
    return Html(f"<p>{html.escape(text)}</p>", text)


# -- looking at single questions ---------------------------------------------------------------------------------------


def browser(
    record: Record, passages: Mapping[str, tuple[str, str]], way: str = "reading", n: int = 12
) -> Html:
    """Questions to open: the passages that came back, the answers before and after tuning, the words of the answer marked where they stand.

    passages: id -> (title, text). way: what the tuned model was taught; its first seed is shown. n: how many questions, spread over the record.
    """
    kept, k = record.one(method="retrieval"), record.params["k"]
    before = record.one(method="untouched", passages="found")
    after = record.where(method=way, passages="found")[0]
    chosen = np.unique(np.linspace(0, len(kept["asked"]) - 1, n).astype(int))
    items, plain = [], []
    for i in chosen:
        told = {
            f"model {MODELS[m]}": (r["predictions"][i], outcome(r, i), bool(r.outcomes("cites_gold")[i]))
            for m, r in (("untouched", before), (way, after))
        }
        items.append(_question(kept["asked"][i], kept["found"][i][:k], set(kept["gold"][i]), told, passages))
        plain.append(
            f"{kept['asked'][i]} " + "; ".join(f"{name}: {text} ({o})" for name, (text, o, _) in told.items())
        )
    return Html(f'<div class="tw-browser">{"".join(items)}</div>', "\n".join(plain))


def outcome(row: Row, i: int) -> str:
    """Is the answer to question ``i`` right, wrong or abstained?"""
    return next(o for o in written_answers.OUTCOMES if row.outcomes(o)[i])


def _question(ask: str, found: Sequence[str], gold: set, told: Mapping, passages: Mapping) -> str:
    """One question as ``details`` that open without a script."""
    lines = "".join(
        f"<dt>{html.escape(name)}</dt><dd>“{html.escape(text)}”: {o}; "
        f"{'cites a right passage' if cites else 'cites no right passage'}</dd>"
        for name, (text, o, cites) in told.items()
    )
    wanted = [text for text, *_ in told.values()]
    shown = "".join(passage_html(i, p in gold, *passages[p], wanted) for i, p in enumerate(found, 1))
    marks = ", ".join(o for _, o, _ in told.values())
    missing = "" if gold & set(found) else "<p>No passage that states the fact came back.</p>"
    return f"<details><summary>{html.escape(ask)} <small>({marks})</small></summary><dl>{lines}</dl>{missing}{shown}</details>"


def passage_html(
    place: int, right: bool, title: str, text: str, said: Sequence[str] = (), cited: bool = False
) -> str:
    """One passage as ``details``: its number and title, whether it is right or cited, the words of the answers marked."""
    notes = [note for note, so in (("states the fact", right), ("cited", cited)) if so]
    told = f" <strong>({', '.join(notes)})</strong>" if notes else ""
    body = f"<p>{marked(text, said)}</p>"
    return f"<details><summary>[{place}] {html.escape(title)}{told}</summary>{body}</details>"


def marked(text: str, said: Sequence[str]) -> str:
    """The text as HTML, with ``mark`` around each place where one of the answers stands in it word for word."""
    parts = [
        re.escape(html.escape(s.strip(" .,;:")))
        for s in said
        if written_answers.tokens(s) and written_answers.contains(text, [s])
    ]
    safe = html.escape(text)
    return (
        re.sub(rf"(?<!\w)({'|'.join(parts)})(?!\w)", r"<mark>\1</mark>", safe, flags=re.IGNORECASE)
        if parts
        else safe
    )


# -- in words ----------------------------------------------------------------------------------------------------------


def hybrid_summary(record: Record) -> str:
    """Are both better than each half? In a paragraph, decided from the intervals."""
    told = []
    for way in ways(record):
        q, over = quadrant(record, way), over_halves(record, way)
        told.append(
            f"With tuning that teaches {TAUGHT[way]}, both are right in {pct(share(q['both']), n=False)}, tuning alone in {pct(share(q['tuning alone']), n=False)}: {standing(over)}."
        )
    return f"Retrieval alone is right in {pct(share(q['retrieval alone']))} of the answers. {' '.join(told)}"


def standing(over: Mapping[str, Mapping]) -> str:
    """How both stand to their halves, in words, from the differences of :func:`over_halves`."""
    words = {1: "clearly better than", -1: "clearly worse than", 0: "not clearly different from"}
    by_word = {word: [half for half, m in over.items() if clear(m) == sign] for sign, word in words.items()}
    return ", ".join(f"{word} {listed(halves)}" for word, halves in by_word.items() if halves)


def losses(record: Record, way: str) -> dict[str, float]:
    """Of all questions asked with retrieval (all seeds): right; wrong or abstained without a right passage; with one. They add up to one."""
    there = found_among(record, record.params["k"])
    rows = bits(record.where(method=way, passages="found"))
    told = [pair for row in rows for pair in zip(there, row, strict=True)]
    return {
        "right": sum(o for _, o in told) / len(told),
        "right passage missing": sum(not t and not o for t, o in told) / len(told),
        "right passage there, not used": sum(t and not o for t, o in told) / len(told),
    }


def losses_figure(record: Record) -> Figure:
    """Where the right answers are lost: in the search, or in reading."""
    return stacks(
        {MODELS[way]: losses(record, way) for way in ("untouched", *ways(record))}, "With retrieval"
    )
