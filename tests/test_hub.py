"""The way to the Hub, against a small stand-in for it on loopback: pinned revision, resume, gated models, damage, Hub down."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tunewise.models import registry

OPEN, GATED = registry.get("qwen2.5-0.5b"), registry.get("llama-2-7b")


@dataclass
class Hub:
    """What the stand-in serves, how it misbehaves, and what it was asked.

    files: name -> content. cut: the next answer with this file ends after half of it. spoilt: how many times a file arrives with one byte changed.
    down: files answered with an error. token: what is wanted in the header for a gated model.
    """

    files: dict[str, bytes]
    revision: str = OPEN.revision
    repository: str = OPEN.hub
    cut: set[str] = field(default_factory=set)
    spoilt: dict[str, int] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    token: str | None = None
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    address: str = ""

    def downloads(self, name: str) -> list[str | None]:
        """The ranges in which a file was asked for; None for all of it."""
        return [r for method, path, r in self.asked if method == "GET" and path.endswith(f"/{name}")]


def etag(name: str, content: bytes) -> str:
    """Large files are named by SHA-256, small ones as git names them."""
    if name.endswith((".safetensors", ".gguf")):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        hub, path = self.hub, self.path.split("?")[0]
        hub.asked.append((self.command, path, self.headers.get("Range")))
        if hub.repository not in path:
            return self.refuse(404, "RepoNotFound")
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self.refuse(401, "GatedRepo")
        if path == f"/api/models/{hub.repository}":  # the newest revision
            return self.listing(path)
        if hub.revision not in path:
            return self.refuse(404, "RevisionNotFound")
        if path.startswith("/api/"):
            return self.listing(path)
        self.file(path.split(f"/resolve/{hub.revision}/")[1], body)

    def listing(self, path: str) -> None:
        if "/tree/" in path:
            found = [
                {"type": "file", "path": n, "size": len(c), "oid": etag(n, c)}
                for n, c in self.hub.files.items()
            ]
        else:
            found = {
                "id": self.hub.repository,
                "sha": self.hub.revision,
                "siblings": [{"rfilename": n} for n in self.hub.files],
            }
        content = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def file(self, name: str, body: bool) -> None:
        hub = self.hub
        if name not in hub.files:
            return self.refuse(404, "EntryNotFound")
        if body and name in hub.down:
            return self.refuse(500, "Broken")
        content = hub.files[name]
        named = etag(name, content)
        if body and hub.spoilt.get(name):
            hub.spoilt[name] -= 1
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = int(found[1]) if (found := re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")) else 0
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{named}"')
        self.send_header("X-Repo-Commit", hub.revision)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if not body:
            return
        if name in hub.cut:
            hub.cut.remove(name)
            self.wfile.write(content[start : start + (len(content) - start) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(content[start:])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> dict[str, bytes]:
    """A model of a few thousand weights with its tokenizer, as a repository holds it, with files that are not wanted."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("tiny")
    config = Qwen2Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    words = Tokenizer(
        models.WordLevel(
            {w: i for i, w in enumerate(["[UNK]", "[EOS]", "the", "cat", "sat", "on", "a", "mat"])},
            unk_token="[UNK]",
        )
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", eos_token="[EOS]").save_pretrained(
        folder
    )
    files = {p.name: p.read_bytes() for p in folder.iterdir()}
    return files | {
        "pytorch_model.bin": b"the same weights as a pickle",
        "README.md": b"# Tiny",
        "original/model.safetensors": b"another format",
    }


@pytest.fixture
def hub(tiny):
    served = Hub(dict(tiny))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (Handler,), {"hub": served}))
    served.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield served
    server.shutdown()
    server.server_close()


START = """
import huggingface_hub.constants as constants
constants.DOWNLOAD_CHUNK_SIZE = 1024   # so that a small file has a middle
from tunewise.models.download import FetchError
from tunewise.models import load as loading, registry
"""
FOLDER = "try:\n    print(loading.hub_folder(registry.get({name!r})))\nexcept FetchError as error:\n    print('FetchError:', error)"


def python(code: str, address: str, home: Path, **environment) -> subprocess.CompletedProcess:
    """A new Python whose Hub is at ``address`` and whose caches are in ``home``."""
    env = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("HF_", "HUGGING")) and "proxy" not in k.lower()
    }
    env |= {
        "HF_ENDPOINT": address,
        "HF_HOME": str(home / "hf"),
        "TUNEWISE_CACHE": str(home / "tw"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", START + code], env=env | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done


def folder_of(name: str, address: str, home: Path, **environment) -> str:
    """What ``hub_folder`` returns, or the words of its error."""
    return python(FOLDER.format(name=name), address, home, **environment).stdout.strip()


def contents(folder: str) -> dict[str, bytes]:
    assert not folder.startswith("FetchError"), folder
    return {p.name: p.read_bytes() for p in Path(folder).iterdir()}


def test_a_model_is_downloaded_at_its_pinned_revision_loaded_and_kept(hub, tmp_path, tiny):
    code = """
import torch
from tunewise.models.device import Precision
lm = loading.load("qwen2.5-0.5b", precision=Precision("cpu", torch.float32, "test"))
print(lm.tokenizer.eos_token, lm.model(torch.tensor([[2, 3, 4]])).logits.shape, loading.model_checksum("qwen2.5-0.5b"))
"""
    said = python(code, hub.address, tmp_path).stdout
    assert said.strip() == f"[EOS] torch.Size([1, 3, 64]) {OPEN.hub}@{OPEN.revision}"
    paths = {path for _, path, _ in hub.asked}
    assert all(OPEN.revision in path for path in paths) and not any("/main" in path for path in paths)
    got = {name for name in hub.files if hub.downloads(name)}
    assert got == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    } & set(tiny)
    # The second time nothing is downloaded, also when the Hub does not answer.
    hub.asked.clear()
    assert python(code, hub.address, tmp_path).stdout == said
    assert not [a for a in hub.asked if a[0] == "GET" and "/resolve/" in a[1]]
    assert python(code, "http://127.0.0.1:9", tmp_path).stdout == said
    assert python(code, hub.address, tmp_path, HF_HUB_OFFLINE="1").stdout == said


def test_after_a_broken_connection_it_goes_on_in_the_middle_of_the_file(hub, tmp_path, tiny):
    hub.cut.add("model.safetensors")
    folder = folder_of(OPEN.name, hub.address, tmp_path)
    assert contents(folder)["model.safetensors"] == tiny["model.safetensors"]
    first, second = hub.downloads("model.safetensors")
    assert first is None
    start = int(re.fullmatch(r"bytes=(\d+)-", second)[1])
    assert 0 < start < len(tiny["model.safetensors"])


def test_files_that_arrived_whole_are_kept_when_it_gives_up(hub, tmp_path, tiny):
    hub.down.add("model.safetensors")
    said = folder_of(OPEN.name, hub.address, tmp_path)
    assert (
        said.startswith("FetchError:")
        and "run the same command again; files that arrived whole are kept" in said
    )
    hub.down.clear()
    before = {name: len(hub.downloads(name)) for name in tiny}
    assert (
        contents(folder_of(OPEN.name, hub.address, tmp_path))["model.safetensors"]
        == tiny["model.safetensors"]
    )
    again = {name for name in tiny if len(hub.downloads(name)) > before[name]}
    assert "model.safetensors" in again and before["config.json"] == 1 and "config.json" not in again


def test_a_file_that_arrives_altered_is_fetched_again_and_never_used(hub, tmp_path, tiny):
    hub.spoilt["model.safetensors"] = 1
    done = python(FOLDER.format(name=OPEN.name), hub.address, tmp_path)
    assert contents(done.stdout.strip())["model.safetensors"] == tiny["model.safetensors"]
    assert "1 damaged files in the Hub's cache: downloading them again" in done.stderr
    hub.spoilt["tokenizer.json"] = 10
    said = folder_of(OPEN.name, hub.address, tmp_path / "other")
    assert (
        said.startswith("FetchError:")
        and "tokenizer.json arrived damaged again" in said
        and "HF_ENDPOINT" in said
    )


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_damaged_on_the_disk_is_noticed(hub, tmp_path, tiny, name):
    path = Path(folder_of(OPEN.name, hub.address, tmp_path)) / name
    content = path.read_bytes()
    path.resolve().write_bytes(content[: len(content) // 2])
    assert contents(folder_of(OPEN.name, hub.address, tmp_path))[name] == tiny[name]
    assert len(hub.downloads(name)) == 2


def test_a_gated_model_without_a_token_says_the_steps_and_with_one_it_comes(hub, tmp_path, tiny):
    hub.repository, hub.revision, hub.token = GATED.hub, GATED.revision, "hf_secret"
    said = folder_of(GATED.name, hub.address, tmp_path)
    for part in (
        "FetchError:",
        GATED.hub,
        GATED.licence,
        "accept it on the model's page",
        "hf auth login",
        "HF_TOKEN",
        "qwen2.5-1.5b",
    ):
        assert part in said
    assert "llama-2" not in said.split("not gated:")[1]
    assert (
        contents(folder_of(GATED.name, hub.address, tmp_path, HF_TOKEN="hf_secret"))["config.json"]
        == tiny["config.json"]
    )


def test_hub_down_says_what_to_do(tmp_path):
    said = folder_of(OPEN.name, "http://127.0.0.1:9", tmp_path)  # nobody listens there
    for part in (
        "FetchError:",
        OPEN.hub,
        OPEN.revision,
        "1.0 GB",
        f"hf download {OPEN.hub} --revision {OPEN.revision}",
        "HF_HOME",
        "smollm2-135m",
    ):
        assert part in said


def test_offline_by_choice_says_what_to_do(hub, tmp_path):
    said = folder_of(OPEN.name, hub.address, tmp_path, HF_HUB_OFFLINE="1")
    assert said.startswith("FetchError:") and "hf download" in said and not hub.asked


def test_a_revision_or_model_that_is_not_there_is_said(hub, tmp_path):
    hub.revision = "0" * 40
    said = folder_of(OPEN.name, hub.address, tmp_path)
    assert said.startswith("FetchError:") and "but not this revision" in said and OPEN.revision in said
    hub.repository = "some/other"
    said = folder_of(OPEN.name, hub.address, tmp_path)
    assert said.startswith("FetchError:") and "knows no such model" in said


# -- any model of the Hub ----------------------------------------------------------------------------------------------


def test_any_model_of_the_hub_is_taken_at_todays_commit_and_found_again_without_the_hub(hub, tmp_path):
    hub.repository, hub.revision = "some/model", "1234567890" * 4
    code = """
lm = loading.load("some/model")
print(lm.spec.revision, lm.precision.dtype, loading.model_checksum("some/model"), registry.get("some/model").parameters > 0)
"""
    first = python(code, hub.address, tmp_path).stdout.split()
    assert first[:3] == [hub.revision, "torch.float32", f"some/model@{hub.revision}"]
    again = python(code, "http://127.0.0.1:9", tmp_path).stdout.split()
    assert again == [*first[:3], "True"]
    unknown = """
try:
    registry.get("no/model")
except FetchError as error:
    print(error)
"""
    assert "no/model is no name of the registry" in python(unknown, hub.address, tmp_path).stdout


# -- one GGUF file: from the Hub, or from PyPI -------------------------------------------------------------------------

GGUF = """
from tunewise.models.download import HubFile, fetch_file
file = HubFile("maker/tiny-GGUF", "tiny.gguf", {sha256!r}, {size}, "Tiny")
try:
    print(fetch_file(file))
except FetchError as error:
    print("FetchError:", error)
"""


@pytest.fixture
def gguf(hub) -> str:
    content = bytes(range(256)) * 40
    hub.repository, hub.revision, hub.files = "maker/tiny-GGUF", "main", {"tiny.gguf": content}
    return GGUF.format(sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def test_a_gguf_file_comes_from_the_hub_checked_and_once(hub, gguf, tmp_path):
    path = Path(python(gguf, hub.address, tmp_path).stdout.strip())
    assert path.read_bytes() == hub.files["tiny.gguf"] and path.is_relative_to(tmp_path / "hf")
    hub.asked.clear()
    assert python(gguf, hub.address, tmp_path).stdout.strip() == str(path)
    assert not hub.asked


def test_an_altered_gguf_file_is_fetched_again_and_never_returned(hub, gguf, tmp_path):
    hub.spoilt["tiny.gguf"] = 1
    path = Path(python(gguf, hub.address, tmp_path).stdout.strip())
    assert path.read_bytes() == hub.files["tiny.gguf"] and len(hub.downloads("tiny.gguf")) == 2
    hub.spoilt["tiny.gguf"] = 10
    said = python(gguf, hub.address, tmp_path / "other").stdout
    assert said.startswith("FetchError:") and "arrives altered" in said and "HF_ENDPOINT" in said


def test_a_hub_that_does_not_answer_is_given_up_soon(gguf, tmp_path):
    start = time.monotonic()
    said = python(gguf, "http://127.0.0.1:9", tmp_path).stdout
    assert said.startswith("FetchError:") and "maker/tiny-GGUF" in said
    assert (
        time.monotonic() - start < 25
    )  # most of it is importing; the Hub's own library would wait half a minute
