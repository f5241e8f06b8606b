"""The home page: one figure of all tasks, and who measured what on which models."""

from __future__ import annotations

import html
from functools import cache

import yaml

from tunewise import report as rp
from tunewise.record import NotMeasured
from tunewise.report.figures import MARKERS, PALETTE
from whentofinetune import book_files, book_records, verdicts
from whentofinetune.calculators.decide_rules import CONTRARY
from whentofinetune.calculators.found import contrary

METHODS = ("prompt", "examples in the prompt", "small classifier", "fine-tuned encoder", "LoRA", "RAG")


@cache
def content() -> dict:
    """``data/home.yml``: the answer in five, and the tasks of the figure."""
    return yaml.safe_load((book_files.data_dir() / "home.yml").read_text(encoding="utf-8"))


def answers() -> rp.Html:
    """The answer in five, each with today's verdict on the claims behind it and a link to the reasons."""
    items = []
    for answer in content()["answers"]:
        said = []
        for claim in answer["claims"]:
            found, chapter = verdicts.headline(claim), verdicts.claims()[claim].get("chapter", "claims")
            size = f", {verdicts.LADDER[found.model]}" if found.findings else ""
            against = sum(f.verdict == "does not agree" for f in found.findings)
            but = f", {'one test' if against == 1 else f'{against} tests'} against"
            but = but if against and found.word == "cannot tell" else ""
            said.append(f'<a href="chapters/{chapter}.html#{claim}">{claim}: {found.word}{but}{size}</a>')
        for name in answer.get("contrary", []):
            if name in contrary():
                url = f"chapters/{CONTRARY[name]['chapter']}.html"
                said.append(
                    f'our own result speaks against it: <a href="{url}">{html.escape(contrary()[name])}</a>'
                )
        items.append(f"<li>{html.escape(answer['text'])} <small>({'; '.join(said)})</small></li>")
    return rp.Html(f"<ol>{''.join(items)}</ol>", "\n".join(answer["text"] for answer in content()["answers"]))


def _share(task: dict, method: str, model: str) -> dict | None:
    """The mean of a method's rows with its interval; None where that model has no such rows."""
    if method not in task["methods"]:
        return None
    arm = dict(task["methods"][method])
    try:
        rows = book_records.load(arm.pop("experiment"), model=model).where(**arm)
    except NotMeasured:
        return None
    return rp.mean(rows, task["metric"]) if rows else None


def hero() -> rp.Figure:
    """One row a task, a shape each method, a colour each model size: the share of right answers with its interval."""
    found = {
        f"{method}, {size}": {
            name: m for name, task in content()["tasks"].items() if (m := _share(task, method, model))
        }
        for method in METHODS
        for model, size in verdicts.LADDER.items()
    }
    found = {name: cells for name, cells in found.items() if cells}
    figure = rp.dots(found, "right, of all test items", "What each method reached, task by task")
    sizes = list(dict.fromkeys(name.rsplit(", ", 1)[1] for name in found))
    for trace in figure.data:
        method, size = trace["name"].rsplit(", ", 1)
        trace["marker"] |= {
            "symbol": MARKERS[METHODS.index(method)],
            "color": PALETTE[sizes.index(size)],
            "size": 11,
        }
    return figure


def measured() -> rp.Html:
    """The models that the book's records come from: how many experiments each, of how many."""
    runs = book_files.data_dir() / "runs"
    rows = []
    ladder = list(verdicts.LADDER)
    for folder in sorted(
        (p for p in runs.iterdir() if p.is_dir()),
        key=lambda p: ladder.index(p.name) if p.name in ladder else len(ladder),
    ):
        records = [book_records.Record.read(path) for path in sorted(folder.glob("*.full.json"))]
        if records:
            days = sorted({r.date[:10] for r in records})
            when = f"{days[0]} to {days[-1]}" if len(days) > 1 else days[0]
            rows.append([folder.name, len(records), book_records.machines(records), when])
    return rp.table_from_lists(
        ["model", "experiments", "on", "when"], rows, "What was measured, on which models"
    )
