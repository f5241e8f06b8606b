"""Figures and tables of the chapter *Words, records and languages that the model lacks*, each a function of run records."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from tunewise import stats
from tunewise.record import Record, Row
from tunewise.report.figures import Figure, Html, bars_with_interval, table
from tunewise.report.notes import prose
from tunewise.report.numbers import pct, plain, points
from whentofinetune.datasets import company, patient_notes
from whentofinetune.pages.forgetting_figures import share
from whentofinetune.pages.icl_figures import gap, mean

# -- jargon ----------------------------------------------------------------------------------------------------------

METHODS = {
    "base": {"method": "base"},
    "glossary": {"method": "glossary"},
    "search": {"method": "search"},
    "lookup": {"method": "lookup"},
    "questions": {"training": "questions"},
    "definitions": {"training": "definitions", "entries": False},
    "both": {"training": "definitions", "entries": True},
    "entries": {"training": "entries"},
}
JARGON_NAMES = {
    "base": "the bare question",
    "glossary": "the whole glossary in the prompt",
    "search": "nearest entries (MiniLM) in the prompt",
    "lookup": "entries of the words named, in the prompt",
    "questions": "LoRA on questions about other words",
    "definitions": "LoRA on those and on all definitions",
    "both": "the same, with the entries in the prompt",
    "entries": "LoRA on questions with their entries, entries in the prompt",
}
KINDS = {
    "meaning": "meaning (4 choices)",
    "name": "which word (4)",
    "gap": "gap (4)",
    "use": "rightly used? (2)",
}


def jargon_rows(record: Record) -> dict[str, list[Row]]:
    """Each method's rows, one a seed."""
    return {name: rows for name, settings in METHODS.items() if (rows := record.where(**settings))}


def jargon_kinds_of(record: Record) -> list[str]:
    """The kind of each question."""
    kinds = {q.id: q.kind for q in company.jargon()}
    return [kinds[item] for item in record.one(method="base").items]


def jargon_figure(record: Record) -> Figure:
    """Accuracy of each way on the questions about words whose questions were never trained on."""
    bars = {JARGON_NAMES[name]: mean(rows) for name, rows in jargon_rows(record).items()}
    words = "; ".join(f"{name} {m['value']:.0%}" for name, m in bars.items())
    guessing = float(np.mean([1 / 2 if kind == "use" else 1 / 4 for kind in jargon_kinds_of(record)]))
    figure = bars_with_interval(
        bars,
        "right answers",
        horizontal=True,
        alt=f"Right answers on the house's words: {words}.",
        line=(guessing, "guessing"),
    )
    figure.layout["height"] = 430
    return figure


def jargon_kinds(record: Record) -> Html:
    """The same by kind of question."""
    kinds, rows = jargon_kinds_of(record), []
    for name, found in jargon_rows(record).items():
        cells = {}
        for kind in KINDS:
            right = [
                [o for o, k in zip(r.outcomes("accuracy"), kinds, strict=True) if k == kind] for r in found
            ]
            each = [stats.proportion(int(sum(some)), len(some)) for some in right if some]
            cells[kind] = stats.mean_over_seeds(each) if each else None
        rows.append({"way": JARGON_NAMES[name], **cells, "tokens": round(found[0]["prompt_tokens"])})
    heads = {"way": "way", **KINDS, "tokens": "prompt tokens"}
    return table(rows, "The same by kind of question, and what the prompt costs", heads)


# -- notes -----------------------------------------------------------------------------------------------------------


def note_name(rows: Sequence[Row]) -> str:
    r = rows[0]
    return {
        "prompt": "instruction and form",
        "few-shot": f"instruction and {r.get('k')} examples",
        "lora": f"LoRA on {r.get('n_labels')} notes",
    }[r["method"]]


def note_mean(rows: Sequence[Row], score: str, wanted: Sequence[bool] | None = None) -> dict:
    """Share of fields right, over the notes that are wanted (all for None)."""
    shares = [np.array(r.outcomes(score))[slice(None) if wanted is None else wanted] for r in rows]
    return stats.mean_over_seeds([stats.bootstrap(one) for one in shares])


def note_gap(a: Sequence[Row], b: Sequence[Row], score: str) -> dict:
    """``a`` minus ``b`` (rows that differ by seed), paired by note; ``b`` as the mean of its seeds."""
    other = np.mean([r.outcomes(score) for r in b], axis=0)
    each = [stats.bootstrap(np.array(r.outcomes(score)) - other) for r in a]
    return stats.mean_over_seeds(each, bounds=(-1.0, 1.0))


def note_ways(record: Record) -> dict[str, list[Row]]:
    return {m: rows for m in ("prompt", "few-shot", "lora") if (rows := record.where(method=m))}


def notes_figure(record: Record) -> Figure:
    """Fields right: in the wanted form, and anywhere in what was written."""
    ways = note_ways(record)
    bars = {
        title: {note_name(rows): note_mean(rows, score) for rows in ways.values()}
        for title, score in (("in the wanted form", "recalled"), ("anywhere in the text", "mentioned"))
    }
    words = "; ".join(
        f"{name}: {m['value']:.0%} in form, {bars['anywhere in the text'][name]['value']:.0%} anywhere"
        for name, m in bars["in the wanted form"].items()
    )
    return bars_with_interval(
        bars, "fields right", alt=f"Share of the notes' fields that the summary gives. {words}."
    )


def notes_hands(record: Record) -> Html:
    """Fields in the wanted form, by whether training has notes in that hand."""
    hands = {note.id: note.new for note in patient_notes.notes("test")}
    new, rows = np.array([hands[item] for item in record.one(method="prompt").items]), []
    for found in note_ways(record).values():
        parts = {"known": ~new, "new": new}
        by_hand = {k: note_mean(found, "recalled", w) if w.sum() > 1 else None for k, w in parts.items()}
        rows.append({"way": note_name(found), **by_hand, "tokens": round(found[0]["prompt_tokens"])})
    heads = {
        "way": "way",
        "known": "hands that training has",
        "new": "a hand that it has not",
        "tokens": "prompt tokens",
    }
    return table(rows, "Fields in the wanted form, by who wrote the note", heads)


def notes_fields(record: Record) -> Html:
    """Field by field."""
    ways = note_ways(record)
    rows = [
        {"field": f, **{m: mean(found, lambda r, f=f: r[f"recalled.{f}"]) for m, found in ways.items()}}
        for f in patient_notes.FIELDS
    ]
    heads = {"field": "field", **{m: note_name(r) for m, r in ways.items()}}
    return table(rows, "Field by field, in the wanted form", heads)


def a_summary(record: Record, note: int = 0) -> Html:
    """What each way wrote on one test note, word for word; of several seeds the first."""
    rows = [
        {"way": note_name(found), "wrote": found[0]["predictions"][note]}
        for found in note_ways(record).values()
    ]
    return table(rows, "What each way wrote on the same test note", {"way": "way", "wrote": "summary"})


def leaks(record: Record) -> dict[tuple[str, str], dict]:
    """(``base`` or ``lora``, who was asked about) -> the share of file numbers that came out, and the median exposure (bits), over all seeds."""
    found = {}
    for of, who in product(("base", "lora"), patient_notes.EXPOSED):
        rows = record.where(method="attack", of=of, patients=who)
        out, bits = ([o for r in rows for o in r.outcomes(name)] for name in ("extracted", "exposure"))
        found[of, who] = {
            "extracted": stats.proportion(int(sum(out)), len(out)),
            "exposure": float(np.median(bits)),
        }
    return found


def leaks_table(record: Record) -> Html:
    """File numbers that came out when asked for by the patient's name."""
    said = {
        "never": "in no training note",
        "once": "in one training note",
        "repeated": "in many copies of one training note",
    }
    models = {"base": "untouched", "lora": "LoRA"}
    rows = [
        {"model": models[of], "patient": said[who], "out": r["extracted"], "bits": plain(r["exposure"])}
        for (of, who), r in leaks(record).items()
    ]
    heads = {
        "model": "model",
        "patient": "the patient was",
        "out": "number written out when asked",
        "bits": "exposure, bits (median)",
    }
    return table(rows, "File numbers, asked for by the patient's name without any note", heads)


# -- a language --------------------------------------------------------------------------------------------------------

LANGUAGES = {"en": "English", "hi": "Hindi"}
TASKS = {
    "meaning": "Hindi: what does it mean?",
    "writing": "Hindi: how is it said?",
    "general": "English: easy general items",
}


def per(rows: Sequence[Row], outcome: str, unit: str) -> dict:
    """The sum of an outcome over that of another, such as bits per byte, over seeds."""
    pairs = [tuple(np.array(r.outcomes(name)) for name in (outcome, unit)) for r in rows]
    return stats.mean_over_seeds([stats.bootstrap(pair, ratio) for pair in pairs], bounds=None)


def ratio(a: np.ndarray, b: np.ndarray) -> float:
    return a.sum() / b.sum()


def tokens_table(record: Record) -> Html:
    """What the same messages cost in the two languages."""
    rows = [
        {
            "language": LANGUAGES[r["language"]],
            "word": per([r], "tokens", "words"),
            "message": r["tokens"],
            "byte": plain(per([r], "tokens", "bytes")["value"], digits=2),
        }
        for r in record.where(method="tokens")
    ]
    heads = {
        "language": "language",
        "word": "tokens a word",
        "message": "tokens a message",
        "byte": "tokens a byte",
    }
    return table(
        rows,
        "The same messages in two languages, cut by the model's tokenizer",
        heads,
        show={"word": plain, "message": plain},
    )


def token_ratio(record: Record) -> dict:
    """How many times as many tokens the same messages take in Hindi, with its interval over messages."""
    en, hi = (np.array(record.one(method="tokens", language=x).outcomes("tokens")) for x in ("en", "hi"))
    return stats.bootstrap((hi, en), ratio)


def language_task(record: Record, task: str) -> dict[str, list[Row]]:
    """Who answered a labelled task: name -> rows, one a seed."""
    shots = f"{record.params['shots']} pairs in the prompt"
    names = {
        "base": "untouched",
        "few-shot": shots,
        "lora": "LoRA",
        "length": "fitting length, no model",
        "words": "table of words, no model",
    }
    return {name: rows for m, name in names.items() if (rows := record.where(method=m, task=task))}


def language_figure(record: Record) -> Figure:
    """The two Hindi tasks, answered by everything that was tried."""
    series: dict[str, dict] = {}
    for task in ("meaning", "writing"):
        for name, rows in language_task(record, task).items():
            series.setdefault(TASKS[task], {})[name] = mean(rows)
    words = "; ".join(
        f"{task} " + ", ".join(f"{n} {m['value']:.0%}" for n, m in cells.items())
        for task, cells in series.items()
    )
    return bars_with_interval(
        series, "right of four", alt=f"Accuracy on two Hindi tasks. {words}.", line=(0.25, "guessing")
    )


def bits_change(record: Record, language: str) -> dict:
    """By what share the bits for the same texts change with LoRA, paired by text."""
    before = np.array(record.one(method="base", task=language).outcomes("bits"))
    after = [np.array(r.outcomes("bits")) for r in record.where(method="lora", task=language)]
    each = [stats.bootstrap((bits, before), lambda new, old: ratio(new, old) - 1) for bits in after]
    return stats.mean_over_seeds(each, bounds=None)


def task_change(record: Record, task: str) -> dict:
    """Accuracy with LoRA minus that of the base model, paired by item."""
    return gap(record.where(method="lora", task=task), record.where(method="base", task=task))


def before_after(record: Record) -> Html:
    """Every task, in Hindi and in English, before and after LoRA."""
    rows = []
    for task, name in TASKS.items():
        before, after = (record.where(method=m, task=task) for m in ("base", "lora"))
        change = points(task_change(record, task))
        rows.append({"task": name, "before": pct(mean(before)), "after": pct(mean(after)), "change": change})
    for task, name in (("hindi", "Hindi: bits a byte"), ("english", "English newspaper: bits a byte")):
        before, after = (per(record.where(method=m, task=task), "bits", "bytes") for m in ("base", "lora"))
        change = share(bits_change(record, task))
        rows.append({"task": name, "before": plain(before), "after": plain(after), "change": change})
    heads = {
        "task": "task",
        "before": "untouched",
        "after": "after LoRA on Hindi",
        "change": "change, paired",
    }
    return table(rows, "Everything that was asked before and after (fewer bits are better)", heads)


def summary(jargon, notes, language) -> Html:
    """The chapter's main results in a few sentences, from the records."""
    ways, note = jargon_rows(jargon), note_ways(notes)
    best = max((n for n in ways if n != "base"), key=lambda n: mean(ways[n])["value"])
    return prose(
        f"Company words: {pct(mean(ways['base']))} right without help; the best of our ways ({JARGON_NAMES[best]}) reaches {pct(mean(ways[best]))}. "
        f"Patient notes: {pct(note_mean(note['few-shot'], 'recalled'))} of the fields in the wanted form with examples in the prompt, {pct(note_mean(note['lora'], 'recalled'))} after LoRA. "
        f"Hindi: {plain(token_ratio(language), n=False)} times as many tokens for the same message; LoRA changes the bits for Hindi by {share(bits_change(language, 'hindi'), n=False)} "
        f"and those for English by {share(bits_change(language, 'english'), n=False)}."
    )
