"""Check: ``make check`` and ``make test`` call this inside the virtual environment.

Reads the code (ruff, its format, mypy, the import rules), then runs pytest: on the fast tests, or, after building the
book, on all tests and every notebook. All steps run even if an earlier one fails. Stopped half-way, it is simply run again:
what the book's models have computed is kept in the cache, so that nothing is trained twice, neither by the build, nor by a
notebook, nor by the next try.

    make check                           in under two minutes: the code, and tests that load no model and look at no site
    make test                            everything
    .venv/bin/python -m pytest tests     the tests alone; those of the site look at the last `make book`
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import chromium  # noqa: E402

CODE = [folder for folder in ("lib", "tests", "book", "bench") if (ROOT / folder).exists()]
NOTEBOOKS = [folder for folder in ("chapters", "labs") if any((ROOT / folder).glob("*.ipynb"))]
IMPORT_RULES = "from importlinter.cli import lint_imports_command as main; main()"
# The kernel is this Python; a cell that hangs is stopped after a quarter of an hour.
NBVAL = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=900"]

# Two workers, since a small machine has two cores; the cells of a notebook stay together, and so do the tests of a module.
PYTEST = ["-m", "pytest", "tests", "--durations=10", "--numprocesses=2", "--dist=loadfile"]
READING = {
    "lint": ["-m", "ruff", "check", *CODE],
    "format": ["-m", "ruff", "format", "--check", "--quiet", *CODE],
    "types": ["-m", "mypy"],
    "import rules": ["-c", IMPORT_RULES],
}
FAST = READING | {"fast tests": [*PYTEST, "-m", "not (slow or model or site or browser)"]}
ALL = {"the book": ["book/build.py"]} | READING | {"tests and notebooks": [*PYTEST, *NOTEBOOKS, *NBVAL]}
CLOSING = re.compile(r"^=+ .*\d+ .* in [\d.]+s.*=+$")


def main(fast: bool) -> int:
    began = time.monotonic()
    steps = FAST if fast else ALL
    browser = None if fast else chromium.find() or chromium.install()
    # The scale is the build's, so that cells find what the build has computed. No test may need the Hub by accident.
    environment = {"TUNEWISE_SCALE": "", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", **os.environ}
    # what tests and killed kernels leave, models among it, goes with this folder
    scratch = tempfile.TemporaryDirectory(prefix="test-", ignore_cleanup_errors=True)
    environment["TMPDIR"] = scratch.name
    if browser:
        environment["TUNEWISE_BROWSER"] = browser
    elif not fast:
        print(
            "No Chrome or Chromium, and none could be installed: tests that need one are "
            + ("failed." if os.environ.get("CI") else "skipped.")
        )
    failed, closing = [], []
    # the fast steps are started together, since most of them keep one core busy, and shown one after another
    started = {name: start(command, environment) for name, command in steps.items()} if fast else {}
    try:
        for name, command in steps.items():
            print(f"\n---- {name} ----", flush=True)
            status, said = show(started.get(name) or start(command, environment))
            closing += [said] if said else []
            if status:
                failed.append(name)
    finally:
        for process in started.values():
            stop(process)
        scratch.cleanup()
    minutes = (time.monotonic() - began) / 60
    print(f"\n---- summary, after {minutes:.1f} minutes ----")
    for name in steps:
        print(f"{name:20} {'FAILED' if name in failed else 'passed'}")
    if not browser and not fast:
        print("no browser            tests of the site in a browser were not run")
    print(*closing, sep="\n")  # pytest's own last lines, with the counts
    return 1 if failed else 0


def start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    """Python with the words of a step; what it says waits to be shown."""
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


def show(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Show what a step says until it ends. Returns its exit status and pytest's closing line, if there is one."""
    closing = ""
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            if CLOSING.match(line.strip()):
                closing = line.strip()
        return process.wait(), closing
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    """Stopped by hand: the step stops too, and cleans up behind itself."""
    if process.poll() is None:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main(fast="--fast" in sys.argv[1:]))
    except KeyboardInterrupt:
        print("\nstopped; the same command begins again, and finds what was computed")
        sys.exit(130)
