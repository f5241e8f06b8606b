"""Figures and tables of the chapter *Words, records and languages that the model lacks*, each a function of run records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tunewise import stats
from tunewise.report.figures import Figure, Html, bars_with_interval, table
from tunewise.report.numbers import pct, plain, points, prose
from whentofinetune.pages.forgetting_figures import share
from whentofinetune.pages.icl_figures import gap, mean

# -- jargon ----------------------------------------------------------------------------------------------------------

WAYS = {
    "base": ("base", None),
    "glossary": ("glossary", None),
    "search": ("search", None),
    "lookup": ("lookup", None),
    "questions": ("lora", "questions"),
    "definitions": ("lora", "definitions"),
    "entries": ("lora", "entries"),
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
KINDS = {"m": "meaning (4 choices)", "n": "which word (4)", "g": "gap (4)", "u": "rightly used? (2)"}


def jargon_rows(record) -> dict[str, list[Mapping]]:
    """Each way's rows, one a seed; ``both`` is the model with the definitions tuned in, asked with the entries as well."""
    found = {
        name: record.where(method=m, **({"lessons": lessons} if lessons else {}))
        for name, (m, lessons) in WAYS.items()
    }
    found["both"] = [r["with_entries"] for r in found["definitions"] if "with_entries" in r]
    return {name: found[name] for name in JARGON_NAMES if found[name]}


def digits(text: str) -> list[int]:
    return [int(c) for c in text]


def jargon_labels(record) -> list[int]:
    return digits(record.one(method="items")["labels"])


def jargon_chance(record) -> float:
    """What guessing scores: a question has two options or four."""
    kinds = record.one(method="items")["kinds"]
    return sum(1 / 2 if k == "u" else 1 / 4 for k in kinds) / len(kinds)


def jargon_figure(record) -> Figure:
    """Accuracy of each way on the questions about words whose questions were never trained on."""
    bars = {JARGON_NAMES[name]: mean(rows) for name, rows in jargon_rows(record).items()}
    words = "; ".join(f"{name} {m['value']:.0%}" for name, m in bars.items())
    figure = bars_with_interval(
        bars,
        "right answers",
        horizontal=True,
        alt=f"Right answers on the house's words: {words}.",
        line=(jargon_chance(record), "guessing"),
    )
    figure.layout["height"] = 430
    return figure


def jargon_kinds(record) -> Html:
    """The same by kind of question."""
    items = record.one(method="items")
    labels = digits(items["labels"])
    rows = []
    for name, found in jargon_rows(record).items():
        row = {"way": JARGON_NAMES[name]}
        for kind in KINDS:
            places = [i for i, k in enumerate(items["kinds"]) if k == kind]
            right = (
                [
                    stats.accuracy([int(r["predictions"][i]) for i in places], [labels[i] for i in places])
                    for r in found
                ]
                if places
                else []
            )
            row[kind] = stats.mean_over_seeds(right) if right else None
        rows.append(row | {"tokens": round(found[0]["prompt_tokens"])})
    heads = {"way": "way", **KINDS, "tokens": "prompt tokens"}
    return table(rows, "The same by kind of question, and what the prompt costs", heads)


# -- notes -----------------------------------------------------------------------------------------------------------


def note_name(rows: Sequence[Mapping]) -> str:
    r = rows[0]
    return {
        "prompt": "instruction and form",
        "few-shot": f"instruction and {r.get('k')} examples",
        "lora": f"LoRA on {r.get('n_labels')} notes",
    }[r["method"]]


def note_shares(row: Mapping, score: str, places: Sequence[int] | None = None) -> np.ndarray:
    """The share of its fields that each note got right [n]."""
    found = np.array([np.mean(digits(f)) for f in row[score]["fields"]])
    return found if places is None else found[list(places)]


def note_mean(rows: Sequence[Mapping], score: str, places: Sequence[int] | None = None) -> dict:
    return stats.mean_over_seeds([stats.bootstrap(note_shares(r, score, places)) for r in rows])


def note_gap(a: Sequence[Mapping], b: Sequence[Mapping], score: str) -> dict:
    """``a`` minus ``b`` (rows that differ by seed), paired by note; ``b`` as the mean of its seeds."""
    other = np.mean([note_shares(r, score) for r in b], axis=0)
    return stats.mean_over_seeds(
        [stats.bootstrap(note_shares(r, score) - other) for r in a], bounds=(-1.0, 1.0)
    )


def note_ways(record) -> dict[str, list[Mapping]]:
    return {m: rows for m in ("prompt", "few-shot", "lora") if (rows := record.where(method=m))}


def notes_figure(record) -> Figure:
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


def notes_hands(record) -> Html:
    """Fields in the wanted form, by whether training has notes in that hand."""
    new = digits(record.one(method="items")["new_hand"])
    rows = []
    for found in note_ways(record).values():
        row = {"way": note_name(found)}
        for key, wanted in (("known", 0), ("new", 1)):
            places = [i for i, n in enumerate(new) if n == wanted]
            row[key] = note_mean(found, "recalled", places) if len(places) > 1 else None
        rows.append(row | {"tokens": round(found[0]["prompt_tokens"])})
    heads = {
        "way": "way",
        "known": "hands that training has",
        "new": "a hand that it has not",
        "tokens": "prompt tokens",
    }
    return table(rows, "Fields in the wanted form, by who wrote the note", heads)


def notes_fields(record) -> Html:
    """Field by field."""
    fields = record.one(method="items")["fields"]
    rows = []
    for i, field in enumerate(fields):
        row = {"field": field}
        for method, found in note_ways(record).items():
            right = [digits("".join(f[i] for f in r["recalled"]["fields"])) for r in found]
            row[method] = stats.mean_over_seeds([stats.proportion(sum(r), len(r)) for r in right])
        rows.append(row)
    return table(
        rows,
        "Field by field, in the wanted form",
        {"field": "field", **{m: note_name(r) for m, r in note_ways(record).items()}},
    )


def a_summary(record, note: int = 0) -> Html:
    """What each way wrote on one test note, word for word; of several seeds the first."""
    rows = [
        {"way": note_name(found), "wrote": found[0]["said"][note]} for found in note_ways(record).values()
    ]
    return table(rows, "What each way wrote on the same test note", {"way": "way", "wrote": "summary"})


def leaks_table(record) -> Html:
    """File numbers that came out when asked for by the patient's name."""
    said = {
        "never": "in no training note",
        "once": "in one training note",
        "repeated": "in many copies of one training note",
    }
    who = {"untouched": "untouched", "lora": "LoRA"}
    rows = [
        {
            "model": who[r["of"]],
            "patient": said[r["who"]],
            "out": r["extracted"],
            "bits": plain(r["exposure"]),
        }
        for r in record.where(method="leaks")
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


def tokens_table(record) -> Html:
    """What the same messages cost in the two languages."""
    rows = []
    for r in record.where(method="tokens"):
        rows.append(
            {
                "language": LANGUAGES[r["language"]],
                "word": r["per_word"],
                "message": r["per_message"],
                "byte": plain(r["per_byte"], digits=2),
            }
        )
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


def token_ratio(record) -> dict:
    """How many times as many tokens the same messages take in Hindi, with its interval over messages."""
    en, hi = (np.array(record.one(method="tokens", language=x)["counts"]) for x in ("en", "hi"))
    return stats.bootstrap((hi, en), lambda a, b: a.sum() / b.sum())


def language_labels(record) -> list[int]:
    return digits(record.one(method="items")["labels"])


def language_task(record, task: str) -> dict[str, list[Mapping]]:
    """Who answered a labelled task: name -> results, one a seed."""
    found = {"untouched": [record.one(method="untouched")[task]]}
    if task != "general":
        few = record.where(method="few-shot")
        found |= {f"{few[0]['k']} pairs in the prompt": [r[task] for r in few]} if few else {}
    found["LoRA"] = [r[task] for r in record.where(method="lora")]
    names = {"length": "fitting length, no model", "words": "table of words, no model"}
    found |= {names[r["method"]]: [r["result"]] for m in names for r in record.where(method=m, task=task)}
    return {name: rows for name, rows in found.items() if rows}


def language_figure(record) -> Figure:
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


def bits_change(record, language: str) -> dict:
    """By what share the bits for the same texts change with LoRA, paired by text."""
    before = np.array(record.one(method="untouched")[language]["bits"])
    each = [
        stats.bootstrap((np.array(r[language]["bits"]), before), lambda new, old: new.sum() / old.sum() - 1)
        for r in record.where(method="lora")
    ]
    return stats.mean_over_seeds(each, bounds=None)


def task_change(record, task: str) -> dict:
    """Accuracy with LoRA minus that of the untouched model, paired by item."""
    before, after = record.one(method="untouched"), record.where(method="lora")
    if task == "general":
        return stats.difference_over_seeds(
            [digits(r["general"]["right"]) for r in after],
            [digits(before["general"]["right"])],
            [1] * len(before["general"]["right"]),
        )
    return gap([r[task] for r in after], [before[task]], language_labels(record))


def before_after(record) -> Html:
    """Every task, in Hindi and in English, before and after LoRA."""
    before, after = record.one(method="untouched"), record.where(method="lora")
    rows = []
    for task, name in TASKS.items():
        rows.append(
            {
                "task": name,
                "before": pct(before[task]["accuracy"]),
                "after": pct(mean([r[task] for r in after])),
                "change": points(task_change(record, task)),
            }
        )
    for language, name in (("hindi", "Hindi: bits a byte"), ("english", "English newspaper: bits a byte")):
        now = stats.mean_over_seeds([r[language]["per_byte"] for r in after], bounds=None)
        rows.append(
            {
                "task": name,
                "before": plain(before[language]["per_byte"]),
                "after": plain(now),
                "change": share(bits_change(record, language)),
            }
        )
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
