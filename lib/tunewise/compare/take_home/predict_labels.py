"""Labels for texts, as they were evaluated: ``python predict.py "a text" ...``, or ``from predict import predict``.

Needs torch and transformers, and peft for an adapter.
"""

import copy
import sys
from collections.abc import Sequence
from typing import Any

import torch

from tunewise.compare.take_home.prompted_model import ARM, model, prompts


@torch.inference_mode()
def read(ids: Sequence[int], past: Any = None, keep: int = 1) -> tuple[torch.Tensor, Any]:
    """Log-probabilities [keep, vocabulary] after the last tokens, and what the model has read."""
    inputs = torch.tensor([ids], device=model.device)
    out = model(inputs, past_key_values=copy.deepcopy(past), use_cache=True, logits_to_keep=keep)
    return torch.log_softmax(out.logits[0].float(), dim=-1), out.past_key_values


def predict(texts: Sequence[str]) -> list[str]:
    """The label whose words are the likeliest after the prompt."""
    if isinstance(texts, str):
        raise TypeError("predict wants a list of texts, not one text: predict([text])")
    found: list[str] = []
    begun: dict[tuple[int, ...], Any] = {}
    for text in texts:
        start, rest = prompts.of(text)
        if start and tuple(start) not in begun:
            begun = {tuple(start): read(start)[1]}  # most prompts begin alike
        last, past = read(rest, begun.get(tuple(start)))
        scores = [-bias for bias in ARM["bias"] or [0.0] * len(ARM["labels"])]
        for i, ids in enumerate(prompts.encode(answer + ARM["end"]) for answer in ARM["answers"]):
            scores[i] += float(last[-1, ids[0]])
            if len(ids) > 1:
                further, _ = read(ids[:-1], past, len(ids) - 1)
                scores[i] += float(further[range(len(ids) - 1), ids[1:]].sum())
        found.append(ARM["labels"][scores.index(max(scores))])
    return found


if __name__ == "__main__":
    print("\n".join(predict(sys.argv[1:] or sys.exit(__doc__))))
