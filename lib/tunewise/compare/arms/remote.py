"""A better model, prompted: any OpenAI-compatible server, with and without examples, chosen on validation."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunewise.compare.answer_scoring import parsed
from tunewise.compare.api_server import Server
from tunewise.compare.artefact import Artefact
from tunewise.compare.base import ArmResult, Cost, Item
from tunewise.compare.endpoint import Answer, Endpoint
from tunewise.compare.health import estimated_tokens
from tunewise.compare.own_prompt import read_prompt
from tunewise.compare.take_home.named_label import label_of, without_thoughts
from tunewise.compare.workbench import Arm, Workbench
from tunewise.compare.writing import Writer, first_answer
from tunewise.control_tokens import spaced
from tunewise.words import duration

CHOICE = 40  # validation rows on which the prompt is chosen: each may cost money
SHOTS = 8
ROOM = 64  # tokens beside those of the longest answer
THINKING = 4096  # tokens for a model that thinks before it answers
SECONDS = 0.5  # a call, before anything is known of the server
SLOW = 5.0  # seconds for an answer, from which on the time that the plan names is corrected
TITLE = "A model behind the endpoint, prompted"


def arms(bench: Workbench) -> list[Arm]:
    """One, where an endpoint was named."""
    settings = bench.settings
    if settings.endpoint is None:
        return []

    def inputs() -> list[Any]:
        endpoint = endpoint_of(bench)
        own = settings.prompt_file and settings.prompt_file.read_text(encoding="utf-8-sig")
        return [endpoint.server.url, endpoint.model, settings.endpoint_price, own]

    seconds = calls(bench) * SECONDS
    return [Arm("endpoint", TITLE, "endpoint", ask, lambda pace: seconds, needs_model=False, inputs=inputs)]


def calls(bench: Workbench) -> int:
    """How often the server is asked, by each prompt on the rows to choose by and by one on the test rows."""
    talks = 4 if bench.settings.prompt_file else 2
    return talks * min(CHOICE, len(bench.data.valid)) + len(bench.data.test)


@dataclass(frozen=True)
class Talk:
    """How the server is asked: a system prompt, examples as earlier turns, and what surrounds a text."""

    name: str
    system: str
    shots: Sequence[tuple[str, str]] = ()
    before: str = ""
    after: str = ""

    def messages(self, text: str) -> list[dict[str, str]]:
        """The conversation up to the answer. What looks like a control token in a text is parted, since a server can't be told that it is text."""
        turns = [("system", self.system)] if self.system else []
        for shot, answer in self.shots:
            turns += [("user", self.before + spaced(shot) + self.after), ("assistant", answer)]
        turns.append(("user", self.before + spaced(text) + self.after))
        return [{"role": role, "content": content} for role, content in turns]


@dataclass
class _Asking:
    """What goes on between the rows and the server."""

    bench: Workbench
    endpoint: Endpoint
    most: int
    slow: float = SLOW

    def answers(self, talk: Talk, items: Sequence[Item]) -> list[Answer]:
        """One an item; a model that thinks gets the room for it."""
        asked, options = [talk.messages(i.text) for i in items], {"logprobs": True}
        start = time.perf_counter()
        first = self.endpoint.chat(asked[:1], self.most, **options)
        took = time.perf_counter() - start
        if took > self.slow:
            self.slow = math.inf  # said once
            rest = took * calls(self.bench) / self.endpoint.concurrency
            self.bench.say(
                f"  endpoint: the first answer took {duration(took)}; at that pace about {duration(rest)} in all"
            )
        if not without_thoughts(first[0].text) and not first[0].refused and self.most < THINKING:
            self.most = THINKING
        return self.endpoint.chat(asked, self.most, **options)

    def predictions(self, answers: Sequence[Answer]) -> list[str]:
        """Labels (empty where none was named), or what was written."""
        texts = [without_thoughts(answer.text) for answer in answers]
        return [label_of(t, self.bench.labels) for t in texts] if self.bench.labels else texts

    def outcomes(self, items: Sequence[Item], predictions: Sequence[str]) -> dict[str, list[float]]:
        """Metric -> one number an item."""
        if self.bench.labels:
            return {"accuracy": [float(p == i.target) for p, i in zip(predictions, items, strict=True)]}
        return Writer(self.bench).outcomes(items, predictions)


def ask(bench: Workbench) -> ArmResult:
    """What does best on validation of the talks, on the test items."""
    data, endpoint = bench.data, endpoint_of(bench)
    answers = [target_of(bench, i) for i in (*bench.train, *data.valid)]
    asking = _Asking(bench, endpoint, max(len(a.encode()) for a in answers) + ROOM)
    valid = data.valid[:CHOICE]
    trials: list[dict[str, Any]] = []
    talks = talks_of(bench)
    for talk in talks:
        predicted = asking.predictions(asking.answers(talk, valid))
        score = float(np.mean(asking.outcomes(valid, predicted)[data.metric]))
        trials.append({"prompt": talk.name, "examples": len(talk.shots), "score": score})
    best = max(range(len(talks)), key=lambda i: trials[i]["score"])
    found = asking.answers(talks[best], data.test)
    predicted = asking.predictions(found)
    days = sorted({a.date for a in found if a.date})
    when = f" on {days[0]}{f' to {days[-1]}' if days[1:] else ''}: --fresh asks again" if days else ""
    notes = [f"asked {endpoint.model} at {endpoint.server.url}{when}", *endpoint.notes()]
    if refused := [i.row for i, a in zip(data.test, found, strict=True) if a.refused]:
        why = next(a.refused for a in found if a.refused)
        notes.append(
            f"{len(refused)} test rows were refused and count as wrong, the first row {refused[0]}: {why}"
        )
    if empty := predicted.count(""):
        notes.append(f"{empty} answers named no label, or several, or were empty: they count as wrong")
    cost = _cost(bench, talks[best], found, notes)
    sure = [a.probability for a in found]
    made = Artefact(
        "endpoint",
        bench.labels,
        model=endpoint.model,
        system=talks[best].system,
        shots=talks[best].shots,
        before=talks[best].before,
        after=talks[best].after,
        max_new_tokens=asking.most,
    )
    return ArmResult(
        "endpoint",
        TITLE,
        "endpoint",
        settings={k: v for k, v in trials[best].items() if k != "score"} | {"model": endpoint.model},
        predictions=predicted,
        outcomes=asking.outcomes(data.test, predicted),
        cost=cost,
        confidences=[p for p in sure if p is not None] if None not in sure else None,
        trials=trials,
        notes=notes,
        artefact=bench.leave("endpoint", made),
    )


def endpoint_of(bench: Workbench) -> Endpoint:
    """The server's model, as the settings name it."""
    server = Server(bench.settings.endpoint or "", on_time=bench.on_time)
    return Endpoint(server, bench.settings.endpoint_model, cache=bench.cache)


def talks_of(bench: Workbench) -> list[Talk]:
    """Without and with examples; the user's own prompt too, where there is one."""
    pool = [(i.text, target_of(bench, i)) for i in bench.train]
    order = np.random.default_rng(bench.settings.seed).permutation(len(pool))[:SHOTS]
    shots = [pool[i] for i in order]
    system = instruction(bench)
    talks = [Talk("ours", system), Talk("ours", system, shots)]
    if path := bench.settings.prompt_file:
        own = read_prompt(path, bench.labels)
        before, after = own.filled(bench.labels or ("",)).split("{text}")
        talks += [Talk("your own", own.system, some, before, after) for some in ((), shots)]
    return talks


def instruction(bench: Workbench) -> str:
    """The system prompt of ours."""
    data = bench.data
    if data.kind == "classification":
        listed = "\n".join(f"- {label}" for label in bench.labels)
        return f"Classify the text that the user gives. Answer with one of these labels, and nothing else:\n{listed}"
    if data.kind == "extraction":
        schema = json.dumps(data.schema, ensure_ascii=False)
        return f"Extract a record from the text that the user gives. Answer with one JSON object that keeps to this JSON Schema, and nothing else:\n{schema}"
    return Writer(bench).instruction()


def target_of(bench: Workbench, item: Item) -> str:
    """The right answer as an example shows it."""
    if bench.data.kind == "extraction":
        return json.dumps(parsed(item.target or ""), ensure_ascii=False)
    return first_answer(item) if bench.data.kind == "answers" else item.target or ""


def _cost(bench: Workbench, talk: Talk, found: Sequence[Answer], notes: list[str]) -> Cost:
    """Mean seconds, tokens and euro a call; tokens that the server did not count are estimated from the texts."""
    counts: Mapping[str, list[float]] = {"prompt": [], "completion": []}
    counted = 0
    for item, answer in zip(bench.data.test, found, strict=True):
        if answer.refused:
            continue
        read, wrote = answer.prompt_tokens, answer.completion_tokens
        if read is None or wrote is None:
            counted += 1
            sent = "".join(m["content"] for m in talk.messages(item.text))
            read = estimated_tokens(sent) if read is None else read
            wrote = estimated_tokens(answer.text) if wrote is None else wrote
        counts["prompt"].append(read)
        counts["completion"].append(wrote)
    if counted:
        notes.append(
            f"tokens of {counted} calls were estimated from the length of the texts, so that their price is rough"
        )
    prompt, completion = (float(np.mean(counts[side])) for side in ("prompt", "completion"))
    price = bench.settings.endpoint_price
    if price is None:
        notes.append(
            "no price of a token was given, so that it counts as the dearest: name it by --price-in and --price-out, 0 where it costs you nothing"
        )
    return Cost(
        labels=len(talk.shots),
        seconds_a_call=float(np.mean([a.seconds for a in found if not a.refused])),
        prompt_tokens=prompt,
        completion_tokens=completion,
        euro_a_call=None if price is None else (prompt * price[0] + completion * price[1]) / 1e6,
    )
