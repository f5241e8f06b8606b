"""Cost and decision: the same Python files run in a kernel, in a command and in the reader's browser.

In a browser there is only the standard library: what is YAML or computed from records here lies there as JSON beside these files
(:func:`whentofinetune.pages.site.pack_calculators` writes it).
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Callable
from typing import Any


def packed(name: str, here: Callable[[], Any]) -> Any:
    """What ``NAME.json`` beside this file holds, as packed for the browser; else what ``here`` gives."""
    try:
        return json.loads(pkgutil.get_data(__name__, f"{name}.json") or b"")
    except FileNotFoundError:
        return here()


def from_yaml(name: str) -> Any:
    """What ``data/decide/NAME.yml`` holds."""

    def read() -> Any:
        import yaml

        from whentofinetune.book_files import data_dir

        return yaml.safe_load((data_dir() / "decide" / f"{name}.yml").read_text(encoding="utf-8"))

    return packed(name, read)
