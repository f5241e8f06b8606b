"""A server as one more arm of a comparison: what it is asked, what it costs, what its answers count for."""

import datetime
import json
import subprocess
import sys

import made_up
import pytest
from stand_in import said, serving

from tunewise.compare.api_server import Server
from tunewise.compare.arms import remote
from tunewise.compare.artefact import Artefact
from tunewise.compare.base import Settings
from tunewise.compare.endpoint import Endpoint
from tunewise.compare.run import run
from tunewise.compare.take_home.named_label import label_of, without_thoughts
from tunewise.compare.winner import write_winner
from tunewise.compare.workbench import BudgetSpent, Workbench


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def clever(number, body):
    """Is right where it was shown examples, and else where it is asked about deliveries."""
    *_, last = body["messages"]
    label = next(label for label in made_up.LABELS if label in last["content"])
    shown = len(body["messages"]) > 2
    return said(f"It is {label.upper()}." if shown or label == "delivery" else "Who knows?", 100, 10)


def bench(url, **settings):
    return Workbench(made_up.data(30), Settings(endpoint=url, **settings), lambda line: None)


def test_examples_are_chosen_on_validation_and_tokens_are_paid_for():
    with serving(clever) as (url, came):
        found = remote.ask(bench(url, endpoint_price=(2.0, 30.0)))
        again = remote.ask(bench(url))
        # two prompts on 30 validation rows, whose texts are those of the test here: none is asked for twice
        assert len(came) == 30 + 30
    assert found.outcomes["accuracy"] == [1.0] * 30 == again.outcomes["accuracy"]
    assert found.settings == {"prompt": "ours", "examples": 8, "model": "one"}
    assert [t["score"] for t in found.trials] == [pytest.approx(1 / 3), 1.0]
    assert found.cost.euro_a_call == pytest.approx((100 * 2 + 10 * 30) / 1e6)
    assert (found.cost.prompt_tokens, found.cost.completion_tokens, found.cost.labels) == (100, 10, 8)


def test_a_control_token_in_a_text_is_parted_before_it_goes_to_a_server():
    talk = remote.Talk("ours", "", [("a <|im_start|>system", "billing")])
    said = [turn["content"] for turn in talk.messages("b <|im_end|>, <i>")]
    assert said == ["a < |im_start|>system", "billing", "b < |im_end|>, < i>"]


def test_another_model_at_the_same_address_is_asked_anew():
    models = ["one"]
    with serving(clever, models) as (url, _):
        for name in ("one", "two"):
            models[0] = name
            found = run(made_up.data(30), Settings(endpoint=url, only=("endpoint",)), print)
            assert found.arm("endpoint").settings["model"] == name


def test_a_server_whose_model_changed_under_its_name_is_asked_anew_where_that_is_wanted():
    answers = ["billing"]
    with serving(lambda number, body: said(answers[0])) as (url, came):
        notes = []
        for label, fresh in (("billing", False), ("delivery", False), ("delivery", True), ("other", False)):
            answers[0] = label
            settings = Settings(endpoint=url, only=("endpoint",), fresh=fresh)
            arm = run(made_up.data(30), settings, print).arm("endpoint")
            notes.append((arm.predictions[0], arm.notes[0].rpartition("/v1")[2], len(came)))
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    asked = f" on {today}: --fresh asks again"
    n = notes[0][2]
    assert notes == [
        (label, asked, k * n) for label, k in (("billing", 1), ("billing", 1), ("delivery", 2))
    ] + [("delivery", asked, 2 * n)]


def test_a_server_that_is_down_costs_the_other_arms_nothing():
    lines = []
    settings = Settings(endpoint="http://127.0.0.1:9/v1", only=("majority", "endpoint"))
    found = run(made_up.data(30), settings, lines.append)
    assert [a.name for a in found.arms] == ["majority"]
    assert found.missing[0][0] == "endpoint" and "can't be reached" in found.missing[0][1]


def test_refused_and_unclear_answers_count_as_wrong_and_are_said():
    def reply(number, body):
        text = body["messages"][-1]["content"]
        if text.endswith("number 4 please please please please"):
            return 400, {"error": {"message": "too long"}}
        return said(
            "billing or delivery" if "other" in text else next(x for x in made_up.LABELS if x in text)
        )

    with serving(reply) as (url, _):
        found = remote.ask(bench(url))
    assert sum(found.outcomes["accuracy"]) == 30 - 10 - 1
    assert any("1 test rows were refused and count as wrong, the first row 6" in note for note in found.notes)
    assert any(note.startswith("11 answers named no label, or several") for note in found.notes)


def test_a_model_that_thinks_gets_room_for_it():
    def reply(number, body):
        label = next(x for x in made_up.LABELS if x in body["messages"][-1]["content"])
        done = body["max_tokens"] >= 1000
        return said(f"<think>billing? other?</think>\n{label}" if done else "<think>billing? other", 9, 20)

    with serving(reply) as (url, _):
        assert remote.ask(bench(url)).outcomes["accuracy"] == [1.0] * 30


def test_a_budget_ends_the_asking_and_no_answer_is_paid_for_twice():
    def reply(number, body):
        if number == 10:
            work.deadline = 0.0
        return clever(number, body)

    with serving(reply) as (url, came):
        work = bench(url)
        work.deadline = 1e12
        with pytest.raises(BudgetSpent):
            remote.ask(work)
        asked = len(came)
        assert 10 < asked < 20
        work.deadline = None
        remote.ask(work)
        bodies = [json.dumps(body) for _, _, body in came]
    assert len(set(bodies)) == len(bodies) > asked


@pytest.mark.parametrize(
    ("text", "label"),
    [("Urgent.", "urgent"), ("**not urgent**", "not urgent"), ("It is not urgent, I think", "not urgent")]
    + [("urgent or other", ""), ("Label: C++", "C++"), ("none", ""), ("", ""), ("another", "")],
)
def test_the_label_that_an_answer_names(text, label):
    assert label_of(text, ("urgent", "not urgent", "C++", "other")) == label


def test_thoughts_are_no_answer():
    assert without_thoughts("<think>a or b</think> b") == "b" and without_thoughts("<think>a or") == ""


def picky(number, body):
    """Does not take two fields, and names them one at a time."""
    for name, told in (("max_tokens", "use 'max_completion_tokens'"), ("temperature", "only the default")):
        if name in body:
            return 400, {"error": {"message": f"Unsupported parameter: {name!r}, {told}"}}
    return clever(number, body)


@pytest.mark.parametrize("reply", [clever, picky])
def test_what_is_taken_home_asks_as_the_arm_did(reply, tmp_path):
    with serving(reply) as (url, came):
        work = bench(url)
        arm = remote.ask(work)
        assert Artefact.load(arm.artefact).model == "one"
        report = made_up.report(own=work.data, settings=Settings(output=tmp_path / "r.html"))
        decision = made_up.decide(work.data, [arm], report.settings)
        folder = write_winner(type(report)(work.data, report.settings, [arm], decision))
        texts = [item.text for item in work.data.test[:4]]
        texts[3] += " <|im_end|>"
        done = subprocess.run(
            [sys.executable, folder / "predict.py", *texts],
            capture_output=True,
            text=True,
            env={"ENDPOINT": url, "TUNEWISE_API_KEY": " sk-ours ", "OPENAI_API_KEY": "sk-theirs"},
        )
    assert came[-1][2]["messages"][-1]["content"] == f"{work.data.test[3].text} < |im_end|>"
    assert came[-1][1]["Authorization"] == "Bearer sk-ours"
    assert done.stdout.split("\n")[:-1] == arm.predictions[:4], done.stderr


def test_tokens_that_are_not_counted_are_estimated_and_calls_without_a_price_have_none():
    def uncounted(number, body):
        status, reply = clever(number, body)
        return status, reply | {"usage": None}

    with serving(uncounted) as (url, _):
        found = remote.ask(bench(url, endpoint_price=(2.0, 30.0)))
        assert found.cost.prompt_tokens > 50 and found.cost.euro_a_call > 0
        assert any("tokens of 30 calls were estimated" in note for note in found.notes)
        assert not any("no price" in note for note in found.notes)
        unknown = remote.ask(bench(url))
        assert unknown.cost.euro_a_call is None
        assert any("no price of a token was given" in note for note in unknown.notes)
        assert remote.ask(bench(url, endpoint_price=(0.0, 0.0))).cost.euro_a_call == 0.0


def test_a_slow_server_is_said_to_be_slow_before_it_is_waited_for():
    lines = []
    with serving(clever) as (url, _):
        work = bench(url)
        work.say = lines.append
        asking = remote._Asking(work, Endpoint(Server(url)), 50, slow=0.0)
        for talk in remote.talks_of(work):
            asking.answers(talk, work.data.valid[:3])
    assert len([line for line in lines if "the first answer took 1 s; at that pace about" in line]) == 1
