"""Finished steps of an experiment, kept under the hash of what went in, so that an interrupted run goes on where it was.

A kept step is written whole or not at all. One that was damaged on the disk is named, set aside and computed again.
"""

import errno
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunewise import paths


def digest(thing: Any) -> str:
    """SHA-256 (64 hexadecimal digits) of anything JSON can hold, independent of the order of keys."""
    return hashlib.sha256(json.dumps(thing, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Write a text file in one step: a reader sees the old content or the new, never a part.

    Raises
    ------
    OSError
        If the disk is full or read-only; nothing half-written stays behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".half-{os.getpid()}-{path.name}")
    try:
        half.write_text(text, encoding="utf-8")
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


class StepCache:
    """Kept steps in the user's cache.

    Parameters
    ----------
    fresh
        Forget what was kept before this object was made: each step is computed again, once.
    say
        Called with a line of text where something is amiss.
    """

    def __init__(self, *, fresh: bool = False, say: Callable[[str], None] | None = None) -> None:
        self.folder = paths.cache_dir("steps")
        self.fresh = fresh
        self.say = say or (lambda line: print(line, file=sys.stderr))
        self.made: set[str] = set()
        self.lost = False  # whether a step could not be kept, which is said once

    def find(self, key: str) -> list[dict[str, Any]]:
        """What was kept under ``key``, newest last; empty where nothing was."""
        path = self.folder / f"{key}.json"
        if not path.exists() or (self.fresh and key not in self.made):
            return []
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(kept, list):
                raise ValueError("it holds no list")
        except ValueError as error:
            path.replace(path.with_suffix(".damaged"))
            self.say(f"  the kept step {path} is damaged ({error}); it was set aside and is computed again")
            return []
        return kept

    def keep(self, key: str, value: dict[str, Any]) -> None:
        """Add ``value`` to what is kept under ``key``. On a full disk it says so and goes on: the result is not lost, only not kept."""
        kept = [*self.find(key), value]
        try:
            write_whole(self.folder / f"{key}.json", json.dumps(kept, ensure_ascii=False))
            self.made.add(key)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                raise
            if not self.lost:
                missed = f"  steps could not be kept in {self.folder} ({error.strerror})"
                self.say(f"{missed}: an interrupted run would compute them again")
            self.lost = True

    def memo(self, inputs: Any, compute: Callable[[], Any]) -> Any:
        """``compute()``, or what it gave before for the same ``inputs``; both are anything JSON can hold."""
        key = digest(["memo", inputs])
        if kept := self.find(key):
            return kept[-1]["value"]
        value = compute()
        self.keep(key, {"value": value})
        return value
