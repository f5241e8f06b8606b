"""Prompt templates for classification: how a text, and examples before it, are put to a language model.

A prompt falls into a ``prefix`` (the same for all items: instruction and examples) and a ``query`` (the item). The cut
lies before a space, so that both can be tokenised apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunewise.data import Task


@dataclass(frozen=True)
class PromptTemplate:
    """One prompt template.

    opening: the instruction; ``{noun}`` is what the texts are (``tweet``), ``{aspect}`` what is asked of them
    (``sentiment``), ``{Aspect}`` the same with a capital, ``{labels}`` the list of labels; they may stand in ``after`` too.
    before, after: what surrounds the text. verbal: the word that stands for each label, in the order of the task's labels
    (None: the labels themselves).
    """

    name: str
    opening: str
    before: str
    after: str
    verbal: tuple[str, ...] | None = None

    def answers(self, labels: Sequence[str]) -> list[str]:
        """The strings that are scored, with their leading space, in the order of ``labels``."""
        words = self.verbal or tuple(labels)
        if len(words) != len(labels):
            raise ValueError(
                f"wording {self.name!r} has {len(words)} words for {len(labels)} labels {list(labels)}"
            )
        return [" " + w for w in words]

    def query(self, task: Task, text: str) -> str:
        """The part of the prompt that belongs to one item. Line breaks in the text become spaces."""
        return " " + " ".join(text.split()) + self.after.format(**self._words(task))

    def instruction(self, task: Task) -> str:
        """What is said once, before all examples."""
        return self.opening.format(**self._words(task))

    def prefix(self, task: Task, shots: Sequence[tuple[str, int]] = ()) -> str:
        """Instruction and examples (pairs of text and label index), up to where the item's text begins."""
        answers = self.answers(task.labels)
        done = "".join(f"{self.before}{self.query(task, text)}{answers[y]}\n\n" for text, y in shots)
        return self.instruction(task) + done + self.before

    def _words(self, task: Task) -> dict[str, str]:
        noun, aspect = ASKED.get(task.name, ("text", "label"))
        labels = ", ".join(task.labels[:-1]) + " or " + task.labels[-1]
        return {"noun": noun, "aspect": aspect, "Aspect": aspect.capitalize(), "labels": labels}


# What the texts of a task are, and what is asked of them; a reader's own data are plain texts with labels.
ASKED = {
    "tweets": ("tweet", "sentiment"),
    "products": ("product review", "sentiment"),
    "films": ("film review", "sentiment"),
    "news": ("newspaper comment", "sentiment"),
    "tweets-polarity": ("tweet", "sentiment"),
    "tweets-subjectivity": ("tweet", "tone"),
    "domain": ("text", "source"),
}

_CHAT = "<|im_start|>user\nIs the {aspect} of this {noun} {labels}? Answer with one word.\n\n"


class _Named(dict[str, PromptTemplate]):
    def __missing__(self, name: str) -> PromptTemplate:
        raise ValueError(f"no prompt template is called {name!r}; there are {', '.join(self)}")


TEMPLATES = _Named(
    (w.name, w)
    for w in (
        PromptTemplate(
            "instruction", "Classify the {aspect} of each {noun} as {labels}.\n\n", "Text:", "\n{Aspect}:"
        ),
        PromptTemplate("question", "", "Text:", "\nQuestion: is the {aspect} {labels}?\nAnswer:"),
        PromptTemplate("bare", "", "", "\n{Aspect}:"),
        PromptTemplate("mood", "", "", "\nOverall the author's mood is", ("good", "neutral", "bad")),
        PromptTemplate("chat", _CHAT, "Text:", "<|im_end|>\n<|im_start|>assistant\nThe {aspect} is"),
    )
)
