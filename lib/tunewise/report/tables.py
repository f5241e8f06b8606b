"""Tables: from rows that are dictionaries, or from the conditions of a record; a metric is printed with its interval and n."""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunewise.comparison import Rows, gap, mean
from tunewise.record import Record, Row
from tunewise.report.numbers import pct

Show = Callable[..., str]
Column = str | Callable[[Rows], Any]
Conditions = Mapping[str, Rows]  # name -> its rows, one a seed


class Html:
    """A piece of HTML that a notebook and the book show, with ``text`` for where there is no HTML."""

    def __init__(self, source: str, text: str) -> None:
        self.html, self.text = unbroken(source), text

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


# Code as it is, a tag, a number with its %, an interval in brackets.
_PIECES = (
    r"<(pre|code|script|style|textarea)\b.*?</\1>|<[^>]*>|\d %|\[[−+-]?\d[^\s\[\]]*, [−+-]?\d[^\s\[\]]*\]"
)


def unbroken(source: str) -> str:
    """HTML in which no line breaks between a number and its %, or inside an interval: ``70 % [65, 73]`` may break before the bracket only."""

    def kept(piece: re.Match[str]) -> str:
        return piece[0] if piece[0].startswith("<") else piece[0].replace(" ", "\u00a0")

    return re.sub(_PIECES, kept, source, flags=re.DOTALL)


_ROLES = {"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tr": "row", "td": "cell"}
_ROLES |= {'th scope="row"': "rowheader", "th": "columnheader"}


def with_roles(source: str) -> str:
    """HTML whose tables stay tables to a screen reader when a style sheet makes cards of their rows."""
    return re.sub(rf"<({'|'.join(_ROLES)})(?=[\s>])", lambda tag: f'{tag[0]} role="{_ROLES[tag[1]]}"', source)


def table(
    rows: Sequence[Mapping[str, Any]],
    caption: str,
    columns: Mapping[str, str] | None = None,
    *,
    show: Mapping[str, Show] | None = None,
) -> Html:
    """A table from rows that are dictionaries. columns: key -> heading, in order; else the keys of the first row.

    Metrics are printed with interval and n, by ``pct`` unless ``show`` names another function for their key (``points``,
    ``plain``). An n that all of a column share stands in its heading. Numbers are right-aligned; the first column names its row.
    Raises ValueError without rows or caption.
    """
    if not rows or not caption.strip():
        raise ValueError("a table needs at least one row and a caption")
    heads = dict(columns) if columns else {k: str(k) for k in rows[0]}
    body = [[row.get(k) for k in heads] for row in rows]
    return table_from_lists(list(heads.values()), body, caption, [(show or {}).get(k) for k in heads])


def conditions(record: Record, named: Mapping[str, Mapping[str, Any]], **shared: Any) -> dict[str, list[Row]]:
    """Name -> rows of each condition that the record has. named: name -> the settings that pick it, beside those that all share.

    A name with a placeholder, such as ``{k} examples``, stands for a condition each value.
    """
    found: dict[str, list[Row]] = {}
    for name, settings in named.items():
        for row in record.where(**{**shared, **settings}):
            found.setdefault(name.format(**row.raw), []).append(row)
    return found


def conditions_table(
    found: Conditions,
    caption: str,
    columns: Mapping[str, Column | tuple[Column, Show]],
    *,
    first: str = "method",
) -> Html:
    """A row a condition. columns: heading -> a metric, or a function of the rows; or such a one and how it is printed.

    A metric that a condition does not have is a dash.
    """
    pairs = {head: c if isinstance(c, tuple) else (c, pct) for head, c in columns.items()}

    def cell(column: Column, rows: Rows) -> Any:
        if callable(column):
            return column(rows)
        return mean(rows, column) if column in rows[0].metrics else "-"

    body = [{first: name} | {h: cell(c, rows) for h, (c, _) in pairs.items()} for name, rows in found.items()]
    return table(body, caption, show={head: show for head, (_, show) in pairs.items()})


def table_from_lists(
    header: Sequence[str], rows: Sequence[Sequence[Any]], caption: str, show: Sequence[Show | None] = ()
) -> Html:
    """As :func:`table`, from a list of headings and rows of cells."""
    header, texts = list(header), [["" for _ in row] for row in rows]
    for i, say in enumerate([*show, *[None] * (len(header) - len(show))]):
        counts = {row[i]["n"] for row in rows if isinstance(row[i], Mapping)}
        shared = len(counts) == 1 and len(rows) > 1
        if shared:
            header[i] += f" (n\u00a0=\u00a0{counts.pop():,})"
        for text, row in zip(texts, rows, strict=True):
            text[i] = _cell(row[i], say, n=not shared)
    kinds = (int, float, Mapping, type(None))
    numeric = [i > 0 and all(isinstance(row[i], kinds) for row in rows) for i in range(len(header))]
    heads = [
        f'<th scope="col"{_num(n)}>{html.escape(h)}</th>' if h else "<td></td>"
        for h, n in zip(header, numeric, strict=True)
    ]
    out = [
        f'<div class="tw-table" role="group" tabindex="0" aria-label="{html.escape(caption)}" style="overflow-x:auto">',
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{''.join(heads)}</tr></thead><tbody>",
    ]
    for row in texts:
        cells = [f'<th scope="row"{_num(False, row[0])}>{html.escape(row[0])}</th>']
        cells += [f"<td{_num(numeric[i], c)}>{html.escape(c)}</td>" for i, c in enumerate(row) if i]
        out.append(f"<tr>{''.join(cells)}</tr>")
    out.append("</tbody></table></div>")
    grid = [header, *texts]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in grid]
    return Html("".join(out), "\n".join([caption, *lines]))


def _num(numeric: bool, text: str = "") -> str:
    """The attributes of a cell: whether it is of a column of numbers, and whether it is a date or a size that keeps to a line."""
    look = "text-align:right;" * numeric + "white-space:nowrap" * bool(
        re.fullmatch(r"\d{4}-\d\d-\d\d|\d+ GB", text)
    )
    return ' class="tw-num"' * numeric + (f' style="{look}"' if look else "")


def _cell(value: Any, say: Show | None = None, n: bool = True) -> str:
    if value is None:
        return "not yet measured"
    if isinstance(value, Mapping) and "value" in value:
        return (say or pct)(value, n=n)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def means(found: Conditions, metric: str = "accuracy") -> dict[str, Any]:
    """Name -> the mean of each condition over its seeds."""
    return {name: mean(rows, metric) for name, rows in found.items()}


def gaps(found: Conditions, rival: Rows, metric: str = "accuracy", *, less: bool = False) -> dict[str, Any]:
    """Name -> each condition minus the rival, paired by item; the rival minus each with ``less``."""
    return {n: gap(*((rival, rows) if less else (rows, rival)), metric) for n, rows in found.items()}
