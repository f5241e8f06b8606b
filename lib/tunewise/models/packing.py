"""Many short texts after one shared beginning, in one pass.

In classification with a language model, all test items share their beginning: the instruction and the in-context
examples. A batch of padded rows computes that beginning once *a row*. Here the shared beginning (``prefix``) is
computed once, and the items are laid one after another in a single row; an attention mask lets each item see the
prefix and itself, but no other item. Position ids restart after the prefix for each item, so every item gets exactly the
result that it would get alone (up to floating-point rounding). Labels that are compared for one item branch off the
item's last token in the same way (the idea of tree attention, Miao et al. 2023, SpecInfer).

There is no padding, and the output layer, a fifth of the work of a 135M model with a 49k vocabulary, is computed
only at the places whose prediction is asked for. :func:`forward_packed` is the one way in which this library calls a model,
but for free generation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from tunewise import control_tokens

Ids = Sequence[int]
Pairs = Sequence[tuple[list[int], list[int]]]  # token ids of prompts and their answers
T = TypeVar("T")


class LanguageModel(Protocol):
    """What scoring, generation and training need: a causal language model of transformers, and its tokenizer."""

    model: Any
    tokenizer: Any


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of ``text``; nothing is added at its ends. What :func:`tunewise.control_tokens.inert` marked gives no control token."""
    ids: list[int] = []
    for part, plain in control_tokens.parts(tokenizer, text):
        options = {"split_special_tokens": True} if plain else {}
        ids += tokenizer(part, add_special_tokens=False, **options)["input_ids"]
    return ids


def encode_pairs(tokenizer: Any, pairs: Iterable[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
    """Token ids of prompts and their answers, with the end of text after each answer."""
    eos = [tokenizer.eos_token_id]
    return [(encode(tokenizer, p), encode(tokenizer, a) + eos) for p, a in pairs]


@dataclass
class Segment:
    """A run of tokens in the row: sees the shared prefix, its ancestors whole, and itself up to each token.

    ``start`` is its place in the row, ``position`` the position id of its first token.
    """

    tokens: list[int]
    parent: Segment | None
    start: int
    position: int


@dataclass
class Row:
    """Segments laid one after another, to be sent through the model as one sequence of length T after a prefix of length P."""

    prefix_length: int = 0
    segments: list[Segment] = field(default_factory=list)
    length: int = 0

    def add(self, tokens: Ids, parent: Segment | None = None, position: int | None = None) -> Segment:
        """Append a segment; its position ids go on after its parent's, or the prefix's, unless ``position`` says where."""
        if position is None:
            position = self.prefix_length if parent is None else parent.position + len(parent.tokens)
        segment = Segment(list(tokens), parent, self.length, position)
        self.segments.append(segment)
        self.length += len(segment.tokens)
        return segment

    def tensors(self, device: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor | None]:
        """``input_ids`` [1, T], ``position_ids`` [1, T] and the additive ``attention_mask`` [1, 1, T, P + T].

        The mask of one plain text without a prefix is None: causal attention needs none, and is faster so.
        """
        ids = torch.tensor([t for s in self.segments for t in s.tokens], device=device)
        position = torch.cat([torch.arange(s.position, s.position + len(s.tokens)) for s in self.segments])
        if not self.prefix_length and len(self.segments) == 1:
            return ids[None], position[None].to(device), None
        seen = torch.zeros(self.length, self.prefix_length + self.length, dtype=torch.bool)
        seen[:, : self.prefix_length] = True
        for s in self.segments:
            rows, above = slice(s.start, s.start + len(s.tokens)), s
            while above.parent is not None:
                above = above.parent
                first = self.prefix_length + above.start
                seen[rows, first : first + len(above.tokens)] = True
            first = self.prefix_length + s.start
            seen[rows, first : first + len(s.tokens)] = torch.ones(len(s.tokens), len(s.tokens)).tril().bool()
        mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)
        return ids[None], position[None].to(device), mask[None, None].to(device)


@dataclass
class Prefix:
    """What a model has read already: keys and values (None for nothing), their number, and the last token's hidden state [1, hidden]."""

    cache: Any = None
    length: int = 0
    last: Tensor | None = None


def parts(model: Any) -> tuple[Any, Any]:
    """The decoder without its output layer, and the output layer, of a causal language model (adapter or not)."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return base.get_decoder(), base.get_output_embeddings()


def forward_packed(
    model: Any, row: Row, places: Sequence[int], prefix: Prefix | None = None, *, keep: bool = False
) -> Tensor:
    """Logits at chosen places of a row, after a prefix.

    Parameters
    ----------
    row
        Made with ``Row(prefix.length)``.
    places
        Places in the row; -1 is the last token of the prefix.
    prefix
        Left as it was, unless ``keep``.
    keep
        Add the row to the prefix.

    Returns
    -------
    Tensor
        float32 [len(places), vocabulary].
    """
    prefix = prefix or Prefix()
    decoder, head = parts(model)
    states = [prefix.last] if prefix.last is not None else []
    offset, cached = len(states), keep or prefix.cache is not None
    if row.length:
        dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
        input_ids, position_ids, mask = row.tensors(model.device, dtype)
        inputs = dict(input_ids=input_ids, position_ids=position_ids, attention_mask=mask)
        out = decoder(**inputs, past_key_values=prefix.cache, use_cache=cached)
        states.append(out.last_hidden_state[0])
        if keep:
            prefix.cache, prefix.length = out.past_key_values, prefix.length + row.length
            prefix.last = states[-1][-1:]
        elif cached:
            prefix.cache.crop(-row.length)
    logits: Tensor = head(torch.cat(states)[[place + offset for place in places]]).float()
    return logits


@torch.inference_mode()
def read_prefix(model: Any, ids: Sequence[int]) -> Prefix:
    """Read the shared beginning of many texts, once."""
    prefix = Prefix()
    if ids:
        row = Row()
        row.add(ids)
        forward_packed(model, row, [], prefix, keep=True)
    return prefix


@contextlib.contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """The model in evaluation mode and without gradients, for the length of a ``with`` block.

    Frozen weights are not marked as frozen meanwhile: PyTorch folds the rows of a batch into one matrix only for a weight that
    could be trained. Else few rows meet one copy of the weight a row, in bfloat16 on a CPU some 30 to 1,500 times slower.
    """
    was_training = model.training
    frozen = [p for p in model.parameters() if not p.requires_grad and p.is_floating_point()]
    model.eval()
    try:
        for p in frozen:
            p.requires_grad_(True)
        with torch.inference_mode():
            yield
    finally:
        for p in frozen:
            p.requires_grad_(False)
        model.train(was_training)


def laid_out(pairs: Pairs, prefix_ids: Ids = (), prefix_length: int = 0) -> tuple[Row, list[int], list[int]]:
    """Prompts with their answers in one row, the places whose next token belongs to an answer, and these tokens.

    Parameters
    ----------
    prefix_ids
        What all prompts begin with, as part of the row.
    prefix_length
        Tokens of a prefix that the model has read already.

    Raises
    ------
    ValueError
        For an empty prompt.
    """
    row = Row(prefix_length)
    prefix = row.add(prefix_ids) if prefix_ids else None
    places: list[int] = []
    for prompt, answer in pairs:
        if not prompt:
            raise ValueError("an example needs a prompt of at least one token after the shared prefix")
        first = row.add(prompt + answer[:-1], parent=prefix).start + len(prompt) - 1
        places += range(first, first + len(answer))
    return row, places, [token for _, answer in pairs for token in answer]


def rows_of(items: Iterable[T], size: Callable[[T], int], limit: int) -> Iterator[list[T]]:
    """Group ``items`` so that the sum of ``size(item)`` in a group stays at or under ``limit`` (one item at least)."""
    group: list[T] = []
    used = 0
    for item in items:
        if group and used + size(item) > limit:
            yield group
            group, used = [], 0
        group.append(item)
        used += size(item)
    if group:
        yield group
