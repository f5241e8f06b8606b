"""Submissions as Moodle and Canvas name them, and marks as they take them."""

import csv
import zipfile

import nbformat
import pytest

from whentofinetune.labs import course, grading, lms

LAB = "lab_tiny"


def marks(*students):
    return [grading.Marks(s, LAB, {"q": (2.5 + i, 4.0)}) for i, s in enumerate(students)]


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_students_are_found_in_the_zip_of_moodle_and_of_canvas(tmp_path):
    cell = nbformat.v4.new_code_cell("# lab:q\nx = 1")
    cell.metadata["nbgrader"] = {
        "schema_version": 3, "grade_id": "q", "task": False, "locked": False, "solution": True, "grade": False
    }  # fmt: skip
    nb = nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))
    (tmp_path / f"{LAB}.ipynb").write_text(nb)
    names = {
        "Ada María Lovelace_12345_assignsubmission_file_/my lab.ipynb": "Ada_María_Lovelace_12345",
        "hopper-grace_678_assignsubmission_file_/lab_tiny.ipynb": "hopper-grace_678",
        f"turingalan_901_55501_{LAB}-1.ipynb": "turingalan_901",
        f"noetheremmy_LATE_902_55502_{LAB}.ipynb": "noetheremmy_902",
        f"kleinfelix_903_LATE_55503_{LAB}.ipynb": "kleinfelix_903",
    }
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as packed:
        for name in names:
            packed.writestr(name, nb)
    collected = course.collect(tmp_path / f"{LAB}.ipynb", [tmp_path / "in.zip"], tmp_path / "course")
    assert {c.path: c.student for c in collected} == names and not any(c.refused for c in collected)


def test_moodles_worksheet_comes_back_with_grades_and_all_its_columns(tmp_path):
    sheet = tmp_path / "worksheet.csv"
    sheet.write_text(
        "\ufeffIdentifier,Full name,Email address,Status,Grade,Maximum Grade,Feedback comments\n"
        'Participant 12345,Ada Lovelace,al1@example.org,Submitted,,4.00,"kept, too"\n'
        "Participant 678,Grace Hopper,gh2@example.org,Submitted,,4.00,\n"
        "Participant 9,Emmy Noether,en3@example.org,No submission,,4.00,\n",
        encoding="utf-8",
    )
    unknown = lms.write(marks("Ada_Lovelace_12345", "gh2", "stranger"), "moodle", sheet, tmp_path / "out.csv")
    out = rows(tmp_path / "out.csv")
    assert [r["Grade"] for r in out] == ["2.5", "3.5", ""] and unknown == ["stranger"]
    assert out[0]["Feedback comments"] == "kept, too" and out[0]["Identifier"] == "Participant 12345"


def test_another_maximum_in_moodle_is_no_silent_scale(tmp_path):
    sheet = tmp_path / "worksheet.csv"
    sheet.write_text("Identifier,Full name,Grade,Maximum Grade\nParticipant 1,Ada Lovelace,,100\n")
    with pytest.raises(course.LabError, match="set the assignment's maximum grade to 4"):
        lms.write(marks("Ada_Lovelace_1"), "moodle", sheet, tmp_path / "out.csv")


def test_canvas_gets_its_columns_and_the_column_of_the_lab(tmp_path):
    book = tmp_path / "gradebook.csv"
    book.write_text(
        f"Student,ID,SIS User ID,SIS Login ID,Section,{LAB} (77),Other (78)\n"
        '    Points Possible,,,,,"",10\n'
        '"Turing, Alan",901,s1,at1,A,,7\n"Noether, Emmy",902,s2,en2,A,,8\n'
    )
    assert lms.write(marks("turingalan_901", "en2"), "canvas", book, tmp_path / "out.csv") == []
    out = rows(tmp_path / "out.csv")
    assert list(out[0]) == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", f"{LAB} (77)"]
    assert [r[f"{LAB} (77)"] for r in out] == ["4", "2.5", "3.5"]


def test_without_a_roster_the_names_of_the_files_are_enough(tmp_path):
    lms.write(marks("Ada_Lovelace_12345"), "moodle", None, tmp_path / "m.csv")
    assert rows(tmp_path / "m.csv") == [
        {"Identifier": "Participant 12345", "Full name": "Ada Lovelace", "Grade": "2.5"}
    ]
    lms.write(marks("turingalan_901"), "canvas", None, tmp_path / "c.csv")
    assert rows(tmp_path / "c.csv")[0]["ID"] == "901" and rows(tmp_path / "c.csv")[0][LAB] == "2.5"
    with pytest.raises(course.LabError, match="--roster"):
        lms.write(marks("ab123"), "canvas", None, tmp_path / "c.csv")


def test_namesakes_are_not_guessed_and_a_failed_run_gives_no_grade(tmp_path):
    sheet = tmp_path / "worksheet.csv"
    sheet.write_text("Identifier,Full name,Grade\nParticipant 1,Li Wei,\nParticipant 2,Li Wei,\n")
    failed = grading.Marks("Li_Wei_2", LAB, {}, "the notebook ended Python")
    assert lms.write([*marks("Li_Wei"), failed], "moodle", sheet, tmp_path / "out.csv") == ["Li_Wei"]
    assert [r["Grade"] for r in rows(tmp_path / "out.csv")] == ["", ""]


@pytest.mark.parametrize("text", ["", "name,mark\nAda,1\n"])
def test_a_list_that_is_no_export_is_named(tmp_path, text):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(course.LabError, match="grading worksheet"):
        lms.write(marks("Ada_1"), "moodle", tmp_path / "r.csv", tmp_path / "out.csv")


@pytest.mark.parametrize("system, column", [("moodle", "Grade"), ("canvas", LAB)])
def test_no_grade_while_a_written_answer_waits_unless_asked_for(tmp_path, system, column):
    waits = grading.Marks("Grace_Hopper_2", LAB, {"q": (2.5, 4.0), "advice": (None, 3.0)})
    read = grading.Marks("Ada_Lovelace_1", LAB, {"q": (2.5, 4.0), "advice": (0.0, 3.0)})
    lms.write([waits, read], system, None, tmp_path / "out.csv")
    assert [r[column] for r in rows(tmp_path / "out.csv")] == ["", "2.5"]
    lms.write([waits, read], system, None, tmp_path / "out.csv", unfinished=True)
    assert [r[column] for r in rows(tmp_path / "out.csv")] == ["2.5", "2.5"]


def test_marks_name_what_to_look_at_and_who_was_refused(tmp_path):
    (tmp_path / "repairs.csv").write_text(
        "student,file,outcome,what,lab\n"
        f"Bo_2,x.pdf,refused,no notebook,{LAB}\nCy_3,y.pdf,refused,no notebook,lab_other\nDee_4,z,clean,,{LAB}\n"
    )
    (done,) = marks("Ada_1")
    done.look, done.notes = ["eval", "exec"], ["q ran into its time limit"]
    out = rows(grading.write_csv([done, *grading.refused(tmp_path, LAB)], tmp_path / "marks.csv"))
    assert [(r["student"], r["error"]) for r in out] == [("Ada_1", ""), ("Bo_2", "refused: no notebook")]
    assert out[0]["look_at"] == "eval exec; q ran into its time limit" and out[1]["total"] == ""


def test_a_lab_under_another_name_is_told_which_labs_were_collected(tmp_path):
    handed_in = tmp_path / "submitted" / "ab1" / LAB / f"{LAB}.ipynb"
    handed_in.parent.mkdir(parents=True)
    handed_in.touch()
    with pytest.raises(course.LabError, match=f"submissions of {LAB}"):
        grading.grade(tmp_path, tmp_path / "my_private.ipynb", ["ab1"])
