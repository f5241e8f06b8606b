"""Run the chapters' notebooks side by side, into the cache from which Sphinx takes their outputs.

Sphinx runs one after another, and most of them keep one core busy. A notebook that fails here is left to Sphinx, which runs it again and
says what is wrong.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# Fetched and converted before, so that no page shows the progress of it.
MODEL = "from tunewise.models import load, registry; load.model_folder(registry.get('smollm2-135m'))"
TIMEOUT = 900  # seconds a cell, as in _config.yml
# The slowest first, so that none is left alone at the end.
FIRST = ("abilities", "memory", "tone", "cost", "rag_hybrid", "rag_facts", "icl_vs_finetuning", "forgetting")


def run(notebooks: list[Path], cache: Path, environment: dict[str, str]) -> None:
    """Run those whose outputs ``cache`` does not hold: as many at once as there are cores, four at most."""
    cores = os.cpu_count() or 1
    jobs = min(cores, 4)
    own = environment | {"OMP_NUM_THREADS": environment.get("OMP_NUM_THREADS", str(max(1, cores // jobs)))}
    place = {name: i for i, name in enumerate(FIRST)}
    order = sorted(notebooks, key=lambda p: (place.get(p.stem, len(FIRST)), p.stem))

    def one(notebook: Path) -> None:
        command = [sys.executable, __file__, str(notebook), str(cache)]
        said = subprocess.run(command, env=own, capture_output=True, text=True).stdout.strip()
        print(f"{notebook.stem}: {said or 'not run here'}", flush=True)

    subprocess.run([sys.executable, "-c", MODEL], env=own, capture_output=True)
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, order))


def held(kept: Any, read: Any) -> bool:
    """Whether the cache holds a notebook's outputs. It notes a notebook before it writes the file: what was stopped in between is removed."""
    from jupyter_cache.cache.db import NbCacheRecord

    try:
        record = kept.match_cache_notebook(read)
    except KeyError:
        return False
    try:
        kept.get_cache_bundle(record.pk)
    except (KeyError, ValueError):  # no file, or half of one
        NbCacheRecord.remove_records([record.pk], kept.db)
        shutil.rmtree(Path(kept.path) / "executed" / record.hashkey, ignore_errors=True)
        return False
    return True


def main(notebook: Path, cache: Path) -> int:
    """Run one notebook, unless its outputs are kept already."""
    import nbformat
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn
    from jupyter_cache.executors.utils import single_nb_execution

    kept, read = get_cache(str(cache)), nbformat.read(notebook, as_version=4)
    if not held(kept, read):
        done = single_nb_execution(read, cwd=str(notebook.parent), timeout=TIMEOUT, allow_errors=False)
        if done.err is not None:
            return 1
        bundle = CacheBundleIn(read, str(notebook), data={"execution_seconds": done.time})
        kept.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
        print(f"run in {done.time:.0f} s")
    else:
        print("unchanged")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
