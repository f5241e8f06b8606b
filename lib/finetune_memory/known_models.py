"""Shapes of much-used open models by their Hub id: of each published ``config.json``, the fields that decide memory.

The table ``known_models.json`` is beside this file. Each entry is the Hub ids of a shape and a config that ``transformers`` can build the model from. The
text part of Gemma 3 stands for models that also see images.
"""

import difflib
import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

_TABLE = json.loads(resources.files("finetune_memory").joinpath("known_models.json").read_text("utf-8"))
CONFIGS: dict[str, dict[str, Any]] = {name: entry["config"] for entry in _TABLE for name in entry["ids"]}

# models that people ask for and that cannot be computed here, and why
_EXPERTS = "a mixture of experts with 4-bit (MXFP4) weights; only dense models are computed here"
REFUSED = {"openai/gpt-oss-20b": _EXPERTS, "openai/gpt-oss-120b": _EXPERTS}


def find(name: str) -> str | None:
    """The Hub id that ``name`` means: the id itself, its part after the slash, or that part shortened ("llama-2-7b" for
    meta-llama/Llama-2-7b-hf), whatever the case; the first in the list if several fit."""
    wanted = _plain(name)
    for key in (_plain, lambda known: _plain(known.rpartition("/")[2]), _short):
        for known in CONFIGS:
            if key(known) == wanted:
                return known
    return None


def nearest(name: str) -> str:
    """The Hub ids that ``name`` may have been meant for, as :func:`suggestion` says them."""
    near = difflib.get_close_matches(
        _short(_plain(name)), [_short(known) for known in CONFIGS], n=3, cutoff=0.7
    )
    return _asked([known for short in dict.fromkeys(near) for known in CONFIGS if _short(known) == short][:3])


def suggestion(word: object, known: Iterable[str]) -> str:
    """``; did you mean lora?`` where one of the known words is much like this one, else nothing."""
    return _asked(difflib.get_close_matches(str(word).lower(), list(known), n=1))


def _asked(words: list[str]) -> str:
    return f"; did you mean {' or '.join(words)}?" if words else ""


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _short(name: str) -> str:
    short = _plain(name.rpartition("/")[2]).removeprefix("meta-")
    for end in ("-hf", "-base", "-pt"):
        short = short.removesuffix(end)
    return short


def config_file(name: str) -> dict[str, Any] | None:
    """The config in the file, or in the folder's ``config.json``, that ``name`` is a path of; None for a Hub id or short name.

    Raises ValueError if the path leads to no file, or to one that holds no JSON object.
    """
    path = Path(name)
    if path.is_dir() and (path / "config.json").is_file():
        path = path / "config.json"
    if not path.is_file():
        if find(name) is None and (name.endswith(".json") or path.is_absolute()):
            raise ValueError(f"there is no file {name}")
        return None
    try:
        config = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{name} is no JSON file: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{name} is no Hugging Face config.json: it holds no object")
    return config
