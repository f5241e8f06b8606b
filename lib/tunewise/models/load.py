"""Load a model of the registry, ready to score, generate or train."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from tunewise import paths
from tunewise.models import registry
from tunewise.models.device import Precision, choose
from tunewise.models.download import FetchError, fetch, intact, sha256_of

# Raise it when the conversion changes: what an older one made is then not loaded any more.
_CONVERSION = 1


@dataclass
class LoadedModel:
    """model: in ``eval()`` mode on ``precision.device``; call ``model.train()`` before training, above all with NF4 weights,
    whose faster path in ``eval()`` mode is slow to train through. tokenizer: with the model's chat template."""

    model: torch.nn.Module
    tokenizer: object
    spec: registry.Spec
    precision: Precision


def load(
    name: str = "smollm2-135m", *, precision: Precision | None = None, quantize: str | None = None
) -> LoadedModel:
    """Load a causal language model.

    name: as in :mod:`tunewise.models.registry`. An embedded model is fetched and converted on the first call; a Hub model is
        downloaded at its pinned revision.
    precision: device and dtype, by default what :func:`tunewise.models.device.choose` says.
    quantize: ``"nf4"`` loads the weights of the linear layers in 4-bit NormalFloat (QLoRA, Dettmers et al. 2023, with double
        quantisation) through bitsandbytes; it computes in ``precision.dtype``.

    Raises ValueError for an unknown name or ``quantize``, :class:`tunewise.models.download.FetchError` when files can't be had,
    ImportError when bitsandbytes is missing.
    """
    spec = registry.get(name)
    if spec.kind != "causal":
        raise ValueError(f"{spec.name} is an embedding model: use tunewise.models.encoder.Embedder")
    if quantize not in (None, "nf4"):
        raise ValueError(f"quantize must be None or 'nf4', not {quantize!r}")
    precision = precision or choose(parameters=spec.parameters)
    folder = converted(spec) if spec.embedded else hub_folder(spec)
    options: dict = {"dtype": precision.dtype}
    if quantize == "nf4":
        options["quantization_config"] = _nf4(precision)
    if precision.device != "cpu" or quantize:
        options["device_map"] = {"": precision.device}
    with _quiet():
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **options)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return LoadedModel(model.eval(), tokenizer, spec, precision)


def model_checksum(name: str) -> str:
    """What stands for the model's weights in a run record; no download. An embedded model's file has a SHA-256
    (``sha256:…``), a Hub model a commit (``organisation/model@commit``)."""
    spec = registry.get(name)
    if not spec.embedded:
        return f"{spec.hub}@{spec.revision}"
    weights = [
        h
        for member, h in spec.embedded.members.items()
        if member.endswith((spec.gguf or ".safetensors", ".safetensors"))
    ]
    return f"sha256:{weights[0]}"


def _nf4(precision: Precision):
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise ImportError(f"quantize='nf4' needs bitsandbytes: {paths.install_command('qlora')}") from error
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=precision.dtype,
    )


# -- the embedded model ----------------------------------------------------------------------------------------------


def converted(spec: registry.Spec) -> Path:
    """The folder with an embedded model in transformers' own format, made on the first call.

    A GGUF file takes about twenty seconds to read; what is read from it is saved once as float32 safetensors (each of its 4-bit
    values exactly) with a list of SHA-256 sums. The folder appears in one step, when it is complete; files that
    do not match their sums are made again from the checked original, never loaded.
    """
    original = next(iter(spec.embedded.members.values()))
    folder = paths.cache_dir("models") / f"{spec.name}-{original[:12]}-{_CONVERSION}"
    if _sound(folder):
        return folder
    if folder.exists():
        shutil.rmtree(folder)
    _sweep(folder.parent)
    source = fetch(spec.embedded)
    temp = Path(tempfile.mkdtemp(prefix=".half-", dir=folder.parent))
    try:
        _convert(source, spec.gguf, temp)
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


def _sound(folder: Path) -> bool:
    """Is the folder there, complete, and unaltered?"""
    try:
        sums = json.loads((folder / "sums.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return bool(sums) and all(intact(folder / name, sha256) for name, sha256 in sums.items())


def _sweep(folder: Path, older_than_s: float = 3600) -> None:
    """Remove what killed conversions left behind."""
    for path in folder.glob(".half-*"):
        if time.time() - path.stat().st_mtime > older_than_s:
            shutil.rmtree(path, ignore_errors=True)


def _convert(source: Path, gguf: str, target: Path) -> None:
    """Read a GGUF file and write it as safetensors with its tokenizer."""
    with _quiet():
        from tokenizers import pre_tokenizers
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(source, gguf_file=gguf, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=gguf)
        # transformers reads the vocabulary, but not that this family (GGUF: tokenizer.ggml.pre = smollm) splits off each
        # digit before anything else; llama.cpp and the original tokenizer do.
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
            ]
        )
        model.hf_quantizer, model.is_quantized = None, False  # its weights are plain numbers now
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)


# -- the Hub ---------------------------------------------------------------------------------------------------------


def hub_folder(spec: registry.Spec) -> Path:
    """The folder with a Hub model at its pinned revision: from the Hub's own cache, or downloaded now.

    Follows the Hub's environment variables (HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE). When a connection breaks, the Hub's
    library goes on in the middle of the file; files that arrived whole are kept when it gives up. A file whose content does
    not have the checksum that the Hub names it by is downloaded again, never loaded.
    Raises FetchError with what to do: no access to a gated model, no such model or revision, Hub not reachable, disk full.
    """
    folder = _snapshot(spec)
    if damaged := _damaged(folder):
        print(
            f"{spec.title}: {len(damaged)} damaged files in the Hub's cache: downloading them again",
            file=sys.stderr,
        )
        for path in damaged:
            path.resolve().unlink()
            path.unlink(missing_ok=True)
        folder = _snapshot(spec)
        if damaged := _damaged(folder):
            raise FetchError(
                f"{spec.title}: {damaged[0].name} arrived damaged again; is a proxy or mirror (HF_ENDPOINT) altering it?"
            )
    return folder


def _snapshot(spec: registry.Spec) -> Path:
    from huggingface_hub import errors, snapshot_download

    where = f"{spec.title} ({spec.hub} at revision {spec.revision})"
    try:
        folder = snapshot_download(
            spec.hub,
            revision=spec.revision,
            allow_patterns=[
                "*.safetensors",
                "*.safetensors.index.json",
                "*.json",
                "*.txt",
                "*.model",
                "*.jinja",
            ],
            ignore_patterns=["*/*"],  # other formats of the weights lie in folders
        )
    except errors.GatedRepoError as error:
        free = ", ".join(m.name for m in registry.MODELS.values() if m.kind == "causal" and not m.gated)
        raise FetchError(
            f"{where} is gated: its makers want their licence ({spec.licence}) accepted first.\n"
            f"  1. accept it on the model's page on the Hub, {spec.hub}\n"
            "  2. make a read token there, in Settings, Access Tokens\n"
            "  3. run `hf auth login`, or set HF_TOKEN (on Colab: a secret of that name)\n"
            f"  Or take a model that is not gated: {free}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FetchError(f"{where}: the Hub has the model, but not this revision") from error
    except errors.RepositoryNotFoundError as error:
        raise FetchError(
            f"{where}: the Hub knows no such model, or hides it from you; is HF_TOKEN wrong?"
        ) from error
    except (
        Exception
    ) as error:  # connection, proxy, timeout, disk: each version of the library has its own errors
        raise FetchError(
            f"{where} could not be downloaded ({2 * spec.parameters / 1e9:.1f} GB in 16 bit).\n"
            f"  {type(error).__name__}: {_first_line(error)}\n"
            "  With a network: run the same command again; files that arrived whole are kept.\n"
            f"  Without one: on another machine run `hf download {spec.hub} --revision {spec.revision}` and copy that\n"
            "  machine's Hub cache (HF_HOME) here; or use the embedded model, smollm2-135m."
        ) from error
    return Path(folder)


def _damaged(folder: Path) -> list[Path]:
    """Files of a Hub snapshot whose content is not what their name in the Hub's cache says: SHA-256 for large files, git's
    SHA-1 for small ones. A file that was found sound is read again only when its size or time has changed."""
    ledger = paths.cache_dir("models") / "hub-checked.json"
    try:
        checked = json.loads(ledger.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        checked = {}
    bad, before = [], len(checked)
    for path in sorted(folder.iterdir()):
        blob = path.resolve()
        if not blob.exists():
            bad.append(path)
            continue
        stat = blob.stat()
        key = f"{blob} {stat.st_size} {stat.st_mtime_ns}"
        if key in checked or len(blob.name) not in (
            40,
            64,
        ):  # without symbolic links the cache has no such names
            continue
        if (sha256_of(blob) if len(blob.name) == 64 else _git_sha1(blob)) == blob.name:
            checked[key] = True
        else:
            bad.append(path)
    if len(checked) > before:
        half = ledger.with_name(f".half-{os.getpid()}-{ledger.name}")
        half.write_text(json.dumps(checked, indent=0), encoding="utf-8")
        os.replace(half, ledger)
    return bad


def _git_sha1(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


class _quiet:
    """No progress bars of transformers for files that lie on the disk already."""

    def __enter__(self):
        from transformers.utils import logging

        self.logging, self.shown = logging, logging.is_progress_bar_enabled()
        logging.disable_progress_bar()

    def __exit__(self, *_):
        if self.shown:
            self.logging.enable_progress_bar()
