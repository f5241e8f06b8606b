"""How well peak memory is predicted: the simulation, the closed formula and public estimators, on the same measured steps.

    python bench/memory.py

Truth: the published measurements in ``data/memory/published.json``, and every ``data/memory/measured-*.json`` that was
made on a GPU. Prints the mean, median and worst error (of peak allocated memory, absolute, in percent) of each
estimator by slice, and writes all of it to ``data/bench/memory.json``. Simulations are kept in the cache.
"""

from __future__ import annotations

import datetime
import json
import os
import statistics
import sys
from dataclasses import fields
from pathlib import Path

import peers

from tunewise import places, runs
from tunewise.calculators.memory import Settings, estimate
from tunewise.measure import memory_sim
from tunewise.measure.memory_sim import plan_of, simulate

OURS = ("simulation", "closed formula")


def truth() -> list[dict]:
    """One row a measured step whose settings are known: id, stack, gpu, settings, measured bytes, what the simulation is
    told beside the settings."""
    folder = places.data_dir() / "memory"
    rows = [r for r in json.loads((folder / "published.json").read_text(encoding="utf-8"))["rows"] if "settings" in r]
    for path in sorted(folder.glob("measured-*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        for number, row in enumerate(record["rows"]):
            if row["outcome"] == "measured" and row["reserved"]:
                version = ".".join(row["versions"]["torch"].split(".")[:2])
                rows.append({"id": f"{path.stem}-{number}", "stack": "transformers", "gpu": record["device"], "settings": row["settings"],
                             "measured": {"allocated": row["allocated"], "reserved": row["reserved"]}, "simulation": {"torch": version}})  # fmt: skip
    return [r for r in rows if set(r["measured"]) & {"allocated", "reserved", "active"}]


def simulated(row: dict, settings: Settings) -> dict:
    """Peak allocated and reserved of the simulation, kept under the hash of settings and of its own source."""
    source = "".join(p.read_text(encoding="utf-8") for p in sorted(Path(memory_sim.__file__).parent.glob("*.py")))
    key = runs.record.digest([settings.as_dict(), row.get("simulation", {}), source, runs.versions()])
    path = places.cache_dir("bench", "memory") / f"{key}.json"
    if not path.exists():
        print(f"  simulating {row['id']} ...", file=sys.stderr, flush=True)
        result = simulate(plan_of(settings, **row.get("simulation", {})))
        half = path.with_suffix(".part")
        half.write_text(json.dumps({"allocated": result.peak_bytes, "reserved": result.reserved_bytes, "moment": result.moment}))
        os.replace(half, path)
    return json.loads(path.read_text())


def predict(rows: list[dict]) -> None:
    """Add to each row what each estimator says (``"predicted"``: bytes, None where it does not know). Where only reserved
    memory was published, ours say that; the others know no difference."""
    asked = []
    for row in rows:
        known = {f.name for f in fields(Settings)}
        settings = Settings.from_dict(row["settings"] | {k: v for k, v in row.get("simulation", {}).items() if k in known})
        row["settings"] = settings.as_dict()
        simulation = simulated(row, settings)
        row["simulated_reserved"], row["moment"] = simulation["reserved"], simulation["moment"]
        formula, kind = estimate(settings), peak(row)[0]
        row["predicted"] = {"simulation": simulation["allocated"], "closed formula": formula.peak_bytes}
        if kind == "reserved":
            row["predicted"] = {"simulation": simulation["reserved"], "closed formula": formula.reserved_bytes}
        asked.append({"config": dict(settings.config), "parameters": settings.shape.parameters, "gpu": row["gpu"], "settings": row["settings"]})
    for name, answers in peers.ask(asked, places.cache_dir("bench") / "peers").items():
        for row, answer in zip(rows, answers, strict=True):
            row["predicted"][name] = answer


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
    return {"n": len(sizes), "mean": statistics.mean(sizes), "median": statistics.median(sizes), "worst": max(sizes)}


def main() -> None:
    rows = truth()
    predict(rows)
    names = list(rows[0]["predicted"])
    table = {part: {name: summary(errors(chosen, name)) for name in names} for part, chosen in slices(rows).items()}
    reserved = summary([100 * (r["simulated_reserved"] / r["measured"]["reserved"] - 1) for r in rows if r["stack"] == "transformers"])
    for part, line in table.items():
        print(f"\n{part} ({line['simulation']['n']} measured): error of peak memory in percent")
        print(f"  {'':34}{'mean':>8}{'median':>8}{'worst':>8}{'n':>5}")
        for name, value in line.items():
            print(f"  {name:34}" + (f"{value['mean']:8.2f}{value['median']:8.2f}{value['worst']:8.2f}{value['n']:5}" if value else "       no answer"))
    print(f"\nreserved memory, simulation against transformers + PEFT: mean {reserved['mean']:.1f} %, worst {reserved['worst']:.1f} %, n {reserved['n']}")
    behind = _behind(table)
    print("\nours are the best on every slice" if not behind else "\na public estimator is ahead: " + "; ".join(behind))
    _save(rows, table, reserved)


def _behind(table: dict) -> list[str]:
    """Slices where a public estimator's mean error is below both of ours."""
    found = []
    for part, line in table.items():
        best = min(line[name]["mean"] for name in OURS)
        found += [f"{name} on {part} ({v['mean']:.2f} against {best:.2f})" for name, v in line.items() if name not in OURS and v and v["mean"] < best]
    return found


def _save(rows: list[dict], table: dict, reserved: dict) -> None:
    path = places.data_dir() / "bench" / "memory.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [
        {"id": r["id"], "stack": r["stack"], "gpu": r["gpu"], "measured": peak(r)[0], "bytes": peak(r)[1], "predicted": r["predicted"],
         "reserved": r["measured"].get("reserved"), "simulated_reserved": r["simulated_reserved"], "moment": r["moment"]}
        for r in rows
    ]  # fmt: skip
    head = {"date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}", "versions": runs.versions(), "peers": peers.PACKAGES,
            "errors": "percent, absolute", "slices": table, "reserved": reserved}  # fmt: skip
    text = json.dumps(head, ensure_ascii=False, indent=1)[:-2]
    path.write_text(f'{text},\n "rows": [\n  ' + ",\n  ".join(json.dumps(r, ensure_ascii=False) for r in kept) + "\n ]\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
