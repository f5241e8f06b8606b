"""Two probes of how far a model reads: keys asked for after a jump of positions, and keys planted in one long text.

*Jump*: a short text with four named keys, then positions jump ahead, then a question for one of the keys (four choices) and some more text.
Attention sees only distances, so this asks for distances of thousands of tokens at the price of a few hundred; what it leaves out is that a truly
long text also holds thousands of other tokens to attend to. *Real*: one whole text past the trained length, bits for each stretch of it, and keys
planted at several depths; it is slow on a CPU, so it is one text.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch

from tunewise import stats
from tunewise.experiment import Scores
from tunewise.models.packing import Prefix, Row, encode, forward_packed
from tunewise.scoring import branch_logprobs
from whentofinetune.datasets import Item, company

_PLACES = "north gate, boat house, old mill, west tower, printing room, glass house, salt cellar, clock loft"
PLACES = tuple(_PLACES.split(", "))
KEYS_A_TEXT = 4


def keys(n: int, seed: int) -> list[tuple[str, str]]:
    """``n`` places, each with a key of five digits."""
    rng = np.random.default_rng([72, seed])
    chosen = rng.permutation(len(PLACES))[:n]
    return [(PLACES[i], "".join(str(d) for d in rng.integers(1, 10, 5))) for i in chosen]


def statement(place: str, key: str) -> str:
    """The sentence that states a key."""
    return f"The pass key of the {place} is {key}."


def texts(train: bool) -> list[str]:
    """Passages of the handbook that tables do not make up: every other one is for training."""
    return [p.text for p in company.passages() if "|" not in p.text][train::2]


@torch.inference_mode()
def read(lm, ids: list[int], prefix: Prefix, position: int, chunk: int = 512) -> list[float]:
    """Read tokens at ``position`` and after into ``prefix``; returns bits of each but the first."""
    bits: list[float] = []
    for first in range(0, len(ids), chunk):
        part = ids[first : first + chunk]
        row = Row(prefix.length)
        row.add(part, position=position + first)
        places = range(-1 if first else 0, len(part) - 1)
        logits = forward_packed(lm.model, row, places, prefix, keep=True)
        wanted = torch.tensor(part if first else part[1:], device=lm.model.device)
        nats = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
        bits += (nats / np.log(2)).tolist()
    return bits


@torch.inference_mode()
def ask(lm, prefix: Prefix, position: int, known: list[tuple[str, str]]) -> list[bool]:
    """For each place: is its own key likelier than the others' after the question, asked at ``position``? The prefix is left as it was."""
    questions = [encode(lm.tokenizer, f"\n\nThe pass key of the {place} is") for place, _ in known]
    options = [encode(lm.tokenizer, f" {key}") for _, key in known]
    scores = branch_logprobs(lm, prefix, questions, [options] * len(known), position=position)
    return [int(s.argmax()) == i for i, s in enumerate(scores)]


def jump(
    lm, distances: Sequence[int], docs: int, after: int
) -> tuple[dict[int, list[bool]], dict[int, dict]]:
    """For each distance: which keys are recalled [docs x keys], and mean bits a token of the text after the jump with their interval over texts."""
    passages, right, bits = texts(train=False), {d: [] for d in distances}, {d: [] for d in distances}
    for doc in range(docs):
        known = keys(KEYS_A_TEXT, doc)
        ids = encode(lm.tokenizer, "\n".join(statement(*k) for k in known) + "\n\n")
        more = encode(lm.tokenizer, passages[doc])[:after]
        read(lm, ids, start := Prefix(), 0)
        for distance in distances:
            right[distance] += ask(lm, start, distance, known)
            bits[distance].append(float(np.mean(read(lm, more, copy.deepcopy(start), distance))))
    return right, {d: stats.bootstrap(values) for d, values in bits.items()}


def long_text(lm, length: int, known: list[tuple[str, str]]) -> tuple[list[int], list[int]]:
    """Token ids of the handbook's passages, ``length`` of them, with the keys planted evenly between passages; and where each key ends.

    Raises ValueError where the passages have fewer tokens.
    """
    ids: list[int] = []
    ends: list[int] = []
    for passage in texts(train=False):
        if len(ends) < len(known) and len(ids) >= len(ends) * length // len(known):
            ids += encode(lm.tokenizer, statement(*known[len(ends)]) + "\n\n")
            ends.append(len(ids))
        ids += encode(lm.tokenizer, passage + "\n\n")
        if len(ids) >= length:
            return ids[:length], ends
    raise ValueError(f"the text has {len(ids)} tokens, {length} are wanted")


def real(lm, marks: Sequence[int]) -> list[dict]:
    """One text to the end: bits a token in each stretch, and at each mark the keys of those planted so far."""
    known = keys(len(PLACES), 1000)
    ids, ends = long_text(lm, marks[-1], known)
    prefix, out, past = Prefix(), [], 0
    for mark in marks:
        bits = read(lm, ids[past:mark], prefix, past)
        there = [k for k, end in zip(known, ends, strict=False) if end <= mark]
        right = ask(lm, prefix, mark, there) if len(there) > 1 else []
        stretch = stats.bootstrap([float(np.mean(b)) for b in np.array_split(bits, 16)])
        recall = stats.proportion(sum(right), len(right)) if right else None
        hits = "".join(str(int(r)) for r in right)
        out.append({"upto": mark, "bits": stretch, "right": hits, "recall": recall})
        past = mark
    return out


def scored(right: dict[int, list[bool]], bits: dict[int, dict], trained: int, facts: dict) -> Scores:
    """Recall at each distance, within the trained length and past it, by key and text; the bits after the jump are figures."""
    asked = [(d, *divmod(i, KEYS_A_TEXT), hit) for d, found in right.items() for i, hit in enumerate(found)]
    metrics = {f"at {d}.recall": [r if at == d else None for at, _, _, r in asked] for d in right}
    metrics["within.recall"] = [r if at <= trained else None for at, _, _, r in asked]
    metrics["past.recall"] = [r if at > trained else None for at, _, _, r in asked]
    facts = {f"at {d}.bits": metric for d, metric in bits.items()} | facts
    items = [Item(f"text {text}, key {key}, {at}", f"text {text}") for at, text, key, _ in asked]
    return Scores(items, facts=facts, **metrics)
