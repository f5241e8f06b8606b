"""Score labels by log-probability: which of these answers does the model think most likely after this prompt?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from tunewise.models.packing import Row, rows_of

# Tokens in one row. Longer rows make larger matrix products, but attention among strangers is wasted work.
ROW_TOKENS = 512


def encode(tokenizer, text: str) -> list[int]:
    """Token ids of ``text`` without special tokens."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def parts(model):
    """The decoder without its output layer, and the output layer, of a causal language model (adapter or not)."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return base.get_decoder() if hasattr(base, "get_decoder") else base.model, base.get_output_embeddings()


def label_logprobs(
    lm,
    prefix: str,
    queries: Sequence[str],
    labels: Sequence[str],
    *,
    row_tokens: int = ROW_TOKENS,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Log-probability of each whole label string after each prompt.

    lm: a loaded model with ``.model`` and ``.tokenizer``.
    prefix: what all prompts begin with (instruction, in-context examples); computed once.
    queries: n strings, the rest of each prompt. Prefix and query are tokenised apart, so the cut must lie where a
        token ends (after a line break, or before a space that a word follows).
    labels: m strings, with the space that precedes them, such as ``" positive"``.
    progress: called with the number of items done after each row.

    Returns float64 [n, m]: the *sum* of the log-probabilities of all tokens of the label, so that a label's later
    tokens count too. Labels of several tokens are at no advantage or disadvantage by a length correction; none is made.
    """
    if not labels or len(set(labels)) != len(labels):
        raise ValueError(f"labels must be two or more different strings, got {list(labels)!r}")
    found = option_logprobs(
        lm, prefix, queries, [labels] * len(queries), row_tokens=row_tokens, progress=progress
    )
    return np.array(found).reshape(len(queries), len(labels))


@torch.inference_mode()
def option_logprobs(
    lm,
    prefix: str,
    queries: Sequence[str],
    options: Sequence[Sequence[str]],
    *,
    row_tokens: int = ROW_TOKENS,
    progress: Callable[[int], None] | None = None,
) -> list[np.ndarray]:
    """As :func:`label_logprobs`, but every query brings its own options: one float64 array [m_i] a query.

    Raises ValueError for another number of lists than of queries, or an empty prompt.
    """
    if len(queries) != len(options):
        raise ValueError(
            f"{len(queries)} queries for {len(options)} lists of options: there must be one for each"
        )
    tokenizer, device = lm.tokenizer, lm.model.device
    dtype = next(p.dtype for p in lm.model.parameters() if p.is_floating_point())
    decoder, head = parts(lm.model)
    ids_of = {
        option: encode(tokenizer, option) for option in dict.fromkeys(o for mine in options for o in mine)
    }
    prefix_ids = encode(tokenizer, prefix)
    query_ids = [encode(tokenizer, query) for query in queries]
    if not prefix_ids and not all(query_ids):
        raise ValueError("an empty prompt cannot be scored: give a prefix or a query")
    was_training = lm.model.training
    lm.model.eval()
    cache, prefix_last = None, None
    if prefix_ids:
        out = decoder(input_ids=torch.tensor([prefix_ids], device=device), use_cache=True)
        cache, prefix_last = out.past_key_values, out.last_hidden_state[:, -1]
    scores = [np.zeros(len(mine)) for mine in options]
    size = [
        len(ids) + sum(len(ids_of[o]) - 1 for o in mine) for ids, mine in zip(query_ids, options, strict=True)
    ]
    for group in rows_of(range(len(queries)), lambda i: size[i], row_tokens):
        row = Row(len(prefix_ids))
        asked: list[tuple[int, int, int, int]] = []  # query, option, place in the row, token
        for i in group:
            query = row.add(query_ids[i])
            for j, ids in enumerate(ids_of[o] for o in options[i]):
                asked.append((i, j, query.start + len(query.tokens) - 1 if query.tokens else -1, ids[0]))
                if len(ids) > 1:
                    tail = row.add(ids[:-1], parent=query)
                    asked += [(i, j, tail.start + k, token) for k, token in enumerate(ids[1:])]
        if row.length:
            input_ids, position_ids, mask = row.tensors(device, dtype)
            hidden = decoder(
                input_ids=input_ids,
                position_ids=position_ids,
                attention_mask=mask,
                past_key_values=cache,
                use_cache=cache is not None,
            ).last_hidden_state[0]
            if cache is not None:
                cache.crop(-row.length)  # forget this row, keep the prefix
        places = sorted({place for _, _, place, _ in asked})
        states = torch.stack([prefix_last[0] if p < 0 else hidden[p] for p in places])
        logprobs = torch.log_softmax(head(states).float(), dim=-1)
        at = {place: k for k, place in enumerate(places)}
        for i, j, place, token in asked:
            scores[i][j] += float(logprobs[at[place], token])
        if progress:
            progress(len(group))
    lm.model.train(was_training)
    return scores


@torch.inference_mode()
def text_bits(lm, texts: Sequence[str], *, row_tokens: int = ROW_TOKENS) -> tuple[np.ndarray, np.ndarray]:
    """How surprised the model is by whole texts: bits of each text, and its bytes in UTF-8, both [n].

    Each text stands after a line break and is scored token by token. Bits divided by bytes (*bits per byte*) can be compared
    across tokenisers, which perplexity a token cannot.
    """
    tokenizer, device = lm.tokenizer, lm.model.device
    dtype = next(p.dtype for p in lm.model.parameters() if p.is_floating_point())
    decoder, head = parts(lm.model)
    start = encode(tokenizer, "\n")
    ids = [encode(tokenizer, text) for text in texts]
    if not all(ids):
        raise ValueError("an empty text has no bits; leave it out")
    was_training = lm.model.training
    lm.model.eval()
    bits = np.zeros(len(texts))
    for group in rows_of(range(len(texts)), lambda i: len(start) + len(ids[i]) - 1, row_tokens):
        row = Row(0)
        segments = [row.add(start + ids[i][:-1]) for i in group]
        input_ids, position_ids, mask = row.tensors(device, dtype)
        hidden = decoder(
            input_ids=input_ids, position_ids=position_ids, attention_mask=mask, use_cache=False
        ).last_hidden_state[0]
        for i, segment in zip(group, segments, strict=True):
            first = segment.start + len(start) - 1
            logits = head(hidden[first : first + len(ids[i])]).float()
            wanted = torch.tensor(ids[i], device=device)
            bits[i] = float(torch.nn.functional.cross_entropy(logits, wanted, reduction="sum")) / np.log(2)
    lm.model.train(was_training)
    return bits, np.array([len(text.encode()) for text in texts])


def prompt_tokens(lm, prefix: str, queries: Sequence[str]) -> float:
    """Mean number of prompt tokens an item: prefix and query, without the answer."""
    n = len(encode(lm.tokenizer, prefix))
    return n + float(np.mean([len(encode(lm.tokenizer, q)) for q in queries]))
