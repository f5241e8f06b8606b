"""``finetune-memory estimate``: how much GPU memory one fine-tuning step takes, and what it fits. Needs nothing installed."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

from finetune_memory import known_models
from finetune_memory.calculator import gib, no_bf16, verdict
from finetune_memory.fit import CONTEXT, GPUS, Gpu, changes, fits, gpu_named, largest
from finetune_memory.formula import PHASES, Estimate, estimate
from finetune_memory.settings import CHOICES, Settings

if TYPE_CHECKING:
    from finetune_memory.simulation import Simulation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options: one for each of the settings, with its words as help."""
    parser.set_defaults(prog=parser.prog)
    words, option = Settings.words(), parser.add_argument
    text = "Hub id or short name (llama-2-7b), or the path of a config.json; 'list' lists them"
    option("--model", required=True, metavar="NAME", help=text)
    for field in dataclasses.fields(Settings)[1:]:
        name, default = field.name, field.default
        flag, text = "--" + name.replace("_", "-"), words[name].replace("%", "%%")
        if name == "targets":
            default = ",".join(Settings.targets)
            option(flag, default=default, metavar="NAMES", help=f"{text}; {default}")
        elif isinstance(default, bool):
            option(flag, action=argparse.BooleanOptionalAction, default=default, help=text)
        elif isinstance(default, str):
            choices = f" ({', '.join(CHOICES[name])})" if name in CHOICES else ""
            option(flag, default=default, metavar="NAME", help=f"{text}{choices}; {default}")
        else:  # a number; the GPU, if one is named, says its arch
            used = None if name == "arch" else default
            option(flag, type=type(default), default=used, metavar="N", help=f"{text}; {default}")
    option("--gpu", metavar="NAME", help=f"the GPU it should fit: {', '.join(GPUS)}")
    text = "also take the step with the real libraries on fake tensors (needs torch, transformers, peft)"
    option("--simulate", action="store_true", help=text)
    option("--json", action="store_true", help="print JSON; all sizes in bytes")


def main(args: argparse.Namespace) -> int:
    """Answer in words or as JSON; 2 for settings that are not possible."""
    if args.model == "list":
        print("\n".join(known_models.CONFIGS))
        return 0
    try:
        gpu = gpu_named(args.gpu) if args.gpu else None
        e = estimate(_settings(args, gpu))
        simulation = _simulate(e.settings) if args.simulate else None
    except (ValueError, ImportError) as error:
        print(f"{args.prog}: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(_as_json(e, gpu, simulation), indent=1))
    else:
        print(_as_text(e, gpu, simulation))
    return 0


def _settings(args: argparse.Namespace, gpu: Gpu | None) -> Settings:
    values = {f.name: getattr(args, f.name) for f in dataclasses.fields(Settings)}
    values["model"] = known_models.config_file(args.model) or args.model
    values["arch"] = args.arch or (gpu.arch if gpu else Settings.arch)
    names = tuple(name.strip() for name in (args.targets or "").split(",") if name.strip())
    values["targets"] = "all-linear" if names == ("all-linear",) else names
    return Settings(**values)


def _simulate(s: Settings) -> Simulation:
    try:
        from finetune_memory.simulation import simulate

        return simulate(s)
    except ImportError as error:
        needs = f"--simulate needs torch, transformers and peft ({error})"
        raise ImportError(f"{needs}: install them, or leave --simulate out") from error


def _as_json(e: Estimate, gpu: Gpu | None, simulation: Simulation | None) -> dict[str, Any]:
    answer = {
        "peak_bytes": e.peak_bytes,
        "reserved_bytes": e.reserved_bytes,
        "phase": e.phase,
        "components": e.components,
        "by_phase": e.by_phase,
        "context_bytes": list(CONTEXT),
        "settings": e.settings.as_dict(),
    }
    if gpu:
        answer["gpu"] = {
            "name": gpu.name,
            "total_bytes": gpu.total,
            "fits": fits(e, gpu),
            "largest_batch": largest(e.settings, gpu, "batch"),
            "longest_seq": largest(e.settings, gpu, "seq", 64),
            "changes": [
                {"change": c.text, "costs": c.costs, "peak_bytes": c.peak_bytes}
                for c in changes(e.settings, gpu)
            ],
        }
    if simulation:
        answer["simulation"] = dataclasses.asdict(simulation)
    return answer


def _as_text(e: Estimate, gpu: Gpu | None, simulation: Simulation | None) -> str:
    s = e.settings
    lines = [f"{s.model_id or s.shape.family}, {s.shape.parameters:,} parameters"]
    if gpu:
        lines += filter(None, [verdict(e, gpu), no_bf16(s, gpu)])
    lines += ["", f"At its highest ({e.phase}):"]
    lines += [f"  {part:<24}{_both(size)}" for part, size in e.components.items() if size]
    sums = {"allocated": e.peak_bytes, "reserved, about": e.reserved_bytes}
    lines += [f"  {what:<24}{_both(size)}" for what, size in sums.items()]
    lines += [f"  CUDA's context comes on top: {gib(CONTEXT[0])} to {gib(CONTEXT[1])}", ""]
    lines += ["In each phase, allocated:", *(f"  {p:<24}{_both(e.phases[p])}" for p in PHASES), ""]
    if simulation:
        peak = simulation.peak_bytes
        more = f"the estimate is {100 * (e.peak_bytes / peak - 1):+.1f} %"
        lines.append(f"Simulated, allocated:     {_both(peak)}  ({simulation.phase}; {more})")
        lines += [f"Simulated, reserved:      {_both(simulation.reserved_bytes)}", ""]
    if gpu:
        batch, seq = largest(s, gpu, "batch") or "none", largest(s, gpu, "seq", 64) or "none"
        longest = f"longest text of this batch {seq} tokens"
        lines.append(f"On the {gpu.name}: largest batch of this length {batch}, {longest}")
        options = changes(s, gpu)
        lines += ["Cheapest changes that make it fit:"] if options else []
        for number, change in enumerate(options, 1):
            lines.append(f"  {number}. {change.text}: {gib(change.peak_bytes)} (costs {change.costs})")
    else:
        for answer, word in (("yes", "Fits"), ("tight", "Tight"), ("no", "Too small")):
            if names := ", ".join(known.name for known in GPUS.values() if fits(e, known) == answer):
                lines.append(f"{word}: {names}")
    return "\n".join(lines)


def _both(size: int) -> str:
    return f"{gib(size):>10}  {size / 1e9:8.2f} GB"
