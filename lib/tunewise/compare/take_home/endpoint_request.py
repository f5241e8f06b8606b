"""How an OpenAI-compatible server is asked: with which key, and without the fields that it does not take."""

import os
from collections.abc import Collection, Mapping
from typing import Any

KEYS = ("TUNEWISE_API_KEY", "OPENAI_API_KEY")
MAY_GO = ("logprobs", "temperature", "response_format", "stop")
ABOUT_THE_REQUEST = (400, 413, 422)  # status codes


def key_of_environment() -> tuple[str, str]:
    """The variable that holds the key, and the key; both empty where there is none."""
    there = [(name, os.environ.get(name, "").strip()) for name in KEYS]
    return next((one for one in there if one[1]), ("", ""))


def taken(body: Mapping[str, Any], gone: Collection[str]) -> dict[str, Any]:
    """The body without the fields that the server does not take."""
    sent = {name: value for name, value in body.items() if name not in gone}
    if "max_tokens" in gone:  # newer servers call it so
        sent["max_completion_tokens"] = body["max_tokens"]
    return sent


def refused(sent: Mapping[str, Any], said: str) -> list[str]:
    """The fields that a server's refusal names and that may be left out."""
    gone = [name for name in MAY_GO if name in sent and name in said]
    return gone + ["max_tokens"] * ("max_tokens" in sent and "max_completion_tokens" in said)
