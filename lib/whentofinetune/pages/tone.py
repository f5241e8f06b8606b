"""Figures and tables of the chapter *Tone, style, format*, each a function of a run record."""

import html
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from tunewise import report as rp
from tunewise.record import Record, Row
from tunewise.report.tables import Conditions
from whentofinetune.datasets import company
from whentofinetune.pages.condition_names import arms
from whentofinetune.verdicts import LADDER


def share(rows: Sequence[Row], metric: str) -> dict[str, float] | None:
    """The mean of shares, its interval kept between none and all."""
    found = rp.mean(rows, metric)
    return found and found | {"low": max(found["low"], 0.0), "high": min(found["high"], 1.0)}


def _share(metric: str) -> Callable:
    """A column of a table: the share by that metric of the rows that have it."""
    return lambda rows: share([r for r in rows if metric in r.metrics], metric) or "-"


# -- the voice ---------------------------------------------------------------------------------------------------------


def replies(record: Record, facts: bool = True) -> Conditions:
    """Name -> rows (one a seed) of each method, prompts first and then LoRA by its training pairs; with the facts in the prompt or without."""
    return arms(record, with_facts=facts)


def style_content_figure(record: Record) -> rp.Figure:
    """Each method as a point: rules kept against what had to be said. Up and to the right is better."""
    series = {
        f"{name}, {'facts given' if facts else 'no facts'}": [(share(rows, "content"), share(rows, "voice"))]
        for facts in (False, True)
        for name, rows in replies(record, facts).items()
    }
    words = ("share said of what had to be said", "rules kept", "Rules kept against what had to be said")
    figure = rp.curves(series, *words, show_x=rp.pct)
    figure.layout |= {"height": 520, "legend": {"orientation": "h", "yanchor": "top", "y": -0.2}}
    return figure


def style_table(record: Record, facts: bool = True) -> rp.Html:
    """The methods in numbers: rules kept, replies that keep all, content, false item codes, tokens of the prompt."""
    columns = {"rules kept": _share("voice"), "every rule": _share("all_rules")}
    columns |= {"required content": _share("content"), "false item code": _share("false_code")}
    columns["prompt tokens"] = lambda rows: f"{np.mean([r['prompt_tokens'] for r in rows]):.0f}"
    columns["seeds"] = lambda rows: str(len(rows))
    said = "with the needed facts in the prompt" if facts else "without facts, which can only be made up"
    return rp.conditions_table(replies(record, facts), f"Replies {said} (scale {record.scale})", columns)


def rules_figure(record: Record) -> rp.Figure:
    """The rules one by one: which method keeps which."""
    rules = {rule.name.replace("_", " "): f"rules.{rule.name}" for rule in company.voice()}
    values = {
        name: {rule: share(rows, metric) for rule, metric in rules.items()}
        for name, rows in replies(record).items()
    }
    *_, (last, kept) = values.items()
    alt = f"{last}: {rp.in_words(kept)}"
    return rp.heatmap(values, "rule", "method", "Share of replies that keep each rule, by method", alt)


def reply_examples(record: Record, mail: int = 0) -> rp.Html:
    """What each method replied to one test mail (its first seed), with the number of rules kept."""
    blocks, texts = [], []
    for name, (row, *_) in replies(record).items():
        kept = [row.outcomes(f"rules.{rule.name}")[mail] for rule in company.voice()]
        said, reply = row.outcomes("content")[mail], row["replies"][mail]
        head = f"{name}: {sum(kept):.0f} of {len(kept)} rules, {rp.pct(said)} of the content"
        quote = html.escape(reply).replace("\n", "<br>")
        blocks.append(
            f"<details><summary>{html.escape(head)}</summary><blockquote>{quote}</blockquote></details>"
        )
        texts.append(f"{head}\n{reply}\n")
    return rp.Html(f'<div class="tw-browser">{"".join(blocks)}</div>', "\n".join(texts))


# -- forms -------------------------------------------------------------------------------------------------------------


def extractions(record: Record, form: str = "json") -> Conditions:
    """Name -> rows (one a seed) of each method in which a form was asked, without and with the constraint."""
    return arms(record, form=form)


def formats_figure(*records: Record) -> rp.Figure:
    """A menu over forms and model sizes: how often the reply has the form, and how many fields are right, by method."""
    heads, figures = {"satisfies the schema": "valid", "fields exactly right": "fields"}, {}
    for record, (form, title) in product(
        records, {"json": "JSON", "yaml": "YAML", "markdown": "Markdown"}.items()
    ):
        if found := extractions(record, form):
            series = {w: {n: share(rows, m) for n, rows in found.items()} for w, m in heads.items()}
            entry = f"{title}, {LADDER.get(record.model, record.model)}"
            figures[entry] = rp.dots(series, "share", f"Tickets to {entry}")
    return rp.choose(figures, "form")


def formats_table(record: Record) -> rp.Html:
    """The methods in numbers, for JSON; the last metric over the tickets that parse in all seeds."""
    metrics = {
        "parses": "as_is",
        "parses leniently": "parsed",
        "fits the schema": "valid",
        "fields right": "fields",
        "F1 of fields": "f1",
    }
    columns: dict[str, Callable] = {words: _share(m) for words, m in metrics.items()}
    parsed, head = _share("fields_if_parsed"), "fields right where all parse"
    columns[head] = lambda rows: "-" if parsed(rows) == "-" else rp.pct(parsed(rows))
    columns["seeds"] = lambda rows: str(len(rows))
    return rp.conditions_table(extractions(record), "Tickets to JSON", columns)
