"""``finetune-memory measure``: real steps, one process each, kept and found again."""

from __future__ import annotations

import argparse
import json
import sys

import bitsandbytes  # noqa: F401 - before a test pretends that there is a GPU, for which it would look
import pytest
import torch

from finetune_memory import machine, real_steps
from finetune_memory import measure_command as command
from finetune_memory.settings import Settings

TINY = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
linux = pytest.mark.skipif(sys.platform != "linux", reason="peak resident memory is read on Linux only")


def arguments(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(TINY))
    return str(path)


@pytest.fixture
def no_process(monkeypatch):
    """The outcomes that processes would give, by method; what was asked for is noted."""
    asked, outcomes = [], {}

    def fake(settings, device, timeout):
        asked.append(settings["method"])
        found = outcomes.get(
            settings["method"], {"outcome": "measured", "allocated": 10**9, "reserved": None}
        )
        if isinstance(found, BaseException):
            raise found
        return found

    monkeypatch.setattr(command, "_in_own_process", fake)
    return asked, outcomes


def run(tmp_path, model, *words):
    same, where = "--device cpu --seq 8 --checkpointing off", str(tmp_path / "record.json")
    return command.main(arguments(*same.split(), "--model", model, "--out", where, *words))


def rows(tmp_path):
    return json.loads((tmp_path / "record.json").read_text())["rows"]


def test_finished_settings_are_not_run_again(tmp_path, model, no_process, capsys):
    asked, _ = no_process
    assert run(tmp_path, model) == 0
    assert asked == ["full", "lora", "qlora"]
    assert run(tmp_path, model, "--batch", "1,2") == 0
    assert asked == ["full", "lora", "qlora"] * 2  # batch 1 was found, batch 2 run
    assert "3 of them in" in capsys.readouterr().err
    assert [(r["settings"]["method"], r["settings"]["batch"]) for r in rows(tmp_path)][3:] == [
        ("full", 2),
        ("lora", 2),
        ("qlora", 2),
    ]
    assert run(tmp_path, model, "--fresh") == 0
    assert len(asked) == 9 and len(rows(tmp_path)) == 6


def test_one_out_of_memory_does_not_end_the_rest(tmp_path, model, no_process):
    asked, outcomes = no_process
    outcomes["full"] = {"outcome": "out of memory", "why": "tried to allocate 20 GiB"}
    assert run(tmp_path, model) == 0
    assert [r["outcome"] for r in rows(tmp_path)] == ["out of memory", "measured", "measured"]
    run(tmp_path, model)
    assert len(asked) == 3  # it would not fit the second time either


def test_a_failure_is_told_and_tried_again(tmp_path, model, no_process, capsys):
    asked, outcomes = no_process
    outcomes["lora"] = {"outcome": "failed", "why": "ValueError: no such module"}
    assert run(tmp_path, model) == 1
    assert "failed: ValueError: no such module" in capsys.readouterr().err
    outcomes.clear()
    assert run(tmp_path, model) == 0
    assert asked == ["full", "lora", "qlora", "lora"]


def test_interrupted_it_keeps_what_is_finished(tmp_path, model, no_process, capsys):
    asked, outcomes = no_process
    outcomes["lora"] = KeyboardInterrupt()
    assert run(tmp_path, model) == 130
    assert [r["settings"]["method"] for r in rows(tmp_path)] == ["full"]
    assert "goes on from here" in capsys.readouterr().err


def test_a_record_says_where_when_and_with_what(tmp_path, model, no_process):
    run(tmp_path, model, "--method", "full")
    record = json.loads((tmp_path / "record.json").read_text())
    (row,) = record["rows"]
    assert record["device"].startswith("CPU")
    assert command._key(row["settings"]) == command._key(
        row["settings"] | {"rank": 8}
    )  # the default, written down or not
    assert row["settings"]["model"] == TINY and row["settings"]["optimizer"] == "adamw"
    assert row["versions"]["torch"] == torch.__version__ and row["date"].startswith("20")
    Settings.from_dict(row["settings"])  # the calculator takes a record's settings as they are


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--batch", "two"], "batch must be a whole number of at least 1, not 'two'"),
        (["--checkpointing", "maybe"], "checkpointing is true or false"),
        (["--method", "dora"], "method is one of full, lora, qlora"),
        (["--model", "no/such"], "not among the"),
        (["--model", "missing.json"], "there is no file missing.json"),
        (["--set", "ranks=3"], "there is no setting 'ranks'"),
        (["--set", "rank=-1"], "rank must be a whole number"),
    ],
)
def test_wrong_values(words, says, tmp_path, capsys):
    assert command.main(arguments("--device", "cpu", "--out", str(tmp_path / "r.json"), *words)) == 2
    assert says in capsys.readouterr().err


def test_no_gpu(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main(arguments("--device", "cuda")) == 2
    assert "sees no CUDA GPU here" in capsys.readouterr().err


def test_another_devices_record_is_not_mixed_in(tmp_path, model, no_process, capsys):
    (tmp_path / "record.json").write_text('{"device": "Tesla T4", "rows": []}')
    assert run(tmp_path, model) == 2
    assert "a record of Tesla T4" in capsys.readouterr().err


# --- the grid on a GPU, which is not here --------------------------------------------------------------------------


@pytest.fixture
def gpu(monkeypatch):
    """torch.cuda as a GPU would answer; tensors stay on the CPU."""
    calls = []
    answers = {
        "is_available": True,
        "get_device_capability": (9, 0),
        "get_device_name": "NVIDIA H100 80GB HBM3",
        "max_memory_allocated": 5 * 10**9,
        "max_memory_reserved": 6 * 10**9,
        "memory_allocated": 3 * 10**9,
    }
    for name, value in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    for name in ("init", "synchronize", "empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, name=name: calls.append(name))
    return calls


def test_the_grid(gpu):
    found = command.plan(arguments("--grid"), "cuda")
    assert (
        len(found) == 5 * 3 * 2 * 2 * 2
    )  # models, methods, batch 1 and 4, length 512 and 2048, checkpointing
    assert {s["model"] for s in found} >= {
        "meta-llama/Llama-2-7b-hf",
        "meta-llama/Llama-2-13b-hf",
        "Qwen/Qwen2.5-0.5B",
        "Qwen/Qwen2.5-1.5B",
    }
    assert {(s["batch"], s["seq"], s["checkpointing"]) for s in found} == {
        (b, t, c) for b in (1, 4) for t in (512, 2048) for c in (True, False)
    }
    here = {"arch": 90, "dtype": "bf16", "torch": ".".join(torch.__version__.split(".")[:2])}
    assert all(here.items() <= s.items() for s in found)
    assert len({command._key(s) for s in found}) == len(found)


def test_the_gpus_name_names_the_record(gpu, tmp_path, monkeypatch, no_process, model):
    monkeypatch.setenv("FINETUNE_MEMORY_CACHE", str(tmp_path / "cache"))
    for words, folder in ([], tmp_path / "cache"), (["--to", str(tmp_path / "data")], tmp_path / "data"):
        assert command.main(arguments("--model", model, "--method", "lora", "--seq", "8", *words)) == 0
        record = json.loads((folder / "measured-nvidia-h100-80gb-hbm3.json").read_text())
        assert record["device"] == machine.device_name("cuda") and len(record["rows"]) == 2


def test_cuda_counts(gpu, monkeypatch):
    """Peaks are the allocator's; they are set back before each phase of the last step and never before it."""
    real = real_steps.load
    monkeypatch.setattr(real_steps, "load", lambda settings, device: real(settings, "cpu"))
    loop = real_steps._Loop
    monkeypatch.setattr(
        real_steps,
        "_Loop",
        lambda model, optimizers, settings, device: loop(model, optimizers, settings, "cpu"),
    )
    settings = Settings(
        model={**TINY, "vocab_size": 64}, method="lora", seq=8, dtype="fp32", checkpointing=True
    )
    result = real_steps.measure(settings, "cuda")
    assert (result["allocated"], result["reserved"], result["resident"]) == (5 * 10**9, 6 * 10**9, 3 * 10**9)
    assert list(result["phases"]) == ["load", "forward", "backward", "optimiser"]
    assert gpu.count("reset_peak_memory_stats") == 1 + 3


def test_out_of_memory_is_an_outcome(monkeypatch):
    def full(settings, device):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    monkeypatch.setattr(real_steps, "measure", full)
    assert real_steps.outcome({}, "cuda") == {
        "outcome": "out of memory",
        "why": "CUDA out of memory. Tried to allocate 2.00 GiB.",
    }


# --- real steps ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "full", "optimizer": "sgd_momentum", "in_backward": True},
        {
            "method": "full",
            "master_weights": True,
            "dtype": "bf16",
            "optimizer_mode": "fused",
            "outputs": "dropped",
        },
        {
            "method": "lora",
            "attention": "eager",
            "adapter_dtype": "bf16",
            "outputs": "next",
            "use_cache": True,
        },
        {"method": "qlora", "checkpointing": True, "double_quant": True, "optimizer": "adafactor"},
    ],
    ids=str,
)
def test_the_loop_trains(changes):
    settings = Settings(
        **{"model": {**TINY, "vocab_size": 64}, "seq": 8, "dtype": "fp32", "targets": "all-linear", **changes}
    )
    model = real_steps.load(settings, "cpu")
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert all(("lora_" in n) == (settings.method != "full") for n in trained)
    before = {n: p.detach().clone() for n, p in trained.items()}
    loop = real_steps._Loop(model, real_steps._optimizers(model, settings), settings, "cpu")
    loop.step()
    loop.step()
    assert all(p.grad is None for p in model.parameters())
    assert any(not torch.equal(before[n], p) for n, p in trained.items())
    assert (loop.kept is not None) == (settings.outputs == "next")
    kinds = {type(m).__name__ for m in model.modules()}
    assert ("Linear4bit" in kinds) == (settings.method == "qlora")


def test_settings_that_cannot_be_measured():
    with pytest.raises(ValueError, match="one GPU"):
        real_steps.supported(Settings(gpus=2, sharding="fsdp"))
    with pytest.raises(ValueError, match="transformers' own loss"):
        real_steps.supported(Settings(loss="fused"))


@linux
def test_resident_memory_of_a_real_run(tmp_path, model):
    """Full fine-tuning in fp32 holds weights, gradients and two states of 17.7 million parameters: 283 MB."""
    assert run(tmp_path, model, "--method", "full,lora", "--set", "dtype=fp32") == 0
    full, lora = rows(tmp_path)
    parameters = 2 * 32000 * 256 + 2 * (4 * 256 * 256 + 3 * 256 * 512 + 2 * 256) + 256
    assert full["outcome"] == lora["outcome"] == "measured"
    assert full["resident"] == pytest.approx(4 * parameters, rel=0.1)
    assert (
        16 * parameters < full["allocated"] < 24 * parameters
    )  # AdamW's foreach form takes another copy or so
    assert lora["allocated"] < full["allocated"] / 2
    assert full["phases"]["optimiser"] > full["phases"]["forward"]
