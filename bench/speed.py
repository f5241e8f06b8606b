"""Speed, side by side in one process: label scoring against lm-eval, LoRA training against TRL's SFTTrainer.

    python bench/speed.py scoring    the same 201 items, model, dtype and threads, with 0 and 24 examples in the prompt
    python bench/speed.py training   the same 300 tweets, batch size, epochs and adapter

Prints a table with the ratios and writes it to ``data/bench/speed-<part>.json``. Not part of the tests: how fast a machine
is today is no property of the code.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
import warnings

import numpy as np

from tunewise.experiment import device_name
from tunewise.models.device import choose
from tunewise.models.load import load
from tunewise.prompt_templates import WORDINGS
from tunewise.record import versions
from whentofinetune import book_files
from whentofinetune.classification import sample, subset
from whentofinetune.datasets.rated_tasks import load_task

WORDING = WORDINGS["instruction"]
# TRL as it comes, and without what it turns on for GPUs: bfloat16, which many CPUs only emulate, and gradient checkpointing.
TRL_WAYS = {
    "trl, defaults": {},
    "trl, fp32 without checkpointing": {"bf16": False, "gradient_checkpointing": False},
}


def scoring(items: int = 201, shots: tuple[int, ...] = (0, 24)) -> list[dict]:
    """Seconds and predictions of both ways of scoring."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from tunewise.scoring import label_logprobs

    lm, task = load(precision=choose()), load_task("tweets")
    test = subset(task.test, items)
    labels, answers = np.array([e.label for e in test]), WORDING.answers(task.labels)
    queries = [WORDING.query(task, e.text) for e in test]
    peer = HFLM(
        pretrained=lm.model,
        tokenizer=lm.tokenizer,
        batch_size=16,
        device=str(lm.model.device),
        add_bos_token=False,
    )
    rows = []
    for k in shots:
        prefix = WORDING.prefix(task, sample(task, k, 0) if k else [])
        label_logprobs(lm, prefix, queries[:4], answers)  # warm up
        start = time.perf_counter()
        ours = label_logprobs(lm, prefix, queries, answers)
        ours_s = time.perf_counter() - start
        requests = [
            Instance(request_type="loglikelihood", doc={}, arguments=(prefix + q, a), idx=j)
            for q in queries
            for j, a in enumerate(answers)
        ]
        start = time.perf_counter()
        theirs = np.array([score for score, _ in peer.loglikelihood(requests, disable_tqdm=True)]).reshape(
            ours.shape
        )
        theirs_s = time.perf_counter() - start
        a, b = ours.argmax(axis=1), theirs.argmax(axis=1)
        margin = np.sort(ours, axis=1)[:, -1] - np.sort(ours, axis=1)[:, -2]
        rows.append(
            {
                "k": k,
                "items": len(test),
                "ours_s": round(ours_s, 2),
                "lm_eval_s": round(theirs_s, 2),
                "ratio": round(theirs_s / ours_s, 2),
                "different_predictions": int((a != b).sum()),
                "largest_logprob_difference": float(np.abs(ours - theirs).max()),
                "margin_where_different": [float(m) for m in margin[a != b]],
                "accuracy_ours": float((a == labels).mean()),
                "accuracy_lm_eval": float((b == labels).mean()),
            }
        )
        print(rows[-1], flush=True)
    return rows


def training(n: int = 300, batch_size: int = 16, epochs: int = 1) -> list[dict]:
    """Examples a second and test accuracy of both ways of LoRA fine-tuning."""
    import tempfile

    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from tunewise.finetune import ALL_LINEAR, Recipe, finetune
    from tunewise.scoring import label_logprobs

    task = load_task("tweets")
    test, answers = task.test, WORDING.answers(task.labels)
    labels = np.array([e.label for e in test])
    train = sample(task, n, 0)
    tuning = Recipe(learning_rate=1e-3, epochs=epochs, min_steps=1, batch_size=batch_size)

    def accuracy(model) -> float:
        queries = [WORDING.query(task, e.text) for e in test]
        return float(
            (label_logprobs(model, WORDING.prefix(task), queries, answers).argmax(axis=1) == labels).mean()
        )

    rows = []
    lm = load(precision=choose())
    pairs = [(WORDING.query(task, t), answers[y]) for t, y in train]
    tuned = finetune(lm, pairs, tuning, prefix=WORDING.prefix(task))
    rows.append(
        {
            "way": "tunewise",
            "seconds": tuned.seconds,
            "examples_per_s": tuned.examples / tuned.seconds,
            "accuracy": accuracy(tuned),
        }
    )
    print(rows[-1], flush=True)

    for way, options in TRL_WAYS.items():
        lm = load(precision=choose())
        data = Dataset.from_list(
            [
                {"prompt": WORDING.prefix(task) + WORDING.query(task, t), "completion": answers[y]}
                for t, y in train
            ]
        )
        with tempfile.TemporaryDirectory() as folder:
            config = SFTConfig(
                output_dir=folder,
                per_device_train_batch_size=batch_size,
                num_train_epochs=epochs,
                learning_rate=tuning.learning_rate,
                report_to=[],
                save_strategy="no",
                use_cpu=str(lm.model.device) == "cpu",
                seed=0,
                disable_tqdm=True,
                **options,
            )
            adapter = LoraConfig(
                r=tuning.rank, lora_alpha=tuning.alpha, target_modules=list(ALL_LINEAR), task_type="CAUSAL_LM"
            )
            trainer = SFTTrainer(
                model=lm.model,
                args=config,
                train_dataset=data,
                processing_class=lm.tokenizer,
                peft_config=adapter,
            )
            start = time.perf_counter()
            trainer.train()
            seconds = time.perf_counter() - start
        lm.model = trainer.model
        lm.model.eval()
        rows.append(
            {
                "way": way,
                "seconds": seconds,
                "examples_per_s": n * epochs / seconds,
                "accuracy": accuracy(lm),
                "gradient_checkpointing": bool(config.gradient_checkpointing),
                "bf16": bool(config.bf16),
                "times_slower": rows[0]["examples_per_s"] / (n * epochs / seconds),
            }
        )
        print(rows[-1], flush=True)
    rows.append({"way": "share of peak", **peak_share(tuned, pairs, lm.tokenizer)})
    print(rows[-1], flush=True)
    return rows


def peak_share(tuned, pairs, tokenizer) -> dict:
    """Share of this machine's matrix-product rate that training reaches: useful work by time, over the measured rate.

    Useful work: 2 floating-point operations a weight and token forwards, 2 more for the gradient of the inputs (the weights
    are frozen); embeddings, attention, adapters and the shared beginning are left out, so the true share is a little higher.
    """
    import torch

    dtype = next(tuned.model.parameters()).dtype
    a, b = torch.randn(1024, 576, dtype=dtype), torch.randn(1536, 576, dtype=dtype)
    for _ in range(20):
        torch.nn.functional.linear(a, b)
    start = time.perf_counter()
    for _ in range(200):
        torch.nn.functional.linear(a, b)
    rate = 200 * 2 * 1024 * 576 * 1536 / (time.perf_counter() - start)
    tokens = np.mean([len(tokenizer(p + c)["input_ids"]) for p, c in pairs]) * tuned.examples
    weights = sum(m.weight.numel() for name, m in tuned.model.named_modules() if name.endswith("_proj"))
    return {
        "matmul_gflops": rate / 1e9,
        "training_gflops": 4 * weights * tokens / tuned.seconds / 1e9,
        "share": 4 * weights * tokens / tuned.seconds / rate,
    }


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("scoring", "training"))
    part = parser.parse_args().part
    rows = scoring() if part == "scoring" else training()
    record = {
        "part": part,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": device_name(choose()),
        "versions": versions(),
        "results": rows,
    }
    path = book_files.data_dir() / "bench" / f"speed-{part}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written: {path.name}")


if __name__ == "__main__":
    main()
