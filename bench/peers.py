"""Public estimators of fine-tuning memory, each asked in its own terms.

Two are packages whose needs may not fit this project's: they are installed into an environment of their own and asked
there. The other three are rules that their makers publish; they are written out here with their source.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = ("fitcheck-llm==0.3.1", "canifinetune==0.4.1")
MIB, GIB = 2**20, 2**30


def ask(rows: list[dict], folder: Path) -> dict[str, list[int | None]]:
    """{estimator: bytes for each row, None where it does not know the model or method}.

    rows: dictionaries with ``config`` (a config.json), ``parameters`` (their number), ``gpu`` and ``settings`` (of
    ``finetune_memory.Settings``, as a dictionary). folder: where the environment of the packages lies.
    """
    found = {
        "accelerate estimate-memory": [accelerate(r) for r in rows],
        "LLaMA-Factory's table": [llama_factory(r) for r in rows],
        "gpu_poor": [gpu_poor(r) for r in rows],
    }
    python = _environment(folder)
    run = subprocess.run([python, __file__], input=json.dumps(rows), capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(
            f"the packages {', '.join(PACKAGES)} could not be asked: {run.stderr.strip().splitlines()[-1]}"
        )
    return found | json.loads(run.stdout)


def _environment(folder: Path) -> str:
    """The Python of an environment with :data:`PACKAGES`, made on the first call."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = folder / "packages.txt"
    if not stamp.exists() or stamp.read_text() != "\n".join(PACKAGES):
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", *PACKAGES], capture_output=True, text=True
        )
        if pip.returncode:
            raise RuntimeError(
                f"pip could not install {', '.join(PACKAGES)}: {pip.stderr.strip().splitlines()[-1]}"
            )
        stamp.write_text("\n".join(PACKAGES))
    return str(python)


def accelerate(row: dict) -> int:
    """``accelerate estimate-memory`` (commands/estimate.py, ``estimate_training_usage``): for training with Adam the largest
    of its parts; it knows no adapters, for which its "Total Size" of the weights stands."""
    from accelerate.commands.estimate import estimate_training_usage

    s, n = row["settings"], row["parameters"]
    if s["method"] == "full":
        mixed = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}[s["dtype"]]
        return max(estimate_training_usage(4 * n, mixed).values())
    return n // 2 if s["method"] == "qlora" else n * (4 if s["dtype"] == "fp32" else 2)


def llama_factory(row: dict) -> int:
    """The table "Hardware Requirement" in LLaMA-Factory's README, line "xB", in GB: full 18x (mixed precision) or 8x (pure
    bf16), LoRA 2x, QLoRA in 4 bit x / 2."""
    s = row["settings"]
    factor = {"full": 18 if s["master_weights"] else 8, "lora": 2, "qlora": 0.5}[s["method"]]
    return round(factor * row["parameters"])


def gpu_poor(row: dict) -> int:
    """gpu_poor (github.com/RahulSChand/gpu_poor, src/App.js, ``getAllComputedData`` for training, Hugging Face, no
    quantisation beside QLoRA). Its optimisers are Adam and SGD; its LoRA is always of rank 8."""
    c, s = row["config"], row["settings"]
    h, layers = c.get("hidden_size", c.get("n_embd", 768)), c.get("num_hidden_layers", c.get("n_layer", 12))
    heads, vocab = c.get("num_attention_heads", c.get("n_head", 12)), c.get("vocab_size", 32000)
    f, length, batch = c.get("intermediate_size", 4 * h), s["seq"], s["batch"]
    size = 2 * vocab * h + layers * 4 * h * h + layers * 3 * f * h
    weights = 2 * size
    if s["method"] == "qlora":
        weights = weights / 4 - 2 * size / 64 + 0.06 * weights
    attention = length * h * 8 * 2 + length * length * heads * (2 + 4 + 2)
    mlp = 2 * length * h * 2 + 6 * 2 * length * f
    activations = (attention + mlp + length * 8 + length * h * 12) * layers * batch
    if s["checkpointing"]:
        activations *= 0.15
    adam = s["optimizer"].startswith(("adam", "paged", "adafactor"))
    if s["method"] == "full":
        trained = size * (3 if adam else 1) * 2
    elif s["method"] == "lora":
        trained = layers * 8 * h * 2 * 4 * (6 if adam else 2)
    else:
        longer = max(length / 50, 1) ** 0.5
        trained = (
            layers * 8 * h * 0.5 * 4 * (3 if adam else 1)
            + 0.75 * (15 * h + 6 * f) * layers * 50 * longer * batch
        )
    return round(weights + trained + activations + 650 * MIB)


# --- inside the environment of the packages ------------------------------------------------------------------------


def _fitcheck(row: dict) -> tuple[int, int]:
    """Tensors alone, and with its overhead."""
    from fitcheck import config_parser
    from fitcheck.estimator import TrainingConfig, estimate
    from fitcheck.gpu_db import get_gpu

    s = row["settings"]
    fields = config_parser._parse_fields(row["config"])
    values = {name: getattr(fields, name) for name in fields.__dataclass_fields__}
    config = config_parser.ModelConfig(name="model", num_params=config_parser._count_params(fields), **values)
    optimizers = {
        "adamw": "adamw",
        "paged_adamw": "adamw",
        "adamw8bit": "adam8bit",
        "paged_adamw8bit": "adam8bit",
        "sgd": "sgd",
        "sgd_momentum": "sgd-momentum",
    }
    training = TrainingConfig(
        precision=s["dtype"],
        quantization="nf4" if s["method"] == "qlora" else "none",
        double_quant=s["double_quant"] and s["method"] == "qlora",
        optimizer=optimizers[s["optimizer"]],
        optimizer_dtype="bf16"
        if s["method"] == "full" and s["dtype"] == "bf16" and not s["master_weights"]
        else "fp32",
        batch_size=s["batch"],
        seq_len=s["seq"],
        lora_rank=None if s["method"] == "full" else s["rank"],
        lora_targets=_targets(s["targets"]),
        grad_checkpoint=s["checkpointing"],
        flash_attn=s["attention"] != "eager",
    )
    gpu = get_gpu("t4") if "T4" in row["gpu"] else get_gpu("custom", vram_mib=81_920)
    report = estimate(config, training, gpu)
    return round((report.total_mib - report.overhead_mib) * MIB), round(report.total_mib * MIB)


def _canifinetune(row: dict) -> tuple[int, int]:
    """Tensors alone, and with its overhead and margin."""
    from canifinetune.estimator.memory import EstimateRequest, estimate

    s = row["settings"]
    optimizers = {
        "adamw": "adamw",
        "paged_adamw8bit": "paged_adamw_8bit",
        "adamw8bit": "adamw_8bit",
        "sgd": "sgd",
    }
    scopes = {2: "conservative", 4: "attention"}
    targets = _targets(s["targets"])
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(row["config"]))
        request = EstimateRequest(
            model_id=folder,
            method=s["method"],
            seq_len=s["seq"],
            micro_batch_size=s["batch"],
            base_dtype=s["dtype"],
            quantization="nf4_double_quant" if s["double_quant"] else "nf4",
            lora_rank=s["rank"],
            lora_target_scope=scopes.get(len(targets), "all_linear"),
            optimizer=optimizers[s["optimizer"]],
            gradient_checkpointing=s["checkpointing"],
            gpu_vram_gb=16 if "T4" in row["gpu"] or "4080" in row["gpu"] else 80,
            use_network=False,
            attention_implementation={"flash": "flash_attention_2"}.get(s["attention"], s["attention"]),
        )
        memory = estimate(request).memory
    total = memory.total_estimated_gb
    return round((total - memory.cuda_overhead_gb - memory.safety_margin_gb) * GIB), round(total * GIB)


def _targets(targets) -> list[str]:
    everything = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return everything if targets == "all-linear" else list(targets)


def _answers(estimator, rows: list[dict]) -> list[tuple[int | None, int | None]]:
    found = []
    for row in rows:
        try:
            found.append(estimator(row))
        except Exception:  # a model, optimiser or module it does not know
            found.append((None, None))
    return found


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    answers = {}
    for name, estimator in (("fitcheck", _fitcheck), ("can-i-finetune-this", _canifinetune)):
        tensors, total = zip(*_answers(estimator, asked), strict=True)
        answers |= {f"{name}, tensors": tensors, f"{name}, total": total}
    json.dump(answers, sys.stdout)
