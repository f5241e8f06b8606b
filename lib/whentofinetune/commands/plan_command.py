"""``tunewise plan FILE``: what tuning a larger model on your own rows takes: tokens, the GPUs that hold it, hours, and what they cost."""

import argparse
import json
import math
import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from finetune_memory import SFT_TRAINER, known_models
from finetune_memory.fit import GPUS, Gpu, fits, gpu_named, largest
from finetune_memory.formula import estimate
from finetune_memory.settings import METHODS, Settings
from finetune_memory.training_time import REACHED, hours
from tunewise.compare.base import Item, OwnData
from tunewise.compare.check_command import add_data_options, data_options
from tunewise.compare.health import estimated_tokens
from tunewise.compare.own_prompt import listed
from tunewise.words import counted

CALLED = {"qlora": "QLoRA", "lora": "LoRA", "full": "full"}
WHOLE = 0.99  # of the rows are not cut, where no length is named
UNIT = 64  # a length is a multiple of so many tokens
UNITS = (
    ("s", 3600, 2 / 60),
    ("min", 60, 2),
    ("h", 1, math.inf),
)  # of a time, how many an hour has, and up to which hours it is used
WIDTH = 30
Counter = Callable[[str], int]


@dataclass(frozen=True)
class Tokens:
    """The training rows in tokens, each with its prompt and its answer.

    Parameters
    ----------
    rows, median, most, longest
        How many rows; tokens of the middle one, of the 95th in a hundred, and of the longest.
    seq, cut
        Tokens to which rows are cut, and how many rows are.
    steps, trained
        Steps in all epochs; tokens in all of them, padding included.
    """

    rows: int
    median: int
    most: int
    longest: int
    seq: int
    cut: int
    steps: int
    trained: int


@dataclass(frozen=True)
class Fit:
    """One method on one GPU: rows that fit at once (the rest of a batch is accumulated), bytes at the peak, the fewest and the most hours,
    and what they cost where a price was named."""

    method: str
    gpu: str
    fits: str
    rows_at_once: int
    peak_bytes: int
    hours: tuple[float, float]
    euro: tuple[float, float] | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add = parser.add_argument
    add_data_options(parser)
    add(
        "--model",
        required=True,
        metavar="NAME",
        help="as for `tunewise memory`: llama-2-7b, a Hub id, or a config.json",
    )
    add("--epochs", type=int, default=3, metavar="N", help="passes over the training rows (%(default)s)")
    add(
        "--batch",
        type=int,
        default=8,
        metavar="N",
        help="rows a step; what does not fit at once is accumulated (%(default)s)",
    )
    add("--rank", type=int, default=16, metavar="N", help="rank of LoRA, on all linear layers (%(default)s)")
    add(
        "--seq",
        type=int,
        metavar="N",
        help="tokens at which a row is cut (so many that 99 in 100 rows are whole)",
    )
    add(
        "--tokenizer",
        metavar="NAME",
        help="Hub id or folder of a tokenizer to count with; without it tokens are estimated",
    )
    price = "euro an hour, such as a100=1.8 or, for every GPU, 2; may be repeated"
    add("--price", metavar="GPU=EURO", action="append", default=[], help=price)
    add("--json", action="store_true", help="print JSON; sizes in bytes")


def main(args: argparse.Namespace) -> int:
    """Print the plan; 0 where one GPU holds the model by some method, 1 where none does, 2 for a file or settings that can't be used."""
    from tunewise.compare.intake import prepare
    from tunewise.compare.printable import visible
    from tunewise.compare.text_encoding import DataError

    try:
        for name in ("epochs", "batch", "rank"):
            if getattr(args, name) < 1:
                raise ValueError(f"--{name} must be 1 or more; it was given {getattr(args, name)}")
        prices = read_prices(args.price)
        model = known_models.config_file(args.model) or args.model
        shape = Settings(model=model).shape
        data = prepare(args.file, **data_options(args))
        told = tokens(data, counter(args.tokenizer), args.epochs, args.batch, args.seq)
        found = plan(model, told, args.batch, args.rank, prices)
    except (DataError, ValueError, OSError) as error:
        print(visible(f"tunewise plan: {error}"), file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps({"tokens": asdict(told), "fits": [asdict(f) for f in found]}, indent=1))
    else:
        print(visible("\n".join(as_text(data, told, args, shape.parameters, found))))
    return int(not found)


def read_prices(pairs: Sequence[str]) -> dict[str, float]:
    """GPU -> euro an hour. Raises ValueError for what is no price."""
    prices = {}
    for pair in pairs:
        name, _, value = pair.rpartition("=")
        try:
            euro = float(value)
        except ValueError:
            euro = math.nan
        if not (math.isfinite(euro) and euro >= 0):
            raise ValueError(
                f"--price {pair}: write it as GPU=EURO, such as a100=1.8, or as one number for all"
            )
        named = [gpu_named(name)] if name else GPUS.values()
        prices |= dict.fromkeys((gpu.name for gpu in named), euro)
    return prices


def counter(name: str | None) -> Counter:
    """How tokens are counted: by a tokenizer, or estimated from the characters. Raises ValueError for one that can't be had."""
    if not name:
        return estimated_tokens
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        said = f"--tokenizer {name} can't be had ({str(error).splitlines()[0]})"
        raise ValueError(f"{said}: name a folder with a tokenizer, or leave it out") from None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def prompted(data: OwnData, item: Item) -> str:
    """A training row as a model is shown it: what is asked for, the text, and the answer."""
    asked = (
        f"Say which of these it is: {listed(data.labels)}."
        if data.labels
        else "Answer, and write nothing else."
    )
    return f"{asked}\n\nText: {item.text}\nAnswer: {item.target}"


def tokens(data: OwnData, count: Counter, epochs: int, batch: int, seq: int | None) -> Tokens:
    """The training rows in tokens; batches are drawn at random, and each is padded to its longest row.

    Raises ValueError for a ``seq`` that holds no token of most texts.
    """
    lengths = sorted(count(prompted(data, item)) + 1 for item in data.train)  # one for the end of the text
    whole = lengths[math.ceil(WHOLE * len(lengths)) - 1]
    seq = seq or UNIT * math.ceil(whole / UNIT)
    if seq < lengths[0]:
        raise ValueError(
            f"--seq {seq} would cut every row: the shortest has {lengths[0]} tokens with its prompt"
        )
    kept, draw, trained = [min(n, seq) for n in lengths], random.Random(0), 0
    for _ in range(epochs):
        draw.shuffle(kept)
        trained += sum(
            len(part) * max(part) for part in (kept[i : i + batch] for i in range(0, len(kept), batch))
        )
    return Tokens(
        rows=len(lengths),
        median=round(statistics.median(lengths)),
        most=lengths[math.ceil(0.95 * len(lengths)) - 1],
        longest=lengths[-1],
        seq=seq,
        cut=sum(n > seq for n in lengths),
        steps=epochs * math.ceil(len(lengths) / batch),
        trained=trained,
    )


def settings(model: Any, method: str, gpu: Gpu, seq: int, rank: int, batch: int) -> Settings:
    """A step as TRL's trainer takes it, with gradient checkpointing; where all weights are trained they are fp32, under autocast."""
    sixteen = "bf16" if gpu.arch >= 80 else "fp16"
    how = {"rank": rank, "targets": "all-linear", "checkpointing": True, "arch": gpu.arch}
    size = {"seq": seq, "batch": batch, "dtype": sixteen, "master_weights": method == "full"}
    return Settings(model=model, method=method, **SFT_TRAINER, **how, **size)


def plan(model: Any, told: Tokens, batch: int, rank: int, prices: Mapping[str, float]) -> list[Fit]:
    """What fits where, the GPU with least memory first; one row at least must fit, with room for CUDA."""
    found = []
    for gpu in sorted(GPUS.values(), key=lambda g: (g.total, g.tflops)):
        for method in reversed(METHODS):
            whole = settings(model, method, gpu, told.seq, rank, batch)
            parts = whole.replace(accumulation=True)  # the gradients of the rows before are there already
            one = whole if largest(whole, gpu, "batch", limit=batch) == batch else parts
            if not (most := largest(one, gpu, "batch", limit=batch)):
                continue
            step = estimate(one.replace(batch=most))
            took = hours(one, gpu, told.trained)
            price = prices.get(gpu.name)
            euro = None if price is None else (took[0] * price, took[1] * price)
            found.append(Fit(method, gpu.name, fits(step, gpu), most, step.peak_bytes, took, euro))
    return found


def as_text(
    data: OwnData, told: Tokens, args: argparse.Namespace, parameters: int, found: Sequence[Fit]
) -> list[str]:
    """The plan in words and one table."""
    by = f"by the tokenizer {args.tokenizer}" if args.tokenizer else "estimated; --tokenizer NAME counts them"
    cut = f"{counted(told.cut)} {'is' if told.cut == 1 else 'are'} cut" if told.cut else "no row is cut"
    methods = list(reversed(METHODS))
    lines = [
        f"{data.name}: {counted(told.rows)} to train on; {len(data.valid):,} to choose by and {len(data.test):,} to test with stay out.",
        f"Tokens a row, with prompt and answer ({by}):",
        f"  median {told.median:,}, 95 in 100 up to {told.most:,}, longest {told.longest:,}; at {told.seq:,}, {cut} (--seq)",
        f"  {counted(args.epochs, 'epoch')} in batches of {args.batch}: {counted(told.steps, 'step')}, {told.trained:,} tokens with padding",
        "",
        f"{args.model}, {parameters / 1e9:.2f} billion parameters; rank {args.rank} on all linear layers, gradient",
        "checkpointing, fused AdamW; full: weights in fp32 under autocast. A number in",
        f"brackets: so many of the {args.batch} rows fit at once, and their gradients are accumulated.",
        "",
        "GPU".ljust(16) + "".join(f"{CALLED[method]:>{WIDTH}}" for method in methods),
    ]
    cells = {(fit.gpu, fit.method): _cell(fit, args.batch) for fit in found}
    for gpu in dict.fromkeys(fit.gpu for fit in found):
        lines.append(gpu.ljust(16) + "".join(f"{cells.get((gpu, m), '-'):>{WIDTH}}" for m in methods))
    step = f"tunewise memory --model {args.model} --seq {told.seq} --checkpointing --gpus 4 --sharding fsdp"
    for method in methods:
        if not any(fit.method == method for fit in found):
            lines += [
                f"{CALLED[method]}: no single GPU known here holds one row. Several share it:",
                f"  {step} --method {method}",
            ]
    shares = " to ".join(f"{100 * share:.0f}" for share in REACHED)
    lines += [
        "",
        f"Times are arithmetic, at {shares} % of the GPU's 16-bit rate; loading, testing and other recipes come on top.",
    ]
    lines += [] if args.price else ["--price a100=1.8 (euro an hour) says what it costs."]
    return [
        *lines,
        f"First, on this machine: tunewise compare {args.file} --skip lora sets the mark to beat.",
    ]


def _cell(fit: Fit, batch: int) -> str:
    """``2.5-8.3 min, 0.02-0.06 € (4)``."""
    unit, times = next((u, t) for u, t, most in UNITS if fit.hours[1] < most)
    told = f"{_digits(times * fit.hours[0])}-{_digits(times * fit.hours[1])} {unit}"
    if fit.euro:
        told += f", {fit.euro[0]:.2f}-{fit.euro[1]:.2f} €"
    return told + (f" ({fit.rows_at_once})" if fit.rows_at_once < batch else "")


def _digits(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"
