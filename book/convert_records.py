"""Bring the records of schema 1 over to schema 2, and prove that every metric comes out as it was. Goes when all are converted.

    python book/convert_records.py few_shot learning_curve

A module ``book/converters/NAME.py`` for each experiment has ``convert(old, scores) -> list[(Condition, Scores, old row or None, leave)]``:
the new rows in order, each with the old row whose metrics it must reproduce; ``leave`` names metrics of the old row that are not carried
over (with the reason in a comment). Old rows that no new row stands for must be returned by ``dropped(old)`` with a reason.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def metrics(thing, path=""):
    """(dotted path, metric) of every metric dictionary in an old row."""
    if isinstance(thing, dict):
        if {"value", "low", "high", "n"} <= thing.keys():
            yield path, thing
        else:
            for k, v in thing.items():
                yield from metrics(v, f"{path}.{k}" if path else k)


def convert(name: str) -> None:
    from tunewise import data, record
    from tunewise.experiment import Params, _item_set, digest, parameters, resolve
    from tunewise.models.load import model_checksum
    from tunewise.record import Record, Row
    from whentofinetune import book_records, experiments

    spec = importlib.util.spec_from_file_location(name, ROOT / "book" / "converters" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    source = ROOT / "data" / "runs" / f"{name}.full.json"
    old = json.loads(source.read_text(encoding="utf-8"))
    experiment, workspace = experiments.get(name), book_records.workspace()
    params = parameters(experiment, "full", {})
    rows, sets, stood_for, worst = [], {}, [], 0.0
    for condition, scores, before, leave in module.convert(old):
        row = scores.row()
        items = {"items": _item_set(sets, row.pop("ids"), row.pop("groups"))} if "ids" in row else {}
        rows.append({**condition.settings, **items, **row})
        view = Row(rows[-1], sets)
        if before is None:
            continue
        stood_for.append(id(before))
        for path, metric in metrics(before):
            if path in leave:
                continue
            try:
                now = view
                for part in path.split("."):
                    now = now[part]
            except KeyError:
                raise SystemExit(f"{name}: {condition}: the new row has no {path}") from None
            off = max(abs((now[k] or 0) - (metric[k] or 0)) for k in ("value", "low", "high"))
            worst = max(worst, off)
            if off > 2e-4 or now["n"] != metric["n"]:
                raise SystemExit(f"{name}: {condition}: {path} was {metric}, is now {now}")
    lost = [r for r in old["results"] if id(r) not in stood_for]
    told = getattr(module, "dropped", lambda old: [])(old)
    if [r for r in lost if r not in told]:
        raise SystemExit(f"{name}: no new row stands for {str(next(r for r in lost if r not in told))[:300]}")
    expected = [c.settings for c in experiment.conditions(Params(params))]
    have = [
        {k: v for k, v in r.items() if k not in ("items", "outcomes", "predictions", "facts")} for r in rows
    ]
    if have != expected:
        first = next(
            (pair for pair in zip(expected, have, strict=False) if pair[0] != pair[1]),
            (len(expected), len(have)),
        )
        print(
            f"{name}: the record's conditions are not those of today's experiment, first difference {first}",
            file=sys.stderr,
        )
    ingredients = {
        "model": model_checksum(params["model"]),
        "dtype": old["notes"].get("dtype", "torch.float32"),
        "engine": 2,
    }
    tasks = {t: data.fingerprint(resolve(t, workspace)) for t in params.get("tasks", [])}
    sources = digest([tasks, experiment.sources(Params(params)) if experiment.sources else None])
    kept = ("scale", "seeds", "device", "versions", "date", "duration_s", "notes")
    made = Record(
        experiment=name,
        version=experiment.version,
        model=params["model"],
        params=params,
        rows=rows,
        item_sets=sets,
        key=digest([name, experiment.version, params, ingredients, sources]),
        checksums={"model": ingredients["model"], "tasks": tasks},
        **{k: old[k] for k in kept},
    )
    target = record.committed(ROOT / "data" / "runs", name, "full", params["model"])
    made.save(target)
    source.unlink()
    print(
        f"{name}: {len(rows)} rows, largest change of a metric {worst:.1e}, {target.stat().st_size // 1024} KiB"
    )


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        convert(wanted)
