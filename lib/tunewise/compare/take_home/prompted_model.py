"""The model and its prompts, as they were evaluated. BASE_MODEL=folder takes the base model from there."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tunewise.compare.take_home.prompt_parts import Prompts

HERE = Path(__file__).parent
ARM = json.loads((HERE / "arm.json").read_text(encoding="utf-8"))
BASE = (
    os.environ.get("BASE_MODEL") or ARM["base"]["folder" if os.path.isdir(ARM["base"]["folder"]) else "hub"]
)
tokenizer: Any = AutoTokenizer.from_pretrained(BASE)
model: Any = AutoModelForCausalLM.from_pretrained(BASE, dtype=getattr(torch, ARM["base"]["dtype"])).eval()
if ARM["adapter"]:
    from peft import PeftModel

    # nothing is trained here, but PyTorch multiplies few rows by frozen weights very slowly in bfloat16 on a CPU
    model = PeftModel.from_pretrained(model, str(HERE)).eval().requires_grad_(True)
prompts = Prompts(ARM, tokenizer)
