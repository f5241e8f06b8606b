"""The quiz bank and its exports, read back with a parser that knows nothing of how they were made."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from lxml import etree

from tunewise import cli
from whentofinetune.labs import quiz

ROOT = Path(__file__).resolve().parents[1]
BANK = yaml.safe_load((ROOT / "data" / "quiz" / "questions.yml").read_text(encoding="utf-8"))
QUESTIONS = {q["id"]: q for q in BANK["questions"]}


def shown(markup: str) -> str:
    """What a browser shows of a piece of HTML."""
    return BeautifulSoup(markup, "lxml").get_text()


def from_moodle(path: Path) -> dict[str, tuple]:
    """Name -> (category, question, [(choice, feedback, fraction)])."""
    found, category = {}, None
    for q in etree.parse(path).getroot().findall("question"):
        if q.get("type") == "category":
            category = q.findtext("category/text").split("/", 3)[3]
            continue
        assert q.get("type") == "multichoice" and q.findtext("single") == "true"
        name = q.findtext("name/text")
        assert name not in found
        answers = [
            (a.findtext("text"), a.findtext("feedback/text"), float(a.get("fraction")))
            for a in q.findall("answer")
        ]
        found[name] = category, q.findtext("questiontext/text"), answers
    return found


def from_qti(path: Path) -> dict[str, tuple]:
    """The same from the zip, by way of its manifest; a fraction is the score that the choice gives."""
    found = {}
    with zipfile.ZipFile(path) as packed:
        manifest = etree.fromstring(packed.read("imsmanifest.xml"))
        hrefs = [r.get("href") for r in manifest.iter("{*}resource")]
        assert {*hrefs, "imsmanifest.xml"} == set(packed.namelist())
        for href in hrefs:
            root = etree.fromstring(packed.read(href))
            for item in root.iter("{*}item"):
                scores, feedback = Counter(), {}
                for condition in item.iter("{*}respcondition"):
                    choice = condition.findtext(".//{*}varequal")
                    for link in condition.iter("{*}displayfeedback"):
                        (words,) = [
                            f for f in item.iter("{*}itemfeedback") if f.get("ident") == link.get("linkrefid")
                        ]
                        feedback[choice] = words.findtext(".//{*}mattext")
                    for score in condition.iter("{*}setvar"):
                        scores[choice] += float(score.text)
                answers = [
                    (
                        label.findtext(".//{*}mattext"),
                        feedback[label.get("ident")],
                        scores[label.get("ident")],
                    )
                    for label in item.iter("{*}response_label")
                ]
                title = root.find("{*}assessment").get("title")
                found[item.get("ident")] = title, item.findtext("{*}presentation//{*}mattext"), answers
    return found


@pytest.fixture(scope="module", params=["moodle", "qti"])
def exported(request, tmp_path_factory) -> dict[str, tuple]:
    path = tmp_path_factory.mktemp("quiz") / f"bank.{request.param}"
    assert cli.main(["labs", "quiz", "--format", request.param, "-o", str(path)]) == 0
    return {"moodle": from_moodle, "qti": from_qti}[request.param](path)


def test_all_questions_arrive_with_one_right_choice_and_a_reason_each(exported):
    assert set(exported) == set(QUESTIONS)
    for name, (category, ask, answers) in exported.items():
        entry = QUESTIONS[name]
        assert category == BANK["chapters"][entry["chapter"]]
        assert shown(ask) == entry["ask"].replace("*", "")
        expected = {
            says.replace("*", ""): (why.replace("*", ""), float(100 * (i == 0)))
            for i, (says, why) in enumerate([entry["right"], *entry["wrong"]])
        }
        assert {shown(says): (shown(why), score) for says, why, score in answers} == expected
        assert len(answers) in (3, 4) and sum(score > 0 for *_, score in answers) == 1


def test_the_right_choice_stands_in_each_place_about_as_often(exported):
    places = Counter(
        [score for *_, score in answers].index(100.0)
        for *_, answers in exported.values()
        if len(answers) == 4
    )
    n = places.total()
    assert set(places) == {0, 1, 2, 3} and all(n / 8 < k < 3 * n / 8 for k in places.values()), places


def test_nothing_but_knowledge_points_to_the_right_choice():
    """Neither is the right one as a rule the longest, the shortest or one in between, nor does a question stand there twice."""
    fours = [q for q in QUESTIONS.values() if len(q["wrong"]) == 3]
    ranks = Counter(sum(len(w[0]) > len(q["right"][0]) for w in q["wrong"]) for q in fours)
    n = len(fours)
    assert set(ranks) == {0, 1, 2, 3} and all(n / 8 < k < 3 * n / 8 for k in ranks.values()), ranks
    assert len({q["ask"] for q in QUESTIONS.values()}) == len(BANK["questions"]) == len(QUESTIONS)


def test_every_chapter_has_at_least_four_and_its_own_title():
    counted = Counter(q["chapter"] for q in QUESTIONS.values())
    reference = {"claims", "records"}
    assert set(counted) == {p.stem for p in (ROOT / "chapters").glob("*.ipynb")} - reference
    assert min(counted.values()) >= 4
    for chapter, title in BANK["chapters"].items():
        cells = nbformat.read(ROOT / "chapters" / f"{chapter}.ipynb", 4).cells
        assert any(f"# {title}" in c.source.splitlines() for c in cells), chapter


@pytest.mark.parametrize("kind", ["moodle", "qti"])
def test_the_same_bank_gives_the_same_bytes(kind, tmp_path):
    a, b = (quiz.write(quiz.read(), kind, tmp_path / name / "bank") for name in "ab")
    assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize(("kind", "back"), [("moodle", from_moodle), ("qti", from_qti)])
def test_a_poll_has_the_questions_and_does_not_tell_the_answers(kind, back, exported, tmp_path):
    assert cli.main(["labs", "quiz", "--format", kind, "-o", str(tmp_path / "poll"), "--poll"]) == 0
    polls = back(tmp_path / "poll")
    assert set(polls) == {f"{name}-poll" for name in QUESTIONS}
    for name, (title, ask, answers) in exported.items():
        asked = polls[f"{name}-poll"]
        assert asked[:2] == (f"{title} (poll)", ask)
        assert [(says, why or "", score) for says, why, score in asked[2]] == [
            (a[0], "", 100) for a in answers
        ]


def made(tmp_path: Path, *questions: dict) -> Path:
    path = tmp_path / "questions.yml"
    path.write_text(yaml.safe_dump({"chapters": {"tone": "Tone & form"}, "questions": list(questions)}))
    return path


ODD = {
    "id": "odd",
    "chapter": "tone",
    "ask": 'Is <b> & "c" a *tag*?',
    "right": ["a < b", "&amp; is no sign here"],
    "wrong": [["</text>", "it ends nothing"], ["]]>", "nor does this"]],
}


@pytest.mark.parametrize(("kind", "back"), [("moodle", from_moodle), ("qti", from_qti)])
def test_signs_of_xml_and_html_arrive_as_they_were_written(kind, back, tmp_path):
    bank = quiz.read(path=made(tmp_path, ODD))
    title, ask, answers = back(quiz.write(bank, kind, tmp_path / "out"))["odd"]
    assert title == "Tone & form" and "<em>tag</em>" in ask
    assert shown(ask) == 'Is <b> & "c" a tag?'
    assert {shown(says) for says, *_ in answers} == {"a < b", "</text>", "]]>"}
    assert "&amp; is no sign here" in {shown(why) for _, why, _ in answers}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"wrong": [["</text>", "why"], ["</text>", "why"]]}, "no choice twice"),
        ({"wrong": [["one", "why"]]}, "two or three wrong choices"),
        ({"right": ["a < b", " "]}, "each with its reason"),
    ],
)
def test_a_faulty_question_is_named(change, says, tmp_path):
    with pytest.raises(ValueError, match=f"odd: .*{says}"):
        quiz.read(path=made(tmp_path, ODD | change))
    with pytest.raises(ValueError, match="odd stands there twice"):
        quiz.read(path=made(tmp_path, ODD, ODD))


def test_one_chapter_alone_and_an_unknown_one(tmp_path, capsys):
    target = tmp_path / "new" / "tone.xml"
    command = ["labs", "quiz", "--format", "moodle", "-o", str(target), "--chapter"]
    assert cli.main([*command, "tone"]) == 0
    assert {category for category, *_ in from_moodle(target).values()} == {"Tone, style, format"}
    assert cli.main([*command, "tones"]) == 1
    assert "no questions on tones: choose from introduction" in capsys.readouterr().err
