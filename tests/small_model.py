"""An experiment on a model of random weights: what it does with a model is seen in a second or two."""

import re
import types
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from tunewise import finetune
from tunewise.experiment import Context, Params, _item_set, _one
from tunewise.models.device import choose as precision
from tunewise.models.load import converted
from tunewise.models.registry import get as spec
from tunewise.record import Record
from tunewise.step_cache import StepCache
from whentofinetune import book_records


def small(seed=0, positions=2048, **more):
    """A Llama of random weights with the bundled model's tokenizer: what an experiment does with a model is seen in a second."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        **more,
    )
    return types.SimpleNamespace(
        model=LlamaForCausalLM(config).eval(),
        tokenizer=AutoTokenizer.from_pretrained(converted(spec("smollm2-135m"))),
        spec=None,
        precision=None,
    )


class WordCounts:
    """A sentence encoder whose vectors hold nothing but the words."""

    def encode(self, texts):
        vectors = np.zeros((len(texts), 256), dtype=np.float32)
        for i, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[i, sum(map(ord, word)) % 256] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    @property
    def model(self):
        """The same as a module that can be trained: a matrix behind the vectors, which begins as none."""
        return WordModule(self)


class WordModule(torch.nn.Module):
    max_seq_length = 256

    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.matrix = encoder, torch.nn.Parameter(torch.eye(256))

    def tokenizer(self, texts, **options):
        return {"vectors": torch.from_numpy(self.encoder.encode(texts))}

    def forward(self, tokens):
        vectors = tokens["vectors"] @ self.matrix
        return {"sentence_embedding": torch.nn.functional.normalize(vectors, dim=1)}

    def save(self, folder, create_model_card):
        Path(folder).mkdir(parents=True, exist_ok=True)


def small_context(folder, monkeypatch, params, **options):
    """What an experiment works with: the small model, the word counts, and the cache in ``folder``."""
    lm = small(**options)  # reads the tokenizer from the user's cache
    monkeypatch.setenv("TUNEWISE_CACHE", str(folder))
    cache = StepCache(say=lambda line: None)
    ctx = Context(
        Params(params), "small", precision("cpu"), cache, book_records.workspace(), {"model": "small"}, print
    )
    ctx.lm, ctx.encoder = lm, WordCounts()
    return ctx


def a_seed_astray(monkeypatch):
    """From now on every training with seed 1 ends with a loss that is no number."""
    plain = finetune.finetune

    def astray(lm, pairs, recipe, **options):
        if recipe.seed == 1:
            raise FloatingPointError("the loss is nan")
        return plain(lm, pairs, recipe, **options)

    monkeypatch.setattr("tunewise.finetune.finetune", astray)


def run_small(experiment, ctx):
    """The record of a run on ``ctx``; what its cache holds is found again."""
    for condition in experiment.conditions(ctx.params):
        _one(experiment, ctx, condition, "the data")
    return record_of(experiment, ctx.rows, ctx.item_sets, dict(ctx.params))


def record_of(experiment, rows, item_sets, params, scale="smoke"):
    seeds = params.get("seeds", [])
    told = {"key": "k", "checksums": {}, "device": "CPU", "versions": {}, "date": "2026-01-01"}
    return Record(
        experiment.name, scale, 1, "small", params, seeds, rows, duration_s=1.0, item_sets=item_sets, **told
    )


def made_up(experiment, scored, scale="full", **changes):
    """A record of (condition, scores) pairs, without a run."""
    rows, sets = [], {}
    for condition, scores in scored:
        row = scores.row()
        items = {"items": _item_set(sets, row.pop("ids"), row.pop("groups"))} if "ids" in row else {}
        rows.append({**condition.settings, **items, **row})
    return record_of(experiment, rows, sets, experiment.scales[scale] | changes, scale)
