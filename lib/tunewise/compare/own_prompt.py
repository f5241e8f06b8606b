"""Prompts for labels of the user's own: three templates of ours, and theirs from a file.

A prompt file is a text with ``{text}`` in it, and ``{labels}`` where the labels shall stand::

    You sort mails of a shop. The queues are {labels}.
    Mail: {text}
    Queue:

or YAML (or JSON), with a system prompt and what the labels mean::

    system: You sort mails of a shop.
    labels:
      billing: invoices, payments, refunds
      bug: something does not work
    prompt: |
      {labels}

      Mail: {text}
      Queue:
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewise.prompting import PromptTemplate

KEYS = ("system", "labels", "prompt")
_MARKS = ("\ufdd2", "\ufdd3", "\ufdd4")  # stand for texts and an answer while a chat is laid out


@dataclass(frozen=True)
class OwnPrompt:
    """What a prompt file says. ``labels``: label -> what it means; empty where nothing is said."""

    prompt: str
    system: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def templates(self, tokenizer: Any, labels: Sequence[str]) -> list[PromptTemplate]:
        """The prompt as plain text and, where the model has a chat template, as a turn of a chat."""
        before, after = (part.strip(" ") for part in self.filled(labels).split("{text}"))
        opening = f"{self.system}\n\n{before}" if self.system else before
        end = after.rstrip() if after.rstrip().endswith((":", "=", "is")) else f"{after.rstrip()}\nAnswer:"
        found = [PromptTemplate("own", literal(opening), "", literal(end))]
        if tokenizer.chat_template:
            found.append(in_chat("own, as chat", tokenizer, self.system, before, after.rstrip(), "Answer:"))
        return found

    def filled(self, labels: Sequence[str]) -> str:
        """The prompt with the labels in their place."""
        said = [
            f"- {label}: {self.labels[label]}" if label in self.labels else f"- {label}" for label in labels
        ]
        return self.prompt.replace("{labels}", "\n".join(said) if self.labels else listed(labels))


def read_prompt(path: Path, labels: Sequence[str]) -> OwnPrompt:
    """The user's prompt file.

    Raises
    ------
    ValueError
        With what is wrong with the file, and the remedy.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not in UTF-8"
        raise ValueError(f"the prompt file {path} can't be read ({why}): is the name right?") from error
    own = OwnPrompt(content.rstrip("\n"))
    if path.suffix.lower() in (".yml", ".yaml", ".json"):
        own = _of_mapping(path, content)
    if own.prompt.count("{text}") != 1:
        raise ValueError(
            f"{path.name}: the prompt must hold {{text}} once, where the text shall stand; it holds it {own.prompt.count('{text}')} times"
        )
    if "{labels}" in own.prompt and not labels:
        raise ValueError(f"{path.name} holds {{labels}}, and this data has no labels: take it out")
    if unknown := sorted(set(own.labels) - set(labels)):
        raise ValueError(
            f"{path.name} describes a label {unknown[0]!r} that the data does not have; it has {', '.join(labels[:10])}"
        )
    return own


def _of_mapping(path: Path, content: str) -> OwnPrompt:
    import yaml

    try:
        told = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(told, dict) or not set(told) <= set(KEYS) or not isinstance(told.get("prompt"), str):
        raise ValueError(
            f"{path.name} must hold prompt, a text, and may hold system and labels (label: what it means)"
        )
    meanings = told.get("labels") or {}
    if not isinstance(meanings, dict):
        raise ValueError(f"{path.name}: labels must be lines of the form label: what it means")
    return OwnPrompt(
        told["prompt"].rstrip("\n"),
        str(told.get("system") or "").strip(),
        {str(k): str(v) for k, v in meanings.items()},
    )


def our_templates(tokenizer: Any, target: str) -> list[PromptTemplate]:
    """Templates for texts with labels; ``target`` is the name of the label column, which says what is asked."""
    word = " ".join(target.replace("_", " ").split()).lower()
    aspect = word if 3 <= len(word) <= 30 and word.replace(" ", "").isalpha() else "label"
    cue, asked = f"{aspect.capitalize()}:", f"What is the {aspect} of this text: {{labels}}?"
    found = [
        PromptTemplate(
            "instruction", f"Classify the {aspect} of each text as {{labels}}.\n\n", "Text:", f"\n{cue}"
        ),
        PromptTemplate("question", "", "Text:", f"\nQuestion: {asked}\nAnswer:"),
    ]
    if tokenizer.chat_template:
        system = f"You classify texts. Answer with the {aspect} of the text, and nothing else. It is one of: {_MARKS[2]}."
        chat = in_chat("chat", tokenizer, system, "Text:", "", cue)
        found.append(
            PromptTemplate(
                "chat", chat.opening.replace(_MARKS[2], "{labels}"), "", chat.after, separator=chat.separator
            )
        )
    else:
        found.append(PromptTemplate("bare", "", "", f"\n{cue}"))
    return found


def in_chat(name: str, tokenizer: Any, system: str, before: str, after: str, cue: str) -> PromptTemplate:
    """A template of turns, as the model's own chat template lays them out: examples are earlier turns. The answer begins with ``cue``."""
    first, answer = _MARKS[:2]
    user = {"role": "user", "content": f"{before}{first}{after}"}
    turns = [user, {"role": "assistant", "content": f"{cue}{answer}"}, user]
    try:
        said = _laid_out(tokenizer, [{"role": "system", "content": system}, *turns] if system else turns)
    except Exception:  # templates raise their own errors for a role that they do not know
        turns[0] = {"role": "user", "content": f"{system}\n\n{user['content']}"}
        said = _laid_out(tokenizer, turns)
    opening, rest = said.split(first, 1)
    end, rest = rest.split(answer, 1)
    separator = rest.split(first, 1)[0]
    return PromptTemplate(name, literal(opening), "", literal(end), separator=separator)


def _laid_out(tokenizer: Any, turns: Sequence[Mapping[str, str]]) -> str:
    text: str = tokenizer.apply_chat_template(list(turns), tokenize=False)
    return text


def literal(text: str) -> str:
    """``text`` as a template holds it that is filled by ``str.format``."""
    return text.replace("{", "{{").replace("}", "}}")


def listed(labels: Sequence[str]) -> str:
    """``a, b or c``."""
    return " or ".join([", ".join(labels[:-1]), labels[-1]])
