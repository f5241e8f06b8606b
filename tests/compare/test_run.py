"""Running a comparison: what is kept, what a budget or Ctrl-C leaves, what one fault costs."""

import dataclasses
import json
import multiprocessing

import made_up
import pytest
from test_arms import own, rows

from tunewise import baselines
from tunewise.compare import compare
from tunewise.compare.arms import classifiers
from tunewise.compare.base import Columns, Settings
from tunewise.compare.decision import decide
from tunewise.compare.next_steps import steps
from tunewise.compare.plan import Plan, chosen
from tunewise.compare.run import Running, _alone, _of_those_run, row, run, to_score
from tunewise.compare.workbench import Arm, Pace, Workbench, fingerprint
from tunewise.models.download import FetchError
from tunewise.words import duration

CHEAP = ("majority", "tfidf")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def quiet(line):
    pass


def test_the_report_holds_the_arms_their_curve_and_a_verdict():
    said = []
    report = run(own(), Settings(only=CHEAP), said.append)
    assert [a.name for a in report.arms] == ["majority", "tfidf"]
    assert [a.name for a in report.curve] == ["tfidf@6", "tfidf@12"]
    assert report.decision.winner == "tfidf" and not report.missing
    assert report.arm("tfidf").cost.labels == 24
    assert said[0].startswith("The plan") and "tfidf" in said[-1]


def plain(report):
    return [json.dumps(dataclasses.asdict(a), default=str) for a in (*report.arms, *report.curve)]


def test_what_was_done_is_found_again(monkeypatch):
    first = run(own(), Settings(only=CHEAP), quiet)

    def never(*args, **options):
        raise AssertionError("computed again")

    monkeypatch.setattr("tunewise.baselines.fit_tfidf", never)
    second = run(own(), Settings(only=CHEAP, calls=5, margin=0.1), quiet)
    assert plain(second) == plain(first)
    other = run(own(train=rows(21)), Settings(only=CHEAP), quiet)  # other data: computed, and so it fails
    assert [name for name, why in other.missing] == ["tfidf", "tfidf@10"]


def test_the_plan_names_what_is_kept_and_adds_no_time_for_it():
    said = []
    run(own(), Settings(only=CHEAP), said.append)
    assert "by rules of thumb" in said[0] and "kept" not in said[2]
    said.clear()
    run(own(), Settings(only=CHEAP), said.append)
    assert all(line.endswith(" kept") for line in said[1:5]) and said[5].strip().startswith("About 1 s")
    assert "short trial" in Plan([], Pace(1.0, 1.0)).lines()[0]


def test_an_arm_that_was_begun_is_gone_on_with_however_small_the_budget(monkeypatch):
    """Else one that takes longer than the budget would never come to an end, though each call did a part of it."""
    calls = []

    def slow(bench):
        calls.append(bench.key)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return dataclasses.replace(classifiers.majority(bench), name="slow")

    arms = [Arm("slow", "Slow", "rule", slow, lambda pace: 3600.0, needs_model=False)]
    monkeypatch.setattr("tunewise.compare.plan.arms_of", lambda bench: [*classifiers.arms(bench)[:1], *arms])
    said = []
    refused = run(own(), Settings(budget=60.0), said.append)  # too long, and nothing of it is kept
    assert not calls and refused.missing[0][1].startswith("the budget")
    assert "Beyond the budget of 60 s: slow." in said[4]
    run(own(), Settings(), quiet)
    found = run(own(), Settings(budget=60.0), said.append)
    assert [a.name for a in found.arms] == ["majority", "slow"] and len(calls) == 2
    assert "Beyond" not in "".join(said[6:])


def test_all_is_computed_anew_where_that_is_wanted(monkeypatch):
    first = run(own(), Settings(only=CHEAP), quiet)
    fitted, plainly = [], baselines.fit_tfidf
    monkeypatch.setattr(baselines, "fit_tfidf", lambda *a, **o: fitted.append(a) or plainly(*a, **o))
    again = run(own(), Settings(only=CHEAP, fresh=True), quiet)
    assert len(fitted) == 2 * 3 and again.arm("tfidf").predictions == first.arm("tfidf").predictions


def test_an_arm_whose_files_are_gone_is_run_again():
    first = run(own(), Settings(only=CHEAP), quiet)
    path = first.arm("tfidf").artefact / "classifier.skops"
    path.unlink()
    path.with_name("arm.json").unlink()
    path.parent.rmdir()
    run(own(), Settings(only=CHEAP), quiet)
    assert path.exists()


def test_other_settings_leave_the_weights_of_an_earlier_result_as_they_were():
    data = own(train=rows(24, shares=(2, 1, 1)))
    first = run(data, Settings(only=CHEAP), quiet).arm("tfidf").artefact
    before = (first / "classifier.skops").read_bytes()
    for other in (dict(balanced=True), dict(seed=1)):
        folder = run(data, Settings(only=CHEAP, **other), quiet).arm("tfidf").artefact
        assert folder != first and folder.exists()
    assert (first / "classifier.skops").read_bytes() == before


def test_a_budget_stops_between_steps_and_says_what_is_missing():
    report = run(own(), Settings(only=CHEAP, budget=0.0), quiet)
    assert [a.name for a in report.arms] == ["majority"]
    assert dict(report.missing)["tfidf"].startswith("the budget")
    # one arm has beaten nobody
    assert (report.decision.kind, report.decision.winner) == ("cannot_tell", None)
    assert "the most frequent label is the only arm that was run" in report.decision.sentence
    left_out, not_run = report.decision.reasons[:2]
    assert left_out.startswith("Left out by you: embeddings (about ")
    assert left_out.endswith("zero_shot, few_shot, lora.")  # their pace was not measured
    assert not_run.startswith("Not run, and perhaps better: tfidf (about ")
    assert set(report.waiting) == {"tfidf", "tfidf@6", "tfidf@12"}


def test_none_is_good_enough_only_if_all_that_were_planned_were_run():
    data = made_up.data(200)
    arms = [made_up.drawn(name, share, data) for name, share in (("majority", 0.3), ("tfidf", 0.6))]
    none = decide(data, arms, Settings(need=0.9))
    assert none.kind == "none_good_enough"
    found = _of_those_run(none, arms, [("lora", "the budget: ...")], {"lora": 3600.0}, Settings(need=0.9))
    assert (found.kind, found.winner) == ("cannot_tell", None)
    assert found.sentence == (
        "Cannot tell: none of the arms that were run reaches the 90% that you need; lora (about 60 min) was not run."
    )
    assert _of_those_run(none, arms, [("lora@20", "the budget: ...")], {}, Settings(need=0.9)) is none


def test_a_winner_among_some_of_the_arms_is_said_to_be_one():
    data = made_up.data(200)
    arms = [made_up.drawn(name, share, data) for name, share in (("majority", 0.3), ("tfidf", 0.9))]
    found = _of_those_run(
        decide(data, arms, Settings()), arms, [("lora", "the budget: ...")], {"lora": 60.0}, Settings()
    )
    assert (found.kind, found.winner) == ("use", "tfidf")
    assert found.sentence.startswith("Of the 2 arms that were run: use TF-IDF and logistic regression: 90%")
    assert found.reasons[0] == "Not run, and perhaps better: lora (about 60 s)."


def test_rows_that_need_no_model_do_not_wait_for_one(monkeypatch):
    def unreachable(*args, **options):
        raise FetchError("no network")

    monkeypatch.setattr("tunewise.models.download.fetch", unreachable)
    said = []
    report = run(own(), Settings(only=(*CHEAP, "zero_shot")), said.append)
    last = max(i for i, line in enumerate(said) if line.split()[0] in CHEAP and "%" in line)
    gone = next(i for i, line in enumerate(said) if line.startswith("The model can't be had"))
    assert "roughly: the model is not here yet" in said[0] and last < gone
    assert not any("The model is here" in line for line in said)
    assert any(
        line.endswith("besides 0.5 GB for the model. Stop at any time with Ctrl-C: what is done is kept.")
        for line in said
    )
    assert [name for name, _ in report.missing] == ["zero_shot"] and report.decision.winner == "tfidf"


def test_an_arm_that_is_cut_off_under_way_is_named_and_the_report_is_of_the_others(monkeypatch):
    def slow(self, texts):
        self.deadline = 0.0  # it is over while the arm is at work
        self.on_time()

    monkeypatch.setattr(Workbench, "embed", slow)
    report = run(own(), Settings(only=(*CHEAP, "embeddings"), budget=600.0), quiet)
    assert dict(report.missing)["embeddings"].startswith("the budget: cut off after")
    assert [a.name for a in report.arms] == list(CHEAP) and report.decision.winner == "tfidf"


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), ValueError("too few words\nmore")])
def test_what_was_done_before_a_fault_is_reported(monkeypatch, fault):
    def fails(*args, **options):
        raise fault

    monkeypatch.setattr("tunewise.baselines.fit_embeddings", fails)
    monkeypatch.setattr(Workbench, "embed", lambda self, texts: None)
    report = run(own(), Settings(only=(*CHEAP, "embeddings"), skip=()), quiet)
    assert report.decision.winner == "tfidf"
    why = dict(report.missing)
    if isinstance(fault, KeyboardInterrupt):
        assert why["embeddings"] == "stopped by Ctrl-C"
    else:
        assert why["embeddings"] == "too few words" and report.curve


def test_nothing_run_is_an_error_that_says_why(monkeypatch):
    monkeypatch.setattr("tunewise.baselines.fit_tfidf", lambda *a, **o: 1 / 0)
    with pytest.raises(ValueError, match="no arm could be run: tfidf: division by zero"):
        run(own(), Settings(only=("tfidf",)), quiet)


def test_a_full_disk_costs_no_result(monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    said = []
    with monkeypatch.context() as patched:
        patched.setattr("tunewise.step_cache.write_whole", full)
        patched.setattr("tunewise.compare.artefact.write_whole", full)
        report = run(own(), Settings(only=CHEAP), said.append)
    assert report.decision.winner == "tfidf" and report.arm("tfidf").artefact is None
    assert any("No space left" in line for line in said)
    assert any("make room" in step for step in steps(report, report.arm("tfidf"), ()))


def test_an_arm_whose_folder_found_no_room_leaves_nothing_and_is_run_again(monkeypatch, cache):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("tunewise.compare.artefact.write_whole", full)
        assert run(own(), Settings(only=CHEAP), quiet).arm("tfidf").artefact is None
    assert not list((cache / "arms").iterdir())
    assert run(own(), Settings(only=CHEAP), quiet).arm("tfidf").artefact.exists()


def _hold(data, settings, ready, done):
    with _alone(data, settings):
        ready.set()
        done.wait(60)


def test_two_runs_at_once_of_the_same_are_kept_apart():
    process = multiprocessing.get_context("spawn")
    ready, done = process.Event(), process.Event()
    other = process.Process(target=_hold, args=(own(), Settings(), ready, done))
    other.start()
    try:
        assert ready.wait(60)
        with pytest.raises(Running, match="by another process"):
            run(own(), Settings(only=CHEAP), quiet)
        run(own(), Settings(only=CHEAP, model="another"), quiet)
    finally:
        done.set()
        other.join(60)


def test_only_and_skip_know_the_names_of_arms():
    arms = [Arm(n, n, "rule", lambda b: None, lambda p: 1.0) for n in ("a", "b", "b@3")]
    assert [a.name for a in chosen(arms, ("b",), ())] == ["b", "b@3"]
    assert [a.name for a in chosen(arms, (), ("b",))] == ["a"]
    with pytest.raises(ValueError, match="no arm 'c' for this data; there are a, b"):
        chosen(arms, ("c",), ())
    with pytest.raises(ValueError, match="no arm is left"):
        chosen(arms, ("a",), ("a",))


def test_the_plan_adds_up():
    arms = [Arm(n, n, "rule", lambda b: None, lambda p: p.reading(60), disk=5_000_000) for n in "ab"]
    lines = Plan(arms, Pace(tokens_a_second=10, text_tokens=30)).lines()
    assert "3 min" in lines[1] and "About 6 min" in lines[-1] and "10 MB" in lines[-1]
    assert [duration(s) for s in (0.2, 89, 90, 7200)] == ["1 s", "89 s", "2 min", "2.0 h"]


def test_scoring_settings_belong_to_written_answers():
    with pytest.raises(ValueError, match="--scorer is for written answers"):
        to_score(own(), Settings(scorer="a.py:f"))
    written = own(columns=Columns("answers", "text", "answer"), labels=(), metric="f1")
    assert to_score(written, Settings()).metric == "f1"
    assert to_score(written, Settings(metric="exact")).metric == "exact"
    with pytest.raises(ValueError, match="--metric fields is none of answers; there are exact"):
        to_score(written, Settings(metric="fields"))


def test_a_users_own_score_is_printed_as_it_is():
    result = made_up.drawn("tfidf", 1.0, made_up.data(30))
    scored = dataclasses.replace(result, outcomes={"score": [75.5, 76.0]})
    assert row(result, "accuracy").endswith(" 100.0%") and row(scored, "score").endswith(" 75.8")


def test_the_fingerprint_follows_texts_labels_and_splits():
    data = own()
    moved = dataclasses.replace(data, train=data.train[1:], valid=(*data.valid, data.train[0]))
    relabelled = dataclasses.replace(
        data, test=(dataclasses.replace(data.test[0], target="bug"), *data.test[1:])
    )
    renamed = dataclasses.replace(data, columns=dataclasses.replace(data.columns, target="topic"))
    assert len({fingerprint(d) for d in (data, moved, relabelled, renamed)}) == 4
    assert fingerprint(dataclasses.replace(data, name="other", pool=data.test)) == fingerprint(data)


def test_a_table_in_memory_goes_in_and_a_report_comes_out():
    table = [{"text": i.text, "label": i.target} for i in rows(90)]
    report = compare(table, only=CHEAP, need=0.5, say=quiet)
    assert report.settings.need == 0.5 and report.decision.winner == "tfidf"
    assert "<" in report._repr_html_()
    with pytest.raises(ValueError, match="no setting 'marign'; there are"):
        compare(table, marign=0.1)


def test_settings_from_python_may_be_texts(tmp_path):
    table = [{"text": i.text, "label": i.target} for i in rows(90)]
    report = compare(table, only="majority, tfidf", output=str(tmp_path / "mine.html"), say=quiet)
    assert [arm.name for arm in report.arms] == list(CHEAP)
    assert report.settings.output == tmp_path / "mine.html"
    for name in ("prompt_file", "prices", "docs", "schema"):
        with pytest.raises(ValueError, match="none|--docs|--schema"):
            compare(table, say=quiet, **{name: "none"})
    report = compare(table, only="majority", need="70%", budget="2m", say=quiet)
    assert (report.settings.need, report.settings.budget) == (0.7, 120.0)
    for wrong, said in (
        ({"need": 90}, "need is a share between 0 and 1"),
        ({"runs": 0}, "runs is a number of training runs from 1 on; got 0"),
        ({"runs": "3"}, "runs is a number of training runs from 1 on; got '3'"),
        ({"budget": "soon"}, "budget: a time is wanted"),
    ):
        with pytest.raises(ValueError, match=said):
            compare(table, only="majority", say=quiet, **wrong)


def test_the_package_can_be_called():
    import tunewise as tw

    table = [{"text": i.text, "label": i.target} for i in rows(90)]
    assert tw.compare(table, only=("majority",), say=quiet).arms[0].name == "majority"


def test_the_plan_says_what_a_budget_leaves_out():
    takes = {"majority": 1.0, "lora": 900.0, "few_shot": 50.0}
    arms = [Arm(name, name, "rule", lambda bench: None, lambda pace, s=s: s) for name, s in takes.items()]
    assert Plan(arms, None).beyond(60.0) == ["lora"]  # what fits behind it is still run
    assert "Beyond the budget of 60 s: lora." in Plan(arms, None).lines(60.0)[-1]
    assert "Beyond" not in "".join(Plan(arms, None).lines(3600.0) + Plan(arms, None).lines())
