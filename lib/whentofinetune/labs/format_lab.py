"""The material of the lab "Format by constraint": service tickets, the fields that a student's record has, and recorded scores."""

from collections.abc import Sequence

import numpy as np

from whentofinetune import book_records
from whentofinetune.datasets import company
from whentofinetune.labs import Variant

_SIGNS = ["{", "}", '"', ":", ",", " ", '{"', '": ', '": "', '", "', '",', ', "', '"}']
TOY = ["<end>", "", *_SIGNS, "town", "order", "Sal", "S", "l", "ZO-", "12", "345", "6"]
"""A vocabulary of a few tokens to test with; token 0 ends the text. No beginning of a record is a dead end in it."""


def fields(v: Variant) -> list[str]:
    """Three fields of a ticket in an order of the student's own; the order number is one of them."""
    rng = v.rng("fields")
    chosen = ["order", *rng.choice(["customer", "product", "town"], 2, replace=False)]
    return [str(name) for name in rng.permutation(chosen)]


def tickets(v: Variant, split: str, n: int) -> list[company.Ticket]:
    """``n`` tickets of a split of the invented company's data."""
    found = company.tickets(split)
    return [found[i] for i in v.rng(split).choice(len(found), n, replace=False)]


def record(ticket: company.Ticket, names: Sequence[str]) -> dict[str, str]:
    """The true values of some fields."""
    return {name: ticket.record[name] for name in names}


def token_texts(tokenizer) -> list[str]:
    """The text of each token; "" for special tokens and for those that hold a part of a character."""
    texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
    special = set(tokenizer.all_special_ids)
    return ["" if i in special or "\ufffd" in text else text for i, text in enumerate(texts)]


def recorded(v: Variant, method: str) -> dict[str, np.ndarray]:
    """A method's scores on 24 tickets in the book's record ``formats`` (JSON; of several seeds the student's), free and constrained.

    Returns arrays [24]: ``parsed`` (without the constraint, 0 or 1), ``free`` and ``constrained`` (shares of right fields).
    """
    rows = book_records.load("formats").where(method=method, form="json")
    free, held = ([r for r in rows if r["constrained"] == c] for c in (False, True))
    i = int(v.rng("recorded").integers(len(free)))
    if free[i].items != held[i].items or free[i].raw.get("seed") != held[i].raw.get("seed"):
        raise ValueError(
            f"the rows of {method}, free and constrained, are not about the same tickets and seed"
        )
    scores = {"parsed": (free[i], "parsed"), "free": (free[i], "fields"), "constrained": (held[i], "fields")}
    return {name: np.array(row.outcomes(metric)) for name, (row, metric) in scores.items()}
