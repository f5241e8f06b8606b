"""Make ``data/notes/notes.jsonl`` out of ``notes.yaml``, the same bytes every time: ``python data/notes/build.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

SPLITS = {"train": 90, "valid": 30, "test": 60}
_OWN = ("first", "last", "complaint", "diagnosis", "medicine", "allergy")
HERE = Path(__file__).parent


def build(target: Path) -> None:
    """Write the notes of all splits, a note a line."""
    lines = (json.dumps(note, ensure_ascii=False) + "\n" for split in SPLITS for note in notes(split))
    (target / "notes.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")


def notes(split: str) -> Iterator[dict]:
    """The notes of a split; half of those of test are in a hand that training does not have."""
    spec = yaml.safe_load((HERE / "notes.yaml").read_text(encoding="utf-8"))
    place, taken = list(SPLITS).index(split), []
    rng = np.random.default_rng([61, place])

    own = {key: spec[key][place::3] for key in _OWN}  # every third value is this split's

    def one(values: list):
        return values[rng.integers(len(values))]

    hands = [(h, t) for h in spec["hands"] for t in h["templates"]]
    pronoun = dict(zip(spec["first"], spec["pronouns"], strict=True))
    while len(taken) < SPLITS[split]:
        first, last = one(own["first"]), one(own["last"])
        number = "".join(str(d) for d in rng.integers(0, 10, 6))
        if (first, last) in taken:
            continue
        old, current = rng.permutation(own["medicine"])[:2]
        doses = [spec["dose"][i] for i in rng.permutation(len(spec["dose"]))[:2]]
        age, other = rng.permutation(np.arange(19, 95))[:2]
        record = {
            "file": number,
            "age": str(age),
            "complaint": one(own["complaint"]),
            "diagnosis": one(own["diagnosis"]),
            "medicine": f"{current} {doses[0]}",
            "allergy": one(own["allergy"]),
            "next": one(spec["next"]),
        }
        new = split == "test" and len(taken) % 2 == 1
        hand, template = one([h for h in hands if h[0]["new"] == new])
        words = {"name": f"{first} {last}", "former": f"{old} {doses[1]}", "other_age": str(other)}
        words["Pronoun"], words["object"] = ("She", "her") if pronoun[first] == "she" else ("He", "him")
        text, id = template.format(**record, **words), f"note-{split}-{len(taken):03d}"
        taken.append((first, last))
        told = {"id": id, "split": split, "name": words["name"], "hand": hand["name"], "new": new}
        yield {**told, "text": text, "record": record}


if __name__ == "__main__":
    build(HERE)
