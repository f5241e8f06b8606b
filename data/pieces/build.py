"""What the pieces of the pages that need no model are computed from; run once: ``python data/pieces/build.py`` (some minutes on a CPU).

``label_scores.json``: label log-probabilities of the bundled model for the test tweets and for the empty texts, after each number of
examples of :class:`whentofinetune.pages.browser_model.BrowserModel`. ``update.json``: what full fine-tuning on 100 labels adds to three
weight matrices: their singular values, and the factors of one corner. Beside them those of a random matrix of the same shape.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tunewise import finetune, prompting
from tunewise.data import Example
from tunewise.models.device import choose
from tunewise.models.load import load
from whentofinetune.classification import label_scores, sample
from whentofinetune.pages.browser_model import EXAMPLES, BrowserModel

HERE = Path(__file__).parent
LAYER, CORNER, KEPT = 15, 12, 64
MATRICES = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")


def scores(piece: BrowserModel) -> dict[str, Any]:
    """Scores [texts, labels] after each number of examples, rounded to thousandths."""
    lm, task, test = piece.model(), piece.task, piece.task.test
    found = {}
    for k in EXAMPLES:
        texts = [e.text for e in test] + list(prompting.EMPTY_TEXTS)
        items = [Example(text, 0, "") for text in texts]
        found[str(k)] = label_scores(lm, piece.template, task, items, piece.shots[:k]).round(3).tolist()
        print(f"{k} examples scored", flush=True)
    of_tweets = {k: rows[: len(test)] for k, rows in found.items()}
    empty = {k: rows[len(test) :] for k, rows in found.items()}
    return {
        "labels": list(task.labels),
        "truth": [e.label for e in test],
        "scores": of_tweets,
        "empty": empty,
    }


def update(piece: BrowserModel) -> dict[str, Any]:
    """Singular values and a corner's factors of each matrix's update, by name."""
    lm = load(precision=choose(dtype="float32"))
    layer = lm.model.model.layers[LAYER]
    before = {name: layer.get_submodule(name).weight.detach().clone() for name in MATRICES}
    answers = piece.template.answers(piece.task.labels)
    shown = [(piece.template.query(piece.task, t), answers[y]) for t, y in sample(piece.task, 100, 0)]
    recipe = finetune.Recipe(method="full", learning_rate=1e-4, epochs=1, min_steps=14)
    finetune.finetune(lm, shown, recipe, prefix=piece.template.prefix(piece.task))
    found = {}
    for name in MATRICES:
        added = layer.get_submodule(name).weight.detach() - before[name]
        found[f"layer {LAYER}, {name}"] = factors(added)
    noise = torch.randn(before[MATRICES[0]].shape, generator=torch.Generator().manual_seed(0))
    return found | {"random numbers": factors(noise)}


def factors(matrix: torch.Tensor) -> dict[str, Any]:
    """Of a matrix [out, in]: its shape, all singular values, and left and right factors of its first rows and columns."""
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    scale = s[0]
    left, right = u[:CORNER, :KEPT] * (s[:KEPT] / scale), v[:KEPT, :CORNER]
    return {
        "shape": list(matrix.shape),
        "singular": short(s / scale),
        "left": [short(row) for row in left],
        "right": [short(row) for row in right],
        "corner": [short(row / scale) for row in matrix.double()[:CORNER, :CORNER]],
    }


def short(row: torch.Tensor) -> list[float]:
    """Four significant digits."""
    return [float(f"{x:.4g}") for x in row.tolist()]


def write(name: str, content: dict[str, Any]) -> None:
    (HERE / f"{name}.json").write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    piece = BrowserModel()
    write("label_scores", scores(piece))
    write("update", update(piece))
