"""Shapes of much-used open models by their Hub id: of each published ``config.json``, the fields that decide memory.

Each entry is a config that ``transformers`` can build the model from. Models of one shape share an entry. The text part
of Gemma 3 stands for models that also see images.
"""

from __future__ import annotations

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


def _config(model_type: str, **fields) -> dict:
    return {"model_type": model_type, **{_FIELDS.get(name, name): value for name, value in fields.items()}}


def _llama(h, f, n, a, k, v, **more):
    return _config("llama", h=h, f=f, n=n, a=a, k=k, v=v, **more)


def _qwen2(h, f, n, a, k, v, tied=False):
    return _config("qwen2", h=h, f=f, n=n, a=a, k=k, v=v, tied=tied)


def _qwen3(h, f, n, a, k, tied=False):
    return _config("qwen3", h=h, f=f, n=n, a=a, k=k, d=128, v=151936, tied=tied)


def _mistral(h, f, n, a, k, v, window=None, **more):
    return _config("mistral", h=h, f=f, n=n, a=a, k=k, v=v, window=window, **more)


def _gemma3(h, f, n, a, k, d, window, v=262208, **more):
    return _config("gemma3_text", h=h, f=f, n=n, a=a, k=k, d=d, v=v, window=window, **more)


def _neox(h, f, n, a, v=50304, **more):
    return _config("gpt_neox", h=h, f=f, n=n, a=a, v=v, **more)


def _gpt2(h, n, a):
    return _config("gpt2", n_embd=h, n_layer=n, n_head=a)


_SHAPES: dict[tuple[str, ...], dict] = {
    # Llama and models of its architecture
    (
        "meta-llama/Llama-2-7b-hf",
        "meta-llama/Llama-2-7b-chat-hf",
        "huggyllama/llama-7b",
        "lmsys/vicuna-7b-v1.5",
    ): _llama(4096, 11008, 32, 32, 32, 32000),
    (
        "meta-llama/Llama-2-13b-hf",
        "meta-llama/Llama-2-13b-chat-hf",
        "huggyllama/llama-13b",
        "lmsys/vicuna-13b-v1.5",
    ): _llama(5120, 13824, 40, 40, 40, 32000),
    ("meta-llama/Llama-2-70b-hf", "meta-llama/Llama-2-70b-chat-hf"): _llama(8192, 28672, 80, 64, 8, 32000),
    (
        "meta-llama/Meta-Llama-3-8B",
        "meta-llama/Meta-Llama-3-8B-Instruct",
        "meta-llama/Llama-3.1-8B",
        "meta-llama/Llama-3.1-8B-Instruct",
        "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
    ): _llama(4096, 14336, 32, 32, 8, 128256),
    (
        "meta-llama/Meta-Llama-3-70B",
        "meta-llama/Llama-3.1-70B",
        "meta-llama/Llama-3.1-70B-Instruct",
        "meta-llama/Llama-3.3-70B-Instruct",
        "deepseek-ai/DeepSeek-R1-Distill-Llama-70B",
    ): _llama(8192, 28672, 80, 64, 8, 128256),
    ("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-1B-Instruct"): _llama(
        2048, 8192, 16, 32, 8, 128256, d=64, tied=True
    ),
    ("meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.2-3B-Instruct"): _llama(
        3072, 8192, 28, 24, 8, 128256, d=128, tied=True
    ),
    ("codellama/CodeLlama-7b-hf",): _llama(4096, 11008, 32, 32, 32, 32016),
    ("codellama/CodeLlama-13b-hf",): _llama(5120, 13824, 40, 40, 40, 32016),
    ("codellama/CodeLlama-34b-hf",): _llama(8192, 22016, 48, 64, 8, 32000),
    (
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        "TinyLlama/TinyLlama_v1.1",
        "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T",
    ): _llama(2048, 5632, 22, 32, 4, 32000),
    (
        "HuggingFaceTB/SmolLM2-135M",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "HuggingFaceTB/SmolLM-135M",
    ): _llama(576, 1536, 30, 9, 3, 49152, tied=True),
    (
        "HuggingFaceTB/SmolLM2-360M",
        "HuggingFaceTB/SmolLM2-360M-Instruct",
        "HuggingFaceTB/SmolLM-360M",
    ): _llama(960, 2560, 32, 15, 5, 49152, tied=True),
    (
        "HuggingFaceTB/SmolLM2-1.7B",
        "HuggingFaceTB/SmolLM2-1.7B-Instruct",
        "HuggingFaceTB/SmolLM-1.7B",
    ): _llama(2048, 8192, 24, 32, 32, 49152, tied=True),
    ("HuggingFaceTB/SmolLM3-3B", "HuggingFaceTB/SmolLM3-3B-Base"): _config(
        "smollm3", h=2048, f=11008, n=36, a=16, k=4, v=128256, tied=True
    ),
    ("01-ai/Yi-6B", "01-ai/Yi-1.5-6B"): _llama(4096, 11008, 32, 32, 4, 64000),
    ("01-ai/Yi-34B", "01-ai/Yi-1.5-34B"): _llama(7168, 20480, 60, 56, 8, 64000),
    ("deepseek-ai/deepseek-llm-7b-base", "deepseek-ai/deepseek-llm-7b-chat"): _llama(
        4096, 11008, 30, 32, 32, 102400
    ),
    ("deepseek-ai/deepseek-coder-1.3b-base", "deepseek-ai/deepseek-coder-1.3b-instruct"): _llama(
        2048, 5504, 24, 16, 16, 32256
    ),
    ("deepseek-ai/deepseek-coder-6.7b-base", "deepseek-ai/deepseek-coder-6.7b-instruct"): _llama(
        4096, 11008, 32, 32, 32, 32256
    ),
    ("openlm-research/open_llama_3b", "openlm-research/open_llama_3b_v2"): _llama(
        3200, 8640, 26, 32, 32, 32000
    ),
    ("tiiuae/Falcon3-1B-Base", "tiiuae/Falcon3-1B-Instruct"): _llama(2048, 8192, 18, 8, 4, 131072, d=256),
    ("tiiuae/Falcon3-3B-Base", "tiiuae/Falcon3-3B-Instruct"): _llama(3072, 9216, 22, 12, 4, 131072, d=256),
    ("tiiuae/Falcon3-7B-Base", "tiiuae/Falcon3-7B-Instruct"): _llama(3072, 23040, 28, 12, 4, 131072, d=256),
    ("tiiuae/Falcon3-10B-Base", "tiiuae/Falcon3-10B-Instruct"): _llama(3072, 23040, 40, 12, 4, 131072, d=256),
    # Mistral
    (
        "mistralai/Mistral-7B-v0.1",
        "mistralai/Mistral-7B-Instruct-v0.1",
        "HuggingFaceH4/zephyr-7b-beta",
        "teknium/OpenHermes-2.5-Mistral-7B",
    ): _mistral(4096, 14336, 32, 32, 8, 32000, window=4096),
    ("mistralai/Mistral-7B-Instruct-v0.2",): _mistral(4096, 14336, 32, 32, 8, 32000),
    ("mistralai/Mistral-7B-v0.3", "mistralai/Mistral-7B-Instruct-v0.3"): _mistral(
        4096, 14336, 32, 32, 8, 32768
    ),
    ("mistralai/Mistral-Nemo-Base-2407", "mistralai/Mistral-Nemo-Instruct-2407"): _mistral(
        5120, 14336, 40, 32, 8, 131072, d=128
    ),
    ("mistralai/Mistral-Small-24B-Base-2501", "mistralai/Mistral-Small-24B-Instruct-2501"): _mistral(
        5120, 32768, 40, 32, 8, 131072, d=128
    ),
    ("mistralai/Codestral-22B-v0.1",): _mistral(6144, 16384, 56, 48, 8, 32768),
    # Qwen
    ("Qwen/Qwen1.5-0.5B",): _qwen2(1024, 2816, 24, 16, 16, 151936, tied=True),
    ("Qwen/Qwen1.5-1.8B",): _qwen2(2048, 5504, 24, 16, 16, 151936),
    ("Qwen/Qwen1.5-7B",): _qwen2(4096, 11008, 32, 32, 32, 151936),
    (
        "Qwen/Qwen2-0.5B",
        "Qwen/Qwen2-0.5B-Instruct",
        "Qwen/Qwen2.5-0.5B",
        "Qwen/Qwen2.5-0.5B-Instruct",
        "Qwen/Qwen2.5-Coder-0.5B",
    ): _qwen2(896, 4864, 24, 14, 2, 151936, tied=True),
    (
        "Qwen/Qwen2-1.5B",
        "Qwen/Qwen2-1.5B-Instruct",
        "Qwen/Qwen2.5-1.5B",
        "Qwen/Qwen2.5-1.5B-Instruct",
        "Qwen/Qwen2.5-Coder-1.5B",
    ): _qwen2(1536, 8960, 28, 12, 2, 151936, tied=True),
    ("Qwen/Qwen2.5-3B", "Qwen/Qwen2.5-3B-Instruct", "Qwen/Qwen2.5-Coder-3B"): _qwen2(
        2048, 11008, 36, 16, 2, 151936, tied=True
    ),
    (
        "Qwen/Qwen2-7B",
        "Qwen/Qwen2-7B-Instruct",
        "Qwen/Qwen2.5-7B",
        "Qwen/Qwen2.5-7B-Instruct",
        "Qwen/Qwen2.5-Coder-7B",
    ): _qwen2(3584, 18944, 28, 28, 4, 152064),
    (
        "Qwen/Qwen2.5-14B",
        "Qwen/Qwen2.5-14B-Instruct",
        "Qwen/Qwen2.5-Coder-14B",
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B",
    ): _qwen2(5120, 13824, 48, 40, 8, 152064),
    (
        "Qwen/Qwen2.5-32B",
        "Qwen/Qwen2.5-32B-Instruct",
        "Qwen/Qwen2.5-Coder-32B",
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
    ): _qwen2(5120, 27648, 64, 40, 8, 152064),
    ("Qwen/Qwen2.5-72B", "Qwen/Qwen2.5-72B-Instruct"): _qwen2(8192, 29568, 80, 64, 8, 152064),
    ("Qwen/Qwen2.5-Math-1.5B",): _qwen2(1536, 8960, 28, 12, 2, 151936, tied=True),
    ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",): _qwen2(1536, 8960, 28, 12, 2, 151936),
    ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",): _qwen2(3584, 18944, 28, 28, 4, 152064),
    ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B-Base"): _qwen3(1024, 3072, 28, 16, 8, tied=True),
    ("Qwen/Qwen3-1.7B", "Qwen/Qwen3-1.7B-Base"): _qwen3(2048, 6144, 28, 16, 8, tied=True),
    ("Qwen/Qwen3-4B", "Qwen/Qwen3-4B-Base", "Qwen/Qwen3-4B-Instruct-2507"): _qwen3(
        2560, 9728, 36, 32, 8, tied=True
    ),
    ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B-Base"): _qwen3(4096, 12288, 36, 32, 8),
    ("Qwen/Qwen3-14B", "Qwen/Qwen3-14B-Base"): _qwen3(5120, 17408, 40, 40, 8),
    ("Qwen/Qwen3-32B",): _qwen3(5120, 25600, 64, 64, 8),
    # Gemma
    ("google/gemma-2b", "google/gemma-2b-it"): _config(
        "gemma", h=2048, f=16384, n=18, a=8, k=1, d=256, v=256000
    ),
    ("google/gemma-7b", "google/gemma-7b-it"): _config(
        "gemma", h=3072, f=24576, n=28, a=16, k=16, d=256, v=256000
    ),
    ("google/gemma-2-2b", "google/gemma-2-2b-it"): _config(
        "gemma2", h=2304, f=9216, n=26, a=8, k=4, d=256, v=256000
    ),
    ("google/gemma-2-9b", "google/gemma-2-9b-it"): _config(
        "gemma2", h=3584, f=14336, n=42, a=16, k=8, d=256, v=256000
    ),
    ("google/gemma-2-27b", "google/gemma-2-27b-it"): _config(
        "gemma2", h=4608, f=36864, n=46, a=32, k=16, d=128, v=256000
    ),
    ("google/gemma-3-270m", "google/gemma-3-270m-it"): _gemma3(640, 2048, 18, 4, 1, 256, 512, v=262144),
    ("google/gemma-3-1b-pt", "google/gemma-3-1b-it"): _gemma3(1152, 6912, 26, 4, 1, 256, 512, v=262144),
    ("google/gemma-3-4b-pt", "google/gemma-3-4b-it"): _gemma3(2560, 10240, 34, 8, 4, 256, 1024),
    ("google/gemma-3-12b-pt", "google/gemma-3-12b-it"): _gemma3(3840, 15360, 48, 16, 8, 256, 1024),
    ("google/gemma-3-27b-pt", "google/gemma-3-27b-it"): _gemma3(5376, 21504, 62, 32, 16, 128, 1024),
    # Phi
    ("microsoft/phi-1_5", "microsoft/phi-1"): _config("phi", h=2048, f=8192, n=24, a=32, v=51200, rot=0.5),
    ("microsoft/phi-2",): _config("phi", h=2560, f=10240, n=32, a=32, v=51200, rot=0.4, resid_pdrop=0.1),
    ("microsoft/Phi-3-mini-4k-instruct",): _config(
        "phi3", h=3072, f=8192, n=32, a=32, k=32, v=32064, window=2047
    ),
    ("microsoft/Phi-3-medium-4k-instruct",): _config(
        "phi3", h=5120, f=17920, n=40, a=40, k=10, v=32064, window=2047
    ),
    ("microsoft/phi-4",): _config("phi3", h=5120, f=17920, n=40, a=40, k=10, v=100352),
    ("microsoft/Phi-4-mini-instruct",): _config(
        "phi3", h=3072, f=8192, n=32, a=24, k=8, v=200064, tied=True, rot=0.75, window=262144
    ),
    # GPT-2, Pythia, GPT-NeoX
    ("openai-community/gpt2", "gpt2"): _gpt2(768, 12, 12),
    ("openai-community/gpt2-medium", "gpt2-medium"): _gpt2(1024, 24, 16),
    ("openai-community/gpt2-large", "gpt2-large"): _gpt2(1280, 36, 20),
    ("openai-community/gpt2-xl", "gpt2-xl"): _gpt2(1600, 48, 25),
    ("EleutherAI/pythia-70m", "EleutherAI/pythia-70m-deduped"): _neox(512, 2048, 6, 8),
    ("EleutherAI/pythia-160m", "EleutherAI/pythia-160m-deduped"): _neox(768, 3072, 12, 12),
    ("EleutherAI/pythia-410m", "EleutherAI/pythia-410m-deduped"): _neox(1024, 4096, 24, 16),
    ("EleutherAI/pythia-1b", "EleutherAI/pythia-1b-deduped"): _neox(2048, 8192, 16, 8),
    ("EleutherAI/pythia-1.4b", "EleutherAI/pythia-1.4b-deduped"): _neox(2048, 8192, 24, 16),
    ("EleutherAI/pythia-2.8b", "EleutherAI/pythia-2.8b-deduped"): _neox(2560, 10240, 32, 32),
    ("EleutherAI/pythia-6.9b", "EleutherAI/pythia-6.9b-deduped"): _neox(4096, 16384, 32, 32, v=50432),
    ("EleutherAI/pythia-12b", "EleutherAI/pythia-12b-deduped"): _neox(5120, 20480, 36, 40, v=50688),
    ("EleutherAI/gpt-neox-20b",): _neox(6144, 24576, 44, 64, v=50432),
    # StableLM, OLMo, Granite, StarCoder 2
    ("stabilityai/stablelm-3b-4e1t", "stabilityai/stablelm-zephyr-3b"): _config(
        "stablelm", h=2560, f=6912, n=32, a=32, k=32, v=50304, rot=0.25
    ),
    ("stabilityai/stablelm-2-1_6b", "stabilityai/stablelm-2-zephyr-1_6b"): _config(
        "stablelm", h=2048, f=5632, n=24, a=32, k=32, v=100352, rot=0.25, use_qkv_bias=True
    ),
    ("allenai/OLMo-1B-hf",): _config("olmo", h=2048, f=8192, n=16, a=16, k=16, v=50304, tied=True),
    ("allenai/OLMo-7B-hf",): _config("olmo", h=4096, f=11008, n=32, a=32, k=32, v=50304),
    ("allenai/OLMo-2-0425-1B",): _config("olmo2", h=2048, f=8192, n=16, a=16, k=16, v=100352),
    ("allenai/OLMo-2-1124-7B",): _config("olmo2", h=4096, f=11008, n=32, a=32, k=32, v=100352),
    ("allenai/OLMo-2-1124-13B",): _config("olmo2", h=5120, f=13824, n=40, a=40, k=40, v=100352),
    ("ibm-granite/granite-3.0-2b-base", "ibm-granite/granite-3.0-2b-instruct"): _config(
        "granite", h=2048, f=8192, n=40, a=32, k=8, v=49155, tied=True
    ),
    ("ibm-granite/granite-3.0-8b-base", "ibm-granite/granite-3.0-8b-instruct"): _config(
        "granite", h=4096, f=12800, n=40, a=32, k=8, v=49155, tied=True
    ),
    ("bigcode/starcoder2-3b",): _config(
        "starcoder2",
        h=3072,
        f=12288,
        n=30,
        a=24,
        k=2,
        v=49152,
        tied=True,
        window=4096,
        residual_dropout=0.1,
        embedding_dropout=0.1,
    ),
    ("bigcode/starcoder2-7b",): _config(
        "starcoder2",
        h=4608,
        f=18432,
        n=32,
        a=36,
        k=4,
        v=49152,
        window=4096,
        residual_dropout=0.1,
        embedding_dropout=0.1,
    ),
}

CONFIGS: dict[str, dict] = {name: config for names, config in _SHAPES.items() for name in names}


def find(name: str) -> str | None:
    """The Hub id that ``name`` means: the id itself, its part after the slash, or that part shortened ("llama-2-7b" for
    meta-llama/Llama-2-7b-hf); case does not matter. None if there is none; the first in the list if several fit."""
    wanted = _plain(name)
    for key in (_plain, lambda i: _plain(i.rpartition("/")[2]), lambda i: _short(i)):
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
