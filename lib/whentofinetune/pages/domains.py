"""Figures and tables of the chapter *Words, records and languages that the model lacks*, each a function of run records."""

from itertools import product

import numpy as np

from tunewise import report as rp
from tunewise import stats
from tunewise.comparison import compare_rows
from tunewise.record import Record
from tunewise.report.tables import Conditions
from whentofinetune.datasets import company, patient_notes
from whentofinetune.pages.condition_names import arms

# -- jargon ----------------------------------------------------------------------------------------------------------

KINDS = {
    "meaning (4 choices)": "meaning",
    "which word (4)": "name",
    "gap (4)": "gap",
    "used correctly? (2)": "use",
}


def tokens(rows):
    """The length of a condition's prompt."""
    return round(rows[0]["prompt_tokens"])


def jargon_rows(record: Record) -> Conditions:
    """Each method's rows, one a seed."""
    return arms(record)


def jargon_items(record: Record) -> dict[str, set[str]]:
    """Kind of question -> ids of the questions asked."""
    kinds = {q.id: q.kind for q in company.jargon()}
    asked = record.one(method="base").items
    return {kind: {i for i in asked if kinds[i] == kind} for kind in KINDS.values()}


def jargon_figure(record: Record) -> rp.Figure:
    """Accuracy of each method on words whose questions were never trained on."""
    items = jargon_items(record)
    chance = sum(len(ids) * (0.5 if kind == "use" else 0.25) for kind, ids in items.items())
    line = (chance / sum(map(len, items.values())), "guessing")
    return rp.dots(rp.means(jargon_rows(record)), "accuracy", "Accuracy on the company's words", line=line)


def jargon_kinds(record: Record) -> rp.Html:
    """The same by kind of question."""
    items = jargon_items(record)
    columns = {head: lambda rows, k=kind: rp.mean(rows, items=items[k]) for head, kind in KINDS.items()}
    columns["prompt tokens"] = tokens
    caption = "The same by kind of question, and the length of the prompt"
    return rp.conditions_table(jargon_rows(record), caption, columns)


# -- notes -----------------------------------------------------------------------------------------------------------


def notes_table(record: Record) -> rp.Html:
    """Fields in the wanted form, over all notes and by whether training has notes in that style, and fields anywhere."""
    asked = set(record.one(method="prompt").items)
    new = {note.id for note in patient_notes.notes("test") if note.new} & asked
    columns = {
        "in the wanted form": "recalled",
        "anywhere in the text": "mentioned",
        "in form, styles of training": lambda rows: rp.mean(rows, "recalled", asked - new),
        "in form, a new style": lambda rows: rp.mean(rows, "recalled", new),
        "prompt tokens": tokens,
    }
    caption = "Share of the notes' fields that the summary gives"
    return rp.conditions_table(arms(record), caption, columns)


def notes_fields(record: Record) -> rp.Html:
    """Field by field."""
    found = {field: rp.means(arms(record), f"recalled.{field}") for field in patient_notes.FIELDS}
    rows = [{"field": field} | cells for field, cells in found.items()]
    return rp.table(rows, "Field by field, in the wanted form")


def a_summary(record: Record, note: int = 0) -> rp.Html:
    """What each method wrote on one test note, word for word; of several seeds the first."""
    columns = {"summary": lambda rows: rows[0]["predictions"][note]}
    return rp.conditions_table(arms(record), "What each method wrote on the same test note", columns)


def leaks_table(record: Record) -> rp.Html:
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
        row = {"model": models[of], "the patient was": groups[who]}
        row["number given when asked"] = stats.proportion(int(sum(out)), len(out))
        rows.append(row | {"exposure, bits (median)": rp.plain(float(np.median(bits)))})
    return rp.table(rows, "File numbers, asked for by the patient's name without any note")


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
    """The sum of one outcome [items] over that of another, such as tokens a word."""
    return a.sum() / b.sum()


def tokens_table(record: Record) -> rp.Html:
    """What the same messages cost in the two languages."""
    rows = []
    for code, language in (("en", "English"), ("hi", "Hindi")):
        row = record.one(method="tokens", language=code)
        cut, words, sizes = (np.array(row.outcomes(o)) for o in ("tokens", "words", "bytes"))
        cells = {"tokens a word": stats.bootstrap((cut, words), ratio)}
        cells["tokens a message"] = rp.mean([row], "tokens")
        rows.append({"language": language} | cells | {"tokens a byte": rp.plain(ratio(cut, sizes), digits=2)})
    caption = "The same messages in two languages, cut by the model's tokenizer"
    return rp.table(rows, caption, show=dict.fromkeys(("tokens a word", "tokens a message"), rp.plain))


def token_ratio(record: Record) -> dict:
    """How many times as many tokens the same messages take in Hindi, with its interval over messages."""
    en, hi = (np.array(record.one(method="tokens", language=x).outcomes("tokens")) for x in ("en", "hi"))
    return stats.bootstrap((hi, en), ratio)


def language_rows(record: Record, task: str) -> Conditions:
    """Who answered a labelled task: name -> rows, one a seed."""
    return arms(record, task=task)


def language_table(record: Record) -> rp.Html:
    """Accuracy on the two Hindi tasks."""
    writing = language_rows(record, "writing")
    found = [
        {"method": name, TASKS["meaning"]: rp.mean(rows), TASKS["writing"]: rp.mean(writing[name])}
        for name, rows in language_rows(record, "meaning").items()
    ]
    return rp.table(found, "Accuracy on two Hindi tasks with four choices")


def language_gaps(record: Record) -> rp.Figure:
    """LoRA against everything else on the two Hindi tasks, paired by message."""
    series = {}
    for task in ("meaning", "writing"):
        found = language_rows(record, task)
        tuned = found.pop("LoRA")
        rivals = {f"LoRA minus {name}": rows for name, rows in found.items()}
        series[TASKS[task]] = rp.gaps(rivals, tuned, less=True)
    return rp.differences(series, "difference in accuracy", "Accuracy on Hindi, LoRA minus each other method")


def bits_change(record: Record, language: str) -> dict:
    """By what share the bits for the same texts change with LoRA, paired by text."""
    after, before = (record.where(method=m, task=language) for m in ("lora", "base"))
    return compare_rows(after, before, "bits").relative().metric()


def before_after(record: Record) -> rp.Html:
    """Every task, in Hindi and in English, before and after LoRA."""
    rows = []
    for task, name in (TASKS | TEXTS).items():
        both = [record.where(method=m, task=task) for m in ("base", "lora")]
        if task in TASKS:
            said, change = [rp.pct(rp.mean(found)) for found in both], rp.points(rp.gap(*reversed(both)))
        else:
            sums = [[np.sum([r.outcomes(o) for r in found]) for o in ("bits", "bytes")] for found in both]
            said, change = [rp.plain(b / n) for b, n in sums], rp.relative(bits_change(record, task))
        cells = dict(zip(("base model", "after LoRA on Hindi"), said, strict=True))
        rows.append({"task": name} | cells | {"paired change": change})
    return rp.table(rows, "Everything that was tested before and after (a lower loss is better)")
