"""What tuning costs and saves: adapters for several tasks, distilled models, a distilled judge, and the calculator of all that."""

import types

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from tunewise import runs
from tunewise.experiments import get
from tunewise.experiments.base import Bench
from tunewise.models.device import choose
from tunewise.models.load import converted
from tunewise.models.registry import get as spec


def small(seed=0):
    """A Llama of random weights with the embedded model's tokenizer: what an experiment does with a model is seen in a second."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=49152, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    return types.SimpleNamespace(model=LlamaForCausalLM(config).eval(), tokenizer=AutoTokenizer.from_pretrained(converted(spec("smollm2-135m"))))


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path))
    work = runs.Work({"test": 1}, say=None)
    monkeypatch.undo()
    made = Bench("smollm2-135m", work, choose("cpu"))
    made.lm = small()
    return made


# -- several tasks, several adapters -----------------------------------------------------------------------------------


@pytest.fixture
def adapters(bench, monkeypatch):
    monkeypatch.setattr("tunewise.models.load.load", lambda *_, **__: small())
    experiment = get("task_diversity")
    return types.SimpleNamespace(rows=experiment.run(bench, experiment.scales["smoke"]), params=experiment.scales["smoke"], bench=bench)


def test_every_adapter_is_asked_about_every_task(adapters):
    asked = {(r["trained"], r["tested"]) for r in adapters.rows if "predictions" in r}
    tasks = ["tweets", "domain", "desks"]
    assert asked == {(a, t) for a in ["none", *tasks, "mixed", "mixed, same total"] for t in tasks}
    items = {r["tested"]: r for r in adapters.rows if r["method"] == "items"}
    for row in adapters.rows:
        if "predictions" in row:
            labels = items[row["tested"]]["labels"]
            right = sum(p == y for p, y in zip(row["predictions"], labels, strict=True))
            assert row["accuracy"]["value"] == pytest.approx(right / len(labels))


def test_mixed_adapters_see_as_many_examples_as_they_say(adapters):
    seen = {r["trained"]: (r["of_each"], r["n_labels"], r["examples_seen"]) for r in adapters.rows if r["method"] == "lora"}
    n, passes = adapters.params["labels"], adapters.params["recipe"]["epochs"]
    assert seen["tweets"] == (n, n, n * passes)
    assert seen["mixed"] == (n, 3 * n, 3 * n * passes)
    assert seen["mixed, same total"] == (n // 3, n, n * passes)


def test_an_adapter_answers_the_same_after_others_had_their_turn(adapters):
    (row,) = [r for r in adapters.rows if r["method"] == "switch"]
    assert row["same_after_switching"] == {"tweets": True, "domain": True, "desks": True} and row["same_when_off"]
    assert len(row["switch_ms"]) == 6 + adapters.params["switches"] and min(row["switch_ms"]) >= 0
    lora = next(r for r in adapters.rows if r["method"] == "lora")
    assert row["adapter_bytes"] == 4 * lora["trainable"]
    # the base model is left as it was
    assert not hasattr(adapters.bench.lm.model, "peft_config") or not any("lora" in n for n, _ in adapters.bench.lm.model.named_parameters())
