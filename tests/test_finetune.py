"""The training loop: the right loss, adapters that come off again, and a run that survives kill -9."""

import contextlib
import errno
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from small_model import small

from tunewise.finetune import (
    Recipe,
    _backward,
    _batches,
    choose,
    finetune,
    is_kept,
    load_adapter,
    loss_of,
    make_trainable,
    restore,
    save_adapter,
)
from tunewise.models.graphed import Graphed
from tunewise.models.packing import laid_out
from tunewise.models.registry import get

PREFIX = "Say the colour.\n\nThing:"
PAIRS = [
    (" grass\nColour:", " green"),
    (" snow on the hills\nColour:", " white"),
    (" coal\nColour:", " deep black"),
]


def ids(lm, text):
    return lm.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_packed_loss_and_gradients_equal_transformers_own():
    """transformers computes the loss one example at a time, with -100 on the prompt; weighted by answer length it is ours."""
    lm = small()
    eos = [lm.tokenizer.eos_token_id]
    pairs = [(ids(lm, p), ids(lm, a) + eos) for p, a in PAIRS]
    prefix = ids(lm, PREFIX)
    ours = loss_of(lm.model, prefix, pairs)
    ours.backward()
    gradients = {n: p.grad.clone() for n, p in lm.model.named_parameters()}
    lm.model.zero_grad()
    total = sum(len(a) for _, a in pairs)
    theirs = 0.0
    for prompt, answer in pairs:
        whole = torch.tensor([prefix + prompt + answer])
        labels = whole.clone()
        labels[0, : -len(answer)] = -100
        theirs = theirs + lm.model(whole, labels=labels).loss * len(answer) / total
    theirs.backward()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    for name, p in lm.model.named_parameters():
        torch.testing.assert_close(gradients[name], p.grad, atol=1e-6, rtol=1e-4)


def test_an_adapters_products_in_bfloat16_differ_from_the_truth_by_rounding():
    """The same bfloat16 weights, computed in float32, are the truth; the adapter's own weights and gradients stay float32."""

    def gradients(dtype, backward):
        lm = small()
        lm.model.to(torch.bfloat16).to(dtype)
        model = make_trainable(lm, Recipe(rank=4)).train()
        torch.manual_seed(1)
        trained = [p for p in model.parameters() if p.requires_grad]
        for p in trained:
            torch.nn.init.normal_(p, std=0.1)  # B is 0 at first, and so would A's gradient be
        pairs = [(ids(lm, p), ids(lm, a)) for p, a in PAIRS]
        seen = []
        layer = model.get_submodule("base_model.model.model.layers.0.mlp.up_proj.lora_A.default")
        layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
        backward(model, ids(lm, PREFIX), pairs)
        assert {p.grad.dtype for p in trained} == {torch.float32}
        return seen, torch.cat([p.grad.flatten() for p in trained])

    def plain(model, prefix, pairs):
        loss_of(model, prefix, pairs).backward()

    def ours(model, prefix, pairs):
        _backward(model, prefix, [pairs], Recipe(rank=4))(pairs, 1.0)

    _, truth = gradients(torch.float32, plain)
    by_peft, theirs = gradients(torch.bfloat16, plain)
    here, found = gradients(torch.bfloat16, ours)
    assert (by_peft, here) == ([torch.float32], [torch.bfloat16])
    assert torch.equal(gradients(torch.float32, ours)[1], truth)  # a float32 model is trained as before
    off = [float((g - truth).norm() / truth.norm()) for g in (found, theirs)]
    assert max(off) < 0.02  # bfloat16 keeps eight binary digits


def test_rows_padded_for_a_recorded_graph_give_the_same_gradients():
    """A graph replays one shape; what is added to reach it changes neither the loss nor any gradient."""
    lm = small()
    pairs = [(ids(lm, p), ids(lm, a)) for p, a in PAIRS]
    rows = [laid_out(pairs[:2], ids(lm, PREFIX)), laid_out(pairs[2:])]  # the second is one plain text
    (0.6 * loss_of(lm.model, ids(lm, PREFIX), pairs[:2]) + 0.4 * loss_of(lm.model, [], pairs[2:])).backward()
    plain = {n: p.grad.clone() for n, p in lm.model.named_parameters()}
    replayed = Unrecorded(lm.model, rows)
    losses = [replayed(*row, share) for row, share in zip(rows, (0.6, 0.4), strict=True)]
    assert losses[1] == pytest.approx(0.4 * loss_of(lm.model, [], pairs[2:]).item(), rel=1e-5)
    for name, p in lm.model.named_parameters():
        torch.testing.assert_close(plain[name], p.grad, atol=1e-6, rtol=1e-4)
    for row, places, wanted in rows:
        mask = replayed._padded(row, places, wanted, 1.0)[2][0, 0]
        seen = mask == 0
        assert seen.any(dim=1).all(), "a fused kernel gives nan for a row that sees nothing"
        assert not seen[: row.length, row.length :].any(), "a token sees what was padded"


class Unrecorded(Graphed):
    """Runs anew what a GPU would replay, padded further than the longest row."""

    def __init__(self, model, rows):
        self.model, self.trained, self.dtype = model, list(model.parameters()), torch.float32
        self.length, self.places = max(r.length for r, _, _ in rows) + 7, 9
        self.inputs = [torch.zeros_like(t) for t in self._padded(*rows[0], 1.0)]
        self.zero()

    def __call__(self, row, places, wanted, share):
        self._fill(row, places, wanted, share)
        return float(self._pass())


def test_the_best_of_a_recipes_candidates_is_chosen_on_pairs_held_out():
    """Four fifths are trained on and one fifth is tried, whatever the order; the loss that decides is transformers' own."""
    lm, pairs, seen = small(), [(f" thing {i}\nColour:", f" green {i % 3}") for i in range(10)], []
    recipe = Recipe(candidates=[{"learning_rate": 1e-2}, {"learning_rate": 9.0, "epochs": 3}], seed=4)

    @contextlib.contextmanager
    def train(kept, candidate):
        seen.append((kept, candidate))
        if candidate.learning_rate > 1:
            raise FloatingPointError
        yield lm

    good, bad = choose(train, pairs, recipe, PREFIX)
    (kept, first), (_, second) = seen
    held_out = [p for p in pairs if p not in kept]
    assert len(kept) == 8 and len(held_out) == 2 and first.candidates == () and second.epochs == 3
    total, nats = 0, 0.0
    for prompt, answer in held_out:
        target = ids(lm, answer) + [lm.tokenizer.eos_token_id]
        whole = torch.tensor([ids(lm, PREFIX) + ids(lm, prompt) + target])
        labels = torch.where(torch.arange(whole.shape[1]) < whole.shape[1] - len(target), -100, whole)
        nats, total = nats + lm.model(whole, labels=labels).loss.item() * len(target), total + len(target)
    assert good == pytest.approx(nats / total, rel=1e-5) and bad > 50
    with pytest.raises(ValueError, match="stands for several"):
        finetune(lm, pairs, recipe)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_learns_and_only_what_it_should(method):
    lm = small()
    before = {n: p.detach().clone() for n, p in lm.model.named_parameters()}
    tuned = finetune(lm, PAIRS, Recipe(method=method, learning_rate=1e-2, min_steps=30), prefix=PREFIX)
    assert (
        tuned.losses[-1] < tuned.losses[0] - 0.3
    )  # an adapter on random weights can learn little: the output layer is frozen
    if method == "lora":
        base = restore(tuned)
        assert sum(p.numel() for p in base.parameters()) == sum(p.numel() for p in before.values())
        for n, p in base.named_parameters():
            assert torch.equal(p, before[n]), n
        linear = [m for n, m in base.named_modules() if n.endswith("_proj")]
        assert tuned.trainable == sum(8 * (m.in_features + m.out_features) for m in linear)
    else:
        assert tuned.trainable == sum(p.numel() for p in before.values())


def logits(model):
    with torch.no_grad():
        return model(torch.arange(12)[None]).logits


def test_a_saved_adapter_answers_as_before_and_loads_in_plain_peft(tmp_path):
    lm, folder = small(), tmp_path / "adapter"
    lm.spec = get("smollm2-135m")
    tuned = finetune(lm, PAIRS, Recipe(learning_rate=1e-2, min_steps=5), prefix=PREFIX)
    before = logits(tuned.model)
    assert not is_kept(folder)
    save_adapter(tuned, folder)
    assert is_kept(folder) and [p.name for p in tmp_path.iterdir()] == ["adapter"]
    lm.model = restore(tuned)
    assert not torch.allclose(logits(lm.model), before)
    again = load_adapter(lm, folder)
    assert torch.equal(logits(again.model), before)
    assert (again.losses, again.trainable, again.examples) == (tuned.losses, tuned.trainable, tuned.examples)
    lm.model = restore(again)
    with pytest.raises(ValueError, match="no adapter"):
        save_adapter(again.__class__(lm.model, lm.tokenizer, [], 0.0, 0, 0), folder)

    from peft import PeftModel

    assert torch.equal(logits(PeftModel.from_pretrained(small().model.eval(), folder)), before)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "training.json"])
def test_a_damaged_adapter_is_removed_and_said(tmp_path, capsys, name):
    folder = tmp_path / "adapter"
    save_adapter(finetune(small(), PAIRS, Recipe(min_steps=1, epochs=1)), folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    assert not is_kept(folder) and not folder.exists()
    assert "damaged" in capsys.readouterr().err


def test_each_pass_sees_every_example_once():
    batches = _batches(10, 6, 4, seed=3)
    assert sorted(np.concatenate(batches[:3])) == list(range(10)) == sorted(np.concatenate(batches[3:]))
    assert [len(b) for b in batches] == [4, 4, 2, 4, 4, 2]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [([], "no training examples"), ([(" a", "")], "empty completion"), ([("", " a")], "at least one token")],
)
def test_bad_examples_are_refused(pairs, message):
    with pytest.raises(ValueError, match=message):
        finetune(small(), pairs, Recipe(min_steps=1), prefix=PREFIX)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="method"):
        Recipe(method="magic")
    with pytest.raises(ValueError, match="rank"):
        Recipe(rank=0)


def test_a_diverging_run_says_what_to_do():
    with pytest.raises(FloatingPointError, match="learning_rate"):
        finetune(
            small(),
            PAIRS,
            Recipe(method="full", learning_rate=1e30, min_steps=20, warmup=0, max_grad_norm=1e30),
            prefix=PREFIX,
        )


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "c.pt"
    torch.save({"identity": "another"}, path)
    with pytest.raises(ValueError, match="belongs to another run"):
        finetune(small(), PAIRS, Recipe(), checkpoint=path)


def half_done(path):
    """The state of a run that is stopped after its fourth step, or its next one where it goes on from there."""

    def stop(step, steps, loss):
        if step >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(small(), PAIRS, Recipe(min_steps=6), checkpoint=path, checkpoint_seconds=0, progress=stop)


def test_a_full_disk_costs_the_checkpoint_and_not_the_training(tmp_path, monkeypatch, capsys):
    real_save, wrote = torch.save, []

    def full(state, path):
        real_save(state, path)
        wrote.append(path)
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    path = tmp_path / "run.pt"
    whole = finetune(small(), PAIRS, Recipe(min_steps=6))
    monkeypatch.setattr(torch, "save", full)
    tuned = finetune(small(), PAIRS, Recipe(min_steps=6), checkpoint=path, checkpoint_seconds=0)
    assert tuned.losses == whole.losses and len(wrote) == 5
    assert not list(tmp_path.iterdir())
    said = capsys.readouterr().err
    assert said.count("training goes on") == 1 and str(path) in said and "No space left" in said


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    half_done(path)
    before = path.read_bytes()
    monkeypatch.setattr(torch, "save", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    half_done(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("keep", [0, 10, 2000])
def test_a_truncated_checkpoint_is_named_set_aside_and_begun_anew(tmp_path, capsys, keep):
    path = tmp_path / "run.pt"
    half_done(path)
    content = path.read_bytes()
    path.write_bytes(content[:keep])
    tuned = finetune(small(), PAIRS, Recipe(min_steps=6), checkpoint=path)
    assert tuned.resumed_at == 0 and len(tuned.losses) == 6
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt.damaged"]
    said = capsys.readouterr().err
    assert str(path) in said and "training begins again" in said


CHILD = """
import json, sys, time, torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from test_finetune import PAIRS, PREFIX, small
from tunewise.finetune import Recipe, finetune
from pathlib import Path
slow = lambda step, steps, loss: time.sleep({pause})
tuned = finetune(small(), PAIRS * 4, Recipe(learning_rate=1e-2, batch_size=4, min_steps=40), prefix=PREFIX,
                 checkpoint=Path({checkpoint!r}), checkpoint_seconds=0, progress=slow)
weights = [p.detach().double().sum().item() for p in tuned.model.parameters() if p.requires_grad]
print(json.dumps([tuned.resumed_at, tuned.losses, weights]))
"""


def test_killed_in_the_middle_it_ends_with_the_same_result(tmp_path):
    import pathlib

    here = str(pathlib.Path(__file__).parent)
    checkpoint = tmp_path / "run.pt"

    def child(pause, path):
        code = CHILD.format(tests=here, pause=pause, checkpoint=str(path))
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)

    whole, _ = child(0, tmp_path / "other.pt").communicate(timeout=120)
    victim = child(0.2, checkpoint)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if checkpoint.exists() and len(torch.load(checkpoint, weights_only=True)["losses"]) >= 5:
            break
        time.sleep(0.1)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert checkpoint.exists()
    rest, _ = child(0, checkpoint).communicate(timeout=120)
    start, losses, weights = json.loads(whole)
    resumed, losses_after, weights_after = json.loads(rest)
    assert start == 0 and resumed >= 5
    assert losses_after == pytest.approx(losses, rel=1e-6)
    assert weights_after == pytest.approx(weights, rel=1e-6, abs=1e-9)
    assert not checkpoint.exists()
