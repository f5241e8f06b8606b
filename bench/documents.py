"""How well own documents are searched and answered from, measured on documents that nothing was chosen on.

    python bench/documents.py [--model qwen2.5-coder-0.5b] [scikit-learn] [company]
    python bench/documents.py --words 60 120 -- pandas        # lengths of a passage, compared on other documents

``scikit-learn``: the documentation that the installed package carries in its classes, one Markdown file a class, of 70 classes drawn at random. Questions follow three rules and
their answers come from the program itself, not from the text: the default of a parameter (its signature), the release that added a
parameter, the shape of an attribute. A further third asks for parameters that a class does not have. ``company``: the book's handbook and its
test questions. ``pandas``: methods and functions of pandas, with questions by the first two rules. Writes ``data/bench/documents.json``. The prompt was
chosen on 24 of the handbook's validation questions.
"""

from __future__ import annotations

import argparse
import csv
import inspect
import json
import re
import time
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import all_estimators

from tunewise.compare.base import Settings
from tunewise.compare.documents_evaluation import evaluate_documents
from tunewise.compare.documents_formats import WORDS
from tunewise.paths import cache_dir
from whentofinetune.datasets import company

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "data" / "bench" / "documents.json"
CLASSES = 70
PER_RULE = {"default": 70, "added": 35, "shape": 35, "absent": 30}
Row = tuple[str, str, str, str]  # question, answer, file, words of the passage
_ENTRY = re.compile(r"^(\w+) : (.+)$")


def scikit_learn(folder: Path) -> list[Row]:
    """Write a Markdown file a class; the questions, drawn by rule with a fixed seed."""
    asked: dict[str, list[Row]] = {rule: [] for rule in PER_RULE}
    classes = {name: cls for name, cls in all_estimators() if cls.__doc__}
    everywhere = sorted({p for cls in classes.values() for p in inspect.signature(cls).parameters})
    rng = np.random.default_rng(0)
    for name in sorted(rng.choice(sorted(classes), CLASSES, replace=False)):
        cls = classes[name]
        sections = dict(_sections(inspect.getdoc(cls) or ""))
        text = "\n\n".join(f"## {title}\n\n{_paragraphs(body)}" for title, body in sections.items())
        (folder / f"{name}.md").write_text(f"# {name}\n\n{text}\n", encoding="utf-8")
        defaults = {n: p.default for n, p in inspect.signature(cls).parameters.items()}
        for title, body in sections.items():
            for entry, kind, told in _entries(body):
                for rule, row in _questions(name, title, entry, kind, told, defaults):
                    asked[rule].append(row)
        absent = str(rng.choice([p for p in everywhere if p not in text]))
        asked["absent"].append((f"What is the default of the parameter {absent} of {name}?", "", "", ""))
    return [
        asked[rule][i] for rule, n in PER_RULE.items() for i in sorted(rng.permutation(len(asked[rule]))[:n])
    ]


def _questions(
    name: str, title: str, entry: str, kind: str, told: str, defaults: dict[str, object]
) -> Iterator[tuple[str, Row]]:
    """(rule, question) of one parameter or attribute."""
    file, line, default = f"{name}.md", f"{entry} : {kind}", defaults.get(entry)
    plain = isinstance(default, int | float | str) and not isinstance(default, bool) and default != ""
    if title == "Parameters" and plain and f"default={default!r}" in kind:
        asked = f"What is the default of the parameter {entry} of {name}?"
        yield "default", (asked, str(default), file, line)
    if title == "Parameters" and (added := re.search(r"versionadded:: ([\d.]+\d)", told)):
        yield "added", (f"In which version was the parameter {entry} added to {name}?", added[1], file, "")
    if title == "Attributes" and (shape := re.fullmatch(r"ndarray of shape (\(\w+,(?: \w+)?\))", kind)):
        yield "shape", (f"Which shape has the attribute {entry} of {name}?", shape[1], file, line)


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """(title, body) of a docstring's sections; what stands before the first is the summary."""
    parts = re.split(r"^(\w[\w ]+)\n-{3,}\n", text, flags=re.MULTILINE)
    yield "Summary", parts[0]
    yield from (
        (t, b)
        for t, b in zip(parts[1::2], parts[2::2], strict=True)
        if t in ("Parameters", "Attributes", "Notes")
    )


def _entries(body: str) -> Iterator[tuple[str, str, str]]:
    """(name, kind, description) of each parameter or attribute."""
    found: list[list[str]] = []
    for line in body.splitlines():
        if entry := _ENTRY.match(line):
            found.append([entry[1], entry[2], ""])
        elif found:
            found[-1][2] += f"{line.strip()}\n"
    yield from ((name, kind, told) for name, kind, told in found)


def _paragraphs(body: str) -> str:
    """Each parameter as a paragraph: without the indents, which Markdown would take for code."""
    lines = [line.strip() for line in body.splitlines()]
    starts = [bool(_ENTRY.match(line)) for line in body.splitlines()]
    return "\n".join(
        f"\n{line}" if start else line for line, start in zip(lines, starts, strict=True)
    ).strip()


def pandas_methods(folder: Path) -> list[Row]:
    """Write a Markdown file for each of 70 methods and functions drawn at random; the questions on their parameters, all of them."""
    named = {f"{c.__name__}.{m}": getattr(c, m) for c in (pd.DataFrame, pd.Series) for m in dir(c)}
    named |= {f"pandas.{m}": getattr(pd, m) for m in dir(pd)}
    functions = {name: f for name, f in named.items() if inspect.isfunction(f) and "._" not in name}
    rows: list[Row] = []
    for name in sorted(np.random.default_rng(0).choice(sorted(functions), CLASSES, replace=False)):
        sections = dict(_sections(inspect.getdoc(functions[name]) or ""))
        text = "\n\n".join(f"## {title}\n\n{_paragraphs(body)}" for title, body in sections.items())
        (folder / f"{name}.md").write_text(f"# {name}\n\n{text}\n", encoding="utf-8")
        defaults = {n: p.default for n, p in inspect.signature(functions[name]).parameters.items()}
        for entry, kind, told in _entries(sections.get("Parameters", "")):
            stated = re.sub(r"default:? ", "default=", kind)
            rows += [row for _, row in _questions(name, "Parameters", entry, stated, told, defaults)]
    return rows


def handbook(folder: Path) -> list[Row]:
    """The company's passages, a file each; 100 test questions, and 30 that the handbook leaves open."""
    names = {p.id: f"{re.sub(r'[^a-z0-9-]', '-', p.id)}.md" for p in company.passages()}
    for p in company.passages():
        (folder / names[p.id]).write_text(p.text, encoding="utf-8")
    rng, rows = np.random.default_rng(0), []
    for kind, n in (("direct", 100), ("unanswerable", 30)):
        found = company.questions(kind, "test")
        for i in sorted(rng.permutation(len(found))[:n]):
            rows.append((found[i].ask[0], "|".join(found[i].answers), "", ""))
    return rows


MEASURED = {"scikit-learn": scikit_learn, "company": handbook}
CORPORA = MEASURED | {"pandas": pandas_methods}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "corpora", nargs="*", default=list(MEASURED), metavar="CORPUS", help=", ".join(CORPORA)
    )
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--words", type=int, nargs="+", default=[WORDS], help="the most of a passage")
    args = parser.parse_args()
    for name, words in product(args.corpora, args.words):
        folder, asked = cache_dir("bench", name), cache_dir("bench") / f"{name}.csv"
        rows = CORPORA[name](folder)
        with asked.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("question", "answer", "file", "passage"), *rows])
        start = time.perf_counter()
        found = evaluate_documents(
            folder, asked, Settings(model=args.model), partial(print, flush=True), words=words
        )
        print(found.text)
        held = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
        held[f"{name}, {args.model}, passages of {words} words"] = found.as_json() | {
            "seconds": round(time.perf_counter() - start),
            "date": time.strftime("%Y-%m-%d"),
            "versions": {p: version(p) for p in ("scikit-learn", "pandas", "torch", "transformers")},
        }
        OUT.write_text(json.dumps(held, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
