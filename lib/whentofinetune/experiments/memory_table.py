"""How much GPU memory does a step take? Table 1 of the article, with the cells it lacks, simulated and calculated (C2 to C5)."""

from __future__ import annotations

from whentofinetune.old_bench import Bench, Experiment

KEPT = 160  # points of a timeline that go into the record


def run(bench: Bench, params: dict) -> list[dict]:
    """One row a setting: the simulated peak, the calculated one, and what they are made of. No weights are loaded."""
    rows = []
    for model in params["models"]:
        for size in params["sizes"]:
            for way in params["ways"]:
                settings = {
                    "model": model,
                    **size,
                    **params["same"],
                    **{k: v for k, v in way.items() if k != "name"},
                }
                timeline = [model, size["batch"]] == params["timelines"]
                step = {
                    "name": way["name"],
                    "settings": settings,
                    "timeline_kept": timeline,
                    "revision": params["revision"],
                }
                found = bench.work.step(step, lambda s=settings, t=timeline: both(s, t))
                rows.append({k: v for k, v in found.items() if k not in ("timeline_kept", "revision")})
    return rows


def both(values: dict, timeline: bool) -> dict:
    """Simulation and formula for one setting, in bytes."""
    from finetune_memory.calculator import Settings, estimate
    from finetune_memory.simulate import simulate

    settings = Settings.from_dict(values)
    simulated, calculated = simulate(settings), estimate(settings)
    found = {
        "simulated": simulated.peak_bytes,
        "reserved": simulated.reserved_bytes,
        "moment": simulated.moment,
        "components": simulated.components,
        "phases": simulated.phases,
        "calculated": calculated.peak_bytes,
        "calculated_moment": calculated.moment,
        "calculated_components": calculated.components,
    }
    return found | ({"timeline": thinned(simulated.timeline)} if timeline else {})


def thinned(points: list[dict]) -> list[dict]:
    """At most KEPT points, the highest of each stretch, so that no peak is lost."""
    stretch = -(-len(points) // KEPT)
    return [max(points[i : i + stretch], key=lambda p: p["bytes"]) for i in range(0, len(points), stretch)]


_WAYS = [
    {"name": "full, AdamW", "method": "full"},
    {"name": "full, 8-bit AdamW", "method": "full", "optimizer": "adamw8bit"},
    {"name": "full, SGD", "method": "full", "optimizer": "sgd"},
    {"name": "LoRA", "method": "lora"},
    {"name": "QLoRA", "method": "qlora", "targets": "all-linear", "double_quant": True},
]
_COMMON = {
    "model": "smollm2-135m",
    "revision": 2,
    "same": {"rank": 8, "dtype": "bf16", "checkpointing": True, "outputs": "dropped", "arch": 80},
}

EXPERIMENT = Experiment(
    name="memory_table",
    question="How much GPU memory does a fine-tuning step take?",
    claims=("C2", "C3", "C4", "C5"),
    run=run,
    scales={
        "smoke": _COMMON
        | {
            "models": ["HuggingFaceTB/SmolLM2-135M"],
            "sizes": [{"batch": 2, "seq": 128}],
            "ways": [_WAYS[0], _WAYS[3]],
            "timelines": ["HuggingFaceTB/SmolLM2-135M", 2],
        },
        "laptop": _COMMON
        | {
            "models": ["HuggingFaceTB/SmolLM2-135M"],
            "sizes": [{"batch": 2, "seq": 512}],
            "ways": _WAYS,
            "timelines": ["HuggingFaceTB/SmolLM2-135M", 2],
        },
        "full": _COMMON
        | {
            "models": ["meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-13b-hf"],
            "sizes": [{"batch": 2, "seq": 512}, {"batch": 4, "seq": 2048}],
            "ways": _WAYS,
            "timelines": ["meta-llama/Llama-2-7b-hf", 2],
        },
    },
)
