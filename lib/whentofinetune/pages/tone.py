"""Figures and tables of the chapter *Tone, style, format*, and a form that checks a reply against the rules of the voice.

The chapter on retrieval shows :func:`voice_summary` and :func:`style_content_figure` for its question 2.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tunewise.record import Record, Row
from tunewise.report import (
    Figure,
    Html,
    bars_with_interval,
    gap,
    heatmap,
    in_words,
    mean,
    pct,
    points,
    table,
    with_menu,
)
from tunewise.report.figures import MARKERS, PALETTE
from whentofinetune.datasets import company
from whentofinetune.pages.live import fill

PROMPTS = {"rules": "rules in the prompt", "examples": "3 examples", "both": "rules and 3 examples"}
FORM_METHODS = {"schema": "schema in the prompt", "examples": "2 examples", "lora": "LoRA"}
Arms = Mapping[str, Sequence[Row]]


def best(arms: Arms, metric: str) -> str:
    """The name of the method with the highest mean: chosen *on the test items*, it favours the prompts that are chosen so."""
    return max(arms, key=lambda name: mean(arms[name], metric)["value"])


def share(rows: Sequence[Row], metric: str) -> dict[str, float] | None:
    """The mean of shares, its interval kept between none and all."""
    found = mean(rows, metric)
    return found and found | {"low": max(found["low"], 0.0), "high": min(found["high"], 1.0)}


# -- the voice ---------------------------------------------------------------------------------------------------------


def replies(record: Record, facts: bool = True) -> dict[str, list[Row]]:
    """Name -> rows (one a seed) of each method, prompts first and then LoRA by its training pairs; with the facts in the prompt or without."""
    found = {words: record.where(method=m, with_facts=facts) for m, words in PROMPTS.items()}
    for row in sorted(record.where(method="lora", with_facts=facts), key=lambda r: r["n_labels"]):
        found.setdefault(f"LoRA, {row['n_labels']} pairs", []).append(row)
    return {name: rows for name, rows in found.items() if rows}


def voice_summary(record: Record) -> str:
    """The main result in two sentences: LoRA on most pairs, of the sizes trained with most seeds, against the best prompt."""
    arms = replies(record)
    prompt = best({name: rows for name, rows in arms.items() if name in PROMPTS.values()}, "voice")
    lora = max(
        (name for name in arms if name not in PROMPTS.values()),
        key=lambda name: (len(arms[name]), [*arms].index(name)),
    )
    kept, said = ((share(arms[lora], m), gap(arms[lora], arms[prompt], m)) for m in ("voice", "content"))
    return (
        f"With the facts at hand, {lora}, keeps {pct(kept[0])} of the voice's rules: {points(kept[1])} against the best prompt ({prompt}), "
        f"over {len(arms[lora])} trainings. Of what had to be said it says {pct(said[0])}: {points(said[1])} against that prompt."
    )


def style_content_figure(record: Record) -> Figure:
    """Each method as a point: rules kept against what had to be said. Up and to the right is better."""
    data, words = [], {}
    arms = {
        f"{name}, {'facts given' if facts else 'no facts'}": (facts, rows)
        for facts in (False, True)
        for name, rows in replies(record, facts).items()
    }
    for i, (name, (facts, rows)) in enumerate(arms.items()):
        words[name] = found = {"says": share(rows, "content"), "keeps": share(rows, "voice")}
        marker = {"symbol": MARKERS[i % 8] + ("" if facts else "-open"), "size": 11, "color": PALETTE[i % 8]}
        trace = {"type": "scatter", "mode": "markers", "name": name, "marker": marker}
        for axis, m in zip("xy", found.values(), strict=True):
            trace[axis] = [m["value"]]
            ends = {"array": [m["high"] - m["value"]], "arrayminus": [m["value"] - m["low"]]}
            trace[f"error_{axis}"] = {"type": "data", "symmetric": False, "thickness": 1, "width": 3, **ends}
        data.append(trace | {"hovertemplate": f"{in_words(found)}<extra>%{{fullData.name}}</extra>"})
    axis = {"tickformat": ".0%", "range": [-0.03, 1.03]}
    layout = {
        "xaxis": axis | {"title": {"text": "share said of what had to be said"}},
        "yaxis": axis | {"title": {"text": "rules kept"}},
        "height": 520,
        "legend": {"orientation": "h", "yanchor": "top", "y": -0.2},
    }
    return Figure(data, layout, f"Share of the required content, and of the rules kept. {in_words(words)}")


def style_table(record: Record, facts: bool = True) -> Html:
    """The methods in numbers: rules kept, replies that keep all, content, false item codes, tokens of the prompt."""
    heads = {
        "voice": "rules kept",
        "all_rules": "every rule",
        "content": "required content",
        "false_code": "false item code",
    }
    rows = [
        {
            "method": name,
            **{words: share(found, m) for m, words in heads.items()},
            "prompt tokens": f"{np.mean([r['prompt_tokens'] for r in found]):.0f}",
            "seeds": str(len(found)),
        }
        for name, found in replies(record, facts).items()
    ]
    said = "with the needed facts in the prompt" if facts else "without facts, which can only be made up"
    return table(rows, f"Replies {said} (scale {record.scale})")


def rules_figure(record: Record) -> Figure:
    """The rules one by one: which method keeps which."""
    rules, arms = [rule.name for rule in company.voice()], replies(record)
    values = [[share(rows, f"rules.{rule}") for rule in rules] for rows in arms.values()]
    last = {r.replace("_", " "): v for r, v in zip(rules, values[-1], strict=True)}
    alt = f"Share of replies that keep each rule, by method. {[*arms][-1]}: {in_words(last)}"
    return heatmap(values, list(last), list(arms), alt, x_title="rule", y_title="method")


def reply_examples(record: Record, mail: int = 0) -> Html:
    """What each method replied to one test mail (its first seed), with the number of rules kept."""
    blocks, texts = [], []
    for name, (row, *_) in replies(record).items():
        kept = [row.outcomes(f"rules.{rule.name}")[mail] for rule in company.voice()]
        said, reply = row.outcomes("content")[mail], row["replies"][mail]
        head = f"{name}: {sum(kept):.0f} of {len(kept)} rules, {said:.0%} of the content"
        blocks.append(
            f"<details><summary>{html.escape(head)}</summary><blockquote>{_lines(reply)}</blockquote></details>"
        )
        texts.append(f"{head}\n{reply}\n")
    return Html(f'<div class="tw-browser">{"".join(blocks)}</div>', "\n".join(texts))


def _lines(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")


class CheckIt:
    """A reply and its reader's name go in; each rule of the voice comes out, kept or broken.

    check: (reply, sender) -> rule name -> kept. says: rule name -> what it asks. reply, sender: what it starts with.
    """

    def __init__(self, check: Callable, says: Mapping[str, str], reply: str, sender: str) -> None:
        self.check, self.says, self.reply, self.sender = check, says, reply, sender

    def page(self, reply: str, sender: str) -> Html:
        """The table for one reply."""
        if not reply.strip():
            return Html("<p>Write a reply first.</p>", "Write a reply first.")
        kept = self.check(reply.strip(), sender.strip())
        rows = [
            {"rule": k.replace("_", " "), "here": "kept" if v else "broken", "what it asks": self.says[k]}
            for k, v in kept.items()
        ]
        return table(rows, f"{sum(kept.values())} of {len(kept)} rules kept")

    def widget(self):
        """The ipywidgets form."""
        import ipywidgets as w

        wide = w.Layout(width="95%", height="11em")
        reply = w.Textarea(value=self.reply, description="reply", layout=wide)
        sender, out = w.Text(value=self.sender, description="to"), w.Output()

        def show(_=None):
            fill(out, [self.page(reply.value, sender.value)])

        for field in (reply, sender):
            field.observe(show, "value")
        show()
        return w.VBox([sender, reply, out])

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        first = self.page(self.reply, self.sender)
        saved = {"text/html": f"<blockquote>{_lines(self.reply)}</blockquote>{first.html}"}
        saved["text/plain"] = f"{self.reply}\n\n{first.text}"
        try:
            return {**self.widget()._repr_mimebundle_(), **saved}
        except ImportError:
            return saved


# -- forms -------------------------------------------------------------------------------------------------------------


def extractions(record: Record, form: str = "json") -> dict[str, list[Row]]:
    """Name -> rows (one a seed) of each method in which a form was asked, without and with the constraint."""
    found = {
        words + " + constraint" * constrained: record.where(form=form, method=m, constrained=constrained)
        for m, words in FORM_METHODS.items()
        for constrained in (False, True)
    }
    return {name: rows for name, rows in found.items() if rows}


def formats_summary(record: Record) -> str:
    """The main result in two sentences."""
    arms = extractions(record)
    prompts = {name: rows for name, rows in arms.items() if "constraint" in name and "LoRA" not in name}
    said = {}
    for metric in ("valid", "fields"):
        name = best(prompts, metric)
        shown = {f"with a constraint alone ({name})": name, "with LoRA alone": "LoRA"}
        shown["with both"] = "LoRA + constraint"
        said[metric] = ", ".join(f"{pct(share(arms[arm], metric))} {words}" for words, arm in shown.items())
    return f"JSON that satisfies the schema: {said['valid']}. Fields exactly right: {said['fields']}."


def formats_figure(record: Record) -> Figure:
    """A menu over the forms: how often the reply has the form, and how many fields are right, by method."""
    figures = {}
    for form, title in {"json": "JSON", "yaml": "YAML", "markdown": "Markdown"}.items():
        if arms := extractions(record, form):
            heads = {"valid": "satisfies the schema", "fields": "fields exactly right"}
            bars = {
                words: {name: share(rows, m) for name, rows in arms.items()} for m, words in heads.items()
            }
            figure = bars_with_interval(bars, "share", f"{title}. {in_words(bars)}", horizontal=True)
            figure.layout["xaxis"]["range"] = [0, 1]
            figures[title] = figure
    return with_menu(figures, "form")


def formats_table(record: Record) -> Html:
    """The methods in numbers, for JSON; the last metric over the tickets that parse in all seeds."""
    heads = {
        "as_is": "parses as it stands",
        "parsed": "parses leniently",
        "valid": "satisfies the schema",
        "fields": "fields right",
        "f1": "F1 of fields",
        "fields_if_parsed": "fields right, where all replies parse",
    }
    rows = []
    for name, found in extractions(record).items():
        cells = {words: share([r for r in found if m in r.metrics], m) or "-" for m, words in heads.items()}
        rows.append({"method": name, **cells, "seeds": str(len(found))})
        last = heads["fields_if_parsed"]
        rows[-1][last] = pct(cells[last]) if cells[last] != "-" else "-"
    return table(rows, "Tickets to JSON")
