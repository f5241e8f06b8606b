"""Free generation: what the model writes when it is not held to a list of labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch


@torch.inference_mode()
def generate(lm, prompts: Sequence[str], *, max_new_tokens: int = 8, batch_size: int = 32, stop: str | None = "\n") -> list[str]:
    """Greedy continuations of ``prompts``, in their order, without the prompt and cut at ``stop``.

    Prompts are sorted by length and padded on the left within a batch; no special tokens are added.
    """
    tokenizer, model = lm.tokenizer, lm.model
    was_training, side = model.training, tokenizer.padding_side
    model.eval()
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    texts = [""] * len(prompts)
    try:
        for first in range(0, len(order), batch_size):
            chosen = order[first : first + batch_size]
            batch = tokenizer([prompts[i] for i in chosen], return_tensors="pt", padding=True, add_special_tokens=False)
            batch = {k: batch[k].to(model.device) for k in ("input_ids", "attention_mask")}
            out = model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id)
            for i, row in zip(chosen, out[:, batch["input_ids"].shape[1] :], strict=True):
                text = tokenizer.decode(row, skip_special_tokens=True)
                texts[i] = text.split(stop)[0] if stop and text.strip(stop) == text else text.strip().split(stop or "\0")[0]
    finally:
        tokenizer.padding_side = side
        model.train(was_training)
    return texts
