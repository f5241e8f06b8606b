"""``tunewise check`` as a user sees it: 80 columns, no escapes, an exit status that a script can use."""

from __future__ import annotations

import csv
import json

import pytest
from test_health import tickets

from tunewise.cli import main


@pytest.fixture
def file(tmp_path):
    def write(records, name="tickets.csv"):
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, records[0].keys())
            writer.writeheader()
            writer.writerows(records)
        return str(tmp_path / name)

    return write


def test_a_sound_file(file, capsys):
    assert main(["check", file(tickets())]) == 0
    out = capsys.readouterr().out
    assert "240 rows to compare on" in out and "The text is 'text' (by its name)." in out
    assert "billing" in out and "Look at these first" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_serious_findings_come_first_without_escapes(file, capsys):
    records = tickets()
    records[4]["label"] = records[5]["label"] = "\x1b[2J\x1b]0;owned\x07bill" + "ing " * 40
    records += [{**r, "label": "other"} for r in records[:12]]
    records[50]["text"] = "<p>a word or two</p>"
    assert main(["check", file(records), "--drop-rare"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out
    assert 0 < out.index("Look at these first") < out.index("Also found")
    assert max(map(len, out.splitlines())) <= 80


def test_json_holds_every_row(file, capsys):
    records = tickets() + tickets()[:20]
    assert main(["check", file(records), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    (again,) = [f for f in said["findings"] if f["kind"] == "duplicate"]
    assert again["rows"] == list(range(242, 262))
    assert said["columns"]["target"] == "label"
    assert sum(map(sum, said["labels"].values())) == 240 == sum(said["rows"].values())


def test_what_cannot_be_used_is_one_line_and_status_2(file, capsys):
    assert main(["check", "no\x1b[2Jwhere.csv"]) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("tunewise check: there is no file nowhere.csv")
    assert main(["check", file(tickets()), "--label", "queue"]) == 2
    assert "--label queue: there is no such column" in capsys.readouterr().err


def test_a_label_of_which_a_leak_leaves_one_row(file, capsys):
    records = [{**r, "split": ("train", "valid", "test")[i % 3]} for i, r in enumerate(tickets())]
    text = "the server in room seven is down again since monday morning ref"
    records += [{"text": f"{text}{k}", "label": "outage", "split": "train"} for k in range(11)]
    records += [{"text": f"{text}11", "label": "outage", "split": "test"}]
    assert main(["check", file(records)]) in (0, 1)
    assert "outage" in capsys.readouterr().out


def test_options_reach_the_check(file, capsys):
    records = [{**r, "queue": "ab"[i % 2], "who": f"c{i // 4}"} for i, r in enumerate(tickets())]
    asked = ["--label", "queue", "--group", "who", "--rows", "100", "--seed", "3", "--json"]
    main(["check", file(records), *asked])
    said = json.loads(capsys.readouterr().out)
    assert set(said["labels"]) == {"a", "b"} and said["columns"]["group"] == "who"
    assert sum(said["rows"].values()) == 100


def test_one_finding_names_all_labels_that_differ_in_spelling_only(file, capsys):
    spelled = {
        "billing": ("billing", "billing", "Billing"),
        "delivery": ("home delivery", "Home-Delivery", "homedelivery"),
        "account": ("1.0", "10", "10"),
    }
    records = [{**r, "label": spelled[r["label"]][i // 3 % 3]} for i, r in enumerate(tickets())]
    assert main(["check", file(records)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("differ in case, spaces or punctuation only") == 1
    assert "'billing' and 'Billing'" in said and "'home delivery'" in said and "'homedelivery'" in said
    assert "'1.0' and" not in said and "With --json all row numbers" in said


def test_labels_too_rare_do_not_hide_the_rest_of_the_findings(file, capsys):
    records = tickets()
    records[1]["text"] = "<p>a word or two</p>"
    records += [
        {**r, "label": "Billing", "text": f"{r['text']} again please {i}"}
        for i, r in enumerate(tickets(9, seed=1))
    ]
    assert main(["check", file(records)]) == 2
    said = capsys.readouterr()
    assert "'billing' and 'Billing'; write each the same way first" in said.err
    assert "With --drop-rare, this would be left" in said.out and "HTML in 1 row" in said.out


def test_few_validation_rows_are_said_with_what_to_do(file, capsys):
    assert main(["check", file(tickets(60))]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "for validation, by which settings are chosen: fewer than 20" in said
        and "label about 100 rows" in said
    )
