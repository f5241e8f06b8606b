"""Badges and install cells of chapters and labs.

The repository's address and release stand in ``_config.yml``. ``python book/colab_cells.py --write`` (``make notebooks``) writes badge
and install cell from them into every chapter, the install cell into every lab, and the address into texts that say how to
install the package; ``--check`` says which files differ.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

SITE = "https://colab.research.google.com"
NAMING = (
    "lib/tunewise/paths.py",
    "README.md",
    "index.md",
    "instructors/index.md",
)  # they say how the package is installed


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
    """The source of the install cell: short, because what it does in full stands in :func:`whentofinetune.colab.ready`."""
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
        new = new_markdown_cell(id="colab-badge", metadata=hidden)
        top = next((c for c in nb.cells if is_badge(c)), new)
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
    parser = argparse.ArgumentParser(prog="python book/colab_cells.py", description=__doc__.splitlines()[0])
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--write", action="store_true", help="write badges and install cells into the notebooks")
    how.add_argument(
        "--check", action="store_true", help="name the notebooks that are not as --write would leave them"
    )
    args = parser.parse_args(argv)
    folder = Path(__file__).resolve().parents[1]
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
