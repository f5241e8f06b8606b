"""A server that works, and all the ways in which one does not: one clear sentence each, nothing paid for twice, the key nowhere."""

import email.utils
import socket
import threading
import time

import pytest
from stand_in import said, serving

from tunewise.compare.api_server import EndpointError, Server
from tunewise.compare.endpoint import Endpoint
from tunewise.step_cache import StepCache

KEY = "sk-secret-4711"


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TUNEWISE_API_KEY", KEY)


def asked(*texts):
    return [[{"role": "user", "content": text}] for text in texts]


def endpoint(url, waits=None, timeout=5.0, model=None, **options):
    return Endpoint(Server(url, timeout, (waits if waits is not None else []).append), model, **options)


def test_answers_come_in_order_with_their_counts():
    def reply(number, body):
        time.sleep(0.05 if body["messages"][0]["content"] == "b" else 0)
        steps = [{"logprob": -0.5}, {"logprob": -0.25}]
        return said(body["messages"][0]["content"].upper(), logprobs={"content": steps})

    with serving(reply) as (url, came):
        answers = endpoint(url).chat(asked("a", "b", "c"), 5)
    assert [a.text for a in answers] == ["A", "B", "C"]
    assert {(a.prompt_tokens, a.completion_tokens) for a in answers} == {(9, 2)}
    assert answers[0].probability == pytest.approx(2.718281828**-0.75)
    path, headers, body = came[0]
    assert path == "/v1/chat/completions" and headers["Authorization"] == f"Bearer {KEY}"
    assert body["model"] == "one" and body["temperature"] == 0 and body["max_tokens"] == 5


def test_rate_limits_and_failures_are_waited_for_and_reported():
    late = email.utils.formatdate(time.time() + 30, usegmt=True)
    bad = [(429, {}, {"retry-after": "7"}), (429, {}, {"retry-after": late}), (503, b"<html>"), (200, None)]

    def reply(number, body):
        return bad[number] if number < len(bad) else said("yes")

    waits = []
    with serving(reply) as (url, came):
        one = endpoint(url, waits)
        assert one.chat(asked("a"), 5)[0].text == "yes"
    assert waits[0] == 7 and 20 < waits[1] <= 30 and waits[2:] == [4, 8] and len(came) == 5
    assert "2 requests were sent again after status 429" in one.notes()


def test_an_interrupted_run_pays_for_no_answer_twice():
    def broken(number, body):
        return said("yes") if number < 3 else (500, {"error": {"message": "out of memory"}})

    with serving(broken) as (url, came):
        port = url
        with pytest.raises(EndpointError, match="status 500.*out of memory.*answers so far are kept"):
            endpoint(url, cache=StepCache(), concurrency=1).chat(asked(*"abcde"), 5)
        assert len(came) == 3 + 5  # the fourth was tried five times, the fifth never
        found = endpoint(port, cache=StepCache(), concurrency=1)
        with pytest.raises(EndpointError):
            found.chat(asked(*"abcde"), 5)
        assert len(came) == 3 + 5 + 5


def test_the_same_text_at_once_is_paid_for_once():
    def reply(number, body):
        time.sleep(0.05)
        return said(body["messages"][0]["content"].upper())

    with serving(reply) as (url, came):
        answers = endpoint(url, cache=StepCache()).chat(asked("a", "b", "b", "c", "b", "a"), 5)
    assert [a.text for a in answers] == ["A", "B", "B", "C", "B", "A"] and len(came) == 3


def test_the_key_is_written_nowhere(tmp_path):
    def reply(number, body):
        return said("yes") if number < 1 else (401, {"error": {"message": f"Incorrect API key {KEY}"}})

    with serving(reply) as (url, _):
        one = endpoint(url, cache=StepCache())
        with pytest.raises(EndpointError) as caught:
            one.chat(asked("a", "b"), 5)
    assert "the key is wrong" in str(caught.value) and KEY not in str(caught.value) + " ".join(one.notes())
    files = [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert files and not any(KEY in p.read_text() for p in files)


@pytest.mark.parametrize("key", ["sk-ä", "two words", "a\nb"])
def test_a_key_that_is_none_is_refused_without_showing_it(monkeypatch, key):
    monkeypatch.setenv("TUNEWISE_API_KEY", key)
    with pytest.raises(EndpointError, match="^TUNEWISE_API_KEY holds what no key can hold") as caught:
        Server("http://localhost:1/v1")
    assert key not in str(caught.value)


@pytest.mark.parametrize("told", [-3, 0, 10**9, "many", True])
def test_usage_that_cannot_be_true_is_not_believed(told):
    with serving(lambda number, body: said("yes", told, told)) as (url, _):
        one = endpoint(url)
        (answer,) = one.chat(asked("hello"), 5)
    assert (answer.prompt_tokens, answer.completion_tokens) == (None, None)
    why = f"could not be true, 2 times (such as {told} prompt tokens): it was not used"
    assert one.notes() == [f"the server's count of tokens {why}"]


def test_usage_that_is_missing_or_too_low_for_the_text_is_said():
    with serving(lambda number, body: said("yes", 2, None)) as (url, _):
        one = endpoint(url)
        short, long = one.chat(asked("hello", "a long question " * 9), 5)
    assert (short.prompt_tokens, long.prompt_tokens, long.completion_tokens) == (2, None, None)
    missing, untrue = one.notes()
    assert missing.endswith("how many tokens it read or wrote, 2 times") and "such as 2 prompt" in untrue


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        ((200, b"<html>hi</html>", {"content-type": "text/html"}), "text/html that is no JSON object.*/v1"),
        ((200, b"data: {}\n\ndata: [DONE]\n", {"content-type": "text/event-stream"}), "text/event-stream"),
        ((200, {"hello": 1}), "no choices with a text"),
        ((200, {"choices": [{"message": {"content": [1]}, "text": [1]}]}), "no choices with a text"),
        ((200, b"[" * 100_000), "no JSON object"),
        ((404, {"detail": "Not Found"}), "Not Found.*is the address right"),
        ((301, b"", {"location": "https://elsewhere"}), "give the final address"),
        ((429, {}, {"retry-after": "3600"}), "asks to wait 3600 s"),
        ((500, {"error": "\x1b[2J\x07boom"}), r"status 500 \(boom\), 5 times"),
        ((200, b"x" * 5_000_000), "sends without end"),
        ((200, b"abc", {"content-encoding": "gzip"}), "can't be unpacked"),
    ],
)
def test_each_fault_of_a_server_is_one_clear_sentence(reply, sentence):
    with (
        serving(lambda number, body: reply) as (url, _),
        pytest.raises(EndpointError, match=sentence) as caught,
    ):
        endpoint(url).chat(asked("hello"), 5)
    assert str(caught.value).startswith(url) and "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_server_that_is_down_slow_or_without_tls():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(EndpointError, match="can't be reached .*is the server running"):
        endpoint(url).chat(asked("hello"), 5)
    hold = threading.Event()
    with serving(lambda number, body: (hold.wait(5), said("late"))[1]) as (url, _):
        with pytest.raises(EndpointError, match=r"no answer within 0\.05 s, 2 times"):
            endpoint(url, timeout=0.05, model="one").chat(asked("hello"), 5)
        with pytest.raises(EndpointError, match="no secure connection"):
            endpoint(url.replace("http:", "https:")).chat(asked("hello"), 5)
        hold.set()


def test_a_server_that_stops_half_way_is_said_to_have_answered():
    hold = threading.Event()

    def reply(number, body):
        if number > 1:
            hold.wait(5)
        return said("yes")

    with serving(reply) as (url, _):
        one = endpoint(url, timeout=0.3, model="one", cache=StepCache())
        with pytest.raises(EndpointError, match=r"gave 2 answers, and then gave no answer within.*are kept"):
            one.chat(asked(*"abc"), 5)
        hold.set()
    with pytest.raises(EndpointError, match="gave 2 answers, and then can't be reached.*start the server"):
        one.chat(asked("d"), 5)


def test_a_refused_text_costs_only_its_own_answer():
    def reply(number, body):
        long = body["messages"][0]["content"] == "long"
        return (400, {"error": {"message": "context is 2048 tokens"}}) if long else said("yes")

    with serving(reply) as (url, _):
        answers = endpoint(url).chat(asked("a", "long", "b"), 5)
        assert [a.text for a in answers] == ["yes", "", "yes"]
        assert "context is 2048 tokens" in answers[1].refused
        with pytest.raises(EndpointError, match="every request was refused.*2048"):
            endpoint(url).chat(asked("long", "long", "long"), 5)


def test_fields_that_a_server_does_not_take_are_left_out():
    def reply(number, body):
        if "max_tokens" in body:
            return 400, {"error": {"message": "max_tokens is not supported, use max_completion_tokens"}}
        if "temperature" in body:
            return 400, {"error": {"message": "Unsupported value: 'temperature'"}}
        return said("yes")

    with serving(reply) as (url, came):
        one = endpoint(url)
        assert [a.text for a in one.chat(asked("a", "b"), 5)] == ["yes", "yes"]
    assert len(came) == 4 and came[-1][2]["max_completion_tokens"] == 5
    assert "the server does not take temperature: asked without it" in one.notes()


@pytest.mark.parametrize(("models", "sentence"), [(("x", "y"), r"serves 2 models \(x, y\)"), ((), "none")])
def test_the_model_must_be_named_where_the_server_has_not_just_one(models, sentence):
    with serving(lambda number, body: said("yes"), models) as (url, _):
        with pytest.raises(EndpointError, match=f"{sentence}.*--endpoint-model"):
            endpoint(url).chat(asked("a"), 5)
        with pytest.raises(EndpointError, match=f"{sentence}.*with --model$"):  # of serve-check
            endpoint(url, option="--model").chat(asked("a"), 5)
        assert endpoint(url, model="y").chat(asked("a"), 5)[0].text == "yes"


@pytest.mark.parametrize(
    "url", ["http://me:pw@host/v1", "host:80", "file:///etc/passwd", "", "http://h/v1?key=1"]
)
def test_an_address_that_is_none(url):
    with pytest.raises(EndpointError, match="address") as caught:
        Server(url)
    assert "pw" not in str(caught.value)
