"""Grade a made-up class for every lab, by the commands that an instructor types, and hold each mark against what it must be.

    .venv/bin/python bench/labs_class.py              every lab: 14 submissions each
    .venv/bin/python bench/labs_class.py --sixty      one lab, sixty submissions: how long does it take?

A class is: solved, untouched, three mistakes of tests/lab_answers, four files that were damaged on their way, five hostile ones. What each earned and
how long the class took goes into data/bench/labs.json. A lab that is there already is not graded again; --fresh does.
"""

import argparse
import contextlib
import copy
import csv
import json
import os
import platform
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "book")]

import test_labs_grading as icl  # noqa: E402

from tunewise import cli  # noqa: E402
from whentofinetune.labs import notebooks  # noqa: E402

RESULT = ROOT / "data" / "bench" / "labs.json"
HOSTILE = {
    "hunter": "import pathlib\nfound = [p for p in pathlib.Path('/').rglob('*.ipynb')]\nassert not found, found",
    "writer": "with __import__('contextlib').suppress(OSError):\n    open('/etc/marks', 'w').write('full')\n    raise SystemExit('written')",
    "caller": "import socket\nwith __import__('contextlib').suppress(OSError):\n    socket.create_connection(('127.0.0.1', 22), 5)\n    raise SystemExit('called')",
    "printer": "for _ in range(1000):\n    print('y' * 10**6)",
    "quitter": "import os\nos._exit(0)",
}


def answers(nb):
    """Places of the cells with an answer in code."""
    return [
        i
        for i, c in enumerate(nb.cells)
        if c.cell_type == "code" and c.metadata.get("nbgrader", {}).get("solution")
    ]


def duplicated(nb):
    """The last answer twice: first a wrong one with the metadata, last the right one."""
    at = answers(nb)[-1]
    nb.cells.append(copy.deepcopy(nb.cells[at]))
    nb.cells[at].source = nb.cells[at].source.split("\n")[0] + "\n1 / 0"


def deleted(nb):
    """A test cell is gone, another was emptied by the student."""
    tests = [i for i, c in enumerate(nb.cells) if (notebooks.marker(c.source) or "").endswith("-test")]
    nb.cells[tests[1]].source = nb.cells[tests[1]].source.split("\n")[0] + "\npass"
    del nb.cells[tests[0]]


def colab(nb):
    """Keys of another editor, no ids, outputs, two cells merged."""
    for i, cell in enumerate(nb.cells):
        cell.pop("id", None)
        cell.metadata.update({"id": f"c{i // 2}", "colab": {"base_uri": "https://localhost:8080/"}})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [nbformat.v4.new_output("stream", text="...")], i
    at = answers(nb)[0]
    nb.cells[at].source += "\n\n" + nb.cells.pop(at + 1).source
    nb.metadata.kernelspec = {"name": "conda-root-py", "display_name": "mine"}
    nb.nbformat_minor = 0


DAMAGED = {"stripped": icl.stripped, "duplicated": duplicated, "deleted": deleted, "colab": colab}


def mistakes(lab):
    """Name -> (a function that makes the mistake, names of the test cells that it loses)."""
    if lab == icl.LAB:
        lost = {"wald": {"icl-wilson-test", "icl-choose-test"}}
        lost["luck"] = {"icl-curve-test", "icl-break-even-test", "icl-calibrate-test", "icl-decide-test"}
        return {"wald": (icl.wrong_wald, lost["wald"]), "luck": (icl.wrong_luck, lost["luck"])}

    def maker(wrong):
        def make(nb):
            for name, pairs in wrong["change"].items():
                for pair in pairs:
                    icl.change(nb, name, pair["old"], pair["new"])

        return make

    listed = yaml.safe_load((ROOT / "tests" / "lab_answers" / f"{lab}.yml").read_text(encoding="utf-8"))
    return {f"mistake{i}": (maker(w), set(w["loses"])) for i, w in enumerate(listed[:3], 1)}


def hand_in(release, source, lab, folder):
    """Write the class into a folder. Returns student -> names of the test cells that must fail (None: no mark, but a report)."""
    must = {
        "solved": set(),
        "untouched": {n for c in source.cells if (n := notebooks.marker(c.source) or "").endswith("-test")},
    }
    class_ = {"solved": icl.solved(release, source, "solved"), "untouched": copy.deepcopy(release)}
    for name, damage in DAMAGED.items():
        class_[name], must[name] = icl.solved(release, source, name), set()
        damage(class_[name])
    for name, (make, lost) in mistakes(lab).items():
        class_[name], must[name] = (
            icl.solved(release, source, "ab123"),
            lost,
        )  # what a mistake costs may depend on the data
        make(class_[name])
    for name, code in HOSTILE.items():
        class_[name], must[name] = icl.solved(release, source, name), None if name == "quitter" else set()
        class_[name].cells[answers(class_[name])[0]].source += f"\n{code}"
    for name, nb in class_.items():
        write(nb, folder / name, f"{lab}.ipynb")
    return must


def graded(path, base, hand):
    """Marks by student, points by test, what ``hand`` (release, source, folder) returned, and the seconds that grading took."""
    given, course, handed = base / "given", base / "course", base / "in"
    with contextlib.redirect_stdout(sys.stderr):
        assert cli.main(["labs", "make", str(path), "--to", str(given)]) == 0
        release, source = nbformat.read(given / path.name, 4), nbformat.read(path, 4)
        must = hand(release, source, handed)
        assert cli.main(["labs", "collect", str(given / path.name), str(handed), "--to", str(course)]) == 0
        began = time.monotonic()
        cli.main(
            [
                "labs",
                "grade",
                str(course),
                str(path),
                "--csv",
                str(base / "marks.csv"),
                "--seconds",
                "300",
                "--jobs",
                "2",
            ]
        )
    seconds = time.monotonic() - began
    with (base / "marks.csv").open(encoding="utf-8") as file:
        marks = {row["student"]: row for row in csv.DictReader(file)}
    cells = [
        c.metadata.nbgrader
        for c in source.cells
        if c.metadata.get("nbgrader", {}).get("grade") and not c.metadata.nbgrader.solution
    ]
    return marks, {c.grade_id: c.points for c in cells}, must, seconds


def faults(marks, points, must):
    """What is not as it must be, a sentence each."""
    for student, lost in must.items():
        row = marks[student]
        if lost is None:
            if not row["error"]:
                yield f"{student}: no report"
            continue
        failed = {q for q, most in points.items() if not row["error"] and float(row[q] or 0) < most}
        if row["error"] or failed != lost:
            yield f"{student}: lost {sorted(failed)}, must lose {sorted(lost)} {row['error']}"


def sixty(release, source, folder):
    """Sixty students who solved everything."""
    for i in range(60):
        write(icl.solved(release, source, f"s{i}"), folder, f"s{i}.ipynb")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("labs", nargs="*", help="stems such as lab_cost; all if none")
    parser.add_argument("--sixty", action="store_true", help="time sixty submissions of the first lab")
    parser.add_argument("--fresh", action="store_true")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found = (
        json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {"classes": {}, "sixty": {}}
    )
    bad = 0
    for stem in args.labs or sorted(p.stem for p in (ROOT / "labs").glob("lab_*.ipynb")):
        path = ROOT / "labs" / f"{stem}.ipynb"
        part = found["sixty" if args.sixty else "classes"]
        if stem in part and not args.fresh:
            continue
        with tempfile.TemporaryDirectory() as folder:
            if args.sixty:
                marks, points, _, seconds = graded(path, Path(folder), sixty)
                wrong = [s for s, row in marks.items() if float(row["total"] or 0) < sum(points.values())]
            else:
                marks, points, must, seconds = graded(
                    path, Path(folder), lambda r, s, to, stem=stem: hand_in(r, s, stem, to)
                )
                wrong = list(faults(marks, points, must))
        bad += len(wrong)
        part[stem] = {
            "submissions": len(marks),
            "points": sum(points.values()),
            "faults": wrong,
            "seconds": round(seconds),
        }
        part[stem] |= {
            "date": f"{date.today()}",
            "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        }
        RESULT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(
            f"{stem}: {len(marks)} submissions in {seconds:.0f} s; {'; '.join(wrong) or 'every mark as it must be'}",
            flush=True,
        )
        if args.sixty:
            break
    return 1 if bad else 0


def write(nb, folder, name):
    """A submission in a folder of its student's name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(nb), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
