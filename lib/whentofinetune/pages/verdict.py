"""The verdict box: what the article claims, what we measured, whether the two agree, and why.

The claims stand in ``data/claims.yml``, their sources in ``references.bib``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import cache

from tunewise.report.figures import Html
from tunewise.report.numbers import pct
from whentofinetune import book_files

AGREES = {
    "yes": ("agrees", "#009E73"),
    "partly": ("agrees in part", "#E69F00"),
    "no": ("does not agree", "#D55E00"),
    "open": ("not yet measured", "#7F7F7F"),
}
CERTAINTY = {
    "read": "",
    "abstract": "read in the abstract",
    "second-hand": "second-hand, not verified",
    "inference": "our own inference",
}


@cache
def claims() -> dict[str, dict]:
    """All claims by their id, as in ``data/claims.yml``."""
    import yaml

    entries = yaml.safe_load((book_files.data_dir() / "claims.yml").read_text(encoding="utf-8"))
    return {entry["id"]: entry for entry in entries}


@cache
def sources() -> dict[str, dict]:
    """The entries of ``references.bib`` by key: ``{"author", "title", "year", "url"}``. The file keeps one field a line."""
    inside, checkout = (
        book_files.data_dir() / "references.bib",
        book_files.data_dir().parent / "references.bib",
    )
    text = (inside if inside.exists() else checkout).read_text(encoding="utf-8")
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
    who = (
        names[0]
        if len(names) == 1
        else f"{names[0]} and {names[1]}"
        if len(names) == 2 and names[1] != "others"
        else f"{names[0]} et al."
    )
    return f"{who} {entry.get('year', '')}".strip(), entry.get("url", "")


def verdict(claim_id: str, ours, agrees: str, why: str) -> Html:
    """The box for one claim.

    ours: what we measured: a metric, a dictionary of name -> metric or text, a text, or None where nothing is measured.
    agrees: ``"yes"``, ``"partly"``, ``"no"``, or ``"open"`` for what is not yet measured. why: a sentence or two.
    Raises ValueError for an unknown claim or answer, and for a result where none is claimed or the other way round.
    """
    if claim_id not in claims():
        raise ValueError(f"there is no claim {claim_id!r}; data/claims.yml has C1 to C{len(claims())}")
    if agrees not in AGREES:
        raise ValueError(f"agrees is one of {', '.join(AGREES)}, not {agrees!r}")
    if (ours is None) != (agrees == "open"):
        raise ValueError(
            "agrees='open' goes with ours=None: a verdict needs a measurement, and a measurement a verdict"
        )
    claim = claims()[claim_id]
    word, colour = AGREES[agrees]
    figure = claim.get("article_figure") or "no figure given"
    evidence = claim.get("evidence") or []
    said = [(e["text"], *cite(e["source"]), CERTAINTY[e["sure"]]) for e in evidence]
    rows = [
        ("The article", html.escape(figure)),
        ("We measured", _ours(ours)),
        ("Verdict", f"<strong>{word}</strong>"),
        ("Why", html.escape(why)),
    ]
    if said:
        items = "".join(
            f"<li>{html.escape(t)} ({_link(c, u)}{'; ' + s if s else ''})</li>" for t, c, u, s in said
        )
        rows.append(("Others found", f"<ul>{items}</ul>"))
    body = "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in rows)
    source = (
        f'<div class="tw-verdict" role="note" aria-label="Verdict on claim {claim_id}" '
        f'style="--tw-mark:{colour};border-left:.4rem solid {colour};padding:.8rem 1.1rem">'
        f'<p class="tw-verdict-head">{claim_id}. {html.escape(claim["claim"])} <small>(article, section {claim["section"]})</small></p>'
        f"<dl>{body}</dl></div>"
    )
    text = f"{claim_id}. {claim['claim']}\n  article: {figure}\n  we measured: {_plain(ours)}\n  verdict: {word}\n  why: {why}"
    return Html(source, text)


def _show(value) -> str:
    return pct(value) if isinstance(value, Mapping) and "value" in value else str(value)


def _plain(ours) -> str:
    if ours is None:
        return "not yet measured"
    if isinstance(ours, Mapping) and "value" not in ours:
        return "; ".join(f"{k}: {_show(v)}" for k, v in ours.items())
    return _show(ours)


def _ours(ours) -> str:
    if isinstance(ours, Mapping) and "value" not in ours:
        return (
            "<ul>"
            + "".join(f"<li>{html.escape(str(k))}: {html.escape(_show(v))}</li>" for k, v in ours.items())
            + "</ul>"
        )
    return html.escape(_plain(ours))


def _link(text: str, url: str) -> str:
    return f'<a href="{html.escape(url)}">{html.escape(text)}</a>' if url else html.escape(text)
