"""Tables that a telephone shows as cards: a row a card, its first cell the heading, each other beside the name of its column.

What is a card looks so by ``cards.css`` of ``tunewise.compare``, whose report has such tables too.
"""

import re

from bs4 import BeautifulSoup, Tag

from tunewise.report.tables import with_roles

WIDEST = 59  # letters side by side on a telephone, of 360 CSS pixels without the margins
APART = 7  # letters that a column takes beside its longest word
TABLE = re.compile(
    r'(<div\b[^>]* class="(?:tw-table|pst-scrollable-table-container)"[^>]*>\s*)(<table\b.*?</table>)',
    re.DOTALL,
)


def carded(body: str) -> str:
    """``body`` with what makes cards of the tables that are too wide for a telephone: names of columns at their cells, and roles.

    Without roles a table that is laid out otherwise is none to a screen reader. Others, and those without heads, stay as they are.
    """
    return TABLE.sub(lambda found: found[1] + _carded(found[2]), body)


def _carded(source: str) -> str:
    table = BeautifulSoup(with_roles(source), "html.parser").table
    rows = [row(["th", "td"]) for row in table("tr")]
    columns = list(zip(*rows, strict=False))
    narrow = sum(max(map(_longest, column)) + APART for column in columns) < WIDEST
    if narrow or not table.thead or any(len(row) > len(columns) for row in rows):  # one cell across several
        return source
    table["class"] = [*table.get("class", []), "tw-cards"]
    for i, (head, *cells) in enumerate(columns):
        for cell in cells:
            said = cell.get_text().strip()
            if not said:
                cell.clear()
            elif i or not re.search(
                "[A-Za-z]", said
            ):  # a bare number needs the name of its column in the heading too
                cell["data-label"] = head.get_text().strip()
    return str(table)


def _longest(cell: Tag) -> int:
    """Letters of the longest piece of a cell that no line breaks."""
    kept = "nowrap" in cell.get("style", "")
    return max(map(len, [cell.get_text()] if kept else re.split(r"[ \n]+|(?<=-)", cell.get_text())))
