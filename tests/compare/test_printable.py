"""Somebody else's text is printed without anything that a terminal obeys or a reader cannot see."""

from tunewise.compare.printable import one_line, visible


def test_terminal_escapes_go_whole_and_line_breaks_stay():
    assert visible("\x1b[31mred\x1b[0m\n\ttext\x07 \x1b]0;title\x07end") == "red\n\ttext end"
    assert visible("pay \u202eevil\u2069") == "pay evil"  # nothing turns the direction of what follows


def test_one_line_keeps_joined_letters_and_is_cut_where_it_is_long():
    assert one_line("a\u00a0b\r\n\u200bc\u2028d\ufeff") == "a b c d"
    assert one_line("क्\u200dष 👩\u200d💻") == "क्\u200dष 👩\u200d💻"
    assert one_line("x" * 50, 10) == "x" * 9 + "…" and one_line(7) == "7"
