"""The verdict box: what the article claims, how it was tested and what came out, for each model, and what others found.

The verdict itself follows from ``data/claims.yml`` and the records (:mod:`whentofinetune.verdicts`). A chapter adds a sentence or two, and says
which verdict they go with: if a new record decides otherwise, the box shows the test's own words instead, and a test fails.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import cache

from tunewise.report.figures import Figure, Html, differences
from tunewise.report.numbers import pct, plain, points
from tunewise.report.sentences import prose
from whentofinetune import book_files, verdicts

CERTAINTY = {
    "read": "",
    "abstract": "read in the abstract",
    "second-hand": "second-hand, not verified",
    "inference": "our own inference",
}


@cache
def sources() -> dict[str, dict]:
    """The entries of ``references.bib`` by key: ``{"author", "title", "year", "url"}``. The file keeps one field a line."""
    inside = book_files.data_dir() / "references.bib"
    text = (inside if inside.exists() else book_files.data_dir().parent / "references.bib").read_text(
        encoding="utf-8"
    )
    found = {}
    for entry in re.split(r"^@", text, flags=re.MULTILINE)[1:]:
        key = re.match(r"\w+\{([^,\s]+),", entry).group(1)
        fields = dict(re.findall(r"^\s*(\w+)\s*=\s*\{(.*)\},?\s*$", entry, flags=re.MULTILINE))
        found[key] = {k: v.replace("{", "").replace("}", "") for k, v in fields.items()}
    return found


def cite(key: str) -> tuple[str, str]:
    """A source in short, ``"Mosbach et al. 2023"``, and its address. Raises KeyError for an unknown key."""
    if key not in sources():
        raise KeyError(f"references.bib has no entry {key!r}")
    entry = sources()[key]
    names = [n.split(",")[0].strip() for n in entry.get("author", entry["title"]).split(" and ")]
    others = (
        f"{names[0]} and {names[1]}" if len(names) == 2 and names[1] != "others" else f"{names[0]} et al."
    )
    return f"{names[0] if len(names) == 1 else others} {entry.get('year', '')}".strip(), entry.get("url", "")


def verdict(claim: str, expects: str, why: str, measured: Mapping | None = None) -> Html:
    """The box for one claim.

    Parameters
    ----------
    claim
        Its id.
    expects
        The verdict that ``why`` goes with: for an effect that of the largest model measured, else the kind of claim (``calculated``, ...).
    why
        A sentence or two. ``{0}``, ``{1}`` stand for the differences of the tests, in their order; other numbers are not typed.
    measured
        Name -> metric or text, for claims that no test decides.

    Raises
    ------
    ValueError
        For an unknown claim, or an effect with ``measured`` figures: its tests say what was measured.
    """
    if claim not in verdicts.claims():
        raise ValueError(f"there is no claim {claim!r}; data/claims.yml has C1 to C{len(verdicts.claims())}")
    entry, found = verdicts.claims()[claim], verdicts.headline(claim)
    if measured and entry["kind"] == "effect":
        raise ValueError(f"{claim} is decided by its tests in data/claims.yml; leave measured out")
    if expects == found.word:
        why = why.format(*(difference(f) for f in found.findings))
    else:
        why = " ".join(f"{f.says[0].upper()}{f.says[1:]}: {f.reason}" for f in found.findings)
    size = f" (largest model measured: {verdicts.LADDER[found.model]})" if found.findings else ""
    rows = [("The article", html.escape(entry.get("article_figure") or "no figure given"))]
    rows += [
        (
            "Tested" if found.findings else "We measured",
            _tests(found) if found.findings else _figures(measured or {}),
        )
    ]
    rows += [("Verdict", f"<strong>{found.word}</strong>{size}"), *_sizes(claim), ("Why", html.escape(why))]
    if evidence := entry.get("evidence"):
        said = [(e["text"], *cite(e["source"]), CERTAINTY[e["sure"]]) for e in evidence]
        items = "".join(
            f"<li>{html.escape(t)} ({_link(c, u)}{'; ' + s if s else ''})</li>" for t, c, u, s in said
        )
        rows.append(("Others found", f"<ul>{items}</ul>"))
    colour = verdicts.MARKS[found.word][1]
    body = "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in rows if v)
    source = (
        f'<div class="tw-verdict" role="note" aria-label="Verdict on claim {claim}" '
        f'style="--tw-mark:{colour};border-left:.4rem solid {colour};padding:.8rem 1.1rem">'
        f'<p class="tw-verdict-head">{claim}. {html.escape(entry["claim"])} <small>(article, section {entry["section"]})</small></p>'
        f"<dl>{body}</dl></div>"
    )
    ours = "; ".join(f"{f.says}: {difference(f)}" for f in found.findings) or "; ".join(
        f"{k}: {_show(v)}" for k, v in (measured or {}).items()
    )
    text = f"{claim}. {entry['claim']}\n  we measured: {ours}\n  verdict: {found.word}\n  why: {why}"
    return Html(source, text)


def difference(finding: verdicts.Finding) -> str:
    """The difference of a test with its interval, in the unit that its metric has."""
    c = finding.comparison
    metric = {"value": c.estimate, "low": c.low, "high": c.high, "n": c.n}
    if finding.unit == "relative":
        value, low, high = (f"{100 * metric[k]:+.1f}".replace("-", "−") for k in ("value", "low", "high"))
        return f"{value} % [{low}, {high}], n\u00a0=\u00a0{c.n}"
    return points(metric) if finding.unit == "points" else plain(metric)


def _tests(found: verdicts.Verdict) -> str:
    """Each test in one item: what was compared, both means, the difference, the margin, and what follows."""
    items = []
    for f in found.findings:
        means = (
            f"{_mean(f, f.comparison.mean_a)} against {_mean(f, f.comparison.mean_b)}: "
            if f.unit != "correlation"
            else ""
        )
        rival = f" (closest rival: {f.rival})" if f.rival else ""
        margin = (
            f"{100 * f.margin:g} {'%' if f.unit == 'relative' else 'points'}"
            if f.unit in ("points", "relative")
            else f"{f.margin:g}"
        )
        items.append(
            f"<li>{html.escape(f.says)}{html.escape(rival)}: {means}{html.escape(difference(f))}; what matters: {margin}. <em>{f.verdict}</em></li>"
        )
    return f"<ul>{''.join(items)}</ul>"


def _mean(finding: verdicts.Finding, value: float) -> str:
    return pct(value) if finding.unit == "points" else plain(value)


def _sizes(claim: str) -> list[tuple[str, str]]:
    """A mark for each model of the ladder, where more than one was measured."""
    found = {size: verdicts.verdict(claim, model).word for model, size in verdicts.LADDER.items()}
    if (
        verdicts.claims()[claim]["kind"] != "effect"
        or sum(w != "not yet measured" for w in found.values()) < 2
    ):
        return []
    return [("By model size", ", ".join(f"{size}: {word}" for size, word in found.items()))]


def _show(value) -> str:
    return pct(value) if isinstance(value, Mapping) and "value" in value else str(value)


def _figures(measured: Mapping) -> str:
    items = "".join(f"<li>{html.escape(str(k))}: {html.escape(_show(v))}</li>" for k, v in measured.items())
    return f"<ul>{items}</ul>" if items else ""


def _link(text: str, url: str) -> str:
    return f'<a href="{html.escape(url)}">{html.escape(text)}</a>' if url else html.escape(text)


def tests_figure(*claims: str) -> Figure:
    """The tests of these claims as paired differences against zero: one colour a model size, the margin as a band.

    Only tests whose differences are in points or shares are drawn; models without a record are left out.
    """
    series: dict[str, dict] = {}
    margins: dict[str, float] = {}
    said: list[str] = []
    for model, size in verdicts.LADDER.items():
        for claim in claims:
            for f in verdicts.verdict(claim, model).findings:
                if f.unit in ("points", "relative"):
                    name = f"{claim}: {f.says}"
                    series.setdefault(size, {})[name] = f.comparison.metric()
                    margins[name] = f.margin
                    said.append(f"{size}, {name}: {difference(f)}")
    alt = f"Paired differences with their intervals: {'; '.join(said)}."
    return differences(series, "difference", alt, margins=margins)


# -- the board ---------------------------------------------------------------------------------------------------------


def summary() -> Html:
    """How many claims have which verdict, in a sentence."""
    said = ", ".join(f"{n} “{word}”" for word, n in verdicts.counts().items())
    return prose(f"Of the article's {len(verdicts.claims())} claims, by the largest model measured: {said}.")


def board() -> Html:
    """All claims, one under the other: a mark for each model size, the article's figure if there is one, and the tests that decide."""
    out, lines = ['<ul class="tw-claims" style="list-style:none;padding:0">'], []
    for row in verdicts.board():
        entry = verdicts.claims()[row["claim"]]
        words = (
            " ".join(f"{size}: {row['words'][m]}." for m, size in verdicts.LADDER.items())
            if row["kind"] == "effect"
            else ""
        )
        word = (
            f'<a href="{entry["chapter"]}.html">{row["headline"]}</a>'
            if "chapter" in entry
            else row["headline"]
        )
        said = [f"<strong>{row['claim']}. {html.escape(row['says'])}</strong> {word}"]
        said += [f"<small>{words}</small>"] if words else []
        said += (
            [f"<small>The article: {html.escape(entry['article_figure'])}</small>"]
            if entry.get("article_figure")
            else []
        )
        said += [html.escape(f"{f.says}: {difference(f)}") for f in row["findings"]]
        colour = verdicts.MARKS[row["headline"]][1]
        out.append(
            f'<li style="border-left:.3rem solid {colour};padding:.1rem 0 .1rem .8rem;margin:0 0 1rem">{"<br>".join(said)}</li>'
        )
        lines.append(f"{row['claim']}. {row['says']} | {row['headline']}")
    return Html("".join([*out, "</ul>"]), "\n".join(lines))
