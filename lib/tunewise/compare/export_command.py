"""``tunewise export``: a winner that is served: its adapter merged into the base model or as GGUF, and the commands that serve it."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM knows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add = parser.add_argument
    told = "the report of tunewise compare, such as report.html, or its folder with the winner"
    add("report", type=Path, metavar="REPORT", help=told)
    add("--merge", type=Path, metavar="DIR", help="write base model and adapter as one model, in safetensors")
    add("--gguf", type=Path, metavar="FILE", help="write the adapter as llama.cpp reads it")


def main(args: argparse.Namespace) -> int:
    """Export, and say how it is served; 0, or 2 where that can't be done."""
    try:
        for line in export(args.report, args.merge, args.gguf):
            print(line)
    except ValueError as error:
        said = str(error)
    except OSError as error:
        said = f"{error.filename or args.report} can't be used ({error.strerror or error})"
    else:
        return 0
    print(f"tunewise export: {said}", file=sys.stderr)
    return 2


def export(report: Path, merge: Path | None = None, gguf: Path | None = None) -> list[str]:
    """Write what is asked for; returns lines that say what was done and how to serve it.

    Parameters
    ----------
    report
        The report of a comparison, or its folder with the winner.
    merge
        The folder for base model and adapter as one model.
    gguf
        The file for the adapter as llama.cpp reads it.

    Raises
    ------
    ValueError
        For a folder that holds no winner or no adapter where one is needed, a base model that is not there, or a target that is.
    OSError
        For a full or read-only disk.
    """
    from tunewise.compare.winner import named_by

    winner = named_by(report)
    if not (winner / "arm.json").is_file():
        remedy = "give the report of tunewise compare, such as report.html, or its folder with the winner"
        raise ValueError(f"{winner} holds no winner: {remedy}")
    told = json.loads((winner / "arm.json").read_text(encoding="utf-8"))
    if told["how"] not in ("score", "write"):
        if merge or gguf:
            raise ValueError(
                f"{winner} holds no adapter: what won is used by its predict.py, and needs no export"
            )
        return [f'What won needs no model server: python {shlex.quote(str(winner / "predict.py"))} "a text"']
    if (merge or gguf) and not told["adapter"]:
        raise ValueError(f"{winner} holds a prompt and no adapter: the base model is served as it is")
    base = base_folder(told)
    lines = []
    if merge:
        lines.append(merged(winner, base, told["base"]["dtype"], merge))
    if gguf:
        from tunewise.compare.gguf_adapter import write_gguf_adapter

        if gguf.exists():
            raise ValueError(f"{gguf} is there already: give another name")
        config = json.loads((base / "config.json").read_text(encoding="utf-8"))
        n = write_gguf_adapter(winner, config, gguf)
        lines.append(f"Wrote {gguf}: {n} tensors, read back and found equal.")
    return [*lines, *serving(winner, base, told, merge, gguf)]


def base_folder(told: dict[str, Any]) -> Path:
    """Where the base model of a winner lies; fetched on the first call where it came from a registry or the Hub."""
    from tunewise.models import registry
    from tunewise.models.load import model_folder

    named = os.environ.get("BASE_MODEL") or told["base"]["folder"]
    return Path(named) if named and Path(named).is_dir() else model_folder(registry.get(told["model"]))


def merged(winner: Path, base: Path, dtype: str, target: Path) -> str:
    """Write base model and adapter as one model to ``target``, whole or not at all; says how far it is from the two apart."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if target.exists() and any(target.iterdir()):
        raise ValueError(f"{target} is not empty: give another folder")
    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "local_files_only": True}
    tokenizer: Any = AutoTokenizer.from_pretrained(base, local_files_only=True)
    plain: Any = AutoModelForCausalLM.from_pretrained(base, **options)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # peft's, about transformers
        model: Any = PeftModel.from_pretrained(plain, str(winner))
    card = (winner / "README.md").read_text(encoding="utf-8")
    ids = torch.tensor([tokenizer(card, add_special_tokens=False)["input_ids"][:128]])
    target.parent.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode(), tempfile.TemporaryDirectory(prefix=".half-", dir=target.parent) as temp:
        apart = torch.log_softmax(model.eval()(ids).logits.float(), dim=-1)
        half = Path(temp) / "merged"
        model.merge_and_unload(safe_merge=True).save_pretrained(half)
        tokenizer.save_pretrained(half)
        whole: Any = AutoModelForCausalLM.from_pretrained(half, **options)
        gap = float((torch.log_softmax(whole.eval()(ids).logits.float(), dim=-1) - apart).abs().max())
        if target.exists():
            shutil.rmtree(target)
        os.replace(half, target)
    return f"Wrote {target}: one model in {dtype}. Its log-probabilities differ from those of base and adapter by {gap:.1e} at most."


def serving(
    winner: Path, base: Path, told: dict[str, Any], merge: Path | None, gguf: Path | None
) -> list[str]:
    """The commands that serve it, each to be copied, and the one that checks the server."""
    here, name = shlex.quote(str(winner.resolve())), "mine"
    model, adapter = shlex.quote(str(base.resolve())), bool(told["adapter"])
    whole = shlex.quote(str((merge or Path("merged")).resolve())) if adapter else model
    first = (
        []
        if merge or not adapter
        else ["", "# first, for those that take no adapter", f"tunewise export {here} --merge merged"]
    )
    lines = ["", "# vLLM (a GPU)"]
    if adapter:
        rank = json.loads((winner / "adapter_config.json").read_text(encoding="utf-8"))["r"]
        lines.append(
            f"vllm serve {model} --enable-lora --max-lora-rank {next(r for r in RANKS if r >= rank)} --lora-modules {name}={here}"
        )
    else:
        lines.append(f"vllm serve {model} --served-model-name {name}")
    lines += [f"tunewise serve-check http://localhost:8000/v1 --model {name} --report {here}", *first]
    lines += [
        "",
        "# transformers",
        'pip install "transformers[serving]"',
        f"transformers serve {whole} --port 8000",
    ]
    lines.append(f"tunewise serve-check http://localhost:8000/v1 --model {whole} --report {here}")
    lines += [
        "",
        "# llama.cpp, in its folder",
        f"python convert_hf_to_gguf.py {whole if not gguf else model} --outfile base.gguf",
    ]
    with_adapter = f" --lora {shlex.quote(str(gguf.resolve()))}" if gguf else ""
    lines += [f"llama-server -m base.gguf{with_adapter} --port 8080"]
    return [*lines, f"tunewise serve-check http://localhost:8080/v1 --report {here}"]
