"""The answers of the served model, asked as it was evaluated: ``python predict.py "a text" ...``, or ``from predict import predict``.

Needs Python alone. ENDPOINT is the server's address, OPENAI_API_KEY the key where it wants one.
"""

import json
import os
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tunewise.compare.take_home.named_label import label_of, without_thoughts

HERE = Path(__file__).parent
ARM = json.loads((HERE / "arm.json").read_text(encoding="utf-8"))


def predict(texts: Sequence[str]) -> list[str]:
    """The label that each answer names (empty where it names none, or several), or what was written."""
    key = (
        {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]} if "OPENAI_API_KEY" in os.environ else {}
    )
    found = []
    for text in texts:
        turns = [("system", ARM["system"])] if ARM["system"] else []
        for shot, answer in ARM["shots"]:
            turns += [("user", ARM["before"] + shot + ARM["after"]), ("assistant", answer)]
        turns.append(("user", ARM["before"] + text + ARM["after"]))
        messages = [{"role": role, "content": content} for role, content in turns]
        body = {
            "model": ARM["model"],
            "messages": messages,
            "temperature": 0,
            "max_tokens": ARM["max_new_tokens"],
        }
        url = os.environ["ENDPOINT"].rstrip("/") + "/chat/completions"
        headers = {"Content-Type": "application/json"} | key
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            said = without_thoughts(json.load(reply)["choices"][0]["message"]["content"] or "")
        found.append(label_of(said, ARM["labels"]) if ARM["labels"] else said)
    return found


if __name__ == "__main__":
    print("\n".join(predict(sys.argv[1:])))
