"""A control that knows nothing: the same architecture and tokenizer with freshly drawn weights."""

from __future__ import annotations


def random_weights(lm, seed: int):
    """A loaded model in the shape of ``lm`` whose weights are drawn with ``seed``."""
    import torch
    from transformers import AutoModelForCausalLM

    from tunewise.models.load import LoadedModel

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(lm.model.config).to(lm.model.device)
    return LoadedModel(model.eval(), lm.tokenizer, lm.spec, lm.precision)
