"""What the model writes for texts, as it was evaluated: ``python predict.py "a text" ...``, or ``from predict import predict``.

Needs torch and transformers, peft for an adapter, and llguidance where only JSON of a schema may be written.
"""

import sys
from collections.abc import Sequence
from typing import Any

import torch

from tunewise.compare.take_home.prompt_parts import ended
from tunewise.compare.take_home.prompted_model import ARM, model, prompts, tokenizer


@torch.inference_mode()
def predict(texts: Sequence[str]) -> list[str]:
    """The likeliest continuation of each prompt, token by token."""
    if isinstance(texts, str):
        raise TypeError("predict wants a list of texts, not one text: predict([text])")
    found = []
    for text in texts:
        start, rest = prompts.of(text)
        ids = torch.tensor([start + rest], device=model.device)
        options: dict[str, Any] = {"max_new_tokens": ARM["max_new_tokens"], "do_sample": False}
        if ARM["schema"]:
            from tunewise.constrained import Keeper, json_grammar

            keeper = Keeper(tokenizer, model.config.vocab_size, json_grammar(ARM["schema"]), 1)
            options["logits_processor"] = [keeper]
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options)
        found.append(ended(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True), ARM["stop"]))
    return found


if __name__ == "__main__":
    print("\n".join(predict(sys.argv[1:] or sys.exit(__doc__))))
