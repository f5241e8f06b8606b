"""Cost and decision. The cost calculators run in a kernel, in a command and in the reader's browser, where there is only the standard library."""

import json
import pkgutil
from typing import Any

# What is read, under data/; the files of pieces/ are written by data/pieces/build.py.
FILES = {
    "forms": "decide/forms.yml",
    "rules": "decide/rules.yml",
    "voice": "company/voice.yaml",
    "label_scores": "pieces/label_scores.json",
    "update": "pieces/update.json",
}


def read(name: str) -> Any:
    """What a file of the book's data holds; in a browser it lies as JSON beside this file (``book/sphinx_site.py`` packs it)."""
    try:
        return json.loads(pkgutil.get_data(__name__, f"{name}.json") or b"")
    except FileNotFoundError:
        from whentofinetune import book_files

        if FILES[name].endswith(".json"):
            return json.loads((book_files.data_dir() / FILES[name]).read_text(encoding="utf-8"))
        return book_files.read_yaml(FILES[name])
