"""Figures and tables of the chapter *Tone, style, format*, and a form that checks a reply against the rules of the voice.

The chapter on retrieval shows :func:`style_content_figure` and :func:`voice_figure` for its question 2.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tunewise import stats
from tunewise.record import Record, Row
from tunewise.report.figures import (
    MARKERS,
    PALETTE,
    Figure,
    Html,
    bars_with_interval,
    heatmap,
    styled,
    table,
    with_menu,
)
from tunewise.report.numbers import pct, points
from whentofinetune.datasets import company
from whentofinetune.pages.icl_figures import mean
from whentofinetune.pages.live import fill

# A way of asking: method, with the facts in the prompt or without, number of training pairs
Way = tuple[str, bool, int | None]
PROMPTS = {"rules": "rules in the prompt", "examples": "3 examples", "both": "rules and 3 examples"}
FORM_WAYS = {"schema": "schema in the prompt", "examples": "2 examples", "lora": "LoRA"}


def difference(a: Sequence[Row], b: Sequence[Row], metric: str) -> dict:
    """The mean of ``metric`` in ``a`` minus that in ``b``, paired by item and, where both have several seeds, by seed.

    What was asked once stands against each seed of the other.
    """
    pairs = list(zip(a * len(b) if len(a) == 1 else a, b * len(a) if len(b) == 1 else b, strict=False))
    found = [
        stats.bootstrap((x.outcomes(metric), y.outcomes(metric)), lambda p, q: (p - q).mean())
        for x, y in pairs
    ]
    return stats.mean_over_seeds(found, bounds=(-1.0, 1.0))


# -- the voice ---------------------------------------------------------------------------------------------------------


def ways(record: Record, facts: bool | None = None) -> list[Way]:
    """The ways of the record, prompts first and then training by its size; those with or without facts alone, if asked."""
    found = dict.fromkeys((r["method"], r["with_facts"], r.get("n_labels")) for r in record.results)
    chosen = [w for w in found if facts is None or w[1] is facts]
    return sorted(chosen, key=lambda w: (w[1], [*PROMPTS, "lora"].index(w[0]), w[2] or 0))


def name(way: Way, facts: bool = False) -> str:
    """A way in words; facts: with what it had to go by."""
    method, given, n = way
    words = f"LoRA, {n} pairs" if method == "lora" else PROMPTS[method]
    return f"{words}, {'facts given' if given else 'no facts'}" if facts else words


def rows_of(record: Record, way: Way) -> list[Row]:
    """The rows of a way, one a seed."""
    method, facts, n = way
    return record.where(method=method, with_facts=facts, **({"n_labels": n} if n else {}))


def score(record: Record, way: Way, metric: str) -> dict:
    """``voice``, ``all_rules``, ``content``, ``false_code`` or ``rules.NAME``, over the seeds."""
    return mean(rows_of(record, way), lambda r: r.metric(metric))


def style_gap(record: Record, a: Way, b: Way, metric: str) -> dict:
    """``metric`` of way a minus that of way b, reply by reply."""
    return difference(rows_of(record, a), rows_of(record, b), metric)


def best_prompt(record: Record, facts: bool = True) -> Way:
    """The prompt that keeps most rules *on the test mails*: a choice that favours prompts."""
    prompts = [w for w in ways(record, facts) if w[0] != "lora"]
    return max(prompts, key=lambda w: score(record, w, "voice")["value"])


def most_pairs(record: Record, facts: bool = True) -> Way:
    """LoRA on most pairs, of the sizes that were trained with most seeds: one training says little about the next."""
    trained = [w for w in ways(record, facts) if w[0] == "lora"]
    return max(trained, key=lambda w: (len(rows_of(record, w)), w[2]))


def _words(cells: Mapping[str, Mapping[str, Mapping]]) -> str:
    """Grouped bars in words."""
    return "; ".join(
        f"{label}: " + ", ".join(f"{n} {m['value']:.0%}" for n, m in c.items()) for label, c in cells.items()
    )


def voice_figure(record: Record) -> Figure:
    """A menu over three measures: rules kept, replies that keep all rules, content; with and without facts."""
    figures = {}
    for metric, title in {
        "voice": "rules kept",
        "all_rules": "replies that keep every rule",
        "content": "of what had to be said",
    }.items():
        cells = {
            label: {name(w): score(record, w, metric) for w in ways(record, facts)}
            for label, facts in (("facts in the prompt", True), ("no facts", False))
        }
        axis = f"share {title}" if metric == "content" else title
        figures[title] = bars_with_interval(cells, axis, alt=f"Share, {title}. {_words(cells)}.")
        figures[title].layout["yaxis"]["range"] = [0, 1]
    return with_menu(figures, "measure")


def style_content_figure(record: Record) -> Figure:
    """Each way as a point: rules kept against what had to be said. Up and to the right is better."""
    data = []
    for i, way in enumerate(ways(record)):
        x, y = score(record, way, "content"), score(record, way, "voice")
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name(way, facts=True),
                "x": [x["value"]],
                "y": [y["value"]],
                **_bars("x", x),
                **_bars("y", y),
                "marker": {
                    "symbol": MARKERS[i % 8] + ("" if way[1] else "-open"),
                    "size": 11,
                    "color": PALETTE[i % 8],
                },
                "hovertemplate": f"rules kept {pct(y)}<br>said {pct(x)}<extra>%{{fullData.name}}</extra>",
            }
        )
    axis = {"tickformat": ".0%", "range": [-0.03, 1.03]}
    layout = {
        "xaxis": axis | {"title": {"text": "share said of what had to be said"}},
        "yaxis": axis | {"title": {"text": "rules kept"}},
        "height": 520,
        "legend": {"orientation": "h", "yanchor": "top", "y": -0.2},
    }
    words = "; ".join(f"{d['name']} keeps {d['y'][0]:.0%} and says {d['x'][0]:.0%}" for d in data)
    return Figure(
        data,
        styled(layout),
        f"Share of the rules kept against share said of what had to be said, one point a way: {words}.",
    )


def _bars(axis: str, metric: Mapping) -> dict:
    up, down = metric["high"] - metric["value"], metric["value"] - metric["low"]
    return {
        f"error_{axis}": {
            "type": "data",
            "symmetric": False,
            "array": [up],
            "arrayminus": [down],
            "thickness": 1,
            "width": 3,
        }
    }


def style_table(record: Record, facts: bool = True) -> Html:
    """The ways in numbers: rules kept, replies that keep all, content, false item codes, tokens of the prompt."""
    rows = [
        {
            "way": name(w),
            **{m: score(record, w, m) for m in ("voice", "all_rules", "content", "false_code")},
            "tokens": f"{np.mean([r['prompt_tokens'] for r in rows_of(record, w)]):.0f}",
            "seeds": str(len(rows_of(record, w))),
        }
        for w in ways(record, facts)
    ]
    heads = {
        "way": "way",
        "voice": "rules kept",
        "all_rules": "every rule",
        "content": "said",
        "false_code": "false item code",
        "tokens": "prompt tokens",
        "seeds": "seeds",
    }
    return table(
        rows,
        "Replies with the needed facts in the prompt"
        if facts
        else "Replies without facts, which can only be invented",
        heads,
    )


def rules_figure(record: Record, facts: bool = True) -> Figure:
    """The rules one by one: which way keeps which."""
    chosen, rules = ways(record, facts), [rule.name for rule in company.voice()]
    values = [[score(record, w, f"rules.{rule}") for rule in rules] for w in chosen]
    hardest = min(zip(values[-1], rules, strict=True), key=lambda p: p[0]["value"])
    alt = f"Share of replies that keep each rule, by way. {name(chosen[-1])} keeps the rule {hardest[1]} least, in {hardest[0]['value']:.0%}."
    return heatmap(
        values,
        [r.replace("_", " ") for r in rules],
        [name(w) for w in chosen],
        alt,
        x_title="rule",
        y_title="way",
    )


def reply_examples(record: Record, mail: int = 0) -> Html:
    """What each way replied to one test mail (its first seed), with the number of rules kept."""
    blocks, texts = [], []
    for way in ways(record, True):
        row = rows_of(record, way)[0]
        kept = [row.outcomes(f"rules.{rule.name}")[mail] for rule in company.voice()]
        said = row.outcomes("content")[mail]
        head = f"{name(way)}: {sum(kept):.0f} of {len(kept)} rules, {said:.0%} of the content"
        blocks.append(
            f"<details><summary>{html.escape(head)}</summary><blockquote>{html.escape(row['replies'][mail]).replace(chr(10), '<br>')}</blockquote></details>"
        )
        texts.append(f"{head}\n{row['replies'][mail]}\n")
    return Html(f'<div class="tw-browser">{"".join(blocks)}</div>', "\n".join(texts))


def live_voice(record: Record) -> Html:
    """A run of the reader's own."""
    rows = [
        {"way": name(w, facts=True), **{m: score(record, w, m) for m in ("voice", "content")}}
        for w in ways(record)
    ]
    return table(
        rows, f"A live run, scale {record.scale}", {"way": "way", "voice": "rules kept", "content": "said"}
    )


def voice_summary(record: Record) -> str:
    """The main result in one sentence, from the record."""
    prompt, lora = best_prompt(record), most_pairs(record)
    style, said = (style_gap(record, lora, prompt, m) for m in ("voice", "content"))
    return (
        f"With the facts at hand, LoRA on {lora[2]} pairs keeps {pct(score(record, lora, 'voice'))} of the voice's rules and the best prompt ({name(prompt)}) {pct(score(record, prompt, 'voice'))}: "
        f"{points(style)}, over {score(record, lora, 'voice')['seeds']} trainings. Of what had to be said, LoRA says {pct(score(record, lora, 'content'))}, {points(said)} against that prompt."
    )


class CheckIt:
    """A reply and its reader's name go in; each rule of the voice comes out, kept or broken.

    check: (reply, sender) -> rule name -> kept. says: rule name -> what it asks. reply, sender: what it starts with.
    """

    def __init__(
        self,
        check: Callable[[str, str], Mapping[str, bool]],
        says: Mapping[str, str],
        reply: str,
        sender: str,
    ):
        self.check, self.says, self.reply, self.sender = check, says, reply, sender

    def page(self, reply: str, sender: str) -> Html:
        kept = self.check(reply, sender)
        rows = [
            {"rule": k.replace("_", " "), "kept": "kept" if v else "broken", "says": self.says[k]}
            for k, v in kept.items()
        ]
        return table(
            rows,
            f"{sum(kept.values())} of {len(kept)} rules kept",
            {"rule": "rule", "kept": "here", "says": "what it asks"},
        )

    def widget(self):
        """The ipywidgets form."""
        import ipywidgets as w

        wide = w.Layout(width="95%", height="11em")
        reply, sender = (
            w.Textarea(value=self.reply, description="reply", layout=wide),
            w.Text(value=self.sender, description="to"),
        )
        out = w.Output()

        def show(_=None):
            written = reply.value.strip()
            fill(
                out,
                [
                    self.page(written, sender.value.strip())
                    if written
                    else Html("<p>Write a reply first.</p>", "Write a reply first.")
                ],
            )

        for field in (reply, sender):
            field.observe(show, "value")
        show()
        return w.VBox([sender, reply, out])

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        first = self.page(self.reply, self.sender)
        quoted = f"<blockquote>{html.escape(self.reply).replace(chr(10), '<br>')}</blockquote>"
        saved = {"text/html": quoted + first.html, "text/plain": f"{self.reply}\n\n{first.text}"}
        try:
            return {**self.widget()._repr_mimebundle_(), **saved}
        except ImportError:
            return saved


# -- forms -------------------------------------------------------------------------------------------------------------


def form_rows(record: Record, form: str, method: str, constrained: bool) -> list[Row]:
    """The rows of a form and a way, one a seed."""
    return record.where(form=form, method=method, constrained=constrained)


def form_score(record: Record, form: str, method: str, constrained: bool, metric: str) -> dict | None:
    """``as_is``, ``parsed``, ``valid``, ``fields``, ``fields_if_parsed``, ``f1`` or ``whole``, over the seeds; None where nothing was asked or could be read."""
    rows = [r for r in form_rows(record, form, method, constrained) if metric in r.metrics]
    return mean(rows, lambda r: r[metric])


def form_gap(record: Record, form: str, a: tuple[str, bool], b: tuple[str, bool], metric: str) -> dict:
    """``metric`` of way a = (method, constrained) minus that of way b, ticket by ticket."""
    return difference(form_rows(record, form, *a), form_rows(record, form, *b), metric)


def form_ways(record: Record, form: str) -> list[tuple[str, bool]]:
    """The ways that a form was asked in: (method, constrained)."""
    return [(m, held) for m in FORM_WAYS for held in (False, True) if form_rows(record, form, m, held)]


def form_name(way: tuple[str, bool]) -> str:
    return FORM_WAYS[way[0]] + (" + constraint" if way[1] else "")


def forms(record: Record) -> list[str]:
    return list(dict.fromkeys(r["form"] for r in record.results))


def _title(form: str) -> str:
    return form.upper() if form != "markdown" else "Markdown"


def formats_figure(record: Record) -> Figure:
    """A menu over the forms: how often the reply has the form, and how many fields are right, by way."""
    figures = {}
    for form in forms(record):
        cells = {
            title: {form_name(w): form_score(record, form, *w, metric) for w in form_ways(record, form)}
            for title, metric in (("satisfies the schema", "valid"), ("fields exactly right", "fields"))
        }
        alt = f"{form.upper()}. {_words(cells)}."
        figures[_title(form)] = bars_with_interval(cells, "share", alt=alt, horizontal=True)
        figures[_title(form)].layout["xaxis"]["range"] = [0, 1]
    return with_menu(figures, "form")


def formats_table(record: Record, form: str = "json") -> Html:
    """The ways in numbers."""
    metrics = {
        "as_is": "parses as it stands",
        "parsed": "parses, read kindly",
        "valid": "satisfies the schema",
        "fields": "fields right",
        "f1": "F1 of fields",
        "fields_if_parsed": "fields right, if it parses",
    }
    rows = []
    for way in form_ways(record, form):
        found = {m: form_score(record, form, *way, m) or "-" for m in metrics}
        if found["fields_if_parsed"] != "-":
            found["fields_if_parsed"] = pct(found["fields_if_parsed"])
        seeds = str(len(form_rows(record, form, *way)))
        rows.append({"way": form_name(way), **found, "seeds": seeds})
    return table(rows, f"Tickets to {_title(form)}", {"way": "way", **metrics, "seeds": "seeds"})


def formats_summary(record: Record) -> str:
    """The main result in one sentence, from the record."""
    free, both = ("lora", False), ("lora", True)
    held = best_held(record)
    return (
        f"JSON that satisfies the schema: {pct(form_score(record, 'json', *held, 'valid'))} with a constraint alone ({form_name(held)}), {pct(form_score(record, 'json', *free, 'valid'))} with LoRA alone. "
        f"Fields exactly right: {pct(form_score(record, 'json', *held, 'fields'))} with the constraint alone, {pct(form_score(record, 'json', *free, 'fields'))} with LoRA alone, {pct(form_score(record, 'json', *both, 'fields'))} with both."
    )


def best_held(record: Record, form: str = "json") -> tuple[str, bool]:
    """The prompt under the constraint that gets most fields right on the test tickets."""
    return _best(record, form, True, "fields")


def best_free(record: Record, form: str = "json") -> tuple[str, bool]:
    """The prompt without constraint that satisfies the schema most often on the test tickets."""
    return _best(record, form, False, "valid")


def _best(record: Record, form: str, constrained: bool, metric: str) -> tuple[str, bool]:
    prompts = [(m, constrained) for m in ("schema", "examples")]
    return max(prompts, key=lambda w: form_score(record, form, *w, metric)["value"])
