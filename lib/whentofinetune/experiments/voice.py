"""Does tuning give a model a company's voice, and what becomes of what it has to say? (C9, C35)

Customers' mails are answered by the company's rules of style, which a program checks one by one. The same replies are checked for content: the item code
and the values that were asked for. The model can't know those, so each way is tried twice: *without* facts, where it can only invent them, and *with* the needed
facts in the prompt, one a line: retrieval (RAG) by a retriever that never errs.

The mails of train, valid and test share no product, no writer and no situation, but the ways in which replies are worded. The recipe was chosen by two
trials on mails of valid: ten steps of four pairs were too few (the replies repeated one line), thirty steps of two were enough.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from tunewise import stats
from tunewise.finetune import Recipe
from tunewise.generation import generate
from tunewise.scoring import prompt_tokens
from whentofinetune.book_records import digest
from whentofinetune.datasets import company
from whentofinetune.old_bench import Bench, Experiment, public, subset

TASK = "You answer the mails of customers for Zellmarch, who make awnings. Write the reply."
CODE = re.compile(r"[A-Z]\d-\d{3}")
ASKED = "<|im_end|>\n<|im_start|>assistant\n"  # from the end of what is asked to where the answer begins
_PLAIN = {"code": "item code", "lead": "delivery time", "spare": "spare part", "interval": "service interval"}


def system(rules: bool) -> str:
    """The system prompt, with or without the rules of the voice."""
    return f"{TASK} Keep these rules:\n{company.voice_prompt()}" if rules else TASK


def fact_lines(mail: company.Mail) -> str:
    """What a right reply needs to know, a fact a line."""
    known, name = company.facts(), company.entities()[mail.product].bare
    said = [
        ("code", mail.code),
        *((known[f].attribute, v) for f, v in zip(mail.facts, mail.values, strict=True)),
    ]
    return "\n".join(
        f"{_PLAIN.get(attribute, attribute)} of the {name}: {value}" for attribute, value in said
    )


def prompt(mail: company.Mail, facts: bool) -> str:
    """What follows the prefix, up to where the reply begins."""
    held = f"\n\nFacts for the reply:\n{fact_lines(mail)}" if facts else ""
    return f"{mail.text}{held}{ASKED}"


def chat(system: str, turns: Sequence[tuple[str, str]] = ()) -> str:
    """A prefix in ChatML, the form in which the embedded model was trained to follow instructions: the system prompt and earlier turns.

    turns: pairs of what was asked, up to where the answer begins, and the answer. It ends where what is asked next begins.
    """
    done = "".join(f"{asked}{answer}<|im_end|>\n<|im_start|>user\n" for asked, answer in turns)
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{done}"


def prefix(rules: bool, shots: Sequence[company.Mail], facts: bool) -> str:
    """The system prompt and solved examples as earlier turns, up to where the mail begins."""
    return chat(system(rules), [(prompt(m, facts), m.reply) for m in shots])


def drawn(n: int, seed: int) -> list[company.Mail]:
    """``n`` mails of the training split; those of a smaller n are among those of a larger one."""
    pool = company.mails("train")
    return [pool[i] for i in np.random.default_rng([31, seed]).permutation(len(pool))[:n]]


def marked(mails: Sequence[company.Mail], replies: Sequence[str]) -> dict:
    """Scores of replies, and what they are computed from.

    voice: mean share of rules kept; all_rules: replies that keep every rule; rules: each by itself; content: mean share of what had to be said.
    false_code: replies with an item code that is not the product's. kept: for each reply a digit a rule, in the order of ``company.voice()``;
    content_items: shares.
    """
    kept = [list(company.check_voice(r, m.sender).values()) for m, r in zip(mails, replies, strict=True)]
    content = [company.content_kept(m, r) for m, r in zip(mails, replies, strict=True)]
    false = [any(code != m.code for code in CODE.findall(r)) for m, r in zip(mails, replies, strict=True)]
    n = len(mails)
    return {
        "voice": stats.bootstrap(np.mean(kept, axis=1)),
        "all_rules": stats.proportion(sum(map(all, kept)), n),
        "content": stats.bootstrap(content),
        "rules": {
            rule.name: stats.proportion(sum(column), n)
            for rule, column in zip(company.voice(), zip(*kept, strict=True), strict=True)
        },
        "false_code": stats.proportion(sum(false), n),
        "kept": ["".join(str(int(k)) for k in ks) for ks in kept],
        "content_items": [round(c, 3) for c in content],
        "false_items": "".join(str(int(f)) for f in false),
    }


def run(bench: Bench, params: dict) -> list[dict]:
    """One row a way to answer, with or without facts, and a seed (draw of examples, or training).

    labels_without, labels_with: pairs of how many training pairs, and of with how many of the seeds.
    """
    mails = subset(company.mails(params["split"]), params["test_n"])
    asked = [
        prefix(rules, (), facts) + prompt(m, facts)
        for m in company.mails()
        for rules in (False, True)
        for facts in (False, True)
    ]
    same = {
        "data": digest([asked, [vars(m) for m in company.mails()]]),
        "split": params["split"],
        "test_n": len(mails),
        "max_new_tokens": params["max_new_tokens"],
    }
    rows = [
        {
            "method": "items",
            "mails": [m.id for m in mails],
            "rules": {r.name: r.says for r in company.voice()},
        }
    ]

    def ask(lm, start: str, facts: bool, seed: int) -> dict:
        asked = [prompt(m, facts) for m in mails]
        replies = generate(
            lm, asked, prefix=start, max_new_tokens=params["max_new_tokens"], batch_size=len(asked), stop=None
        )
        told = {"replies": replies[: params["shown"]]} if seed == min(params["seeds"]) else {}
        return marked(mails, replies) | {"prompt_tokens": round(prompt_tokens(lm, start, asked), 1)} | told

    def step(settings: dict, measure) -> None:
        rows.append(public(bench.work.step(settings | same, measure)))

    for facts in (False, True):
        step(
            {"method": "rules", "facts": facts},
            lambda facts=facts: ask(bench.lm, prefix(True, [], facts), facts, min(params["seeds"])),
        )
        for method in params["prompts"]:
            if method == "both" and not facts:
                continue
            for seed in params["seeds"]:
                start = prefix(method == "both", drawn(params["k"], seed), facts)
                settings = {"method": method, "facts": facts, "k": params["k"], "seed": seed}
                step(settings, lambda start=start, facts=facts, seed=seed: ask(bench.lm, start, facts, seed))
        for n, runs in params["labels_with" if facts else "labels_without"]:
            for seed in params["seeds"][:runs]:
                tuning, start = Recipe(seed=seed, **params["recipe"]), prefix(False, [], facts)
                told = {"method": "lora", "facts": facts, "n_labels": n, "seed": seed}

                def tuned(told=told, tuning=tuning, start=start, facts=facts, seed=seed, n=n) -> dict:
                    learned = told | {"of": "voice", "data": same["data"]}
                    with bench.adapter(
                        learned, tuning, lambda: [(prompt(m, facts), m.reply) for m in drawn(n, seed)], start
                    ) as lm:
                        cost = {"train_seconds": round(lm.seconds, 1), "examples_seen": lm.examples}
                        return ask(lm, start, facts, seed) | cost

                step(told | {"tuning": vars(tuning) | {"targets": list(tuning.targets)}}, tuned)
    return rows


_RECIPE = {"learning_rate": 2e-3, "epochs": 1, "batch_size": 2, "min_steps": 30}
_COMMON = {
    "model": "smollm2-135m",
    "split": "test",
    "recipe": _RECIPE,
    "k": 3,
    "max_new_tokens": 100,
    "shown": 4,
    "prompts": ["examples", "both"],
}

EXPERIMENT = Experiment(
    name="voice",
    question="Does tuning give a model the company's voice, and does what it says stay right?",
    claims=("C9", "C35"),
    run=run,
    scales={
        "smoke": _COMMON
        | {
            "recipe": _RECIPE | {"min_steps": 1},
            "prompts": ["examples"],
            "test_n": 2,
            "max_new_tokens": 8,
            "labels_without": [],
            "labels_with": [[2, 1]],
            "seeds": [0],
        },
        "laptop": _COMMON
        | {"prompts": ["both"], "test_n": 12, "labels_without": [], "labels_with": [[20, 1]], "seeds": [0]},
        "full": _COMMON
        | {
            "test_n": 36,
            "labels_without": [[60, 5]],
            "labels_with": [[20, 3], [60, 5], [200, 1]],
            "seeds": [0, 1, 2, 3, 4],
        },
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "recipe": _RECIPE | {"learning_rate": 5e-4},
            "test_n": 120,
            "max_new_tokens": 120,
            "labels_without": [[20, 5], [60, 5], [200, 5]],
            "labels_with": [[20, 5], [60, 5], [200, 5]],
            "seeds": [0, 1, 2, 3, 4],
        },
    },
)
