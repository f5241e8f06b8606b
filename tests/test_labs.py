"""Labs without nbgrader: their metadata, each student's own data, the repair, the folder of submissions."""

import ast
import copy
import json
import re
import shutil
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from conftest import load
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from statsmodels.stats.contingency_tables import mcnemar

from tunewise.prompting import calibrate
from whentofinetune.labs import course, icl_lab, notebooks, variant

BOOK = Path(__file__).parents[1]
LABS = sorted((BOOK / "labs").glob("lab_*.ipynb"))
HINT = re.compile(r"```\{admonition\} [^\n]*[Hh]int\n(.*?)```", re.DOTALL)
ICL = BOOK / "labs" / "lab_icl_vs_finetuning.ipynb"


@pytest.fixture(params=LABS, ids=lambda p: p.stem)
def lab(request):
    return nbformat.read(request.param, 4)


def graded_cells(nb):
    return [c for c in nb.cells if "nbgrader" in c.metadata]


def test_metadata_is_valid_and_names_are_unique(lab):
    validator = pytest.importorskip("nbgrader.nbgraderformat").MetadataValidator()
    validator.validate_nb(lab)
    names = [c.metadata.nbgrader.grade_id for c in graded_cells(lab)]
    assert len(names) == len(set(names))
    assert names == [
        notebooks.marker(c.source) for c in graded_cells(lab)
    ]  # the marker is the name, on the first line
    ids = [c.id for c in lab.cells]
    assert len(ids) == len(set(ids))


def test_stored_without_outputs_and_widget_state(lab):
    assert set(lab.metadata) == {"kernelspec", "language_info"}
    for cell in lab.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
        assert set(cell.metadata) <= {"nbgrader", "tags"}


def test_each_exercise_states_goal_minutes_and_hardware_and_has_a_hidden_test(lab):
    prompts = [
        c.source
        for c in lab.cells
        if c.cell_type == "markdown" and c.source.startswith("## ") and "**Goal**" in c.source
    ]
    assert len(prompts) >= 8
    for text in prompts:
        assert "minutes" in text and ("CPU" in text or "marked by a person" in text), text[:60]
    tests = [c for c in graded_cells(lab) if c.metadata.nbgrader.grade and not c.metadata.nbgrader.solution]
    assert all("### BEGIN HIDDEN TESTS" in c.source for c in tests)
    for cell in tests:  # a student who fails wants to know why
        messages = [n.msg for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Assert) and n.msg]
        assert messages
        for parts in (
            m.values for m in messages if isinstance(m, ast.JoinedStr)
        ):  # feedback shows these alone
            fixed = " ".join(part.value for part in parts if isinstance(part, ast.Constant))
            assert len(re.findall(r"[a-z]+", fixed)) >= 3, fixed
    written = [c for c in graded_cells(lab) if c.metadata.nbgrader.grade and c.metadata.nbgrader.solution]
    assert len(written) == 1 and any("| points | for |" in c.source for c in lab.cells)


def test_no_hint_is_a_line_of_the_answer(lab):
    """A hint asks, or names a function; whole statements and values of the solution are not for it."""

    def bare(code):
        return re.sub(r"""[\s'"()]""", "", code)

    hints = ""
    for cell in lab.cells:
        hints = " ".join(HINT.findall(cell.source)) or hints
        if cell.cell_type != "code" or "### BEGIN SOLUTION" not in cell.source:
            continue
        lines = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Return | ast.Assign)]
        answer = {bare(ast.unparse(part)) for n in lines for part in (n, n.value) if part}
        told = {bare(code) for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", hints)}
        assert not [code for code in told & answer if len(code) > 20], notebooks.marker(cell.source)
        hints = ""


def test_a_sample_answer_keeps_to_the_words_allowed():
    rubrics = (BOOK / "instructors" / "rubrics.md").read_text(encoding="utf-8")
    counted = 0
    for section in rubrics.split("\n## ")[2:-1]:
        most = int(re.search(r"at most (\d+) words", section)[1])
        for sample in re.findall(r"of 5\*\*\n\n((?:>.*\n)+)", section):
            assert len(sample.replace(">", "").split()) <= most, section.split("\n")[0]
            counted += 1
    assert counted == 3 * len(LABS)


def test_the_minutes_of_the_exercises_add_up(lab):
    minutes = [
        int(n)
        for c in lab.cells
        for n in re.findall(r"\*\*Goal\*\*.*?\*\*(\d+) minutes", c.source, re.DOTALL)
    ]
    said = re.search(r"about (\d+)(½?) (minutes|hours); each exercise", lab.cells[0].source)
    promised = (int(said[1]) + bool(said[2]) / 2) * (60 if said[3] == "hours" else 1)
    assert abs(sum(minutes) - promised) <= 10


def test_the_points_that_the_lab_promises_are_those_it_gives(lab):
    points = {True: 0, False: 0}
    for c in graded_cells(lab):
        if c.metadata.nbgrader.grade:
            points[c.metadata.nbgrader.solution] += c.metadata.nbgrader.points
    opening = lab.cells[0].source
    assert (
        f"{points[False]} points by automatic tests" in opening
        and f"{points[True]} points for one written answer" in opening
    )


def test_the_install_cell_follows_the_repository_and_leaves_colab_alone(lab):
    (cell,) = [c for c in lab.cells if "install" in c.metadata.get("tags", [])]
    config = yaml.safe_load((BOOK / "_config.yml").read_text(encoding="utf-8"))
    assert (
        f'git+{config["repository"]["url"]}@{config["repository"]["release"]}"' in cell.source
        and "--no-deps" in cell.source
    )
    assert not any(word in cell.source for word in ("torch==", "numpy==", "import torch", "import numpy"))


# -- in the book ------------------------------------------------------------------------------------------------------


def test_the_page_shows_no_answer_unless_asked_and_never_the_marks():
    text, page = ICL.read_text(encoding="utf-8"), load(BOOK / "book" / "sphinx_labs.py").page
    shown, full = (
        nbformat.reads(page(text, s, "https://c.example/x", "../a.ipynb"), 4) for s in (False, True)
    )
    student, solved = ("\n".join(c.source for c in nb.cells) for nb in (shown, full))
    assert "NormalDist().inv_cdf((1 + level) / 2)" in solved and "inv_cdf((1" not in student
    assert "a price too" in solved and "a price too" not in student  # the message of a hidden test
    for text in (student, solved):
        assert (
            "### BEGIN" not in text
            and "### END" not in text
            and "\n# lab:" not in text
            and "https://c.example/x" in text
        )
    assert shown.metadata["mystnb"]["execution_mode"] == "off"  # an untouched lab raises errors
    assert "mystnb" not in full.metadata
    nbformat.validate(shown)


def test_sphinx_builds_the_student_page_and_its_links(tmp_path, sphinx_app):
    """A small site with the book's theme: buttons, download and the offered source must all be the student version."""
    pytest.importorskip("nbgrader")
    root = tmp_path / "site"
    (root / "labs").mkdir(parents=True)
    shutil.copy(ICL, root / "labs")
    (root / "index.md").write_text(f"# Labs\n\n```{{toctree}}\nlabs/{ICL.stem}\n```\n")
    confoverrides = {
        "extensions": ["myst_nb", "sphinx_labs"],
        "html_theme": "sphinx_book_theme",
        "nb_execution_mode": "force",
        "nb_execution_raise_on_error": True,
        "myst_enable_extensions": ["dollarmath"],
        "html_theme_options": {
            "repository_url": "https://github.com/o/r",
            "launch_buttons": {"colab_url": "https://colab.research.google.com"},
        },
    }
    out = tmp_path / "out"
    sphinx_app(
        root, None, out, tmp_path / "trees", "html", confoverrides, status=None, warningiserror=True
    ).build()
    html = (out / "labs" / f"{ICL.stem}.html").read_text(encoding="utf-8")
    address = f"https://colab.research.google.com/github/o/r/blob/gh-pages/assignments/{ICL.stem}.ipynb"
    links = re.findall(r'href="(https://colab[^"]*)"', html)
    assert len(links) >= 2 and set(links) == {address}
    assert f'href="../assignments/{ICL.stem}.ipynb"' in html
    assert "BEGIN SOLUTION" not in html and "Show the test" in html
    for path in (out / "assignments" / ICL.name, out / "_sources" / "labs" / ICL.name):
        text = path.read_text(encoding="utf-8")
        assert "BEGIN" not in text and "YOUR CODE HERE" in text


def test_the_solution_passes_for_every_student():
    """The reference answers must hold on each student's own data, not only on the example's."""
    nb = nbformat.read(ICL, 4)
    texts = [
        c.source.replace('STUDENT = "example"', "")
        for c in nb.cells
        if c.cell_type == "code" and "%pip" not in c.source
    ]
    code = [compile(text, f"cell {i}", "exec") for i, text in enumerate(texts)]
    for i in range(40):
        room = {"STUDENT": f"student{i}"}
        for cell in code:
            exec(cell, room)
        assert room["STUDENT"] == f"student{i}"


# -- each student's own data ------------------------------------------------------------------------------------------


def test_variants_are_stable_and_differ():
    assert variant(" AB123 ") == variant("ab123")
    assert len({variant(f"s{i}").seed for i in range(2000)}) == 2000
    v = variant("ab123")
    assert v.rng("x").integers(1 << 30) == v.rng("x").integers(1 << 30) != v.rng("y").integers(1 << 30)
    with pytest.raises(ValueError, match="STUDENT is empty"):
        variant("  ")


def test_the_two_comparisons_are_what_they_claim():
    who = set()
    for i in range(60):
        labels, a, b, c = icl_lab.two_comparisons(variant(f"s{i}"))
        right = [int((x == labels).sum()) for x in (a, b, c)]
        assert right[0] < right[1] == right[2]
        p = [icl_lab.exact_p(a, x, labels) for x in (b, c)]
        assert min(p) < 0.05 < max(p)
        who.add(int(np.argmin(p)))
    assert who == {0, 1}  # which one it is must not be the same for all


@pytest.mark.parametrize(
    "counts", [(1, 1, 7, 12), (10, 3, 12, 5), (50, 0, 6, 4), (5, 20, 20, 5), (9, 0, 0, 3)]
)
def test_the_exact_p_is_that_of_statsmodels(counts):
    both, only_a, only_b, neither = counts
    a, b = np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)
    wanted = mcnemar([[both, only_a], [only_b, neither]], exact=True).pvalue
    assert (
        icl_lab.exact_p(a, b, np.ones(len(a)))
        == icl_lab.exact_p(b, a, np.ones(len(a)))
        == pytest.approx(wanted)
    )


def test_the_measured_scores_are_those_of_a_model():
    """Shapes, log-probabilities, the shared first token, and what the lab's text says of them: one label swallows the rest."""
    data = icl_lab.measured()
    assert len(data["labels"]) == len(data["texts"]) == len(data["logprobs"]) == len(data["phrase_tokens"])
    assert (np.bincount(data["labels"]) == len(data["labels"]) // 3).all()
    assert np.exp(np.array(data["logprobs"])).sum(axis=1).max() <= 1
    assert all(good[0] == bad[0] for good, _, bad in data["phrase_tokens"])
    assert data["model"] and data["date"] and data["versions"]["torch"]
    for i in range(20):
        scores, empty, truth = icl_lab.label_scores(variant(f"s{i}"))
        shares = [
            np.bincount(t.argmax(axis=1), minlength=3).max() / len(truth)
            for t in (scores, calibrate(scores, empty))
        ]
        assert shares[0] > 0.5
        items, _ = icl_lab.token_scores(variant(f"s{i}"))
        first = [max(item, key=lambda s: item[s][0]) for item in items]
        assert first != [max(item, key=lambda s: sum(item[s])) for item in items]


# -- repair -----------------------------------------------------------------------------------------------------------


def answer(name, source, **metadata):
    meta = {
        "grade": False,
        "solution": True,
        "locked": False,
        "task": False,
        "grade_id": name,
        "schema_version": 3,
        "checksum": "1" * 32,
    }
    return new_code_cell(f"# lab:{name}\n{source}", metadata={"nbgrader": meta | metadata})


def check(name, source):
    return answer(name, source, grade=True, solution=False, locked=True, points=1)


@pytest.fixture
def release():
    essay = {
        "grade": True,
        "solution": True,
        "locked": False,
        "task": False,
        "points": 2,
        "grade_id": "m-essay",
        "schema_version": 3,
    }
    nb = new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    nb.cells = [
        new_markdown_cell("# Lab"),
        answer("m-f", "def f():\n    # YOUR CODE HERE\n    raise NotImplementedError()"),
        check("m-f-test", "assert f() == 1"),
        answer("m-g", "g = None"),
        check("m-g-test", "assert g == 2"),
        new_markdown_cell("<!-- lab:m-essay -->\nSay why.\n\nYOUR ANSWER HERE", metadata={"nbgrader": essay}),
    ]
    return nb


def submitted(release):
    nb = copy.deepcopy(release)
    nb.cells[1].source = "# lab:m-f\ndef f():\n    return 1"
    nb.cells[3].source = "# lab:m-g\ng = 2"
    nb.cells[5].source = "<!-- lab:m-essay -->\nBecause."
    return nb


def run(nb):
    """Execute the code cells in order; the graded ones that fail."""
    room, failed = {}, []
    for cell in nb.cells:
        if cell.cell_type == "code":
            try:
                exec(cell.source, room)
            except Exception:
                if cell.metadata.get("nbgrader", {}).get("grade"):
                    failed.append(cell.metadata.nbgrader.grade_id)
    return failed


def names(nb):
    return [c.metadata.nbgrader.grade_id for c in nb.cells if "nbgrader" in c.metadata]


WANTED = ["m-f", "m-f-test", "m-g", "m-g-test", "m-essay"]


def test_a_sound_submission_is_left_alone(release):
    nb, said = notebooks.repair(release, submitted(release))
    assert said == [] and names(nb) == WANTED and run(nb) == []


def test_only_the_given_cell_counts_as_heavy(release):
    """Grading leaves heavy cells out, so a student's code must not hide behind the tag, and a lost tag comes back."""
    release.cells.append(new_code_cell("train()", metadata={"tags": ["heavy"]}))
    handed = copy.deepcopy(release)
    handed.cells[-1].metadata = {}
    handed.cells.append(new_code_cell("mine()", metadata={"tags": ["heavy"]}))
    nb, _ = notebooks.repair(release, handed)
    assert [c.metadata.get("tags", []) for c in nb.cells[-2:]] == [["heavy"], []]


def test_marker_line_deleted_but_metadata_there(release):
    nb = submitted(release)
    nb.cells[1].source = "def f():\n    return 1"
    nb, said = notebooks.repair(release, nb)
    assert (
        said == ["m-f: marker line was gone; known by its metadata"] and run(nb) == [] and names(nb) == WANTED
    )


def test_marker_below_blank_lines_and_with_other_spacing(release):
    nb = submitted(release)
    nb.cells[1].source = "\n\n  #lab:m-f   \ndef f():\n    return 1"
    nb.cells[1].metadata.clear()
    nb, said = notebooks.repair(release, nb)
    assert names(nb) == WANTED and run(nb) == []


def test_answer_without_marker_and_metadata_is_refused_with_the_remedy(release):
    nb = submitted(release)
    nb.cells[3] = new_code_cell("g = 2")
    with pytest.raises(
        notebooks.Unmatched,
        match="m-g is missing, and cell 4 defines g: .* put '# lab:m-g' on its first line",
    ):
        notebooks.repair(release, nb)


def test_a_deleted_answer_counts_as_unanswered_and_says_so(release):
    nb = submitted(release)
    del nb.cells[3]
    nb, said = notebooks.repair(release, nb)
    assert said == ["m-g: cell was missing; put back (unanswered)"]
    assert names(nb) == WANTED and run(nb) == ["m-g-test"]


def test_of_two_answers_the_last_counts_also_where_the_test_stood_between(release):
    nb = submitted(release)
    later = copy.deepcopy(nb.cells[1])
    nb.cells[1].source = "# lab:m-f\ndef f():\n    return 0"
    nb.cells.append(later)
    nb, said = notebooks.repair(release, nb)
    assert run(nb) == [] and sorted(names(nb)) == sorted(WANTED)
    assert "m-f: 2 copies; the last counts" in said


def test_answer_and_test_merged_into_one_cell_or_of_the_wrong_kind(release):
    nb = submitted(release)
    nb.cells[1].source += "\n" + nb.cells.pop(2).source
    nb.cells[-1] = new_code_cell(nb.cells[-1].source)
    nb, said = notebooks.repair(release, nb)
    assert names(nb) == WANTED and run(nb) == []
    assert nb.cells[-1].cell_type == "markdown" and nb.cells[-1].source.endswith("Because.")
    assert any("is markdown again" in s for s in said)


def test_points_and_tests_cannot_be_changed_by_the_student(release):
    nb = submitted(release)
    nb.cells[2].source = "# lab:m-f-test\npass"
    nb.cells[2].metadata.nbgrader.points = 100
    nb, said = notebooks.repair(release, nb)
    assert nb.cells[2].source == release.cells[2].source and nb.cells[2].metadata.nbgrader.points == 1
    assert said == ["m-f-test: was edited; the original is back"]


def test_another_labs_notebook_is_refused(release):
    nb = new_notebook(cells=[answer("other-1", "x = 1")])
    with pytest.raises(notebooks.Unmatched, match="another lab: other-1"):
        notebooks.repair(release, nb)
    with pytest.raises(notebooks.Unmatched):
        notebooks.repair(release, new_notebook())


def test_repair_does_not_touch_what_it_is_given(release):
    nb = submitted(release)
    before = json.dumps(nb), json.dumps(release)
    notebooks.repair(release, nb)
    assert (json.dumps(nb), json.dumps(release)) == before


def test_repaired_notebooks_are_valid_whatever_ids_colab_leaves(release):
    nb = submitted(release)
    for cell in nb.cells:
        cell["id"] = "same"
    nbformat.validate(notebooks.repair(release, nb)[0])


# -- the folder of submissions ----------------------------------------------------------------------------------------


@pytest.fixture
def given(release, tmp_path):
    path = tmp_path / "lab_m.ipynb"
    nbformat.write(release, path)
    return path


def test_students_are_found_in_files_folders_and_zips(release, given, tmp_path):
    text = json.dumps(submitted(release))
    folder = tmp_path / "in"
    for name in (
        "ann.ipynb",
        "bo_lab_m.ipynb",
        "cy/lab_m.ipynb",
        "dee (1).ipynb",
        "cy/.ipynb_checkpoints/lab_m-checkpoint.ipynb",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("Eve Li_123/lab_m.ipynb", text)
        archive.writestr("../../fay/lab_m.ipynb", text)  # a path that would leave the folder
    found = course.collect(given, [folder, tmp_path / "more.zip"], tmp_path / "course")
    assert [f.student for f in found if not f.refused] == ["ann", "bo", "cy", "dee", "Eve_Li_123", "fay"]
    assert len(list((tmp_path / "course" / "submitted").glob("*/lab_m/lab_m.ipynb"))) == 6
    assert {p.name for p in tmp_path.iterdir()} == {"in", "more.zip", "course", "lab_m.ipynb"}


def test_two_submissions_of_one_student_and_no_notebook_are_refused(release, given, tmp_path):
    for name in ("a/ann.ipynb", "b/ann.ipynb"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(submitted(release)))
    (tmp_path / "bad.ipynb").write_text("<html>please log in</html>")
    (tmp_path / "odd.ipynb").write_text("[1, 2]")
    found = course.collect(given, [tmp_path / "a"], tmp_path / "course")
    assert not found[0].refused and (tmp_path / "course/submitted/ann/lab_m/lab_m.ipynb").exists()
    found = course.collect(
        given,
        [tmp_path / "a", tmp_path / "b", tmp_path / "bad.ipynb", tmp_path / "odd.ipynb"],
        tmp_path / "course",
    )
    assert all(f.refused for f in found)  # nobody knows which of ann's counts
    assert "2 submissions of student 'ann'" in found[0].refused and "not a notebook" in found[2].refused
    assert not (
        tmp_path / "course/submitted/ann"
    ).exists()  # refused is not graded, also if it was collected before


def test_student_by_pattern_and_a_pattern_that_finds_nobody(release, given, tmp_path):
    path = tmp_path / "Moodle_77_ann_file.ipynb"
    path.write_text(json.dumps(submitted(release)))
    (found,) = course.collect(given, [path], tmp_path / "course", student=r"_(\w+)_file")
    assert found.student == "77_ann"
    with pytest.raises(course.LabError, match="finds no student"):
        course.collect(given, [path], tmp_path / "course", student="no(body)")


def test_a_borrowed_identifier_is_noted(release, given, tmp_path):
    nb = submitted(release)
    nb.cells.append(new_code_cell('STUDENT = "ann"'))
    (tmp_path / "bo.ipynb").write_text(json.dumps(nb))
    (found,) = course.collect(given, [tmp_path / "bo.ipynb"], tmp_path / "course")
    assert found.repairs == ["note: the notebook says STUDENT = 'ann', handed in as 'bo'"]


def test_a_value_of_student_in_two_submissions_is_noted_under_lms_names_too(release, given, tmp_path):
    handed = {
        "Ann Li_1": "ann7",
        "Bo Ng_2": "Ann7 ",
        "Cy Ott_3": "cy",
        "Dee Po_4": "4",
        "Eve Qi_5": "example",
    }
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for who, said in handed.items():
            nb = submitted(release)
            nb.cells.append(new_code_cell(f'STUDENT = "{said}"'))
            archive.writestr(f"{who}_assignsubmission_file_/x.ipynb", json.dumps(nb))
    found = course.collect(given, [tmp_path / "in.zip"], tmp_path / "course")
    assert {f.student: f.repairs for f in found} == {
        "Ann_Li_1": ["note: STUDENT = 'ann7' also in the notebook of Bo_Ng_2"],
        "Bo_Ng_2": ["note: STUDENT = 'ann7' also in the notebook of Ann_Li_1"],
        "Cy_Ott_3": [],
        "Dee_Po_4": [],
        "Eve_Qi_5": [
            "note: the notebook still says STUDENT = 'example': its data are the example's, nobody's own"
        ],
    }


def test_clear_errors_for_what_is_not_there(tmp_path, given, capsys):
    from tunewise import cli

    assert cli.main(["labs", "make", str(tmp_path / "none.ipynb")]) == 1
    assert "no lab notebooks found" in capsys.readouterr().err
    assert cli.main(["labs", "collect", str(given), str(tmp_path / "none"), "--to", str(tmp_path / "c")]) == 1
    assert "does not exist" in capsys.readouterr().err
    assert cli.main(["labs", "grade", str(tmp_path / "c"), str(given)]) == 1
    assert "run `tunewise labs collect` first" in capsys.readouterr().err


def test_who_handed_in_no_notebook_is_refused_by_name_and_extra_files_are_not(
    release, given, tmp_path, capsys
):
    from tunewise import cli

    text = json.dumps(submitted(release))
    for name in ("ann.ipynb", "report.pdf", "cy/lab_m.ipynb", "cy/data/x.csv", "dee/answer.py", ".DS_Store"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(text)
    with zipfile.ZipFile(tmp_path / "moodle.zip", "w") as archive:
        archive.writestr("Eve Li_1_assignsubmission_file_/x.ipynb", text)
        archive.writestr("Eve Li_1_assignsubmission_onlinetext_/onlinetext.html", "see file")
        archive.writestr("Fay Ng_2_assignsubmission_onlinetext_/onlinetext.html", "my answers")
        archive.writestr("Gus Ott_3_assignsubmission_file_/lab.pdf", "%PDF")
    handed = [str(tmp_path / "in"), str(tmp_path / "moodle.zip")]
    assert cli.main(["labs", "collect", str(given), *handed, "--to", str(tmp_path / "course")]) == 1
    said = capsys.readouterr().out
    assert "3 collected" in said and "4 refused" in said
    lines = (tmp_path / "course" / "repairs.csv").read_text().splitlines()
    refused = [line.split(",")[0] for line in lines if "no .ipynb in what was handed in" in line]
    assert sorted(refused) == ["Fay_Ng_2", "Gus_Ott_3", "dee", "report"]
    # the other way to hand the same folder over
    found = course.collect(given, sorted((tmp_path / "in").glob("[!.]*")), tmp_path / "again")
    assert [Path(f.path).name for f in found if f.refused] == ["answer.py", "report.pdf"]
