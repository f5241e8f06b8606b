"""Where a stranger's notebook runs: a kernel in bubblewrap, without network, without files but its own, within limits.

Only the kernel is in there. nbgrader, its gradebook and the hidden tests stay outside; kernel and nbgrader talk over Unix sockets in
a folder made for the one submission. Needs the extra ``labs``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbgrader.preprocessors import Execute

import finetune_memory
import tunewise
import whentofinetune
from tunewise.paths import cache_root
from whentofinetune.book_files import data_dir

MEGABYTE = 2**20
OUTPUT_LIMIT = MEGABYTE  # characters of output that are kept of one cell
_HOME = "/tmp/student"  # in the sandbox; its /tmp is memory that is gone afterwards
_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/localtime",
)
_SYSTEM += ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")


def command(argv: Sequence[str], shared: str) -> list[str]:
    """``argv`` in a sandbox that may write to ``shared`` and to a /tmp of its own, and read Python, the library and its models."""
    readable = [*_SYSTEM, sys.prefix, sys.base_prefix, *(str(p.parent) for p in packages())]
    readable += [str(data_dir()), *models()]
    return [
        *("bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"),
        *("--proc", "/proc", "--dev", "/dev", "--size", str(512 * MEGABYTE), "--tmpfs", "/tmp"),
        *(word for path in dict.fromkeys(readable) for word in ("--ro-bind-try", path, path)),
        *("--bind", shared, shared, "--dir", _HOME, "--chdir", _HOME),
        *(word for name, value in environment().items() for word in ("--setenv", name, value)),
        *argv,
    ]


def packages() -> list[Path]:
    """The folders of the library's packages."""
    return [Path(p.__file__).resolve().parent for p in (whentofinetune, tunewise, finetune_memory)]


def models() -> list[str]:
    """The folders of the models and texts in the cache."""
    return [_hub(), *(str(cache_root() / part) for part in ("models", "sources"))]


def _hub() -> str:
    return os.environ.get("HF_HUB_CACHE", str(Path.home() / ".cache/huggingface/hub"))


def environment() -> dict[str, str]:
    """All variables that the code gets to see."""
    return {
        "HOME": _HOME,
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",  # the same submission gets the same mark
        "OMP_NUM_THREADS": "1",
        "TUNEWISE_CACHE": str(cache_root()),
        "HF_HUB_CACHE": _hub(),
        "HF_HUB_OFFLINE": "1",
    }


def missing() -> str | None:
    """Why no sandbox can be had here, and what to do; None where it works."""
    unsafe = "or use --unsafe inside a container or virtual machine that holds nothing you would miss"
    if not shutil.which("bwrap"):
        return f"grading runs students' code, and the sandbox for it is not here: apt-get install bubblewrap (Linux); {unsafe}"
    with tempfile.TemporaryDirectory() as shared:
        tried = subprocess.run(command([sys.executable, "-c", ""], shared), capture_output=True, text=True)
    if tried.returncode:
        why = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
        return f"bubblewrap does not work here ({why}): allow user namespaces, {unsafe}"
    return None


def limit(memory_gb: float, seconds: int) -> None:
    """Limit this process and those it starts: memory of each, its processor time, the size of a file, their number."""
    if sys.platform != "linux":
        return
    import resource

    for what, most in (
        (resource.RLIMIT_AS, int(memory_gb * 1024) * MEGABYTE),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 512 * MEGABYTE),
        (resource.RLIMIT_NPROC, 4096),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


class OpenKernel(AsyncKernelManager):
    """A kernel of this Python, whatever the notebook asks for, with your rights; one message of it holds 16 MB at most."""

    start = (sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--quiet")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.context.MAXMSGSIZE = 16 * MEGABYTE

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(argv=list(self.start), language="python", interrupt_mode="message")


class CappedExecute(Execute):
    """nbgrader's step that runs the cells, in a kernel of this Python; output beyond the cap is dropped, the cell goes on."""

    iopub_timeout, raise_on_iopub_timeout = 20, False  # a flood of output may swallow its own end
    kernel = OpenKernel

    def __init__(self, **kwargs):
        super().__init__(**{"kernel_manager_class": self.kernel} | kwargs)
        self._written: tuple[int, int] = (-1, 0)  # the cell, and how much it has put out

    def preprocess_cell(self, cell, resources, index):
        """Not the cells that the lab gives and marks as heavy: they train or load a model, and no test needs them."""
        if "heavy" in cell.metadata.get("tags", []):
            return cell, resources
        return super().preprocess_cell(cell, resources, index)

    def process_message(self, msg, cell, cell_index):
        """As nbclient does it, without what is too much."""
        if msg["msg_type"] in ("stream", "display_data", "execute_result"):
            before = self._written[1] if self._written[0] == cell_index else 0
            self._written = (cell_index, before + len(str(msg["content"])))
            if self._written[1] > OUTPUT_LIMIT:
                return None
        return super().process_message(msg, cell, cell_index)


class SandboxedKernel(OpenKernel):
    """The same in the sandbox."""

    wrap = staticmethod(command)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._folder = tempfile.TemporaryDirectory(prefix="lab-")
        self.transport, self.connection_file = "ipc", str(Path(self._folder.name) / "kernel.json")

    def format_kernel_cmd(self, extra_arguments=None) -> list[str]:
        return self.wrap(super().format_kernel_cmd(extra_arguments), self._folder.name)


class SandboxedExecute(CappedExecute):
    """Runs the cells in the sandbox."""

    kernel = SandboxedKernel
