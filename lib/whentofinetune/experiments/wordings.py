"""How much of a zero-shot score is the wording of the prompt, and how much of a failure is only form? (C13)"""

from __future__ import annotations

import re

from tunewise import stats
from tunewise.generation import generate
from tunewise.prompt_templates import WORDINGS
from whentofinetune.old_bench import Bench, Experiment, outcome, public, subset


def parse(text: str, answers: list[str]) -> int | None:
    """The index of the one answer word that ``text`` holds; None if it holds none, or several different ones."""
    found = {
        j for j, a in enumerate(answers) if re.search(rf"\b{re.escape(a.strip())}\b", text, re.IGNORECASE)
    }
    return found.pop() if len(found) == 1 else None


def run(bench: Bench, params: dict) -> list[dict]:
    name = params["tasks"][0]
    task, rows = bench.task(name), []
    for word in params["wordings"]:
        wording = WORDINGS[word]
        for split in ("valid", "test"):
            items = subset(getattr(task, split), params["test_n"])

            def score(wording=wording, items=items):
                return outcome(
                    bench.scores(bench.lm, wording, task, items).argmax(axis=1), [e.label for e in items]
                )

            settings = {"method": "score", "wording": word, "split": split, "test_n": params["test_n"]}
            rows.append(
                public(bench.work.step(settings | {"task": name, "data": bench.fingerprint(name)}, score))
            )
        if word not in params["generated"]:
            continue
        items = subset(task.test, params["test_n"])

        def free(wording=wording, items=items):
            texts = generate(bench.lm, [wording.prefix(task) + wording.query(task, e.text) for e in items])
            answers = wording.answers(task.labels)
            parsed = [parse(t, answers) for t in texts]
            right = [p == e.label for p, e in zip(parsed, items, strict=True)]
            readable = sum(p is not None for p in parsed)
            return {
                "accuracy": stats.proportion(sum(right), len(items)),
                "parsed": stats.proportion(readable, len(items)),
                "accuracy_of_parsed": stats.proportion(sum(right), readable) if readable else None,
                "predictions": "".join("-" if p is None else str(p) for p in parsed),
                "samples": texts[:8],
            }

        settings = {"method": "generate", "wording": word, "split": "test", "test_n": params["test_n"]}
        rows.append(public(bench.work.step(settings | {"task": name, "data": bench.fingerprint(name)}, free)))
    return rows


_ALL = list(WORDINGS)
_COMMON = {"model": "smollm2-135m", "tasks": ["tweets"], "seeds": []}

EXPERIMENT = Experiment(
    name="wordings",
    question="How much of a zero-shot score is the wording?",
    claims=("C13", "C15"),
    run=run,
    scales={
        "smoke": _COMMON | {"wordings": ["instruction"], "generated": ["instruction"], "test_n": 12},
        "laptop": _COMMON
        | {"wordings": ["instruction", "bare", "chat"], "generated": ["chat"], "test_n": 60},
        "full": _COMMON | {"wordings": _ALL, "generated": _ALL, "test_n": None},
        "gpu": _COMMON | {"model": "qwen2.5-1.5b", "wordings": _ALL, "generated": _ALL, "test_n": None},
    },
)
