"""Measure the scores that the lab on in-context learning works with: ``python data/labs/build.py``.

The bundled model reads tweets of the validation split after two prompts and scores the answers. Fields of the file:
texts and labels [n]; label_names; phrases (answers of several tokens, zero-shot) with phrase_tokens [n][3][tokens], the
log-probability of each token; logprobs [n][3] of the label names after a prompt with ``shots`` examples, and empty_logprobs
[3][3] of the same prompt with texts without content; the prompts; model, data, device, dtype, versions, date.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np

SCORES = Path(__file__).parent / "icl_scores.json"
PHRASES = ("very good", "neither good nor bad", "very bad")
SHOTS, SEED, ITEMS = 8, 0, 120


def token_logprobs(lm, prompt: str, answer: str) -> list[float]:
    """Log-probability of each token of ``answer`` after ``prompt``."""
    import torch

    from tunewise.scoring import encode

    before, after = encode(lm.tokenizer, prompt), encode(lm.tokenizer, answer)
    with torch.inference_mode():
        logits = lm.model(input_ids=torch.tensor([before + after], device=lm.model.device)).logits[0].float()
    logs = torch.log_softmax(logits, dim=-1)
    return [round(float(logs[len(before) - 1 + i, token]), 4) for i, token in enumerate(after)]


def main() -> None:
    from tunewise import data, prompting, record
    from tunewise.models.load import load
    from tunewise.prompting import PromptTemplate
    from tunewise.scoring import label_logprobs
    from tunewise.step_cache import write_whole
    from whentofinetune.datasets import rated_tasks

    task, lm = rated_tasks.load_task("tweets"), load()
    items = []
    for y in range(len(task.labels)):
        items += [e for e in task.valid if e.label == y][: ITEMS // len(task.labels)]
    asked = PromptTemplate("phrases", "", "Text:", "\nThe mood of this text is", PHRASES)
    phrase_tokens = []
    for e in items:
        prompt = asked.prefix(task) + asked.query(task, e.text)
        phrase_tokens.append([token_logprobs(lm, prompt, a) for a in asked.answers(task.labels)])
    plain = PromptTemplate("plain", "", "Text:", "\nSentiment:")
    shots = prompting.balanced_shots([(e.text, e.label) for e in task.train], SHOTS, len(task.labels), SEED)
    prefix = plain.prefix(task, shots)
    queries = [plain.query(task, e.text) for e in items] + [
        plain.query(task, t) for t in prompting.EMPTY_TEXTS
    ]
    scores = np.round(label_logprobs(lm, prefix, queries, plain.answers(task.labels)), 4).tolist()
    out = {
        "what": "measured scores for the lab on in-context learning; made by python data/labs/build.py",
        "model": lm.spec.name,
        "data": data.fingerprint(task),
        "device": str(lm.model.device),
        "dtype": str(lm.model.dtype).removeprefix("torch."),
        "versions": record.versions(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "label_names": list(task.labels),
        "labels": [e.label for e in items],
        "texts": [e.text for e in items],
        "phrases": list(PHRASES),
        "phrase_prompt": asked.prefix(task) + asked.query(task, "…"),
        "phrase_tokens": phrase_tokens,
        "prompt": prefix,
        "shots": SHOTS,
        "logprobs": scores[: len(items)],
        "empty_logprobs": scores[len(items) :],
    }
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in out.items())
    write_whole(SCORES, f"{{\n{lines}\n}}\n")
    print(SCORES)


if __name__ == "__main__":
    main()
