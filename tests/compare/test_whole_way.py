"""The whole way with the bundled model: rows in, LoRA chosen, taken home, merged, served, and asked whether it is what was evaluated."""

import dataclasses
import json
import threading

import pytest
import torch
from stand_in import said, serving
from test_winner import predicted

from tunewise.compare import compare, export_command, serve_check_command
from tunewise.compare.api_server import Server
from tunewise.compare.winner import write_winner
from tunewise.models.load import load
from tunewise.paths import cache_root
from whentofinetune.datasets import desks


def answering(lm):
    """What a server with this model writes: the likeliest tokens after the prompt's ids, up to the end of the line."""
    lock = threading.Lock()

    def reply(number, body):
        ids = torch.tensor([body["prompt"]])
        with lock, torch.inference_mode():
            out = lm.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=body["max_tokens"],
                do_sample=False,
            )
        text = lm.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        return said(text.split(body["stop"])[0], ids.shape[1], out.shape[1] - ids.shape[1])

    return reply


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Nothing that was computed before is found; the models are."""
    fresh, used = tmp_path / "cache", cache_root()
    fresh.mkdir()
    for name in ("models", "sources"):
        if (used / name).exists():
            (fresh / name).symlink_to(used / name)
    monkeypatch.setenv("TUNEWISE_CACHE", str(fresh))


def test_what_is_served_is_what_was_evaluated(tmp_path):
    task = desks.complaints()
    two = [e for e in task.train if e.label < 2][:24]  # of two labels, which few steps learn
    table = [{"text": e.text, "label": task.labels[e.label]} for e in two]
    report = compare(
        table,
        only=("majority", "lora"),
        output=tmp_path / "report.html",
        say=lambda line: None,
        budget=900.0,
        runs=1,
    )
    arm = report.arm("lora")
    assert sum(arm.outcomes["accuracy"]) > sum(report.arm("majority").outcomes["accuracy"])
    decision = dataclasses.replace(report.decision, winner="lora")  # so few rows may not tell
    folder = write_winner(dataclasses.replace(report, decision=decision))
    rows = [json.loads(line) for line in (folder / "evaluated.jsonl").read_text().splitlines()]
    assert [r["prediction"] for r in rows] == list(arm.predictions)
    assert predicted(folder, [r["text"] for r in rows], tmp_path) == list(arm.predictions)
    lines = export_command.export(folder, tmp_path / "merged", tmp_path / "adapter.gguf")
    assert (
        lines[1].startswith(f"Wrote {tmp_path / 'adapter.gguf'}") and "read back and found equal" in lines[1]
    )
    with serving(answering(load(str(tmp_path / "merged")))) as (url, came):
        found = serve_check_command.check(Server(url), None, folder)
    assert len(came) == len(rows) and found.share >= serve_check_command.AGREEMENT
