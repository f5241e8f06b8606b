"""Figures and tables of the chapter *What fine-tuning costs in memory*, each a function of records."""

import json
from collections.abc import Iterator, Mapping
from itertools import product

from finetune_memory import Settings, estimate, formula
from finetune_memory.calculator import LOOKS
from tunewise import report as rp
from tunewise.record import Record, Row
from tunewise.words import signed
from whentofinetune import book_files

GB = 1e9  # GPU makers' gigabytes; GiB, 2**30 bytes, is said where it is meant
METHODS = {"full": "full", "lora": "LoRA", "qlora": "QLoRA"}
MODELS = {
    "meta-llama/Llama-2-7b-hf": "Llama 2 7B",
    "meta-llama/Llama-2-13b-hf": "Llama 2 13B",
    "HuggingFaceTB/SmolLM2-135M": "SmolLM2 135M",
    "Qwen/Qwen2.5-0.5B": "Qwen2.5 0.5B",
    "Qwen/Qwen2.5-1.5B": "Qwen2.5 1.5B",
    "meta-llama/Llama-3.2-1B": "Llama 3.2 1B",
    "huggyllama/llama-7b": "Llama 1 7B",
    "Qwen/Qwen2.5-7B": "Qwen2.5 7B",
}
# In the order in which they are stacked; those that stay through a step come first.
PARTS = ("weights", "quantisation constants", "adapters", "optimiser", "gradients", "saved activations")
PARTS += ("logits and loss", "temporaries", "workspace")
CARDS = {16: "a 16 GB card", 24: "a 24 GB card", 32: "a 32 GB card", 48: "a 48 GB card", 80: "an 80 GB card"}
# As torchtune's full recipe ran on a single card: its README names the optimiser, its config of the same commit also the backward pass.
AS_PRINTED = "full, paged AdamW in the backward pass"
PAGED = {"full, paged AdamW": {"optimizer": "paged_adamw"}}
PAGED |= {AS_PRINTED: {"optimizer": "paged_adamw", "in_backward": True}}
LEFT = 0.94  # of a card; the rest goes to the driver and the context
SLICES = {
    "transformers + PEFT": "transformers + PEFT, all",
    "method full": "full",
    "method lora": "LoRA",
    "method qlora": "QLoRA",
    "checkpointing False": "no checkpointing",
    "litgpt": "LitGPT",
    "torchtune": "torchtune",
}


def read(name: str) -> dict:
    """A file of ``data/``."""
    return json.loads((book_files.data_dir() / name).read_text(encoding="utf-8"))


def published() -> list[dict]:
    """The rows of torchtune's README behind the article's Table 1."""
    return read("memory/table1.json")["rows"]


def measured_steps() -> list[dict]:
    """All training steps that were measured, each with its ``device`` and the ``id`` that the bench knows it by."""
    found = []
    for path in sorted((book_files.data_dir() / "memory").glob("measured-*.json")):
        record = read(f"memory/{path.name}")
        about = {"device": record["device"]}
        rows = (r | about | {"id": f"{path.stem}-{i}"} for i, r in enumerate(record["rows"]))
        found += [r for r in rows if r["outcome"] == "measured"]
    return found


def on_gpu() -> list[dict]:
    """Those of them that were measured on a GPU."""
    return [r for r in measured_steps() if not r["device"].startswith("CPU")]


def measured_peak(settings: Mapping) -> int | None:
    """The peak of the same step, measured on whatever GPU and version of PyTorch; None if it was not."""
    wanted, left_out = Settings.from_dict(dict(settings)).as_dict(), {"arch", "torch", "outputs"}
    for r in on_gpu():
        found = Settings.from_dict(r["settings"]).as_dict()
        if all(found[k] == v for k, v in wanted.items() if k not in left_out):
            return r["allocated"]
    return None


def gb(size: float | None) -> str:
    """Bytes in GB (1e9 bytes)."""
    return "not yet measured" if size is None else f"{size / GB:.1f} GB"


def card(size: float) -> str:
    """The smallest card that holds so many bytes."""
    fits = (name for memory, name in CARDS.items() if size < LEFT * memory * GB)
    return next(fits, "no card of 80 GB or less")


def peak(model: str, method: str, batch: int = 2, seq: int = 512, **more: object) -> int:
    """Calculated bytes at the peak, with checkpointing; QLoRA on all linear layers with doubly quantised constants."""
    if method == "qlora":
        more |= {"targets": "all-linear", "double_quant": True}
    more = {"checkpointing": True, "outputs": "dropped"} | more
    return estimate(Settings(model=model, method=method, batch=batch, seq=seq, **more)).peak_bytes


# -- Table 1 ------------------------------------------------------------------------------------------------------------


def history() -> rp.Html:
    """What torchtune's README printed for Llama 2 7B over three months."""
    heads = ("README of", "method", "peak", "batch × length", "what differed")
    rows = [
        (r["date"], METHODS[r["method"]], f"{r['gb']:g} GB", f"{r['batch']} × {r['seq']}", r["note"])
        for r in published()
    ]
    return rp.table_from_lists(heads, rows, "Llama 2 7B on one GPU, as printed by torchtune")


def _steps_of_the_table(record: Record) -> Iterator[tuple[str, dict, int | None]]:
    """Method, settings and simulated peak (None: not simulated) of each step at the README's batch and length."""
    for r in record.results:
        if (r["settings"]["batch"], r["settings"]["seq"]) == (4, 2048):
            yield r["method"], r["settings"], r["simulated"]
            if r["method"] == "full, 8-bit AdamW":
                yield from ((name, r["settings"] | more, None) for name, more in PAGED.items())


def table_one(record: Record) -> rp.Html:
    """The article's three rows, and beside them our stack at the same batch and length, for both models."""
    said, rows = {r["method"]: r["gb"] * GB for r in published() if r.get("article")}, []
    for method, s, simulated in _steps_of_the_table(record):
        printed = method in (AS_PRINTED, "LoRA", "QLoRA") and "7b" in s["model"]
        row = {"model": MODELS[s["model"]], "method": method}
        row["torchtune, as printed"] = gb(said[s["method"]]) if printed else "-"
        row["simulated"] = gb(simulated) if simulated else "-"
        row["calculated"] = gb(estimate(Settings.from_dict(s)).peak_bytes)
        rows.append(row | {"measured on a GPU": gb(measured_peak(s)) if simulated else "-"})
    return rp.table(rows, "Table 1 restored: peak memory at batch 4, length 2048")


def _size(row: Row) -> str:
    """An entry of the menu over model and size."""
    s = row["settings"]
    return f"{MODELS[s['model']]}, batch {s['batch']} × length {s['seq']}"


def parts_figure(record: Record) -> rp.Figure:
    """A menu over model and size: what the peak is made of, for each method. At first the size of the table and the prediction."""
    bars: dict[str, dict] = {}
    for r in record.results:
        parts = {p: r["components"][p] / GB for p in PARTS if r["components"].get(p)}
        name = f"{r['method']}: {sum(parts.values()):.1f} GB, in {r['phase']}"
        bars.setdefault(_size(r), {})[name] = parts
    at = "GB at the peak"
    figures = {k: rp.stacked_bars(found, at, k, unit="GB", looks=LOOKS) for k, found in bars.items()}
    return rp.choose(figures, "model and size", _size(simulated(record, "LoRA")))


def timeline_figure(record: Record) -> rp.Figure:
    """A menu over the methods: memory through loading and one step, by what it holds. At first the method of the prediction."""
    figures = {r["method"]: _timeline(r) for r in record.results if r.get("timeline")}
    return rp.choose(figures, "method", "QLoRA")


def _timeline(row: Row) -> rp.Figure:
    at, data = row["timeline"], []
    phases = [p["phase"] for p in at]
    for part in PARTS:
        color = LOOKS[part][0]
        if any(p.get(part) for p in at):
            trace = {"type": "scatter", "mode": "lines", "name": part, "stackgroup": "one", "text": phases}
            trace |= {"x": list(range(len(at))), "y": [round(p.get(part, 0) / GB, 4) for p in at]}
            trace |= {"line": {"width": 0, "color": color, "shape": "hv"}, "fillcolor": color}
            data.append(trace | {"hovertemplate": f"%{{text}}: {part} %{{y:.2f}} GB<extra></extra>"})
    first = {phase: phases.index(phase) for phase in phases}
    names, before, low = [], 0, True
    for phase, start in first.items():  # a phase that starts beside the one before has its name a line lower
        low = not low and start - before < len(at) / 8
        names.append("<br>" * low + phase)
        before = start
    ticks = {"tickvals": [*first.values()], "ticktext": names, "tickangle": 0}
    layout = {"xaxis": {"title": {"text": "time, in allocations"}, **ticks}}
    s = row["settings"]
    made_for = f"{MODELS[s['model']]}, {row['method']}, batch {s['batch']} × length {s['seq']}"
    layout["title"] = {"text": f"Memory through one step of {made_for}"}
    layout["yaxis"] = {"title": {"text": "GB allocated"}, "rangemode": "tozero"}
    top = max(at, key=lambda p: p["bytes"])
    alt = f"{row['method']}: memory through one step; it is highest in {top['phase']}, at {gb(top['bytes'])}."
    return rp.Figure(data, layout, alt)


def arithmetic() -> rp.Html:
    """Each part of Llama 2 7B's step as a product of few numbers, beside what the calculator gives for it."""
    step = Settings(method="full", batch=4, seq=2048, checkpointing=True)
    shape, tokens = step.shape, step.batch * step.seq
    every, in_linear = shape.parameters, shape.layers * sum(linear.weights for linear in shape.linears)
    lora = step.replace(method="lora", targets="all-linear")
    thin = lora.rank * shape.layers * sum(linear.inputs + linear.outputs for linear in shape.linears)
    four_bit = lora.replace(method="qlora", kbit_preparation=False)
    masters, fused = step.replace(master_weights=True), {"optimizer_mode": "fused"}

    def update(s: Settings) -> int:
        """Weights (of LoRA: the adapters), gradients, states and temporaries of the optimiser's step."""
        size = sum(t.size for t in formula.trained(s))
        return 2 * size + formula.optimiser_states(s) + formula.update_temporaries(s)

    rows = [("weights, bf16", "parameters × 2", 2 * every, sum(formula.weights(step)))]
    once, twice = (4 / 64, "4 / 64"), (1 / 64 + 4 / (64 * 256), "1 / 64 + 4 / (64 × 256)")
    for double, (scales, said) in enumerate((once, twice)):
        name = f"weights, NF4{', doubly quantised' * double}"
        by_hand = (1 / 2 + scales) * in_linear + 2 * (every - in_linear)
        whole = sum(formula.weights(four_bit.replace(double_quant=bool(double))))
        said = f"parameters of linear layers × (1/2 + {said}) + the others × 2"
        rows.append((name, said, by_hand, whole))
    foreach, one, two = "(2 + 2 + 2 × 2 + 2)", "(2 + 2 + 2 × 2)", "(4 + 4 + 2 × 4)"
    adapters, loss = "rank × (inputs + outputs of each adapted layer)", estimate(step).by_phase["loss"]
    rows += [
        ("full, bf16, AdamW over all at once", f"parameters × {foreach}", 10 * every, update(step)),
        ("full, bf16, fused AdamW", f"parameters × {one}", 8 * every, update(step.replace(**fused))),
        (
            "full, fp32 weights, fused AdamW",
            f"parameters × {two}",
            16 * every,
            update(masters.replace(**fused)),
        ),
        ("LoRA, fp32 adapters, fused AdamW", f"{adapters} × {two}", 16 * thin, update(lora.replace(**fused))),
    ]
    saved, logits = 2 * shape.layers * tokens * shape.hidden, (2 + 3 * 4) * tokens * shape.vocab
    kept = "layers × tokens × hidden size × 2"
    rows.append(("saved activations, checkpointing", kept, saved, loss["saved activations"]))
    made = "tokens × vocabulary × (2 + 3 × 4)"
    rows.append(("logits at the loss", made, logits, loss["logits and loss"]))
    heads = ("part", "bytes", "by hand", "calculator")
    size = f"batch {step.batch} × length {step.seq}, LoRA of rank {lora.rank} on all matrices"
    shown = [
        (part, product, *(gb(size).replace(" ", "\u00a0") for size in sizes))
        for part, product, *sizes in rows
    ]
    return rp.table_from_lists(heads, shown, f"The arithmetic of a step: Llama 2 7B, {size}")


def accuracy_table() -> rp.Html:
    """Median and worst error of the simulation, the closed sum and public estimators on the same published peaks (``make bench`` writes them)."""
    bench = read("bench/memory.json")

    def cell(found: dict | None, most: int) -> str:
        if not found:
            return "no answer"
        off = (f"{found[which]:,.{0 if found[which] >= 10 else 1}f}" for which in ("median", "worst"))
        return " / ".join(off) + (f" ({found['n']})" if found["n"] < most else "")

    rows: list[dict] = [{"estimator": e} for e in bench["rows"][0]["predicted"]]
    for part, name in SLICES.items():
        if found := bench["slices"].get(part):
            most = max(of["n"] for of in found.values())
            for row in rows:
                row[f"{name} ({most})"] = cell(found.get(row["estimator"]), most)
    caption = "Error of peak memory in %, median / worst; in brackets the number of measured steps"
    return rp.table(rows, caption)


def side_by_side() -> rp.Html:
    """Real steps of the 135M model on a CPU: full, LoRA, QLoRA, with and without checkpointing."""
    heads = ("method", "checkpointing", "batch × length", "before the first step", "peak")
    rows = []
    on_cpu = (r for r in measured_steps() if r["device"].startswith("CPU"))
    for r in sorted(on_cpu, key=lambda r: (r["settings"]["seq"], [*METHODS].index(r["settings"]["method"]))):
        s, sizes = r["settings"], (f"{r[k] / 1e6:,.0f} MB" for k in ("resident", "allocated"))
        kept = "on" if s["checkpointing"] else "off"
        rows.append((METHODS[s["method"]], kept, f"{s['batch']} × {s['seq']}", *sizes))
    return rp.table_from_lists(heads, rows, "Resident memory of real steps of SmolLM2-135M on a CPU, in fp32")


def lora_above_full() -> rp.Html:
    """A setting where LoRA takes more than full fine-tuning, as the calculator finds it, and what changes that."""

    def at(method: str, checkpointing: bool = False, **more: object) -> int:
        more |= {"batch": 8, "seq": 1024, "targets": "all-linear", "checkpointing": checkpointing}
        return peak("HuggingFaceTB/SmolLM2-135M", method, **more)

    full, lora = at("full"), at("lora")
    return rp.prose(
        f"LoRA {'is not always below' if lora > full else 'stays below'} full fine-tuning. SmolLM2 135M in pure bf16, batch 8 × 1024, without checkpointing: full fine-tuning takes {gb(full)}, LoRA on all linear layers {gb(lora)}. "
        "PEFT keeps adapters in fp32, so that each adapted layer saves its input a second time, in fp32; and a small model has few gradients and states that LoRA could save. "
        f"With adapters in bf16 LoRA takes {gb(at('lora', adapter_dtype='bf16'))}; with checkpointing it is {gb(at('lora', True))} against {gb(at('full', True))}."
    )


# -- what the verdict boxes of C2 to C5 and C8 show ----------------------------------------------------------------------


def full_by_size() -> dict[str, str]:
    """C2: the calculated peak of full fine-tuning with AdamW in bf16, batch 1 × 512, and the smallest card that holds it."""
    models = [m for m in MODELS if "Llama-" in m or "SmolLM" in m]
    peaks = sorted((peak(m, "full", batch=1), m) for m in models)
    return {f"{MODELS[m]}, full fine-tuning, batch 1 × 512": f"{gb(p)}; {card(p)}" for p, m in peaks}


def simulated(record: Record, method: str, model: str = "7b", batch: int = 4) -> Row:
    """The row of a method for Llama 2 ``7b`` or ``13b``, at batch 4 × 2048 or 2 × 512."""
    found = record.where(method=method)
    return next(r for r in found if model in r["settings"]["model"] and r["settings"]["batch"] == batch)


def against_printed(record: Record) -> dict[str, str]:
    """C3: both models, simulated or, where they were not, calculated; beside them what was printed for 7B with the same optimiser, and
    what was measured on a GPU."""
    said, peaks, measured, how = {r["method"]: r["gb"] for r in published() if r.get("article")}, {}, {}, {}
    for method, s, simulated in _steps_of_the_table(record):
        peaks.setdefault(method, []).append(simulated or estimate(Settings.from_dict(s)).peak_bytes)
        measured.setdefault(method, []).append(gb(measured_peak(s)))
        how[method] = "simulated" if simulated else "calculated"
    found = {}
    for method in ("full, AdamW", *PAGED, "LoRA", "QLoRA"):
        small, large = peaks[method]
        beside = [] if method in PAGED else ["on a GPU: 7B {}, 13B {}".format(*measured[method])]
        if method in (AS_PRINTED, "LoRA", "QLoRA"):
            printed = said[method.split(",")[0].lower()]
            off = signed(100 * (small / GB / printed - 1))
            beside = [f"printed for 7B: {printed:g} GB, so ours is {off} %", *beside]
        more = f" ({'; '.join(beside)})" * bool(beside)
        found[f"{method}: 7B and 13B, {how[method]}"] = f"{gb(small)} and {gb(large)}{more}"
    return found


def cards(record: Record) -> dict[str, str]:
    """C4: the simulated peak at batch 2 × 512, the smallest card that holds what the allocator reserves, and the peak on a GPU."""
    found = {}
    for size, method in product(("7b", "13b"), ("full, AdamW", "LoRA", "QLoRA")):
        r = simulated(record, method, size, 2)
        fits = f"{gb(r['simulated'])}; {card(r['reserved'])}; on a GPU: {gb(measured_peak(r['settings']))}"
        found[f"{MODELS[r['settings']['model']]}, {method}"] = fits
    return found


def qlora_over_lora() -> dict[str, str]:
    """C5: QLoRA's calculated peak as a share of LoRA's, batch 2 × 512."""
    models = [m for m in MODELS if "7b" in m.lower() or "13b" in m]
    return {
        f"{MODELS[m]}, QLoRA’s peak as a share of LoRA’s": rp.pct(peak(m, "qlora") / peak(m, "lora"))
        for m in models
    }


def rounding(errors: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """C8: mean error of each format over the matrices, and the least and the greatest."""
    return {
        f"mean error of {f}": f"{sum(e.values()) / len(e):.3f} ({min(e.values()):.3f} to {max(e.values()):.3f} over {len(e)} matrices)"
        for f, e in errors.items()
    }
