"""Build the book: ``make book`` calls this inside the virtual environment.

Notebooks are run side by side (``run_notebooks.py``) into jupyter-book's cache, which keeps the outputs of a notebook whose text has not changed. Here we add what it
does not know: outputs also depend on the library, the data and the scale, and a build that was cut off leaves half a site.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import run_notebooks
import vendor

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build"
SITE = BUILD / "html"
DONE = SITE / ".finished"  # holds the hash of all that went in; written last
CACHE = BUILD / ".jupyter_cache"
SOURCES = ("lib", "data", "requirements.txt", "pyproject.toml")
PAGES = ("chapters", "labs", "instructors", "assets", "book", "_config.yml", "_toc.yml", "references.bib")
SKIP = {"__pycache__", ".ipynb_checkpoints", "node_modules"}


def fingerprint(names) -> str:
    """SHA-256 over paths and contents of files and folders, relative to the root."""
    found = hashlib.sha256()
    for name in names:
        top = ROOT / name
        files = (
            sorted(p for p in top.rglob("*") if p.is_file())
            if top.is_dir()
            else [top]
            if top.exists()
            else []
        )
        for path in files:
            if not SKIP & set(path.parts) and path.suffix != ".pyc" and "egg-info" not in str(path):
                found.update(
                    f"{path.relative_to(ROOT)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
                )
    return found.hexdigest()


def wanted() -> tuple[str, str]:
    """What the site is made from, as hashes: what outputs of notebooks depend on besides their text; and everything."""
    scale = os.environ.get("TUNEWISE_SCALE", "")
    under = hashlib.sha256(f"{fingerprint(SOURCES)} {scale} {sys.version}".encode()).hexdigest()
    pages = sorted(p.name for p in ROOT.glob("*.md"))
    return under, f"{under} {fingerprint([*PAGES, *pages])}"


def up_to_date() -> bool:
    """Is there a finished site, made from the sources as they are now?"""
    return DONE.exists() and DONE.read_text() == wanted()[1]


def main() -> int:
    began = time.monotonic()
    vendor.fetch()
    under, everything = wanted()
    if up_to_date():
        print(f"The book is up to date. Open {SITE / 'index.html'}")
        return how_to_open()
    begun = BUILD / ".begun"
    if (
        begun.exists() or not DONE.exists()
    ):  # the last build did not finish: its pages and pickles may be halves
        shutil.rmtree(SITE, ignore_errors=True)
        shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
    key = BUILD / ".under"
    if (
        not key.exists() or key.read_text() != under
    ):  # library or data changed: outputs kept from before may be stale
        shutil.rmtree(CACHE, ignore_errors=True)
        shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
    (SITE / "_static" / "language_data.js").unlink(missing_ok=True)  # Sphinx would leave the old one there
    BUILD.mkdir(exist_ok=True)
    begun.touch()
    key.write_text(under)
    DONE.unlink(missing_ok=True)
    shutil.rmtree(
        SITE / "teaching", ignore_errors=True
    )  # was made from the old pages by `make teaching`, with links to it
    (SITE / "instructors" / "index.html").unlink(missing_ok=True)
    from importlib.util import find_spec

    if find_spec("tunewise") is None:
        print("The package tunewise is not installed in this Python: use `make book`.", file=sys.stderr)
        return 1
    # -W: a warning is an error, -n: so is a link to nowhere; --keep-going: show all of them.
    command = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main()",
        "build",
        str(ROOT),
        "-W",
        "-n",
        "--keep-going",
    ]
    quiet = {
        "TUNEWISE_SCALE": os.environ.get("TUNEWISE_SCALE", ""),
        "PYTHONWARNINGS": os.environ.get("PYTHONWARNINGS", "ignore::DeprecationWarning"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    environment = {**os.environ, **quiet}
    run_notebooks.run(sorted((ROOT / "chapters").glob("*.ipynb")), CACHE, environment)
    if code := subprocess.run(command, cwd=ROOT, env=environment).returncode:
        print("\nThe book was not built: the messages above say what is wrong.", file=sys.stderr)
        return code
    DONE.write_text(everything)
    begun.unlink(missing_ok=True)
    print(f"\nBuilt in {time.monotonic() - began:.0f} s.")
    return how_to_open()


def how_to_open() -> int:
    print(
        "To read it with live calculators, serve it:\n"
        f"    {Path(sys.executable)} -m http.server --directory {SITE} 8000\n"
        "and open http://localhost:8000. Opened as a file, the book shows saved results."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
