"""The answers of the nearest known texts, as they were evaluated: ``python predict.py "a text" ...``, or ``from predict import predict``.

Needs sentence-transformers.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sentence_transformers import SentenceTransformer

HERE = Path(__file__).parent
ARM = json.loads((HERE / "arm.json").read_text(encoding="utf-8"))
encoder = SentenceTransformer(
    ARM["encoder_base"]["folder" if os.path.isdir(ARM["encoder_base"]["folder"]) else "hub"]
)
texts, targets = zip(*ARM["shots"], strict=True)
known = encoder.encode(list(texts), normalize_embeddings=True)


def predict(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError("predict wants a list of texts, not one text: predict([text])")
    found = []
    for vector in encoder.encode(list(texts), normalize_embeddings=True):
        votes: Counter[str] = Counter()
        for rank, i in enumerate((-(known @ vector)).argsort(kind="stable")[: ARM["nearest"]]):
            votes[targets[i]] += 1 + 1e-6 * (ARM["nearest"] - rank)  # of equals the nearer
        found.append(max(ARM["labels"] or votes, key=lambda target: votes[target]))
    return found


if __name__ == "__main__":
    print("\n".join(predict(sys.argv[1:] or sys.exit(__doc__))))
