"""The experiments by name: what their modules say of them, and their parameters from ``data/experiments/``."""

import dataclasses
import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from tunewise.data import is_file_name
from tunewise.experiment import Experiment
from whentofinetune import book_files

SCALES = ("smoke", "laptop", "full", "gpu")
NAMES: tuple[str, ...] = ("wordings", "few_shot", "learning_curve", "unwritten_rule", "parse_fixes")
NAMES += ("tuning_methods", "forgetting", "memory_table", "example_position", "prompt_cost")
NAMES += ("gain_prediction", "leaks", "rag_retrieval", "rag_knowledge", "rag_hybrid", "rag_hallucination")
NAMES += ("rag_dynamic", "rag_citations", "rag_cost", "voice", "formats", "task_diversity", "distillation")
NAMES += ("judge", "jargon", "notes", "new_language", "invented_operation", "groundedness", "context_window")
NAMES += ("pick_winner", "label_noise")

# What can be asked of a reader's own file: the others are about data that have more to them than texts and labels.
OF_OWN_DATA = ("wordings", "few_shot", "learning_curve", "tuning_methods", "forgetting", "prompt_cost")
OF_OWN_DATA += ("gain_prediction", "leaks", "parse_fixes", "task_diversity")

# Larger models than the bundled one run the first seeds of scale ``full`` only: each costs hours.
SEEDS_OF_LARGER_MODELS = 3


@cache
def get(name: str) -> Experiment:
    """The experiment called ``name``: the ``conditions`` and ``evaluate`` of its module, and its ``sources`` and ``VERSION`` if it has them.

    Question and claims are the first line of the module's docstring: ``What do examples bring? (C26, C28)``. Its parameters are those
    ``common`` to all scales, and what each scale has beside or instead of them; a section that is no scale's is of the model that it names.
    Raises ValueError, with the known names, for another name.
    """
    if name not in NAMES:
        raise ValueError(f"no experiment {name!r}; there are {', '.join(NAMES)}")
    module = importlib.import_module(f"whentofinetune.experiments.{name}")
    question, claims = module.__doc__.splitlines()[0].removesuffix(")").rsplit(" (", 1)
    sections = _parameters(name)
    common, larger = sections.pop("common"), sections.pop("larger", {})
    scales = {scale: common | sections.pop(scale) for scale in SCALES if scale in sections}
    return Experiment(
        name,
        module.conditions,
        module.evaluate,
        question=question,
        claims=tuple(claims.split(", ")),
        scales=scales,
        sources=getattr(module, "sources", None),
        version=getattr(module, "VERSION", 1),
        larger=larger,
        models=sections,
    )


def settled(name: str, scale: str, changes: Mapping[str, Any]) -> Experiment:
    """The experiment; if ``changes`` of its parameters name another model than its own, then with what that model has at scale ``full``.

    Raises ValueError for an unknown name, and for a file of the reader's own where the experiment is about other data.
    """
    experiment = get(name)
    tasks = changes.get("tasks")
    files = [t for t in (tasks if isinstance(tasks, list) else [tasks]) if is_file_name(str(t))]
    if files and name not in OF_OWN_DATA:
        others = ", ".join(OF_OWN_DATA)
        raise ValueError(f"{name} is about data of its own and cannot take {files[0]}; these can: {others}")
    params = experiment.scales.get(scale, {})
    model = changes.get("model", params.get("model"))
    if scale == "full" and model != params["model"]:
        few = {"seeds": params["seeds"][:SEEDS_OF_LARGER_MODELS]} if params.get("seeds") else {}
        params = {**params, **few, **experiment.larger, **experiment.models.get(model, {})}
        experiment = dataclasses.replace(experiment, scales={**experiment.scales, scale: params})
    return experiment


def _parameters(name: str) -> dict[str, dict]:
    """The sections of ``data/experiments/NAME.yml``, on top of those of the file that it is ``like``."""
    own = book_files.read_yaml(f"experiments/{name}.yml")
    base = _parameters(own.pop("like")) if "like" in own else {}
    return {section: base.get(section, {}) | own.get(section, {}) for section in base | own}
