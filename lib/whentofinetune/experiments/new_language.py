"""A language that the model hardly knows: what does Hindi cost, and what does LoRA on it bring and take away? (C18)

Two labelled tasks on the same held-out messages: which of four English texts does this Hindi one mean, and which of four Hindi texts says this English one.
Every task is asked in English before and after as well: bits per byte of newspaper sentences, and easy general items. Rivals: pairs in the prompt, and
two that are no language model: which option's length fits best, and a table of which words of the training pairs go together. The recipe was chosen by two
trials on messages of valid.
"""

from __future__ import annotations

import numpy as np

from tunewise import finetune as ft
from tunewise import stats
from tunewise.finetune import Recipe
from tunewise.multiple_choice import choose
from tunewise.scoring import encode, text_bits
from whentofinetune.book_records import digest
from whentofinetune.datasets import general_items, hindi_pairs, vader
from whentofinetune.old_bench import Bench, Experiment, outcome, public


def meaning(pair: hindi_pairs.Pair) -> str:
    return f"Hindi: {pair.hi}\nEnglish:"


def writing(pair: hindi_pairs.Pair) -> str:
    return f"English: {pair.en}\nHindi:"


def shown(pairs) -> str:
    """Pairs in the prompt, each in both directions."""
    return "".join(f"{meaning(p)} {p.en}\n\n{writing(p)} {p.hi}\n\n" for p in pairs)


def lessons(n: int, seed: int) -> list[tuple[str, str]]:
    """``n`` training pairs, each once in either direction."""
    train = hindi_pairs.pairs("train")
    chosen = [train[i] for i in np.random.default_rng([31, seed]).permutation(len(train))[:n]]
    return [pair for p in chosen for pair in ((meaning(p), f" {p.en}"), (writing(p), f" {p.hi}"))]


def translate(lm, test, options, prefix: str = "") -> dict:
    """Both labelled tasks, by likelihood above the habitual one."""
    right = [mine.index(i) for i, mine in enumerate(options)]
    said = {
        "meaning": choose(
            lm,
            prefix,
            [meaning(p) for p in test],
            [[f" {test[j].en}" for j in mine] for mine in options],
            neutral="English:",
        ),
        "writing": choose(
            lm,
            prefix,
            [writing(p) for p in test],
            [[f" {test[j].hi}" for j in mine] for mine in options],
            neutral="Hindi:",
        ),
    }
    return {task: outcome(found, right) for task, found in said.items()}


def bits(lm, texts) -> dict:
    """Bits per byte with its interval, and the bits of each text (for paired differences)."""
    each, sizes = text_bits(lm, texts)
    return {
        "per_byte": stats.bootstrap((each, sizes), lambda b, s: b.sum() / s.sum()),
        "bits": [round(float(b), 2) for b in each],
    }


def probe(lm, test, options, params: dict) -> dict:
    """Everything that is asked before and after training, in Hindi and in English."""
    news = [r.text for r in vader.split("news")["test"] if len(r.text) >= 60][: params["texts"]]
    items = general_items.items()[: params["items"]]
    said = choose(lm, "", [item.prompt for item in items], [item.labels for item in items])
    return {
        **translate(lm, test, options),
        "hindi": bits(lm, [p.hi for p in test]),
        "english": bits(lm, news),
        "general": {
            "accuracy": stats.accuracy(said, [item.answer for item in items]),
            "right": "".join(str(int(s == item.answer)) for s, item in zip(said, items, strict=True)),
        },
    }


def tokens(lm, pairs) -> list[dict]:
    """One row a language: tokens a word, a message and a byte, over the same messages."""
    rows = []
    for language in ("en", "hi"):
        texts = [getattr(p, language) for p in pairs]
        counts, words = [len(encode(lm.tokenizer, t)) for t in texts], [len(t.split()) for t in texts]
        rows.append(
            {
                "method": "tokens",
                "language": language,
                "per_message": stats.bootstrap(counts),
                "per_word": stats.bootstrap(
                    (np.array(counts), np.array(words)), lambda c, w: c.sum() / w.sum()
                ),
                "per_byte": round(sum(counts) / sum(len(t.encode()) for t in texts), 4),
                "counts": counts,
            }
        )
    return rows


def rivals(test, options) -> list[dict]:
    """Without a language model: the option whose length fits, and a table of words that go together."""
    train, right = hindi_pairs.pairs("train"), [mine.index(i) for i, mine in enumerate(options)]
    ratio = sum(len(p.hi) for p in train) / sum(len(p.en) for p in train)
    table = hindi_pairs.word_table(train)
    rows = []
    for task in ("meaning", "writing"):
        for method in ("length", "words"):
            said = []
            for i, mine in enumerate(options):
                sides = [
                    (test[i].hi, test[j].en) if task == "meaning" else (test[j].hi, test[i].en) for j in mine
                ]
                fit = [-abs(len(h) - ratio * len(e)) if method == "length" else table(h, e) for h, e in sides]
                said.append(int(np.argmax(fit)))
            rows.append({"method": method, "task": task, "result": outcome(said, right)})
    return rows


def run(bench: Bench, params: dict) -> list[dict]:
    """Rows: tokens a language; the rivals; the untouched model; pairs in the prompt; LoRA, one a seed. ``labels`` holds the right options."""
    test = hindi_pairs.pairs("test")[: params["test_n"]]
    options = hindi_pairs.choices(test)
    same = {"data": digest([vars(p) for p in hindi_pairs.pairs()])} | {
        k: params[k] for k in ("test_n", "texts", "items")
    }
    rows = [{"method": "items", "labels": "".join(str(mine.index(i)) for i, mine in enumerate(options))}]
    rows += tokens(bench.lm, hindi_pairs.pairs()[: params["counted"]]) + rivals(test, options)

    def step(settings: dict, measure) -> None:
        rows.append(public(bench.work.step(settings | same, measure)))

    step({"method": "untouched"}, lambda: probe(bench.lm, test, options, params))
    for seed in params["seeds"]:
        train = hindi_pairs.pairs("train")
        drawn = [
            train[i] for i in np.random.default_rng([32, seed]).permutation(len(train))[: params["shots"]]
        ]
        step(
            {"method": "few-shot", "k": params["shots"], "seed": seed},
            lambda d=drawn: translate(bench.lm, test, options, shown(d)),
        )
    for seed in params["seeds"]:
        tuning = Recipe(seed=seed, **params["recipe"])
        settings = {
            "method": "lora",
            "n_labels": params["pairs"],
            "seed": seed,
            "tuning": vars(tuning) | {"targets": list(tuning.targets)},
        }

        def tuned(seed=seed, tuning=tuning, settings=settings):
            lm = ft.finetune(
                bench.lm,
                lessons(params["pairs"], seed),
                tuning,
                checkpoint=bench.work.checkpoint(settings | same),
            )
            try:
                return probe(lm, test, options, params) | {
                    "train_seconds": round(lm.seconds, 1),
                    "examples_seen": lm.examples,
                }
            finally:
                bench.forget(tuning, bench.lm, lm)

        step(settings, tuned)
    return rows


_RECIPE = {"learning_rate": 2e-3, "epochs": 1, "batch_size": 8, "min_steps": 1}
_COMMON = {"model": "smollm2-135m", "recipe": _RECIPE, "shots": 4}

EXPERIMENT = Experiment(
    name="new_language",
    question="A language that the model hardly knows: what does LoRA on it bring, and take away?",
    claims=("C18",),
    run=run,
    scales={
        "smoke": _COMMON
        | {"test_n": 5, "counted": 20, "texts": 2, "items": 4, "pairs": 3, "shots": 1, "seeds": [0]},
        "laptop": _COMMON
        | {"test_n": 40, "counted": 466, "texts": 20, "items": 30, "pairs": 120, "seeds": [0]},
        "full": _COMMON
        | {"test_n": 60, "counted": 466, "texts": 30, "items": 40, "pairs": 200, "seeds": [0, 1, 2, 3, 4]},
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "recipe": _RECIPE | {"learning_rate": 5e-4},
            "test_n": 80,
            "counted": 466,
            "texts": 200,
            "items": 120,
            "pairs": 356,
            "shots": 16,
            "seeds": [0, 1, 2, 3, 4],
        },
    },
)
