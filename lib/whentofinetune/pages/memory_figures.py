"""Figures and tables of the chapter *What fine-tuning costs in memory*, each a function of records."""

from __future__ import annotations

import json
from collections.abc import Mapping

from finetune_memory import Settings, estimate
from tunewise.report.figures import PALETTE, Figure, Html, bars_with_interval, stacked_bars, table, with_menu
from tunewise.report.notes import not_yet_measured, prose
from whentofinetune import book_files

GB = 1e9  # GPU makers' gigabytes; GiB, 2**30 bytes, is said where it is meant
METHODS = {"full": "full", "lora": "LoRA", "qlora": "QLoRA"}
MODELS = {
    "meta-llama/Llama-2-7b-hf": "Llama 2 7B",
    "meta-llama/Llama-2-13b-hf": "Llama 2 13B",
    "HuggingFaceTB/SmolLM2-135M": "SmolLM2 135M",
}
# In the order in which they are stacked; those that stay through a step come first.
PARTS = (
    "weights",
    "quantisation constants",
    "adapters",
    "optimiser",
    "gradients",
    "saved activations",
    "logits and loss",
    "temporaries",
    "workspace",
)


def published() -> list[dict]:
    """The rows of torchtune's README behind the article's Table 1 (``data/memory/table1.json``)."""
    return json.loads((book_files.data_dir() / "memory" / "table1.json").read_text(encoding="utf-8"))["rows"]


def measured() -> list[dict]:
    """All steps that were measured (``data/memory/measured-*.json``), each row with its ``device``."""
    rows = []
    for path in sorted((book_files.data_dir() / "memory").glob("measured-*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        rows += [
            {**row, "device": record["device"]} for row in record["rows"] if row["outcome"] == "measured"
        ]
    return rows


def gb(size: float | None) -> str:
    """Bytes in GB (1e9 bytes)."""
    return "not yet measured" if size is None else f"{size / GB:.1f} GB"


def history() -> Html:
    """What torchtune's README printed for Llama 2 7B over three months."""
    rows = [
        {
            "date": r["date"],
            "method": METHODS[r["method"]],
            "gb": f"{r['gb']:g} GB",
            "size": f"{r['batch']} × {r['seq']}",
            "note": r["note"],
        }
        for r in published()
    ]
    heads = {
        "date": "README of",
        "method": "method",
        "gb": "peak",
        "size": "batch × length",
        "note": "what differed",
    }
    return table(rows, "Llama 2 7B on one GPU, as printed by torchtune", heads)


def table_one(record) -> Html:
    """The article's three rows, and beside them our stack at the same batch and length, for both models."""
    said = {r["method"]: r["gb"] * GB for r in published() if r.get("article")}
    rows = []
    for r in record.results:
        s = r["settings"]
        if (s["batch"], s["seq"]) != (4, 2048):
            continue
        plain = r["method"] in ("full, 8-bit AdamW", "LoRA", "QLoRA") and "7b" in s["model"]
        gpu = [
            m["allocated"]
            for m in measured()
            if _same(m["settings"], s) and m["device"].startswith(("NVIDIA", "Tesla"))
        ]
        rows.append(
            {
                "model": MODELS[s["model"]],
                "way": r["method"],
                "said": gb(said[s["method"]]) if plain else "-",
                "simulated": gb(r["simulated"]),
                "formula": gb(estimate(Settings.from_dict(s)).peak_bytes),
                "measured": gb(gpu[0] if gpu else None),
            }
        )
    heads = {
        "model": "model",
        "way": "way",
        "said": "torchtune, as printed",
        "simulated": "simulated",
        "formula": "calculated",
        "measured": "measured on a GPU",
    }
    return table(rows, "Table 1 restored: peak memory at batch 4, length 2048", heads)


def _same(a: Mapping, b: Mapping) -> bool:
    wanted = Settings.from_dict(dict(b)).as_dict()
    return all(a.get(k) == v for k, v in wanted.items() if k not in ("arch", "outputs"))


def error(record) -> float:
    """The largest relative difference of formula and simulation over the record's rows."""
    return max(
        abs(estimate(Settings.from_dict(r["settings"])).peak_bytes / r["simulated"] - 1)
        for r in record.results
    )


def parts_figure(record) -> Figure:
    """A menu over model and size: what the peak is made of, for each way to fine-tune."""
    figures = {}
    for r in record.results:
        s = r["settings"]
        key = f"{MODELS[s['model']]}, batch {s['batch']} × length {s['seq']}"
        figures.setdefault(key, {})[f"{r['method']} ({r['phase']})"] = {
            p: r["components"].get(p, 0) / GB for p in PARTS if r["components"].get(p)
        }
    return with_menu(
        {
            name: stacked_bars(
                bars,
                "GB at the peak",
                alt=f"{name}: "
                + "; ".join(f"{way} {sum(parts.values()):.1f} GB" for way, parts in bars.items()),
                unit="GB",
                horizontal=True,
            )
            for name, bars in figures.items()
        },
        "model and size",
    )


def timeline_figure(record) -> Figure:
    """A menu over the ways to fine-tune: memory through loading and one step, by what it holds."""
    figures = {}
    for r in record.results:
        points = r.get("timeline")
        if not points:
            continue
        place = list(range(len(points)))
        data = [
            {
                "type": "scatter",
                "mode": "lines",
                "name": part,
                "stackgroup": "one",
                "x": place,
                "y": [round(p.get(part, 0) / GB, 4) for p in points],
                "line": {"width": 0.5, "color": PALETTE[i % 8], "shape": "hv"},
                "fillcolor": PALETTE[i % 8],
                "text": [p["phase"] for p in points],
                "hovertemplate": "%{text}: " + part + " %{y:.2f} GB<extra></extra>",
            }
            for i, part in enumerate(PARTS)
            if any(p.get(part) for p in points)
        ]
        starts = [i for i, p in enumerate(points) if i == 0 or points[i - 1]["phase"] != p["phase"]]
        seen = [
            i
            for n, i in enumerate(starts)
            if points[i]["phase"] not in [points[j]["phase"] for j in starts[:n]]
        ]
        layout = {
            "xaxis": {
                "title": {"text": "time, in allocations"},
                "tickvals": seen,
                "ticktext": [points[i]["phase"] for i in seen],
            },
            "yaxis": {"title": {"text": "GB allocated"}, "rangemode": "tozero"},
        }
        top = max(points, key=lambda p: p["bytes"])
        alt = f"{r['method']}: memory through one step; it is highest in {top['phase']}, at {top['bytes'] / GB:.1f} GB."
        figures[r["method"]] = Figure(data, layout, alt)
    return with_menu(figures, "way")


def accuracy_table() -> Html:
    """Mean and worst error of the simulation, the closed sum and public estimators on the same published peaks
    (``data/bench/memory.json``, written by ``make bench``)."""
    path = book_files.data_dir() / "bench" / "memory.json"
    if not path.exists():
        return not_yet_measured("make bench", "The accuracy of the estimators")
    bench = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        {
            "name": name,
            **{
                part: f"{line[name]['median']:.1f} / {line[name]['worst']:.1f} % ({line[name]['n']})"
                if line.get(name)
                else "no answer"
                for part, line in bench["slices"].items()
                if part in _SHOWN
            },
        }
        for name in bench["rows"][0]["predicted"]
    ]
    heads = {"name": "estimator"} | {part: _SHOWN[part] for part in _SHOWN if part in bench["slices"]}
    return table(rows, "Error of peak memory, median / worst (number of measured steps)", heads)


_SHOWN = {
    "transformers + PEFT": "transformers + PEFT, all",
    "method lora": "LoRA",
    "method qlora": "QLoRA",
    "checkpointing False": "no checkpointing",
    "litgpt": "LitGPT",
    "torchtune": "torchtune",
}


def side_by_side() -> Html:
    """Real steps of the 135M model on a CPU: full, LoRA, QLoRA, with and without checkpointing."""
    rows = [
        {
            "method": METHODS[r["settings"]["method"]],
            "checkpointing": "on" if r["settings"]["checkpointing"] else "off",
            "size": f"{r['settings']['batch']} × {r['settings']['seq']}",
            "peak": f"{r['allocated'] / 1e6:,.0f} MB",
            "before": f"{r['resident'] / 1e6:,.0f} MB",
        }
        for r in measured()
        if r["device"].startswith("CPU")
    ]
    heads = {
        "method": "method",
        "checkpointing": "checkpointing",
        "size": "batch × length",
        "before": "before the first step",
        "peak": "peak",
    }
    return table(rows, "Resident memory of real steps of SmolLM2-135M on a CPU, in fp32", heads)


def lora_above_full() -> Html:
    """A setting where LoRA takes more than full fine-tuning, as the calculator finds it, and what turns it round."""
    s = Settings(
        model="HuggingFaceTB/SmolLM2-135M",
        method="full",
        batch=8,
        seq=1024,
        targets="all-linear",
        outputs="dropped",
    )
    full, lora, narrow = (
        estimate(s.replace(**more)).peak_bytes
        for more in ({}, {"method": "lora"}, {"method": "lora", "adapter_dtype": "bf16"})
    )
    saved = [estimate(s.replace(checkpointing=True, method=m)).peak_bytes for m in ("full", "lora")]
    return prose(
        f"LoRA {'is not always below' if lora > full else 'stays below'} full fine-tuning. SmolLM2 135M in pure bf16, batch {s.batch} × {s.seq}, without checkpointing: full fine-tuning takes {gb(full)}, LoRA on all linear layers {gb(lora)}. "
        "PEFT keeps adapters in fp32, so that each adapted layer saves its input a second time, in fp32; and a small model has few gradients and states that LoRA could save. "
        f"With adapters in bf16 LoRA takes {gb(narrow)}; with checkpointing it is {gb(saved[1])} against {gb(saved[0])}."
    )


def error_figure(rows: Mapping[str, Mapping[str, float]]) -> Figure:
    """Root-mean-square error of a rounded weight matrix, relative to its spread. rows: format -> {matrix -> error}."""
    words = "; ".join(f"{name} {sum(cells.values()) / len(cells):.3f}" for name, cells in rows.items())
    return bars_with_interval(
        rows,
        "error, relative to the weights' spread",
        alt=f"Rounding error by format: {words}.",
        percent=False,
    )


# -- verdicts ----------------------------------------------------------------------------------------------------------

Verdict = tuple[dict, str, str]
SIZES = (
    "HuggingFaceTB/SmolLM2-135M",
    "meta-llama/Llama-3.2-1B",
    "meta-llama/Llama-2-7b-hf",
    "meta-llama/Llama-2-13b-hf",
)
CARDS = {
    "a 16 GB card": 16e9,
    "a 24 GB card": 24e9,
    "an 80 GB card": 80e9,
}  # by size alone; 6 % is left to the driver and the context


def _row(record, way: str, model: str = "7b", batch: int = 4) -> dict:
    return next(
        r
        for r in record.results
        if r["method"] == way and model in r["settings"]["model"] and r["settings"]["batch"] == batch
    )


def c2() -> Verdict:
    """From what size on is hardware the obstacle?"""
    peaks = {
        m: estimate(
            Settings(model=m, method="full", batch=1, seq=512, checkpointing=True, outputs="dropped")
        ).peak_bytes
        for m in SIZES
    }
    fits = {
        m: next((card for card, size in CARDS.items() if peak < 0.94 * size), "no card of 80 GB or less")
        for m, peak in peaks.items()
    }
    ours = {
        f"{m.split('/')[1]}, full fine-tuning, bf16 AdamW, batch 1 × 512": f"{gb(p)}; {fits[m]}"
        for m, p in peaks.items()
    }
    why = (
        "The memory of full fine-tuning grows with the number of parameters, and at 7B it passes what one consumer card holds. At one billion it still fits one: there the harder questions are data and evaluation, "
        "not hardware."
    )
    return ours, "partly", why


def c3(record) -> Verdict:
    """Table 1: do the published rows hold, and what are the missing ones?"""
    said = {r["method"]: r["gb"] for r in published() if r.get("article")}
    ours = {}
    for way, method in (
        ("full, AdamW", "full"),
        ("full, 8-bit AdamW", "full"),
        ("LoRA", "lora"),
        ("QLoRA", "qlora"),
    ):
        small, large = (_row(record, way, m)["simulated"] for m in ("7b", "13b"))
        ours[f"{way}: 7B and 13B, simulated"] = (
            f"{gb(small)} and {gb(large)} (printed for 7B: {said[method]:g} GB)"
        )
    off = {
        m: _row(record, way)["simulated"] / GB / said[m] - 1
        for way, m in (("LoRA", "lora"), ("QLoRA", "qlora"), ("full, AdamW", "full"))
    }
    why = (
        f"At the same batch and length the common stack of today takes {off['lora']:+.0%} for LoRA and {off['qlora']:+.0%} for QLoRA against the printed rows, and {off['full']:+.0%} for full fine-tuning with AdamW: the printed full "
        "row kept the optimiser's states outside the GPU, so the three rows never shared their settings. For 13B no figure was ever printed; the cells here are simulated."
    )
    return ours, "partly", why


def c4(record) -> Verdict:
    """QLoRA makes it feasible: on which card?"""
    ours, cards = {}, {}
    for model in ("7b", "13b"):
        for way in ("full, AdamW", "LoRA", "QLoRA"):
            r = _row(record, way, model, 2)
            cards[model, way] = next(
                (c for c, size in CARDS.items() if r["reserved"] < 0.94 * size), "no card of 80 GB or less"
            )
            ours[f"{MODELS[r['settings']['model']]}, {way}, batch 2 × 512"] = (
                f"{gb(r['simulated'])}; {cards[model, way]}"
            )
    least = next(iter(CARDS))
    feasible = cards["7b", "QLoRA"] == least and cards["7b", "full, AdamW"] != least
    lora = (
        "plain LoRA fits too, at this small batch, but not with much to spare"
        if cards["7b", "LoRA"] == least
        else "plain LoRA needs a larger one"
    )
    why = f"With 4-bit weights the 7B model trains on {least}, as does 13B in a small batch; {lora}, and full fine-tuning with AdamW needs {cards['7b', 'full, AdamW']}."
    return ours, "yes" if feasible and cards["13b", "QLoRA"] == least else "partly", why


def c5(record) -> Verdict:
    """Similar savings for another family or size?"""
    ours = {}
    for model in ("7b", "13b"):
        base = _row(record, "LoRA", model, 2)["simulated"]
        ours[f"Llama 2 {model.upper()}: QLoRA over LoRA, batch 2 × 512"] = (
            f"{_row(record, 'QLoRA', model, 2)['simulated'] / base:.0%}"
        )
    for model in ("huggyllama/llama-7b", "Qwen/Qwen2.5-7B"):
        lora, qlora = (_peak(model, m) for m in ("lora", "qlora"))
        ours[f"{model}: QLoRA over LoRA, calculated"] = f"{qlora / lora:.0%}"
    return (
        ours,
        "yes",
        (
            "Llama 1 and Llama 2 have the same shape at 7B, so their savings are the same. A model with a large vocabulary saves less: what is not quantised (embeddings, head) and the logits stay as they were."
        ),
    )


def _peak(model: str, method: str) -> int:
    more = {"targets": "all-linear", "double_quant": True} if method == "qlora" else {}
    return estimate(
        Settings(model=model, method=method, batch=2, seq=512, checkpointing=True, outputs="dropped", **more)
    ).peak_bytes


def c8(errors: Mapping[str, Mapping[str, float]]) -> Verdict:
    """4-bit NormalFloat: how good is it on real weights? errors: format -> {matrix -> error}."""
    means = {name: sum(cells.values()) / len(cells) for name, cells in errors.items()}
    best = min(means, key=means.get)
    ours = {f"{name}, error relative to the weights' spread": f"{value:.3f}" for name, value in means.items()}
    why = f"Of the three formats with 16 levels, {best} rounds these matrices best. Its levels lie where a normal distribution has its mass, and these weights are near normal within a block."
    return (
        ours,
        "yes" if best == "NF4" else "no",
        why if best == "NF4" else f"Of the three formats with 16 levels, {best} rounds these matrices best.",
    )
