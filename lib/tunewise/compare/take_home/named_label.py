"""What a model that talks has answered: without the thoughts before it, and which label it names."""

import re
from collections.abc import Sequence


def without_thoughts(text: str) -> str:
    """The answer after ``</think>``, where a model thought before; empty where it did not come beyond its thoughts."""
    text = re.sub(r"^.*?</think>", "", text, flags=re.DOTALL).strip()
    return "" if text.startswith("<think>") else text


def label_of(text: str, labels: Sequence[str]) -> str:
    """The one label that a text is or names, whatever its case; empty where it names none, or several."""
    plain = {" ".join(label.split()).casefold(): label for label in labels}
    rest = " ".join(text.split()).casefold()
    if whole := plain.get(rest) or plain.get(rest.strip("\"'`*.:!() ")):
        return whole
    found = []
    for label in sorted(plain, key=len, reverse=True):  # "not urgent" before "urgent"
        pattern = rf"(?<!\w){re.escape(label)}(?!\w)"
        if re.search(pattern, rest):
            found.append(plain[label])
            rest = re.sub(pattern, "\0", rest)
    return found[0] if len(found) == 1 else ""
