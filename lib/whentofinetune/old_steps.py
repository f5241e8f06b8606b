"""Work that survives an interruption: each finished step of an experiment is kept under the hash of what went in."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from tunewise import paths
from whentofinetune.book_records import digest


class Work:
    """Runs the steps of one experiment, or finds what an earlier sitting has finished.

    what: what all steps depend on (experiment, version, model and data checksums, dtype).
    fresh: forget finished steps and run again.
    say: called with one line of text a step.
    """

    def __init__(self, what: dict, *, fresh: bool = False, say: Callable[[str], None] | None = print):
        self.what, self.fresh = what, fresh
        self.say = say or (lambda line: None)
        self.folder = paths.cache_dir("work")
        self.seconds = 0.0

    def path(self, settings: dict) -> Path:
        return self.folder / f"{digest({'what': self.what, 'settings': settings})}.json"

    def checkpoint(self, settings: dict) -> Path:
        """Where a long step (a training) keeps its unfinished state."""
        path = self.path(settings).with_suffix(".pt")
        if self.fresh:
            path.unlink(missing_ok=True)
        return path

    def step(self, settings: dict, run: Callable[[], dict]) -> dict:
        """The result of ``run()`` for these settings: kept from before, or computed now and kept.

        Returns ``{**settings, **result}``. A step's seconds count into ``self.seconds`` also when it was found.
        """
        path = self.path(settings)
        if path.exists() and not self.fresh:
            kept = json.loads(path.read_text(encoding="utf-8"))
        else:
            start = time.perf_counter()
            kept = {"result": run(), "seconds": time.perf_counter() - start}
            half = path.with_suffix(".part")
            half.write_text(json.dumps(kept), encoding="utf-8")
            os.replace(half, path)
            named = ", ".join(
                f"{k} {v}" for k, v in settings.items() if not isinstance(v, dict | list) and len(str(v)) < 40
            )
            self.say(f"  {named}: {kept['seconds']:.1f} s")
        self.seconds += kept["seconds"]
        return {**settings, **kept["result"]}
