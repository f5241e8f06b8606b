"""The board of claims: all verdicts at a glance, a mark for each model size, and how several tests become one verdict."""

import html

from tunewise import report as rp
from tunewise.comparison import AGREES, CANNOT_TELL, DISAGREES, NO_DIFFERENCE, TOO_SMALL, combine
from whentofinetune import verdicts
from whentofinetune.pages.claims_measured import MEASURED
from whentofinetune.pages.verdict import by_size, link, listed, number, tests_by_size


def summary() -> rp.Html:
    """How many claims have which verdict, in a sentence."""
    said = ", ".join(f"{n} “{word}”" for word, n in verdicts.counts().items())
    n = len(verdicts.claims())
    models = ", ".join(f"{size} is {verdicts.title(model)}" for model, size in verdicts.LADDER.items())
    return rp.prose(f"Of the article's {n} claims, by the largest model measured: {said}. Sizes: {models}.")


def links(*claims: str) -> rp.Html:
    """The verdicts on these claims in a line each, with a link to the chapter that gives the reasons."""
    found = [(c, verdicts.claims()[c], verdicts.headline(c)) for c in claims]
    size = {c: f" ({verdicts.title(v.model)})" if v.findings else "" for c, _, v in found}
    items = [
        f"{c}. {html.escape(e['claim'])} {link(v.word, e['chapter'] + '.html#' + c)}{size[c]}"
        for c, e, v in found
    ]
    return rp.Html(listed(items), "\n".join(f"{c}. {e['claim']} {v.word}{size[c]}" for c, e, v in found))


def board(*claims: str, page: str = "") -> rp.Html:
    """Claims at a glance, all if none is named: a row each, a mark for each model size, which leads to its tests (:func:`tested`) on ``page``.

    A claim that is not about an effect has one mark with its word, across all sizes.
    """
    found, sizes = verdicts.board(*claims), list(verdicts.LADDER.values())
    rows = []
    for row in found:
        if row["kind"] == "effect":
            cells = "".join(f"<td>{_mark(row['claim'], word, page)}</td>" for word in row["words"].values())
        else:  # a kind belongs to no size: its mark with its word, across all of them
            cells = f'<td colspan="{len(sizes)}">{_mark(row["claim"], row["kind"], page, across=True)}</td>'
        rows.append(f'<tr><th scope="row"><b>{row["claim"]}</b> {html.escape(row["says"])}</th>{cells}</tr>')
    heads = "".join(f'<th scope="col">{size}</th>' for size in sizes)
    used = {word for row in found for word in row["words"].values()}
    legend = "".join(f"<li>{_sign(word)} {word}</li>" for word in verdicts.MARKS if word in used)
    source = (
        f'<ul class="tw-legend">{legend}</ul><div class="tw-table tw-board"><table><caption>The claims by model size</caption>'
        f'<thead><tr><th scope="col">claim</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )
    return rp.Html(source, "\n".join(f"{r['claim']}. {r['says']} | {r['headline']}" for r in found))


def _sign(word: str) -> str:
    sign, colour = verdicts.MARKS[word]
    return f'<span class="tw-sign" style="--tw-mark:{colour}" aria-hidden="true">{sign}</span>'


def _mark(claim: str, word: str, page: str, across: bool = False) -> str:
    said = f" {word}" if across else f'<span class="tw-hidden">{word}</span>'
    return f'<a href="{page}#tests-{claim}" title="{word}">{_sign(word)}{said}</a>'


def combined() -> rp.Html:
    """What a claim of two tests is called, as :func:`tunewise.comparison.combine` decides: one row for each kind of pair."""
    against = "the other does not agree, is too small to matter, or makes no difference that matters"
    pairs = {
        "both agree": (AGREES, AGREES),
        f"one agrees, {against}": (AGREES, DISAGREES),
        "one agrees, one cannot tell": (AGREES, CANNOT_TELL),
        "one does not agree, one cannot tell": (DISAGREES, CANNOT_TELL),
        "both are too small to matter": (TOO_SMALL, TOO_SMALL),
        "neither agrees, and they differ": (TOO_SMALL, NO_DIFFERENCE),
    }
    rows = [[said, combine(pair)] for said, pair in pairs.items()]
    return rp.table_from_lists(
        ["of two tests", "the claim"], rows, "How two tests of one claim become one verdict"
    )


def tested() -> rp.Html:
    """Every claim with its tests or what was measured: the article's figure, each number, and a link to the chapter with the full verdict box."""
    items, lines = [], []
    for row in verdicts.board():
        entry, claim = verdicts.claims()[row["claim"]], row["claim"]
        to = f"{entry['chapter']}.html#{claim}" if "chapter" in entry else ""
        size = f" ({verdicts.LADDER[row['model']]})" if row["findings"] else ""
        said = [f"<b>{claim}. {html.escape(row['says'])}</b> {link(row['headline'], to)}{size}"]
        if figure := entry.get("article_figure"):
            said.append(f"<small>The article: {html.escape(figure)}</small>")
        said += [html.escape(test) for test in tests_by_size(claim, by_size(claim))]
        if claim in MEASURED:
            said += [html.escape(f"{name}: {number(found)}") for name, found in MEASURED[claim]().items()]
        colour = verdicts.MARKS[row["headline"]][1]
        items.append(f'<li id="tests-{claim}" style="--tw-mark:{colour}">{"<br>".join(said)}</li>')
        lines += [f"{claim}. {row['says']} | {row['headline']}"]
    return rp.Html(f'<ul class="tw-claims">{"".join(items)}</ul>', "\n".join(lines))
