"""The built-in tasks against the files they come from, their card, and own data with everything that can be wrong with it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from collections import Counter

import pytest
from conftest import load

from tunewise.compare.text_encoding import DataError
from tunewise.data import SPLITS, fingerprint, own_data
from tunewise.models.download import FetchError, fetch
from tunewise.near_duplicates import near_duplicates, plain
from whentofinetune import book_files
from whentofinetune.datasets import rated_tasks, vader
from whentofinetune.datasets.rated_tasks import load_task


@pytest.fixture(scope="module")
def archive():
    try:
        return fetch(vader.SDIST) / "hutto_ICWSM_2014.tar.gz"
    except FetchError as error:
        pytest.skip(f"the rated texts are not here and can't be fetched: {error}")


# -- built-in tasks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", rated_tasks.TASKS)
def test_splits_are_balanced_and_share_nothing(archive, name):
    task = load_task(name)
    for split, size in (("test", 100), ("valid", 50)):
        assert Counter(e.label for e in getattr(task, split)) == {y: size for y in range(len(task.labels))}
    train = Counter(e.label for e in task.train)
    assert len(set(train.values())) == 1 and len(train) == len(task.labels) and len(task.train) >= 700
    texts = [
        re.sub(r"\W+", " ", e.text.lower()).strip()
        for s in ("train", "valid", "test")
        for e in getattr(task, s)
    ]
    assert len(texts) == len(set(texts))
    placed = [(split, e.text) for split in SPLITS for e in getattr(task, split)]
    assert all(placed[i][0] == placed[j][0] for i, j in near_duplicates([text for _, text in placed]))
    # random order: the labels are mixed within the first few
    assert len({e.label for e in task.test[:20]}) == len(task.labels)


@pytest.mark.parametrize("name", ["products", "news"])
def test_a_review_or_article_lies_in_one_split(archive, name):
    task = load_task(name)
    documents = [{e.id.split("_")[0] for e in getattr(task, s)} for s in ("train", "valid", "test")]
    assert not (documents[0] & documents[1] or documents[0] & documents[2] or documents[1] & documents[2])


def test_labels_follow_the_published_mean_rating(archive):
    """Read the published file anew, with other means, and compare."""
    with tarfile.open(archive) as tar:
        lines = tar.extractfile("hutto_ICWSM_2014/tweets_GroundTruth.txt").read().decode("utf-8").splitlines()
    mean = {f"tweets/{i}": float(m) for i, m, _ in (line.split("\t", 2) for line in lines)}
    task = load_task("tweets")
    for e in task.train + task.valid + task.test:
        assert task.labels[e.label] == (
            "positive" if mean[e.id] >= 0.8 else "negative" if mean[e.id] <= -0.8 else "neutral"
        )


def test_labels_agree_with_the_raters_themselves(archive):
    """The label from the published mean is the label from the single ratings, for all sources."""
    ratings = load(book_files.data_dir() / "vader" / "build.py").ratings
    for source in vader.FILES:
        said = ratings(source)
        for row in vader.read(source):
            mean = sum(said[row.id]) / len(said[row.id])
            assert row.sentiment == (
                "positive" if mean >= 0.8 - 1e-9 else "negative" if mean <= -0.8 + 1e-9 else "neutral"
            ), row


def test_texts_are_clean(archive):
    for source in vader.FILES:
        for row in vader.read(source):
            assert row.text == " ".join(row.text.split()) and any(c.isalpha() for c in row.text)
    assert (
        sum("&amp;" in row.text for row in vader.read("tweets")) <= 1
    )  # one is encoded twice in the source (card)


def test_tasks_of_one_source_share_its_splits(archive):
    three = load_task("tweets")
    test = {e.id for e in three.test + three.valid}
    for other in ("tweets-polarity", "tweets-subjectivity", "domain"):
        assert not test & {e.id for e in load_task(other).train}


def test_the_same_data_in_every_process_and_other_data_for_another_seed(archive):
    code = "from tunewise.data import fingerprint; from whentofinetune.datasets.rated_tasks import load_task; print(fingerprint(load_task('tweets')))"
    env = os.environ | {"PYTHONHASHSEED": "77"}
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True
    ).stdout.strip()
    assert other == fingerprint(load_task("tweets"))
    assert {e.id for e in load_task("tweets", seed=1).test} != {e.id for e in load_task("tweets").test}


def test_fingerprint_sees_every_change(archive):
    import dataclasses

    task = load_task("tweets-polarity")
    first = task.test[0]
    flipped = dataclasses.replace(first, label=1 - first.label)
    prints = {
        fingerprint(task),
        fingerprint(dataclasses.replace(task, test=(flipped, *task.test[1:]))),
        fingerprint(dataclasses.replace(task, test=task.test[::-1])),
        fingerprint(dataclasses.replace(task, labels=task.labels[::-1])),
        fingerprint(dataclasses.replace(task, test=task.valid, valid=task.test)),
    }
    assert len(prints) == 5


def test_unknown_names_are_said():
    with pytest.raises(ValueError, match="tweets-polarity"):
        load_task("tweet")


def test_rebuild_gives_the_same_groups(archive, tmp_path):
    folder = book_files.data_dir() / "vader"
    load(folder / "build.py").build(tmp_path)
    assert (tmp_path / "groups.json").read_bytes() == (folder / "groups.json").read_bytes()


def test_made_up_variants_stay_together(archive):
    """The authors wrote variants of thirty tweets; ids of three such families, taken from the file by eye."""
    group = dict(zip([r.id for r in vader.read("tweets")], vader.groups("tweets"), strict=True))
    for family in ((2, 1481, 1485, 1486), (7, 3207, 3212), (35, 2221, 2226)):
        assert len({group[f"tweets/{i}"] for i in family}) == 1


def test_near_duplicates_by_hand():
    texts = [
        "Yay! Another good phone interview.",
        "YAY, another extremely good phone interview!!",  # one word more
        "The acting is wooden and the plot is thin",
        "The acting is superb and the plot is a joy to watch",  # same frame, other words
        "so cold",
        "So cold!!!",
        "cold so",
    ]
    assert {tuple(sorted(p)) for p in near_duplicates(texts)} == {(0, 1), (4, 5)}


def test_card_tells_the_data_as_they_are(archive):
    card = (book_files.data_dir() / "vader" / "README.md").read_text(encoding="utf-8")
    for name in rated_tasks.TASKS:
        task = load_task(name)
        labels, *counts = _rows(card, name)[-1]
        assert labels == ", ".join(task.labels)
        assert counts == [str(Counter(e.label for e in getattr(task, split))[0]) for split in SPLITS]
    build = load(book_files.data_dir() / "vader" / "build.py")
    for source in vader.FILES:
        texts, raters = vader.read(source), [len(r) for r in build.ratings(source).values()]
        sentiments = Counter(r.sentiment for r in texts)
        assert _rows(card, source)[0] == [
            str(len(texts)),
            str(len({plain(r.text) for r in texts})),
            str(len(set(vader.groups(source)))),
            *(str(sentiments[s]) for s in ("positive", "neutral", "negative")),
            f"{min(raters)} to {max(raters)}",
            f"{build.rater_agreement(load_task(source).test):.0%}".replace("%", " %"),
        ]


def _rows(card: str, name: str) -> list[list[str]]:
    """The rows that a name heads: of the table of sources, then of the table of tasks."""
    return [
        [c.strip() for c in line.strip("|").split("|")][1:]
        for line in card.splitlines()
        if line.startswith(f"| {name} |")
    ]


# -- own data --------------------------------------------------------------------------------------------------------


def rows(n: int = 20, labels=("billing", "delivery")) -> list[tuple[str, str]]:
    words = ["red", "green", "blue", "tall", "round", "late", "cheap", "loud", "soft", "cold"]
    return [(f"the {words[i % 10]} parcel number {i} about {y}, really", y) for i in range(n) for y in labels]


def write_csv(path, data, header="text,label", encoding="utf-8"):
    lines = [header] + [f'"{t}",{y}' for t, y in data]
    path.write_bytes("\r\n".join(lines).encode(encoding))
    return path


def test_csv_and_jsonl_give_the_same_task(tmp_path):
    data = rows()
    one = own_data(write_csv(tmp_path / "mails.csv", data, "body,queue"), "body", "queue")
    path = tmp_path / "mails.jsonl"
    path.write_text("\n".join(json.dumps({"queue": y, "body": t}) for t, y in data), encoding="utf-8")
    two = own_data(path, "body", "queue")
    for split in SPLITS:
        assert [(e.text, e.label) for e in getattr(one, split)] == [
            (e.text, e.label) for e in getattr(two, split)
        ]
    assert one.name == "mails" and one.labels == ("billing", "delivery")
    assert len(one.train) + len(one.valid) + len(one.test) == len(data)
    assert all({e.label for e in getattr(one, split)} == {0, 1} for split in SPLITS)
    lines = path.read_text(encoding="utf-8").splitlines()
    for example in (*two.train, *two.valid, *two.test):
        source = json.loads(lines[int(example.id.removeprefix("mails.jsonl:")) - 1])
        assert source == {"queue": two.labels[example.label], "body": example.text}


def test_own_data_come_in_random_order_and_another_seed_splits_them_otherwise(tmp_path):
    path = write_csv(tmp_path / "a.csv", sorted(rows(), key=lambda row: row[1]))
    task = own_data(path)
    assert len({e.label for e in task.train[:8]}) == 2
    assert own_data(path) == task != own_data(path, seed=1)


def test_repeated_texts_are_kept_once_and_never_in_two_splits(tmp_path):
    data = rows()
    again = [(t.upper().replace(" ", "  "), y) for t, y in data]
    task = own_data(write_csv(tmp_path / "a.csv", data + again))
    assert len(task.train) + len(task.valid) + len(task.test) == len(data)
    assert not {plain(e.text) for e in task.test} & {plain(e.text) for e in task.train}


def test_a_text_with_two_labels_is_left_out_and_said(tmp_path):
    path = write_csv(tmp_path / "a.csv", [*rows(), ("One text", "billing"), ("one  text", "delivery")])
    with pytest.warns(UserWarning, match="a.csv: the same text with two labels: 1 text"):
        task = own_data(path)
    assert not any("one text" in e.text.lower() for s in SPLITS for e in getattr(task, s))


def test_what_cannot_be_used_is_refused_by_the_reader_of_comparisons(tmp_path):
    with pytest.raises(DataError, match="no file"):
        own_data(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="there is no such column; there are 'message' or 'label'"):
        own_data(write_csv(tmp_path / "a.csv", rows(), "message,label"), "text")


def test_a_small_data_set_gives_as_many_examples_as_it_has():
    from tunewise.data import Example, Task
    from whentofinetune.classification import pool_size, sample

    train = tuple(
        Example(f"t{i}", int(i % 3 == 0), f"e{i}") for i in range(12)
    )  # eight of one label, four of the other
    task = Task("mine", ("a", "b"), train, train[:2], train[:2])
    assert pool_size(task, 300) == 8 and pool_size(task, 6) == 6
    assert sorted(y for _, y in sample(task, pool_size(task, 300), 0)) == [0] * 4 + [1] * 4
