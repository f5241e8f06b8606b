"""Where the data that ships with the book lies.

Nothing here depends on the current working directory, so a notebook started from any folder, a wheel on Colab and a checkout
all find the same files.
"""

from pathlib import Path
from typing import Any

import yaml

_PACKAGE = Path(__file__).resolve().parent


def data_dir() -> Path:
    """The folder ``data/``: beside ``lib/`` in a checkout, inside the package in a wheel. Raises FileNotFoundError where neither is there."""
    checkout = _PACKAGE.parents[1] / "data"
    inside = _PACKAGE / "_data"
    for folder in (inside, checkout):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"the book's data folder is missing (looked for {inside} and {checkout}); install the package again"
    )


def read_yaml(name: str) -> Any:
    """What a YAML file under ``data/`` holds, such as ``tasks.yml``."""
    return yaml.safe_load((data_dir() / name).read_text(encoding="utf-8"))
