"""Cost and decision. The cost calculators run in a kernel, in a command and in the reader's browser, where there is only the standard library."""

from __future__ import annotations

import json
import pkgutil
from typing import Any


def from_yaml(name: str) -> Any:
    """What ``data/decide/NAME.yml`` holds; in a browser it lies as JSON beside this file (:mod:`whentofinetune.pages.site` packs it)."""
    try:
        return json.loads(pkgutil.get_data(__name__, f"{name}.json") or b"")
    except FileNotFoundError:
        import yaml

        from whentofinetune.book_files import data_dir

        return yaml.safe_load((data_dir() / "decide" / f"{name}.yml").read_text(encoding="utf-8"))
