"""Real training steps, and the memory they take: on a CUDA GPU what its allocator counts, on a CPU the resident memory.

One setting a process, since both counts belong to a process: ``python -m finetune_memory.real_steps '<settings as
JSON>'`` prints one line of JSON, the outcome. Weights are random, so that only a config is needed; each is made on the
device by itself (and quantised there), as ``from_pretrained`` does, so that the host needs no room for the model.
"""

import contextlib
import gc
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from finetune_memory import libraries
from finetune_memory.libraries import DTYPES, LEARNING_RATE, Optimizers
from finetune_memory.settings import Settings

STEPS = 2  # optimiser states are made in the first


class CudaMeter:
    """Bytes in PyTorch's caching allocator; the CUDA context and other programs are not in them."""

    def __init__(self) -> None:
        torch.cuda.init()
        torch.cuda.empty_cache()
        self.reset()

    def reset(self) -> None:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()

    def now(self) -> int:
        return torch.cuda.memory_allocated()

    def peak(self) -> int:
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()

    def reserved(self) -> int | None:
        return torch.cuda.max_memory_reserved()


class CpuMeter:
    """Bytes of resident memory above what the process took before the model came.

    Linux keeps a high-water mark that can be set back (``/proc/self/clear_refs``). Raises OSError where there is none.
    """

    def __init__(self) -> None:
        gc.collect()
        self.reset()
        self.base = self._read("VmRSS")

    def reset(self) -> None:
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError as error:
            only = "peak resident memory can be measured on Linux only"
            raise OSError(f"{only}; on other systems measure on a GPU") from error

    def now(self) -> int:
        return max(self._read("VmRSS") - self.base, 0)

    def peak(self) -> int:
        return max(self._read("VmHWM") - self.base, 0)

    def reserved(self) -> None:
        return None

    @staticmethod
    def _read(name: str) -> int:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise OSError(f"/proc/self/status has no {name}")


def supported(settings: Settings) -> None:
    """Raises ValueError for settings that cannot be run here as they are."""
    if settings.gpus > 1:
        raise ValueError("one GPU is measured; leave gpus and sharding out")
    if settings.loss != "default" or settings.logits != "auto" or settings.rows != "full":
        raise ValueError("transformers' own loss over full rows is measured; leave loss, logits and rows out")


def measure(settings: Settings, device: str) -> dict[str, Any]:
    """Load, train a few steps on "cuda" or "cpu", and read the peaks.

    Returns
    -------
    dict
        Bytes: ``allocated`` (the whole run's peak; on a CPU resident memory), ``reserved`` (None on a CPU), ``resident``
        (before the first step) and ``phases``, the peak of each phase of the last step; and ``seconds_a_step``.

    Raises
    ------
    ValueError
        For settings that cannot be run here as they are.
    """
    supported(settings)
    if not device.startswith("cuda"):
        _bring_libraries(settings)
    meter = CudaMeter() if device.startswith("cuda") else CpuMeter()
    torch.manual_seed(0)
    model = load(settings, device)
    optimizers = _optimizers(model, settings)
    phases = {"load": meter.peak()}
    resident = meter.now()
    loop = _Loop(model, optimizers, settings, device)
    start = time.perf_counter()
    for _ in range(STEPS):
        loop.step()
    whole, reserved = meter.peak(), meter.reserved()
    seconds = (time.perf_counter() - start) / STEPS
    loop.step(lambda name: phases.__setitem__(name, meter.peak()), meter.reset)
    peaks = {"allocated": whole, "reserved": reserved, "resident": resident, "phases": phases}
    return {**peaks, "seconds_a_step": round(seconds, 3)}


def _bring_libraries(settings: Settings) -> None:
    """Take a step with a tiny model, so that what libraries take for themselves is no part of what is measured."""
    sizes = dict.fromkeys(("hidden_size", "intermediate_size", "vocab_size"), 64)
    tiny = {"model_type": "llama", **sizes, "num_hidden_layers": 1, "num_attention_heads": 1}
    small = settings.replace(model=tiny, targets="all-linear", batch=1, seq=8)
    model = load(small, "cpu")
    _Loop(model, _optimizers(model, small), small, "cpu").step()


def load(settings: Settings, device: str) -> Any:
    """The model with random weights on the device, ready for training."""
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        attention = "eager" if settings.attention == "eager" else "sdpa"
        model = libraries.model_from(settings.config, settings, attention)
    model.tie_weights()
    if settings.method == "qlora":
        _place_quantised(model, settings, device)
    placed: dict[int, torch.nn.Parameter] = {}  # a tied weight is one parameter of two modules
    for module in model.modules():
        for name, empty in list(module.named_parameters(recurse=False)):
            if not empty.is_meta:
                continue
            if id(empty) not in placed:
                weight = _random(empty.shape, empty.dtype, device)
                placed[id(empty)] = torch.nn.Parameter(weight, requires_grad=empty.requires_grad)
            setattr(module, name, placed[id(empty)])
    model.to(device)  # buffers
    model.train()
    if settings.method == "qlora" and settings.kbit_preparation:
        from peft import prepare_model_for_kbit_training

        with warnings.catch_warnings():  # peft still asks transformers by a name that is on its way out
            warnings.simplefilter("ignore", FutureWarning)
            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    libraries.checkpoint(model, settings)
    return model if settings.method == "full" else libraries.adapt(model, settings)


def _random(shape: torch.Size, dtype: torch.dtype, device: str) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device=device).normal_(std=0.02)


def _place_quantised(model: Any, settings: Settings, device: str) -> None:
    import bitsandbytes

    dtype = DTYPES[settings.dtype]
    how = {"compress_statistics": settings.double_quant, "quant_type": "nf4"}
    for name, linear in libraries.quantised_linears(model):
        sizes = linear.in_features, linear.out_features, linear.bias is not None
        small = bitsandbytes.nn.Linear4bit(*sizes, compute_dtype=dtype, device="meta", **how)
        weight = _random(linear.weight.shape, dtype, device)
        packed = bitsandbytes.nn.Params4bit(weight, requires_grad=False, module=small, **how)
        small.weight, small.bias = packed.to(device), linear.bias
        model.set_submodule(name, small)
    model.is_loaded_in_4bit = True
    model.is_quantized = False  # lets .to() move the buffers


def _optimizers(model: torch.nn.Module, settings: Settings) -> Optimizers:
    def blockwise(parameters: list[torch.nn.Parameter]) -> Any:
        import bitsandbytes

        kinds = {"adamw8bit": "AdamW8bit", "paged_adamw": "PagedAdamW", "paged_adamw8bit": "PagedAdamW8bit"}
        return getattr(bitsandbytes.optim, kinds[settings.optimizer])(parameters, lr=LEARNING_RATE)

    trained = [p for p in model.parameters() if p.requires_grad]
    return libraries.make_optimizers(trained, settings, blockwise)


class _Loop:
    """The training loop that the settings describe."""

    def __init__(self, model: Any, optimizers: Optimizers, settings: Settings, device: str):
        self.model, self.optimizers, self.settings = model, optimizers, settings
        vocab = settings.shape.vocab
        self.ids = torch.randint(0, vocab, (settings.batch, settings.seq), device=device)
        self.kept: Any = None
        for parameter in optimizers:
            if parameter is not None:
                parameter.register_post_accumulate_grad_hook(self._update)

    def _update(self, parameter: torch.nn.Parameter) -> None:
        self.optimizers[parameter].step()
        parameter.grad = None

    def step(
        self, seen: Callable[[str], None] = lambda name: None, reset: Callable[[], None] = lambda: None
    ) -> None:
        """One step. ``seen`` is called at the end of each phase with its name, ``reset`` at its beginning."""
        settings = self.settings
        reset()
        with self._precision():
            outputs = self.model(input_ids=self.ids, labels=self.ids, use_cache=settings.use_cache)
        loss, self.kept = outputs.loss, None
        seen("forward")
        reset()
        if settings.outputs == "dropped":
            outputs = None
        loss.backward()
        seen("backward")
        reset()
        if None in self.optimizers:
            self.optimizers[None].step()
        seen("optimiser")
        for parameter in self.model.parameters():
            parameter.grad = None
        if settings.outputs == "next":
            self.kept = outputs

    def _precision(self) -> contextlib.ExitStack:
        """The number format and the attention kernel, while it is entered."""
        stack = contextlib.ExitStack()
        if self.settings.master_weights:
            stack.enter_context(torch.autocast(self.ids.device.type, dtype=DTYPES[self.settings.dtype]))
        if self.settings.attention == "flash":
            stack.enter_context(sdpa_kernel(SDPBackend.FLASH_ATTENTION))
        return stack


def outcome(settings: dict[str, Any], device: str) -> dict[str, Any]:
    """What :func:`measure` gives, or why it gave nothing: ``{"outcome": "measured" | "out of memory" | "failed", ...}``."""
    try:
        return {"outcome": "measured", **measure(Settings.from_dict(settings), device)}
    except torch.OutOfMemoryError as error:
        return {"outcome": "out of memory", "why": str(error).splitlines()[0]}
    except MemoryError:
        return {"outcome": "out of memory", "why": "the host's memory is used up"}
    except Exception as error:
        return {"outcome": "failed", "why": f"{type(error).__name__}: {error}"[:500]}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(outcome(asked["settings"], asked["device"])))
