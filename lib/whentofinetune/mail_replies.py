"""Customers' mails, answered in the company's voice: prompts, training examples, and what a reply is scored on.

The model can't know the item code and the values that a mail asks for. With ``facts`` they stand in the prompt, one a line, as from
a retriever that never errs; without, the model can only make them up.
"""

import re
from collections.abc import Sequence

import numpy as np

from tunewise.experiment import Scores
from whentofinetune import datasets
from whentofinetune.datasets import company

TASK = "You answer the mails of customers for Zellmarch, who make awnings. Write the reply."
CODE = re.compile(r"[A-Z]\d-\d{3}")
ANSWER = "<|im_end|>\n<|im_start|>assistant\n"  # between the end of a prompt and its completion
_PLAIN = {"code": "item code", "lead": "delivery time", "spare": "spare part", "interval": "service interval"}


def chat(system: str, turns: Sequence[tuple[str, str]] = ()) -> str:
    """A prefix in ChatML, the form in which the bundled model learned to follow instructions, up to where the next prompt begins.

    Parameters
    ----------
    turns
        Earlier pairs of prompt (with :data:`ANSWER` at its end) and completion.
    """
    done = "".join(f"{prompt}{answer}<|im_end|>\n<|im_start|>user\n" for prompt, answer in turns)
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{done}"


def system(rules: bool) -> str:
    """The system prompt, with or without the rules of the voice."""
    return f"{TASK} Keep these rules:\n{company.voice_prompt()}" if rules else TASK


def fact_lines(mail: company.Mail) -> str:
    """What a right reply needs to know, a fact a line."""
    known, name = company.facts(), company.entities()[mail.product].bare
    said = [("code", mail.code), *zip((known[f].attribute for f in mail.facts), mail.values, strict=True)]
    return "\n".join(f"{_PLAIN.get(what, what)} of the {name}: {value}" for what, value in said)


def prompt(mail: company.Mail, facts: bool) -> str:
    """What follows the prefix, up to where the reply begins."""
    given = f"\n\nFacts for the reply:\n{fact_lines(mail)}" if facts else ""
    return f"{mail.text}{given}{ANSWER}"


def prefix(rules: bool, shots: Sequence[company.Mail], facts: bool) -> str:
    """The system prompt and mails with their replies as earlier turns, up to where the mail begins."""
    return chat(system(rules), [(prompt(m, facts), m.reply) for m in shots])


def drawn(n: int, seed: int) -> list[company.Mail]:
    """``n`` mails of the training split; those of a smaller n are among those of a larger one."""
    return datasets.drawn(company.mails("train"), n, 31, seed)


def scored(mails: Sequence[company.Mail], texts: Sequence[str], **facts) -> Scores:
    """Scores of the replies ``texts``; ``facts`` are figures about the condition.

    ``voice``: share of the rules kept; ``all_rules``: are all kept; ``rules.NAME``: is this one; ``content``: share of what had to be
    said; ``false_code``: is there an item code that is not the product's.
    """
    pairs = list(zip(mails, texts, strict=True))
    kept = [company.check_voice(r, m.sender) for m, r in pairs]
    return Scores(
        mails,
        voice=[float(np.mean(list(k.values()))) for k in kept],
        all_rules=[all(k.values()) for k in kept],
        content=[company.content_kept(m, r) for m, r in pairs],
        false_code=[any(code != m.code for code in CODE.findall(r)) for m, r in pairs],
        facts=facts,
        **{f"rules.{rule.name}": [k[rule.name] for k in kept] for rule in company.voice()},
    )
