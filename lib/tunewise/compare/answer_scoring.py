"""How right is what an arm wrote? Short answers (exact, F1, contains, a function of the user's), and fields of an extraction.

A target of short answers is the right answer, or a JSON list of right answers. A target of an extraction is a JSON object.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from tunewise import written_answers
from tunewise.compare.base import Item, Kind

Scorer = Callable[[str, str], float]
METRICS = {"answers": ("exact", "f1", "contains"), "extraction": ("fields", "all_fields", "valid")}
DEEPEST = 100  # brackets within brackets; no record is so deep, but a model that repeats itself writes them
ROOM = 2  # a text may be this many times as long as the longest in training
_FENCE = re.compile(r"^```\w*\n(.*?)\n?```$", re.DOTALL)


class ScoringError(ValueError):
    """A scorer, a schema or a target of the user's can't be used. The message says which, where, and what to do."""


def outcomes_of(
    kind: Kind,
    items: Sequence[Item],
    predictions: Sequence[str],
    *,
    schema: Mapping[str, Any] | None = None,
    scorer: Scorer | None = None,
) -> dict[str, list[float]]:
    """Metric -> one number an item, each in [0, 1] but for the user's own.

    Parameters
    ----------
    items
        With targets.
    schema
        Of an extraction; what is written is ``valid`` when it is a JSON object that keeps to it.
    scorer
        The user's function of prediction and target, whose outcome is called ``score``.

    Raises
    ------
    ScoringError
        Where the user's function fails or gives no number, with the row.
    """
    pairs = [(said, item.target or "") for said, item in zip(predictions, items, strict=True)]
    if kind == "extraction":
        found = [_fields(said, target, schema) for said, target in pairs]
    else:
        found = [_answer(said, right_answers(target)) for said, target in pairs]
    outcomes = {metric: [one[metric] for one in found] for metric in METRICS[kind]}
    if scorer is not None:
        outcomes["score"] = [_own(scorer, p, i) for p, i in zip(predictions, items, strict=True)]
    return outcomes


def right_answers(target: str) -> list[str]:
    """The right answers that a target names: the items of a JSON list of texts, else the target itself."""
    if target.lstrip().startswith("["):
        listed = parsed(target)
        if isinstance(listed, list) and listed and all(isinstance(one, str) for one in listed):
            return listed
    return [target]


def _answer(said: str, right: Sequence[str]) -> dict[str, float]:
    # an answer of signs alone, such as "+", has no words to compare
    wordless = [r.strip() for r in right if not written_answers.tokens(r)]
    words = [r for r in right if written_answers.tokens(r)]
    same = float(said.strip() in wordless)
    return {
        "exact": max(same, float(written_answers.exact_match(said, words))),
        "f1": max(same, written_answers.token_f1(said, words)),
        "contains": max(
            float(any(r in said for r in wordless if r)), float(written_answers.contains(said, words))
        ),
    }


def parsed(text: str) -> Any:
    """The JSON value of a text, which may stand in a code fence; None where it is none (or null)."""
    text = text.strip()
    if fenced := _FENCE.match(text):
        text = fenced[1]
    deepest = max(accumulate((c in "[{") - (c in "]}") for c in text), default=0)
    try:
        return json.loads(text, parse_constant=_refused) if deepest < DEEPEST else None
    except ValueError:
        return None


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _fields(said: str, target: str, schema: Mapping[str, Any] | None) -> dict[str, float]:
    """Shares of the fields of target and answer that are equal; a field that should not be there counts as wrong."""
    wanted, found = flat(parsed(target)), parsed(said)
    got = flat(found) if isinstance(found, dict) else {}
    names = wanted.keys() | got.keys()
    right = sum(name in wanted and name in got and wanted[name] == got[name] for name in names)
    valid = isinstance(found, dict) and (schema is None or _keeps_to(found, schema))
    return {
        "fields": right / len(names) if names else float(isinstance(found, dict)),
        "all_fields": float(isinstance(found, dict) and right == len(names)),
        "valid": float(valid),
    }


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Path -> value of each field of nested objects, ready to compare: white space and case of a text do not count, nor does 1.0 beside 1."""
    if isinstance(value, dict):
        return {path: v for key, one in value.items() for path, v in flat(one, f"{name}/{key}").items()}
    return {name: _plain(value)}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(value.split()).casefold()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return ("flag", value) if isinstance(value, bool) else value  # True == 1 in Python, not in JSON


def _keeps_to(value: Any, schema: Mapping[str, Any]) -> bool:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema).is_valid(value)


def read_schema(path: Path) -> dict[str, Any]:
    """The user's JSON Schema of an extraction: an object with ``properties``.

    Raises
    ------
    ScoringError
        For what can't be read or is no such schema.
    """
    from jsonschema import Draft202012Validator, SchemaError

    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(schema)
    except OSError as error:
        raise ScoringError(
            f"the schema {path} can't be read ({error.strerror}): give the path of a JSON file"
        ) from error
    except ValueError as error:
        raise ScoringError(f"the schema {path} is not JSON ({error}): a JSON Schema is wanted") from error
    except SchemaError as error:
        raise ScoringError(f"{path} is no JSON Schema: {error.message}") from error
    if (
        not isinstance(schema, dict)
        or not isinstance(schema.get("properties"), dict)
        or not schema["properties"]
    ):
        remedy = 'give one such as {"type": "object", "properties": {"name": {"type": "string"}}}'
        raise ScoringError(f"the schema {path} describes no object with properties: {remedy}")
    names = list(schema["properties"])
    if unknown := sorted(set(schema.get("required", [])) - set(names)):
        raise ScoringError(f"the schema {path} requires {unknown[0]!r}, which is not among its properties")
    return {"type": "object", "additionalProperties": False, "required": [], **schema}


def infer_schema(targets: Mapping[str, str]) -> dict[str, Any]:
    """A JSON Schema that all targets (place, such as ``row 7`` -> JSON text) keep to, with room for longer texts and lists.

    Fields come in the order in which the targets name them; a field of every target is required.

    Raises
    ------
    ScoringError
        Where a target is no JSON object.
    """
    values = []
    for place, target in targets.items():
        value = parsed(target)
        if not isinstance(value, dict):
            said = f"{place} is no JSON object: {target[:60]!r}"
            raise ScoringError(f'{said}; an extraction wants one such as {{"name": "..."}}')
        values.append(value)
    return _schema_of(values)


def _schema_of(values: Sequence[Any]) -> dict[str, Any]:
    """The narrowest of the usual kinds that all values belong to."""
    kinds = {_kind(v) for v in values}
    if "null" in kinds and len(kinds) > 1:
        return {"anyOf": [_schema_of([v for v in values if v is not None]), {"type": "null"}]}
    if kinds == {"integer", "number"}:
        return {"type": "number"}
    if len(kinds) > 1:
        return {"anyOf": [_schema_of([v for v in values if _kind(v) == kind]) for kind in sorted(kinds)]}
    (kind,) = kinds or {"string"}
    if kind == "string":
        return {"type": "string", "maxLength": max(40, ROOM * max(map(len, values), default=0))}
    if kind == "array":
        inner = [one for v in values for one in v]
        most = max(4, ROOM * max(map(len, values)))
        return {"type": "array", "items": _schema_of(inner), "maxItems": most}
    if kind == "object":
        names = list(dict.fromkeys(name for v in values for name in v))
        fields = {name: _schema_of([v[name] for v in values if name in v]) for name in names}
        always = [name for name in names if all(name in v for v in values)]
        return {"type": "object", "properties": fields, "required": always, "additionalProperties": False}
    return {"type": kind}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    kinds = {int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def load_scorer(named: str) -> Scorer:
    """The user's function of ``file.py:function``; it takes what was written and the target, and returns a number, the higher the better.

    Raises
    ------
    ScoringError
        Where there is no such file or function, or the file can't be run.
    """
    path, colon, function = named.rpartition(":")
    if not colon or not path.endswith(".py") or not function.isidentifier():
        raise ScoringError(
            f"the scorer {named!r} must be written file.py:function, such as score.py:close_enough"
        )
    file = Path(path)
    if not file.is_file():
        raise ScoringError(f"the scorer's file {path} is not there")
    spec = importlib.util.spec_from_file_location(f"scorer_{file.stem}", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's code may raise anything
        raise ScoringError(f"the scorer's file {path} can't be run: {_told(error)}") from error
    found = getattr(module, function, None)
    if not callable(found):
        there = ", ".join(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
        raise ScoringError(f"{path} has no function {function!r}; it has {there or 'none'}")
    scorer: Scorer = found
    return scorer


def _own(scorer: Scorer, said: str, item: Item) -> float:
    where = f"your scorer failed on row {item.row}"
    try:
        number = float(scorer(said, item.target or ""))
    except Exception as error:  # the user's code may raise anything
        raise ScoringError(f"{where}: {_told(error)} (it was given {said[:40]!r} and the target)") from error
    if not math.isfinite(number):
        raise ScoringError(f"{where}: it returned {number}; a number from 0 (wrong) to 1 (right) is wanted")
    return number


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
