"""Score by log-probability: labels, options of multiple choice, answers that the model would write, whole texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tunewise.models import packing
from tunewise.models.packing import LanguageModel, Prefix, Row, encode, evaluating, forward_packed

# Tokens in one row. Longer rows make larger matrix products, but attention among strangers is wasted work. On a GPU starting the work
# takes longer than doing it.
ROW_TOKENS, ROW_TOKENS_GPU = 512, 2048
Texts = Sequence[str]


def label_logprobs(
    lm: LanguageModel, prefix: str, queries: Texts, labels: Texts, *, row_tokens: int | None = None
) -> np.ndarray:
    """Log-probability of each whole label string after each prompt.

    Parameters
    ----------
    prefix
        What all prompts begin with (instruction, in-context examples); computed once.
    queries
        n strings, the rest of each prompt. Prefix and query are tokenised apart, so the cut must lie where a
        token ends (after a line break, or before a space that a word follows).
    labels
        m strings, with the space that precedes them, such as ``" positive"``.

    Returns
    -------
    np.ndarray
        float64 [n, m]: the *sum* of the log-probabilities of all tokens of the label, so that a label's later
        tokens count too. Labels of several tokens are at no advantage or disadvantage by a length correction; none is made.
    """
    if not labels or len(set(labels)) != len(labels):
        raise ValueError(f"labels must be two or more different strings, got {list(labels)!r}")
    found = option_logprobs(lm, prefix, queries, [labels] * len(queries), row_tokens=row_tokens)
    return np.array(found).reshape(len(queries), len(labels))


def option_logprobs(
    lm: LanguageModel, prefix: str, queries: Texts, options: Sequence[Texts], *, row_tokens: int | None = None
) -> list[np.ndarray]:
    """As :func:`label_logprobs`, but every query brings its own options: one float64 array [m_i] a query.

    Raises
    ------
    ValueError
        For another number of lists than of queries, or an empty prompt.
    """
    if len(queries) != len(options):
        raise ValueError(f"{len(queries)} queries for {len(options)} lists of options: one each is wanted")
    ids_of = {o: encode(lm.tokenizer, o) for o in dict.fromkeys(o for mine in options for o in mine)}
    prefix_ids = encode(lm.tokenizer, prefix)
    query_ids = [encode(lm.tokenizer, query) for query in queries]
    if not prefix_ids and not all(query_ids):
        raise ValueError("an empty prompt cannot be scored: give a prefix or a query")
    with evaluating(lm.model):
        read, ids = packing.read_prefix(lm.model, prefix_ids), [[ids_of[o] for o in mine] for mine in options]
        return branch_logprobs(lm, read, query_ids, ids, row_tokens=row_tokens)


def _limit(lm: LanguageModel) -> int:
    return ROW_TOKENS if lm.model.device.type == "cpu" else ROW_TOKENS_GPU


def branch_logprobs(
    lm: LanguageModel,
    prefix: Prefix,
    queries: Sequence[list[int]],
    options: Sequence[Sequence[list[int]]],
    *,
    position: int | None = None,
    row_tokens: int | None = None,
) -> list[np.ndarray]:
    """:func:`option_logprobs` for token ids after a prefix that was read already; ``position`` moves the queries' first position id."""
    scores = [np.zeros(len(mine)) for mine in options]
    size = [len(ids) + sum(len(o) - 1 for o in mine) for ids, mine in zip(queries, options, strict=True)]
    for group in packing.rows_of(range(len(queries)), lambda i: size[i], row_tokens or _limit(lm)):
        row = Row(prefix.length)
        asked: list[tuple[int, int, int, int]] = []  # query, option, place in the row, token
        for i in group:
            query = row.add(queries[i], position=position)
            for j, ids in enumerate(options[i]):
                asked.append((i, j, query.start + len(query.tokens) - 1 if query.tokens else -1, ids[0]))
                if len(ids) > 1:
                    tail = row.add(ids[:-1], parent=query)
                    asked += [(i, j, tail.start + k, token) for k, token in enumerate(ids[1:])]
        places = sorted({place for _, _, place, _ in asked})
        logprobs = torch.log_softmax(forward_packed(lm.model, row, places, prefix), dim=-1)
        at = {place: k for k, place in enumerate(places)}
        found = logprobs[[at[place] for _, _, place, _ in asked], [token for *_, token in asked]].tolist()
        for (i, j, _, _), value in zip(asked, found, strict=True):
            scores[i][j] += value
    return scores


def choose(
    lm: LanguageModel, prefix: str, queries: Texts, options: Sequence[Texts], *, neutral: str | None = None
) -> np.ndarray:
    """The place of the likeliest option of each question, int [n].

    Parameters
    ----------
    neutral
        A query that asks nothing. What the model thinks of each option after it is taken off, so that a long or rare option is at no
        disadvantage (domain-conditional PMI, Holtzman et al. 2021, arXiv 2104.08315).
    """
    scores = option_logprobs(lm, prefix, queries, options)
    if neutral is not None:
        distinct = list(dict.fromkeys(o for mine in options for o in mine))
        chunks = [distinct[i : i + 64] for i in range(0, len(distinct), 64)]
        habit = option_logprobs(lm, "", [neutral] * len(chunks), chunks)
        usual = dict(zip(distinct, np.concatenate(habit), strict=True))
        scores = [s - np.array([usual[o] for o in mine]) for s, mine in zip(scores, options, strict=True)]
    return np.array([int(s.argmax()) for s in scores])


def written(lm: LanguageModel, prompts: Texts, answers: Texts, *, prefix: str = "") -> list[list[bool]]:
    """For each token of each answer and the end of text after it: is it the likeliest after the prompt and the right answer so far?

    Greedy decoding writes exactly the answer and then stops if and only if all of them are; so one pass tells what generating would, token by token.
    """
    ids = packing.encode_pairs(lm.tokenizer, zip(prompts, answers, strict=True))
    hits: list[list[bool]] = []
    with evaluating(lm.model):
        shared = packing.read_prefix(lm.model, encode(lm.tokenizer, prefix))
        for group in packing.rows_of(ids, lambda pair: len(pair[0]) + len(pair[1]), _limit(lm)):
            row, places, _ = packing.laid_out(group, prefix_length=shared.length)
            likeliest = iter(forward_packed(lm.model, row, places, shared).argmax(dim=-1).tolist())
            hits += [[next(likeliest) == token for token in answer] for _, answer in group]
    return hits


def text_bits(lm: LanguageModel, texts: Texts) -> tuple[np.ndarray, np.ndarray]:
    """How surprised the model is by whole texts: bits of each text, and its bytes in UTF-8, both [n].

    Each text stands after a line break and is scored token by token. Bits divided by bytes (*bits per byte*) can be compared
    across tokenisers, which perplexity a token cannot.
    """
    start = encode(lm.tokenizer, "\n")
    pairs = [(start, encode(lm.tokenizer, text)) for text in texts]
    if not all(ids for _, ids in pairs):
        raise ValueError("an empty text has no bits; leave it out")
    bits: list[float] = []
    with evaluating(lm.model):
        # on a GPU, too, rows are short: logits of every token are large
        for group in packing.rows_of(pairs, lambda pair: len(start) + len(pair[1]) - 1, ROW_TOKENS):
            row, places, tokens = packing.laid_out(group)
            wanted = torch.tensor(tokens, device=lm.model.device)
            logits = forward_packed(lm.model, row, places)
            nats = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
            bits += [
                float(own.sum()) / np.log(2) for own in torch.split(nats, [len(ids) for _, ids in group])
            ]
    return np.array(bits), np.array([len(text.encode()) for text in texts])


def prompt_tokens(lm: LanguageModel, prefix: str, queries: Texts) -> float:
    """Mean number of prompt tokens an item: prefix and query, without the answer."""
    n = len(encode(lm.tokenizer, prefix))
    return n + float(np.mean([len(encode(lm.tokenizer, q)) for q in queries]))
