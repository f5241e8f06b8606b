"""A model behind an OpenAI-compatible server: a few questions at a time, their tokens counted, no answer paid for twice."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tunewise.compare.api_server import EndpointError, Refused, Server
from tunewise.compare.printable import one_line
from tunewise.compare.take_home.endpoint_request import refused, taken
from tunewise.step_cache import StepCache, digest

HIDDEN_PROMPT = 5_000  # tokens that a server's own chat template may add to what was sent
TOKEN_BYTES = 20  # no text has longer tokens than that on average
Message = Mapping[str, str]
Body = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What came back.

    Parameters
    ----------
    prompt_tokens, completion_tokens
        As the server counted; None where it did not, or said what can't be true.
    seconds
        From the request to the whole answer, without waiting for a rate limit.
    probability
        Of the answer's tokens together, where the server gives log-probabilities.
    refused
        Why there is no answer (``text`` is then empty).
    date
        The day on which the server gave it, in ISO form; empty where that was not kept.
    """

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float = 0.0
    probability: float | None = None
    refused: str = ""
    date: str = field(default="", compare=False)


class Endpoint:
    """A model of an OpenAI-compatible server, such as vLLM, llama.cpp, Ollama or a hosted one.

    Parameters
    ----------
    server
        Where it is.
    model
        The name under which the server knows the model; None asks the server, which must then have one only.
    cache
        Where answers are kept under the hash of the request, so that an interrupted run does not pay twice; None keeps nothing.
    concurrency
        Requests at a time.
    option
        Of the command that asks: what the user types to name the model.
    """

    def __init__(
        self,
        server: Server,
        model: str | None = None,
        *,
        cache: StepCache | None = None,
        concurrency: int = 4,
        option: str = "--endpoint-model",
    ) -> None:
        self.server, self._model, self.cache, self.concurrency = server, model, cache, concurrency
        self._remedy = f"name one with {option}"
        self._untold = 0
        self._untrue: list[str] = []  # counts of tokens that can't be
        self._without: dict[str, None] = {}
        server.keeps = cache is not None

    @property
    def model(self) -> str:
        """The model's name; the server is asked once, where none was given."""
        if self._model is None:
            url, remedy = self.server.url, self._remedy
            try:
                names = [str(one["id"]) for one in self.server.request("GET", "/models")["data"]]
            except (Refused, KeyError, TypeError) as error:
                raise EndpointError(f"{url} does not list its models: {remedy}") from error
            if len(names) != 1:
                there = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "") or "none"
                raise EndpointError(f"{url} serves {len(names)} models ({one_line(there)}): {remedy}")
            self._model = names[0]
        return self._model

    def chat(
        self, conversations: Sequence[Sequence[Message]], max_tokens: int, **options: Any
    ) -> list[Answer]:
        """The answers to conversations (lists of ``{"role": ..., "content": ...}``), in their order; see :meth:`complete`."""
        asked = [{"messages": [dict(m) for m in one]} for one in conversations]
        return self._all("/chat/completions", asked, max_tokens, options)

    def complete(self, prompts: Sequence[str | list[int]], max_tokens: int, **options: Any) -> list[Answer]:
        """The continuations of prompts (texts, or token ids where the server takes them), in their order, without sampling.

        Parameters
        ----------
        options
            Further fields of the request, such as ``stop`` or ``response_format``.

        Raises
        ------
        EndpointError
            Where the server can't be used; a cache keeps the answers that came before. A request that it refuses by itself (a text that is too
            long) has its reason in :attr:`Answer.refused`; but where all are refused, the server can't be used.
        """
        return self._all("/completions", [{"prompt": p} for p in prompts], max_tokens, options)

    def notes(self) -> list[str]:
        """What happened on the way, as sentences for the reader."""
        said = [f"{n} requests were sent again after {why}" for why, n in self.server.retried.items()]
        if self._untold:
            said.append(f"the server did not say how many tokens it read or wrote, {self._untold} times")
        if self._untrue:
            told = f"{len(self._untrue)} times (such as {one_line(self._untrue[0])})"
            said.append(f"the server's count of tokens could not be true, {told}: it was not used")
        return said + [f"the server does not take {name}: asked without it" for name in self._without]

    def _all(
        self, path: str, asked: Sequence[Body], max_tokens: int, options: Mapping[str, Any]
    ) -> list[Answer]:
        fixed = {"model": self.model, "temperature": 0, "max_tokens": max_tokens, **options}
        keys = [digest(one) for one in asked]
        once = dict(zip(keys, asked, strict=True))  # the same question twice is paid for once
        bodies = [{**fixed, **one} for one in once.values()]
        first: list[EndpointError] = []
        stop = self.server.stop
        stop.clear()

        def one(body: Body) -> Answer:
            try:
                return self._one(path, body)
            except EndpointError as error:
                if not stop.is_set():
                    first.append(error)
                stop.set()
                raise

        # the first alone: what the server lacks is found out once, and one that is down is asked once
        answers = [one(body) for body in bodies[:1]]
        with ThreadPoolExecutor(self.concurrency) as pool:
            try:
                answers += pool.map(one, bodies[1:])
            except EndpointError:
                raise first[0] from None
            except BaseException:  # Ctrl-C: what is under way ends, nothing more is sent
                stop.set()
                raise
        found = dict(zip(once, answers, strict=True))
        answers = [found[key] for key in keys]
        if len(answers) > 2 and all(a.refused for a in answers):
            raise EndpointError(f"every request was refused: {answers[0].refused}")
        return answers

    def _one(self, path: str, body: Body) -> Answer:
        """One answer, found or fetched."""
        key = digest(["endpoint", self.server.url, path, body])
        if self.cache and (kept := self.cache.find(key)):
            return self._sound(Answer(**kept[-1]), body)
        try:
            answer = self._ask(path, body)
        except Refused as error:
            return Answer("", refused=str(error))
        if self.cache:
            self.cache.keep(key, asdict(answer))
        return self._sound(answer, body)

    def _ask(self, path: str, body: Body) -> Answer:
        while True:
            sent = taken(body, self._without)
            try:
                reply = self.server.request("POST", path, sent)
                break
            except Refused as error:
                gone = refused(sent, str(error))
                if not gone:
                    raise
                self._without |= dict.fromkeys(gone)
        try:
            choice = reply["choices"][0]
            text = choice["message"]["content"] if "messages" in body else choice["text"]
            usage = reply.get("usage") or {}
            counts: dict[str, Any] = {
                name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")
            }
            if not isinstance(text, str | None):
                raise TypeError
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            said = f"{self.server.url}{path} answered with JSON that holds no choices with a text"
            raise EndpointError(f"{said}: is it an OpenAI-compatible server?") from error
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        return Answer(
            text or "", **counts, seconds=reply["seconds"], probability=_probability(choice), date=today
        )

    def _sound(self, answer: Answer, body: Body) -> Answer:
        """The answer without counts that can't be true."""
        prompt = body["prompt"] if "prompt" in body else "".join(m["content"] for m in body["messages"])
        sent = len(prompt.encode()) if isinstance(prompt, str) else len(prompt)
        limits = {
            "prompt_tokens": (max(1, sent // TOKEN_BYTES), sent + HIDDEN_PROMPT),
            "completion_tokens": (min(1, len(answer.text)), int(body["max_tokens"]) + 16),
        }
        changes: dict[str, Any] = {}
        for name, (least, most) in limits.items():
            told = getattr(answer, name)
            if type(told) is int and least <= told <= most:
                continue
            if told is None:
                self._untold += 1
            else:
                self._untrue.append(f"{told} {name.replace('_', ' ')}")
            changes[name] = None
        return replace(answer, **changes)


def _probability(choice: Mapping[str, Any]) -> float | None:
    """exp of the sum of the log-probabilities of the written tokens; None where they are not given."""
    try:
        told = choice["logprobs"]
        steps = [s["logprob"] for s in told["content"]] if "content" in told else told["token_logprobs"]
        total = math.fsum(map(float, steps))
        return math.exp(min(0.0, total)) if steps and not math.isnan(total) else None
    except (KeyError, TypeError, ValueError):
        return None
