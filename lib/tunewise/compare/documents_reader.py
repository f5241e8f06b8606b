"""Who answers from passages, a model on this machine or behind a server, and which of its answers are fit to be shown."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal, Protocol

from tunewise import rag
from tunewise.compare.printable import visible
from tunewise.control_tokens import inert, spaced
from tunewise.step_cache import StepCache
from tunewise.written_answers import contains, declined, tokens

WEAK = 300_000_000  # parameters: a model with fewer reads so badly that its passages come before its answer
NEW_TOKENS = 60
PART = 8  # questions whose answers are kept together
WEIGHED = 3  # passages among which the model chooses where to read first; chosen on documents of pandas (bench/documents.py)
VERSION = 2  # raise it when the same reader would be asked otherwise

INSTRUCTION = f"""Answer the question from the text in a few words, copied from the text. \
If the text does not say, answer: {rag.ABSTENTION}."""
_LIBRARY = """Library staff: The library has four librarians. The head librarian is Maria Ortega, who came from Porto in 2011.
Fees: A lost card costs 5 euro. Overdue books cost 20 cents a day."""
# In every prompt before the question, so that a model sees what an answer looks like; chosen on 24 validation questions of an invented company.
EXAMPLES = (
    ("Where did the head librarian come from?", "Porto"),
    ("How many books may I borrow at once?", rag.ABSTENTION),
)


@dataclass(frozen=True)
class Reply:
    """What a reader said, judged.

    Parameters
    ----------
    text
        The answer; empty unless the outcome is ``answered``.
    cited
        Places of the passages that the answer is from: the one that was read, or those that hold it word for word.
    fault
        What is wrong with an unusable answer, in words.
    said
        What was written, unabridged.
    """

    outcome: Literal["answered", "not stated", "unusable"]
    text: str
    cited: tuple[int, ...]
    fault: str
    said: str


NOTHING = Reply("not stated", "", (), "", "")


class Reader(Protocol):
    """Answers questions, each from its own passages. ``key``: what its answers depend on beside these. ``weak``: it often reads wrongly."""

    name: str

    @property
    def key(self) -> str: ...

    @property
    def weak(self) -> bool: ...

    def answers(self, questions: Sequence[str], passages: Sequence[Sequence[str]]) -> list[Reply]:
        """One reply a question."""
        ...


class LocalReader:
    """A model of :mod:`tunewise.models.registry`: a name, a folder, or an id on the Hub; loaded when it is first asked."""

    def __init__(self, name: str, lm: Any = None) -> None:
        from tunewise.models import registry

        self.spec = registry.get(name)
        if self.spec.kind != "causal":
            raise ValueError(f"{self.spec.name} answers no questions: it is an embedding model")
        self.name, self._given = self.spec.name, lm
        self.tokens_read = self.tokens_written = 0

    @cached_property
    def lm(self) -> Any:
        """The model."""
        from tunewise.models.load import load

        return self._given or load(self.name)

    @property
    def key(self) -> str:
        from tunewise.models.load import model_checksum

        return model_checksum(self.name)

    @property
    def weak(self) -> bool:
        return self.spec.parameters < WEAK

    @property
    def gap(self) -> str:
        """What stands between a prompt and its answer."""
        return "" if self.lm.tokenizer.chat_template else " "

    def answers(self, questions: Sequence[str], passages: Sequence[Sequence[str]]) -> list[Reply]:
        """One reply a question: from the first passage, in the order of :meth:`order`, in which the model reads an answer.

        One at a time: with several before it, a small model takes its answer from the wrong one.
        """
        replies: dict[int, Reply] = {}
        orders = self.order(questions, passages)
        for turn in range(max(map(len, passages), default=0)):
            open_ = [i for i, own in enumerate(orders) if turn < len(own) and not _answered(replies.get(i))]
            prompts = [self.prompt(questions[i], passages[i][orders[i][turn]]) for i in open_]
            for i, said in zip(open_, self._written(prompts), strict=True):
                place = orders[i][turn]
                reply = judged(said, questions[i], [passages[i][place]])
                if i not in replies or reply.outcome != "unusable":
                    replies[i] = replace(reply, cited=(place,) if reply.text else ())
        return [replies.get(i, NOTHING) for i in range(len(questions))]

    def order(self, questions: Sequence[str], passages: Sequence[Sequence[str]]) -> list[list[int]]:
        """The places of each question's passages as they are read: the best :data:`WEIGHED` by how unlikely the model finds *not stated*
        after them, the rest as they were found. A weak reader's word for that is worth nothing: it takes all as they were found."""
        several = [i for i, own in enumerate(passages) if len(own) > 1 and not self.weak]
        weighed = [(i, k) for i in several for k in range(len(passages[i]))[:WEIGHED]]
        found = self._silent([self.prompt(questions[i], passages[i][k]) for i, k in weighed])
        silent = dict(zip(weighed, found, strict=True))

        def unlikely(i: int, k: int) -> tuple[bool, float]:
            return k >= WEIGHED, silent.get((i, k), 0.0)

        return [sorted(range(len(own)), key=partial(unlikely, i)) for i, own in enumerate(passages)]

    def prompt(self, question: str, passage: str) -> tuple[str, str]:
        """What is the same for all questions, and what belongs to this one."""
        tokenizer = self.lm.tokenizer
        if not tokenizer.chat_template:
            before = "".join(f"{_asked(q, _LIBRARY)}\nAnswer: {a}\n\n" for q, a in EXAMPLES)
            return f"{INSTRUCTION}\n\n{before}", f"{_asked(question, passage)}\nAnswer:"
        options = dict(tokenize=False, add_generation_prompt=True)
        text = tokenizer.apply_chat_template(turns("\0"), **options)
        before, after = text.split("\0")
        return before, inert(_asked(question, passage)) + after

    def _silent(self, prompts: Sequence[tuple[str, str]]) -> list[float]:
        """Log-probability of *not stated* after each prompt."""
        from tunewise.scoring import label_logprobs

        if not prompts:
            return []
        self._count(prompts)
        nothing = [f"{self.gap}{rag.ABSTENTION}"]
        return [
            float(x)
            for x in label_logprobs(self.lm, prompts[0][0], [own for _, own in prompts], nothing)[:, 0]
        ]

    def _written(self, prompts: Sequence[tuple[str, str]]) -> list[str]:
        from tunewise.generation import generate
        from tunewise.models.packing import encode

        if not prompts:
            return []
        prefix = prompts[0][0]
        options: dict[str, Any] = dict(prefix=prefix, max_new_tokens=NEW_TOKENS, batch_size=8)
        said = generate(self.lm, [own for _, own in prompts], **options)
        self._count(prompts)
        self.tokens_written += sum(len(encode(self.lm.tokenizer, text)) for text in said)
        return said

    def _count(self, prompts: Sequence[tuple[str, str]]) -> None:
        from tunewise.models.packing import encode

        own = sum(len(encode(self.lm.tokenizer, text)) for _, text in prompts)
        self.tokens_read += own + len(prompts) * len(encode(self.lm.tokenizer, prompts[0][0]))


class EndpointReader:
    """A model behind an OpenAI-compatible server."""

    weak = False

    def __init__(self, endpoint: Any) -> None:
        self.endpoint, self.name = endpoint, endpoint.model
        self.key = f"{endpoint.server.url} {endpoint.model}"

    def answers(self, questions: Sequence[str], passages: Sequence[Sequence[str]]) -> list[Reply]:
        """One reply a question, from all its passages at once."""
        asked = [
            turns(spaced(_asked(q, "\n\n".join(own)))) for q, own in zip(questions, passages, strict=True)
        ]
        told = self.endpoint.chat(asked, NEW_TOKENS)
        return [
            Reply("unusable", "", (), f"the server refused the question: {answer.refused}", "")
            if answer.refused
            else judged(answer.text, question, own)
            for answer, question, own in zip(told, questions, passages, strict=True)
        ]


class KeptReader:
    """A reader whose answers are kept, so that what was stopped goes on.

    Parameters
    ----------
    key
        As :attr:`Reader.key`, or that of an adapter.
    on_time
        Called before each few questions; what it raises ends the asking.
    """

    def __init__(
        self, who: Any, cache: StepCache, key: str, on_time: Callable[[], None] = lambda: None
    ) -> None:
        self.who, self.cache, self.key, self.on_time = who, cache, key, on_time
        self.seconds, self.tokens_read, self.tokens_written = 0.0, 0, 0

    def answers(self, questions: Sequence[str], passages: Sequence[Sequence[str]]) -> list[Reply]:
        """As the reader's own; time and tokens are those of when the answers were written."""
        replies: list[Reply] = []
        for first in range(0, len(questions), PART):
            part = questions[first : first + PART], [list(own) for own in passages[first : first + PART]]
            kept = self.cache.memo(["documents", VERSION, self.key, *part], partial(self._ask, *part))
            replies += [Reply(**one | {"cited": tuple(one["cited"])}) for one in kept["replies"]]
            self.seconds += kept["seconds"]
            self.tokens_read += kept["tokens"][0]
            self.tokens_written += kept["tokens"][1]
        return replies

    def _ask(self, questions: Sequence[str], passages: Sequence[Sequence[str]]) -> dict[str, Any]:
        def tokens_so_far() -> tuple[int, int]:
            return getattr(self.who, "tokens_read", 0), getattr(self.who, "tokens_written", 0)

        self.on_time()
        before, start = tokens_so_far(), time.perf_counter()
        replies = [
            vars(reply) | {"cited": list(reply.cited)} for reply in self.who.answers(questions, passages)
        ]
        seconds, after = time.perf_counter() - start, tokens_so_far()
        return {
            "replies": replies,
            "seconds": seconds,
            "tokens": [b - a for a, b in zip(before, after, strict=True)],
        }


def reader(
    model: str, endpoint: str | None = None, endpoint_model: str | None = None, fresh: bool = False
) -> Reader:
    """Who answers: the model of the server at ``endpoint``, whose answers are kept unless it is to be asked anew (``fresh``), else ``model``
    on this machine. Raises ValueError, in words."""
    if endpoint is None:
        return LocalReader(model)
    from tunewise.compare.api_server import Server
    from tunewise.compare.endpoint import Endpoint

    return EndpointReader(Endpoint(Server(endpoint), endpoint_model, cache=StepCache(fresh=fresh)))


def turns(asked: str) -> list[dict[str, str]]:
    """The prompt as the turns of a chat; ``asked`` is text and question."""
    said = [{"role": "system", "content": INSTRUCTION}]
    for question, right in EXAMPLES:
        said += [{"role": "user", "content": _asked(question, _LIBRARY)}]
        said += [{"role": "assistant", "content": right}]
    return [*said, {"role": "user", "content": asked}]


def judged(said: str, question: str, passages: Sequence[str]) -> Reply:
    """What the model wrote, as a reply: what is no answer is not shown as one."""
    said = visible(said)
    text = once(said.strip())
    if tokens(text) and declined(text):
        return Reply("not stated", "", (), "", said)
    if fault := _fault(text, question, passages):
        return Reply("unusable", "", (), fault, said)
    holding = tuple(i for i, passage in enumerate(passages) if contains(passage, [text]))
    return Reply("answered", text, holding, "", said)


def _asked(question: str, text: str) -> str:
    return f"{' '.join(text.split())}\n\nQuestion: {question}"


def _answered(reply: Reply | None) -> bool:
    return reply is not None and reply.outcome == "answered"


def once(text: str) -> str:
    """The text up to where a small model begins to say a sentence again."""
    kept: list[str] = []
    for sentence in re.split(r"(?<=[.!?])\s+", text):
        if any(earlier.startswith(sentence) for earlier in kept):
            break
        kept.append(sentence)
    return " ".join(kept)


def _fault(text: str, question: str, passages: Sequence[str]) -> str:
    """Why a text is no answer; empty where it may be one. What stands in a passage word for word is never faulty."""
    if not re.search(r"\w", text):
        return "it says nothing"
    if any(text in passage for passage in passages):
        return ""
    if tokens(text)[: len(tokens(question))] == tokens(question) or "Question:" in text:
        return "it repeats the question"
    if text in INSTRUCTION:
        return "it repeats the instruction"
    return "it says the same over and over" if _loops(text) else ""


def _loops(text: str) -> bool:
    """Does a run of one to eight words or signs come four times in a row?"""
    parts = re.findall(r"\w+|[^\w\s]", text.lower())
    return any(
        parts[i : i + n] * 4 == parts[i : i + 4 * n]
        for n in range(1, 9)
        for i in range(len(parts) - 4 * n + 1)
    )
