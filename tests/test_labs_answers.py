"""What answers to a lab earn: right ones everything, an untouched lab nothing, three plausible mistakes a stated part each.

``tests/lab_answers/LAB.yml`` lists the mistakes: ``says`` (what the student believes), ``change`` (cell name -> what is replaced in the right
answer, pairs of ``old`` and ``new``), ``loses`` (names of the test cells that fail; none where the
answer is right in another way). Cells tagged ``heavy`` train or load a model; no test cell
needs them, so they are left out here (nbval runs them).
"""

import re
from pathlib import Path

import nbformat
import pytest
import yaml

from whentofinetune.labs import decide_lab, notebooks, variant

BOOK = Path(__file__).parents[1]
ANSWERS = sorted((BOOK / "tests" / "lab_answers").glob("*.yml"))
STUDENTS = ("s10", "s8", "ab123", "Zoë 3")
SOLUTION = re.compile("### BEGIN SOLUTION.*?### END SOLUTION", re.DOTALL)


def cells_of(path, change=(), untouched=False):
    """Name (or place) -> code of each light cell, with answers removed or changed."""
    cells = {}
    for i, cell in enumerate(nbformat.read(path, 4).cells):
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code" or "heavy" in tags or "install" in tags:
            continue
        name, text = notebooks.marker(cell.source) or i, cell.source
        for old, new in dict(change).get(name, ()):
            assert text.count(old) == 1, f"{name}: {old!r} stands {text.count(old)} times in the answer"
            text = text.replace(old, new)
        if untouched:
            text = SOLUTION.sub("raise NotImplementedError", text)
        cells[name] = text
    return cells


def failed(cells, student=STUDENTS[0]):
    """Names of the test cells that do not pass, as nbgrader runs them: an error ends its own cell."""
    room, bad = {}, []
    for name, text in cells.items():
        try:
            exec(
                compile(text.replace('STUDENT = "example"', f"STUDENT = {student!r}"), str(name), "exec"),
                room,
            )
        except Exception as error:
            bad.append(name)
            if not str(name).endswith("-test") and not isinstance(error, NotImplementedError | NameError):
                raise
    return {name for name in bad if str(name).endswith("-test")}


def checks_of(cells):
    return {name for name in cells if str(name).endswith("-test")}


@pytest.fixture(params=ANSWERS, ids=lambda p: p.stem)
def answers(request):
    return BOOK / "labs" / f"{request.param.stem}.ipynb", yaml.safe_load(
        request.param.read_text(encoding="utf-8")
    )


def test_every_lab_has_three_wrong_answers():
    labs = {p.stem for p in (BOOK / "labs").glob("lab_*.ipynb")} - {"lab_icl_vs_finetuning"}
    assert labs == {p.stem for p in ANSWERS}  # the other one's stand in test_labs_grading
    for path in ANSWERS:
        assert len(yaml.safe_load(path.read_text(encoding="utf-8"))) >= 3, path.stem


def test_a_heavy_cell_is_given_and_not_graded():
    """Grading leaves it out."""
    for path in (BOOK / "labs").glob("lab_*.ipynb"):
        for cell in nbformat.read(path, 4).cells:
            assert not ("heavy" in cell.metadata.get("tags", []) and "nbgrader" in cell.metadata), path.stem


def test_the_students_draw_every_case_of_the_lab_decide():
    assert len({decide_lab.case(variant(student)).title for student in STUDENTS}) == 4


@pytest.mark.parametrize("student", STUDENTS)
def test_right_answers_earn_everything_on_every_variant(answers, student):
    assert failed(cells_of(answers[0]), student) == set()


def test_an_untouched_lab_earns_nothing(answers):
    cells = cells_of(answers[0], untouched=True)
    assert failed(cells) == checks_of(cells)


def test_wrong_answers_lose_what_is_stated_and_no_more(answers):
    for wrong in answers[1]:
        change = {name: [(c["old"], c["new"]) for c in pairs] for name, pairs in wrong["change"].items()}
        assert failed(cells_of(answers[0], change)) == set(wrong["loses"]), wrong["says"]
