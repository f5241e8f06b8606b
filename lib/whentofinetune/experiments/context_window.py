"""How far past its trained length does a model read, with other rotary frequencies, and with a short tuning on top? (C25)

Two probes. *Jump*: a short text with four named keys, then positions jump ahead, then a question for one of the keys (four choices) and some more text. Attention sees
only distances, so this asks for distances of thousands of tokens at the price of a few hundred; what it leaves out is that a truly long text also holds thousands of other tokens
to attend to. *Real*: one whole text past the trained length, bits for each stretch of it, and keys planted at several depths; it is slow on a CPU, so it is one text.
Training makes the same jumps (:func:`whentofinetune.rope_scaling.tune_positions`).
"""

from __future__ import annotations

import numpy as np
import torch

from tunewise import stats
from tunewise.finetune import Recipe
from tunewise.models.packing import Row
from tunewise.scoring import encode, parts
from whentofinetune.book_records import digest
from whentofinetune.datasets import company
from whentofinetune.old_bench import Bench, Experiment, public
from whentofinetune.rope_scaling import stretched, tune_positions

PLACES = (
    "north gate",
    "boat house",
    "old mill",
    "west tower",
    "printing room",
    "glass house",
    "salt cellar",
    "clock loft",
)
KEYS_A_TEXT = 4


def keys(n: int, seed: int) -> list[tuple[str, str]]:
    """``n`` places, each with a key of five digits."""
    rng = np.random.default_rng([72, seed])
    chosen = rng.permutation(len(PLACES))[:n]
    return [(PLACES[i], "".join(str(d) for d in rng.integers(1, 10, 5))) for i in chosen]


def statement(place: str, key: str) -> str:
    return f"The pass key of the {place} is {key}."


def texts(train: bool) -> list[str]:
    """Passages of the handbook that tables do not make up: every other one is for training."""
    return [p.text for p in company.passages() if "|" not in p.text][train::2]


@torch.inference_mode()
def read(lm, ids: list[int], cache=None, start: int = 0, position: int = 0, chunk: int = 512):
    """Read tokens at ``position`` and after; returns the cache, and bits of each token but the first [n - 1]."""
    decoder, head = parts(lm.model)
    bits, last = [], None
    for first in range(0, len(ids), chunk):
        part = torch.tensor([ids[first : first + chunk]], device=lm.model.device)
        n, past = part.shape[1], start + first
        mask = torch.zeros(n, past + n, device=lm.model.device, dtype=lm.model.dtype)
        mask[:, past:] = torch.full((n, n), torch.finfo(lm.model.dtype).min, device=lm.model.device).triu(1)
        places = torch.arange(position + first, position + first + n, device=lm.model.device)[None]
        out = decoder(
            input_ids=part,
            position_ids=places,
            attention_mask=mask[None, None],
            past_key_values=cache,
            use_cache=True,
        )
        cache, hidden = out.past_key_values, out.last_hidden_state[0]
        before = hidden[:-1] if last is None else torch.cat([last, hidden[:-1]])
        wanted = part[0, 1:] if last is None else part[0]
        bits += (
            torch.nn.functional.cross_entropy(head(before).float(), wanted, reduction="none") / np.log(2)
        ).tolist()
        last = hidden[-1:]
    return cache, bits


@torch.inference_mode()
def ask(lm, cache, past: int, position: int, known: list[tuple[str, str]]) -> list[bool]:
    """For each place: is its own key likelier than the others' after the question, asked at ``position``? The cache is left as it was."""
    decoder, head = parts(lm.model)
    row, asked = Row(past), []
    for i, (place, _) in enumerate(known):
        question = row.add(encode(lm.tokenizer, f"\n\nThe pass key of the {place} is"))
        question.position = position
        for j, (_, key) in enumerate(known):
            ids = encode(lm.tokenizer, f" {key}")
            tail = row.add(ids[:-1], parent=question)
            asked += [
                (i, j, question.start + len(question.tokens) - 1, ids[0]),
                *((i, j, tail.start + k, t) for k, t in enumerate(ids[1:])),
            ]
    inputs, positions, mask = row.tensors(lm.model.device, lm.model.dtype)
    hidden = decoder(
        input_ids=inputs, position_ids=positions, attention_mask=mask, past_key_values=cache, use_cache=True
    ).last_hidden_state[0]
    cache.crop(-row.length)
    logs = torch.log_softmax(head(hidden).float(), dim=-1)
    scores = np.zeros((len(known), len(known)))
    for i, j, place, token in asked:
        scores[i, j] += float(logs[place, token])
    return [int(scores[i].argmax()) == i for i in range(len(known))]


def jump(lm, params: dict) -> list[dict]:
    """One entry a distance: keys recalled, and bits a token of the text after the jump."""
    passages, found = texts(train=False), {d: ([], []) for d in params["distances"]}
    for doc in range(params["docs"]):
        known = keys(KEYS_A_TEXT, doc)
        ids = encode(lm.tokenizer, "\n".join(statement(*k) for k in known) + "\n\n")
        more = encode(lm.tokenizer, passages[doc])[: params["after"]]
        cache, _ = read(lm, ids)
        for distance, (right, bits) in found.items():
            right += ask(lm, cache, len(ids), distance, known)
            _, each = read(lm, more, cache, len(ids), distance)
            cache.crop(-len(more))
            bits.append(float(np.mean(each)))
    return [
        {
            "distance": d,
            "recall": stats.proportion(sum(right), len(right)),
            "right": "".join(str(int(r)) for r in right),
            "bits": stats.bootstrap(bits),
        }
        for d, (right, bits) in found.items()
    ]


def long_text(lm, length: int, known: list[tuple[str, str]]) -> tuple[list[int], list[int]]:
    """Token ids of the handbook's passages, ``length`` of them, with the keys planted evenly between passages; and where each key ends."""
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


def real(lm, params: dict) -> dict:
    """One text to the end: bits a token in each stretch, and at each mark the keys of those planted so far."""
    known, marks = keys(len(PLACES), 1000), params["marks"]
    ids, ends = long_text(lm, marks[-1], known)
    cache, out, past = None, [], 0
    for mark in marks:
        cache, bits = read(lm, ids[past:mark], cache, past, past)
        there = [k for k, end in zip(known, ends, strict=False) if end <= mark]
        right = ask(lm, cache, mark, mark, there) if len(there) > 1 else []
        out.append(
            {
                "upto": mark,
                "bits": stats.bootstrap([float(np.mean(b)) for b in np.array_split(bits, 16)]),
                "right": "".join(str(int(r)) for r in right),
                "recall": stats.proportion(sum(right), len(right)) if right else None,
            }
        )
        past = mark
    return {"stretches": out}


def run(bench: Bench, params: dict) -> list[dict]:
    """Rows: ``jump`` for each way, untuned and tuned (one a seed); ``real`` for some ways, tuned ones with the first seed."""
    rows, factor = [], params["factor"]
    same = {"factor": factor, "data": digest(texts(True) + texts(False))}
    probe = {k: params[k] for k in ("distances", "docs", "after")}
    reach = int(factor * bench.lm.model.config.max_position_embeddings)

    def step(settings: dict, measure) -> None:
        rows.append(public(bench.work.step(settings | same, measure)))

    def whole(way: str):
        def measure(lm=None) -> dict:
            with stretched(lm or bench.lm, way, factor) as found:
                return real(found, params)

        return measure

    for way in params["ways"]:

        def untuned(way=way) -> dict:
            with stretched(bench.lm, way, factor) as lm:
                return {"points": jump(lm, params)}

        step({"method": "jump", "way": way, "tuned": False, **probe}, untuned)
    for way in params["real"]:
        step({"method": "real", "way": way, "tuned": False, "marks": params["marks"]}, whole(way))
    for way in params["tuned"]:
        for seed in params["seeds"]:
            tuning = Recipe(seed=seed, **params["recipe"])

            def tuned(way=way, seed=seed, tuning=tuning) -> dict:
                with stretched(bench.lm, way, factor) as lm:
                    trained = tune_positions(
                        lm, texts(True), tuning, reach=reach, window=params["window"], steps=params["steps"]
                    )
                    try:
                        found = {
                            "points": jump(trained, params),
                            "train_seconds": round(trained.seconds, 1),
                            "tokens": params["steps"] * params["window"],
                        }
                        return found | (
                            real(trained, params)
                            if way in params["real_tuned"] and seed == params["seeds"][0]
                            else {}
                        )
                    finally:
                        bench.forget(tuning, bench.lm, trained)

            told = {
                "method": "jump",
                "way": way,
                "tuned": True,
                "seed": seed,
                **probe,
                "steps": params["steps"],
                "window": params["window"],
                "marks": params["marks"],
            }
            step(
                told
                | {
                    "real": way in params["real_tuned"],
                    "tuning": vars(tuning) | {"targets": list(tuning.targets)},
                },
                tuned,
            )
    return rows


_RECIPE = {"learning_rate": 5e-4}
_COMMON = {"model": "smollm2-135m", "recipe": _RECIPE, "factor": 4, "after": 96, "window": 512, "steps": 12}
_FAR = [1024, 4096, 8192, 12288, 16384, 32000]

EXPERIMENT = Experiment(
    name="context_window",
    question="How far past its trained length does a model read, with and without tuning?",
    claims=("C25",),
    run=run,
    scales={
        "smoke": _COMMON
        | {
            "distances": [1024, 12288],
            "docs": 2,
            "ways": ["none", "yarn"],
            "real": ["none"],
            "marks": [256, 512],
            "tuned": ["pi"],
            "real_tuned": [],
            "window": 64,
            "steps": 1,
            "seeds": [0],
        },
        "laptop": _COMMON
        | {
            "distances": _FAR,
            "docs": 6,
            "ways": ["none", "pi", "ntk", "yarn"],
            "real": [],
            "marks": [4096],
            "tuned": [],
            "real_tuned": [],
            "seeds": [0],
        },
        "full": _COMMON
        | {
            "distances": _FAR,
            "docs": 10,
            "ways": ["none", "pi", "ntk", "yarn"],
            "real": ["none", "yarn"],
            "marks": [2048, 4096, 6144, 8192, 10240],
            "tuned": ["pi", "yarn"],
            "real_tuned": ["yarn"],
            "seeds": [0, 1, 2],
        },
        "gpu": _COMMON
        | {
            "model": "smollm2-1.7b",
            "distances": _FAR,
            "docs": 40,
            "ways": ["none", "pi", "ntk", "yarn"],
            "real": ["none", "pi", "ntk", "yarn"],
            "marks": [2048, 4096, 6144, 8192, 10240, 12288, 16384],
            "tuned": ["none", "pi", "yarn"],
            "real_tuned": ["none", "pi", "yarn"],
            "steps": 200,
            "window": 2048,
            "seeds": [0, 1, 2, 3, 4],
        },
    },
)
