"""What the pieces of the pages compute from: files of the book's data. In a browser they lie as JSON beside this file."""

from __future__ import annotations

import json
import pkgutil
from typing import Any

# name -> path in data/; those of pieces/ are written by data/pieces/build.py
FILES = {
    "voice": "company/voice.yaml",
    "label_scores": "pieces/label_scores.json",
    "update": "pieces/update.json",
}


def read(name: str) -> Any:
    """What that file holds."""
    try:
        return json.loads(pkgutil.get_data(__name__, f"{name}.json") or b"")
    except FileNotFoundError:
        import yaml

        from whentofinetune.book_files import data_dir

        text = (data_dir() / FILES[name]).read_text(encoding="utf-8")
        return json.loads(text) if FILES[name].endswith(".json") else yaml.safe_load(text)
