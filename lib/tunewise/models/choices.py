"""Multiple choice: how probable does the model find each question's own options?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tunewise.models.packing import Row, rows_of
from tunewise.models.score import ROW_TOKENS, encode, parts


@torch.inference_mode()
def option_logprobs(
    lm, prefix: str, queries: Sequence[str], options: Sequence[Sequence[str]], *, row_tokens: int = ROW_TOKENS
) -> list[np.ndarray]:
    """Log-probability of each option of each question after ``prefix + query``: one float64 array [m_i] a question.

    As :func:`tunewise.models.score.label_logprobs`, but every question brings its own options (with the space that precedes them). The
    score of an option is the sum over its tokens. Raises ValueError for another number of lists than of queries, or an empty prompt.
    """
    if len(queries) != len(options):
        raise ValueError(f"{len(queries)} queries for {len(options)} lists of options: there must be one for each")
    if not all(queries):
        raise ValueError("an empty query cannot be scored: move a part of the prefix into it")
    tokenizer, device = lm.tokenizer, lm.model.device
    dtype = next(p.dtype for p in lm.model.parameters() if p.is_floating_point())
    decoder, head = parts(lm.model)
    prefix_ids = encode(tokenizer, prefix)
    query_ids = [encode(tokenizer, q) for q in queries]
    option_ids = [[encode(tokenizer, o) for o in mine] for mine in options]
    was_training = lm.model.training
    lm.model.eval()
    cache = decoder(input_ids=torch.tensor([prefix_ids], device=device), use_cache=True).past_key_values if prefix_ids else None
    scores = [np.zeros(len(mine)) for mine in options]
    size = [len(q) + sum(len(o) - 1 for o in mine) for q, mine in zip(query_ids, option_ids, strict=True)]
    for group in rows_of(range(len(queries)), lambda i: size[i], row_tokens):
        row = Row(len(prefix_ids))
        asked: list[tuple[int, int, int, int]] = []  # question, option, place in the row, token
        for i in group:
            query = row.add(query_ids[i])
            for j, ids in enumerate(option_ids[i]):
                asked.append((i, j, query.start + len(query.tokens) - 1, ids[0]))
                if len(ids) > 1:
                    tail = row.add(ids[:-1], parent=query)
                    asked += [(i, j, tail.start + k, token) for k, token in enumerate(ids[1:])]
        input_ids, position_ids, mask = row.tensors(device, dtype)
        hidden = decoder(
            input_ids=input_ids, position_ids=position_ids, attention_mask=mask, past_key_values=cache, use_cache=cache is not None
        ).last_hidden_state[0]
        if cache is not None:
            cache.crop(-row.length)  # forget this row, keep the prefix
        places = sorted({place for _, _, place, _ in asked})
        logprobs = torch.log_softmax(head(hidden[places]).float(), dim=-1)
        at = {place: k for k, place in enumerate(places)}
        for i, j, place, token in asked:
            scores[i][j] += float(logprobs[at[place], token])
    lm.model.train(was_training)
    return scores


def choose(
    lm, prefix: str, queries: Sequence[str], options: Sequence[Sequence[str]], *, neutral: str | None = None, row_tokens: int = ROW_TOKENS
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
def written(lm, prompts: Sequence[str], answers: Sequence[str], *, prefix: str = "", row_tokens: int = ROW_TOKENS) -> list[list[bool]]:
    """For each token of each answer and the end of text after it: is it the likeliest after the prompt and the right answer so far?

    Greedy decoding writes exactly the answer and then stops if and only if all of them are; so one pass tells what generating would, token by token.
    """
    tokenizer, device = lm.tokenizer, lm.model.device
    dtype = next(p.dtype for p in lm.model.parameters() if p.is_floating_point())
    decoder, head = parts(lm.model)
    shared = encode(tokenizer, prefix)
    ids = [(encode(tokenizer, p), [*encode(tokenizer, a), tokenizer.eos_token_id]) for p, a in zip(prompts, answers, strict=True)]
    was_training = lm.model.training
    lm.model.eval()
    cache = decoder(input_ids=torch.tensor([shared], device=device), use_cache=True).past_key_values if shared else None
    hits: list[list[bool]] = []
    for group in rows_of(ids, lambda pair: len(pair[0]) + len(pair[1]), row_tokens):
        row = Row(len(shared))
        segments = [row.add(prompt + answer[:-1]) for prompt, answer in group]
        input_ids, position_ids, mask = row.tensors(device, dtype)
        hidden = decoder(
            input_ids=input_ids, position_ids=position_ids, attention_mask=mask, past_key_values=cache, use_cache=cache is not None
        ).last_hidden_state[0]
        if cache is not None:
            cache.crop(-row.length)
        for segment, (prompt, answer) in zip(segments, group, strict=True):
            first = segment.start + len(prompt) - 1
            likeliest = head(hidden[first : first + len(answer)]).argmax(dim=-1).tolist()
            hits.append([a == b for a, b in zip(likeliest, answer, strict=True)])
    lm.model.train(was_training)
    return hits
