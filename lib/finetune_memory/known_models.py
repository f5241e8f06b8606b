"""Shapes of much-used open models by their Hub id: of each published ``config.json``, the fields that decide memory.

Each entry is a config that ``transformers`` can build the model from. Models of one shape share an entry. The text part
of Gemma 3 stands for models that also see images.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_FIELDS = {
    "h": "hidden_size",
    "f": "intermediate_size",
    "n": "num_hidden_layers",
    "a": "num_attention_heads",
    "k": "num_key_value_heads",
    "d": "head_dim",
    "v": "vocab_size",
    "tied": "tie_word_embeddings",
    "window": "sliding_window",
    "rot": "partial_rotary_factor",
}
# an entry a line, going on in indented lines: model_type, fields (short names above), a colon, the Hub ids of this shape
_TABLE = """
# Llama and models of its architecture
llama h=4096 f=11008 n=32 a=32 k=32 v=32000: meta-llama/Llama-2-7b-hf meta-llama/Llama-2-7b-chat-hf
  huggyllama/llama-7b lmsys/vicuna-7b-v1.5
llama h=5120 f=13824 n=40 a=40 k=40 v=32000: meta-llama/Llama-2-13b-hf meta-llama/Llama-2-13b-chat-hf
  huggyllama/llama-13b lmsys/vicuna-13b-v1.5
llama h=8192 f=28672 n=80 a=64 k=8 v=32000: meta-llama/Llama-2-70b-hf meta-llama/Llama-2-70b-chat-hf
llama h=4096 f=14336 n=32 a=32 k=8 v=128256: meta-llama/Meta-Llama-3-8B meta-llama/Meta-Llama-3-8B-Instruct
  meta-llama/Llama-3.1-8B meta-llama/Llama-3.1-8B-Instruct deepseek-ai/DeepSeek-R1-Distill-Llama-8B
llama h=8192 f=28672 n=80 a=64 k=8 v=128256: meta-llama/Meta-Llama-3-70B meta-llama/Llama-3.1-70B
  meta-llama/Llama-3.1-70B-Instruct meta-llama/Llama-3.3-70B-Instruct deepseek-ai/DeepSeek-R1-Distill-Llama-70B
llama h=2048 f=8192 n=16 a=32 k=8 v=128256 d=64 tied=true: meta-llama/Llama-3.2-1B meta-llama/Llama-3.2-1B-Instruct
llama h=3072 f=8192 n=28 a=24 k=8 v=128256 d=128 tied=true: meta-llama/Llama-3.2-3B meta-llama/Llama-3.2-3B-Instruct
llama h=4096 f=11008 n=32 a=32 k=32 v=32016: codellama/CodeLlama-7b-hf
llama h=5120 f=13824 n=40 a=40 k=40 v=32016: codellama/CodeLlama-13b-hf
llama h=8192 f=22016 n=48 a=64 k=8 v=32000: codellama/CodeLlama-34b-hf
llama h=2048 f=5632 n=22 a=32 k=4 v=32000: TinyLlama/TinyLlama-1.1B-Chat-v1.0 TinyLlama/TinyLlama_v1.1
  TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T
llama h=576 f=1536 n=30 a=9 k=3 v=49152 tied=true: HuggingFaceTB/SmolLM2-135M HuggingFaceTB/SmolLM2-135M-Instruct
  HuggingFaceTB/SmolLM-135M
llama h=960 f=2560 n=32 a=15 k=5 v=49152 tied=true: HuggingFaceTB/SmolLM2-360M HuggingFaceTB/SmolLM2-360M-Instruct
  HuggingFaceTB/SmolLM-360M
llama h=2048 f=8192 n=24 a=32 k=32 v=49152 tied=true: HuggingFaceTB/SmolLM2-1.7B HuggingFaceTB/SmolLM2-1.7B-Instruct
  HuggingFaceTB/SmolLM-1.7B
smollm3 h=2048 f=11008 n=36 a=16 k=4 v=128256 tied=true: HuggingFaceTB/SmolLM3-3B HuggingFaceTB/SmolLM3-3B-Base
llama h=4096 f=11008 n=32 a=32 k=4 v=64000: 01-ai/Yi-6B 01-ai/Yi-1.5-6B
llama h=7168 f=20480 n=60 a=56 k=8 v=64000: 01-ai/Yi-34B 01-ai/Yi-1.5-34B
llama h=4096 f=11008 n=30 a=32 k=32 v=102400: deepseek-ai/deepseek-llm-7b-base deepseek-ai/deepseek-llm-7b-chat
llama h=2048 f=5504 n=24 a=16 k=16 v=32256: deepseek-ai/deepseek-coder-1.3b-base
  deepseek-ai/deepseek-coder-1.3b-instruct
llama h=4096 f=11008 n=32 a=32 k=32 v=32256: deepseek-ai/deepseek-coder-6.7b-base
  deepseek-ai/deepseek-coder-6.7b-instruct
llama h=3200 f=8640 n=26 a=32 k=32 v=32000: openlm-research/open_llama_3b openlm-research/open_llama_3b_v2
llama h=2048 f=8192 n=18 a=8 k=4 v=131072 d=256: tiiuae/Falcon3-1B-Base tiiuae/Falcon3-1B-Instruct
llama h=3072 f=9216 n=22 a=12 k=4 v=131072 d=256: tiiuae/Falcon3-3B-Base tiiuae/Falcon3-3B-Instruct
llama h=3072 f=23040 n=28 a=12 k=4 v=131072 d=256: tiiuae/Falcon3-7B-Base tiiuae/Falcon3-7B-Instruct
llama h=3072 f=23040 n=40 a=12 k=4 v=131072 d=256: tiiuae/Falcon3-10B-Base tiiuae/Falcon3-10B-Instruct
# Mistral
mistral h=4096 f=14336 n=32 a=32 k=8 v=32000 window=4096: mistralai/Mistral-7B-v0.1 mistralai/Mistral-7B-Instruct-v0.1
  HuggingFaceH4/zephyr-7b-beta teknium/OpenHermes-2.5-Mistral-7B
mistral h=4096 f=14336 n=32 a=32 k=8 v=32000 window=null: mistralai/Mistral-7B-Instruct-v0.2
mistral h=4096 f=14336 n=32 a=32 k=8 v=32768 window=null: mistralai/Mistral-7B-v0.3 mistralai/Mistral-7B-Instruct-v0.3
mistral h=5120 f=14336 n=40 a=32 k=8 v=131072 window=null d=128: mistralai/Mistral-Nemo-Base-2407
  mistralai/Mistral-Nemo-Instruct-2407
mistral h=5120 f=32768 n=40 a=32 k=8 v=131072 window=null d=128: mistralai/Mistral-Small-24B-Base-2501
  mistralai/Mistral-Small-24B-Instruct-2501
mistral h=6144 f=16384 n=56 a=48 k=8 v=32768 window=null: mistralai/Codestral-22B-v0.1
# Qwen
qwen2 h=1024 f=2816 n=24 a=16 k=16 v=151936 tied=true: Qwen/Qwen1.5-0.5B
qwen2 h=2048 f=5504 n=24 a=16 k=16 v=151936 tied=false: Qwen/Qwen1.5-1.8B
qwen2 h=4096 f=11008 n=32 a=32 k=32 v=151936 tied=false: Qwen/Qwen1.5-7B
qwen2 h=896 f=4864 n=24 a=14 k=2 v=151936 tied=true: Qwen/Qwen2-0.5B Qwen/Qwen2-0.5B-Instruct Qwen/Qwen2.5-0.5B
  Qwen/Qwen2.5-0.5B-Instruct Qwen/Qwen2.5-Coder-0.5B
qwen2 h=1536 f=8960 n=28 a=12 k=2 v=151936 tied=true: Qwen/Qwen2-1.5B Qwen/Qwen2-1.5B-Instruct Qwen/Qwen2.5-1.5B
  Qwen/Qwen2.5-1.5B-Instruct Qwen/Qwen2.5-Coder-1.5B
qwen2 h=2048 f=11008 n=36 a=16 k=2 v=151936 tied=true: Qwen/Qwen2.5-3B Qwen/Qwen2.5-3B-Instruct Qwen/Qwen2.5-Coder-3B
qwen2 h=3584 f=18944 n=28 a=28 k=4 v=152064 tied=false: Qwen/Qwen2-7B Qwen/Qwen2-7B-Instruct Qwen/Qwen2.5-7B
  Qwen/Qwen2.5-7B-Instruct Qwen/Qwen2.5-Coder-7B
qwen2 h=5120 f=13824 n=48 a=40 k=8 v=152064 tied=false: Qwen/Qwen2.5-14B Qwen/Qwen2.5-14B-Instruct
  Qwen/Qwen2.5-Coder-14B deepseek-ai/DeepSeek-R1-Distill-Qwen-14B
qwen2 h=5120 f=27648 n=64 a=40 k=8 v=152064 tied=false: Qwen/Qwen2.5-32B Qwen/Qwen2.5-32B-Instruct
  Qwen/Qwen2.5-Coder-32B deepseek-ai/DeepSeek-R1-Distill-Qwen-32B
qwen2 h=8192 f=29568 n=80 a=64 k=8 v=152064 tied=false: Qwen/Qwen2.5-72B Qwen/Qwen2.5-72B-Instruct
qwen2 h=1536 f=8960 n=28 a=12 k=2 v=151936 tied=true: Qwen/Qwen2.5-Math-1.5B
qwen2 h=1536 f=8960 n=28 a=12 k=2 v=151936 tied=false: deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B
qwen2 h=3584 f=18944 n=28 a=28 k=4 v=152064 tied=false: deepseek-ai/DeepSeek-R1-Distill-Qwen-7B
qwen3 h=1024 f=3072 n=28 a=16 k=8 d=128 v=151936 tied=true: Qwen/Qwen3-0.6B Qwen/Qwen3-0.6B-Base
qwen3 h=2048 f=6144 n=28 a=16 k=8 d=128 v=151936 tied=true: Qwen/Qwen3-1.7B Qwen/Qwen3-1.7B-Base
qwen3 h=2560 f=9728 n=36 a=32 k=8 d=128 v=151936 tied=true: Qwen/Qwen3-4B Qwen/Qwen3-4B-Base
  Qwen/Qwen3-4B-Instruct-2507
qwen3 h=4096 f=12288 n=36 a=32 k=8 d=128 v=151936 tied=false: Qwen/Qwen3-8B Qwen/Qwen3-8B-Base
qwen3 h=5120 f=17408 n=40 a=40 k=8 d=128 v=151936 tied=false: Qwen/Qwen3-14B Qwen/Qwen3-14B-Base
qwen3 h=5120 f=25600 n=64 a=64 k=8 d=128 v=151936 tied=false: Qwen/Qwen3-32B
# Gemma
gemma h=2048 f=16384 n=18 a=8 k=1 d=256 v=256000: google/gemma-2b google/gemma-2b-it
gemma h=3072 f=24576 n=28 a=16 k=16 d=256 v=256000: google/gemma-7b google/gemma-7b-it
gemma2 h=2304 f=9216 n=26 a=8 k=4 d=256 v=256000: google/gemma-2-2b google/gemma-2-2b-it
gemma2 h=3584 f=14336 n=42 a=16 k=8 d=256 v=256000: google/gemma-2-9b google/gemma-2-9b-it
gemma2 h=4608 f=36864 n=46 a=32 k=16 d=128 v=256000: google/gemma-2-27b google/gemma-2-27b-it
gemma3_text h=640 f=2048 n=18 a=4 k=1 d=256 v=262144 window=512: google/gemma-3-270m google/gemma-3-270m-it
gemma3_text h=1152 f=6912 n=26 a=4 k=1 d=256 v=262144 window=512: google/gemma-3-1b-pt google/gemma-3-1b-it
gemma3_text h=2560 f=10240 n=34 a=8 k=4 d=256 v=262208 window=1024: google/gemma-3-4b-pt google/gemma-3-4b-it
gemma3_text h=3840 f=15360 n=48 a=16 k=8 d=256 v=262208 window=1024: google/gemma-3-12b-pt google/gemma-3-12b-it
gemma3_text h=5376 f=21504 n=62 a=32 k=16 d=128 v=262208 window=1024: google/gemma-3-27b-pt google/gemma-3-27b-it
# Phi
phi h=2048 f=8192 n=24 a=32 v=51200 rot=0.5: microsoft/phi-1_5 microsoft/phi-1
phi h=2560 f=10240 n=32 a=32 v=51200 rot=0.4 resid_pdrop=0.1: microsoft/phi-2
phi3 h=3072 f=8192 n=32 a=32 k=32 v=32064 window=2047: microsoft/Phi-3-mini-4k-instruct
phi3 h=5120 f=17920 n=40 a=40 k=10 v=32064 window=2047: microsoft/Phi-3-medium-4k-instruct
phi3 h=5120 f=17920 n=40 a=40 k=10 v=100352: microsoft/phi-4
phi3 h=3072 f=8192 n=32 a=24 k=8 v=200064 tied=true rot=0.75 window=262144: microsoft/Phi-4-mini-instruct
# GPT-2, Pythia, GPT-NeoX
gpt2 n_embd=768 n_layer=12 n_head=12: openai-community/gpt2 gpt2
gpt2 n_embd=1024 n_layer=24 n_head=16: openai-community/gpt2-medium gpt2-medium
gpt2 n_embd=1280 n_layer=36 n_head=20: openai-community/gpt2-large gpt2-large
gpt2 n_embd=1600 n_layer=48 n_head=25: openai-community/gpt2-xl gpt2-xl
gpt_neox h=512 f=2048 n=6 a=8 v=50304: EleutherAI/pythia-70m EleutherAI/pythia-70m-deduped
gpt_neox h=768 f=3072 n=12 a=12 v=50304: EleutherAI/pythia-160m EleutherAI/pythia-160m-deduped
gpt_neox h=1024 f=4096 n=24 a=16 v=50304: EleutherAI/pythia-410m EleutherAI/pythia-410m-deduped
gpt_neox h=2048 f=8192 n=16 a=8 v=50304: EleutherAI/pythia-1b EleutherAI/pythia-1b-deduped
gpt_neox h=2048 f=8192 n=24 a=16 v=50304: EleutherAI/pythia-1.4b EleutherAI/pythia-1.4b-deduped
gpt_neox h=2560 f=10240 n=32 a=32 v=50304: EleutherAI/pythia-2.8b EleutherAI/pythia-2.8b-deduped
gpt_neox h=4096 f=16384 n=32 a=32 v=50432: EleutherAI/pythia-6.9b EleutherAI/pythia-6.9b-deduped
gpt_neox h=5120 f=20480 n=36 a=40 v=50688: EleutherAI/pythia-12b EleutherAI/pythia-12b-deduped
gpt_neox h=6144 f=24576 n=44 a=64 v=50432: EleutherAI/gpt-neox-20b
# StableLM, OLMo, Granite, StarCoder 2
stablelm h=2560 f=6912 n=32 a=32 k=32 v=50304 rot=0.25: stabilityai/stablelm-3b-4e1t stabilityai/stablelm-zephyr-3b
stablelm h=2048 f=5632 n=24 a=32 k=32 v=100352 rot=0.25 use_qkv_bias=true: stabilityai/stablelm-2-1_6b
  stabilityai/stablelm-2-zephyr-1_6b
olmo h=2048 f=8192 n=16 a=16 k=16 v=50304 tied=true: allenai/OLMo-1B-hf
olmo h=4096 f=11008 n=32 a=32 k=32 v=50304: allenai/OLMo-7B-hf
olmo2 h=2048 f=8192 n=16 a=16 k=16 v=100352: allenai/OLMo-2-0425-1B
olmo2 h=4096 f=11008 n=32 a=32 k=32 v=100352: allenai/OLMo-2-1124-7B
olmo2 h=5120 f=13824 n=40 a=40 k=40 v=100352: allenai/OLMo-2-1124-13B
granite h=2048 f=8192 n=40 a=32 k=8 v=49155 tied=true: ibm-granite/granite-3.0-2b-base
  ibm-granite/granite-3.0-2b-instruct
granite h=4096 f=12800 n=40 a=32 k=8 v=49155 tied=true: ibm-granite/granite-3.0-8b-base
  ibm-granite/granite-3.0-8b-instruct
starcoder2 h=3072 f=12288 n=30 a=24 k=2 v=49152 tied=true window=4096 residual_dropout=0.1 embedding_dropout=0.1:
  bigcode/starcoder2-3b
starcoder2 h=4608 f=18432 n=32 a=36 k=4 v=49152 window=4096 residual_dropout=0.1 embedding_dropout=0.1:
  bigcode/starcoder2-7b
"""


def _configs() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for entry in re.split(r"\n(?! )", re.sub(r"(?m)^#.*\n", "", _TABLE).strip()):
        head, ids = re.split(r":\s+", entry)
        model_type, *pairs = head.split()
        values = (pair.split("=") for pair in pairs)
        fields = {_FIELDS.get(name, name): json.loads(value) for name, value in values}
        found |= dict.fromkeys(ids.split(), {"model_type": model_type, **fields})
    return found


CONFIGS = _configs()


def find(name: str) -> str | None:
    """The Hub id that ``name`` means.

    Parameters
    ----------
    name : str
        The id itself, its part after the slash, or that part shortened ("llama-2-7b" for meta-llama/Llama-2-7b-hf); case
        does not matter.

    Returns
    -------
    str or None
        None if there is none; the first in the list if several fit.
    """
    wanted = _plain(name)
    for key in (_plain, lambda known: _plain(known.rpartition("/")[2]), _short):
        for known in CONFIGS:
            if key(known) == wanted:
                return known
    return None


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _short(name: str) -> str:
    short = _plain(name.rpartition("/")[2]).removeprefix("meta-")
    for end in ("-hf", "-base", "-pt"):
        short = short.removesuffix(end)
    return short


def config_file(name: str) -> dict[str, Any] | None:
    """The config in the file, or in the folder's ``config.json``, that ``name`` is a path of.

    Parameters
    ----------
    name : str
        A path, or a Hub id or short name.

    Returns
    -------
    dict or None
        None if there is no such file and ``name`` is no path.

    Raises
    ------
    ValueError
        If the path leads to no file, or to one that holds no JSON object.
    """
    path = Path(name)
    if path.is_dir() and (path / "config.json").is_file():
        path = path / "config.json"
    if not path.is_file():
        if find(name) is None and (name.endswith(".json") or path.is_absolute()):
            raise ValueError(f"there is no file {name}")
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{name} is no JSON file: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{name} is no Hugging Face config.json: it holds no object")
    return config
