"""The home page: one figure of all tasks, and who measured what on which models."""

from __future__ import annotations

import html

from tunewise import report as rp
from tunewise.record import NotMeasured
from tunewise.report.figures import MARKERS, PALETTE
from whentofinetune import book_files, book_records, verdicts

# task -> metric, and for each method the experiment and the settings of its rows
PROMPT, SHOTS, SMALL, LORA, RAG = "prompt", "examples in the prompt", "small classifier", "LoRA", "RAG"
TASKS: dict[str, tuple[str, dict[str, tuple[str, dict]]]] = {
    "Sentiment of tweets": (
        "accuracy",
        {
            PROMPT: ("few_shot", {"method": "zero-shot"}),
            SHOTS: ("few_shot", {"method": "random", "k": 16}),
            SMALL: ("learning_curve", {"method": "embeddings", "n_labels": 300}),
            LORA: ("learning_curve", {"method": "lora", "n_labels": 300}),
        },
    ),
    "Labels by a rule of the house": (
        "accuracy",
        {
            PROMPT: ("unwritten_rule", {"method": "rule", "split": "test"}),
            SHOTS: ("unwritten_rule", {"method": "examples", "split": "test", "k": 20}),
            SMALL: ("unwritten_rule", {"method": "embeddings", "n_labels": 300}),
            LORA: ("unwritten_rule", {"method": "lora", "n_labels": 300}),
        },
    ),
    "Replies in a company's voice: rules kept": (
        "voice",
        {
            PROMPT: ("voice", {"method": "rules", "with_facts": True}),
            SHOTS: ("voice", {"method": "examples", "with_facts": True}),
            LORA: ("voice", {"method": "lora", "with_facts": True, "n_labels": 60}),
        },
    ),
    "Fields read out of notices, as JSON": (
        "f1",
        {
            PROMPT: ("formats", {"method": "schema", "form": "json", "constrained": True}),
            SHOTS: ("formats", {"method": "examples", "form": "json", "constrained": True}),
            LORA: ("formats", {"method": "lora", "form": "json", "constrained": True}),
        },
    ),
    "A company's own words": (
        "accuracy",
        {
            PROMPT: ("jargon", {"method": "base"}),
            LORA: ("jargon", {"method": "lora", "training": "definitions", "entries": False}),
            RAG: ("jargon", {"method": "search"}),
        },
    ),
    "Facts of a handbook, reworded questions": (
        "right",
        {
            PROMPT: ("rag_knowledge", {"method": "closed book", "asked": "reworded"}),
            LORA: ("rag_knowledge", {"method": "tuned", "asked": "reworded", "phrasings": 8}),
            RAG: ("rag_knowledge", {"method": "rag", "asked": "reworded"}),
        },
    ),
    "An invented operation on words": (
        "same.exact",
        {
            PROMPT: ("invented_operation", {"method": "described", "task": "frell"}),
            SHOTS: ("invented_operation", {"method": "few-shot", "task": "frell", "k": 32}),
            LORA: ("invented_operation", {"method": "pretrained", "task": "frell", "n_labels": 240}),
        },
    ),
}

# The answer in five sentences, each with the claims whose verdicts stand beside it.
ANSWERS = (
    ("Try a prompt, then examples in it, then a better model: that takes an hour and no training.", ("C26",)),
    (
        "To choose labels with some hundreds of labelled texts, train a small classifier before a language model.",
        ("C1",),
    ),
    (
        "Tune for a voice, a form or a rule that the best prompt does not reach; test what the model forgets.",
        ("C35", "C6"),
    ),
    ("Look facts up. Tuning is a poor way to add them, and in the weights they go stale.", ("C34", "C38")),
    (
        "Then measure on your own data: the difference, its interval, and the smallest difference that matters.",
        ("C43",),
    ),
)


def answers() -> rp.Html:
    """The answer in five, each with today's verdict on the claims behind it and a link to the reasons."""
    items = []
    for text, claims in ANSWERS:
        said = []
        for claim in claims:
            found, chapter = verdicts.headline(claim), verdicts.claims()[claim].get("chapter", "claims")
            size = f", {verdicts.LADDER[found.model]}" if found.findings else ""
            said.append(f'<a href="chapters/{chapter}.html#{claim}">{claim}: {found.word}{size}</a>')
        items.append(f"<li>{html.escape(text)} <small>({'; '.join(said)})</small></li>")
    return rp.Html(f"<ol>{''.join(items)}</ol>", "\n".join(text for text, _ in ANSWERS))


def _share(task: str, method: str, model: str) -> dict | None:
    """The mean of a method's rows with its interval; None where that model has no such rows."""
    metric, arms = TASKS[task]
    if method not in arms:
        return None
    experiment, settings = arms[method]
    try:
        rows = book_records.load(experiment, model=model).where(**settings)
    except NotMeasured:
        return None
    return rp.mean(rows, metric) if rows else None


def hero() -> rp.Figure:
    """One row a task, a shape each method, a colour each model size: the share of right answers with its interval."""
    found = {
        f"{method}, {size}": {task: m for task in TASKS if (m := _share(task, method, model))}
        for method in (PROMPT, SHOTS, SMALL, LORA, RAG)
        for model, size in verdicts.LADDER.items()
    }
    found = {name: cells for name, cells in found.items() if cells}
    figure = rp.dots(found, "right, of all test items", "What each method reached, task by task")
    methods, sizes = (list(dict.fromkeys(name.rsplit(", ", 1)[i] for name in found)) for i in (0, 1))
    for trace in figure.data:
        method, size = trace["name"].rsplit(", ", 1)
        trace["marker"] |= {
            "symbol": MARKERS[methods.index(method)],
            "color": PALETTE[sizes.index(size)],
            "size": 11,
        }
    at = 0.0  # a row is as high as it has dots
    for note in figure.layout["annotations"]:
        note["y"] = at
        for trace in figure.data:
            if note["text"] in trace["hovertext"]:
                at -= 1
                trace["y"][trace["hovertext"].index(note["text"])] = at
        at -= 1.8
    figure.layout["yaxis"]["range"] = [at + 1, 1.2]
    figure.layout["height"] = round(120 - 20 * at)
    return figure


def measured() -> rp.Html:
    """The models that the book's records come from: how many experiments each, of how many."""
    runs = book_files.data_dir() / "runs"
    rows = []
    for folder in sorted(p for p in runs.iterdir() if p.is_dir()):
        records = [book_records.Record.read(path) for path in sorted(folder.glob("*.full.json"))]
        if records:
            machines = "; ".join(sorted({r.device for r in records}))
            days = sorted(r.date[:10] for r in records)
            rows.append([folder.name, len(records), machines, f"{days[0]} to {days[-1]}"])
    return rp.table_from_lists(
        ["model", "experiments", "on", "when"], rows, "What was measured, on which models"
    )
