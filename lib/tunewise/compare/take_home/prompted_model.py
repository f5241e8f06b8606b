"""The model and its prompts, as they were evaluated. BASE_MODEL=folder takes the base model from there."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tunewise.compare.take_home.prompt_parts import Prompts

HERE = Path(__file__).parent
ARM = json.loads((HERE / "arm.json").read_text(encoding="utf-8"))


def loaded() -> tuple[Any, Any]:
    """Tokenizer and base model; says on stderr where they come from. OSError where they are in no place."""
    told, base, options = ARM["base"], os.environ.get("BASE_MODEL", ""), {}
    if base:
        where = "as BASE_MODEL says"
    elif os.path.isdir(told["folder"]):
        base, where = told["folder"], "where it lay when it was evaluated"
    else:
        base, where, options = (
            told["hub"],
            "from the Hub or its cache",
            {"revision": told["revision"] or "main"},
        )
    print(f"predict.py: base model {base} ({where})", file=sys.stderr)
    try:
        found = AutoTokenizer.from_pretrained(base, **options)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        plain = device == "cpu" and told["dtype"] == "float16"  # which a CPU computes very slowly
        dtype = torch.float32 if plain else getattr(torch, told["dtype"])
        return found, AutoModelForCausalLM.from_pretrained(base, dtype=dtype, **options).eval().to(device)
    except (OSError, ValueError) as error:
        why = (str(error).strip().splitlines() or ["no reason given"])[0]
        said = f"the base model can't be loaded from {base} ({where}): {why}"
        remedy = (
            f"set BASE_MODEL to a folder that holds {told['hub']} (config.json, *.safetensors, tokenizer)"
        )
        raise OSError(f"{said}\n{remedy}") from None


tokenizer, model = loaded()
if ARM["adapter"]:
    from peft import PeftModel

    # nothing is trained here, but PyTorch multiplies few rows by frozen weights very slowly in bfloat16 on a CPU
    model = PeftModel.from_pretrained(model, str(HERE)).eval().requires_grad_(True)
prompts = Prompts(ARM, tokenizer)
