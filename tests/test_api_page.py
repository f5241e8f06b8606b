"""The page of the API reference: signatures that can be read, and docstrings that it does not take apart."""

import importlib
import re
from functools import cached_property
from pathlib import Path

import api_page
import pytest

ROOT = Path(__file__).resolve().parents[1]
LISTED = re.findall(r"auto(class|function):: ([\w.]+)", (ROOT / "api.md").read_text(encoding="utf-8"))


def named(dotted: str):
    """The object behind a dotted name."""
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(("kind", "dotted"), LISTED, ids=[dotted for _, dotted in LISTED])
def test_no_signature_shows_an_object_or_a_long_default(kind, dotted):
    shown = api_page.readable(None, kind, dotted, named(dotted), None, "(as=it_was)", None)[0]
    assert "<" not in shown and "(_" not in shown and ", _" not in shown
    assert all(len(default) <= api_page.LONGEST + 2 for default in re.findall(r"=(\([^)]*\)|[^,)]*)", shown))


def test_what_can_be_read_stays():
    def some(self, a, b=1, c=(1, 2), d=print, *, e="x" * 99, _f=0): ...

    shown, returned = api_page.readable(None, "method", "some", some, None, "(a, b=1)", None)
    assert shown == "(a, b=1, c=(1, 2), d=..., *, e=...)" and returned is None


@pytest.mark.parametrize("dotted", [dotted for kind, dotted in LISTED if kind == "class"])
def test_no_property_has_its_first_line_taken_for_a_type(dotted):
    """napoleon reads what stands before a colon there as the type."""
    for name, member in vars(named(dotted)).items():
        if isinstance(member, property | cached_property) and not name.startswith("_") and member.__doc__:
            first = re.sub(r":\w+:`[^`]*`", "", member.__doc__.splitlines()[0])
            assert ":" not in first, f"{dotted}.{name}: {first}"
