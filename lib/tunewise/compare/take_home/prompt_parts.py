"""The prompt of a text, as it was evaluated."""

import os
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

MARKED = re.compile(
    "\ufdd0(.*?)\ufdd1", re.DOTALL
)  # what looks like a control token in a text, and stays text


def ended(text: str, stop: str | None) -> str:
    """What was written up to where an answer ends; line breaks and spaces before it are passed over."""
    return text.strip().split(stop or "\0")[0].strip()


class Prompts:
    """What ``arm.json`` says, put together.

    Parameters
    ----------
    arm
        The content of ``arm.json``.
    tokenizer
        The base model's.
    """

    def __init__(self, arm: Mapping[str, Any], tokenizer: Any) -> None:
        self.arm, self.tokenizer = arm, tokenizer
        self.control = [token.content for token in tokenizer.added_tokens_decoder.values()]

    def encode(self, prompt: str) -> list[int]:
        """Token ids; nothing is added at the ends."""
        pieces = MARKED.split(MARKED.sub(lambda m: m[0] if m[1] in self.control else m[1], prompt))
        how = [{"add_special_tokens": False, "split_special_tokens": bool(i % 2)} for i in range(len(pieces))]
        return [t for p, h in zip(pieces, how, strict=True) if p for t in self.tokenizer(p, **h)["input_ids"]]

    def query(self, text: str) -> str:
        """The part that belongs to one text, whose beginning counts where it is long."""
        text, most = re.sub("[\ufdd0\ufdd1]", "", text), self.arm["text_tokens"]
        ids = self.tokenizer(text[: 20 * most], add_special_tokens=False)["input_ids"]
        if len(ids) > most or len(text) > 20 * most:
            text = self.tokenizer.decode(ids[:most])
        text = text if self.arm["keep_lines"] else " ".join(text.split())
        marked = re.sub("|".join(map(re.escape, self.control)), "\ufdd0\\g<0>\ufdd1", text)
        return f" {marked}{self.arm['after']}"

    def of(self, text: str) -> tuple[list[int], list[int]]:
        """Token ids of what other prompts begin with too, and of the rest."""
        arm = self.arm
        shots = self.nearest(text) if arm["nearest"] else arm["shots"]
        shown = [arm["before"] + self.query(shot) + answer + arm["separator"] for shot, answer in shots]
        start, examples = arm["opening"], "".join(shown) + arm["before"]
        if not arm["nearest"]:
            start, examples = start + examples, ""
        return self.encode(start), self.encode(examples + self.query(text))

    def nearest(self, text: str) -> Sequence[tuple[str, str]]:
        """The examples whose sentence embeddings are nearest, the nearest last."""
        encoder, known = self.embedded
        order = (-(known @ encoder.encode([text], normalize_embeddings=True)[0])).argsort(kind="stable")
        return [self.arm["shots"][i] for i in reversed(order[: self.arm["nearest"]])]

    @cached_property
    def embedded(self) -> tuple[Any, Any]:
        """The sentence encoder, and what it makes of the examples: once for all texts."""
        from sentence_transformers import SentenceTransformer

        base = self.arm["encoder_base"]
        encoder = SentenceTransformer(base["folder" if os.path.isdir(base["folder"]) else "hub"])
        shots = [shot for shot, _ in self.arm["shots"]]
        return encoder, encoder.encode(shots, normalize_embeddings=True)
