"""Run an experiment: condition after condition, each kept when it is done, and found again.

An experiment is its conditions and how one of them is evaluated::

    def conditions(p):
        yield Condition("zero_shot")
        for seed, k in product(p.seeds, p.k):
            yield Condition("random", k=k, seed=seed)

    def evaluate(ctx, c):
        test = ctx.task(ctx.params.task).test[: ctx.params.test_n]
        ...
        return Scores(test, accuracy=[p == e.label for p, e in zip(predictions, test)])

    EXPERIMENT = Experiment("few_shot", conditions, evaluate, scales={"laptop": {...}})

A condition that was evaluated before, on the same model and data, with the same values of the parameters that
``evaluate`` *read*, is not evaluated again. A trained adapter is kept under the hash of model, recipe and training pairs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tunewise import data, record
from tunewise.record import Record, Row
from tunewise.step_cache import StepCache, digest
from tunewise.words import counted

# Raise it when the code under all experiments changes so that results do: finished steps are then no longer found.
ENGINE = 2
Say = Callable[[str], None] | None


class Condition:
    """One row to be: a method and its settings, which are read as attributes (``c.k``); a setting that was not given is None.

    Parameters
    ----------
    method
        What is done.
    settings
        Anything JSON can hold; at once columns of the record and the key under which the outcome is kept.
    """

    def __init__(self, method: str, **settings: Any) -> None:
        if taken := {"items", "outcomes", "facts", "predictions", "model"} & set(settings):
            said = f"a setting cannot be called {', '.join(sorted(taken))}: rows have that column already"
            raise ValueError(said)
        self.method = method
        self.settings = {"method": method, **settings}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "settings":
            raise AttributeError(name)
        return self.settings.get(name)

    def __str__(self) -> str:
        plain = [(k, v) for k, v in self.settings.items() if not isinstance(v, dict | list)]
        return ", ".join(f"{k} {v}" for k, v in plain if len(str(v)) < 40)


Conditions = Iterator[Condition]  # what an experiment's ``conditions`` gives


class Scores:
    """What came of one condition.

    Parameters
    ----------
    items
        What was asked: ids, or objects with ``id`` and, where items belong together, ``group``.
    predictions
        One an item: a label's index, or the text that was written.
    facts
        Figures about the condition as a whole, such as ``seconds`` or ``prompt_tokens``.
    outcomes
        Metric -> one value an item: True, False, a number, or None where it does not apply. A name may have parts, ``calibrated.accuracy``;
        give those with ``**{"calibrated.accuracy": [...]}``.

    Raises
    ------
    ValueError
        When a metric has another number of values than there are items.
    """

    def __init__(
        self,
        items: Sequence[Any] = (),
        *,
        predictions: Sequence[Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        **outcomes: Sequence[Any],
    ) -> None:
        self.ids = [i if isinstance(i, str) else i.id for i in items]
        groups = [i if isinstance(i, str) else str(getattr(i, "group", None) or i.id) for i in items]
        self.groups = groups if groups != self.ids else None
        given = outcomes if predictions is None else {**outcomes, "predictions": predictions}
        for name, values in given.items():
            if len(values) != len(self.ids):
                found = f"{name} has {len(values)} values for {len(self.ids)} items"
                raise ValueError(f"{found}: there must be one for each")
        self.outcomes = {name: record.pack(values) for name, values in outcomes.items()}
        self.predictions: list[Any] | None = None
        if predictions is not None:
            self.predictions = [p if isinstance(p, str) or p is None else int(p) for p in predictions]
        self.facts = dict(facts or {})

    def add(self, part: str, other: Scores) -> Scores:
        """Take over the outcomes and facts of ``other``, on the same items, as ``part.NAME``; its predictions as the fact ``part.predictions``."""
        if other.ids != self.ids:
            raise ValueError(f"{part} was asked about other items")
        self.outcomes |= {f"{part}.{name}": values for name, values in other.outcomes.items()}
        self.facts |= {f"{part}.{name}": value for name, value in other.facts.items()}
        if other.predictions is not None:
            self.facts[f"{part}.predictions"] = other.predictions
        return self

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Scores:
        """Scores from what :meth:`row` gave, as :meth:`Context.memo` keeps them."""
        scores = cls(row.get("ids", []), predictions=row.get("predictions"), facts=row.get("facts"))
        scores.groups, scores.outcomes = row.get("groups"), row.get("outcomes", {})
        return scores

    def row(self) -> dict[str, Any]:
        """As kept: without the condition's settings, with the items written out."""
        row: dict[str, Any] = {"ids": self.ids, "groups": self.groups} if self.ids else {}
        row |= {"outcomes": self.outcomes} if self.outcomes else {}
        row |= {} if self.predictions is None else {"predictions": self.predictions}
        return row | ({"facts": self.facts} if self.facts else {})


class Params(Mapping[str, Any]):
    """Parameters of a run, as keys or attributes; it remembers which were read."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values, self._read = dict(values), set[str]()

    def __getitem__(self, name: str) -> Any:
        self._read.add(name)
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"there is no parameter {name!r}")
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True)
class Experiment:
    """One question.

    Parameters
    ----------
    conditions
        Takes the parameters; yields the conditions in the order in which they are run.
    evaluate
        Takes a :class:`Context` and a condition; returns its :class:`Scores`.
    scales
        Scale -> parameters (JSON values), ``model`` among them.
    question, claims
        In words; ids of the claims that it bears on.
    sources
        Takes the parameters; returns what the data are (anything JSON can hold). Tasks named in the parameter ``tasks`` are counted in anyway.
    version
        Raise it when ``evaluate`` changes so that results do.
    larger
        What differs at scale ``full`` for other models than the scale's own: more items, a choice among recipes.
    models
        Model -> what differs beside that for this one, such as arms that would take too long.
    """

    name: str
    conditions: Callable[[Params], Iterable[Condition]]
    evaluate: Callable[[Context, Condition], Scores]
    scales: Mapping[str, dict[str, Any]]
    question: str = ""
    claims: tuple[str, ...] = ()
    sources: Callable[[Params], Any] | None = None
    version: int = 1
    larger: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Workspace:
    """Where an experiment finds what is not in it: the folder of committed records (or None), and how a task is had by its name."""

    records: Path | None = None
    load_task: Callable[[str], data.Task] = data.own_data


@dataclass
class Context:
    """What ``evaluate`` works with: one model on one machine, the parameters, and what was found so far.

    The model is loaded when it is first asked for; ``rows`` are those of the conditions before.
    """

    params: Params
    model: str
    precision: Any
    cache: StepCache
    workspace: Workspace
    ingredients: dict[str, Any]
    say: Callable[[str], None]
    rows: list[dict[str, Any]] = field(default_factory=list)
    item_sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    _tasks: dict[str, data.Task] = field(default_factory=dict)
    _vectors: dict[str, np.ndarray] = field(default_factory=dict)
    _looked_up: list[Any] = field(default_factory=list)
    _trials: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def lm(self) -> Any:
        """The base model."""
        return self.load()

    @cached_property
    def quantized(self) -> Any:
        """The base model with its linear layers in NF4, for QLoRA."""
        return self.load(quantize="nf4")

    def load(self, **options: Any) -> Any:
        """A fresh copy of the base model; options of :func:`tunewise.models.load.load`."""
        from tunewise.models.load import load

        return load(self.model, **{"precision": self.precision, **options})

    @cached_property
    def encoder(self) -> Any:
        """The sentence encoder."""
        from tunewise.models.encoder import Encoder

        return Encoder()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Sentence embeddings, float32 [n, 384], each of length 1; each text is computed once, however often it is asked for."""
        missing = list(dict.fromkeys(t for t in texts if t not in self._vectors))
        if missing:
            self._vectors.update(zip(missing, self.encoder.encode(missing), strict=True))
        return np.stack([self._vectors[t] for t in texts])

    def task(self, name: str) -> data.Task:
        """A task by its name, or by the path of the reader's own file."""
        if name not in self._tasks:
            self._tasks[name] = resolve(name, self.workspace)
        return self._tasks[name]

    def earlier(self, **conditions: Any) -> list[Row]:
        """Rows of the conditions before this one whose settings equal all of ``conditions``. What they hold counts as an input of this condition."""
        found = self._matching(conditions)
        self._looked_up.append([conditions, digest(found)])
        return [Row(r, self.item_sets) for r in found]

    def best(self, setting: str, metric: str, **conditions: Any) -> Any:
        """The value of ``setting`` in the earlier row with the highest ``metric`` (the first of equals): a choice made on validation items."""
        rows = self.earlier(**conditions)
        if not rows:
            raise LookupError(f"no earlier row matches {conditions}: yield the trials before the choice")
        return max(rows, key=lambda r: r.metric(metric)["value"])[setting]

    def _matching(self, conditions: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [r for r in self.rows if all(k in r and r[k] == v for k, v in conditions.items())]

    def memo(self, inputs: Any, compute: Callable[[], Any]) -> Any:
        """``compute()``, or what it gave before for the same model and ``inputs``: for parts that several conditions or experiments share."""
        return self.cache.memo([self.ingredients, inputs], compute)

    def model_for(self, method: str) -> Any:
        """The model as a method of tuning wants it: 4-bit for ``qlora``; for ``full``, which changes its weights, a copy of its own in
        float32, because 16 bits round most of AdamW's small updates away; else as the machine runs it."""
        if method == "full":
            import torch

            return self.load(precision=dataclasses.replace(self.precision, dtype=torch.float32))
        return self.quantized if method == "qlora" else self.lm

    @contextlib.contextmanager
    def adapter(
        self,
        pairs: Sequence[tuple[str, str]],
        recipe: Any,
        prefix: str = "",
        *,
        each_step: Callable[[], None] = lambda: None,
    ) -> Iterator[Any]:
        """The model after training on ``pairs`` (prompt, completion), for the length of a ``with`` block.

        Trained once: a LoRA adapter is kept under the hash of model, recipe, prefix and pairs, so that other conditions and experiments find
        it. The weights of full fine-tuning are not kept.

        Parameters
        ----------
        each_step
            Called after each step of the training. What it raises ends the training, which goes on from there when it is asked for again.
        """
        from tunewise import finetune as ft

        recipe = self.chosen(pairs, recipe, prefix)
        lm = self.model_for(recipe.method)
        made_of = [self.ingredients, dataclasses.asdict(recipe), prefix, [list(p) for p in pairs]]
        key = digest(["adapter", *made_of])
        folder = self.cache.folder.parent / "adapters" / key
        old = self.cache.fresh and key not in self.cache.made
        if recipe.method != "full" and ft.is_kept(folder) and not old:
            tuned = ft.load_adapter(lm, folder)
        else:
            checkpoint = folder.with_suffix(".unfinished")
            if self.cache.fresh:
                checkpoint.unlink(missing_ok=True)
            with progress_bar(recipe, len(pairs), each_step) as bar:
                tuned = ft.finetune(lm, pairs, recipe, prefix=prefix, checkpoint=checkpoint, progress=bar)
            if recipe.method != "full":
                try:
                    ft.save_adapter(tuned, folder)
                    self.cache.made.add(key)
                except OSError as error:  # a full disk costs the next run its time, not this one its training
                    self.say(f"  the adapter could not be kept in {folder.parent} ({error.strerror})")
        tuned.key = key
        try:
            yield tuned
        finally:
            lm.model = ft.restore(tuned)

    def chosen(self, pairs: Sequence[tuple[str, str]], recipe: Any, prefix: str = "") -> Any:
        """The recipe, or that of its candidates which does best on a fifth of the pairs after training on the others; the trials go into the row."""
        from tunewise import finetune as ft

        if not recipe.candidates:
            return recipe

        def train(kept: Sequence[tuple[str, str]], candidate: Any) -> Any:
            return self.adapter(kept, candidate, prefix)

        told = ["recipe", dataclasses.asdict(recipe), prefix, [list(p) for p in pairs]]
        losses = self.memo(told, lambda: ft.choose(train, pairs, recipe, prefix))
        best = recipe.candidates[min(range(len(losses)), key=losses.__getitem__)]
        self._trials = {
            "candidates": [dict(c) for c in recipe.candidates],
            "losses": [round(x, 4) for x in losses],
            "chosen": dict(best),
        }
        return dataclasses.replace(recipe, **best, candidates=())


def resolve(name: str, workspace: Workspace) -> data.Task:
    """A task of the workspace by its name, or the reader's own file by its path."""
    return data.own_data(name) if data.is_file_name(name) else workspace.load_task(name)


@contextlib.contextmanager
def progress_bar(
    recipe: Any, n: int, each_step: Callable[[], None]
) -> Iterator[Callable[[int, int, float], None]]:
    """Progress of a training on one line of the terminal or notebook; ``each_step`` is called, too."""
    from tqdm.auto import tqdm

    told = f"{recipe.method}, {n} examples, seed {recipe.seed}"
    with tqdm(total=recipe.steps(n), desc=told, leave=False, mininterval=1.0) as bar:

        def tick(step: int, steps: int, loss: float) -> None:
            bar.update(step - bar.n)
            bar.set_postfix(loss=f"{loss:.2f}", refresh=False)
            each_step()

        yield tick


def context(
    params: Mapping[str, Any], *, workspace: Workspace = Workspace(), fresh: bool = False, say: Say = None
) -> Context:
    """What an experiment with these parameters (``model`` among them) works with; outside a run, it finds what experiments have kept."""
    from tunewise.models import registry
    from tunewise.models.device import choose
    from tunewise.models.load import model_checksum

    told = say or (lambda line: None)
    spec = registry.get(params["model"])
    precision = choose(parameters=spec.parameters)
    # what every kept step rests on beside its settings
    ingredients = {"model": model_checksum(spec.name), "dtype": str(precision.dtype), "engine": ENGINE}
    cache = StepCache(fresh=fresh, say=told)
    return Context(Params(params), spec.name, precision, cache, workspace, ingredients, told)


def perform(
    experiment: Experiment,
    scale: str = "laptop",
    *,
    fresh: bool = False,
    say: Say = print,
    workspace: Workspace = Workspace(),
    only: Callable[[Condition], bool] | None = None,
    **changes: Any,
) -> Record:
    """Run an experiment, or find its finished record; an interrupted one goes on.

    Parameters
    ----------
    fresh
        Run again even what was finished.
    say
        Called with a line of text a condition; None for silence.
    only
        Evaluate only these conditions: what they give is kept for the whole run, the record of these alone is not.
    changes
        Parameters that differ from the scale's: a model, sizes, seeds.

    Raises
    ------
    ValueError
        For an unknown scale or parameter, or a value that a parameter can't take; the message says which and what it can.
    """
    params = parameters(experiment, scale, changes)
    ctx = context(params, workspace=workspace, fresh=fresh, say=say)
    told = ctx.say
    tasks = {t: data.fingerprint(resolve(t, workspace)) for t in params.get("tasks", [])}
    sources = digest([tasks, experiment.sources(Params(params)) if experiment.sources else None])
    key = digest([experiment.name, experiment.version, params, ctx.ingredients, sources])
    name, records = experiment.name, workspace.records
    home = [record.committed(records, name, scale, ctx.model)] if records else []
    if not fresh and (found := record.find(key, *home, say=told)):
        return found
    told(f"{experiment.name}, scale {scale}: {experiment.question}\n  {ctx.precision.why}")
    wanted = [c for c in experiment.conditions(Params(params)) if only is None or only(c)]
    seconds = sum(_one(experiment, ctx, c, sources) for c in wanted)
    what: dict[str, Any] = dict(
        experiment=name, scale=scale, version=experiment.version, model=ctx.model, params=params
    )
    found_here = dict(rows=ctx.rows, item_sets=ctx.item_sets, duration_s=round(seconds, 1))
    machine = dict(device=device_name(ctx.precision), versions=record.versions())
    finished = Record(
        **what | found_here | machine,
        seeds=list(params.get("seeds", [])),
        key=key,
        checksums={"model": ctx.ingredients["model"], "tasks": tasks},
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        notes={"dtype": str(ctx.precision.dtype)},
    )
    if only is None:
        finished.save(record.cached(key))
    return finished


def _one(experiment: Experiment, ctx: Context, condition: Condition, sources: str) -> float:
    """Evaluate one condition, or find it; its row goes into ``ctx.rows``. Returns its seconds."""
    key = digest([experiment.name, experiment.version, ctx.ingredients, sources, condition.settings])
    for kept in reversed(ctx.cache.find(key)):
        same = all(name in ctx.params and ctx.params[name] == value for name, value in kept["params"].items())
        if same and all(digest(ctx._matching(where)) == seen for where, seen in kept["earlier"]):
            break
    else:
        ctx.params, ctx._looked_up, ctx._trials = Params(ctx.params._values), [], {}
        start = time.perf_counter()
        scores = experiment.evaluate(ctx, condition)
        if ctx._trials:
            scores.facts["recipe"] = ctx._trials
        row = scores.row()
        seconds = time.perf_counter() - start
        read = {n: ctx.params._values[n] for n in sorted(ctx.params._read)}
        kept = {"params": read, "earlier": ctx._looked_up, "row": row, "seconds": seconds}
        ctx.cache.keep(key, kept)
        ctx.say(f"  {condition}: {seconds:.1f} s")
    row = dict(kept["row"])
    items = {"items": _item_set(ctx.item_sets, row.pop("ids"), row.pop("groups"))} if "ids" in row else {}
    ctx.rows.append({**condition.settings, **items, **row})
    return float(kept["seconds"])


def _item_set(sets: dict[str, dict[str, Any]], ids: list[str], groups: list[str] | None) -> str:
    """The name of this list of items in ``sets``, where it is added if it is new."""
    held = {"ids": ids} | ({"groups": groups} if groups else {})
    name = next((name for name, known in sets.items() if known == held), f"set {len(sets) + 1}")
    sets[name] = held
    return name


def parameters(experiment: Experiment, scale: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a scale with ``changes``, each checked against the kind of value that stands there. Raises ValueError."""
    if scale not in experiment.scales:
        raise ValueError(f"{experiment.name} has no scale {scale!r}; it has {', '.join(experiment.scales)}")
    params = experiment.scales[scale]
    if unknown := sorted(set(changes) - set(params)):
        raise ValueError(f"{experiment.name} has no parameter {unknown[0]!r}; it has {', '.join(params)}")
    for name, value in changes.items():
        examples = [s[name] for s in experiment.scales.values() if s.get(name) is not None]
        optional = any(s.get(name, 0) is None for s in experiment.scales.values())
        if value is None and optional or not examples:
            continue
        _check(f"{experiment.name}: {name}", value, examples[0])
        if value == 0 and isinstance(value, int) and all(e and type(e) is int for e in examples):
            must = f"{experiment.name}: {name} must be 1 or more"
            raise ValueError(f"{must}, such as {examples[0]}; it was given 0")
    return {**params, **changes}


_KINDS: dict[type, str] = {bool: "true or false", str: "text", list: "a list"}


def _check(name: str, value: Any, like: Any) -> None:
    """Raise ValueError unless ``value`` is of the kind of ``like``."""
    if like is None:
        return
    number = isinstance(like, int | float) and not isinstance(like, bool)
    kind: Any = int | float if number else type(like)
    if not isinstance(value, kind) or isinstance(value, bool) != isinstance(like, bool):
        wanted = "a number" if number else _KINDS.get(type(like), "an object")
        raise ValueError(f"{name} must be {wanted}, such as {like!r}; it was given {value!r}")
    if number:
        if isinstance(like, int) and not isinstance(value, int):
            raise ValueError(f"{name} must be a whole number, such as {like!r}; it was given {value!r}")
        if value < 0 or (like > 0 and value == 0 and isinstance(like, float)):
            raise ValueError(f"{name} must not be below 0; it was given {value!r}")
    if isinstance(like, list):
        if not value and name.endswith(("seeds", "tasks")):
            raise ValueError(f"{name} must hold one value at least, such as {like!r}")
        for one in value:
            _check(f"{name}, each value", one, like[0] if like else None)
    if isinstance(like, dict):
        for key in set(value) & set(like):
            _check(f"{name}, {key}", value[key], like[key])


def device_name(precision: Any) -> str:
    """The machine in words: the GPU's name, or the CPU's with the number of threads used."""
    import platform

    import torch

    if str(precision.device).startswith("cuda"):
        return str(torch.cuda.get_device_name(0))
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.processor() or platform.machine()
    return f"CPU: {name}, {counted(torch.get_num_threads(), 'thread')}"
