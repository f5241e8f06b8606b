"""Where things lie: the data that ships with the book, and the user's cache.

Standard library only. Nothing here depends on the current working directory, so a notebook started from any
folder, a wheel on Colab and a checkout all find the same files.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_dir() -> Path:
    """The folder ``data/``: beside ``lib/`` in a checkout, inside the package in a wheel."""
    checkout = _PACKAGE.parents[1] / "data"
    inside = _PACKAGE / "_data"
    for folder in (inside, checkout):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"the book's data folder is missing (looked for {inside} and {checkout}); install tunewise again"
    )


def cache_dir(*parts: str) -> Path:
    """The user's cache for tunewise, made if it is not there.

    ``TUNEWISE_CACHE`` overrides it; else the platform's usual place (``XDG_CACHE_HOME``, ``~/Library/Caches``,
    ``%LOCALAPPDATA%``).
    """
    if os.environ.get("TUNEWISE_CACHE"):
        base = Path(os.environ["TUNEWISE_CACHE"])
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches" / "tunewise"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "tunewise"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tunewise"
    folder = base.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
