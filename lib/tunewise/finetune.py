"""Supervised fine-tuning (SFT) of a causal language model on one device: LoRA, QLoRA and full.

One short loop of our own, so that an interrupted run goes on where it was. What makes it fast on short texts is said in
:mod:`tunewise.models.packing`: the beginning that all examples share is computed once a step, nothing is padded, and the output
layer sees only the completion's tokens, which are also the only ones that carry loss. For several GPUs, use TRL.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import pickle
import shutil
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from tunewise.models import graphed
from tunewise.models.download import intact, say, sha256_of
from tunewise.models.packing import (
    LanguageModel,
    Pairs,
    encode,
    encode_pairs,
    evaluating,
    forward_packed,
    laid_out,
    rows_of,
)

# Tokens of a batch that go through the model at once. A longer batch is cut into rows whose gradients add up to the same: attention
# costs the square of a row's length, and the items in a row do not see each other anyway.
ROW_TOKENS = 1024

T = TypeVar("T")
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune.

    Parameters
    ----------
    method
        ``"lora"``, ``"qlora"`` (the model must be loaded with ``quantize="nf4"``) or ``"full"``.
    rank, alpha, targets
        LoRA's (Hu et al. 2021); the update is scaled by alpha / rank. ``targets`` are the names of the
        linear layers that get an adapter; by default all in the decoder layers.
    learning_rate
        Peak; linear warm-up over the share ``warmup`` of the steps, then linear decay to zero. Full fine-tuning wants
        about a tenth of LoRA's ("LoRA Without Regret", 2025).
    epochs, batch_size
        Passes over the data, examples a step. ``min_steps`` raises the number of passes for tiny sets, so
        that ten examples are not seen twice only.
    seed
        Of the adapter's initial values and the order of examples.
    candidates
        Changes of this recipe, such as ``{"learning_rate": 2e-4, "epochs": 3}``, among which :func:`choose` takes the best.

    Raises
    ------
    ValueError
        For an unknown method, or a number that must be above 0 and is not.
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
    candidates: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        if self.method not in ("lora", "qlora", "full"):
            raise ValueError(f"method must be 'lora', 'qlora' or 'full', not {self.method!r}")
        for name in ("rank", "epochs", "batch_size", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")

    def steps(self, n_examples: int) -> int:
        """Optimizer steps on ``n_examples``."""
        a_pass = math.ceil(n_examples / self.batch_size)
        return max(self.epochs * a_pass, self.min_steps)


@dataclass
class Tuned:
    """A fine-tuned model in the shape of a loaded one (``.model``, ``.tokenizer``), and what its training was like.

    Parameters
    ----------
    losses
        Mean loss (nats a token) of each step.
    seconds, examples
        Training time over all sittings; training examples seen, repeats counted.
    trainable
        Trainable parameters.
    resumed_at
        The step at which this sitting began.
    key
        The name under which an experiment keeps this model, if it does.
    """

    model: Any
    tokenizer: Any
    losses: list[float]
    seconds: float
    trainable: int
    examples: int
    resumed_at: int = 0
    key: str = ""


_TOLD = ("losses", "seconds", "trainable", "examples")  # what training.json says of a Tuned


def _batches(n: int, steps: int, size: int, seed: int) -> list[np.ndarray]:
    """Indices of each step: a new random order each pass, the last batch of a pass may be short."""
    rng = np.random.default_rng(seed)
    order: list[np.ndarray] = []
    while len(order) < steps:
        shuffled = rng.permutation(n)
        order += [shuffled[i : i + size] for i in range(0, n, size)]
    return order[:steps]


def make_trainable(lm: LanguageModel, recipe: Recipe) -> Any:
    """The model with what is to be trained switched on: a LoRA adapter, or all its weights."""
    torch.manual_seed(recipe.seed)
    if recipe.method == "full":
        return lm.model.requires_grad_(True)
    from peft import LoraConfig, get_peft_model

    targets = [t for t in recipe.targets if any(n.endswith(t) for n, _ in lm.model.named_modules())]
    layers, scale = targets or "all-linear", recipe.alpha
    config = LoraConfig(r=recipe.rank, lora_alpha=scale, target_modules=layers, task_type="CAUSAL_LM")
    with _no_peft_warning():
        model = get_peft_model(lm.model.requires_grad_(False), config)
    if spec := getattr(lm, "spec", None):
        model.peft_config["default"].base_model_name_or_path = spec.hub
    return model


@contextlib.contextmanager
def _no_peft_warning() -> Iterator[None]:
    """peft still asks transformers by a name that is on its way out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield


def loss_of(model: Any, prefix_ids: Sequence[int], examples: Pairs) -> torch.Tensor:
    """Mean cross-entropy (nats a token) of the completions, each after ``prefix + prompt``; one pass for all of them.

    Parameters
    ----------
    examples
        Pairs of prompt ids and completion ids.
    """
    row, places, tokens = laid_out(examples, prefix_ids)
    wanted = torch.tensor(tokens, device=model.device)
    return torch.nn.functional.cross_entropy(forward_packed(model, row, places), wanted)


def held_out_loss(lm: LanguageModel, examples: Sequence[tuple[str, str]], prefix: str = "") -> float:
    """Mean cross-entropy (nats a token) of the completions of pairs that ``lm`` was not trained on."""
    ids, prefix_ids = encode_pairs(lm.tokenizer, examples), encode(lm.tokenizer, prefix)
    nats, tokens = 0.0, 0
    with evaluating(lm.model):
        for row in rows_of(ids, _length, ROW_TOKENS):
            here = sum(len(c) for _, c in row)
            nats, tokens = nats + loss_of(lm.model, prefix_ids, row).item() * here, tokens + here
    return nats / tokens


def held_out_fifth(
    examples: Sequence[tuple[str, T]], seed: int
) -> tuple[list[tuple[str, T]], list[tuple[str, T]]]:
    """Four fifths of the examples, and the last fifth, to choose a recipe by; drawn with ``seed``, each part in its old order."""
    order = np.random.default_rng([31, seed]).permutation(len(examples))
    cut = max(1, len(examples) // 5)
    return [examples[i] for i in sorted(order[cut:])], [examples[i] for i in sorted(order[:cut])]


def choose(
    train: Callable[[Sequence[tuple[str, str]], Recipe], contextlib.AbstractContextManager[LanguageModel]],
    examples: Sequence[tuple[str, str]],
    recipe: Recipe,
    prefix: str = "",
) -> list[float]:
    """Held-out loss of each of ``recipe.candidates``: trained on four fifths of the pairs, and tried on the last fifth.

    Parameters
    ----------
    train
        Gives the model trained on pairs with a recipe, for the length of a ``with`` block.
    """
    kept, tried = held_out_fifth(examples, recipe.seed)
    losses = []
    for change in recipe.candidates:
        try:
            with train(kept, replace(recipe, **change, candidates=())) as lm:
                losses.append(held_out_loss(lm, tried, prefix))
        except FloatingPointError:
            losses.append(99.0)  # nats: it diverged
    return losses


def finetune(
    lm: LanguageModel,
    examples: Sequence[tuple[str, str]],
    recipe: Recipe = Recipe(),
    *,
    prefix: str = "",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 15.0,
    progress: Callable[[int, int, float], None] | None = None,
) -> Tuned:
    """Train ``lm`` on pairs of prompt and completion; the end-of-text token is added to each completion.

    Parameters
    ----------
    lm
        LoRA and QLoRA leave its weights alone: ``restore(tuned)`` takes the adapter off again. Full fine-tuning changes
        them: load the model again afterwards.
    prefix
        What all prompts begin with; it is not repeated in ``examples``.
    checkpoint
        A file that holds the state of an unfinished run. If it is there and belongs to the same run, training
        goes on from it; a damaged one is set aside. It is deleted at the end. Where it cannot be written, training goes on.
    progress
        Called with (step, steps, loss). What it raises ends the training after this step; ``checkpoint`` then holds its state.

    Raises
    ------
    ValueError
        For no examples, an empty completion, or a checkpoint of another run.
    FloatingPointError
        When the loss is no longer a number.
    """
    if not examples:
        raise ValueError("no training examples were given")
    if recipe.candidates:
        raise ValueError(
            "a recipe with candidates stands for several: take one of them, as Context.chosen does"
        )
    if any(not completion for _, completion in examples):
        raise ValueError("an example has an empty completion: nothing to learn from it")
    if recipe.method == "full" and next(lm.model.parameters()).dtype == torch.float16:
        remedy = "load the model in float32 (choose(dtype='float32')), or use LoRA"
        raise ValueError(f"full fine-tuning of float16 weights diverges: {remedy}")
    ids, prefix_ids = encode_pairs(lm.tokenizer, examples), encode(lm.tokenizer, prefix)
    steps = recipe.steps(len(ids))
    batches = _batches(len(ids), steps, recipe.batch_size, recipe.seed)
    run = _Run(make_trainable(lm, recipe), recipe, steps)
    model = run.model
    identity = hashlib.sha256(json.dumps([asdict(recipe), prefix_ids, ids]).encode()).hexdigest()
    if checkpoint:
        run.resume(checkpoint, identity)
    resumed_at = len(run.losses)

    model.train()
    last_saved = time.perf_counter()
    try:
        cut = [list(rows_of([ids[i] for i in batch], _length, ROW_TOKENS)) for batch in batches]
        backward = _backward(model, prefix_ids, [row for rows in cut[resumed_at:] for row in rows], recipe)
        for step in range(resumed_at, steps):
            rows, loss = cut[step], 0.0
            total = sum(len(c) for row in rows for _, c in row)
            for row in rows:
                part = backward(row, sum(len(c) for _, c in row) / total)
                if not math.isfinite(part):
                    where = f"{part} at step {step + 1} of {steps}"
                    remedy = f"lower learning_rate ({recipe.learning_rate})"
                    raise FloatingPointError(f"the loss is {where}: {remedy}")
                loss += part
            run.step(loss)
            try:
                if progress:
                    progress(step + 1, steps, loss)
            except BaseException:
                if checkpoint:
                    run.save(checkpoint, identity)
                raise
            if checkpoint and step + 1 < steps and time.perf_counter() - last_saved >= checkpoint_seconds:
                run.save(checkpoint, identity)
                last_saved = time.perf_counter()
    except BaseException:  # a training that fails or is stopped leaves no adapter on the base model
        if hasattr(model, "unload"):
            model.unload()
        raise
    model.eval()
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    trainable, seen = sum(p.numel() for p in run.trained), sum(map(len, batches))
    return Tuned(model, lm.tokenizer, run.losses, run.seconds(), trainable, seen, resumed_at)


def _length(pair: tuple[list[int], list[int]]) -> int:
    return len(pair[0]) + len(pair[1])


def _backward(
    model: Any, prefix_ids: Sequence[int], rows: Sequence[Any], recipe: Recipe
) -> Callable[[Any, float], float]:
    """A function that adds the gradients of a row's mean loss, times a share, and returns it: on a GPU as a CUDA graph, where one can be recorded."""
    from peft.helpers import disable_input_dtype_casting

    if model.device.type == "cuda" and recipe.method != "qlora" and len(rows) >= graphed.FEWEST:
        try:
            graph = graphed.Graphed(model, [laid_out(row, prefix_ids) for row in rows])
            return lambda row, share: graph(*laid_out(row, prefix_ids), share)
        except RuntimeError as error:  # a kernel that can't be recorded, or too little memory
            say(f"training without a CUDA graph: {str(error).splitlines()[0]}")
            model.zero_grad(set_to_none=True)

    # A LoRA adapter's products in bfloat16, like the model's own, while its weights stay float32. PEFT's turning
    # input and result of each layer to float32 and back takes a good part of a step.
    native = recipe.method == "lora" and model.device.type == "cpu" and model.dtype == torch.bfloat16

    def plain(row: Any, share: float) -> float:
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=native)
        with disable_input_dtype_casting(model, native), autocast:
            part = loss_of(model, prefix_ids, row) * share
        torch.autograd.backward(part)
        return float(part.item())

    return plain


class _Run:
    """A training under way: what a checkpoint holds of it."""

    def __init__(self, model: Any, recipe: Recipe, steps: int) -> None:
        self.model, self.max_grad_norm = model, recipe.max_grad_norm
        self.trained = [p for p in model.parameters() if p.requires_grad]
        rate, decay = recipe.learning_rate, recipe.weight_decay
        self.optimizer = torch.optim.AdamW(self.trained, lr=rate, weight_decay=decay)
        warm = max(1, round(recipe.warmup * steps))

        def share(step: int) -> float:
            return min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))

        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, share)
        self.losses: list[float] = []
        self.before, self.start, self.warned = 0.0, time.perf_counter(), False

    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.start

    def step(self, loss: float) -> None:
        torch.nn.utils.clip_grad_norm_(self.trained, self.max_grad_norm)
        self.optimizer.step()
        self.schedule.step()
        # in place on a GPU: a recorded graph adds to the gradients where they lie
        self.optimizer.zero_grad(set_to_none=self.trained[0].device.type != "cuda")
        self.losses.append(loss)

    def save(self, path: Path, identity: str) -> None:
        """Write a checkpoint, whole or not at all. A full disk costs the checkpoint, not the training; that is said once."""
        half = path.with_name(path.name + ".part")
        tensors = {"trained": [p.detach() for p in self.trained], "optimizer": self.optimizer.state_dict()}
        state = {"identity": identity, "losses": self.losses, "seconds": self.seconds(), **tensors}
        state["schedule"] = self.schedule.state_dict()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(state, half)
            os.replace(half, path)
        except (OSError, RuntimeError) as error:  # torch's own writer raises RuntimeError on a full disk
            if not self.warned:
                say(f"{path} could not be written ({error}): training goes on without a checkpoint")
            self.warned = True
            with contextlib.suppress(OSError):
                half.unlink(missing_ok=True)

    def resume(self, path: Path, identity: str) -> None:
        """Go on from a checkpoint, if there is one. Raises ValueError for one of another run."""
        if not path.exists():
            return
        try:
            state = torch.load(path, weights_only=True, map_location=self.trained[0].device)
        except (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
            aside = path.with_name(path.name + ".damaged")
            os.replace(path, aside)
            what = f"{path} is damaged ({type(error).__name__})"
            say(f"{what}: set aside as {aside.name}; training begins again")
            return
        if state["identity"] != identity:
            raise ValueError(f"{path} belongs to another run; delete it, or give another path")
        with torch.no_grad():
            for p, saved in zip(self.trained, state["trained"], strict=True):
                p.copy_(saved)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.losses, self.before = state["losses"], state["seconds"]


def restore(tuned: Tuned) -> Any:
    """The base model as it was before LoRA or QLoRA: takes the adapter off."""
    return tuned.model.unload() if hasattr(tuned.model, "unload") else tuned.model


def save_adapter(tuned: Tuned, folder: str | Path) -> None:
    """Write a LoRA adapter in PEFT's own format, with ``training.json`` beside it: whole or not at all.

    ``PeftModel.from_pretrained(base_model, folder)`` loads it without this library; the base model is named by its id on the Hub.

    Raises
    ------
    ValueError
        For a model whose own weights were trained.
    """
    from peft import PeftModel

    if not isinstance(tuned.model, PeftModel):
        remedy = "save the model itself, tuned.model.save_pretrained(folder)"
        raise ValueError(f"full fine-tuning leaves no adapter: {remedy}")
    folder = Path(folder)
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
    say(f"the adapter {folder} is damaged or incomplete: removed, so that it is trained again")
    shutil.rmtree(folder)
    return False


def load_adapter(lm: LanguageModel, folder: str | Path) -> Tuned:
    """``lm`` with the adapter that :func:`save_adapter` wrote put on again; nothing is trained."""
    from peft import PeftModel

    told = json.loads(Path(folder, "training.json").read_text(encoding="utf-8"))
    base, device = lm.model.requires_grad_(False), str(lm.model.device)
    with _no_peft_warning():
        model = PeftModel.from_pretrained(base, str(folder), torch_device=device)
    return Tuned(model.eval(), lm.tokenizer, **{name: told[name] for name in _TOLD})
