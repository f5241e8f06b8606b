"""How far calculated memory is from steps measured on a GPU: for the chapter *What fine-tuning costs in memory*."""

from itertools import product
from math import ceil, floor
from statistics import mean, median

from finetune_memory import Settings, estimate
from tunewise import report as rp
from tunewise.report.figures import AROUND, DOT, row_places
from tunewise.words import signed
from whentofinetune.pages.memory_figures import METHODS, MODELS, gb, measured_peak, on_gpu, read

FORMULA, SIMULATION = "closed formula", "simulation"


def deviations() -> list[dict]:
    """Of each step measured on a GPU: whose it is, the step in words, and how far formula and simulation are off, as shares
    (the simulation's by ``make bench``, None where it was not run)."""
    simulations = {r["id"]: r["predicted"]["simulation"] for r in read("bench/memory.json")["rows"]}
    found, several = [], len({r["device"] for r in on_gpu()}) > 1
    for r in on_gpu():
        s, peak, bytes_simulated = r["settings"], r["allocated"], simulations.get(r["id"])
        if s["model"] not in [*MODELS]:  # a reader's own
            continue
        words = f"batch {s['batch']} × {s['seq']}, {'' if s['checkpointing'] else 'no '}checkpointing"
        words += ", 8-bit AdamW" * (s["optimizer"] == "adamw8bit") + f", {r['device']}" * several
        of = f"{MODELS[s['model']]}, {METHODS[s['method']]}"
        offs = {FORMULA: estimate(Settings.from_dict(s)).peak_bytes / peak - 1}
        offs[SIMULATION] = bytes_simulated and bytes_simulated / peak - 1
        found.append({"of": of, "step": f"{of}, {words}", **offs})
    order = [f"{model}, {method}" for model, method in product(MODELS.values(), METHODS.values())]
    return sorted(found, key=lambda r: order.index(r["of"]))


def _off(share: float, n: bool = True) -> str:
    return f"{signed(100 * share, '.1f')} %"


def figure() -> rp.Figure:
    """How far formula and simulation are from each step measured on a GPU: a row for model and method, a dot for a step."""
    steps, series = deviations(), {}
    for way in (FORMULA, SIMULATION):
        series[way] = {r["step"]: r[way] for r in steps if r[way] is not None}
    devices = " and ".join(sorted({r["device"] for r in on_gpu()}))
    caption = f"Calculated against measured: {len(steps)} steps on one {devices}"
    drawn = rp.dots(series, "difference from the measured peak", caption, show=_off)
    names = list(dict.fromkeys(r["of"] for r in steps))
    places, height = row_places({name: (len(drawn.data), 0) for name in names})
    of = {r["step"]: r["of"] for r in steps}
    for i, trace in enumerate(drawn.data):  # a line of the row for each way
        trace["y"] = [places[of[step]][i] for step in trace["hovertext"]]
        trace["marker"] |= {"size": 8, "opacity": 0.7}
    ticks = {
        "tickvals": [mean(place) for place in places.values()],
        "ticktext": [n.replace(", ", "<br>") for n in names],
    }
    look = {"automargin": True, "zeroline": False, "tickfont": {"size": 11}}
    drawn.layout["yaxis"] = ticks | look | {"range": [-height, DOT]}
    found = [share for way in series.values() for share in way.values()]
    percent = range(floor(100 * min(found)), ceil(100 * max(found)) + 1)
    whole = {
        "tickvals": [p / 100 for p in percent],
        "ticktext": [f"{p}%".replace("-", "−") for p in percent],
    }
    drawn.layout["xaxis"] |= whole | {"zeroline": True, "zerolinecolor": "#7F7F7F"}
    drawn.layout |= {"annotations": [], "height": AROUND + height}
    drawn.alt = f"{caption}. {' '.join(_how_far(way) for way in (FORMULA, SIMULATION))}"
    return drawn


def _how_far(way: str) -> str:
    """The median and the largest deviation of formula or simulation, in a sentence."""
    known = [r for r in deviations() if r[way] is not None]
    if not known:
        return f"The {way} of these steps is not yet computed: make bench does it."
    most = max(known, key=lambda r: abs(r[way]))
    middle = median(abs(r[way]) for r in known)
    return f"The {way} is off by {100 * middle:.2f} % in the median of {len(known)} steps, and by {_off(most[way])} at most ({most['step']})."


def how_far() -> rp.Html:
    """How far formula and simulation are from what was measured on a GPU, in words."""
    missing = "What the formula lacks most is what the allocator rounds up, to at most 1 MiB a tensor: it is felt where tensors are many and small."
    return rp.prose(" ".join([*map(_how_far, (FORMULA, SIMULATION)), missing]))


def reserved() -> rp.Html:
    """How far what the allocator handed out, and what it held in all, went above the calculated peak, and the most that a step held."""
    steps = [(r, Settings.from_dict(r["settings"])) for r in on_gpu() if r["settings"]["model"] in MODELS]
    above = {k: [r[k] - estimate(s).peak_bytes for r, s in steps] for k in ("allocated", "reserved")}
    most = {k: max(found) for k, found in above.items()}
    _, s = steps[above["reserved"].index(most["reserved"])]
    step = f"{MODELS[s.model]}, {METHODS[s.method]}, batch {s.batch} × {s.seq}"
    largest = max(r["reserved"] for r, _ in steps)
    return rp.prose(
        f"How much room should be left? What the allocator handed out was at most {gb(most['allocated'])} above the calculated peak. What it held in all was up to "
        f"{gb(most['reserved'])} above it ({step}), and more than 1 GB above it in {sum(size > 1e9 for size in above['reserved'])} of {len(steps)} steps. A nearly full card was not tested: "
        f"the largest of these steps held {gb(largest)}. There the allocator gives unused memory back before it fails, so a step may fit with less."
    )


def score_matrix() -> rp.Html:
    """What an old PyTorch costs QLoRA where queries share keys: the measured step of which the formula makes the most."""
    pairs = []
    for r in on_gpu():
        s = Settings.from_dict(r["settings"])
        fused = estimate(s.replace(torch="2.14")).peak_bytes
        pairs.append((r["allocated"] / fused, r, s, fused))
    _, r, s, fused = max(pairs, key=lambda pair: pair[0])
    saved = measured_peak(r["settings"] | {"checkpointing": True})
    return rp.prose(
        f"One lesson is in these steps. QLoRA carries fp32 numbers between its layers, and most newer models share keys among several queries. For that pair PyTorch before 2.14 has no kernel but one that makes the whole "
        f"matrix of scores, length × length for every head, in every layer. {MODELS[s.model]}, {METHODS[s.method]}, batch {s.batch} × {s.seq}, without checkpointing, took {gb(r['allocated'])} "
        f"with PyTorch {s.torch}; with 2.14 the formula gives {gb(fused)}. With checkpointing one layer's matrix is there at a time, and the step took {gb(saved)}. So on an older PyTorch, turn checkpointing on first."
    )
