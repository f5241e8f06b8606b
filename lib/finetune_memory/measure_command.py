"""``finetune-memory measure``: take real training steps here, and record the memory they take.

Without options: the 135M model on this CPU, or on a GPU the same with its allocator's counts. ``--grid`` is the whole grid
of the chapter. Each setting runs in a process of its own; what is finished is kept at once and not run again.
"""

import argparse
import contextlib
import datetime
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from finetune_memory import machine
from finetune_memory.known_models import config_file, suggestion
from finetune_memory.settings import METHODS, Settings

SMALL = "HuggingFaceTB/SmolLM2-135M"
GRID_MODELS = [SMALL, "Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-1.5B"]
GRID_MODELS += ["meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-13b-hf"]
COMMON = {"double_quant": True, "targets": "all-linear", "outputs": "dropped"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.set_defaults(prog=parser.prog)
    option = parser.add_argument
    option("--grid", action="store_true", help="the chapter's grid; options below narrow it")
    option("--model", help="Hub ids or paths of a config.json, separated by commas")
    option("--method", help="full, lora, qlora; several separated by commas, as in all options here")
    option("--batch", help="rows a step")
    option("--seq", help="tokens a row")
    option("--checkpointing", help="on, off or on,off")
    option("--optimizer", help="adamw (default), adamw8bit, paged_adamw8bit, adafactor, sgd, ...")
    text = 'another setting, e.g. --set rank=64 --set targets="[\\"q_proj\\"]"'
    option("--set", metavar="NAME=JSON", action="append", default=[], help=text)
    option("--device", choices=("cpu", "cuda"), help="default: cuda if there is one")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--out", type=Path, help="record to write or go on with (default: in your cache)")
    text = "folder of the record, named after the device"
    where.add_argument("--to", type=Path, metavar="FOLDER", help=text)
    text = "the longest one setting may take (default: 1800)"
    option("--timeout", type=float, default=1800, metavar="SECONDS", help=text)
    option("--fresh", action="store_true", help="measure again what is finished")
    option("--list", action="store_true", help="only say what would be measured")


def main(args: argparse.Namespace) -> int:
    """Measure what is asked for; 1 if a measurement failed, 2 for wrong settings, 130 if interrupted."""
    try:
        device = _device(args.device)
        wanted = plan(args, device)
        name = machine.device_name(device)
        path = args.out or _record_of(name, args.to or machine.cache_folder())
        record = _open(path, name)
    except (ValueError, OSError) as error:
        print(f"{args.prog}: {error}", file=sys.stderr)
        return 2
    finished = [] if args.fresh else [row for row in record["rows"] if row["outcome"] != "failed"]
    done = {_key(row["settings"]): row for row in finished}
    there = sum(_key(s) in done for s in wanted)
    print(f"{name}: {len(wanted)} settings, {there} of them in {path}", file=sys.stderr)
    bad = 0
    for number, settings in enumerate(wanted, 1):
        row = done.get(_key(settings))
        line = f"[{number}/{len(wanted)}] {_words(settings)}"
        if args.list:
            print(f"{line}: {_result(row) if row else 'not yet measured'}")
            continue
        if row is None:
            print(line, end=" ... ", file=sys.stderr, flush=True)
            try:
                row = _measure(settings, device, args.timeout)
            except KeyboardInterrupt:
                print("\nstopped; the same command goes on from here", file=sys.stderr)
                return 130
            _keep(record, row, path)
            print(_result(row), file=sys.stderr, flush=True)
        bad += row["outcome"] == "failed"
    if not args.list:
        print(path)
    return 1 if bad else 0


def plan(args: argparse.Namespace, device: str) -> list[dict[str, Any]]:
    """The settings asked for, smallest models first. Raises ValueError for those that are not possible."""
    gpu = device.startswith("cuda")
    models = map(str, _list(args.model, GRID_MODELS if args.grid and gpu else [SMALL]))
    axes: dict[str, list[Any]] = {
        "model": [config_file(name) or name for name in models],
        "method": _list(args.method, METHODS),
        "optimizer": _list(args.optimizer, ["adamw"]),
        "seq": _list(args.seq, [512, 2048] if gpu else [64, 128]),
        "batch": _list(args.batch, [1, 4] if gpu and args.grid else [1]),
        "checkpointing": _list(args.checkpointing, [True, False]),
    }
    more = {**COMMON, **machine.hardware(device), **dict(_pair(text) for text in args.set)}
    found = [dict(zip(axes, values, strict=True)) | more for values in itertools.product(*axes.values())]
    for settings in found:
        Settings.from_dict(settings)  # raises for what is not possible
    return found


def _list(text: str | None, default: Iterable[object]) -> list[object]:
    return [_value(part.strip()) for part in text.split(",") if part.strip()] if text else list(default)


def _value(text: str) -> object:
    """What a setting is given as: JSON, on or off, or a word."""
    if text in ("on", "off"):
        return text == "on"
    try:
        return json.loads(text)
    except ValueError:
        return text


def _pair(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    names = [f.name for f in fields(Settings)]
    if name not in names:
        there = f"there are {', '.join(names)}{suggestion(name, names)}"
        raise ValueError(f"--set {text}: there is no setting {name!r}; {there}")
    return name, _value(value)


def _device(asked: str | None) -> str:
    import torch

    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        instead = "leave --device out to measure on the CPU"
        raise ValueError(f"torch {torch.__version__} sees no CUDA GPU here; {instead}")
    return asked or ("cuda" if there else "cpu")


def _record_of(name: str, folder: Path) -> Path:
    slug = "cpu" if name.startswith("CPU") else re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return folder / f"measured-{slug}.json"


def _open(path: Path, device: str) -> dict[str, Any]:
    """The record so far. Raises ValueError if the file is another device's, or no record."""
    if not path.exists():
        return {"device": device, "bytes": _BYTES, "rows": []}
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = record["device"]
    except (ValueError, KeyError, TypeError) as error:
        wrong = f"{path} is no record of measured memory ({error!r})"
        raise ValueError(f"{wrong}; delete it or name another with --out") from error
    if known != device:
        raise ValueError(f"{path} is a record of {known}, not of {device}; name another with --out")
    return record


_BYTES = (
    "allocated: the most that PyTorch's CUDA allocator gave out (on a CPU: peak resident memory above the process without model); "
    "reserved: the most it held; resident: before the first step; phases: the peak of each phase of the third step"
)


def _key(settings: dict[str, Any]) -> str:
    """The same for the same step, whether a default was written down or not."""
    with contextlib.suppress(ValueError):
        settings = Settings.from_dict(settings).as_dict()
    return json.dumps(settings, sort_keys=True)


def _measure(settings: dict[str, Any], device: str, timeout: float) -> dict[str, Any]:
    start = time.perf_counter()
    row = {"settings": settings, **_in_own_process(settings, device, timeout)}
    seconds, now = round(time.perf_counter() - start, 1), datetime.datetime.now(datetime.UTC)
    return row | {"seconds": seconds, "date": f"{now:%Y-%m-%d}", "versions": machine.versions()}


def _in_own_process(settings: dict[str, Any], device: str, timeout: float) -> dict[str, Any]:
    """The outcome of one setting; a process that ends itself, or is ended for lack of memory, ends only this one."""
    asked = json.dumps({"settings": settings, "device": device})
    # on a CPU, freed blocks go back to the system at once, so that resident memory follows what is in use
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "finetune_memory.real_steps", asked]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
    except subprocess.TimeoutExpired:
        return {"outcome": "failed", "why": f"took more than {timeout:.0f} s (see --timeout)"}
    if run.returncode == -9:
        why = "the system ended the process, which it does when the host's memory is used up"
        return {"outcome": "out of memory", "why": why}
    try:
        found: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
        return found
    except (IndexError, ValueError):
        last = run.stderr.strip().splitlines()[-1:] or ["no message"]
        return {"outcome": "failed", "why": f"the process ended with {run.returncode}: {last[0][:300]}"}


def _keep(record: dict[str, Any], row: dict[str, Any], path: Path) -> None:
    """Add the row to the record and write it, one row a line."""
    rows = [r for r in record["rows"] if _key(r["settings"]) != _key(row["settings"])] + [row]
    record["rows"] = rows
    head = json.dumps({k: v for k, v in record.items() if k != "rows"}, ensure_ascii=False, indent=1)[:-2]
    body = ",\n  ".join(json.dumps(r, ensure_ascii=False) for r in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    half.write_text(f'{head},\n "rows": [\n  {body}\n ]\n}}\n', encoding="utf-8")
    os.replace(half, path)


def _words(s: dict[str, Any]) -> str:
    model = s["model"] if isinstance(s["model"], str) else s["model"].get("model_type", "a config")
    way = "checkpointing" if s["checkpointing"] else "no checkpointing"
    return f"{model}  {s['method']}  {s['optimizer']}  batch {s['batch']} x {s['seq']}  {s['dtype']}  {way}"


def _result(row: dict[str, Any]) -> str:
    if row["outcome"] != "measured":
        return f"{row['outcome']}: {row['why']}"
    reserved = f", {row['reserved'] / 1e9:.2f} GB reserved" if row["reserved"] else ""
    return f"{row['allocated'] / 1e9:.2f} GB{reserved}"
