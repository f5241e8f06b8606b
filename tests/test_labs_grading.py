"""The whole way of a lab through nbgrader's own autograder: student version out, submissions back, repaired, graded."""

import copy
import csv
import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("nbgrader")

from conftest import load

from tunewise import cli
from whentofinetune.labs import course, notebooks, sandbox

SOURCE = Path(__file__).parents[1] / "labs" / "lab_icl_vs_finetuning.ipynb"
LAB = SOURCE.stem
sphinx_labs = load(SOURCE.parents[1] / "book" / "sphinx_labs.py")


def solved(release, source, student="ab123", only=None):
    """The release with the source's answers filled in (of the questions in ``only``), as a student would."""
    nb = copy.deepcopy(release)
    answers = {
        notebooks.marker(c.source): sphinx_labs.readable(c.source)
        for c in source.cells
        if notebooks.marker(c.source)
    }
    for cell in nb.cells:
        name = notebooks.marker(cell.source)
        if cell.metadata.get("nbgrader", {}).get("solution") and (only is None or name in only):
            cell.source = cell.source.split("\n")[0] + "\n" + answers[name]
        cell.source = cell.source.replace('STUDENT = "example"', f'STUDENT = "{student}"')
    return nb


def find(nb, name):
    return next(i for i, c in enumerate(nb.cells) if notebooks.marker(c.source) == name)


def change(nb, name, old, new):
    cell = nb.cells[find(nb, name)]
    assert old in cell.source
    cell.source = cell.source.replace(old, new)


def stripped(nb):
    """What nbstripout-like tools and old editors leave."""
    for cell in nb.cells:
        cell.metadata.clear()


def duplicated(nb):
    """The answer pasted twice: the old one where it was, metadata and all, the better one at the end, and an untouched copy last."""
    good = nb.cells[find(nb, "icl-choose")]
    stub = copy.deepcopy(good)
    stub.source = sphinx_labs.cleared(nbformat.read(SOURCE, 4).cells[find(nb, "icl-choose")].source, "code")
    better = copy.deepcopy(good)
    good.source = "# lab:icl-choose\ndef choose(item):\n    return 'no idea'"
    nb.cells += [better, stub]


def deleted(nb):
    """A test cell and the setup deleted, another test emptied by the student."""
    del nb.cells[find(nb, "icl-decide-test")]
    del nb.cells[find(nb, "icl-setup")]
    nb.cells[find(nb, "icl-break-even-test")].source = "# lab:icl-break-even-test\npass"


def colab(nb):
    """As Colab saves it: badge cell, its own keys, no cell ids, widgets without state, outputs; one answer moved into the cell above."""
    badge = '<a href="https://colab.research.google.com/github/x/y/z.ipynb"><img src="https://colab.research.google.com/assets/colab-badge.svg"/></a>'
    nb.cells.insert(
        0, nbformat.v4.new_markdown_cell(badge, metadata={"id": "view-in-github", "colab_type": "text"})
    )
    for i, cell in enumerate(nb.cells):
        cell.pop("id", None)
        cell.metadata.pop("nbgrader", None) if i % 3 == 0 else None
        cell.metadata.update({"id": f"c{i // 2}", "colab": {"base_uri": "https://localhost:8080/"}})
        if cell.cell_type == "code":
            cell.metadata["outputId"] = f"o{i}"
            cell.outputs = [nbformat.v4.new_output("stream", text="…")]
            cell.execution_count = i
    at = find(nb, "icl-wilson-test")
    nb.cells[at - 1].source += "\n\n" + nb.cells.pop(at).source  # two cells merged
    nb.metadata.update(
        {
            "accelerator": "GPU",
            "colab": {"provenance": [], "gpuType": "T4"},
            "widgets": {"application/vnd.jupyter.widget-state+json": {}},
        }
    )
    nb.metadata.kernelspec = {"name": "conda-root-py", "display_name": "mine"}
    nb.nbformat_minor = 0


def wrong_wald(nb):
    """Wald's interval, no look at n; averages where it should add; the rest right."""
    change(
        nb,
        "icl-wilson",
        "return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)",
        "return p - z * math.sqrt(p * (1 - p) / n), p + z * math.sqrt(p * (1 - p) / n)",
    )
    change(nb, "icl-choose", "sum(item[answer])", "sum(item[answer]) / len(item[answer])")


def wrong_luck(nb):
    """Takes the first size that clears, forgets the cache price, averages logarithms, decides by the value instead of the interval."""
    change(nb, "icl-curve", "reverse=True", "reverse=False")
    change(nb, "icl-curve", "            break\n        best = n", "            continue\n        return n")
    change(nb, "icl-break-even", '(price["in"] if cached is None else cached)', '(cached or price["in"])')
    change(
        nb,
        "icl-calibrate",
        "probabilities(np.array(empty)).mean(axis=0)",
        "np.exp(np.array(empty).mean(axis=0))",
    )
    change(nb, "icl-decide", 'gain["low"] > 0', 'gain["value"] > 0')


def wrong_definitions(nb):
    """Half-remembered definitions: chance is one over the classes, one tail of the test, alpha alone, spaces at the ends only, a colon that is text."""
    change(nb, "icl-chance", "max(Counter(list(labels)).values()) / len(labels)", "1 / len(set(labels))")
    change(
        nb,
        "icl-paired",
        "min(1.0, 2 * sum(math.comb(m, i) for i in range(s + 1)) / 2**m)",
        "sum(math.comb(m, i) for i in range(s + 1)) / 2**m",
    )
    change(nb, "icl-prompt", "{' '.join(tweet.split())}", "{tweet.strip()}")
    change(nb, "icl-lora", "alpha / len(A) *", "alpha *")
    change(nb, "icl-leak", 'text.lower()).replace(":", " ")', "text.lower())")


def unmatched(nb):
    """Everything retyped without metadata and without the first lines."""
    stripped(nb)
    for cell in nb.cells:
        cell.source = re.sub(notebooks.MARKER.pattern + r"[^\n]*\n", "", cell.source)


DAMAGE = {
    "clean": None,
    "stripped": stripped,
    "duplicated": duplicated,
    "deleted": deleted,
    "colab": colab,
    "wald": wrong_wald,
    "luck": wrong_luck,
    "definitions": wrong_definitions,
    "unmatched": unmatched,
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """All submissions collected and graded once, by the commands an instructor types."""
    base = tmp_path_factory.mktemp("course")
    assert cli.main(["labs", "make", str(SOURCE), "--to", str(base / "given")]) == 0
    release = nbformat.read(base / "given" / SOURCE.name, 4)
    source = nbformat.read(SOURCE, 4)
    handed = base / "handed in"
    handed.mkdir()
    for student, damage in DAMAGE.items():
        nb = solved(release, source, student=student)
        if damage:
            damage(nb)
        (handed / f"{student}.ipynb").write_text(
            json.dumps(nb), encoding="utf-8"
        )  # as it is, not made valid by nbformat
    (handed / "untouched").mkdir()
    shutil.copy(base / "given" / SOURCE.name, handed / "untouched" / SOURCE.name)
    assert (
        cli.main(
            ["labs", "collect", str(base / "given" / SOURCE.name), str(handed), "--to", str(base / "course")]
        )
        == 1
    )  # one refused
    how = ["--unsafe"] if sandbox.missing() else []  # these are ours
    assert (
        cli.main(
            [
                "labs",
                "grade",
                str(base / "course"),
                str(SOURCE),
                "--csv",
                str(base / "marks.csv"),
                "--feedback",
                *how,
            ]
        )
        == 0
    )
    assert (base / "course" / "feedback" / "wald" / LAB / f"{LAB}.html").exists()
    with (base / "marks.csv").open(encoding="utf-8") as file:
        marks = {row["student"]: row for row in csv.DictReader(file)}
    with (base / "course" / "repairs.csv").open(encoding="utf-8") as file:
        repairs = list(csv.DictReader(file))
    points = {
        c.metadata.nbgrader.grade_id: c.metadata.nbgrader.points
        for c in source.cells
        if c.metadata.get("nbgrader", {}).get("grade")
    }
    return marks, repairs, points


def auto(points):
    return {k: v for k, v in points.items() if k.endswith("-test")}


def lost(row, points):
    """Questions with less than full points."""
    return {q for q, most in auto(points).items() if float(row[q]) < most}


@pytest.mark.parametrize("student", ["clean", "stripped", "duplicated", "deleted", "colab"])
def test_right_answers_get_full_marks_whatever_happened_to_the_file(graded, student):
    marks, _, points = graded
    assert lost(marks[student], points) == set()
    assert float(marks[student]["total"]) == sum(auto(points).values())
    assert marks[student]["by_hand"] == "icl-advice"  # a person reads it


def test_the_untouched_lab_gets_nothing(graded):
    marks, _, _ = graded
    assert float(marks["untouched"]["total"]) == 0
    assert marks["untouched"]["by_hand"] == ""  # nothing was written, so nothing to read: zero


def test_plausible_wrong_answers_lose_just_their_own_points(graded):
    marks, _, points = graded
    assert lost(marks["wald"], points) == {"icl-wilson-test", "icl-choose-test"}
    assert lost(marks["luck"], points) == {
        "icl-curve-test",
        "icl-break-even-test",
        "icl-calibrate-test",
        "icl-decide-test",
    }
    assert lost(marks["definitions"], points) == {
        "icl-chance-test",
        "icl-against-test",  # right as it stands, but it asks the wrong chance
        "icl-paired-test",
        "icl-prompt-test",
        "icl-lora-test",
        "icl-leak-test",
    }


def test_what_cannot_be_matched_is_refused_and_not_graded(graded):
    marks, repairs, _ = graded
    assert marks["unmatched"]["total"] == "" and marks["unmatched"]["error"].startswith("refused: ")
    (row,) = [r for r in repairs if r["student"] == "unmatched"]
    assert row["outcome"] == "refused" and "# lab:NAME" in row["what"]


def test_each_repair_is_reported(graded):
    _, repairs, _ = graded
    said = {s: " | ".join(r["what"] for r in repairs if r["student"] == s) for s in DAMAGE}
    assert said["clean"] == ""
    assert "all of nbgrader's metadata was gone" in said["stripped"]
    assert "icl-choose: 3 copies; the last that was answered counts" in said["duplicated"]
    assert "icl-choose-test: stood before its answer; moved behind it" in said["duplicated"]
    for what in (
        "icl-decide-test: cell was missing",
        "icl-setup: cell was missing",
        "icl-break-even-test: was edited",
    ):
        assert what in said["deleted"]
    for what in (
        "widget metadata without its state",
        "icl-wilson, icl-wilson-test",
        "metadata was gone",
        "conda-root-py",
    ):
        assert what in said["colab"]


def test_the_student_version_has_no_answers(graded, tmp_path):
    source, release = nbformat.read(SOURCE, 4), nbformat.read(course.make(SOURCE, tmp_path), 4)
    text = "\n".join(c.source for c in release.cells)
    assert "BEGIN" not in text and "HIDDEN" not in text and "{admonition}" not in text and "<details>" in text
    for cell in source.cells:
        for region in re.findall(
            r"### BEGIN (?:SOLUTION|HIDDEN TESTS)\n(.*?)### END", cell.source, re.DOTALL
        ):
            for line in region.split("\n"):
                if len(line.strip()) > 12:
                    assert line.strip() not in text
    nbformat.validate(release)
    assert not any(c.get("outputs") for c in release.cells)
    # what the site shows is cut by our own few lines: they must do what nbgrader does
    assert [notebooks.open_hints(sphinx_labs.cleared(c.source, c.cell_type)) for c in source.cells] == [
        c.source for c in release.cells
    ]
    assert course.make(SOURCE, tmp_path, solutions=True).read_bytes() == SOURCE.read_bytes()
