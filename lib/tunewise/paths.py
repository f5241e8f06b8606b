"""Where things lie: the user's cache, and the address that the package is installed from. Standard library only."""

import os
import sys
from pathlib import Path

# What pip installs, for no package index has it: the repository's address and its tag or branch. `make notebooks` writes it
# here from `repository` in _config.yml, as it does into badges and install cells.
SOURCE = "git+https://github.com/when-to-fine-tune/when-to-fine-tune@main"


def install_command(*extras: str) -> str:
    """The shell command that installs the package with some of its optional dependencies.

    Parameters
    ----------
    extras
        Names from ``[project.optional-dependencies]``, such as ``models`` or ``rag``.
    """
    name = f"tunewise[{','.join(extras)}]" if extras else "tunewise"
    return f'pip install "{name} @ {SOURCE}"'


class CacheError(RuntimeError):
    """The cache folder cannot be made or written. Its words name the folder and the remedy."""

    def __init__(self, folder: Path, error: OSError) -> None:
        reason = error.strerror or str(error)
        super().__init__(
            f"the cache folder {folder} cannot be used ({reason}): "
            "set TUNEWISE_CACHE to a folder on a disk with room that you can write to"
        )


def cache_root() -> Path:
    """The folder of the user's cache, which need not exist.

    ``TUNEWISE_CACHE`` overrides the platform's usual place (``XDG_CACHE_HOME``, ``~/Library/Caches``, ``%LOCALAPPDATA%``).
    """
    if named := os.environ.get("TUNEWISE_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "tunewise"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "tunewise"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tunewise"


def cache_dir(*parts: str) -> Path:
    """A folder of the user's cache, made if it is not there.

    Parameters
    ----------
    parts
        Names of folders within :func:`cache_root`.

    Raises
    ------
    CacheError
        When the folder cannot be made.
    """
    folder = cache_root().joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacheError(folder, error) from error
    return folder
