"""Search and reader judged by own questions: what is told apart, what is chosen on what, and which questions are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from newcomer import Echo
from test_retrieval import embed

from tunewise import cli
from tunewise.compare import documents_folder as documents
from tunewise.compare import documents_index
from tunewise.compare import documents_reader as readers
from tunewise.compare.base import Settings
from tunewise.compare.documents_evaluation import _retrieval, _threshold, evaluate_documents
from tunewise.compare.documents_questions import read_questions

FLOWERS = [
    "Aster",
    "Begonia",
    "Clover",
    "Dahlia",
    "Erica",
    "Fuchsia",
    "Gentian",
    "Heather",
    "Iris",
    "Jasmine",
    "Kalmia",
    "Lupin",
    "Mallow",
    "Nerine",
    "Orchid",
    "Peony",
    "Quince",
    "Rose",
    "Salvia",
    "Tulip",
]


class Finder(Echo):
    """Answers with the number after the flower's name, from whichever passage has it; refuses where none has."""

    name = "finder"

    def __init__(self, wrong=(), silent=()):
        super().__init__()
        self.wrong, self.silent, self.asked = wrong, silent, 0

    def answers(self, questions, passages):
        self.asked += len(questions)
        return [self._one(q, own) for q, own in zip(questions, passages, strict=True)]

    def _one(self, question, own):
        flower = question.split()[-1].strip("?")
        said = next(
            (t.split(f"The {flower} is ")[1].split(" cm")[0] for t in own if f"The {flower} is " in t), ""
        )
        if flower in self.silent:
            said = ""
        return readers.judged("7777" if flower in self.wrong else said or "not stated", question, own)


@pytest.fixture
def beds(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """A folder of twenty flowers, and a question on each, and on ten that are not there."""
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path / "cache"))
    docs = tmp_path / "beds"
    docs.mkdir()
    for i, flower in enumerate(FLOWERS):
        (docs / f"{flower}.txt").write_text(
            f"The {flower} is {100 + i} cm tall and likes bed {i}.", encoding="utf-8"
        )
    rows = [f"How tall is the {flower}?,{100 + i},{flower}" for i, flower in enumerate(FLOWERS)]
    rows += [
        f"How tall is the {word}?,,"
        for word in ["car", "bus", "tram", "ship", "plane", "rocket", "bike", "train", "boat", "cart"]
    ]
    asked = tmp_path / "questions.csv"
    asked.write_text("\n".join(["question,answer,file", *rows]) + "\n", encoding="utf-8")
    return docs, asked


def test_search_and_reader_are_told_apart_on_own_questions(beds):
    wrong = [flower for flower in FLOWERS[:10]]
    found = evaluate_documents(*beds, Settings(), print, who=Finder(wrong), embed=embed)
    test = [row for row in found.answers if row["right"]]
    share = sum(row["question"].split()[-1][:-1] not in wrong for row in test) / len(test)
    assert found.row("search, bm25", "right passage among 1").value == 1
    assert found.row("search, bm25", "mean reciprocal rank").value == 1
    assert found.row("answers", "right, with the right passage given").value == share
    assert found.row("answers", "right, where the passage was found").value == share
    assert found.row("unsupported", "answered, though the documents do not").value == 0
    assert "What limits it most is the reader" in found.text
    assert {row["outcome"] for row in found.answers if not row["right"]} == {"refused"}


class Muddled(Finder):
    """Finds the flower in one passage, and says nothing of use where others stand beside it."""

    def answers(self, questions, passages):
        found = super().answers(questions, passages)
        nothing = readers.judged("not stated", "", [])
        return [one if len(own) == 1 else nothing for one, own in zip(found, passages, strict=True)]


def test_what_other_passages_cost_is_told_apart_from_search_and_reader(beds):
    found = evaluate_documents(*beds, Settings(), print, who=Muddled(), embed=embed)
    assert found.row("answers", "right, with the right passage given").value == 1
    assert found.row("refusals", "false, by the reader, where the passage was found").value == 1
    assert "What limits it most is what stands beside the right passage" in found.text


def test_a_reader_that_refuses_is_not_said_to_answer_wrongly(beds):
    found = evaluate_documents(*beds, Settings(), print, who=Finder(FLOWERS[:2], FLOWERS[2:12]), embed=embed)
    given = {
        kind: found.row("answers", f"{kind}, with the right passage given").value
        for kind in ("right", "wrong", "no answer")
    }
    asked = [row["question"].split()[-1][:-1] for row in found.answers if row["right"]]
    assert given["wrong"] == sum(flower in FLOWERS[:2] for flower in asked) / len(asked)
    assert given["no answer"] == sum(flower in FLOWERS[2:12] for flower in asked) / len(asked)
    assert sum(given.values()) == pytest.approx(1)
    assert f"{given['wrong']:.0%}".replace("%", " %") + " of the questions wrongly and" in found.text


def test_each_table_of_own_documents_has_one_unit_a_column_and_no_interval_leaves_its_range(beds):
    ranks = [1.0] * 9 + [0.5]
    (row,) = _retrieval("bm25", [[0]] * 9 + [[1, 0]], [frozenset([0])] * 10)[3:]
    assert row.value == pytest.approx(sum(ranks) / 10) and 0.5 <= row.low < row.value < row.high <= 1
    found = evaluate_documents(*beds, Settings(), print, who=Finder(), embed=embed)
    search, answers = (BeautifulSoup(t.html, "html.parser") for t in found.tables)
    shares = [td.get_text() for td in answers.select("td.tw-num")]
    assert shares and all("%" in cell for cell in shares)
    for line in search.select("tbody tr"):
        *hits, rank = (td.get_text() for td in line.select("td"))
        assert len(hits) == 3 and all("%" in cell for cell in hits) and "%" not in rank
    assert max(map(len, found.tables[0].text.splitlines()[1:])) <= 80


def test_the_part_that_is_chosen_on_is_not_the_part_that_is_measured(beds):
    found = evaluate_documents(*beds, Settings(), print, who=Finder(), embed=embed)
    every, _ = read_questions(beds[1], documents.read_folder(beds[0]).passages)
    measured = {row["question"] for row in found.answers}
    assert measured == {q.ask for q in every if not q.chooses} and 0 < len(measured) < len(every)


def test_answers_are_kept_so_that_what_was_stopped_goes_on(beds):
    first, second = Finder(), Finder()
    one = evaluate_documents(*beds, Settings(), print, who=first, embed=embed)
    two = evaluate_documents(*beds, Settings(), print, who=second, embed=embed)
    assert first.asked and not second.asked and one.as_json() == two.as_json()
    other = Finder(FLOWERS)
    other.key = "the same name, other weights"
    assert evaluate_documents(*beds, Settings(), print, who=other, embed=embed).as_json() != one.as_json()


def test_ctrl_c_while_questions_are_read_says_that_answers_are_kept(beds, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tunewise.compare.documents_command.evaluate_documents", interrupted)
    assert cli.main(["compare", "--docs", str(beds[0]), "--questions", str(beds[1])]) == 2
    assert "what is done is kept, and the same command goes on" in capsys.readouterr().err


def test_a_threshold_refuses_at_most_a_twentieth_of_what_the_documents_answer():
    yes, no = [0.6 + i / 100 for i in range(19)], [0.5, 0.4, 0.3, 0.2, 0.1]
    threshold, _ = _threshold([*yes, 0.2, *no], [True] * 20 + [False] * 5)
    assert threshold == 0.51  # one of twenty is refused, and all without an answer
    threshold, _ = _threshold([*yes, 0.2, 0.45, *no], [True] * 21 + [False] * 5)
    assert threshold == 0.41  # a second one may not be, so 0.5 gets through
    threshold, _ = _threshold([0.9, 0.2, 0.7, 0.6, 0.5], [True, True, False, False, False])
    assert threshold <= 0.2  # three are too few to choose by
    assert _threshold([0.5, 0.6, 0.7], [True] * 3)[0] <= documents_index.RELEVANT


def test_another_seed_chooses_on_other_questions(beds):
    passages = documents.read_folder(beds[0]).passages
    parts = [{q.ask for q in read_questions(beds[1], passages, seed)[0] if q.chooses} for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


def test_a_spent_budget_leaves_a_report_on_what_was_read_and_the_next_call_goes_on(beds):
    first, second = Finder(), Finder()
    cut = evaluate_documents(*beds, Settings(budget=0.0), print, who=first, embed=embed)
    whole = evaluate_documents(*beds, Settings(), print, who=second, embed=embed)
    assert len(cut.answers) < len(whole.answers)
    assert all(row in whole.answers for row in cut.answers)
    assert f"after {len(cut.answers)} of {len(whole.answers)} test questions" in "".join(cut.notes)
    assert first.asked + second.asked == sum(
        (row["answer"] is not None) + (row["answer with the right passage"] is not None)
        for row in whole.answers
    )


def test_a_dry_run_says_what_would_be_done_and_reads_nothing(beds, capsys, tmp_path):
    docs, asked = beds
    output = tmp_path / "report.html"
    command = ["compare", "--docs", str(docs), "--questions", str(asked), "-o", str(output), "--dry-run"]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert (
        "30 questions on 20 passages of 20 files" in said
        and "smollm2-135m answers each test question" in said
    )
    assert not output.exists()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["what,answer", "x,y"], "has no column question (there are: what, answer)"),
        (
            ["question,answer", *(f"How tall is {i}?,{i}" for i in range(4))],
            "has 4 questions with an answer, and 10",
        ),
        (["question,answer"], "question"),
    ],
)
def test_questions_that_cannot_be_used_are_refused_in_words(rows, said, beds):
    beds[1].write_text("\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(said)):
        read_questions(beds[1], documents.read_folder(beds[0]).passages)


def test_what_is_odd_in_the_questions_is_said_and_the_rest_used(beds):
    docs, asked = beds
    with asked.open("a", encoding="utf-8") as file:
        file.write(
            'How tall is the Aster?,100,\n,5,\nWhat likes the <b>Rose</b>?,sun | bed 17,Nowhere\n"Is it stated?",not stated,\n'
        )
    questions, notes = read_questions(asked, documents.read_folder(docs).passages)
    said = "\n".join(notes)
    assert "line 32: asked before" in said and "line 33: no question" in said and "no file Nowhere" in said
    assert questions[-2].right == ("sun", "bed 17") and questions[-1].right == ()


def test_the_report_of_own_documents_is_one_harmless_page(beds, tmp_path):
    (beds[0] / "<script>alert(1)<!-- x.odt").write_text("x", encoding="utf-8")
    found = evaluate_documents(*beds, Settings(need=0.9), print, who=Finder(), embed=embed)
    text = found.page
    assert "<script>" not in text and "&lt;script&gt;" in text and "://" not in text
    assert "{%" not in text and "{{" not in text  # every part of it was rendered
    soup = BeautifulSoup(text, "html.parser")
    styled = soup.select_one("body > main.tw-compare")  # all rules of the style are for this class
    assert found.verdict[0] in styled.get_text() and ".tw-compare .verdict" in styled.style.get_text()
    assert len(styled.select("tbody td.tw-num")) == len(found.rows) and "<html" not in found.html
    assert found.decided == (found.row("answers", "right, of all with an answer").low >= 0.9)


def test_the_command_says_what_is_missing(beds, capsys):
    docs, asked = beds
    assert cli.main(["compare", "--questions", str(asked)]) == 2
    assert "--questions needs --docs FOLDER" in capsys.readouterr().err
    assert cli.main(["compare"]) == 2
    assert "name a file of labelled rows, or --docs FOLDER --questions FILE" in capsys.readouterr().err
    beside = ["q.csv", "--only", "rag", "--seed", "1", "--balanced"]
    assert cli.main(["compare", *beside, "--questions", str(asked), "--docs", str(docs)]) == 2
    assert "takes no FILE, --balanced, --only: leave that out" in capsys.readouterr().err
    assert cli.main(["compare", "--questions", str(asked), "--docs", f"{docs}/nowhere"]) == 2
    assert "there is no folder" in capsys.readouterr().err
