"""Service tickets, extracted to records in JSON, YAML or Markdown: prompts, grammars, and what a reply is scored on."""

import contextlib
import json
import re
from collections.abc import Sequence

from tunewise.constrained import constrained_to, json_grammar, line_grammar
from tunewise.experiment import Scores
from tunewise.generation import generate
from whentofinetune import datasets
from whentofinetune.datasets import company
from whentofinetune.mail_replies import ANSWER, chat

SAYS = {
    "json": "as a JSON object",
    "yaml": "as YAML, one field a line, each value in double quotes",
    "markdown": "as a Markdown list, a line `- **field**: value` for each field",
}
_FENCE = re.compile(r"```\w*\n(.*?)(?:\n```|\Z)", re.DOTALL)


def system(form: str, schema: bool) -> str:
    """The system prompt, with or without the JSON Schema."""
    task = f"Extract the service ticket {SAYS[form]}, and write nothing else."
    fields = json.dumps(company.ticket_schema()["properties"])
    told = f" Copy values from the ticket. The fields are those of this JSON Schema:\n{fields}"
    return task + (told if schema else "")


def prompt(ticket: company.Ticket) -> str:
    """What follows the prefix, up to where the record begins."""
    return f"{ticket.text}{ANSWER}"


def pairs(tickets: Sequence[company.Ticket], form: str) -> list[tuple[str, str]]:
    """Prompt and completion of solved tickets."""
    return [(prompt(t), company.render(t.record, form)) for t in tickets]


def prefix(form: str, schema: bool, shots: Sequence[company.Ticket] = ()) -> str:
    """The system prompt and solved tickets as earlier turns, up to where the ticket begins."""
    return chat(system(form, schema), pairs(shots, form))


def grammar(form: str) -> str:
    """The form, as a grammar for constrained decoding: JSON by the JSON Schema, the others by a regular expression made from it."""
    if form == "json":
        return json_grammar(company.ticket_schema())
    line = {"yaml": "{field}: ", "markdown": "- **{field}**: "}[form]
    return line_grammar(company.ticket_schema(), line, quoted=form == "yaml")


def read(text: str, form: str) -> tuple[dict[str, str] | None, bool]:
    """The record in a reply (None if there is none), and whether the reply parsed as it stood.

    Parsing is lenient: where the reply does not parse as it stands, the part inside a code fence, or inside braces, is tried.
    """
    braces = text[text.find("{") : text.rfind("}") + 1] if form == "json" else ""
    for piece in (text, *_FENCE.findall(text)[:1], braces):
        with contextlib.suppress(ValueError):
            return company.parse(piece.strip(), form), piece == text
    return None, False


def drawn(n: int, seed: int) -> list[company.Ticket]:
    """``n`` tickets of the training split."""
    return datasets.drawn(company.tickets("train"), n, 32, seed)


def scored(tickets: Sequence[company.Ticket], texts: Sequence[str], form: str, **facts) -> Scores:
    """Scores of the replies ``texts``; ``facts`` are figures about the condition.

    ``as_is``: does it parse as it stands; ``parsed``: does it parse leniently; ``valid``: does it satisfy the schema too; ``fields``: share
    of the true fields whose value is exactly right, zero where nothing parses; ``fields_if_parsed``: the same over parsed replies alone,
    left out where there are fewer than two; ``f1``: of the pairs of field and value; ``whole``: is it exactly the record. The fact
    ``counts`` has for each reply the fields that are right, those of the true record, and its own.
    """
    found = [read(text, form) for text in texts]
    counts = []  # for each reply: fields with exactly the right value, fields of the true record, its own fields
    for truth, said in zip((t.record for t in tickets), (record or {} for record, _ in found), strict=True):
        counts.append([sum(said.get(k) == v for k, v in truth.items()), len(truth), len(said)])
    share, parsed = [right / true for right, true, _ in counts], [record is not None for record, _ in found]
    alone = {"fields_if_parsed": datasets.only(share, parsed)}
    return Scores(
        tickets,
        as_is=[as_is for _, as_is in found],
        parsed=parsed,
        valid=[record is not None and not company.schema_errors(record) for record, _ in found],
        fields=share,
        f1=[2 * right / (true + said) for right, true, said in counts],
        whole=[right == true == said for right, true, said in counts],
        facts={"counts": counts, **facts},
        **(alone if sum(parsed) > 1 else {}),
    )


def written(
    lm, prompts: Sequence[str], start: str, form: str, constrained: bool, max_new_tokens: int
) -> list[str]:
    """What ``lm`` writes after the prefix ``start`` and each prompt, constrained to the form or not."""
    options = {"max_new_tokens": max_new_tokens, "batch_size": len(prompts), "stop": None}
    with constrained_to(lm, grammar(form)) if constrained else contextlib.nullcontext():
        return generate(lm, prompts, prefix=start, **options)
