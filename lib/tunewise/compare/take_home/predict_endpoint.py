"""The answers of the served model, asked as it was evaluated: ``python predict.py "a text" ...``, or ``from predict import predict``.

Needs Python alone. ENDPOINT is the server's address, OPENAI_API_KEY the key where it wants one.
"""

import json
import os
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
ARM = json.loads((HERE / "arm.json").read_text(encoding="utf-8"))


def predict(texts: Sequence[str]) -> list[str]:
    """What the model writes; its label is the one that the text names."""
    url = os.environ["ENDPOINT"].rstrip("/") + "/chat/completions"
    key = (
        {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]} if "OPENAI_API_KEY" in os.environ else {}
    )
    found = []
    for text in texts:
        turns = [("system", ARM["system"])] + [
            t for q, a in ARM["shots"] for t in (("user", q), ("assistant", a))
        ]
        messages = [
            {"role": role, "content": content} for role, content in [*turns, ("user", text)] if content
        ]
        body = {
            "model": ARM["model"],
            "messages": messages,
            "temperature": 0,
            "max_tokens": ARM["max_new_tokens"],
        }
        headers = {"Content-Type": "application/json"} | key
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            found.append(json.load(reply)["choices"][0]["message"]["content"] or "")
    return found


if __name__ == "__main__":
    print("\n".join(predict(sys.argv[1:])))
