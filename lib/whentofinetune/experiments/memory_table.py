"""How much GPU memory does a fine-tuning step take? (C2, C3, C4, C5)

Table 1 of the article, with the cells it lacks, simulated and calculated. No weights are loaded, and nothing is asked: a row is a setting, with bytes as its facts.
"""

from collections.abc import Iterator
from itertools import product

from tunewise.experiment import Condition, Context, Params, Scores
from whentofinetune.experiments import described

KEPT = 160  # points of a timeline that go into the record


def conditions(p: Params) -> Iterator[Condition]:
    for shape, size, way in product(p.models, p.sizes, p.ways):
        settings = {"model": shape, **size, **p.same, **{k: v for k, v in way.items() if k != "name"}}
        yield Condition(way["name"], settings=settings)


def evaluate(ctx: Context, c: Condition) -> Scores:
    from finetune_memory import Settings, estimate, simulate

    values = c.settings["settings"]
    settings = Settings.from_dict(values)
    simulated, calculated = simulate(settings), estimate(settings)
    facts = {
        "simulated": simulated.peak_bytes,
        "reserved": simulated.reserved_bytes,
        "phase": simulated.phase,
        "components": simulated.components,
        "phases": simulated.phases,
        "calculated": calculated.peak_bytes,
        "calculated_phase": calculated.phase,
        "calculated_components": calculated.components,
    }
    if [values["model"], values["batch"]] == ctx.params.timelines:
        facts["timeline"] = thinned(simulated.timeline)
    return Scores(facts=facts)


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
_SAME = {"rank": 8, "dtype": "bf16", "checkpointing": True, "outputs": "dropped", "arch": 80}
_COMMON = {"model": "smollm2-135m", "same": _SAME, "ways": _WAYS}
_SMALL, _LLAMA = ["HuggingFaceTB/SmolLM2-135M"], ["meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-13b-hf"]
_TINY = {"models": _SMALL, "timelines": [_SMALL[0], 2]}
_LARGE = [{"batch": 2, "seq": 512}, {"batch": 4, "seq": 2048}]

EXPERIMENT = described(
    __name__,
    _COMMON,
    version=2,
    smoke=_TINY | {"sizes": [{"batch": 2, "seq": 128}], "ways": [_WAYS[0], _WAYS[3]]},
    laptop=_TINY | {"sizes": _LARGE[:1]},
    full={"models": _LLAMA, "sizes": _LARGE, "timelines": [_LLAMA[0], 2]},
)
