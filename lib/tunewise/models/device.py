"""Where a model runs and in which number format: one decision, made once, said in one line."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from tunewise.words import counted

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# Any of these CPU instruction sets multiplies matrices in bfloat16.
BFLOAT16_MATRICES = {"avx512_bf16", "amx_bf16"}
# On a CPU, models with fewer parameters than this run in float32: they are quick enough, and every machine finds the same.
SMALL = 0.3e9


@dataclass(frozen=True)
class Precision:
    """What loading, training and scoring all use: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``, the number format, and why in one line."""

    device: str
    dtype: torch.dtype
    why: str


def choose(
    device: str | None = None, dtype: str | torch.dtype | None = None, parameters: float | None = None
) -> Precision:
    """Device and number format for a model on this machine, unless they are given.

    On a GPU: bfloat16 from compute capability 8.0 on (Ampere and later), else float16. ``is_bf16_supported()`` is not
    asked, because a T4 answers yes to it and then emulates, slowly. On a CPU: float32 for models below :data:`SMALL`
    parameters; larger ones in bfloat16 where the CPU multiplies matrices in it (AVX512-BF16 or AMX; without them it is many
    times slower). Apple's GPU is not used: training on it gives results that differ from other devices'.

    Parameters
    ----------
    dtype
        ``"float32"``, ``"bfloat16"`` or ``"float16"``; the environment variable TUNEWISE_DTYPE does the same.
    parameters
        The model's number of parameters; unknown, it counts as small.

    Raises
    ------
    ValueError
        For an unknown dtype, or a GPU that is not there.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device.split(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'cpu' or 'cuda' (or 'cuda:1' and so on), not {device!r}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"torch {torch.__version__} sees no CUDA GPU here for device {device!r}; use 'cpu'")
    asked, because = str(dtype or "").removeprefix("torch."), "as asked for"
    if not asked and (asked := os.environ.get("TUNEWISE_DTYPE", "")):
        because = "as TUNEWISE_DTYPE says"
    if asked:
        if asked not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {asked!r} ({because})")
        name = asked
    elif device.startswith("cuda"):
        major, minor = torch.cuda.get_device_capability(device)
        name = "bfloat16" if (major, minor) >= (8, 0) else "float16"
        because = f"compute capability {major}.{minor} has {'' if name == 'bfloat16' else 'no '}bfloat16"
    elif not parameters or parameters < SMALL:
        name, because = (
            "float32",
            f"a model below {SMALL / 1e6:.0f}M parameters: on every CPU the same results",
        )
    elif cpu_flags() & BFLOAT16_MATRICES:
        name, because = "bfloat16", "a larger model, and this CPU has bfloat16 matrix instructions"
    else:
        name, because = "float32", "this CPU has no bfloat16 matrix instructions"
    cpu = f"CPU, {counted(torch.get_num_threads(), 'thread')}"
    place = torch.cuda.get_device_name(device) if device.startswith("cuda") else cpu
    return Precision(device, DTYPES[name], f"{place}: {name} ({because})")


@cache
def cpu_flags() -> set[str]:
    """The CPU's instruction sets, by the names that Linux gives them; empty where they can't be read."""
    if hasattr(torch.cpu, "get_capabilities"):  # torch 2.13
        return {name for name, there in torch.cpu.get_capabilities().items() if there is True}
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    flags = (line.split(":", 1)[1] for line in lines if line.startswith(("flags", "Features")))
    return set(next(flags, "").split())
