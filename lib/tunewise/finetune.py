"""Supervised fine-tuning (SFT) of a causal language model: LoRA, QLoRA and full.

One short loop of our own, so that it runs unchanged on a CPU, on a Colab GPU and, through accelerate, on several
GPUs, and so that an interrupted run goes on where it was. What makes it fast on short texts is said in
:mod:`tunewise.models.packing`: the beginning that all examples share is computed once a step, nothing is padded, and the output
layer sees only the answer tokens, which are also the only ones that carry loss.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from tunewise.models.download import intact, sha256_of
from tunewise.models.packing import Row, Segment, rows_of
from tunewise.scoring import encode, parts

# Tokens of a batch that go through the model at once. A longer batch is cut into rows whose gradients add up to the same: attention
# costs the square of a row's length, and the items in a row do not see each other anyway.
ROW_TOKENS = 1024

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune.

    method: ``"lora"``, ``"qlora"`` (the model must be loaded with ``quantize="nf4"``) or ``"full"``.
    rank, alpha, targets: LoRA's (Hu et al. 2021); the update is scaled by alpha / rank. ``targets`` are the names of the
        linear layers that get an adapter; by default all in the decoder layers.
    learning_rate: peak; linear warm-up over ``warmup`` of the steps, then linear decay to zero. Full fine-tuning wants
        about a tenth of LoRA's ("LoRA Without Regret", 2025).
    epochs, batch_size: passes over the data, examples a step. ``min_steps`` raises the number of epochs for tiny sets, so
        that ten examples are not seen twice only.
    seed: of the adapter's initial values and the order of examples.
    """

    method: str = "lora"
    rank: int = 8
    alpha: int = 16
    targets: tuple[str, ...] = ALL_LINEAR
    learning_rate: float = 5e-4
    epochs: int = 2
    batch_size: int = 16
    min_steps: int = 20
    warmup: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    seed: int = 0

    def __post_init__(self):
        if self.method not in ("lora", "qlora", "full"):
            raise ValueError(f"method must be 'lora', 'qlora' or 'full', not {self.method!r}")
        for name in ("rank", "epochs", "batch_size", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")

    def steps(self, n_examples: int) -> int:
        a_pass = math.ceil(n_examples / self.batch_size)
        return max(self.epochs * a_pass, self.min_steps)


@dataclass
class Tuned:
    """A fine-tuned model in the shape of a loaded one (``.model``, ``.tokenizer``), and what its training was like.

    losses: mean loss a token of each step. seconds: training time, over all sittings. trainable: number of parameters
    trained. examples: examples seen, repeats counted. resumed_at: the step at which this sitting began.
    key: the name under which an experiment keeps this model, if it does.
    """

    model: torch.nn.Module
    tokenizer: object
    losses: list[float]
    seconds: float
    trainable: int
    examples: int
    resumed_at: int = 0
    key: str = ""


_TOLD = ("losses", "seconds", "trainable", "examples")  # what training.json says of a Tuned


def _batches(n: int, steps: int, size: int, seed: int):
    """Indices of each step: a new random order each pass, the last batch of a pass may be short."""
    rng = np.random.default_rng(seed)
    order: list[np.ndarray] = []
    while len(order) < steps:
        shuffled = rng.permutation(n)
        order += [shuffled[i : i + size] for i in range(0, n, size)]
    return order[:steps]


def _adapt(model, recipe: Recipe):
    """The model with what is to be trained switched on: a LoRA adapter, or all its weights."""
    torch.manual_seed(recipe.seed)
    if recipe.method == "full":
        return model.requires_grad_(True)
    from peft import LoraConfig, get_peft_model

    targets = [t for t in recipe.targets if any(n.endswith(t) for n, _ in model.named_modules())]
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        target_modules=targets or "all-linear",
        task_type="CAUSAL_LM",
    )
    with _no_peft_warning():
        return get_peft_model(model.requires_grad_(False), config)


@contextlib.contextmanager
def _no_peft_warning() -> Iterator[None]:
    """peft still asks transformers by a name that is on its way out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield


def loss_of(
    model, prefix_ids: Sequence[int], examples: Sequence[tuple[list[int], list[int]]]
) -> torch.Tensor:
    """Mean cross-entropy (nats a token) of the answers, each after ``prefix + prompt``; one pass for all of them.

    examples: pairs of prompt ids and answer ids.
    """
    row = Row(len(prefix_ids))
    if prefix_ids:
        row.segments.append(Segment(list(prefix_ids), None, 0, 0))
        row.length = len(prefix_ids)
    places, wanted = [], []
    for prompt, answer in examples:
        segment = row.add(prompt + answer[:-1])
        first = segment.start + len(prompt) - 1
        if not prompt:
            raise ValueError("an example needs a prompt of at least one token after the shared prefix")
        places += range(first, first + len(answer))
        wanted += answer
    decoder, head = parts(model)
    device = next(model.parameters()).device
    dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
    input_ids, position_ids, mask = row.tensors(device, dtype, prefix_inside=True)
    hidden = decoder(input_ids=input_ids, position_ids=position_ids, attention_mask=mask, use_cache=False)
    logits = head(hidden.last_hidden_state[0, places]).float()
    return torch.nn.functional.cross_entropy(logits, torch.tensor(wanted, device=device))


def finetune(
    lm,
    examples: Sequence[tuple[str, str]],
    recipe: Recipe = Recipe(),
    *,
    prefix: str = "",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 15.0,
    progress: Callable[[int, int, float], None] | None = None,
) -> Tuned:
    """Train ``lm`` on pairs of prompt and answer; the end-of-text token is added to each answer.

    lm: a loaded model (``.model``, ``.tokenizer``). LoRA and QLoRA leave its weights alone: ``restore(tuned)`` takes the
        adapter off again. Full fine-tuning changes them: load the model again afterwards.
    prefix: what all prompts begin with; it is not repeated in ``examples``.
    checkpoint: a file that holds the state of an unfinished run. If it is there and belongs to the same run, training
        goes on from it; it is deleted at the end.
    progress: called with (step, steps, loss).

    Raises ValueError for no examples, an empty answer, or a checkpoint of another run.
    """
    if not examples:
        raise ValueError("no training examples were given")
    if any(not answer for _, answer in examples):
        raise ValueError("an example has an empty answer: nothing to learn from it")
    if recipe.method == "full" and next(lm.model.parameters()).dtype == torch.float16:
        raise ValueError(
            "full fine-tuning of float16 weights diverges: load the model in float32 (choose(dtype='float32')), or use LoRA"
        )
    from accelerate import Accelerator

    tokenizer = lm.tokenizer
    eos = [tokenizer.eos_token_id]
    ids = [(encode(tokenizer, p), encode(tokenizer, a) + eos) for p, a in examples]
    prefix_ids = encode(tokenizer, prefix)
    steps = recipe.steps(len(ids))
    batches = _batches(len(ids), steps, recipe.batch_size, recipe.seed)
    model = _adapt(lm.model, recipe)
    if recipe.method != "full" and (spec := getattr(lm, "spec", None)):
        model.peft_config["default"].base_model_name_or_path = spec.hub
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    warm = max(1, round(recipe.warmup * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warm, max(0.0, (steps - s) / max(1, steps - warm)))
    )
    accelerator = Accelerator(cpu=next(model.parameters()).device.type == "cpu")
    model, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)

    identity = hashlib.sha256(json.dumps([asdict(recipe), prefix_ids, ids]).encode()).hexdigest()
    losses, before, done = [], 0.0, 0
    if checkpoint and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=trained[0].device)
        if state["identity"] != identity:
            raise ValueError(f"{checkpoint} belongs to another run; delete it, or give another path")
        with torch.no_grad():
            for p, saved in zip(trained, state["trained"], strict=True):
                p.copy_(saved)
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        losses, before, done = state["losses"], state["seconds"], state["step"]
    resumed_at = done

    def save(step):
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        half = checkpoint.with_suffix(".part")
        torch.save(
            {
                "identity": identity,
                "step": step,
                "losses": losses,
                "seconds": before + time.perf_counter() - start,
                "trained": [p.detach() for p in trained],
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
            },
            half,
        )
        os.replace(half, checkpoint)

    model.train()
    start = last_saved = time.perf_counter()
    for step in range(done, steps):
        batch = [ids[i] for i in batches[step]]
        wanted, loss = sum(len(answer) for _, answer in batch), 0.0
        for row in rows_of(batch, lambda pair: len(pair[0]) + len(pair[1]), ROW_TOKENS):
            part = loss_of(accelerator.unwrap_model(model), prefix_ids, row) * (
                sum(len(answer) for _, answer in row) / wanted
            )
            if not torch.isfinite(part):
                raise FloatingPointError(
                    f"the loss is {part.item()} at step {step + 1} of {steps}: lower learning_rate ({recipe.learning_rate})"
                )
            accelerator.backward(part)
            loss += part.item()
        accelerator.clip_grad_norm_(trained, recipe.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss)
        if progress:
            progress(step + 1, steps, losses[-1])
        if checkpoint and step + 1 < steps and time.perf_counter() - last_saved >= checkpoint_seconds:
            save(step + 1)
            last_saved = time.perf_counter()
    model.eval()
    if checkpoint:
        with contextlib.suppress(FileNotFoundError):
            checkpoint.unlink()
    return Tuned(
        accelerator.unwrap_model(model),
        tokenizer,
        losses,
        before + time.perf_counter() - start,
        sum(p.numel() for p in trained),
        sum(len(b) for b in batches),
        resumed_at,
    )


def restore(tuned: Tuned):
    """The base model as it was before LoRA or QLoRA: takes the adapter off."""
    return tuned.model.unload() if hasattr(tuned.model, "unload") else tuned.model


def save_adapter(tuned: Tuned, folder: Path) -> None:
    """Write a LoRA adapter in PEFT's own format, with ``training.json`` beside it: whole or not at all.

    ``PeftModel.from_pretrained(base_model, folder)`` loads it without this library; the base model is named by its id on the Hub.

    Raises
    ------
    ValueError
        For a model whose own weights were trained.
    """
    if not hasattr(tuned.model, "peft_config"):
        raise ValueError(
            "full fine-tuning leaves no adapter: save the model itself, tuned.model.save_pretrained(folder)"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".half-", dir=folder.parent) as temp:
        half = Path(temp) / "adapter"
        # Embeddings are never trained here; asked to decide by itself, peft would ask the Hub about them.
        tuned.model.save_pretrained(str(half), save_embedding_layers=False)
        (half / "README.md").unlink(missing_ok=True)  # an empty form
        told: dict[str, object] = {name: getattr(tuned, name) for name in _TOLD}
        told["sha256"] = {path.name: sha256_of(path) for path in sorted(half.iterdir())}
        (half / "training.json").write_text(json.dumps(told), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(half, folder)


def is_kept(folder: Path) -> bool:
    """Does ``folder`` hold an adapter as :func:`save_adapter` wrote it? A damaged one is removed, and that is said."""
    if not folder.exists():
        return False
    try:
        sums = json.loads((folder / "training.json").read_text(encoding="utf-8"))["sha256"]
        if sums and all(intact(folder / name, sha256) for name, sha256 in sums.items()):
            return True
    except (OSError, ValueError, KeyError):
        pass
    print(f"{folder} is damaged or incomplete: removed, so that it is trained again", file=sys.stderr)
    shutil.rmtree(folder)
    return False


def load_adapter(lm, folder: Path) -> Tuned:
    """``lm`` with the adapter that :func:`save_adapter` wrote put on again; nothing is trained."""
    from peft import PeftModel

    told = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    with _no_peft_warning():
        model = PeftModel.from_pretrained(
            lm.model.requires_grad_(False), str(folder), torch_device=str(lm.model.device)
        )
    return Tuned(model.eval(), lm.tokenizer, **{name: told[name] for name in _TOLD})
