"""How far past its trained length does a model read, with other rotary frequencies, and with a short tuning on top? (C25)

Two probes. *Jump*: a short text with four named keys, then positions jump ahead, then a question for one of the keys (four choices) and some more text. Attention sees
only distances, so this asks for distances of thousands of tokens at the price of a few hundred; what it leaves out is that a truly long text also holds thousands of other tokens
to attend to. *Real*: one whole text past the trained length, bits for each stretch of it, and keys planted at several depths; it is slow on a CPU, so it is one text.
Training makes the same jumps (:func:`whentofinetune.rope_scaling.tune_positions`).
"""

from __future__ import annotations

import copy

import numpy as np
import torch

from tunewise import stats
from tunewise.finetune import Recipe
from tunewise.models.packing import Prefix, Row, encode, forward_packed
from tunewise.scoring import branch_logprobs
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


def jump(lm, params: dict) -> list[dict]:
    """One entry a distance: keys recalled, and bits a token of the text after the jump."""
    passages, found = texts(train=False), {d: ([], []) for d in params["distances"]}
    for doc in range(params["docs"]):
        known = keys(KEYS_A_TEXT, doc)
        ids = encode(lm.tokenizer, "\n".join(statement(*k) for k in known) + "\n\n")
        more = encode(lm.tokenizer, passages[doc])[: params["after"]]
        read(lm, ids, start := Prefix(), 0)
        for distance, (right, bits) in found.items():
            right += ask(lm, start, distance, known)
            each = read(lm, more, copy.deepcopy(start), distance)
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
    prefix, out, past = Prefix(), [], 0
    for mark in marks:
        bits = read(lm, ids[past:mark], prefix, past)
        there = [k for k, end in zip(known, ends, strict=False) if end <= mark]
        right = ask(lm, prefix, mark, there) if len(there) > 1 else []
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
