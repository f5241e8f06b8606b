"""Chapters on Colab: the badge, the install cell, and what that cell says about the machine.

The repository's address and release stand in ``_config.yml``. ``python -m whentofinetune.colab --write`` (``make notebooks``)
writes badge and install cell from them into every chapter, the install cell into every lab, and the address into texts
that say how to install the package; ``--check`` says which files differ.

Colab's own numpy, torch and transformers are left alone: packages that were compiled against each other break when one of
them is exchanged under a running kernel. The library comes with ``--no-deps``, and :func:`ready` adds only small packages
that are missing. Nothing heavy is imported before that.
"""

from __future__ import annotations

import argparse
import importlib.metadata as metadata
import os
import re
import subprocess
import sys
from pathlib import Path

from tunewise import paths

SITE = "https://colab.research.google.com"
LEFT_ALONE = (
    "torch",
    "transformers",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
)  # never installed on Colab by us
SHOWN = ("torch", "transformers", "peft", "bitsandbytes", "numpy")
NAMING = ("lib/tunewise/paths.py", "README.md", "INSTRUCTORS.md")  # they say how the package is installed
EXTRAS = ("models", "qlora", "rag", "notebook")


# -- what the install cell calls ---------------------------------------------------------------------------------------


def ready() -> None:
    """Install small packages that Colab lacks (elsewhere: name them), print the versions in use, and stop if a restart is needed.

    Raises RuntimeError, in words, when a package that is loaded is no longer the one on disk.
    """
    absent, old = lacking()
    if on_colab():
        small = [need for name, need in absent.items() if name not in LEFT_ALONE]
        if small:
            subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *small], check=True
            )
        absent = {name: need for name, need in absent.items() if name in LEFT_ALONE}
    versions = {name: _version(name) for name in SHOWN}
    shown = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    print(f"tunewise {_version('tunewise')}, Python {sys.version.split()[0]}, {shown}")
    if absent:
        print(
            f"Not here: {', '.join(absent)}. Install what is missing: {paths.install_command('models', 'notebook')}"
        )
    for name, wanted in old.items():
        print(
            f"{name} {_version(name)} is older than the book was made for ({wanted}): if a cell fails, take a newer runtime."
        )
    if stale := changed_since_loaded():
        words = ", ".join(f"{name} {loaded} is loaded, {there} is installed" for name, loaded, there in stale)
        raise RuntimeError(
            f"Restart needed: {words}. Choose Runtime > Restart session (in Jupyter: Kernel > Restart), then run from the top."
        )


def on_colab() -> bool:
    """Does this Python run on Colab?"""
    return "google.colab" in sys.modules or any(name.startswith("COLAB_") for name in os.environ)


def lacking() -> tuple[dict[str, str], dict[str, str]]:
    """What the chapters need by the package's own list: packages not here (name -> requirement), and those too old (name -> bounds)."""
    from packaging.requirements import Requirement

    absent, old = {}, {}
    for line in metadata.requires("tunewise") or ():
        need = Requirement(line)
        if need.marker and not any(need.marker.evaluate({"extra": extra}) for extra in EXTRAS):
            continue
        there = _version(need.name)
        if there is None:
            absent[need.name] = f"{need.name}{need.specifier}"
        elif not need.specifier.contains(there, prereleases=True):
            old[need.name] = str(need.specifier)
    return absent, old


def changed_since_loaded() -> list[tuple[str, str, str]]:
    """Packages that are loaded in another version than the one on disk: (name, loaded, on disk)."""
    found = []
    for name in ("numpy", "torch", "transformers", "pandas", "scipy", "peft", "tunewise"):
        loaded = getattr(sys.modules.get(name), "__version__", None)
        there = _version(name)
        if loaded and there and _public(loaded) != _public(there):
            found.append((name, loaded, there))
    return found


def _public(version: str) -> str:
    """Without what follows a plus sign: torch calls itself 2.9.0+cu126, and is installed as 2.9.0."""
    return version.split("+")[0]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


# -- writing the cells -------------------------------------------------------------------------------------------------


def root() -> Path:
    """The checkout of the book. Raises FileNotFoundError outside one."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / "_config.yml").exists():
        raise FileNotFoundError("badges are written in a checkout of the book; there is none here")
    return folder


def repository(folder: Path) -> tuple[str, str]:
    """The book's address and what is installed from it, a tag or a branch: ``url`` and ``release`` in ``_config.yml``."""
    import yaml

    found = yaml.safe_load((folder / "_config.yml").read_text(encoding="utf-8"))["repository"]
    return found["url"].rstrip("/").removesuffix(".git"), found["release"]


def address(url: str, release: str, path: str) -> str:
    """Where a notebook of the repository opens on Colab."""
    return f"{SITE}/github/{url.removeprefix('https://github.com/')}/blob/{release}/{path}"


def badge(link: str) -> str:
    return f"[![Open in Colab]({SITE}/assets/colab-badge.svg)]({link})"


def install_cell(url: str, release: str) -> str:
    """The source of the install cell: short, because what it does in full stands in :func:`ready`."""
    return f"""\
# On Colab this fetches the book's library. It leaves Colab's numpy, torch and transformers alone.
import importlib.util

if importlib.util.find_spec("tunewise") is None:
    %pip install --quiet --no-deps "git+{url}@{release}"

from whentofinetune import colab

colab.ready()"""


def is_badge(cell) -> bool:
    return cell["cell_type"] == "markdown" and bool(re.match(r"\[!\[Open in Colab\]", cell["source"]))


def is_install(cell) -> bool:
    return cell["cell_type"] == "code" and "%pip install" in cell["source"] and "--no-deps" in cell["source"]


def with_cells(nb, url: str, release: str, link: str | None):
    """The notebook with its install cell, before all other code, and, if there is a ``link``, with the badge at its top.

    Both stay out of the book's page, which has a button of its own and is not run by the reader.
    """
    from nbformat.v4 import new_code_cell, new_markdown_cell

    hidden = {"tags": ["remove-cell"]}
    if link:
        top = next((c for c in nb.cells if is_badge(c)), None) or new_markdown_cell(
            id="colab-badge", metadata=hidden
        )
        top.source = badge(link)
        nb.cells = [top, *(c for c in nb.cells if not is_badge(c))]
    install = next((c for c in nb.cells if is_install(c)), None)
    if install is None:
        install = new_code_cell(id="install", metadata=hidden)
        first = next((i for i, c in enumerate(nb.cells) if c.cell_type == "code"), len(nb.cells))
        nb.cells.insert(first, install)
    install.source = install_cell(url, release)
    return nb


def notebooks(folder: Path) -> list[Path]:
    return [*sorted((folder / "chapters").glob("*.ipynb")), *sorted((folder / "labs").glob("lab_*.ipynb"))]


def written(path: Path, folder: Path) -> str:
    """What a notebook, or a text that says how to install the package, should hold."""
    import nbformat

    url, release = repository(folder)
    if path.suffix != ".ipynb":
        return re.sub(r'git\+https://[^"\s]+', f"git+{url}@{release}", path.read_text(encoding="utf-8"))
    inside = path.relative_to(folder).as_posix()
    # A lab's link leads to the student version, which is made when the site is built.
    link = address(url, release, inside) if inside.startswith("chapters/") else None
    nb = with_cells(nbformat.read(path, 4), url, release, link)
    nb.nbformat_minor = max(5, nb.nbformat_minor)  # the first that knows ids of cells
    return nbformat.writes(nb) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m whentofinetune.colab", description=__doc__.splitlines()[0]
    )
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--write", action="store_true", help="write badges and install cells into the notebooks")
    how.add_argument(
        "--check", action="store_true", help="name the notebooks that are not as --write would leave them"
    )
    args = parser.parse_args(argv)
    folder = root()
    different = 0
    for path in [*notebooks(folder), *(folder / name for name in NAMING)]:
        text = written(path, folder)
        if text.rstrip("\n") == path.read_text(encoding="utf-8").rstrip("\n"):
            continue
        different += 1
        if args.write:
            path.write_text(text, encoding="utf-8")
        print(f"{'written' if args.write else 'not up to date'}: {path.relative_to(folder)}")
    if args.check and different:
        print("`make notebooks` brings them up to date")
    return 1 if args.check and different else 0


if __name__ == "__main__":
    sys.exit(main())
