"""An experiment on a model of random weights: what it does with a model is seen in a second or two."""

import re
import types

import numpy as np
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from tunewise.models.device import choose as precision
from tunewise.models.load import converted
from tunewise.models.registry import get as spec
from whentofinetune import book_records
from whentofinetune.old_bench import Bench
from whentofinetune.old_steps import Work


def small(seed=0, positions=2048):
    """A Llama of random weights with the embedded model's tokenizer: what an experiment does with a model is seen in a second."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
    )
    return types.SimpleNamespace(
        model=LlamaForCausalLM(config).eval(),
        tokenizer=AutoTokenizer.from_pretrained(converted(spec("smollm2-135m"))),
        spec=None,
        precision=None,
    )


def made_bench(folder, monkeypatch, **options):
    """A bench with a small model, and sentence vectors that hold nothing but the words."""
    monkeypatch.setenv("TUNEWISE_CACHE", str(folder))
    work = Work({"test": 1}, say=None)
    monkeypatch.undo()
    bench = Bench("smollm2-135m", work, precision("cpu"))
    bench.lm = small(**options)

    def embed(texts):
        vectors = np.zeros((len(texts), 256))
        for i, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[i, sum(map(ord, word)) % 256] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    bench.embed = embed
    return bench


def recorded(experiment, params, rows):
    return book_records.RunRecord(
        experiment=experiment.name,
        scale="smoke",
        version=1,
        params=params,
        seeds=params["seeds"],
        results=rows,
        key="k",
        checksums={},
        device="CPU",
        versions={},
        date="2026-01-01",
        duration_s=1.0,
        notes={},
    )


def performed(experiment, bench, **changes):
    params = experiment.scales["smoke"] | changes
    return recorded(experiment, params, experiment.run(bench, params))
