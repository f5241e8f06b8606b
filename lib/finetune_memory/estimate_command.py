"""``tunewise memory``: how much GPU memory one fine-tuning step takes, and what it fits. Needs nothing installed."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from finetune_memory import known_models
from finetune_memory.calculator import (
    CONTEXT,
    GPUS,
    MOMENTS,
    Estimate,
    Gpu,
    Settings,
    UnknownModel,
    changes,
    estimate,
    fits,
    gib,
    largest,
    verdict,
)
from finetune_memory.settings import CHOICES

_HELP = {
    "method": "full fine-tuning, LoRA, or QLoRA (NF4 weights)",
    "rank": "rank of LoRA",
    "targets": "modules that LoRA adapts, by commas; or all-linear",
    "adapter_dtype": "type of the adapters (PEFT: fp32)",
    "lora_dropout": "dropout on LoRA's input",
    "double_quant": "quantise the scales of NF4 too",
    "kbit_preparation": "turn what stays 16-bit beside NF4 into fp32 (prepare_model_for_kbit_training)",
    "batch": "rows of a batch, on each GPU",
    "seq": "tokens of a row",
    "rows": "full rows, rows padded to --seq, or several texts packed into a row",
    "dtype": "type of the weights; with --master-weights of the arithmetic",
    "master_weights": "fp32 weights under autocast (mixed precision)",
    "optimizer": "the optimiser; its states have the type of what is trained",
    "optimizer_mode": "how PyTorch runs AdamW and SGD",
    "in_backward": "update each parameter as soon as its gradient is there",
    "checkpointing": "gradient checkpointing",
    "attention": "eager, SDPA (PyTorch picks the kernel), or flash",
    "loss": "over all logits, in chunks, or fused with the head",
    "loss_chunks": "how many chunks",
    "logits": "fp32 if the model returns them so",
    "loss_fp32": "turn 16-bit logits into fp32 for the loss",
    "outputs": "until when the loop keeps the model's output",
    "use_cache": "the model also returns its keys and values",
    "accumulation": "gradients of earlier batches are there already",
    "arch": "compute capability times ten (75: T4, 80: A100); set by --gpu",
    "torch": "PyTorch's version",
    "bitsandbytes": "bitsandbytes' version",
    "gpus": "number of GPUs",
    "sharding": "how several GPUs share the model",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME",
        help="Hub id or short name (llama-2-7b), or the path of a config.json; 'list' lists them",
    )
    for field in dataclasses.fields(Settings):
        if field.name == "model":
            continue
        flag, text = "--" + field.name.replace("_", "-"), _HELP[field.name]
        if isinstance(field.default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default, help=text)
        elif field.name == "targets":
            parser.add_argument(flag, metavar="NAMES", help=f"{text} (q_proj,v_proj)")
        elif isinstance(field.default, str):
            choices = f" ({', '.join(CHOICES[field.name])})" if field.name in CHOICES else ""
            parser.add_argument(
                flag, default=field.default, metavar="NAME", help=f"{text}{choices}; {field.default}"
            )
        else:
            parser.add_argument(
                flag,
                type=type(field.default),
                default=None if field.name == "arch" else field.default,
                metavar="N",
                help=f"{text}; {field.default}",
            )
    parser.add_argument("--gpu", metavar="NAME", help=f"the GPU it should fit: {', '.join(GPUS)}")
    parser.add_argument(
        "--simulate",
        action="store_true",
        help="also take the step with the real libraries on fake tensors (needs torch, transformers, peft)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON; all sizes in bytes")


def main(args: argparse.Namespace) -> int:
    if args.model == "list":
        print("\n".join(known_models.CONFIGS))
        return 0
    try:
        gpu = _gpu(args.gpu) if args.gpu else None
        e = estimate(_settings(args, gpu))
        simulation = _simulate(e.settings) if args.simulate else None
    except (ValueError, _Missing) as error:
        print(f"tunewise memory: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(_as_json(e, gpu, simulation), indent=1))
    else:
        print(_as_text(e, gpu, simulation))
    return 0


def _settings(args: argparse.Namespace, gpu: Gpu | None) -> Settings:
    values = {f.name: getattr(args, f.name) for f in dataclasses.fields(Settings)}
    values["model"] = _model(args.model)
    values["arch"] = args.arch or (gpu.arch if gpu else Settings.arch)
    if args.targets is None:
        values["targets"] = Settings.targets
    else:
        names = tuple(name.strip() for name in args.targets.split(",") if name.strip())
        values["targets"] = "all-linear" if names == ("all-linear",) else names
    return Settings(**values)


def _model(name: str) -> str | dict:
    """A Hub id, or the config in the file (or folder) ``name``. Raises ValueError if it is neither."""
    path = Path(name)
    if path.is_dir() and (path / "config.json").is_file():
        path = path / "config.json"
    if not path.is_file():
        if known_models.find(name) is None and (name.endswith(".json") or path.is_absolute()):
            raise ValueError(f"there is no file {name}")
        return name
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{name} is no JSON file: {error}") from error
    if not isinstance(config, dict):
        raise UnknownModel(f"{name} is no Hugging Face config.json: it holds no object")
    return config


def _gpu(name: str) -> Gpu:
    key = name.lower().replace("_", "-").replace(" ", "")
    key = {
        "a100-80": "a100",
        "h100-80": "h100",
        "v100-32": "v100",
        "4090": "rtx4090",
        "3090": "rtx3090",
        "4080": "rtx4080",
        "5090": "rtx5090",
        "a10": "a10g",
    }.get(key, key)
    if key not in GPUS:
        raise ValueError(f"no GPU is known as {name!r}; there are {', '.join(GPUS)}")
    return GPUS[key]


class _Missing(RuntimeError):
    """A library that the simulation needs is not there."""


def _simulate(s: Settings):
    try:
        from finetune_memory.simulate import simulate
    except ImportError as error:
        raise _Missing(
            f"--simulate needs torch, transformers and peft ({error}): pip install 'tunewise[models]', or leave --simulate out"
        ) from error
    return simulate(s)


def _as_json(e: Estimate, gpu: Gpu | None, simulation) -> dict:
    answer = {
        "peak_bytes": e.peak_bytes,
        "reserved_bytes": e.reserved_bytes,
        "moment": e.moment,
        "components": e.components,
        "moments": e.moments,
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
        answer["simulation"] = {
            "peak_bytes": simulation.peak_bytes,
            "reserved_bytes": simulation.reserved_bytes,
            "moment": simulation.moment,
            "components": simulation.components,
            "moments": simulation.phases,
            "timeline": simulation.timeline,
        }
    return answer


def _as_text(e: Estimate, gpu: Gpu | None, simulation) -> str:
    s = e.settings
    lines = [f"{s.model_id or s.shape.family}, {s.shape.parameters:,} parameters"]
    if gpu:
        lines.append(verdict(e, gpu))
    lines += ["", f"At its highest ({e.moment}):"]
    lines += [f"  {part:<24}{_both(size)}" for part, size in e.components.items() if size]
    lines += [
        f"  {'allocated':<24}{_both(e.peak_bytes)}",
        f"  {'reserved, about':<24}{_both(e.reserved_bytes)}",
        f"  CUDA's context comes on top: {gib(CONTEXT[0])} to {gib(CONTEXT[1])}",
        "",
        "At each moment, allocated:",
        *[f"  {moment:<24}{_both(e.phases[moment])}" for moment in MOMENTS],
    ]
    if simulation:
        more = 100 * (e.peak_bytes / simulation.peak_bytes - 1)
        lines += [
            "",
            f"Simulated, allocated:     {_both(simulation.peak_bytes)}  ({simulation.moment}; the estimate is {more:+.1f} %)",
            *(
                [f"Simulated, reserved:      {_both(simulation.reserved_bytes)}"]
                if simulation.reserved_bytes
                else []
            ),
        ]
    if gpu:
        batch, seq = largest(s, gpu, "batch"), largest(s, gpu, "seq", 64)
        lines += [
            "",
            f"On the {gpu.name}: largest batch of this length {batch or 'none'}, longest text of this batch {seq or 'none'} tokens",
        ]
        for number, change in enumerate(changes(s, gpu), 1):
            lines += ["Cheapest changes that make it fit:"] if number == 1 else []
            lines.append(f"  {number}. {change.text}: {gib(change.peak_bytes)} (costs {change.costs})")
    else:
        by: dict[str, list[str]] = {"yes": [], "tight": [], "no": []}
        for known in GPUS.values():
            by[fits(e, known)].append(known.name)
        lines += [
            "",
            *[
                f"{word}: {', '.join(names)}"
                for word, names in zip(("Fits", "Tight", "Too small"), by.values(), strict=True)
                if names
            ],
        ]
    return "\n".join(lines)


def _both(size: int) -> str:
    return f"{gib(size):>10}  {size / 1e9:8.2f} GB"
