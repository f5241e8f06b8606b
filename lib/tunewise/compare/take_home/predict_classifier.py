"""Labels for texts, as they were evaluated: ``python predict.py "a text" ...``, or ``from predict import predict``.

Needs scikit-learn and skops, and sentence-transformers where the classifier takes vectors.
"""

import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import skops.io

HERE = Path(__file__).parent
ARM = json.loads((HERE / "arm.json").read_text(encoding="utf-8"))
classifier = skops.io.load(
    HERE / "classifier.skops"
)  # refuses everything but scikit-learn's own, unlike pickle


@functools.cache
def encoder() -> Any:
    """The sentence encoder, loaded once however often ``predict`` is called."""
    from sentence_transformers import SentenceTransformer

    base = ARM["encoder_base"]
    folder = HERE / (base["folder"] or "no folder")  # a fine-tuned encoder lies beside this file
    if not (folder.is_dir() or base["hub"]):
        raise FileNotFoundError(f"{folder} is missing: copy the whole folder that this file was in")
    return SentenceTransformer(str(folder) if folder.is_dir() else base["hub"])


def predict(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError("predict wants a list of texts, not one text: predict([text])")
    inputs: Any = list(texts)
    if ARM["encoder"]:
        inputs = encoder().encode(inputs, normalize_embeddings=True)
    return [ARM["labels"][i] for i in classifier.predict_proba(inputs).argmax(axis=1)]


if __name__ == "__main__":
    print("\n".join(predict(sys.argv[1:] or sys.exit(__doc__))))
