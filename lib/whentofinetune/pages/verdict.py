"""The verdict box: what the article claims, how it was tested and what came out, for each model, and what others found.

The verdict itself follows from ``data/claims.yml`` and the records (:mod:`whentofinetune.verdicts`). A chapter adds a sentence or two, and says
which verdict they go with: if a new record decides otherwise, the box shows the test's own words instead, and a test fails.
"""

import html
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from itertools import product
from typing import Any

from tunewise import report as rp
from tunewise.comparison import CANNOT_TELL, remedy
from tunewise.record import Record
from whentofinetune import book_files, book_records, verdicts
from whentofinetune.pages.claims_measured import MEASURED
from whentofinetune.pages.condition_names import named

CERTAINTY = {
    "read": "",
    "abstract": "only its abstract or opening was read",
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


def verdict(
    claim: str,
    expects: str | Mapping[str, str],
    why: str,
    measured: Mapping | None = None,
    facts: Mapping[str, Callable[[Record], str]] | None = None,
) -> rp.Html:
    """The box for one claim.

    Parameters
    ----------
    claim
        Its id.
    expects
        The verdict that ``why`` goes with: for an effect that of the largest model measured, or size -> verdict of all sizes measured where
        ``why`` speaks of several; else the kind of claim (``calculated``, ...).
    why
        A sentence or two. ``{0}``, ``{1}`` stand for the differences of the tests, in their order, at the largest size measured;
        ``{at[135M][0]}`` for the first at that size (without n), ``{size}`` for the largest size measured, and ``{name}`` for one of ``facts``; other
        numbers are not typed.
    measured
        Name -> metric or text, where the chapter itself computes what no test decides; else that of :data:`MEASURED`.
    facts
        Name -> what else ``why`` reads from the record of the claim's first test, of the largest model measured.

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
    measured = measured or MEASURED.get(claim, dict)()
    at = by_size(claim)
    words = {size: v.word for size, v in at.items()}
    if expects in (found.word, words):
        read: dict[str, Any] = {"size": verdicts.LADDER[found.model]}
        read["at"] = {size: [difference(f, n=False) for f in v.findings] for size, v in at.items()}
        if facts:
            record = book_records.load(entry["tests"][0]["experiment"], model=found.model)
            read |= {name: fact(record) for name, fact in facts.items()}
        why = why.format(*(difference(f) for f in found.findings), **read)
    else:
        why = " ".join(f"{f.says[0].upper()}{f.says[1:]}: {f.reason}" for f in found.findings)
    size = f" (largest model measured: {verdicts.title(found.model)})" if found.findings else ""
    numbers = {k: number(v) for k, v in measured.items()}
    ours = {f.says: difference(f) for f in found.findings} or numbers
    evidence = [(e["text"], *cite(e["source"]), CERTAINTY[e["sure"]]) for e in entry.get("evidence", ())]
    others = [f"{html.escape(t)} ({link(c, u)}{'; ' + s if s else ''})" for t, c, u, s in evidence]
    said = [html.escape(f"{k}: {v}") for k, v in numbers.items()]
    rows = {
        "The article": html.escape(entry.get("article_figure") or "no figure given"),
        "Tested": listed(map(_test, found.findings)),
        "We measured": "" if found.findings else listed(said),
        "Verdict": f"<strong>{found.word}</strong>{size}",
        "By model size": ", ".join(f"{verdicts.title(v.model)}: {v.word}" for v in at.values())
        if len(at) > 1
        else "",
        "Why": html.escape(why),
        "Others found": listed(others),
    }
    colour = verdicts.MARKS[found.word][1]
    body = "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in rows.items() if v)
    source = (
        f'<div class="tw-verdict" id="{claim}" role="note" aria-label="Verdict on claim {claim}" '
        f'style="--tw-mark:{colour};border-left:.4rem solid {colour};padding:.8rem 1.1rem">'
        f'<p class="tw-verdict-head">{claim}. {html.escape(entry["claim"])} <small>(article, section {entry["section"]})</small></p>'
        f"<dl>{body}</dl></div>"
    )
    told = "; ".join(f"{name}: {number}" for name, number in ours.items())
    text = f"{claim}. {entry['claim']}\n  we measured: {told}\n  verdict: {found.word}\n  why: {why}"
    return rp.Html(source, text)


def difference(finding: verdicts.Finding, n: bool = True) -> str:
    """The difference of a test with its interval, in the unit that its metric has."""
    shows = {"points": rp.points, "relative": rp.relative, "correlation": partial(rp.plain, digits=2)}
    show = shows.get(finding.unit, rp.plain)
    return show(finding.comparison.metric(), n=n)


def _test(f: verdicts.Finding) -> str:
    """A test in one item: what was compared, both means, the difference, what the claim predicts of it, what follows, and what would settle it."""
    rival = f" (closest rival: {named(f.rival)})" if f.rival else ""
    mean = rp.pct if f.unit == "points" else rp.plain
    means = f"{mean(f.comparison.mean_a)} against {mean(f.comparison.mean_b)}: "
    compared = f"{'' if f.unit == 'correlation' else means}{difference(f)}"
    margin = _amount(f, f.margin)
    must = {
        "not below": f": the interval may hold 0, and has to stay above −{margin}",
        "equal": f": the whole interval has to lie inside ± {margin}",
    }
    asks = f"{_asks(f)}{must.get(f.predicted, '')}" or f"what matters: {margin}"
    said = f"{f.says}{rival}: {compared}; {asks}."
    settle = f". {_settles(f)}" if f.verdict == CANNOT_TELL else ""
    return f"{html.escape(said)} <em>{f.verdict}</em>{html.escape(settle)}"


def _asks(f: verdicts.Finding) -> str:
    """What a test asks that predicts no difference above 0."""
    margin = _amount(f, f.margin)
    return {
        "not below": f"asked is only that no {margin} or more are lost",
        "equal": f"asked is that the two differ by less than {margin}",
        "below": f"predicted is a difference below 0, of {margin} to matter",
    }.get(f.predicted, "")


def _amount(f: verdicts.Finding, size: float) -> str:
    """A size of the difference, such as its margin, without a sign."""
    unit = {"points": " points", "relative": " %"}.get(f.unit, "")
    return f"{100 * size:.3g}{unit}" if unit else f"{size:.2g}"


def _settles(f: verdicts.Finding) -> str:
    """What would settle a test that cannot tell, in a sentence."""
    what = "task" if f.unit == "correlation" else "item"
    told = remedy(f.comparison, f.margin, f.predicted, what, lambda size: _amount(f, size))
    return f"{told[0].upper()}{told[1:]}."


def listed(items: Iterable[str]) -> str:
    """HTML items as a list; nothing for none."""
    body = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{body}</ul>" if body else ""


def by_size(claim: str) -> dict[str, verdicts.Verdict]:
    """Size -> verdict, of the models of the ladder that were measured; empty for a claim that no test decides."""
    found = {size: verdicts.verdict(claim, model) for model, size in verdicts.LADDER.items()}
    return {size: v for size, v in found.items() if v.findings}


def tests_by_size(claim: str, sizes: Mapping[str, verdicts.Verdict]) -> list[str]:
    """The tests of a claim in words, one each, with the difference and the verdict at every size of :func:`by_size`."""
    said = []
    for i, test in enumerate(verdicts.claims()[claim].get("tests", ())):
        each = "; ".join(
            f"{size} {difference(v.findings[i])}, {v.findings[i].verdict}" for size, v in sizes.items()
        )
        asks = next((f"; {_asks(v.findings[i])}" for v in sizes.values() if _asks(v.findings[i])), "")
        said.append(f"{test['says']}{asks}: {each or 'not yet measured'}")
    return said


def number(value: Any) -> str:
    """A metric as a share with its interval; a text as it is."""
    return rp.pct(value) if isinstance(value, Mapping) and "value" in value else str(value)


def link(text: str, url: str) -> str:
    """The text as HTML, with a link where there is an address."""
    return f'<a href="{html.escape(url)}">{html.escape(text)}</a>' if url else html.escape(text)


def tests_figure(*claims: str) -> rp.Figure:
    """The tests of these claims as paired differences against zero: one colour a model size, the margin as a band.

    Only tests whose differences are in points or shares are drawn; models without a record are left out.
    """
    series: dict[str, dict] = {}
    margins: dict[str, float] = {}
    for (model, size), claim in product(verdicts.LADDER.items(), claims):
        for f in verdicts.verdict(claim, model).findings:
            if f.unit in ("points", "relative"):
                name = f"{claim}: {f.says}"
                series.setdefault(size, {})[name] = f.comparison.metric() | {"unit": f.unit}
                margins[name] = f.margin

    def either(metric: Mapping, n: bool = True) -> str:
        return {"points": rp.points, "relative": rp.relative}[metric["unit"]](metric, n)

    caption = "Paired differences with their intervals"
    units = {name: m["unit"] for cells in series.values() for name, m in cells.items()}
    if {*units.values()} == {"points"}:
        return rp.differences(series, "difference", caption, margins=margins)
    x_title = "difference: in points, in rows marked % in per cent"
    figure = rp.differences(series, x_title, caption, margins=margins, show=either)
    for note, unit in zip(figure.layout["annotations"], units.values(), strict=True):
        note["text"] += " (%)" * (unit == "relative")
    return figure
