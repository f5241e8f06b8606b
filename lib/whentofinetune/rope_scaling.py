"""Longer contexts than a model was trained on: other rotary frequencies, and a short training on positions that are far apart.

Rotary position embedding (RoPE, Su et al. 2021, arXiv 2104.09864) turns query and key by an angle that grows with their positions, so attention sees only their distance.
Distances that training never had are angles that it never had.
"""

import contextlib
import copy
import time
from collections.abc import Sequence

import numpy as np
import torch

from tunewise.finetune import Recipe, Tuned, make_trainable
from tunewise.models.packing import Row, encode, forward_packed, parts

SCALINGS = ("none", "pi", "ntk", "yarn")


def frequencies(config, scaling: str, factor: float) -> dict:
    """RoPE parameters as transformers takes them, for a context ``factor`` times as long as the trained one.

    ``pi``: position interpolation, all positions divided by ``factor`` (Chen et al. 2023, arXiv 2306.15595). ``ntk``: the base raised to
    base · factor^(d / (d - 2)), d the size of a head, so that the slowest frequency is interpolated fully and the fastest hardly (bloc97 2023). ``yarn``: by parts, with a
    temperature (Peng et al. 2023, arXiv 2309.00071). Raises ValueError for another scaling or a factor under 1.
    """
    if scaling not in SCALINGS or factor < 1:
        names = ", ".join(SCALINGS)
        raise ValueError(f"scaling must be one of {names} and factor 1 or more, not {scaling!r}, {factor}")
    theta = config.rope_parameters["rope_theta"]
    if scaling == "none":
        return {"rope_type": "default", "rope_theta": theta}
    if scaling == "pi":
        return {"rope_type": "linear", "rope_theta": theta, "factor": factor}
    if scaling == "ntk":
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return {"rope_type": "default", "rope_theta": theta * factor ** (size / (size - 2))}
    trained = {"original_max_position_embeddings": config.max_position_embeddings}
    return {"rope_type": "yarn", "rope_theta": theta, "factor": factor} | trained


@contextlib.contextmanager
def rope_scaled(lm, scaling: str, factor: float):
    """The model with other rotary frequencies, for the length of a ``with`` block."""
    decoder = parts(lm.model)[0]
    before = decoder.rotary_emb
    config = copy.deepcopy(decoder.config)
    config.rope_parameters = frequencies(config, scaling, factor)
    decoder.rotary_emb = type(before)(config).to(lm.model.device)
    try:
        yield lm
    finally:
        decoder.rotary_emb = before


def tune_positions(
    lm, texts: Sequence[str], recipe: Recipe, *, reach: int, window: int = 512, steps: int = 12
) -> Tuned:
    """LoRA on windows of text whose second part is moved to positions up to ``reach`` away (PoSE, Zhu et al. 2023, arXiv 2309.10400).

    A window of ``window`` tokens costs what short text costs, yet its distances are those of a long one. Loss on all tokens but the first of
    each part. Raises ValueError where the texts are shorter than one window.
    """
    ids = [token for text in texts for token in encode(lm.tokenizer, text + "\n\n")]
    if len(ids) <= window:
        raise ValueError(f"the texts have {len(ids)} tokens, fewer than a window of {window}")
    rng, device = np.random.default_rng([71, recipe.seed]), lm.model.device
    model = make_trainable(lm, recipe).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    losses, start = [], time.perf_counter()
    for step in range(steps):
        rate = min((step + 1) / 2, (steps - step) / max(1, steps - 2))
        optimizer.param_groups[0]["lr"] = recipe.learning_rate * rate
        first = int(rng.integers(0, len(ids) - window))
        cut, skip = int(rng.integers(window // 4, 3 * window // 4)), int(rng.integers(0, reach - window))
        chosen, row = ids[first : first + window], Row()
        row.add(chosen[cut:], parent=row.add(chosen[:cut]), position=cut + skip)
        logits = forward_packed(model, row, range(window - 1))
        wanted = torch.tensor(chosen[1:], device=device)
        each = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
        loss = torch.cat([each[: cut - 1], each[cut:]]).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, recipe.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
    seconds, trainable = time.perf_counter() - start, sum(p.numel() for p in trained)
    return Tuned(model.eval(), lm.tokenizer, losses, seconds, trainable, steps)
