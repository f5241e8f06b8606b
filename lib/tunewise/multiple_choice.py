"""Multiple choice: which of its own options does the model choose for each question, and would it write the right answer by itself?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunewise.models.packing import (
    LanguageModel,
    Row,
    encode,
    evaluating,
    forward_packed,
    read_prefix,
    rows_of,
)
from tunewise.scoring import ROW_TOKENS, option_logprobs


def choose(
    lm: LanguageModel,
    prefix: str,
    queries: Sequence[str],
    options: Sequence[Sequence[str]],
    *,
    neutral: str | None = None,
    row_tokens: int = ROW_TOKENS,
) -> np.ndarray:
    """The place of the likeliest option of each question, int [n].

    Parameters
    ----------
    neutral
        A query that asks nothing. What the model thinks of each option after it is taken off, so that a long or rare option is at no
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


def written(
    lm: LanguageModel,
    prompts: Sequence[str],
    answers: Sequence[str],
    *,
    prefix: str = "",
    row_tokens: int = ROW_TOKENS,
) -> list[list[bool]]:
    """For each token of each answer and the end of text after it: is it the likeliest after the prompt and the right answer so far?

    Greedy decoding writes exactly the answer and then stops if and only if all of them are; so one pass tells what generating would, token by token.
    """
    tokenizer = lm.tokenizer
    ids = [
        (encode(tokenizer, p), [*encode(tokenizer, a), tokenizer.eos_token_id])
        for p, a in zip(prompts, answers, strict=True)
    ]
    hits: list[list[bool]] = []
    with evaluating(lm.model):
        shared = read_prefix(lm.model, encode(tokenizer, prefix))
        for group in rows_of(ids, lambda pair: len(pair[0]) + len(pair[1]), row_tokens):
            row = Row(shared.length)
            places: list[int] = []
            for prompt, answer in group:
                first = row.add(prompt + answer[:-1]).start + len(prompt) - 1
                places += range(first, first + len(answer))
            likeliest = iter(forward_packed(lm.model, row, places, shared).argmax(dim=-1).tolist())
            hits += [[next(likeliest) == token for token in answer] for _, answer in group]
    return hits
