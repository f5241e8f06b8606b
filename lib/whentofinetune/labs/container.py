"""The second sandbox: the same kernel in a container of docker or podman, where bubblewrap cannot be had. Linux; needs the extra ``labs``.

The image holds Python and what ``requirements.txt`` pins. The library, its data and its models are mounted to read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from whentofinetune.book_files import data_dir
from whentofinetune.labs import sandbox

_ROOT = Path(__file__).resolve().parents[3]
_INTO_IMAGE = (_ROOT / "labs" / "Containerfile", _ROOT / "requirements.txt")
_LIBRARY = "/opt/book/lib"  # its data beside it, as in a checkout


def program() -> str | None:
    """Docker or podman, whichever is found first on the PATH."""
    return next((name for name in ("docker", "podman") if shutil.which(name)), None)


def image() -> str:
    """The image's name: another one when what goes into it, or this Python's version, has changed."""
    made_from = [sys.version.encode(), *(path.read_bytes() for path in _INTO_IMAGE)]
    return f"tunewise-labs:{hashlib.sha256(b''.join(made_from)).hexdigest()[:12]}"


def command(argv: Sequence[str], shared: str) -> list[str]:
    """``argv`` of a Python in a container that may write to ``shared`` and to a /tmp of its own, under the limits of this process."""
    import resource  # not on Windows

    memory, seconds = (resource.getrlimit(which)[0] for which in (resource.RLIMIT_AS, resource.RLIMIT_CPU))
    mounts = {str(data_dir()): "/opt/book/data"}
    mounts |= {str(p): f"{_LIBRARY}/{p.name}" for p in sandbox.packages()}
    mounts |= {path: path for path in sandbox.models() if Path(path).exists()}  # docker makes what is missing
    variables = sandbox.environment() | {"PYTHONPATH": _LIBRARY, "HOME": "/tmp"}
    del variables["PATH"]  # the image's stays
    keep = ("--userns", "keep-id") if program() == "podman" and os.getuid() else ()
    return [
        *(program() or "docker", "run", "--rm", "--pull", "never", "--network", "none", *keep),
        *("--read-only", "--tmpfs", f"/tmp:size={512 * sandbox.MEGABYTE}", "--workdir", "/tmp"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--security-opt", "label=disable"),
        *("--user", f"{os.getuid()}:{os.getgid()}", "--pids-limit", "4096", "--ulimit", "core=0"),
        *("--memory", str(memory), "--memory-swap", str(memory)),
        *("--ulimit", f"cpu={seconds}", "--ulimit", f"fsize={512 * sandbox.MEGABYTE}"),
        *(word for here, there in mounts.items() for word in ("--volume", f"{here}:{there}:ro")),
        *("--volume", f"{shared}:{shared}"),
        *(word for pair in variables.items() for word in ("--env", "=".join(pair))),
        image(),
        # a container outlives the program that started it: it ends itself
        *("timeout", "--signal=KILL", str(seconds), "python", *argv[1:]),
    ]


def missing() -> str | None:
    """Why no container can be had here, and what to do; None where it works. Builds the image, where there is none yet."""
    if (using := program()) is None:
        return "neither docker nor podman is on the PATH: apt-get install podman, or grade with bubblewrap, without --sandbox container"
    if sys.platform != "linux":
        return "containers grade on Linux only, for the kernel in one is reached by Unix sockets: use a virtual machine with Linux"
    if not all(path.is_file() for path in _INTO_IMAGE):
        return "the image is made from labs/Containerfile, which only a checkout of the book has: run this there, after make setup"
    if subprocess.run([using, "image", "inspect", image()], capture_output=True).returncode == 0:
        return None
    print(f"Building the image {image()} with {using}: once, some minutes ...", file=sys.stderr)
    with tempfile.TemporaryDirectory() as context:  # not the checkout: the labs have the hidden tests
        for path in _INTO_IMAGE:
            shutil.copy(path, context)
        version = f"PYTHON={sys.version_info[0]}.{sys.version_info[1]}"
        build = [using, "build", "--tag", image(), "--file", f"{context}/Containerfile", context]
        build += [
            "--build-arg",
            version,
            "--build-arg",
            "PIP_EXTRA_INDEX_URL",
        ]  # the latter from here, if set
        if subprocess.run(build).returncode:
            return f"{using} could not build the image (its words stand above): start it and see that it reaches the network, then run the same command again"
    return None


class ContainedKernel(sandbox.SandboxedKernel):
    """The kernel in a container."""

    wrap = staticmethod(command)


class SandboxedExecute(sandbox.CappedExecute):
    """Runs the cells in a container."""

    kernel = ContainedKernel
