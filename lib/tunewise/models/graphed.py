"""Training on a GPU without waiting for Python: forward and backward pass are recorded once as a CUDA graph, and then replayed.

A step on a short row is some thousand small kernels, and starting them one by one takes longer than computing them. All rows are padded
to the longest; no token of a row sees what was padded, and it carries no loss, so the gradients are those of the rows alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from tunewise.models.packing import Row, parts

FEWEST = 8  # rows: for fewer, recording the graph takes longer than it saves


class Graphed:
    """Forward and backward pass of one model on rows of one padded length.

    Parameters
    ----------
    model
        On a GPU, in training mode; its trainable parameters get gradients, to which each call adds.
    rows
        All that will be asked for, each with the places whose next token is wanted, and these tokens.
    """

    def __init__(self, model: Any, rows: Sequence[tuple[Row, list[int], list[int]]]) -> None:
        self.model, device = model, model.device
        self.length, self.places = max(r.length for r, _, _ in rows), max(len(w) for _, _, w in rows)
        self.dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
        self.inputs = [torch.zeros_like(t, device=device) for t in self._padded(*rows[0], 1.0)]
        self.trained = [p for p in model.parameters() if p.requires_grad]
        for p in self.trained:
            p.grad = torch.zeros_like(p)
        self._fill(*rows[0], 0.0)
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):  # whatever is set up at the first call must not be recorded
            for _ in range(2):
                self._pass()
        torch.cuda.current_stream(device).wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=side):
            self.loss = self._pass()
        self.zero()

    def _padded(self, row: Row, places: list[int], wanted: list[int], share: float) -> list[Tensor]:
        """Token ids, position ids, mask, places, wanted tokens and the weight of each."""
        ids, position, mask = row.tensors("cpu", self.dtype)
        more, few = self.length - row.length, self.places - len(wanted)
        if mask is None:
            seen = torch.ones(row.length, row.length, dtype=torch.bool).tril()
            mask = torch.zeros(seen.shape, dtype=self.dtype)
            mask = mask.masked_fill_(~seen, torch.finfo(self.dtype).min)[None, None]
        mask = pad(mask, (0, more), value=torch.finfo(self.dtype).min)
        # What is padded sees all: a fused kernel gives nan for a row that sees nothing, and nan times no loss is nan.
        mask = pad(mask, (0, 0, 0, more))
        weight = torch.full((len(wanted),), share / len(wanted))
        full = [pad(torch.tensor(values), (0, few)) for values in (places, wanted)]
        return [pad(ids, (0, more)), pad(position, (0, more)), mask, *full, pad(weight, (0, few))]

    def _fill(self, row: Row, places: list[int], wanted: list[int], share: float) -> None:
        for held, new in zip(self.inputs, self._padded(row, places, wanted, share), strict=True):
            held.copy_(new)

    def _pass(self) -> Tensor:
        ids, position, mask, places, wanted, weight = self.inputs
        decoder, head = parts(self.model)
        out = decoder(input_ids=ids, position_ids=position, attention_mask=mask, use_cache=False)
        logits = head(out.last_hidden_state[0].index_select(0, places)).float()
        loss = (cross_entropy(logits, wanted, reduction="none") * weight).sum()
        torch.autograd.backward(loss)
        return loss.detach()

    def zero(self) -> None:
        """Set all gradients to zero; they stay where they are."""
        torch._foreach_zero_([p.grad for p in self.trained])

    def __call__(self, row: Row, places: list[int], wanted: list[int], share: float) -> float:
        """Mean loss of the wanted tokens times ``share``, whose gradients are added."""
        self._fill(row, places, wanted, share)
        self.graph.replay()
        return float(self.loss.item())
