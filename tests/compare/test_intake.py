"""A file is read as its user means it, or refused in one sentence that says where and what to do."""

from __future__ import annotations

import json
import os
import random
import re
import zipfile

import numpy as np
import openpyxl
import pandas
import pytest

from tunewise.compare.intake import prepare
from tunewise.compare.sampling import EVERY_TARGET, RawRow, Sample
from tunewise.compare.splits import NAMES
from tunewise.compare.table_files import open_table, text_of
from tunewise.compare.text_encoding import DataError, encoding_of

WORDS = [
    a + b for a in ("lo", "mi", "ra", "te", "su", "ka", "pe") for b in ("ban", "der", "fil", "gat", "hun")
]
OWN = {"pay": "invoice", "send": "parcel", "open": "login"}


def rows(n=60, labels=("pay", "send"), seed=0):
    """(text, label): words by chance, and one that tells the label."""
    rng = random.Random(seed)
    return [
        (" ".join([*rng.choices(WORDS, k=8), OWN[labels[i % len(labels)]]]), labels[i % len(labels)])
        for i in range(n)
    ]


def csv_of(data, header="text,label", sep=","):
    return "\n".join([header, *(f'"{t}"{sep}{y}' for t, y in data)])


def items(data):
    return [item for name in NAMES for item in getattr(data, name)]


def pairs(data):
    return sorted((item.text, item.target) for item in items(data))


def write(folder, name, content, encoding="utf-8"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def test_every_format_gives_the_same_rows(tmp_path):
    data = rows()
    frame = pandas.DataFrame(data, columns=["text", "label"])
    records = [{"text": t, "label": y} for t, y in data]
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    sources = {
        "csv": write(tmp_path, "a.csv", csv_of(data)),
        "semicolons": write(tmp_path, "s.csv", "\ufeff" + csv_of(data, "text;label", ";")),
        "tsv": write(tmp_path, "a.tsv", csv_of(data, "text\tlabel", "\t")),
        "jsonl": write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, records))),
        "ndjson": write(tmp_path, "a.ndjson", "\n\n".join(map(json.dumps, records))),
        "json": write(tmp_path, "a.json", json.dumps(records)),
        "json in an object": write(tmp_path, "b.json", json.dumps({"version": 1, "data": records})),
        "parquet": tmp_path / "a.parquet",
        "excel": tmp_path / "a.xlsx",
        "excel under another name": write(tmp_path, "x.csv", (tmp_path / "a.xlsx").read_bytes()),
        "utf-16": write(tmp_path, "w.csv", csv_of(data), "utf-16"),
        "utf-16 without a mark": write(tmp_path, "v.csv", csv_of(data), "utf-16-le"),
        "frame": frame,
        "records": records,
    }
    for source in sources.values():
        mine = prepare(source)
        assert pairs(mine) == sorted(data)
        assert mine.labels == ("pay", "send") and mine.kind == "classification"


def test_rows_are_counted_as_an_editor_does(tmp_path):
    data = rows(40)
    lines = [f'"{t}\nand a second line",{y}' for t, y in data]
    path = write(tmp_path, "q.csv", "\n".join(["text,label", "", *lines]))
    assert sorted(item.row for item in items(prepare(path))) == list(range(3, 83, 2))
    sheet = pandas.DataFrame(data, columns=["text", "label"])
    sheet.to_excel(tmp_path / "a.xlsx", index=False)
    assert sorted(item.row for item in items(prepare(tmp_path / "a.xlsx"))) == list(range(2, 42))


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "\ufeffSEP=;\r"])
def test_a_first_line_that_tells_excel_the_delimiter_is_no_row(tmp_path, line):
    """The commas in the texts outnumber the semicolons."""
    data = [(f"{t}, well, well", y) for t, y in rows(40)]
    path = write(tmp_path, "a.csv", "\n".join([line, "text;label", *(f"{t};{y}" for t, y in data)]))
    mine = prepare(path)
    assert pairs(mine) == sorted(data) and min(item.row for item in items(mine)) == 3
    assert "Columns are parted by ';', as the first line says." in mine.columns.guessed


@pytest.mark.parametrize("size", [b"", b'<dimension ref="A1"/>'])
def test_an_excel_sheet_is_read_whole_whatever_size_it_says_it_has(tmp_path, size):
    """Programs that write row by row leave the size out, or do not know it yet."""
    book = openpyxl.Workbook()
    sheet = book.create_sheet("answers")  # behind one without rows
    for row in [(), ("text", "label"), ("a", "x"), (), ("b",), ("c", "y", "a remark")]:
        sheet.append(row)
    book.save(tmp_path / "sized.xlsx")
    with zipfile.ZipFile(tmp_path / "sized.xlsx") as old, zipfile.ZipFile(tmp_path / "a.xlsx", "w") as new:
        for name in old.namelist():
            new.writestr(name, re.sub(rb"<dimension[^>]*/>", size, old.read(name)))
    table = open_table(tmp_path / "a.xlsx")
    assert [(number, *row.values()) for number, row in table.rows] == [
        (3, "a", "x"),
        (5, "b", None),
        (6, "c", "y", "a remark"),
    ]
    assert not table.notes


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("cp1252", "Die Beträge für März sind zu groß, bitte prüfen"),
        ("cp1252", "Le café est fermé à l’été, où êtes-vous passés"),
        ("cp1250", "Proszę o zwrot pieniędzy, paczka źle działa"),
        ("cp1250", "Příliš žluťoučký kůň, prosím vraťte peníze"),
        ("cp1251", "Здравствуйте, где мой заказ, верните деньги"),
        ("cp1253", "Πού είναι η παραγγελία μου, παρακαλώ επιστρέψτε"),
        ("cp1254", "Siparişim nerede, lütfen parayı iade edin, ığüşöç"),
        ("cp932", "これは日本語の文章です。注文はどこですか"),
    ],
)
def test_old_encodings_are_guessed_and_said(tmp_path, codec, text):
    content = csv_of([(f"{text} {t}", y) for t, y in rows()])
    table = open_table(write(tmp_path, "old.csv", content, codec))
    first = next(row for _, row in table.rows)
    assert first["text"].startswith(text)
    assert "not UTF-8" in table.notes[0]


def test_a_file_in_two_encodings_is_refused_with_its_lines(tmp_path):
    lines = csv_of([(f"größer {t}", y) for t, y in rows()]).split("\n")
    mixed = b"\n".join(line.encode("cp1252" if i in (9, 30) else "utf-8") for i, line in enumerate(lines))
    with pytest.raises(DataError, match="mixes encodings: lines 10, 31 are not UTF-8"):
        encoding_of(write(tmp_path, "mixed.csv", mixed), [])


def test_chats_keep_their_system_prompt(tmp_path):
    chats = [
        {
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": t},
                {"role": "assistant", "content": "What do you mean?"},
                {"role": "user", "content": "That."},
                {"role": "assistant", "content": f"Because of {t.split()[0]} and {t.split()[1]}, see {i}."},
            ]
        }
        for i, (t, _) in enumerate(rows())
    ]
    mine = prepare(write(tmp_path, "chats.jsonl", "\n".join(map(json.dumps, chats))))
    assert mine.kind == "answers" and mine.metric == "f1"
    item = next(item for item in items(mine) if item.row == 1)
    assert item.text == f"user: {rows()[0][0]}\nassistant: What do you mean?\nuser: That."
    assert item.target.startswith("Because of") and item.features["system"] == "Be short."
    mine = prepare(
        [
            {"conversations": [{"from": "human", "value": t}, {"from": "gpt", "value": t[::-1]}]}
            for t, _ in rows()
        ]
    )
    assert all(item.text == item.target[::-1] for item in items(mine))


def test_prompts_with_completions_and_extractions_are_told_from_labels():
    assert prepare([{"prompt": t, "completion": t[::-1]} for t, _ in rows()]).kind == "answers"
    fields = [{"text": t, "output": {"first": t.split()[0], "n": i}} for i, (t, _) in enumerate(rows())]
    mine = prepare(fields)
    assert mine.kind == "extraction" and json.loads(mine.test[0].target)["first"] in mine.test[0].text
    assert prepare([{"prompt": t, "completion": y} for t, y in rows()]).kind == "classification"
    assert prepare([{"prompt": t, "completion": y} for t, y in rows()], task="answers").kind == "answers"


def test_columns_are_guessed_with_a_reason_or_taken_by_name():
    records = [
        {"id": i, "subject": f"re {i}", "body": t, "queue": y, "vip": i % 3 == 0}
        for i, (t, y) in enumerate(rows())
    ]
    mine = prepare(records)
    assert (mine.columns.text, mine.columns.target) == ("subject,body", "queue")
    assert any("'subject' and 'body'" in said for said in mine.columns.guessed)
    assert any("'queue' (by its name; 'vip' could be predicted too" in said for said in mine.columns.guessed)
    named = prepare(records, text="body", label="vip")
    assert named.labels == ("false", "true") and not any("text is" in said for said in named.columns.guessed)
    assert items(named)[0].features["queue"] in ("pay", "send")


@pytest.mark.parametrize(
    ("records", "asked", "says"),
    [
        ([{"text": t, "category": y, "queue": y} for t, y in rows()], {}, "'category' and 'queue' could each be the label.*--label"),
        ([{"text": t, "a": y, "b": y} for t, y in rows()], {}, "'a' and 'b' could each be the label"),
        ([{"x": t, "y": t[::-1]} for t, y in rows()], {}, "which column is the text.*--text.*'x' or 'y'"),
        ([{"text": t} for t, _ in rows()], {}, "which column is the label.*--label"),
        ([{"text": t, "label": y} for t, y in rows()], {"label": "queue"}, "--label queue: there is no such column; there are 'text' or 'label'"),
        ([{"text": t, "label": y} for t, y in rows()], {"text": "text,body"}, "--text body: there is no such column"),
        ([{"text": t, "label": "x"} for t, _ in rows()], {}, "all rows have the label 'x'.*at least two"),
        ([{"text": t, "label": f"c{i // 12}"} for i, (t, _) in enumerate(rows(2400))], {}, "200 different labels; up to 150"),
        ([{"text": t, "label": y if i > 3 else "rare"} for i, (t, y) in enumerate(rows())], {}, "fewer than 10.*'rare' has 4.*--drop-rare"),
        ([{"text": "", "label": y} for _, y in rows()], {"text": "text"}, "no row has both"),
        ([{"prompt": t, "completion": t[::-1]} for t, _ in rows(20)], {}, "20 different rows with a target; at least 30"),
        ([{"text": t, "label": y, "when": "soon"} for t, y in rows()], {"time": "when"}, "--time when: this column holds no dates .'soon'.; write dates as"),
        ([{"text": t, "label": y, "when": f"2026-01-{1 + i % 9:02}", "n": i} for i, (t, y) in enumerate(rows())], {"time": "n"}, "--time n: this column holds no dates .'0', '1', '2'., but 'when' does"),
        ([{"text": t, "label": y, "when": ["2026-01-31", "", "soon"][max(0, i - 57)]} for i, (t, y) in enumerate(rows())], {"time": "when"}, "row 58: an empty cell, 'soon' in 'when' are no dates .2 rows"),
        ([{"text": t, "label": y} for t, y in rows()], {"text": "text", "label": "text"}, "--text and --label both name the column 'text': name another"),
        ([{"text": t, "label": y} for t, y in rows()], {"text": "text,label", "label": "label"}, "--text and --label both name the column 'label'"),
        ([{"text": t, "label": y} for t, y in rows()], {"label": "label", "time": "label"}, "--label and --time both name the column 'label'"),
        ([{"text": t, "label": y, "on": f"{1 + i % 12}/5/2026"} for i, (t, y) in enumerate(rows())], {"time": "on"}, "'1/5/2026' in 'on' may be either of two days.*2026-01-31"),
        ([{"text": t, "label": y, "on": "1.31.2026" if i else "31.1.2026"} for i, (t, y) in enumerate(rows())], {"time": "on"}, "this column holds no dates .'1.31.2026'."),
        ([{"text": t, "label": y, "part": "mine"} for t, y in rows()], {"split": "part"}, "row 0: 'mine' in 'part' is no split"),
        ([{"text": t, "label": y} for t, y in rows()], {"task": "guess"}, "--task guess: choose one of classification"),
        ([{"messages": [{"role": "user"}, 3]} for _ in rows()], {"text": "messages", "label": "messages"}, "row 0: the messages must be a list"),
        ("nonsense", {}, "there is no file nonsense"),
        (3, {}, "a int is no table"),
        ([], {}, "has no rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_one_sentence(records, asked, says):
    with pytest.raises(DataError, match=f"(?s){says}") as raised:
        prepare(records, **asked)
    _, *choices = str(raised.value).split("\n")
    assert all(line.startswith("  --label ") for line in choices)


def test_each_column_that_may_be_the_label_is_shown_as_a_line_to_paste():
    with pytest.raises(DataError) as raised:
        prepare([{"text": t, "my queue": y, "vip": i % 3 == 0} for i, (t, y) in enumerate(rows())])
    lines = str(raised.value).split("\n")
    assert lines[1:] == ["  --label 'my queue'  (pay, send)", "  --label vip  (true, false)"]


@pytest.mark.parametrize("day", ["2026-01-{:02}", "{}.1.2026", "1/{}/2026", "2026-01-{:02}T08:00:00Z"])
def test_a_date_column_that_is_not_used_is_said_and_no_label(day):
    def records(when):
        return [{"text": t, "queue": y, "made on": when(i)} for i, (t, y) in enumerate(rows())]

    said = prepare(records(lambda i: day.format(1 + i % 28))).columns.guessed
    assert "Found a date column 'made on': `--time 'made on'` tests on the latest rows." in said
    used = prepare(records(lambda i: day.format(1 + i % 28)), time="made on")
    assert not any(
        "date column" in s for s in (*used.columns.guessed, *prepare(records(str)).columns.guessed)
    )


def test_where_the_time_decides_the_splits_nothing_else_is_said_to():
    days = pandas.date_range("2026-01-01", periods=60).strftime("%Y-%m-%d")
    records = [
        {"text": t, "label": y, "day": day, "customer": f"c{i // 2}", "split": ("train", "test")[i % 2]}
        for i, ((t, y), day) in enumerate(zip(rows(), days, strict=True))
    ]
    mine = prepare(records, time="day")
    said = " ".join(mine.columns.guessed)
    assert "'customer' belong together (by its name), but 'day' decides the splits" in said
    assert "'split' looks like splits, but 'day' decides them" in said and not mine.columns.split


@pytest.mark.parametrize("form", ["%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y %H:%M", "%m/%d/%Y", "%Y-%m-%d"])
def test_the_latest_rows_are_the_test_whichever_way_dates_are_written(form):
    days = pandas.date_range("2026-01-01", periods=60, freq="3D")
    records = [
        {"text": t, "queue": y, "day": d.strftime(form)} for (t, y), d in zip(rows(), days, strict=True)
    ]
    mine = prepare(records, time="day")
    dated = {d.strftime(form): d.date().isoformat() for d in days}
    assert all(item.features["day"][:10] == dated[records[item.row]["day"]] for item in items(mine))
    assert max(i.row for i in mine.train) < min(i.row for i in mine.valid)
    assert max(i.row for i in mine.valid) < min(i.row for i in mine.test)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "", "a.csv is empty"),
        ("a.csv", "text,label\n", "no rows below its header"),
        ("a.csv", "text,label\nhello, you,x\n", "line 2: 3 values, but 2 columns.*double quotes"),
        ("a.csv", 'text,label\n"hello,x\nyou,y\n', "line 2: this row is not CSV"),
        ("a.csv", "\n".join(f"{t},{y}" for t, y in rows()), "first line seems to be a row.*text,label"),
        (
            "a.csv",
            csv_of(rows(), "Message,pay"),
            "if it is the header, say --label pay",
        ),
        (
            "a.csv",
            "text,label\n1,hello,x\n",
            "3 values, but 2 columns.*row's number, begin the header with row,$",
        ),
        ("a.csv", bytes(range(256)) * 9, "binary file"),
        ("a.csv", b"text,label\n" + b"x" * 10_000_001, "line 2 is longer than 10 MB"),
        ("a.jsonl", '{"text": "a", "label": "x"}\n{"text": \n', "line 2 is not JSON"),
        ("a.jsonl", '["a"]', "line 1 is a list, not an object"),
        ("a.jsonl", "[" * 100_000, "line 1 is not JSON"),
        ("a.json", '{"text": "a"}\n{"text": "b"}', "name it .jsonl"),
        ("a.json", '{"text": "a"}', "must hold a list of objects"),
        ("a.parquet", b"PAR1 and no more", "can't be read as Parquet"),
        ("a.xlsx", b"PK\x03\x04 and no more", "can't be read as an Excel file"),
        ("a.xls", b"\xd0\xcf\x11\xe0", "save it as .xlsx"),
        ("a.pdf", b"%PDF", "must end in .csv"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, name, content, says):
    with pytest.raises(DataError, match=f"(?s){says}"):
        prepare(write(tmp_path, name, content))


def test_a_header_that_is_also_a_label_and_delimiters_at_the_ends_of_lines_are_read(tmp_path):
    data = rows()
    plain = csv_of(data, "Message,pay")
    ended = write(tmp_path, "a.csv", plain.replace("\n", ",,\n").replace(",,\n", "\n", 1))
    assert pairs(prepare(ended, label="pay")) == sorted(data)


def test_a_test_set_of_one_group_is_refused_before_anything_is_run():
    records = [{"text": t, "label": y, "shop": f"shop {i % 5}"} for i, (t, y) in enumerate(rows(90))]
    records = [r | {"split": "test" if r["shop"] == "shop 4" else "train"} for r in records]
    with pytest.raises(DataError, match=r"test set belongs to one 'shop' \('shop 4'\).*--group"):
        prepare(records, group="shop", split="split")
    assert len(prepare(records, split="split").test) == 18


def test_near_duplicates_count_as_one_draw():
    records = [{"text": f"{t}{end}", "label": y} for t, y in rows(80) for end in ("", " today")]
    test = prepare(records).test
    group_of = {item.text: item.group for item in test}
    twins = [(t, f"{t} today") for t in group_of if f"{t} today" in group_of]
    assert len(twins) > 10 and all(group_of[a] == group_of[b] for a, b in twins)
    assert 10 < len({*group_of.values()}) <= len(test) - len(twins)


def test_folders_and_pipes_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")  # to open it would wait forever
    with pytest.raises(DataError, match="not an ordinary file"):
        prepare(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="is a folder"):
        prepare(tmp_path)


def test_rare_labels_are_left_out_on_demand():
    records = [{"text": t, "label": y if i > 3 else "rare"} for i, (t, y) in enumerate(rows())]
    mine = prepare(records, drop_rare=True)
    assert mine.labels == ("send", "pay") or mine.labels == ("pay", "send")
    (finding,) = [f for f in mine.findings if f.kind == "rare_label"]
    assert finding.rows == (0, 1, 2, 3)


def test_rows_without_a_label_are_the_pool(tmp_path):
    data = rows()
    records = [{"text": t, "label": y if i < 50 else None} for i, (t, y) in enumerate(data)]
    pool = write(tmp_path, "pool.csv", "text\nsomething new\nand another")
    mine = prepare(records, pool=pool)
    assert [item.text for item in mine.pool] == [t for t, _ in data[50:]] + ["something new", "and another"]
    assert all(item.target is None for item in mine.pool)


def test_a_long_pool_is_sampled_and_that_is_said(tmp_path):
    pool = write(tmp_path, "pool.csv", "\n".join(["text", *(t for t, _ in rows(300, seed=1))]))
    records = [{"text": t, "label": y if i < 60 else None} for i, (t, y) in enumerate(rows(160, seed=2))]
    mine = prepare(records, pool=pool, most_rows=80)
    assert [item.row for item in mine.pool[80:]] != list(range(2, 82)) and len(mine.pool) == 80 + 80
    said = [finding.said for finding in mine.findings if finding.kind == "sampled"]
    assert said == [
        "frame has 100 rows without a label; a random sample of 80 is used.",
        "pool.csv has 300 rows without a label; a random sample of 80 is used.",
    ]


def test_a_sample_is_the_same_in_any_order_and_has_every_target():
    raws = [RawRow(i, f"text {i}", "rare" if i % 100 == 0 else "usual", {}, {}) for i in range(5000)]
    taken = []
    for order in (raws, raws[::-1]):
        sample = Sample(500, seed=0)
        for raw in order:
            sample.add(raw)
        taken.append(sample.taken(("rare", "usual")))
    assert taken[0] == taken[1]
    assert sum(raw.target == "rare" for raw in taken[0]) == EVERY_TARGET
    more = Sample(500, seed=0)
    for i in range(5500):
        more.add(RawRow(i, f"text {i}", "usual", {}, {}))
    kept = {raw.text for raw in more.taken()} & {raw.text for raw in taken[0]}
    assert len(kept) > 400  # a tenth more rows replace about a tenth of the sample


def test_a_long_file_is_sampled_and_that_is_said(tmp_path):
    path = write(tmp_path, "long.csv", csv_of(rows(3000)))
    mine = prepare(path, most_rows=300)
    assert len(items(mine)) == 300
    assert any(f.kind == "sampled" and "3,000 labelled rows" in f.said for f in mine.findings)
    with pytest.raises(DataError, match="--rows"):
        prepare(path, most_rows=5)


def test_cells_become_text():
    cells = [
        None,
        float("nan"),
        pandas.NA,
        pandas.NaT,
        3.0,
        3.5,
        True,
        np.float64(2),
        np.bool_(True),
        np.array([1]),
        {"ä": 1},
        " a\ud800 ",
    ]
    said = ["", "", "", "", "3", "3.5", "true", "2", "true", "[1]", '{"ä": 1}', "a?"]
    assert [text_of(cell) for cell in cells] == said


@pytest.mark.parametrize("name", ["big.csv", "big.jsonl", "big.json", "big.parquet"])
def test_a_file_that_would_take_minutes_to_read_is_refused_at_once(tmp_path, name):
    """A sparse file: two GB that take no room."""
    with (tmp_path / name).open("wb") as file:
        file.write(b"text,label\n")
        file.truncate(2_000_000_000)
    with pytest.raises(DataError, match=rf"^{name} has 2.0 GB, .*20,000 of its rows"):
        prepare(tmp_path / name)
