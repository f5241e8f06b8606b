"""Does the form come from a constraint and the content from tuning? Tickets to records in JSON, YAML and Markdown (C10)

Ways: the JSON Schema in the prompt, two solved tickets in the prompt, LoRA on solved tickets; each also with constrained decoding
(:mod:`tunewise.constrained`): JSON by the JSON Schema, YAML and Markdown by a regular expression made from it.

A reply is read kindly: where it does not parse as it stands, the part inside a code fence, or inside braces, is tried. Names, towns, faults and products of test tickets
occur in no training ticket. The recipe was chosen by one trial on tickets of valid.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence

import numpy as np

from tunewise import stats
from tunewise.constrained import held, json_grammar, line_grammar
from tunewise.finetune import Recipe
from tunewise.generation import generate
from tunewise.scoring import prompt_tokens
from whentofinetune.book_records import digest
from whentofinetune.datasets import company
from whentofinetune.experiments.voice import ASKED, chat
from whentofinetune.old_bench import Bench, Experiment, public, subset

SAYS = {
    "json": "as a JSON object",
    "yaml": "as YAML, one field a line, each value in double quotes",
    "markdown": "as a Markdown list, a line `- **field**: value` for each field",
}
_FENCE = re.compile(r"```\w*\n(.*?)(?:\n```|\Z)", re.DOTALL)


def system(form: str, schema: bool) -> str:
    """The system prompt, with or without the JSON Schema."""
    told = (
        f" Copy values from the ticket. The fields are those of this JSON Schema:\n{json.dumps(company.ticket_schema()['properties'])}"
        if schema
        else ""
    )
    return f"Extract the service ticket {SAYS[form]}, and write nothing else.{told}"


def prompt(ticket: company.Ticket) -> str:
    """What follows the prefix, up to where the record begins."""
    return f"{ticket.text}{ASKED}"


def prefix(form: str, schema: bool, shots: Sequence[company.Ticket] = ()) -> str:
    """The system prompt and solved tickets as earlier turns, up to where the ticket begins."""
    return chat(system(form, schema), [(prompt(t), company.render(t.record, form)) for t in shots])


def grammar(form: str) -> str:
    """The form, as a grammar for constrained decoding."""
    if form == "json":
        return json_grammar(company.ticket_schema())
    line = {"yaml": "{field}: ", "markdown": "- **{field}**: "}[form]
    return line_grammar(company.ticket_schema(), line, quoted=form == "yaml")


def read(text: str, form: str) -> tuple[dict[str, str] | None, bool]:
    """The record in a reply (None if there is none), and whether the reply parsed as it stood."""
    braces = text[text.find("{") : text.rfind("}") + 1] if form == "json" else ""
    for piece in (text, *_FENCE.findall(text)[:1], braces):
        with contextlib.suppress(ValueError):
            return company.parse(piece.strip(), form), piece == text
    return None, False


def drawn(n: int, seed: int) -> list[company.Ticket]:
    """``n`` tickets of the training split."""
    pool = company.tickets("train")
    return [pool[i] for i in np.random.default_rng([32, seed]).permutation(len(pool))[:n]]


def marked(tickets: Sequence[company.Ticket], replies: Sequence[str], form: str) -> dict:
    """Scores of replies, and what they are computed from.

    as_is: replies that parse as they stand; parsed: that parse after a kind reading; valid: that satisfy the schema too. fields: mean share of the true fields
    whose value is exactly right, zero where nothing parses; fields_if_parsed: the same over parsed replies alone (None if there are fewer than two);
    f1: mean over replies of the F1 of field-value pairs; whole: replies that are exactly the record. outcomes: one letter a reply: ``x`` not parsed,
    ``k`` after a kind reading, ``p`` as it stands. valid_items: digits. counts: right, true and said fields of each reply.
    """
    found = [read(r, form) for r in replies]
    outcomes = "".join("x" if record is None else "p" if as_is else "k" for record, as_is in found)
    valid = [record is not None and not company.schema_errors(record) for record, _ in found]
    counts = [_counts(t.record, record or {}) for t, (record, _) in zip(tickets, found, strict=True)]
    share = [right / true for right, true, _ in counts]
    parsed = [s for s, o in zip(share, outcomes, strict=True) if o != "x"]
    n = len(replies)
    return {
        "as_is": stats.proportion(outcomes.count("p"), n),
        "parsed": stats.proportion(n - outcomes.count("x"), n),
        "valid": stats.proportion(sum(valid), n),
        "fields": stats.bootstrap(share),
        "fields_if_parsed": stats.bootstrap(parsed) if len(parsed) > 1 else None,
        "f1": stats.bootstrap([2 * right / (true + said) for right, true, said in counts]),
        "whole": stats.proportion(sum(right == true == said for right, true, said in counts), n),
        "outcomes": outcomes,
        "valid_items": "".join(str(int(v)) for v in valid),
        "counts": [list(c) for c in counts],
    }


def _counts(truth: Mapping[str, str], said: Mapping[str, str]) -> tuple[int, int, int]:
    """Fields with exactly the right value, fields of the true record, fields of the reply."""
    return sum(said.get(field) == value for field, value in truth.items()), len(truth), len(said)


def run(bench: Bench, params: dict) -> list[dict]:
    """One row a form, a way and a seed (draw of examples, or training), with and without the constraint."""
    tickets = subset(company.tickets(params["split"]), params["test_n"])
    rows = [{"method": "items", "tickets": [t.id for t in tickets], "schema": company.ticket_schema()}]

    def ask(lm, form: str, start: str, hold: bool, seed: int) -> dict:
        asked = [prompt(t) for t in tickets]
        with held(lm, grammar(form)) if hold else contextlib.nullcontext():
            replies = generate(
                lm,
                asked,
                prefix=start,
                max_new_tokens=params["max_new_tokens"],
                batch_size=len(asked),
                stop=None,
            )
        told = {"replies": replies[: params["shown"]]} if seed == min(params["seeds"]) else {}
        return (
            marked(tickets, replies, form)
            | {"prompt_tokens": round(prompt_tokens(lm, start, asked), 1)}
            | told
        )

    for form, ways in params["forms"].items():
        texts = [prefix(form, True), prefix(form, False), grammar(form), [vars(t) for t in company.tickets()]]
        same = {
            "form": form,
            "data": digest(texts),
            "split": params["split"],
            "test_n": len(tickets),
            "max_new_tokens": params["max_new_tokens"],
        }

        def step(settings: dict, measure, same=same) -> None:
            rows.append(public(bench.work.step(settings | same, measure)))

        for way, seeds in ways.items():
            method, _, hold = way.partition(" + ")
            for seed in seeds:
                told = {"method": method, "constrained": bool(hold), "seed": seed}
                if method != "lora":
                    told |= {"k": params["k"]} if method == "examples" else {}
                    start = prefix(
                        form, method == "schema", drawn(params["k"], seed) if method == "examples" else ()
                    )
                    step(
                        told,
                        lambda start=start, hold=hold, seed=seed, form=form: ask(
                            bench.lm, form, start, bool(hold), seed
                        ),
                    )
                    continue
                tuning, start = Recipe(seed=seed, **params["recipe"]), prefix(form, False)
                told |= {"n_labels": params["labels"]}

                def tuned(
                    tuning=tuning, start=start, hold=hold, seed=seed, form=form, data=same["data"]
                ) -> dict:
                    learned = {
                        "of": "formats",
                        "form": form,
                        "method": "lora",
                        "n_labels": params["labels"],
                        "seed": seed,
                        "data": data,
                    }

                    def pairs():
                        return [
                            (prompt(t), company.render(t.record, form)) for t in drawn(params["labels"], seed)
                        ]

                    with bench.adapter(learned, tuning, pairs, start) as lm:
                        return ask(lm, form, start, bool(hold), seed) | {
                            "train_seconds": round(lm.seconds, 1),
                            "examples_seen": lm.examples,
                        }

                step(told | {"tuning": vars(tuning) | {"targets": list(tuning.targets)}}, tuned)
    return rows


def extractor(form: str = "json", k: int = 2, *, seed: int = 0, **options):
    """A function (text of a ticket, constrained) -> what the untuned model writes after ``k`` solved tickets.

    options: for :func:`tunewise.models.load.load`; the model is loaded at the first ticket.
    """
    from tunewise.models.load import load

    models, start = [], prefix(form, False, drawn(k, seed))

    def extract(text: str, constrained: bool = True) -> str:
        models or models.append(load(**options))
        with held(models[0], grammar(form)) if constrained else contextlib.nullcontext():
            return generate(models[0], [f"{text}{ASKED}"], prefix=start, max_new_tokens=110, stop=None)[0]

    return extract


def ways(seeds: Sequence[int], once: Sequence[int] = (0,)) -> dict[str, list[int]]:
    """Way -> its seeds: what nothing is drawn for is asked once."""
    return {
        f"{way}{held}": list(once if way == "schema" else seeds)
        for way in ("schema", "examples", "lora")
        for held in ("", " + constraint")
    }


_RECIPE = {"learning_rate": 2e-3, "epochs": 1, "batch_size": 2, "min_steps": 10}
_COMMON = {
    "model": "smollm2-135m",
    "split": "test",
    "recipe": _RECIPE,
    "k": 2,
    "max_new_tokens": 110,
    "shown": 3,
}
_FIVE = [0, 1, 2, 3, 4]

EXPERIMENT = Experiment(
    name="formats",
    question="Does the form come from a constraint, and the content from tuning?",
    claims=("C10",),
    run=run,
    scales={
        "smoke": _COMMON
        | {
            "recipe": _RECIPE | {"min_steps": 1},
            "forms": {"json": {"examples + constraint": [0], "lora + constraint": [0]}},
            "labels": 2,
            "test_n": 2,
            "max_new_tokens": 8,
            "seeds": [0],
        },
        "laptop": _COMMON
        | {
            "forms": {"json": {"examples": [0], "examples + constraint": [0]}},
            "labels": 20,
            "test_n": 12,
            "seeds": [0],
        },
        "full": _COMMON
        | {
            "forms": {"json": ways(_FIVE), "yaml": ways([0]), "markdown": ways([0])},
            "labels": 60,
            "test_n": 24,
            "seeds": _FIVE,
        },
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "recipe": _RECIPE | {"learning_rate": 5e-4},
            "forms": {f: ways(_FIVE) for f in company.FORMS},
            "labels": 100,
            "test_n": 120,
            "seeds": _FIVE,
        },
    },
)
