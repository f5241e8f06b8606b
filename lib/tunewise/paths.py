"""Where the user's cache lies. Standard library only."""

from __future__ import annotations

import os
import sys
from pathlib import Path


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
