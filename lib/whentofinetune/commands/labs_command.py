"""``tunewise labs``: student versions, repair of submissions, marks, the quiz bank."""

import argparse
import sys
from pathlib import Path

from whentofinetune.labs import course, feedback, grading, lms, quiz
from whentofinetune.labs.grading import Limits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The steps of the command and their options."""
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)

    make = steps.add_parser("make", help="write the student versions")
    make.add_argument("labs", nargs="*", type=Path, help="lab notebooks or their folder (all of labs/)")
    make.add_argument("--to", type=Path, default=Path("_build/assignments"), help="folder (%(default)s)")
    make.add_argument("--with-solutions", action="store_true", help="keep solutions and hidden tests")

    about = (
        "Repair submissions by the first line of their cells and put them where nbgrader looks. What cannot be "
        "matched is refused, not graded."
    )
    short = "repair submissions and put them into a course folder"
    collect = steps.add_parser("collect", help=short, description=about)
    collect.add_argument("release", type=Path, help="the student version that was given out")
    collect.add_argument("submissions", nargs="+", type=Path, help="notebooks, folders of them, or zip files")
    collect.add_argument("--to", type=Path, required=True, metavar="COURSE_DIR", help="course folder")
    pattern = "finds the student in a path, as its one group (file or folder name)"
    collect.add_argument("--student", metavar="REGEX", help=pattern)

    about = (
        "Autograde with nbgrader. Students' code runs in a sandbox (bubblewrap, or a container): no network, no files but its own. What was graded and "
        "has not changed since is not run again."
    )
    grade = steps.add_parser("grade", help="autograde what was collected", description=about)
    grade.add_argument("course", type=Path, metavar="COURSE_DIR")
    grade.add_argument("source", type=Path, help="the lab with solutions and hidden tests (labs/lab_….ipynb)")
    grade.add_argument("--only", nargs="+", metavar="STUDENT", help="grade these students only")
    grade.add_argument("--again", action="store_true", help="run again what was graded before")
    grade.add_argument(
        "--jobs", type=int, default=Limits.jobs, help="submissions at the same time (%(default)s)"
    )
    grade.add_argument("--seconds", type=int, default=Limits.seconds, help="for one notebook (%(default)s)")
    grade.add_argument(
        "--memory", type=float, default=Limits.memory_gb, metavar="GB", help="of a process (%(default)g)"
    )
    where = "where students' code runs; container: docker or podman, in an image that is built the first time (%(default)s)"
    grade.add_argument("--sandbox", choices=("bubblewrap", "container"), default="bubblewrap", help=where)
    unsafe = "no sandbox: students' code runs with your rights, files and network"
    grade.add_argument("--unsafe", dest="sandbox", action="store_const", const="none", help=unsafe)
    grade.add_argument(
        "--lms", choices=("moodle", "canvas"), help="write the marks as this LMS takes them, too"
    )
    early = "give the LMS totals of students, too, whose written answer is not marked yet"
    grade.add_argument("--unfinished", action="store_true", help=early)
    export = "the LMS's own list: Moodle's grading worksheet, Canvas's gradebook"
    grade.add_argument("--roster", type=Path, metavar="CSV", help=export)
    grade.add_argument(
        "--feedback", action="store_true", help="write a page for each student, and all as a zip file"
    )
    grade.add_argument("--csv", type=Path, help="where the marks go (COURSE_DIR/marks.csv)")

    quiz = steps.add_parser("quiz", help="write the quiz bank as Moodle or Canvas imports it")
    forms = "moodle: Moodle XML; qti: QTI 1.2 in a zip file, for Canvas"
    quiz.add_argument("--format", choices=("moodle", "qti"), required=True, help=forms)
    quiz.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    poll = "no answers: every choice counts as right, none has a reason; for a vote in class, or to give out"
    quiz.add_argument("--poll", action="store_true", help=poll)
    quiz.add_argument("--chapter", nargs="+", default=[], help="the questions on these chapters only")


def main(args: argparse.Namespace) -> int:
    """Do one step; 1 where a submission was refused, could not be graded, or nothing could be done."""
    try:
        return {"make": _make, "collect": _collect, "grade": _grade, "quiz": _quiz}[args.step](args)
    except (course.LabError, ValueError) as error:
        print(f"tunewise labs: {error}", file=sys.stderr)
        return 1


def _make(args) -> int:
    for source in course.sources(args.labs):
        print(course.make(source, args.to, args.with_solutions))
    return 0


def _collect(args) -> int:
    reports = course.collect(args.release, args.submissions, args.to, args.student)
    for r in reports:
        print(f"{r.student}: {'REFUSED' if r.refused else 'repaired' if r.repairs else 'clean'}  ({r.path})")
        for what in [r.refused] if r.refused else r.repairs:
            print(f"  - {what}")
    refused = sum(r.refused is not None for r in reports)
    listed = f"the list is in {args.to / 'repairs.csv'}"
    print(f"{len(reports) - refused} collected in {args.to}, {refused} refused; {listed}")
    return 1 if refused else 0


def _grade(args) -> int:
    if args.roster and not args.lms:
        raise course.LabError("--roster needs --lms moodle or --lms canvas")
    limits = Limits(args.sandbox, args.seconds, args.memory, max(1, args.jobs))
    marks = grading.grade(args.course, args.source, args.only, limits=limits, again=args.again)
    width = max(len(m.student) for m in marks)
    for m in marks:
        if m.error:
            print(f"{m.student:{width}}  NOT GRADED: {m.error}")
            continue
        zero = [q for q, (points, _) in m.questions.items() if points == 0]
        by_hand = f"   to mark by hand: {', '.join(m.by_hand)}" if m.by_hand else ""
        none = f"   no points: {', '.join(zero)}" if zero else ""
        look = f"   look at the code: it uses {', '.join(m.look)}" if m.look else ""
        look += "".join(f"   note: {note}" for note in m.notes)
        print(f"{m.student:{width}}  {m.total:g} of {m.maximum:g}{by_hand}{none}{look}")
    graded = {m.student for m in marks}
    refused = [
        m for m in grading.refused(args.course, args.source.stem) if not args.only and m.student not in graded
    ]
    for m in refused:
        print(f"{m.student:{width}}  {m.error}")
    path = grading.write_csv([*marks, *refused], args.csv or args.course / "marks.csv")
    print(f"Marks: {path}. Written answers: start `jupyter lab` in {args.course} and open Formgrader.")
    if args.lms:
        path = args.course / f"{args.lms}.csv"
        unknown = lms.write(marks, args.lms, args.roster, path, args.unfinished)
        print(f"For {args.lms.title()}: {path}")
        waiting = [m.student for m in marks if m.by_hand and not m.error]
        if waiting and not args.unfinished:
            how = "mark it and run this again, or give --unfinished"
            print(f"No new grade in that file, because a written answer waits: {', '.join(waiting)}; {how}")
        if unknown:
            print(f"Not in the roster, so not in that file: {', '.join(unknown)}")
    if args.feedback:
        print(f"Feedback: {feedback.write(marks, args.course, args.source)}")
    return 1 if any(m.error for m in marks) else 0


def _quiz(args) -> int:
    bank = quiz.poll(quiz.read(args.chapter)) if args.poll else quiz.read(args.chapter)
    try:
        path = quiz.write(bank, args.format, args.output)
    except OSError as error:
        raise course.LabError(f"{args.output} cannot be written: {error.strerror}") from error
    print(f"{sum(map(len, bank.values()))} questions on {len(bank)} chapters: {path}")
    return 0
