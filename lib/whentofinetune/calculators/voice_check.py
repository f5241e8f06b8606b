"""Does a reply keep the rules of the company's voice? The check that scores the chapter's replies. Standard library only."""

import json

from whentofinetune.calculators import read
from whentofinetune.datasets.voice_rules import checked, rules_from

SENDER = "Odile Farrant"
REPLY = f"""Good day, {SENDER}.
thanks for your mail! I'm sorry that the shade of your Hasprey sticks. Please send the lamp back to us; we'll repair it within two weeks and return it.
Best wishes, Zellmarch"""


def voice_json(settings: str) -> str:
    """The checker's front: ``{"sender", "reply"}`` as JSON in, ``{"tables", "text"}`` out. Raises ValueError where either is empty."""
    given = {"sender": SENDER, "reply": REPLY, **json.loads(settings)}
    sender, reply = given["sender"].strip(), given["reply"]
    if not sender or not reply.strip():
        raise ValueError("write the customer's name and a reply first")
    rules = rules_from(read("voice")["rules"])
    kept = checked(rules, reply, sender)
    rows = [[rule.says, "kept" if kept[rule.name] else "broken"] for rule in rules]
    words = len(reply.split())
    text = f"{sum(kept.values())} of {len(rules)} rules are kept. The reply has {words} word{'s' * (words != 1)}."
    table = {"caption": "The rules of the company's voice", "header": ["Rule", "This reply"], "rows": rows}
    return json.dumps({"tables": [table], "text": text})


CONTROLS = [
    dict(name="sender", label="Customer", kind="text", value=SENDER, lines=1, private=True),
    dict(name="reply", label="Your reply", kind="text", value=REPLY, lines=7, private=True),
]
