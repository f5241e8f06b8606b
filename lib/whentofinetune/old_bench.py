"""What all experiments share: their registration, their scales, and the bench on which their steps run."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from tunewise import data as classification
from tunewise import finetune as ft
from tunewise import stats
from tunewise.finetune import Recipe
from tunewise.models import registry
from tunewise.prompt_templates import WORDINGS, Wording
from whentofinetune import book_records
from whentofinetune.datasets import rated_tasks
from whentofinetune.old_steps import Work

# Raise it when the code of a step changes so that its result does: finished steps are then no longer found.
STEPS_VERSION = 1


@dataclass(frozen=True)
class Experiment:
    """One question, as a function of what is asked for at each scale.

    run: takes the bench, the parameters; returns the rows of the record.
    scales: scale -> parameters (JSON values). All but ``gpu`` name the embedded model.
    """

    name: str
    question: str
    claims: tuple[str, ...]
    run: Callable[[Bench, dict], list[dict]]
    scales: dict[str, dict]
    version: int = 1


@dataclass
class Bench:
    """One model on one machine, with finished steps found again. The model is loaded when a step first needs it."""

    model_name: str
    work: Work
    precision: object
    data: dict = field(default_factory=dict)
    vectors: dict = field(default_factory=dict)
    trained: set = field(default_factory=set)

    @cached_property
    def lm(self):
        from tunewise.models.load import load

        return load(self.model_name, precision=self.precision)

    @cached_property
    def quantized(self):
        from tunewise.models.load import load

        return load(self.model_name, precision=self.precision, quantize="nf4")

    @cached_property
    def whole(self):
        """The model for full fine-tuning, in float32: in 16 bits most of AdamW's small updates are rounded away."""
        from tunewise.models.load import load

        return load(self.model_name, precision=dataclasses.replace(self.precision, dtype=torch.float32))

    @cached_property
    def embedder(self):
        from tunewise.models.encoder import Encoder

        return Encoder()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Sentence embeddings [n, 384]; each text is computed once, however often a step asks for it."""
        missing = list(dict.fromkeys(t for t in texts if t not in self.vectors))
        if missing:
            self.vectors.update(zip(missing, self.embedder.encode(missing), strict=True))
        return np.stack([self.vectors[t] for t in texts])

    def task(self, name: str):
        """A task by name; its fingerprint goes into the record."""
        if name not in self.data:
            task = resolve(name)
            self.data[name] = (task, classification.fingerprint(task))
        return self.data[name][0]

    def fingerprint(self, name: str) -> str:
        self.task(name)
        return self.data[name][1]

    # -- steps that several experiments take ---------------------------------------------------------------------

    def scores(
        self, lm, wording: Wording, task, examples, shots: Sequence[tuple[str, int]] = ()
    ) -> np.ndarray:
        """Label log-probabilities [n, labels] of ``examples``, all after the same in-context examples."""
        from tunewise.scoring import label_logprobs

        queries = [wording.query(task, e.text) for e in examples]
        return label_logprobs(lm, wording.prefix(task, shots), queries, wording.answers(task.labels))

    def tuned(
        self, task_name: str, n: int, tuning: Recipe, wording_name: str, test_n: int | None = None
    ) -> dict:
        """Fine-tune on ``n`` balanced labels drawn with the tuning's seed and score the test items: one kept step."""
        task = self.task(task_name)
        settings = {
            "method": tuning.method,
            "task": task_name,
            "n_labels": n,
            "seed": tuning.seed,
            "wording": wording_name,
            "test_n": test_n,
            "tuning": vars(tuning) | {"targets": list(tuning.targets)},
            "data": self.fingerprint(task_name),
        }

        def run() -> dict:
            wording = WORDINGS[wording_name]
            answers = wording.answers(task.labels)
            train = sample(task, n, tuning.seed)
            pairs = [(wording.query(task, text), answers[y]) for text, y in train]
            lm = self.model_for(tuning.method)
            tuned = ft.finetune(
                lm,
                pairs,
                tuning,
                prefix=wording.prefix(task),
                checkpoint=self.work.checkpoint(settings),
                progress=ticker(settings),
            )
            try:
                test = subset(task.test, test_n)
                scored = self.scores(tuned, wording, task, test)
            finally:
                self.forget(tuning, lm, tuned)
            return {
                **outcome(scored.argmax(axis=1), [e.label for e in test]),
                "train_seconds": round(tuned.seconds, 2),
                "examples_seen": tuned.examples,
                "trainable": tuned.trainable,
                "last_loss": round(float(np.mean(tuned.losses[-5:])), 4),
            }

        return public(self.work.step(settings, run))

    @contextlib.contextmanager
    def adapter(
        self, settings: dict, tuning: Recipe, pairs: Callable[[], Sequence[tuple[str, str]]], prefix: str = ""
    ):
        """The model with an adapter that was trained on ``pairs()``, for the length of a ``with`` block.

        Trained once: the adapter is kept under ``settings`` and ``tuning``, so that several experiments can ask the same tuned model.
        settings: what tells these pairs from others; needs ``method`` and ``n_labels``.
        """
        lm = self.model_for(tuning.method)
        told = {
            "adapter": settings,
            "tuning": vars(tuning) | {"targets": list(tuning.targets)},
            "prefix": prefix,
        }
        path = self.work.path(told).with_suffix(".peft")
        if ft.is_kept(path) and (not self.work.fresh or path in self.trained):
            tuned = ft.load_adapter(lm, path)
        else:
            tuned = ft.finetune(
                lm,
                pairs(),
                tuning,
                prefix=prefix,
                checkpoint=self.work.checkpoint(told),
                progress=ticker(settings),
            )
            ft.save_adapter(tuned, path)
            self.trained.add(path)
        try:
            yield tuned
        finally:
            self.forget(tuning, lm, tuned)

    def model_for(self, method: str):
        """The model as a way of tuning wants it: 4-bit for ``qlora``, float32 for ``full``, else as the machine runs it."""
        return getattr(self, {"qlora": "quantized", "full": "whole"}.get(method, "lm"))

    def forget(self, tuning: Recipe, lm, tuned: ft.Tuned) -> None:
        """Bring the base model back to what it was before ``tuned``."""
        if tuning.method == "full":
            self.__dict__.pop("whole", None)
        else:
            lm.model = ft.restore(tuned)


def resolve(name: str):
    """A task by its name, or by the path of the reader's own CSV or JSONL file with columns ``text`` and ``label``."""
    if name.lower().endswith((".csv", ".tsv", ".jsonl")):
        return classification.own_data(name)
    return rated_tasks.load_task(name)


def sample(task, n: int, seed: int) -> list[tuple[str, int]]:
    """``n`` training examples as (text, label), as nearly balanced as n allows, drawn with ``seed``."""
    from tunewise.prompting import balanced_shots

    return balanced_shots([(e.text, e.label) for e in task.train], n, len(task.labels), seed)


def pool_size(task, most: int) -> int:
    """How many training examples, up to ``most``, can be drawn with as many of each label: small data of the reader's own have fewer."""
    rarest = min(sum(e.label == y for e in task.train) for y in range(len(task.labels)))
    return min(most, rarest * len(task.labels))


def subset(examples: Sequence, n: int | None) -> list:
    """The first ``n`` examples after a fixed shuffle (all for None); the splits are balanced by construction."""
    if n is None or n >= len(examples):
        return list(examples)
    order = np.random.default_rng(0).permutation(len(examples))[:n]
    return [examples[i] for i in sorted(order)]


def outcome(predictions, labels) -> dict:
    """Accuracy with its interval, and the raw predictions as a string of digits in the order of the test items."""
    return {
        "accuracy": stats.accuracy(predictions, labels),
        "predictions": "".join(str(int(p)) for p in predictions),
    }


def public(row: dict) -> dict:
    """A step's row for the record: without what stands in the record's head already."""
    return {k: v for k, v in row.items() if k not in ("tuning", "data") and v is not None}


def ticker(settings: dict):
    """Progress of a training on one line of the terminal or notebook."""
    from tqdm.auto import tqdm

    bar = None
    label = f"{settings['method']}, {settings['n_labels']} examples, seed {settings.get('seed', 0)}"

    def tick(step: int, steps: int, loss: float) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(total=steps, initial=step - 1, desc=label, leave=False, mininterval=1.0)
        bar.update(1)
        bar.set_postfix(loss=f"{loss:.2f}", refresh=False)
        if step == steps:
            bar.close()

    return tick


def perform(
    experiment: Experiment,
    scale: str = "laptop",
    *,
    fresh: bool = False,
    say: Callable[[str], None] | None = print,
    **changes,
) -> book_records.RunRecord:
    """Run an experiment, or find its finished record; an interrupted one goes on.

    changes: parameters that differ from the scale's (a model, sizes, seeds). Raises ValueError for an unknown scale
    or parameter.
    """
    from tunewise.models.device import choose

    if scale not in experiment.scales:
        raise ValueError(f"{experiment.name} has no scale {scale!r}; it has {', '.join(experiment.scales)}")
    params = experiment.scales[scale]
    if unknown := set(changes) - set(params):
        raise ValueError(f"{experiment.name} has no parameter {sorted(unknown)}; it has {', '.join(params)}")
    params = {**params, **changes}
    model = registry.get(params["model"]).name
    precision = choose(parameters=registry.get(model).parameters)
    ingredients = ingredients_of(model, precision)
    tasks = {t: classification.fingerprint(resolve(t)) for t in params.get("tasks", [])}
    key = book_records.digest([experiment.name, experiment.version, params, ingredients, tasks])
    if not fresh and (found := book_records.find(key, experiment.name, scale)):
        return found
    if say:
        say(f"{experiment.name}, scale {scale}: {experiment.question}\n  {precision.why}")
    work = Work(ingredients, fresh=fresh, say=say)
    bench = Bench(model, work, precision)
    start = time.perf_counter()
    rows = experiment.run(bench, params)
    record = book_records.RunRecord(
        experiment=experiment.name,
        scale=scale,
        version=experiment.version,
        params=params,
        seeds=list(params.get("seeds", [])),
        results=rows,
        key=key,
        checksums={"model": ingredients["model"], "tasks": tasks},
        device=device_name(precision),
        versions=book_records.versions(),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        duration_s=round(max(work.seconds, time.perf_counter() - start), 1),
        notes={"dtype": str(precision.dtype)},
    )
    from whentofinetune.book_records import cached

    record.save(cached(key))
    return record


def ingredients_of(model: str, precision) -> dict:
    """What every kept step rests on beside its settings. Whoever names the same finds the adapters that the experiments trained."""
    from tunewise.models.load import model_checksum

    return {"model": model_checksum(model), "dtype": str(precision.dtype), "steps": STEPS_VERSION}


def device_name(precision) -> str:
    """The machine in words: the GPU's name, or the CPU's with the number of threads used."""
    import platform
    from pathlib import Path

    import torch

    if str(precision.device).startswith("cuda"):
        return torch.cuda.get_device_name(0)
    name, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.split(":", 1)[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        name = models[0] if models else name
    return f"CPU: {name}, {torch.get_num_threads()} threads"
