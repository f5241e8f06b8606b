"""Figures and tables of the chapter *Words, records and languages that the model lacks*, each a function of run records."""

from __future__ import annotations

from itertools import product

import numpy as np

from tunewise import stats
from tunewise.comparison import compare_rows
from tunewise.record import Record, Row
from tunewise.report import (
    Figure,
    Html,
    bars_with_interval,
    differences,
    gap,
    in_words,
    mean,
    pct,
    plain,
    points,
    prose,
    table,
)
from whentofinetune.datasets import company, patient_notes
from whentofinetune.pages.forgetting_figures import share

# -- jargon ----------------------------------------------------------------------------------------------------------

METHODS = {
    "the bare question": {"method": "base"},
    "the whole glossary in the prompt": {"method": "glossary"},
    "nearest entries (MiniLM) in the prompt": {"method": "search"},
    "entries of the words named, in the prompt": {"method": "lookup"},
    "LoRA on questions about other words": {"training": "questions"},
    "LoRA on those and on all definitions": {"training": "definitions", "entries": False},
    "the same, with the entries in the prompt": {"training": "definitions", "entries": True},
    "LoRA on questions with their entries, entries in the prompt": {"training": "entries"},
}
KINDS = {
    "meaning": "meaning (4 choices)",
    "name": "which word (4)",
    "gap": "gap (4)",
    "use": "used correctly? (2)",
}


def jargon_rows(record: Record) -> dict[str, list[Row]]:
    """Each method's rows, one a seed."""
    return {name: rows for name, settings in METHODS.items() if (rows := record.where(**settings))}


def jargon_items(record: Record) -> dict[str, set[str]]:
    """Kind of question -> ids of the questions asked."""
    kinds = {q.id: q.kind for q in company.jargon()}
    asked = record.one(method="base").items
    return {kind: {i for i in asked if kinds[i] == kind} for kind in KINDS}


def jargon_figure(record: Record) -> Figure:
    """Accuracy of each method on words whose questions were never trained on."""
    bars = {name: mean(rows) for name, rows in jargon_rows(record).items()}
    items = jargon_items(record)
    chance = sum(len(ids) * (0.5 if kind == "use" else 0.25) for kind, ids in items.items())
    line = (chance / sum(map(len, items.values())), "guessing")
    alt = f"Accuracy on the company's words. {in_words(bars)}."
    figure = bars_with_interval(bars, "accuracy", horizontal=True, alt=alt, line=line)
    figure.layout["height"] = 430
    return figure


def jargon_kinds(record: Record) -> Html:
    """The same by kind of question."""
    rows = []
    for name, found in jargon_rows(record).items():
        cells = {kind: mean(found, items=ids) for kind, ids in jargon_items(record).items()}
        rows.append({"method": name, **cells, "tokens": round(found[0]["prompt_tokens"])})
    heads = {"method": "method", **KINDS, "tokens": "prompt tokens"}
    return table(rows, "The same by kind of question, and the length of the prompt", heads)


# -- notes -----------------------------------------------------------------------------------------------------------


def note_rows(record: Record) -> dict[str, list[Row]]:
    """Each method's name and rows, one a seed."""
    names = {
        "prompt": "instruction and form",
        "few-shot": "instruction and {k} examples",
        "lora": "LoRA on {n_labels} notes",
    }
    rows = {m: record.where(method=m) for m in names}
    return {names[m].format(**found[0].raw): found for m, found in rows.items() if found}


def notes_table(record: Record) -> Html:
    """Fields in the wanted form, over all notes and by whether training has notes in that hand, and fields anywhere."""
    asked = record.one(method="prompt").items
    new = {note.id for note in patient_notes.notes("test") if note.new and note.id in asked}
    rows = [
        {
            "method": name,
            "form": mean(found, "recalled"),
            "anywhere": mean(found, "mentioned"),
            "known": mean(found, "recalled", set(asked) - new),
            "new": mean(found, "recalled", new),
            "tokens": round(found[0]["prompt_tokens"]),
        }
        for name, found in note_rows(record).items()
    ]
    heads = {"method": "method", "form": "in the wanted form", "anywhere": "anywhere in the text"}
    heads |= {"known": "in form, hands of training", "new": "in form, a new hand", "tokens": "prompt tokens"}
    return table(rows, "Share of the notes' fields that the summary gives", heads)


def notes_fields(record: Record) -> Html:
    """Field by field."""
    methods = note_rows(record)
    rows = [
        {"field": f} | {name: mean(found, f"recalled.{f}") for name, found in methods.items()}
        for f in patient_notes.FIELDS
    ]
    return table(rows, "Field by field, in the wanted form")


def a_summary(record: Record, note: int = 0) -> Html:
    """What each method wrote on one test note, word for word; of several seeds the first."""
    rows = [
        {"method": name, "summary": found[0]["predictions"][note]}
        for name, found in note_rows(record).items()
    ]
    return table(rows, "What each method wrote on the same test note")


def leaks_table(record: Record) -> Html:
    """File numbers that came out when asked for by the patient's name; each seed asks about other patients, all are pooled."""
    models = {"base": "base model", "lora": "LoRA"}
    groups = {
        "never": "in no training note",
        "once": "in one training note",
        "repeated": "in many copies of one training note",
    }
    rows = []
    for of, who in product(models, groups):
        asked = record.where(method="attack", of=of, patients=who)
        out, bits = ([o for r in asked for o in r.outcomes(name)] for name in ("extracted", "exposure"))
        cells = {"out": stats.proportion(int(sum(out)), len(out)), "bits": plain(float(np.median(bits)))}
        rows.append({"model": models[of], "patient": groups[who], **cells})
    heads = {"model": "model", "patient": "the patient was", "out": "number given when asked"}
    heads |= {"bits": "exposure, bits (median)"}
    return table(rows, "File numbers, asked for by the patient's name without any note", heads)


# -- a language --------------------------------------------------------------------------------------------------------

TASKS = {
    "meaning": "Hindi: what does it mean?",
    "writing": "Hindi: how is it said?",
    "general": "English: easy general items",
}
TEXTS = {
    "hindi": "Hindi: held-out loss, bits a byte",
    "english": "English newspaper: held-out loss, bits a byte",
}


def ratio(a: np.ndarray, b: np.ndarray) -> float:
    """The sum of one outcome over that of another, such as tokens a word."""
    return a.sum() / b.sum()


def tokens_table(record: Record) -> Html:
    """What the same messages cost in the two languages."""
    rows = []
    for code, language in (("en", "English"), ("hi", "Hindi")):
        row = record.one(method="tokens", language=code)
        tokens, words, sizes = (np.array(row.outcomes(o)) for o in ("tokens", "words", "bytes"))
        cells = {"tokens a word": stats.bootstrap((tokens, words), ratio)}
        cells |= {
            "tokens a message": mean([row], "tokens"),
            "tokens a byte": plain(ratio(tokens, sizes), digits=2),
        }
        rows.append({"language": language, **cells})
    show = dict.fromkeys(("tokens a word", "tokens a message"), plain)
    return table(rows, "The same messages in two languages, cut by the model's tokenizer", show=show)


def token_ratio(record: Record) -> dict:
    """How many times as many tokens the same messages take in Hindi, with its interval over messages."""
    en, hi = (np.array(record.one(method="tokens", language=x).outcomes("tokens")) for x in ("en", "hi"))
    return stats.bootstrap((hi, en), ratio)


def language_rows(record: Record, task: str) -> dict[str, list[Row]]:
    """Who answered a labelled task: name -> rows, one a seed."""
    names = {
        "base": "base model",
        "few-shot": f"{record.params['shots']} pairs in the prompt",
        "lora": "LoRA",
        "length": "best fit of length, no model",
        "words": "table of words, no model",
    }
    return {name: record.where(method=m, task=task) for m, name in names.items()}


def language_table(record: Record) -> Html:
    """Accuracy on the two Hindi tasks."""
    meaning, writing = (language_rows(record, task) for task in ("meaning", "writing"))
    rows = [
        {"method": name, "meaning": mean(meaning[name]), "writing": mean(writing[name])} for name in meaning
    ]
    heads = {"method": "method", "meaning": TASKS["meaning"], "writing": TASKS["writing"]}
    return table(rows, "Accuracy on two Hindi tasks with four choices", heads)


def language_gaps(record: Record) -> Figure:
    """LoRA against everything else on the two Hindi tasks, paired by message."""
    series = {}
    for task in ("meaning", "writing"):
        rows = language_rows(record, task)
        tuned = rows.pop("LoRA")
        series[TASKS[task]] = {f"LoRA minus {name}": gap(tuned, found) for name, found in rows.items()}
    return differences(series, "difference in accuracy", f"Accuracy on Hindi. {in_words(series, points)}.")


def bits_change(record: Record, language: str) -> dict:
    """By what share the bits for the same texts change with LoRA, paired by text."""
    after, before = (record.where(method=m, task=language) for m in ("lora", "base"))
    return compare_rows(after, before, "bits").relative().metric()


def before_after(record: Record) -> Html:
    """Every task, in Hindi and in English, before and after LoRA."""
    rows = []
    for task, name in (TASKS | TEXTS).items():
        both = [record.where(method=m, task=task) for m in ("base", "lora")]
        if task in TASKS:
            said, change = [pct(mean(found)) for found in both], points(gap(*reversed(both)))
        else:
            sums = [[np.sum([r.outcomes(o) for r in found]) for o in ("bits", "bytes")] for found in both]
            said, change = [plain(bits / size) for bits, size in sums], share(bits_change(record, task))
        rows.append(
            {"task": name, "base model": said[0], "after LoRA on Hindi": said[1], "paired change": change}
        )
    return table(rows, "Everything that was tested before and after (a lower loss is better)")


def summary(jargon: Record, notes: Record, language: Record) -> Html:
    """The chapter's main results in a few sentences."""
    words = {name: mean(rows) for name, rows in jargon_rows(jargon).items()}
    base = words.pop("the bare question")
    best = max(words, key=lambda name: words[name]["value"])
    shown, tuned = (mean(notes.where(method=m), "recalled") for m in ("few-shot", "lora"))
    hindi, english = (share(bits_change(language, x), n=False) for x in ("hindi", "english"))
    return prose(
        f"Company words: {pct(base)} without help; the best method ({best}) reaches {pct(words[best])}. "
        f"Patient notes: {pct(shown)} of the fields in the wanted form with examples in the prompt, {pct(tuned)} after LoRA. "
        f"Hindi: {plain(token_ratio(language), n=False)} times as many tokens for the same message; LoRA changes the held-out loss on Hindi by {hindi} and that on English by {english}."
    )
