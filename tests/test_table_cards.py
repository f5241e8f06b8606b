"""Wide tables on a telephone: each row a card in which every value stands beside the name of its column."""

import re

import pytest
from bs4 import BeautifulSoup
from sphinx_site import CARDS, numbered
from table_cards import carded

from tunewise.report.tables import table_from_lists

HEADS = ["labels", "method", "accuracy at 0.5B", "accuracy at 1.5B", "what it is good for"]
ROWS = [
    ["30", "LoRA", "68 % [62, 74]", "71 % [66, 76]", "steady answers"],
    ["300", "full", "77 % [73, 81]", "", "all"],
]
WIDE = carded(numbered(table_from_lists(HEADS, ROWS, "Methods").html))


def test_a_cell_names_its_column_and_an_empty_one_is_empty():
    table = BeautifulSoup(WIDE, "html.parser").table
    for row, said in zip(table.select("tbody tr"), ROWS, strict=True):
        cells = row(["th", "td"])
        assert [c.get("data-label") for c in cells] == [
            h if s else None for h, s in zip(HEADS, said, strict=True)
        ]
        assert [bool(c.contents) for c in cells] == [bool(s) for s in said]
    assert [c["role"] for c in table.tr(["th"])] == ["columnheader"] * 5
    named = carded(table_from_lists(HEADS, [["a method", *ROWS[0][1:]]], "Methods").html)
    assert "data-label" not in BeautifulSoup(named, "html.parser").tbody.th.attrs, (
        "words need no name of a column"
    )


@pytest.mark.parametrize(
    "table",
    [
        table_from_lists(["size", "model", "seeds"], [["135M", "smollm2", "5"]], "Models").html,
        WIDE.replace('class="tw-table"', 'class="tw-table tw-board"').replace(" tw-cards", ""),
        '<div class="pst-scrollable-table-container"><table><tbody><tr><td>no heads</td></tr></tbody></table></div>',
    ],
)
def test_what_has_room_or_has_no_heads_stays_a_table(table):
    assert carded(table) == table


def test_on_a_telephone_nothing_is_out_of_sight_and_a_screen_reader_has_a_table(browser):
    page = browser.new_page(viewport={"width": 390, "height": 800})
    try:
        page.set_content(f"<style>{CARDS.read_text(encoding='utf-8')}</style>{WIDE}")
        assert page.locator(".tw-table").evaluate("(t) => t.scrollWidth <= t.clientWidth")
        cell = page.locator("td[data-label='accuracy at 0.5B']").first
        assert "accuracy at 0.5B" in cell.evaluate("(c) => getComputedStyle(c, '::before').content")
        assert cell.evaluate("(c) => c.getClientRects().length") == 1
        assert page.locator("td:empty").bounding_box() is None
        read = page.locator("table").aria_snapshot()
        assert re.findall(r'columnheader "([^"]+)"', read) == HEADS
        assert re.findall(r'rowheader "[^"]*(30\d*)"', read) == ["30", "300"] and 'cell "LoRA"' in read
    finally:
        page.close()
