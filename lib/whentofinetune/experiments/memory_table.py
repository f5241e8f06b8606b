"""How much GPU memory does a fine-tuning step take? (C2, C3, C4, C5)

Table 1 of the article, with the cells it lacks, simulated and calculated. No weights are loaded, and nothing is asked: a row is a setting, with bytes as its facts.
"""

from itertools import product

from finetune_memory import Settings, estimate, simulate
from tunewise.experiment import Condition, Conditions, Context, Params, Scores

VERSION = 2
KEPT = 160  # points of a timeline that go into the record


def conditions(p: Params) -> Conditions:
    for shape, size, method in product(p.models, p.sizes, p.methods):
        settings = {"model": shape, **size, **p.same, **{k: v for k, v in method.items() if k != "name"}}
        yield Condition(method["name"], settings=settings)


def evaluate(ctx: Context, c: Condition) -> Scores:
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
