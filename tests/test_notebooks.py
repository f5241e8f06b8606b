"""Rules for what a chapter says. That its cells run is checked by nbval, which `make test` runs on every notebook.

The rule *no number is typed*: what an experiment yields is printed from its run record, so that it cannot go stale. A number
with a unit of measurement (per cent, points, seconds, times) may be typed only

- in a paragraph with a citation: then it is somebody's published figure;
- in a paragraph that speaks of *the article*, if ``data/claims.yml`` has that number as the article's;
- in a cell that says why, in a comment: ``<!-- typed: the same for any experiment, it follows from three labels -->``.

How long something takes a reader (minutes, hours), the sizes of a task (300 tweets) and *95 % interval* are no results.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
PAGES = [
    p
    for p in (
        ROOT / "index.md",
        ROOT / "glossary.md",
        *sorted((ROOT / "chapters").glob("*.md")),
        *sorted((ROOT / "instructors").glob("*.md")),
    )
    if p.exists()
]

NUMBER = re.compile(
    r"(?<![\w.])([-+−±]?\d[\d.,]*)\s?(%|per ?cent\b|(?:percentage )?points?\b|seconds?\b|m?s\b|times\b|[x×](?!\w|\s*\d|\s+$)|-?fold\b)(?! (confidence )?interval)",
    re.IGNORECASE,
)
TYPED = re.compile(r"<!--\s*typed:\s*\S+.*?-->", re.DOTALL)
CODE = re.compile(r"^(`{3,}|:{3,}).*?^\1\s*$|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def articles_numbers() -> set[str]:
    """Every number in what ``data/claims.yml`` gives as the article's claims and figures."""
    claims = yaml.safe_load((ROOT / "data" / "claims.yml").read_text(encoding="utf-8"))
    return set(
        re.findall(
            r"\d[\d.,]*\d|\d", " ".join(f"{c['claim']} {c.get('article_figure') or ''}" for c in claims)
        )
    )


def typed_results(markdown: str, published: set[str]) -> list[str]:
    """The numbers of a Markdown text that stand where a run record's number should."""
    if TYPED.search(markdown):
        return []
    found = []
    for paragraph in re.split(r"\n\s*\n", CODE.sub(" ", markdown)):
        if "{cite" in paragraph:
            continue
        for number in NUMBER.finditer(paragraph):
            if not ("article" in paragraph.lower() and number[1].strip(".,") in published):
                found.append(number[0])
    return found


def typed_strings(code: str) -> list[str]:
    """The same for the texts in a piece of Python; formats such as ``{share:.0%}`` are no numbers."""
    tree = ast.parse(code)
    formats = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.FormattedValue) and node.format_spec
        for part in ast.walk(node.format_spec)
    }
    documentation = {
        id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)
    }
    texts = [
        n.value
        for n in ast.walk(tree)
        if isinstance(n, ast.Constant)
        and isinstance(n.value, str)
        and id(n) not in formats | documentation
        and " " in n.value
    ]
    return [m[0] for text in texts for m in NUMBER.finditer(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("LoRA reaches 79 % here.", ["79 %"]),
        ("It is 3.5 times as fast, and takes 12 s.", ["3.5 times", "12 s"]),
        ("Up by 14 points or 2x.", ["14 points", "2x"]),
        ("The article reports 48 % before.", []),
        ("The article reports 49 % before.", ["49 %"]),
        ("They found 91.2 % {cite:p}`someone2024`.\n\nWe found 90 %.", ["90 %"]),
        ("<!-- typed: the median of three equal shares --> 33 % is chance.", []),
        ("<!-- typed: --> 33 % is chance.", ["33 %"]),
        ("`--set x=50%` and\n```python\nx = '7 %'\n```\n", []),
        (
            "a 95 % interval, 15 minutes, 300 tweets, 2 × 512 tokens, a mean of 0.8, Qwen2.5-1.5B, 5s4u, 3 examples",
            [],
        ),
    ],
)
def test_the_rule_finds_what_it_should(text, found):
    assert typed_results(text, {"48", "73"}) == found


def test_the_rule_reads_texts_in_code():
    assert typed_strings(
        'table(rows, "LoRA has 79 % here")\nprint(f"{x:.0%} of {n} s")\n"""Doc: 5 %."""'
    ) == ["79 %"]


@pytest.mark.parametrize("path", [*CHAPTERS, *PAGES], ids=lambda p: p.name)
def test_no_number_is_typed_where_a_run_record_exists(path):
    published = articles_numbers()
    if path.suffix == ".md":
        cells = [nbformat.v4.new_markdown_cell(path.read_text(encoding="utf-8"))]
    else:
        cells = nbformat.read(path, 4).cells
    for cell in cells:
        if cell.cell_type == "markdown":
            found = typed_results(cell.source, published)
        else:
            found = typed_strings(re.sub(r"^(\s*)[%!].*", r"\1pass", cell.source, flags=re.MULTILINE))
        assert not found, (
            f"{path.name}: typed {found} in the cell {cell.source[:70]!r}: print it from a record, cite it, or say why (see this test's file)"
        )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "lib" / "whentofinetune" / "pages").glob("*.py")), ids=lambda p: p.name
)
def test_no_number_is_typed_in_the_texts_of_figures_and_verdicts(path):
    assert not typed_strings(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_a_chapter_begins_with_one_title_and_says_time_and_hardware(path):
    texts = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown"]
    titles = [line for text in texts for line in CODE.sub("", text).splitlines() if line.startswith("# ")]
    assert len(titles) == 1
    if path.stem in ("records", "claims", "decide"):  # two lists and a form, not chapters
        return
    whole = "\n".join(texts)
    for part in ("**Time**", "**Hardware**", "**You need**", "## Exercises", "## Take away"):
        assert part in whole, f"{path.name} lacks {part}"


@pytest.mark.parametrize("path", [*CHAPTERS, *sorted((ROOT / "labs").glob("*.ipynb"))], ids=lambda p: p.stem)
def test_a_notebook_leaves_no_folder_behind(path):
    """A tuned model is half a gigabyte: ``TemporaryDirectory`` goes with the kernel, what ``mkdtemp`` makes stays."""
    assert "mkdtemp" not in path.read_text(encoding="utf-8")
