"""One adapter a task, or one for all? Each task's adapter asked about every task, a mixed one, and what changing adapters costs (C41).

Three short classifications that share nothing but their form: the mood of a tweet, where a text is from, and what a complaint to the invented company
is about. A mixed adapter learns from as many examples of each task as a task's own adapter has, or from as many in all.
"""

from __future__ import annotations

import contextlib
import time

import numpy as np

from tunewise.data import Example, Task, fingerprint
from tunewise.finetune import Recipe
from tunewise.prompt_templates import WORDINGS
from whentofinetune.datasets import company
from whentofinetune.old_bench import Bench, Experiment, outcome, public, sample, subset

NONE, MIXED, SMALL = "none", "mixed", "mixed, same total"
COMPLAINTS = "complaints"
ABOUT = {"rhythm": "noise", "drone": "noise", "water": "water", "cloth": "cloth", "paper": "bill"}


def complaints() -> Task:
    """What a complaint is about: noise, water, cloth or a bill. As many of each as the rarest has, in turn."""
    labels = tuple(dict.fromkeys(ABOUT.values()))

    def examples(split: str) -> tuple[Example, ...]:
        of = [
            [i for i in company.labelled(split) if ABOUT.get(i.signs["trouble"]) == label] for label in labels
        ]
        return tuple(
            Example(i.text, y, i.id)
            for one_of_each in zip(*of, strict=False)
            for y, i in enumerate(one_of_each)
        )

    return Task(COMPLAINTS, labels, *map(examples, company.SPLITS))


def run(bench: Bench, params: dict) -> list[dict]:
    """One row for each adapter (``trained``), task it is asked about (``tested``) and seed; the right labels of each task; the switching."""
    task = complaints()
    bench.data[COMPLAINTS] = task, fingerprint(task)
    names = [*params["tasks"], COMPLAINTS]
    tests = {name: subset(bench.task(name).test, params["test_n"]) for name in names}
    rows = [
        {
            "method": "items",
            "tested": name,
            "labels": "".join(str(e.label) for e in tests[name]),
            "names": list(bench.task(name).labels),
            "checksum": bench.fingerprint(name),
        }
        for name in names
    ]
    same = {"test_n": params["test_n"], "data": [bench.fingerprint(name) for name in names]}

    def ask(lm) -> dict:
        wording = WORDINGS[params["wording"]]
        return {
            name: outcome(
                bench.scores(lm, wording, bench.task(name), items).argmax(axis=1), [e.label for e in items]
            )
            for name, items in tests.items()
        }

    def step(settings: dict, measure) -> None:
        row = public(bench.work.step(settings | same, measure))
        answers = row.pop("answers")
        rows.extend({**row, "tested": name, **found} for name, found in answers.items())

    step({"method": "prompt", "trained": NONE}, lambda: {"answers": ask(bench.lm)})
    for seed in params["seeds"]:
        for trained in (*names, MIXED, SMALL):
            settings, tuning = recipe(bench, params, names, trained, seed)

            def measure(trained=trained, seed=seed):
                with adapter(bench, params, names, trained, seed) as tuned:
                    return {
                        "answers": ask(tuned),
                        "train_seconds": round(tuned.seconds, 2),
                        "examples_seen": tuned.examples,
                        "trainable": tuned.trainable,
                    }

            step(settings | {"tuning": vars(tuning) | {"targets": list(tuning.targets)}}, measure)
    settings = {
        "method": "switch",
        "seed": params["seeds"][0],
        "switches": params["switches"],
        "recipe": params["recipe"],
        **same,
    }
    rows.append(
        public(
            bench.work.step(
                settings | {"labels": params["labels"]}, lambda: switching(bench, params, names, tests)
            )
        )
    )
    return rows


def recipe(bench: Bench, params: dict, names: list[str], trained: str, seed: int) -> tuple[dict, Recipe]:
    """What tells one adapter's training from another's, and how it is trained: as many passes for all."""
    each = params["labels"] // len(names) if trained == SMALL else params["labels"]
    total = each * (len(names) if trained in (MIXED, SMALL) else 1)
    settings = {
        "method": "lora",
        "trained": trained,
        "of_each": each,
        "n_labels": total,
        "seed": seed,
        "wording": params["wording"],
    }
    return settings, Recipe(seed=seed, **params["recipe"])


@contextlib.contextmanager
def adapter(bench: Bench, params: dict, names: list[str], trained: str, seed: int):
    """The model with one of the adapters. Each example stands after its own task's instruction, also where a batch has several tasks."""
    settings, tuning = recipe(bench, params, names, trained, seed)
    wording = WORDINGS[params["wording"]]

    def pairs() -> list[tuple[str, str]]:
        found = []
        for name in names if trained in (MIXED, SMALL) else [trained]:
            task = bench.task(name)
            answers = wording.answers(task.labels)
            found += [
                (wording.prefix(task) + wording.query(task, x), answers[y])
                for x, y in sample(task, settings["of_each"], seed)
            ]
        return found

    told = settings | {"data": [bench.fingerprint(name) for name in names]}
    with bench.adapter(told, tuning, pairs) as tuned:
        yield tuned


def switching(bench: Bench, params: dict, names: list[str], tests: dict) -> dict:
    """All tasks' own adapters on one model at once: how long changes take, and is each task answered as by its adapter alone?"""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    from tunewise.models.load import load

    wording, seed = WORDINGS[params["wording"]], params["seeds"][0]

    def ask(lm, name: str) -> np.ndarray:
        return bench.scores(lm, wording, bench.task(name), tests[name][: params["switches"]])

    def clock(act) -> float:
        start = time.perf_counter()
        act()
        return time.perf_counter() - start

    untouched, weights, alone = {name: ask(bench.lm, name) for name in names}, {}, {}
    for name in names:
        with adapter(bench, params, names, name, seed) as tuned:
            weights[name] = {k: v.detach().clone() for k, v in get_peft_model_state_dict(tuned.model).items()}
            alone[name] = ask(tuned, name)
    with adapter(bench, params, names, names[0], seed) as tuned:
        model, called = tuned.model, {names[0]: "default"} | {name: name for name in names[1:]}

        def add(name: str) -> None:
            model.add_adapter(name, model.peft_config["default"])
            set_peft_model_state_dict(model, weights[name], adapter_name=name)

        added = [clock(lambda name=name: add(name)) for name in names[1:]]
        back, changes = {name: True for name in names}, []
        for name in (*names, *reversed(names)):
            changes.append(clock(lambda name=name: model.set_adapter(called[name])))
            back[name] &= bool(np.array_equal(ask(tuned, name), alone[name]))
        for i in range(params["switches"]):
            changes.append(clock(lambda i=i: model.set_adapter(called[names[i % len(names)]])))
        model.set_adapter("default")
        with_adapter = [clock(lambda: ask(tuned, names[0])) for _ in range(3)]
        with model.disable_adapter():
            off = all(np.array_equal(ask(tuned, name), untouched[name]) for name in names)
            without = [clock(lambda: ask(tuned, names[0])) for _ in range(3)]
    size = sum(v.numel() * v.element_size() for v in weights[names[0]].values())
    whole = sum(p.numel() * p.element_size() for p in bench.lm.model.parameters())
    return {
        "switch_ms": [round(1000 * s, 3) for s in changes],
        "add_ms": [round(1000 * s, 1) for s in added],
        "load_model_ms": round(1000 * clock(lambda: load(bench.model_name, precision=bench.precision)), 1),
        "answers_with_ms": [round(1000 * s, 1) for s in with_adapter],
        "answers_without_ms": [round(1000 * s, 1) for s in without],
        "adapter_bytes": size,
        "model_bytes": whole,
        "same_after_switching": back,
        "same_when_off": bool(off),
        "compared": {name: int(alone[name].size) for name in names},
    }


_COMMON = {"model": "smollm2-135m", "tasks": ["tweets", "domain"], "wording": "instruction"}
_RECIPE = {"learning_rate": 1e-3, "epochs": 2, "min_steps": 1, "batch_size": 4}

EXPERIMENT = Experiment(
    name="task_diversity",
    question="One adapter a task, or one for all?",
    claims=("C41",),
    run=run,
    scales={
        "smoke": _COMMON
        | {
            "labels": 6,
            "recipe": _RECIPE | {"epochs": 1, "batch_size": 6},
            "seeds": [0],
            "test_n": 6,
            "switches": 3,
        },
        "laptop": _COMMON | {"labels": 24, "recipe": _RECIPE, "seeds": [0], "test_n": 24, "switches": 9},
        "full": _COMMON
        | {"labels": 36, "recipe": _RECIPE, "seeds": [0, 1, 2, 3, 4], "test_n": 48, "switches": 30},
        "gpu": _COMMON
        | {
            "model": "qwen2.5-1.5b",
            "labels": 180,
            "recipe": _RECIPE | {"batch_size": 16},
            "seeds": [0, 1, 2, 3, 4],
            "test_n": 200,
            "switches": 100,
        },
    },
)
