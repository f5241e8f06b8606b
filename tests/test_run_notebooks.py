"""The cache of run notebooks after a build that was stopped while it wrote."""

import sys
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "book"))
import run_notebooks


def kept_notebook(folder):
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    kept, read = get_cache(str(folder)), nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")])
    bundle = CacheBundleIn(read, "a.ipynb")
    return kept, read, lambda: kept.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


@pytest.mark.parametrize("left", [None, "", '{"cells": ['])
def test_what_was_stopped_while_it_was_written_is_made_again(tmp_path, left):
    kept, read, keep = kept_notebook(tmp_path / "cache")
    assert not run_notebooks.held(kept, read)
    keep()
    assert run_notebooks.held(kept, read)
    (file,) = (tmp_path / "cache" / "executed").glob("*/*.ipynb")
    file.unlink() if left is None else file.write_text(left)
    assert not run_notebooks.held(kept, read)
    keep()
    assert run_notebooks.held(kept, read)
