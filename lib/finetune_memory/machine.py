"""The machine on which memory is measured: its name, its number format, its packages, and where a record is kept."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "numpy")


def cache_folder() -> Path:
    """Where records lie that no folder is named for: ``FINETUNE_MEMORY_CACHE``, or the user's cache."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune-memory"
    return Path(os.environ.get("FINETUNE_MEMORY_CACHE") or usual)


def device_name(device: str) -> str:
    """The GPU's name, or the CPU's."""
    import torch

    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(0))
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"CPU: {(models or [platform.processor() or platform.machine()])[0]}"


def hardware(device: str) -> dict[str, Any]:
    """The settings that follow from the device: bf16 from compute capability 8.0 on, fp16 before, fp32 on a CPU; on a GPU also
    what decides on its kernels, its capability and PyTorch's version."""
    if not device.startswith("cuda"):
        return {"dtype": "fp32"}
    import torch

    major, minor = torch.cuda.get_device_capability()
    dtype = "bf16" if major >= 8 else "fp16"
    return {"dtype": dtype, "arch": 10 * major + minor, "torch": ".".join(torch.__version__.split(".")[:2])}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the peak depends on; those not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
