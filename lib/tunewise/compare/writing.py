"""How a model is asked to write an answer or a record: templates, examples, where an answer ends, what JSON it may write."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tunewise.compare.answer_scoring import Scorer, load_scorer, outcomes_of, parsed, right_answers
from tunewise.compare.artefact import Artefact
from tunewise.compare.base import ANSWER_TOKENS, ArmResult, Cost, Item
from tunewise.compare.own_prompt import in_chat, literal
from tunewise.compare.take_home.prompt_parts import ended
from tunewise.compare.workbench import Workbench
from tunewise.control_tokens import inert
from tunewise.data import Task
from tunewise.prompting import PromptTemplate, nearest_shots

CHOICE = 60  # validation rows on which settings are chosen: writing takes longer than scoring
BATCH = 16
ROOM = 1.5  # an answer may be so many times as long as the longest in training
_TASK = Task("own", ("",), (), (), ())  # templates of written answers name no labels
Shots = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Asked:
    """A way to ask: a template with examples, the same for all texts or (``nearest``) the nearest of ``shots`` for each."""

    template: PromptTemplate
    shots: Shots = ()
    nearest: int = 0

    def settings(self) -> dict[str, Any]:
        """What was tried, as the report names it."""
        k = self.nearest or len(self.shots)
        drawn = "nearest" if self.nearest else "random"
        return {"template": self.template.name} | ({"examples": k, "drawn": drawn} if k else {})

    @property
    def opening(self) -> str:
        """The instruction."""
        return self.template.instruction(_TASK)

    @property
    def after(self) -> str:
        """What follows a text."""
        return self.template.query(_TASK, "")[1:]

    def query(self, text: str) -> str:
        """The part that belongs to one text; its line breaks stay."""
        return " " + inert(text) + self.after

    def examples(self, shots: Shots) -> str:
        """Examples, and what stands before the text."""
        before, between = self.template.before, self.template.separator
        return "".join(before + self.query(text) + answer + between for text, answer in shots) + before


class Writer:
    """What is written for the rows of a comparison, by the model as it is or after training; each text is written once and kept."""

    def __init__(self, bench: Workbench) -> None:
        self.bench, self.data = bench, bench.data

    def answer(self, item: Item) -> str:
        """What a model is shown and taught to write: the first right answer, or the record on one line."""
        if self.data.kind == "extraction":
            return " " + inert(json.dumps(parsed(item.target or ""), ensure_ascii=False))
        return " " + inert(first_answer(item))

    def instruction(self) -> str:
        """What is asked for, in one or two sentences."""
        if self.data.kind == "extraction":
            fields = ", ".join(inert(name) for name in (self.data.schema or {})["properties"])
            return f"Extract these fields from the text: {fields}. Write one JSON object and nothing else."
        return "Give a short answer, and nothing else."

    def templates(self) -> list[PromptTemplate]:
        """Three of ours: an instruction, nothing but the field's name, and the model's own chat."""
        tokenizer = self.bench.ctx.lm.tokenizer
        before, cue = ("Text:", "JSON:") if self.data.kind == "extraction" else ("Question:", "Answer:")
        found = [PromptTemplate("instruction", f"{literal(self.instruction())}\n\n", before, f"\n{cue}")]
        found.append(PromptTemplate("bare", "", before, f"\n{cue}"))
        if tokenizer.chat_template:
            found.append(in_chat("chat", tokenizer, self.instruction(), before, "", cue))
        return found

    @cached_property
    def stop(self) -> str | None:
        """Where an answer ends, beside the end of text: after a line, or a paragraph where answers have several lines."""
        if self.data.kind == "extraction":
            return None
        return "\n\n" if any("\n" in first_answer(i) for i in self.bench.train) else "\n"

    @cached_property
    def most(self) -> int:
        """Tokens of an answer at most."""
        lengths = [self._length(self.answer(i)) for i in self.bench.train]
        return min(ANSWER_TOKENS, int(ROOM * max(lengths)) + 4)

    @cached_property
    def scorer(self) -> Scorer | None:
        """The user's own."""
        named = self.bench.settings.scorer
        return load_scorer(named) if named else None

    def prompts(self, one: Asked, items: Sequence[Item]) -> tuple[str, list[str]]:
        """What all prompts begin with, and the rest of each."""
        bench = self.bench
        rest = [one.query(bench.shorten(i.text)) for i in items]
        if not one.nearest:
            return one.opening + one.examples(one.shots), rest
        places = [(text, i) for i, (text, _) in enumerate(one.shots)]
        known, asked = bench.embed([text for text, _ in one.shots]), bench.embed([i.text for i in items])
        chosen = nearest_shots(places, known, asked, one.nearest)
        shown = [one.examples([one.shots[i] for _, i in some]) for some in chosen]
        return one.opening, [s + r for s, r in zip(shown, rest, strict=True)]

    def fits(self, one: Asked) -> bool:
        """Whether examples, the longest text and an answer fit into the model's window."""
        chosen = one.shots
        if one.nearest:
            chosen = sorted(one.shots, key=lambda shot: -len(shot[0]))[: one.nearest]
        longest = max(self.data.test, key=lambda i: len(i.text))
        asked = one.opening + one.examples(chosen) + one.query(self.bench.shorten(longest.text))
        window: int = getattr(self.bench.ctx.lm.model.config, "max_position_embeddings", 2048)
        return self._length(asked) + self.most <= window

    def valid_score(self, one: Asked, trained: Any = None) -> float:
        """Mean outcome on validation rows."""
        items = self.data.valid[:CHOICE]
        said, _ = self.write(one, items, trained)
        return float(np.mean(self.outcomes(items, said)[self.data.metric]))

    def write(self, one: Asked, items: Sequence[Item], trained: Any = None) -> tuple[list[str], Cost]:
        """What the model writes for each item, and what a call costs.

        trained: what :meth:`tunewise.experiment.Context.adapter` gave; None for the model as it is.
        """
        from tunewise.generation import generate

        bench, lm = self.bench, trained or self.bench.ctx.lm
        prefix, prompts = self.prompts(one, items)

        def written(part: list[str]) -> list[str]:
            with self._keeping_to_schema(lm):
                found = generate(lm, part, prefix=prefix, max_new_tokens=self.most, stop=None)
            return [ended(text, self.stop) for text in found]

        asked = [prefix, self.data.schema, self.stop, self.most]
        made_of = ["written", bench.ctx.ingredients, trained.key if trained else "", asked]
        said, seconds = bench.once(made_of, prompts, written, BATCH)
        begun = self._length(prefix)
        cost = Cost(
            labels=len(one.shots),
            seconds_a_call=seconds,
            prompt_tokens=begun + float(np.mean([self._length(prompt) for prompt in prompts])),
            completion_tokens=float(np.mean([self._length(text) for text in said])),
            memory=sum(p.numel() * p.element_size() for p in lm.model.parameters()),
        )
        return said, cost

    def outcomes(self, items: Sequence[Item], said: Sequence[str]) -> dict[str, list[float]]:
        """Metric -> one number an item."""
        return outcomes_of(self.data.kind, items, said, schema=self.data.schema, scorer=self.scorer)

    def result(
        self,
        arm: tuple[str, str, str],
        settings: dict[str, Any],
        said: Sequence[str],
        cost: Cost,
        **more: Any,
    ) -> ArmResult:
        """The result of an arm (name, title, family) that wrote ``said`` for the test items."""
        right = self.outcomes(self.data.test, said)
        return ArmResult(*arm, settings=settings, predictions=said, outcomes=right, cost=cost, **more)

    def artefact(self, one: Asked) -> Artefact:
        """How the prompt is put together, for who uses it elsewhere."""
        return Artefact(
            "write",
            model=self.bench.settings.model,
            encoder="minilm" if one.nearest else "",
            opening=one.opening,
            shots=one.shots,
            before=one.template.before,
            after=one.after,
            separator=one.template.separator,
            nearest=one.nearest,
            max_new_tokens=self.most,
            stop=self.stop,
            schema=self.data.schema,
            keep_lines=True,
        )

    def _length(self, text: str) -> int:
        from tunewise.models.packing import encode

        return len(encode(self.bench.ctx.lm.tokenizer, text))

    def _keeping_to_schema(self, lm: Any) -> contextlib.AbstractContextManager[Any]:
        from tunewise.constrained import constrained_to, json_grammar

        schema = self.data.schema
        return constrained_to(lm, json_grammar(schema)) if schema else contextlib.nullcontext()


def first_answer(item: Item) -> str:
    """The first of the right answers that a row names."""
    return right_answers(item.target or "")[0].strip()
