"""``tunewise doctor``: what it finds on good and on bad machines, and that its exit status is the answer. No model is loaded here;
``test_offline.py`` runs the whole of it."""

from __future__ import annotations

import threading
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch

from tunewise import cli
from whentofinetune.commands import doctor
from whentofinetune.commands.doctor import Finding


@pytest.fixture
def report(monkeypatch, capsys):
    """Run the command over given findings: its exit status and what it says."""

    def run(*changes: Finding):
        found = {
            f.what: f
            for f in (
                Finding("ok", "torch", ""),
                Finding("ok", "device", "a GPU"),
                Finding("ok", "Hugging Face Hub", ""),
                Finding("ok", "bundled model", ""),
            )
        }
        found |= {f.what: f for f in changes}
        monkeypatch.setattr(doctor, "examine", lambda quick: iter(found.values()))
        return cli.main(["doctor"]), capsys.readouterr().out

    return run


def test_all_well(report):
    status, said = report()
    assert status == 0 and "Everything works, with a GPU" in said


def test_without_a_gpu_it_works_and_says_what_is_left_out(report):
    status, said = report(Finding("note", "device", "CPU"))
    assert status == 0 and "every chapter runs here" in said and "Colab" in said


def test_with_a_gpu_but_without_the_hub(report):
    status, said = report(Finding("note", "Hugging Face Hub", "not reachable"))
    assert status == 0 and "can't be downloaded without the Hub" in said


def test_what_is_bad_decides_and_comes_with_its_remedy(report):
    status, said = report(Finding("bad", "bundled model", "could not be fetched", "first line\nsecond line"))
    assert status == 1 and "[BAD ] bundled model" in said
    assert "       first line\n       second line" in said and "does not run here yet: bundled model" in said


def test_quick_looks_only(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path))

    def never():
        raise AssertionError("asked although --quick was given")

    for name in ("hub", "bundled_model", "book_data"):
        monkeypatch.setattr(doctor, name, never)
    assert cli.main(["doctor", "--quick"]) == 0
    said = capsys.readouterr().out
    for what in ("Python", "torch", "packages", "device", "memory", "cache", "models here"):
        assert f"] {what}: " in said
    assert "smollm2-135m, minilm will be fetched from PyPI on first use" in said
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    real = doctor.version_of
    monkeypatch.setattr(
        doctor, "version_of", lambda name: None if name in ("gguf", "bitsandbytes") else real(name)
    )
    found = {f.what: f for f in doctor.packages()}
    assert found["packages"].state == "bad"
    assert "missing: gguf" in found["packages"].says
    assert "tunewise[models]" in found["packages"].do
    assert found["bitsandbytes"].state == "note"
    assert "QLoRA is left out" in found["bitsandbytes"].says
    assert "tunewise[qlora]" in found["bitsandbytes"].do


def test_every_remedy_that_names_an_extra_installs_what_is_missing():
    """`pip install 'tunewise[models]'` must bring the package that the doctor misses."""
    import re
    from importlib import metadata

    extras = {}
    for line in metadata.requires("tunewise"):
        name, extra = re.match(r"([\w-]+).*extra == '(\w+)'", line).groups()
        extras.setdefault(extra, set()).add(name.lower().replace("_", "-"))
    for optional, extra in {
        "bitsandbytes": "qlora",
        "vadersentiment": "models",
        "gguf": "models",
        "scipy": "models",
    }.items():
        assert optional in extras[extra]


def test_without_torch_it_stops_there_and_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    found = list(doctor.examine())
    assert [f.what for f in found] == ["Python", "torch"]
    assert found[-1].state == "bad"
    assert "tunewise[models]" in found[-1].do


def test_a_gpu_is_named_with_its_memory(monkeypatch):
    monkeypatch.delenv("TUNEWISE_DTYPE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (14 * 2**30, 15 * 2**30))
    found = doctor.accelerator()
    assert found.state == "ok"
    assert "Tesla T4: float16" in found.says
    assert "15.0 GiB, 14.0 GiB of it free" in found.says
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (2 * 2**30, 15 * 2**30))
    found = doctor.accelerator()
    assert found.state == "note" and "restart other notebooks" in found.do


def test_a_gpu_that_torch_does_not_see_is_explained(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert "torch is built for the CPU" in doctor.accelerator().do


def test_a_wrong_dtype_is_bad_and_named(monkeypatch):
    monkeypatch.setenv("TUNEWISE_DTYPE", "float8")
    found = doctor.accelerator()
    assert found.state == "bad" and "float8" in found.says and "TUNEWISE_DTYPE" in found.do


@pytest.mark.parametrize("place", ["file", "file/cache", "/proc/no-such-folder"])
def test_a_cache_that_cannot_be_used_is_bad_with_its_remedy(monkeypatch, tmp_path, capsys, place):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path / place))
    assert cli.main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert f"[BAD ] cache: the cache folder {tmp_path / place} cannot be used (" in said
    assert "       Set TUNEWISE_CACHE to a folder" in said and "does not run here yet: cache" in said


def test_a_full_disk_is_bad_until_the_model_is_there(monkeypatch, tmp_path):
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path / "new"))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**8))
    found = doctor.disk()
    assert found.state == "bad" and "0.1 GB free" in found.says
    monkeypatch.setattr(
        "tunewise.models.load.place", lambda spec: tmp_path
    )  # what needs the room is there already
    assert doctor.disk().state == "ok"


@pytest.fixture
def endpoint(monkeypatch):
    """Let the Hub be at an address; with a status, something there answers with it."""
    from huggingface_hub import constants

    servers = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def at(status: int | None):
        if status is None:
            monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
            return

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{servers[-1].server_address[1]}")

    yield at
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [(200, "ok", "answers in"), (503, "note", "answers with error 503"), (None, "note", "is not reachable")],
)
def test_the_hub_is_asked_and_never_needed(endpoint, status, state, words):
    endpoint(status)
    found = doctor.hub()
    assert found.state == state and words in found.says
    if state == "note":
        assert "Only the larger models need it" in found.do and "HF_ENDPOINT" in found.do


def test_the_hub_is_not_asked_when_told_so(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "not asked" in doctor.hub().says
