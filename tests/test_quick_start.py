"""What `import tunewise as tw` offers, and the quick start of its docstring, run as a reader would copy it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tunewise as tw

THINGS = ("room", "meal", "desk", "lamp", "train", "phone", "screen", "door")


def test_every_name_is_there_and_none_costs_an_import():
    for name in tw.__all__:
        assert callable(getattr(tw, name)) or name == "TEMPLATES"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tw.nothing  # noqa: B018
    code = "import sys, tunewise; print([m for m in ('torch', 'numpy', 'transformers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_quick_start_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = {"praise": "great and lovely", "complaint": "awful and broken"}
    rows = [
        f"the {thing} is {said} today {i},{label}"
        for i in range(6)
        for thing in THINGS
        for label, said in words.items()
    ]
    Path("tickets.csv").write_text("text,label\n" + "\n".join(rows), encoding="utf-8")
    exec(textwrap.dedent(tw.__doc__.split("::\n", 1)[1]), {})
    assert "points" in capsys.readouterr().out
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {
        p.name for p in Path("my-adapter").iterdir()
    }
