"""Free generation: what the model writes when it is not constrained to a list of labels."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

from tunewise.models.packing import LanguageModel, encode, evaluating, read_prefix


def generate(
    lm: LanguageModel,
    prompts: Sequence[str],
    *,
    prefix: str = "",
    max_new_tokens: int = 8,
    batch_size: int = 32,
    stop: str | None = "\n",
) -> list[str]:
    """Greedy continuations of ``prefix`` and each of ``prompts``, in their order, without the prompt and cut at ``stop``.

    Prompts are sorted by length and padded on the left within a batch; no special tokens are added.

    Parameters
    ----------
    prefix
        What all prompts begin with; it is computed once. Prefix and prompt are tokenised apart, so the cut must lie where a
        token ends (after a line break, or before a space that a word follows).

    Raises
    ------
    ValueError
        For an empty prompt.
    """
    tokenizer, model = lm.tokenizer, lm.model
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    shared, ids = encode(tokenizer, prefix), [encode(tokenizer, p) for p in prompts]
    if not shared and not all(ids):
        raise ValueError("an empty prompt cannot be continued: give a prefix or a prompt")
    order = sorted(range(len(prompts)), key=lambda i: len(ids[i]))
    texts = [""] * len(prompts)
    with evaluating(model):
        # the model wants one token at least beside what it has read
        cache = read_prefix(model, shared).cache if all(ids) else None
        for first in range(0, len(order), batch_size):
            chosen = order[first : first + batch_size]
            longest = max(len(ids[i]) for i in chosen)
            rows = [shared + [pad] * (longest - len(ids[i])) + ids[i] for i in chosen]
            seen = [[1] * len(shared) + [0] * (longest - len(ids[i])) + [1] * len(ids[i]) for i in chosen]
            options: dict[str, Any] = {}
            if cache is not None:
                options["past_key_values"] = copy.deepcopy(cache)
                options["past_key_values"].batch_repeat_interleave(len(chosen))
            inputs = [torch.tensor(x, device=model.device) for x in (rows, seen)]
            options |= dict(max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=pad)
            out = model.generate(input_ids=inputs[0], attention_mask=inputs[1], **options)
            for i, row in zip(chosen, out[:, len(shared) + longest :], strict=True):
                text = tokenizer.decode(row, skip_special_tokens=True)
                cut = text if stop and text.strip(stop) == text else text.strip()
                texts[i] = cut.split(stop or "\0")[0]
    return texts
