"""What a notebook's install cell says about the machine, and adds to it on Colab; ``book/colab_cells.py`` writes that cell.

Colab's own numpy, torch and transformers are left alone: packages that were compiled against each other break when one of
them is exchanged under a running kernel. The library comes with ``--no-deps``, and :func:`ready` adds only small packages
that are missing. Nothing heavy is imported before that.
"""

import importlib.metadata as metadata
import os
import subprocess
import sys

from tunewise import paths

# never installed on Colab by us
LEFT_ALONE = ("torch", "transformers", "numpy", "scipy", "scikit-learn", "pandas")
SHOWN = ("torch", "transformers", "peft", "bitsandbytes", "numpy")
EXTRAS = ("models", "qlora", "rag", "notebook")


def ready() -> None:
    """Install small packages that Colab lacks (elsewhere: name them), print the versions in use, and stop if a restart is needed.

    Raises RuntimeError, in words, when a package that is loaded is no longer the one on disk.
    """
    absent, old = lacking()
    if on_colab() and (small := [absent.pop(name) for name in list(absent) if name not in LEFT_ALONE]):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, *small], check=True)
    shown = ", ".join(f"{name} {version}" for name in SHOWN if (version := version_of(name)))
    print(f"tunewise {version_of('tunewise')}, Python {sys.version.split()[0]}, {shown}")
    if absent:
        cure = paths.install_command("models", "notebook")
        print(f"Not here: {', '.join(absent)}. Install what is missing: {cure}")
    for name, wanted in old.items():
        what = f"{name} {version_of(name)} is older than the book was made for ({wanted})"
        print(f"{what}: if a cell fails, take a newer runtime.")
    if stale := changed_since_loaded():
        words = ", ".join(f"{name} {loaded} is loaded, {there} is installed" for name, loaded, there in stale)
        cure = "Choose Runtime > Restart session (in Jupyter: Kernel > Restart), then run from the top."
        raise RuntimeError(f"Restart needed: {words}. {cure}")


def on_colab() -> bool:
    """Does this Python run on Colab?"""
    return "google.colab" in sys.modules or any(name.startswith("COLAB_") for name in os.environ)


def lacking() -> tuple[dict[str, str], dict[str, str]]:
    """What the chapters need by the package's own list: packages not here (name -> requirement), and those too old (name -> bounds)."""
    from packaging.requirements import Requirement

    absent, old = {}, {}
    for line in metadata.requires("tunewise") or ():
        need = Requirement(line)
        if need.marker and not any(need.marker.evaluate({"extra": extra}) for extra in EXTRAS):
            continue
        there = version_of(need.name)
        if there is None:
            absent[need.name] = f"{need.name}{need.specifier}"
        elif not need.specifier.contains(there, prereleases=True):
            old[need.name] = str(need.specifier)
    return absent, old


def changed_since_loaded() -> list[tuple[str, str, str]]:
    """Packages that are loaded in another version than the one on disk: (name, loaded, on disk)."""
    found = []
    for name in ("numpy", "torch", "transformers", "pandas", "scipy", "peft", "tunewise"):
        loaded, there = getattr(sys.modules.get(name), "__version__", None), version_of(name)
        # without what follows a plus sign: torch calls itself 2.9.0+cu126, and is installed as 2.9.0
        if loaded and there and loaded.split("+")[0] != there.split("+")[0]:
            found.append((name, loaded, there))
    return found


def version_of(name: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
