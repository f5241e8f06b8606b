"""Multiple choice: which of its own options does the model choose for each question, and would it write the right answer by itself?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tunewise.models.packing import Row, rows_of
from tunewise.scoring import ROW_TOKENS, encode, option_logprobs, parts


def choose(
    lm,
    prefix: str,
    queries: Sequence[str],
    options: Sequence[Sequence[str]],
    *,
    neutral: str | None = None,
    row_tokens: int = ROW_TOKENS,
) -> np.ndarray:
    """The place of the likeliest option of each question, int [n].

    neutral: a query that asks nothing. What the model thinks of each option after it is taken off, so that a long or rare option is at no
    disadvantage (domain-conditional PMI, Holtzman et al. 2021, arXiv 2104.08315).
    """
    scores = option_logprobs(lm, prefix, queries, options, row_tokens=row_tokens)
    if neutral is not None:
        distinct = list(dict.fromkeys(o for mine in options for o in mine))
        chunks = [distinct[i : i + 64] for i in range(0, len(distinct), 64)]
        habit = option_logprobs(lm, "", [neutral] * len(chunks), chunks, row_tokens=row_tokens)
        usual = dict(zip(distinct, np.concatenate(habit), strict=True))
        scores = [s - np.array([usual[o] for o in mine]) for s, mine in zip(scores, options, strict=True)]
    return np.array([int(s.argmax()) for s in scores])


@torch.inference_mode()
def written(
    lm, prompts: Sequence[str], answers: Sequence[str], *, prefix: str = "", row_tokens: int = ROW_TOKENS
) -> list[list[bool]]:
    """For each token of each answer and the end of text after it: is it the likeliest after the prompt and the right answer so far?

    Greedy decoding writes exactly the answer and then stops if and only if all of them are; so one pass tells what generating would, token by token.
    """
    tokenizer, device = lm.tokenizer, lm.model.device
    dtype = next(p.dtype for p in lm.model.parameters() if p.is_floating_point())
    decoder, head = parts(lm.model)
    shared = encode(tokenizer, prefix)
    ids = [
        (encode(tokenizer, p), [*encode(tokenizer, a), tokenizer.eos_token_id])
        for p, a in zip(prompts, answers, strict=True)
    ]
    was_training = lm.model.training
    lm.model.eval()
    cache = (
        decoder(input_ids=torch.tensor([shared], device=device), use_cache=True).past_key_values
        if shared
        else None
    )
    hits: list[list[bool]] = []
    for group in rows_of(ids, lambda pair: len(pair[0]) + len(pair[1]), row_tokens):
        row = Row(len(shared))
        segments = [row.add(prompt + answer[:-1]) for prompt, answer in group]
        input_ids, position_ids, mask = row.tensors(device, dtype)
        hidden = decoder(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state[0]
        if cache is not None:
            cache.crop(-row.length)
        for segment, (prompt, answer) in zip(segments, group, strict=True):
            first = segment.start + len(prompt) - 1
            likeliest = head(hidden[first : first + len(answer)]).argmax(dim=-1).tolist()
            hits.append([a == b for a, b in zip(likeliest, answer, strict=True)])
    lm.model.train(was_training)
    return hits
