"""Answer a question from passages (retrieval-augmented generation, RAG; Lewis et al. 2020, arXiv 2005.11401), or from memory.

The model is asked to name the passage that it answers from, as ``[2]``, and to say *not stated* where none holds the answer. Whether it
does so is another matter: an untuned small model hardly ever does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tunewise.control_tokens import inert

Texts = Sequence[str]
ABSTENTION = "not stated"
WITH_PASSAGES = f"""Answer the question from the passages, in a few words, and give the number of the passage. \
If no passage holds the answer, say: {ABSTENTION}.\n
"""
FROM_MEMORY = "Answer each question in a few words.\n\n"
MAY_ABSTAIN = f"Answer each question in a few words. If you do not know the answer, say: {ABSTENTION}.\n\n"
_PLACE = "\0"  # where a question goes in a rendered chat
_CITED = re.compile(r"\s*\[(\d+)\]")


@dataclass(frozen=True)
class Answer:
    """An answer without its citations, the places of the passages that it names (from 0, in order), and what the model wrote."""

    text: str
    cited: tuple[int, ...]
    said: str = field(default="", compare=False)


@dataclass(frozen=True)
class Reader:
    """How a model is asked to answer from passages.

    Parameters
    ----------
    chat
        In the model's own chat template; otherwise as plain text that the model continues.
    instruction_last
        The instruction follows passages and question; otherwise it opens the prompt.
    examples
        Worked examples that come first: question, passages, and the answer as :func:`target` writes it.
    """

    chat: bool = False
    instruction_last: bool = False
    examples: tuple[tuple[str, tuple[str, ...], str], ...] = ()

    def render(self, tokenizer: Any, question: str, passages: Texts) -> tuple[str, str]:
        """The prompt in two parts: what is the same for all questions, and what belongs to this one."""
        asked = [(self._body(q, p), a.strip()) for q, p, a in self.examples]
        opening = "" if self.instruction_last else WITH_PASSAGES
        if not self.chat:
            return opening + "".join(f"{q} {a}\n\n" for q, a in asked), self._body(question, passages)
        turns = [{"role": "system", "content": opening.strip()}] if opening else []
        for text, right in asked:
            turns += [{"role": "user", "content": text}, {"role": "assistant", "content": right}]
        turns.append({"role": "user", "content": _PLACE})
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        before, after = text.split(_PLACE)
        return before, self._body(question, passages) + after

    def _body(self, question: str, passages: Texts) -> str:
        text, end = prompt(question, passages), "\nAnswer:"
        if self.instruction_last:
            text = f"{text.removesuffix(end)}\n{WITH_PASSAGES.strip()}{end}"
        return text.removesuffix(end) if self.chat else text


def prompt(question: str, passages: Sequence[str] = ()) -> str:
    """What follows the instruction: numbered passages, the question, up to where the answer begins. Control tokens in them stay text."""
    held = "".join(f"[{i}] {' '.join(p.split())}\n\n" for i, p in enumerate(passages, 1))
    return f"{inert(held)}Question: {inert(question)}\nAnswer:"


def target(answer: str | None, cited: int | None = None) -> str:
    """The answer to train on: with the place of its passage (the first being 0), or the abstention for None."""
    if answer is None:
        return f" {ABSTENTION}"
    return f" {answer}" if cited is None else f" {answer} [{cited + 1}]"


def read(said: str, n_passages: int) -> Answer:
    """Answer and citations apart. A number that no passage has is dropped."""
    cited = (int(m) - 1 for m in _CITED.findall(said))
    there = tuple(dict.fromkeys(c for c in cited if 0 <= c < n_passages))
    return Answer(_CITED.sub("", said).strip(), there, said)


def answer(
    lm: Any,
    questions: Texts,
    passages: Sequence[Texts],
    *,
    reader: Reader = Reader(),
    from_memory: str = FROM_MEMORY,
    max_new_tokens: int = 24,
    batch_size: int = 8,
) -> list[Answer]:
    """Greedy answers to ``questions``, each from its own ``passages`` (none: from memory).

    Parameters
    ----------
    lm
        A loaded model: ``.model`` and ``.tokenizer``.
    reader
        How it is asked where there are passages.
    from_memory
        The instruction where there are none, such as :data:`MAY_ABSTAIN`.

    Raises
    ------
    ValueError
        When there is not one list of passages for each question.
    """
    from tunewise.generation import generate

    if len(questions) != len(passages):
        there = f"{len(questions)} questions for {len(passages)} lists of passages"
        raise ValueError(f"{there}: one each is wanted")
    options: dict[str, Any] = dict(max_new_tokens=max_new_tokens, batch_size=batch_size)
    out: dict[int, Answer] = {}
    for given in (True, False):
        if places := [i for i in range(len(questions)) if bool(passages[i]) == given]:
            if given:
                asked = [reader.render(lm.tokenizer, questions[i], passages[i]) for i in places]
            else:
                asked = [(from_memory, prompt(questions[i])) for i in places]
            said = generate(lm, [text for _, text in asked], prefix=asked[0][0], **options)
            out |= {i: read(text, len(passages[i])) for i, text in zip(places, said, strict=True)}
    return [out[i] for i in range(len(questions))]


def answer_from_all(lm: Any, questions: Texts, passages: Texts, *, max_new_tokens: int = 24) -> list[Answer]:
    """Greedy answers to ``questions``, all from the same ``passages``, which are read once (a whole corpus in the prompt)."""
    from tunewise.generation import generate

    opening = WITH_PASSAGES + prompt("\0", passages).split("Question: \0")[0]
    asked = [prompt(q) for q in questions]
    said = generate(lm, asked, prefix=opening, max_new_tokens=max_new_tokens, batch_size=16)
    return [read(text, len(passages)) for text in said]


def raft_pairs(
    questions: Sequence[tuple[str, str]],
    gold: Sequence[int],
    near: Callable[[int], Sequence[int]],
    texts: Texts,
    *,
    distractors: int,
    without: float,
    rng: np.random.Generator,
) -> list[tuple[str, str]]:
    """Training pairs after RAFT (Zhang et al. 2024, arXiv 2403.10131): the passage that holds the answer among distractors.

    Three things differ. Where the right passage is missing the target is the abstention; RAFT keeps the answer there, to be memorised. The
    answers are short, without RAFT's reasoning and quotes. And ``near`` may be what a search ranks next; RAFT's code draws at random.

    Parameters
    ----------
    questions
        Pairs of question and answer.
    gold
        Of each the place in ``texts`` of a passage that holds the answer.
    near
        ``near(i)``: places of passages that could be mistaken for it, nearest first, none of which holds the answer.
    distractors
        How many of them stand beside the right passage.
    without
        The share of questions that get distractors only, with the abstention to learn.
    """
    pairs = []
    for i, (question, right) in enumerate(questions):
        absent = rng.random() < without
        chosen = list(near(i))[: distractors + absent] + ([] if absent else [gold[i]])
        chosen = [chosen[j] for j in rng.permutation(len(chosen))]
        wanted = target(None) if absent else target(right, chosen.index(gold[i]))
        pairs.append((prompt(question, [texts[c] for c in chosen]), wanted))
    return pairs
