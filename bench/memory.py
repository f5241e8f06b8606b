"""How well peak memory is predicted: the simulation, the closed formula and public estimators, on the same measured steps.

    python bench/memory.py

Truth: the published measurements in ``data/memory/published.json``, and every ``data/memory/measured-*.json`` that was
made on a GPU. Prints the mean, median and worst error (of peak allocated memory, absolute, in percent) of each
estimator by slice, and writes all of it to ``data/bench/memory.json``. Simulations are kept in the cache. Beside that, the formula
is held against the simulation on random settings of the models that ship with the book.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import random
import statistics
import sys
from dataclasses import fields
from pathlib import Path

import peers

from finetune_memory import Settings, Shape, estimate, known_models, machine, simulate
from finetune_memory.settings import OPTIMIZERS

DATA = Path(__file__).resolve().parents[1] / "data"
SOURCES = ("caching_allocator", "kernels", "libraries", "simulation", "trace")  # what a simulation depends on
OURS = ("simulation", "closed formula")
RANDOM = 200  # random settings


def truth() -> list[dict]:
    """One row a measured step whose settings are known: id, stack, gpu, settings, measured bytes, what the simulation is
    told beside the settings."""
    folder = DATA / "memory"
    rows = [
        r
        for r in json.loads((folder / "published.json").read_text(encoding="utf-8"))["rows"]
        if "settings" in r
    ]
    for path in sorted(folder.glob("measured-*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        for number, row in enumerate(record["rows"]):
            if row["outcome"] == "measured" and row["reserved"]:
                version = ".".join(row["versions"]["torch"].split(".")[:2])
                rows.append(
                    {
                        "id": f"{path.stem}-{number}",
                        "stack": "transformers",
                        "gpu": record["device"],
                        "settings": row["settings"],
                        "measured": {"allocated": row["allocated"], "reserved": row["reserved"]},
                        "simulation": {"torch": version},
                    }
                )
    return [r for r in rows if set(r["measured"]) & {"allocated", "reserved", "active"}]


def simulated(row: dict, settings: Settings) -> dict:
    """Peak allocated and reserved of the simulation, kept under the hash of settings and of its own source."""
    package = Path(machine.__file__).parent
    source = [(package / f"{name}.py").read_text(encoding="utf-8") for name in SOURCES]
    told = row.get("simulation", {})
    asked = json.dumps([settings.as_dict(), told, source, machine.versions()], sort_keys=True)
    path = machine.cache_folder() / "bench" / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"
    if not path.exists():
        print(f"  simulating {row['id']} ...", file=sys.stderr, flush=True)
        result = simulate(settings, **told)
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".part")
        found = {"allocated": result.peak_bytes, "reserved": result.reserved_bytes, "phase": result.phase}
        half.write_text(json.dumps(found))
        os.replace(half, path)
    return json.loads(path.read_text())


def predict(rows: list[dict]) -> None:
    """Add to each row what each estimator says (``"predicted"``: bytes, None where it does not know). Where only reserved
    memory was published, ours say that; the others know no difference."""
    asked = []
    for row in rows:
        known = {f.name for f in fields(Settings)}
        settings = Settings.from_dict(
            row["settings"] | {k: v for k, v in row.get("simulation", {}).items() if k in known}
        )
        row["settings"] = settings.as_dict()
        simulation = simulated(row, settings)
        row["simulated_reserved"], row["phase"] = simulation["reserved"], simulation["phase"]
        formula, kind = estimate(settings), peak(row)[0]
        row["predicted"] = {"simulation": simulation["allocated"], "closed formula": formula.peak_bytes}
        if kind == "reserved":
            row["predicted"] = {
                "simulation": simulation["reserved"],
                "closed formula": formula.reserved_bytes,
            }
        asked.append(
            {
                "config": dict(settings.config),
                "parameters": settings.shape.parameters,
                "gpu": row["gpu"],
                "settings": row["settings"],
            }
        )
    for name, answers in peers.ask(asked, machine.cache_folder() / "peers").items():
        for row, answer in zip(rows, answers, strict=True):
            row["predicted"][name] = answer


def drawn(rng: random.Random) -> tuple[str, Settings]:
    """(Hub id, settings): one of the models that ship with the book, with its own widths, and settings that fit together."""
    while True:
        name, method, arch = (
            rng.choice(sorted(known_models.CONFIGS)),
            rng.choice(("full", "lora", "qlora")),
            rng.choice((75, 80, 89, 90)),
        )
        config = shallow(known_models.CONFIGS[name])
        linears = [linear.name for linear in Shape.from_config(config).linears]
        values = {
            "model": config,
            "method": method,
            "arch": arch,
            "rank": rng.choice((4, 8, 16, 64)),
            "targets": rng.choice(
                ("all-linear", "all-linear", rng.sample(linears, rng.randint(1, len(linears))))
            ),
            "batch": rng.choice((1, 2, 4, 8)),
            "seq": rng.choice((256, 512, 1000, 1024, 2048)),
            "rows": rng.choice(("full", "full", "full", "padded")),
            "dtype": rng.choice(("fp16", "fp32") if arch < 80 else ("bf16", "bf16", "fp16", "fp32")),
            "master_weights": method != "qlora" and rng.random() < 0.2,
            "lora_dropout": rng.choice((0.0, 0.05)),
            "double_quant": rng.random() < 0.5,
            "kbit_preparation": rng.random() < 0.7,
            "optimizer": rng.choice((*OPTIMIZERS, "adamw", "adamw", "adamw")),
            "optimizer_mode": rng.choice(("foreach", "foreach", "fused", "forloop")),
            "in_backward": method == "full" and rng.random() < 0.2,
            "accumulation": rng.random() < 0.15,
            "checkpointing": rng.random() < 0.5,
            "attention": rng.choice(("eager", "sdpa", "sdpa", "flash")),
            "loss": rng.choice(("default", "default", "default", "chunked", "fused")),
            "logits": rng.choice(("auto", "auto", "fp32")),
            "outputs": rng.choice(("dropped", "step", "next")),
        }
        try:
            return name, Settings(**values)
        except ValueError:
            continue


def shallow(config: dict) -> dict:
    """The same model with fewer blocks: all of a kind are alike, and an error in one weighs more among few."""
    shape = Shape.from_config(config)
    depth = min(shape.layers, 6 if shape.windows or shape.rotated else 4)
    cut = {k: v[:depth] if isinstance(v, list) and len(v) == shape.layers else v for k, v in config.items()}
    return cut | {"n_layer" if config["model_type"] == "gpt2" else "num_hidden_layers": depth}


def against_simulation(count: int = RANDOM, seed: int = 1) -> list[dict]:
    """Random settings, each with the peak (allocated, as the allocator counts it) that simulation and formula give."""
    rng, rows = random.Random(seed), []
    for number in range(count):
        name, settings = drawn(rng)
        row = {"id": f"random-{number}", "model": name, "settings": settings.as_dict()}
        rows.append(
            row
            | {
                "simulation": simulated(row, settings)["allocated"],
                "closed formula": estimate(settings).peak_bytes,
            }
        )
    return rows


def slices(rows: list[dict]) -> dict[str, list[dict]]:
    """The rows of transformers + PEFT by what distinguishes them, and those of other stacks."""
    ours = [r for r in rows if r["stack"] == "transformers"]
    found = {"transformers + PEFT": ours}
    for name in ("method", "optimizer", "checkpointing", "attention"):
        for value in sorted({str(r["settings"][name]) for r in ours}):
            found[f"{name} {value}"] = [r for r in ours if str(r["settings"][name]) == value]
    for stack in sorted({r["stack"] for r in rows} - {"transformers"}):
        found[stack] = [r for r in rows if r["stack"] == stack]
    return found


def peak(row: dict) -> tuple[str, int]:
    """Which peak was published, allocated if there is a choice, and its bytes."""
    kind = next(k for k in ("allocated", "active", "reserved") if k in row["measured"])
    return kind, row["measured"][kind]


def errors(rows: list[dict], name: str) -> list[float]:
    """Signed errors in percent of the rows that the estimator answers."""
    return [100 * (r["predicted"][name] / peak(r)[1] - 1) for r in rows if r["predicted"].get(name)]


def summary(found: list[float]) -> dict | None:
    if not found:
        return None
    sizes = [abs(e) for e in found]
    return {
        "n": len(sizes),
        "mean": statistics.mean(sizes),
        "median": statistics.median(sizes),
        "worst": max(sizes),
    }


def main() -> None:
    rows = truth()
    predict(rows)
    names = list(rows[0]["predicted"])
    table = {
        part: {name: summary(errors(chosen, name)) for name in names} for part, chosen in slices(rows).items()
    }
    reserved = summary(
        [
            100 * (r["simulated_reserved"] / r["measured"]["reserved"] - 1)
            for r in rows
            if r["stack"] == "transformers"
        ]
    )
    for part, line in table.items():
        print(f"\n{part} ({line['simulation']['n']} measured): error of peak memory in percent")
        print(f"  {'':34}{'mean':>8}{'median':>8}{'worst':>8}{'n':>5}")
        for name, value in line.items():
            print(
                f"  {name:34}"
                + (
                    f"{value['mean']:8.2f}{value['median']:8.2f}{value['worst']:8.2f}{value['n']:5}"
                    if value
                    else "       no answer"
                )
            )
    print(
        f"\nreserved memory, simulation against transformers + PEFT: mean {reserved['mean']:.1f} %, worst {reserved['worst']:.1f} %, n {reserved['n']}"
    )
    behind = _behind(table)
    print(
        "\nours are the best on every slice"
        if not behind
        else "\na public estimator is ahead: " + "; ".join(behind)
    )
    settings = against_simulation()
    apart = summary([100 * (r["closed formula"] / r["simulation"] - 1) for r in settings])
    print(
        f"\nformula against simulation, random settings: median {apart['median']:.2f} %, worst {apart['worst']:.2f} %, n {apart['n']}"
    )
    _save(rows, table, reserved, apart, settings)


def _behind(table: dict) -> list[str]:
    """Slices where a public estimator's mean error is below both of ours."""
    found = []
    for part, line in table.items():
        best = min(line[name]["mean"] for name in OURS)
        found += [
            f"{name} on {part} ({v['mean']:.2f} against {best:.2f})"
            for name, v in line.items()
            if name not in OURS and v and v["mean"] < best
        ]
    return found


def _save(rows: list[dict], table: dict, reserved: dict, apart: dict, settings: list[dict]) -> None:
    path = DATA / "bench" / "memory.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [
        {
            "id": r["id"],
            "stack": r["stack"],
            "gpu": r["gpu"],
            "measured": peak(r)[0],
            "bytes": peak(r)[1],
            "predicted": r["predicted"],
            "reserved": r["measured"].get("reserved"),
            "simulated_reserved": r["simulated_reserved"],
            "phase": r["phase"],
        }
        for r in rows
    ]
    head = {
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "versions": machine.versions(),
        "peers": peers.PACKAGES,
        "errors": "percent, absolute",
        "slices": table,
        "reserved": reserved,
        "formula_against_simulation": apart,
    }
    short = [{k: r[k] for k in ("model", "simulation", "closed formula")} for r in settings]
    text = json.dumps(head, ensure_ascii=False, indent=1)[:-2]
    for name, lines in (("rows", kept), ("random", short)):
        text += (
            f',\n "{name}": [\n  ' + ",\n  ".join(json.dumps(r, ensure_ascii=False) for r in lines) + "\n ]"
        )
    path.write_text(text + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
