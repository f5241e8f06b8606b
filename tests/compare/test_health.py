"""What is planted is found, with its rows, and what is sound is not reported."""

from __future__ import annotations

import random
import re

import pytest
from sklearn.metrics import precision_score, recall_score

from tunewise.compare import health
from tunewise.compare.base import Item
from tunewise.compare.intake import prepare
from tunewise.compare.label_errors import label_errors
from tunewise.compare.personal_data import kinds
from tunewise.compare.text_encoding import DataError

FILL = "please help me since yesterday again order customer want need today still quickly about thanks our the with from this".split()  # noqa: SIM905
OWN = {
    "billing": ("invoice", "refund", "charge", "card", "payment", "bill"),
    "delivery": ("parcel", "late", "courier", "address", "tracking", "box"),
    "account": ("password", "login", "email", "locked", "reset", "user"),
}


def tickets(n=240, seed=0, labels=tuple(OWN)):
    rng = random.Random(seed)
    return [
        {"text": " ".join([*rng.sample(OWN[label], 2), *rng.sample(FILL, 8)]), "label": label}
        for label in (labels[i % len(labels)] for i in range(n))
    ]


def found(records, kind, **asked):
    return [f for f in prepare(records, **asked).findings if f.kind == kind]


def test_sound_rows_give_no_serious_finding():
    assert not [f for f in prepare(tickets()).findings if f.serious]


def test_repeats_are_used_once_and_contradictions_not_at_all():
    records = tickets()
    records += [
        {**records[0], "text": records[0]["text"].upper().replace(" ", "  ")},
        {"text": records[1]["text"], "label": "billing"},
    ]
    mine = prepare(records)
    (again,) = [f for f in mine.findings if f.kind == "duplicate"]
    (clash,) = [f for f in mine.findings if f.kind == "two_labels"]
    assert again.rows == (240,) and not again.serious
    assert clash.rows == (1, 241) and clash.serious and "'delivery'" in clash.said
    texts = [item.text for part in (mine.train, mine.valid, mine.test) for item in part]
    assert records[1]["text"] not in texts and texts.count(records[0]["text"]) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("great 👍", "great 👎"),
        ("👍", "👎"),
        ("I use C++", "I use C#"),
        ("-5 degrees", "5 degrees"),
        ("दिन अच्छा है", "दीन अच्छा है"),
    ],
)
def test_signs_and_vowel_marks_tell_texts_apart(one, other):
    records = tickets() + [{"text": one, "label": "billing"}, {"text": other, "label": "account"}]
    mine = prepare(records)
    assert not [f for f in mine.findings if f.kind in ("duplicate", "two_labels")]
    assert {one, other} <= {i.text for part in (mine.train, mine.valid, mine.test) for i in part}


def test_texts_that_all_have_two_labels_are_refused():
    records = [r | {"label": label} for r in tickets(30) for label in OWN]
    with pytest.raises(DataError, match="every text stands there with two labels: decide on one a text"):
        prepare(records)


def test_two_answers_to_one_question_are_no_fault():
    records = [
        {"prompt": r["text"], "completion": f"{r['text'][::-1]} {i}"} for i, r in enumerate(tickets(60))
    ]
    records.append({"prompt": records[0]["prompt"], "completion": "Something else entirely."})
    (finding,) = found(records, "two_targets")
    assert finding.rows == (0, 60) and not finding.serious


def mislabelled(n):
    """300 items, ``n`` of them with a wrong label, and the rows of these."""
    records = tickets(300)
    wrong = set(random.Random(1).sample(range(300), n))
    for i in wrong:
        records[i]["label"] = next(label for label in OWN if label != records[i]["label"])
    return [Item(str(i), i, r["text"], r["label"], str(i)) for i, r in enumerate(records)], wrong


def test_wrong_labels_are_found_by_their_rows():
    """Against what was planted: most of it is found, and most of what is found was planted."""
    items, wrong = mislabelled(15)
    (finding,) = label_errors("tickets", items)
    truth, said = ([i in rows for i in range(300)] for rows in (wrong, finding.rows))
    assert recall_score(truth, said) > 0.8 and precision_score(truth, said) > 0.8
    assert f"row {finding.rows[0]} " in finding.said


def test_where_many_labels_are_wrong_the_estimate_says_how_many():
    """Flags leave most of them out; the estimate comes near what was planted, since words tell these labels."""
    items, _ = mislabelled(75)
    (finding,) = label_errors("tickets", items)
    about = int(re.search(r"All in all about (\d+)% of the labels look wrong", finding.said)[1])
    assert 18 <= about <= 32 and len(finding.rows) < 40
    assert "most wrong labels have none" in finding.done


def test_labels_that_nothing_tells_are_not_called_wrong():
    rng = random.Random(0)
    records = tickets(200)
    for record in records:
        record["label"] = rng.choice(("a", "b"))
    (finding,) = found(records, "label_error")
    assert not finding.rows and "hardly tell" in finding.said


def test_imbalance_and_spelling_of_labels():
    records = tickets(250, labels=("billing", "delivery")) + tickets(12, seed=2, labels=("account",))
    (finding,) = found(records, "imbalance")
    assert "'account' 12" in finding.said
    for record in records[:40:2]:
        record["label"] = "Billing"
    (finding,) = found(records, "label_spelling")
    assert finding.serious and "'billing' and 'Billing'" in finding.said


@pytest.mark.parametrize(
    ("kind", "text", "serious"),
    [
        ("control_token", "then <|im_end|> and <|im_start|>system", False),
        ("control_character", "a \x1b[2J screen", False),
        ("control_character", "\x1b[31mred\x1b[0m\x0bline", False),
        ("html", 'see <a href="x">this</a>', False),
        ("formula", "=SUM(A1:A9)", False),
        ("odd", "?!", False),
        ("empty", "", False),
        ("personal", "write to jo.doe@example.com", False),
        ("personal", "IBAN DE89 3704 0044 0532 0130 00", True),
    ],
)
def test_one_odd_cell_is_found_by_its_row(kind, text, serious):
    records = tickets()
    records[7]["text"] = text
    (finding,) = found(records, kind)
    assert finding.rows == (7,) and finding.serious is serious and "row 7" in finding.said


def test_long_texts_are_said_beforehand():
    records = tickets()
    records[3]["text"] = " ".join(random.Random(0).choices(FILL, k=20_000))
    (finding,) = found(records, "too_long")
    assert finding.rows == (3,)
    assert found(records, "cut_by_embedding")[0].rows == (3,)
    many = [
        {**r, "text": " ".join([r["text"], *random.Random(i).choices(FILL, k=500)])}
        for i, r in enumerate(tickets())
    ]
    assert found(many, "too_long")[0].serious and not finding.serious
    assert found(many[:30] + tickets()[30:], "too_long")[0].rows == tuple(range(30))


def test_answers_that_no_model_here_can_write_are_a_serious_finding():
    records = [{"prompt": r["text"], "completion": f"{r['text']} {i}"} for i, r in enumerate(tickets(60))]
    assert not found(records, "long_answer")
    records[3]["completion"] = " ".join(random.Random(0).choices(FILL, k=2000))
    (finding,) = found(records, "long_answer")
    assert finding.serious and finding.rows == (3,) and "ask an endpoint" in finding.done


def test_control_characters_are_cut_and_half_characters_replaced():
    records = tickets()
    records[3] = {"text": "\x1b[31mred\x1b[0m\x0bline \u202eand\x00 \ud83d rest", "label": "bil\x07ling"}
    mine = prepare(records)
    (item,) = (i for part in (mine.train, mine.valid, mine.test) for i in part if i.row == 3)
    assert item.text == "red line and ? rest" and item.target == "billing" and len(mine.labels) == 3


@pytest.mark.parametrize("text", ["A plain sentence of a usual kind, twice as long as needed.", "これは日本語の文章です。注文はどこですか", "Верните деньги пожалуйста"])  # fmt: skip
def test_the_estimate_of_tokens_is_of_the_right_size(text):
    """Between one token a word and one a byte."""
    assert len(text.split()) <= health.estimated_tokens(text) <= len(text.encode())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("mail a.b+c@mail.example.co.uk now", "an e-mail address"),
        ("call +49 30 1234567", "a telephone number"),
        ("call 0171 2345678 now", "a telephone number"),
        ("call (212) 555-0198", "a telephone number"),
        ("call 212-555-0198", "a telephone number"),
        ("GB82 WEST 1234 5698 7654 32 please", "a bank account (IBAN)"),
        ("DE89370400440532013000", "a bank account (IBAN)"),
        ("4111 1111 1111 1111", "a payment card"),
        ("card 378282246310005.", "a payment card"),
        ("from 192.168.10.1", "an IP address"),
        ("from 2001:db8:0:0:0:0:0:1", "an IP address"),
    ],
)
def test_personal_data_is_recognised(text, kind):
    assert kinds(text) == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "order 4111 1111 1111 1112",  # the check digit is wrong
        "DE88370400440532013000",  # likewise
        "version 1.2.3 of 2024-01-31, at 12:30:45",
        "300.1.2.3",
        "order 2025-000123456, 15 pieces at 1,299.00",
        "@everyone, 50% off until 31.12.2025",
        "ticket 0000000000000000",
        "",
    ],
)
def test_ordinary_numbers_are_no_personal_data(text):
    assert kinds(text) == []


def test_rows_are_listed_as_a_sentence():
    assert health.listed([3]) == "row 3"
    assert health.listed([9, 2, 5]) == "rows 2, 5 and 9"
    assert health.listed(range(1, 2001)) == "rows 1, 2, 3, 4, 5 and 1,995 more"
