"""The model and its prompt, as they were evaluated. BASE_MODEL=folder takes the base model from there."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).parent
ARM = json.loads((HERE / "arm.json").read_text(encoding="utf-8"))
BASE = (
    os.environ.get("BASE_MODEL") or ARM["base"]["folder" if os.path.isdir(ARM["base"]["folder"]) else "hub"]
)
tokenizer: Any = AutoTokenizer.from_pretrained(BASE)
model: Any = AutoModelForCausalLM.from_pretrained(BASE, dtype=getattr(torch, ARM["base"]["dtype"])).eval()
if ARM["adapter"]:
    from peft import PeftModel

    model = PeftModel.from_pretrained(model, str(HERE)).eval()
CONTROL = [token.content for token in tokenizer.added_tokens_decoder.values()]
MARKED = re.compile(
    "\ufdd0(.*?)\ufdd1", re.DOTALL
)  # what looks like a control token in a text, and stays text


def encode(prompt: str) -> list[int]:
    """Token ids; nothing is added at the ends."""
    pieces = MARKED.split(MARKED.sub(lambda m: m[0] if m[1] in CONTROL else m[1], prompt))
    how = [{"add_special_tokens": False, "split_special_tokens": bool(i % 2)} for i in range(len(pieces))]
    return [t for p, h in zip(pieces, how, strict=True) if p for t in tokenizer(p, **h)["input_ids"]]


def query(text: str) -> str:
    """The part of the prompt that belongs to one text, whose beginning counts where it is long."""
    text, most = re.sub("[\ufdd0\ufdd1]", "", text), ARM["text_tokens"]
    ids = tokenizer(text[: 20 * most], add_special_tokens=False)["input_ids"]
    if len(ids) > most or len(text) > 20 * most:
        text = tokenizer.decode(ids[:most])
    text = text if ARM["keep_lines"] else " ".join(text.split())
    return " " + re.sub("|".join(map(re.escape, CONTROL)), "\ufdd0\\g<0>\ufdd1", text) + ARM["after"]


def prompt(text: str) -> tuple[str, str]:
    """What other texts' prompts begin with too, and the rest."""
    shots = nearest(text) if ARM["nearest"] else ARM["shots"]
    shown = [ARM["before"] + query(shot) + answer + ARM["separator"] for shot, answer in shots]
    examples = "".join(shown) + ARM["before"]
    if ARM["nearest"]:
        return ARM["opening"], examples + query(text)
    return ARM["opening"] + examples, query(text)


def nearest(text: str) -> Sequence[tuple[str, str]]:
    """The examples whose sentence embeddings are nearest, the nearest last."""
    from sentence_transformers import SentenceTransformer

    base = ARM["encoder_base"]
    encoder = SentenceTransformer(base["folder" if os.path.isdir(base["folder"]) else "hub"])
    vectors: Any = encoder.encode([text, *(shot for shot, _ in ARM["shots"])], normalize_embeddings=True)
    order = (-(vectors[1:] @ vectors[0])).argsort(kind="stable")[: ARM["nearest"]]
    return [ARM["shots"][i] for i in reversed(order)]
