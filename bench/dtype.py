"""What the number format changes: predictions on 300 tweets that differ between float32 and bfloat16, for each model that lies in the cache.

    .venv/bin/python bench/dtype.py

Writes data/bench/dtype.json, which the page of records reads.
"""

import json
import sys
import time
from datetime import date

import torch

from tunewise.experiment import device_name
from tunewise.models import load, registry
from tunewise.models.device import choose
from tunewise.prompting import TEMPLATES, balanced_shots
from tunewise.scoring import label_logprobs
from whentofinetune.book_files import data_dir
from whentofinetune.datasets.rated_tasks import load_task

RESULT = data_dir() / "bench" / "dtype.json"
MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b")
N, KS = 300, (0, 4, 16)


def predictions(name: str, dtype: str) -> tuple[dict[int, list[int]], float]:
    """Examples in the prompt -> a label an item; and the seconds that scoring took."""
    task, template = load_task("tweets"), TEMPLATES["instruction"]
    lm = load.load(name, precision=choose("cpu", dtype))
    pool = [(e.text, e.label) for e in task.train]
    began, found = time.perf_counter(), {}
    for k in KS:
        prefix = template.prefix(task, balanced_shots(pool, k, len(task.labels), 0) if k else [])
        queries = [template.query(task, e.text) for e in task.test[:N]]
        found[k] = label_logprobs(lm, prefix, queries, template.answers(task.labels)).argmax(axis=1).tolist()
    return found, time.perf_counter() - began


def main() -> int:
    torch.set_grad_enabled(False)
    rows = []
    for name in MODELS:
        if load.place(registry.get(name)) is None:
            print(f"{name}: not in the cache, left out", file=sys.stderr)
            continue
        (exact, slow), (rounded, fast) = predictions(name, "float32"), predictions(name, "bfloat16")
        for k in KS:
            differ = sum(a != b for a, b in zip(exact[k], rounded[k], strict=True))
            rows.append(
                {
                    "model": name,
                    "k": k,
                    "n": N,
                    "differ": differ,
                    "bfloat16_share_of_seconds": round(fast / slow, 2),
                }
            )
            print(rows[-1], flush=True)
    said = {"date": f"{date.today()}", "machine": device_name(choose("cpu")), "torch": torch.__version__}
    RESULT.write_text(json.dumps(said | {"rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
