"""The answers of the served model, asked as it was evaluated: ``python predict.py "a text" ...``, or ``from predict import predict``.

Needs Python alone. ENDPOINT is the server's address, TUNEWISE_API_KEY or OPENAI_API_KEY the key where it wants one.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunewise.compare.take_home.endpoint_request import (
    ABOUT_THE_REQUEST,
    key_of_environment,
    refused,
    taken,
)
from tunewise.compare.take_home.named_label import label_of, without_thoughts
from tunewise.control_tokens import spaced

HERE = Path(__file__).parent
ARM = json.loads((HERE / "arm.json").read_text(encoding="utf-8"))
gone: list[str] = []  # fields that the server does not take


def predict(texts: Sequence[str]) -> list[str]:
    """The label that each answer names (empty where it names none, or several), or what was written."""
    if isinstance(texts, str):
        raise TypeError("predict wants a list of texts, not one text: predict([text])")
    found = []
    for text in texts:
        turns = [("system", ARM["system"])] if ARM["system"] else []
        for shot, answer in ARM["shots"]:
            turns += [("user", ARM["before"] + spaced(shot) + ARM["after"]), ("assistant", answer)]
        turns.append(("user", ARM["before"] + spaced(text) + ARM["after"]))
        messages = [{"role": role, "content": content} for role, content in turns]
        body = {
            "model": ARM["model"],
            "messages": messages,
            "temperature": 0,
            "max_tokens": ARM["max_new_tokens"],
        }
        said = without_thoughts(asked(body)["choices"][0]["message"]["content"] or "")
        found.append(label_of(said, ARM["labels"]) if ARM["labels"] else said)
    return found


def asked(body: dict[str, Any]) -> Any:
    """The server's reply, without the fields that it does not take."""
    url, (_, key) = os.environ["ENDPOINT"].rstrip("/") + "/chat/completions", key_of_environment()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    while True:
        sent = taken(body, gone)
        request = urllib.request.Request(url, json.dumps(sent).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            more = refused(sent, error.read().decode("utf-8", "replace"))
            if error.code not in ABOUT_THE_REQUEST or not more:
                raise
            gone.extend(more)


if __name__ == "__main__":
    print("\n".join(predict(sys.argv[1:] or sys.exit(__doc__))))
