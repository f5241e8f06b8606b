"""Run the arms of a comparison one after another, each kept when it is done, and make the report of what there is."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import math
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tunewise import paths, record
from tunewise.compare.base import ArmResult, Cost, Decision, OwnData, Report, Settings
from tunewise.compare.decision import decide
from tunewise.compare.monthly_cost import read_prices
from tunewise.compare.more_data import label_next
from tunewise.compare.plan import Plan, plan, titled
from tunewise.compare.verdict_words import begun
from tunewise.compare.workbench import Arm, BudgetSpent, Workbench, fingerprint
from tunewise.experiment import Context, device_name
from tunewise.models.download import FetchError
from tunewise.step_cache import digest
from tunewise.words import duration

BUDGET, CTRL_C = "the budget", "stopped by Ctrl-C"  # why an arm was not run, though the next call can


class Running(RuntimeError):
    """Another comparison of the same data with the same model is under way."""


def run(
    data: OwnData, settings: Settings, say: Callable[[str], None] = print, *, given: Context | None = None
) -> Report:
    """Compare the arms on ``data``.

    Parameters
    ----------
    say
        Called with a line of text: the plan, then one an arm. Progress goes to stderr.
    given
        A context with a model and an encoder, for who has them loaded.

    Returns
    -------
    Report
        Of all arms that were run; ``missing`` names the others, and why: the budget, Ctrl-C, or what went wrong.

    Raises
    ------
    ValueError
        For settings that do not fit the data, or when no arm could be run.
    Running
        When another process does the same.
    """
    start = time.perf_counter()
    read_prices(settings.prices)  # a bad file is named before anything is run
    data = to_score(data, settings)
    with _alone(data, settings):
        deadline = None if settings.budget is None else start + settings.budget
        bench = Workbench(data, settings, say, given, deadline)
        arms, missing, made = _perform(bench, start)
    if not arms:
        reasons = "; ".join(f"{name}: {why}" for name, why in missing)
        raise ValueError(f"no arm could be run: {reasons or 'it was stopped before the first was done'}")
    whole = [arm for arm in arms if "@" not in arm.name]
    stopped = {name for name, why in missing if why.startswith((BUDGET, CTRL_C))}
    waiting = {a.name: made.seconds(a) for a in made.arms if a.name in stopped} if made else {}
    decision = _of_those_run(decide(data, whole, settings), whole, missing, waiting, settings)
    if made and made.left_out:
        said = f"Left out by you: {_about({a.name: made.known_seconds(a) for a in made.left_out})}."
        decision = dataclasses.replace(decision, reasons=[said, *decision.reasons])
    return Report(
        data=data,
        settings=settings,
        arms=whole,
        decision=decision,
        curve=[arm for arm in arms if "@" in arm.name],
        missing=missing,
        waiting=waiting,
        left_out=[arm.name for arm in made.left_out] if made else (),
        machine=device_name(bench.ctx.precision)
        if "ctx" in bench.__dict__
        else platform.processor() or platform.machine(),
        seconds=time.perf_counter() - start,
        versions=record.versions(),
        label_next=label_next(data) if data.pool else (),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )


def _of_those_run(
    decision: Decision,
    arms: Sequence[ArmResult],
    missing: Sequence[tuple[str, str]],
    waiting: Mapping[str, float],
    settings: Settings,
) -> Decision:
    """The verdict, with a word on the arms that were not run: one arm without its rivals has won nothing, and one of them may be good enough."""
    names = [name for name, _ in missing if "@" not in name]
    if not names:
        return decision
    listed = _about({name: waiting.get(name) for name in names})
    reasons = [f"Not run, and perhaps better: {listed}."]
    if len(arms) == 1:
        said = f"Cannot tell: {arms[0].named} is the only arm that was run, so nothing was compared."
        decision = dataclasses.replace(decision, kind="cannot_tell", winner=None, sentence=said)
    elif decision.kind == "none_good_enough":
        need = f"{100 * (settings.need or 0):g}%"
        were = "was" if len(names) == 1 else "were"
        said = f"Cannot tell: none of the arms that were run reaches the {need} that you need; {listed} {were} not run."
        reasons = [begun(decision.sentence.partition(": ")[2])]
        decision = dataclasses.replace(decision, kind="cannot_tell", sentence=said)
    elif decision.winner:
        said = "use " + decision.sentence[4:] if decision.sentence.startswith("Use ") else decision.sentence
        sentence = f"Of the {len(arms)} arms that were run: {said}"
        decision = dataclasses.replace(decision, sentence=sentence)
    return dataclasses.replace(decision, reasons=[*reasons, *decision.reasons])


def _about(seconds: Mapping[str, float | None]) -> str:
    """Names of arms, each with what it takes, where that is known."""
    return ", ".join(name if s is None else f"{name} (about {duration(s)})" for name, s in seconds.items())


def to_score(data: OwnData, settings: Settings) -> OwnData:
    """The data with what the user said about scoring: the outcome that decides, and the schema of an extraction. Raises ValueError."""
    if data.kind == "classification":
        if given := [f"--{n}" for n in ("metric", "scorer", "schema") if getattr(settings, n) is not None]:
            raise ValueError(
                f"{given[0]} is for written answers; labels are scored by accuracy (or say --task answers)"
            )
        return data
    from tunewise.compare.answer_scoring import METRICS, infer_schema, load_scorer, read_schema

    if settings.scorer:
        load_scorer(settings.scorer)  # a bad one is named before anything is run
    metric = "score" if settings.scorer else settings.metric or data.metric
    if metric not in (*METRICS[data.kind], "score"):
        raise ValueError(
            f"--metric {metric} is none of {data.kind}; there are {', '.join(METRICS[data.kind])}"
        )
    schema = data.schema
    if data.kind == "extraction":
        targets = {f"{data.name}, row {i.row}": i.target for i in data.train if i.target}
        schema = read_schema(settings.schema) if settings.schema else schema or infer_schema(targets)
    return dataclasses.replace(data, metric=metric, schema=schema)


def _perform(bench: Workbench, start: float) -> tuple[list[ArmResult], list[tuple[str, str]], Plan | None]:
    """Arm after arm, until all are done, time is up, or the user has seen enough; and the plan, if there was time for one."""
    from tqdm.auto import tqdm

    done: list[ArmResult] = []
    missing: list[tuple[str, str]] = []
    todo: list[Arm] = []
    made: Plan | None = None
    say = bench.say
    try:
        made = plan(bench, fetch=False)
        todo = list(made.arms)
        for line in made.lines(bench.settings.budget):
            say(line)
        total = sum(map(made.seconds, made.arms))
        with tqdm(
            total=round(total, 1),
            disable=None,
            leave=False,
            bar_format="{desc} {percentage:3.0f}% |{bar}| {remaining} left",
        ) as bar:
            bench.say = lambda line: _above(bar, say, line)
            while todo:
                if todo[0].needs_model and todo[0].name not in made.kept and not made.measured:
                    made = plan(bench)  # fetches the model, with the first rows already there
                    left = sum(map(made.seconds, todo))
                    bar.total = round(bar.n + left, 1)
                    if made.pace:
                        bench.say(f"The model is here: by a short trial, about {duration(left)} to go.")
                bar.set_description(todo[0].name)
                bench.tick, finish = _hand(bar, made.seconds(todo[0]))
                result = _one(bench, made, todo[0], start, missing)
                todo.pop(0)  # one that is interrupted stays
                finish()
                if result is not None:
                    done.append(result)
                    bench.say(row(result, bench.data.metric))
    except KeyboardInterrupt:
        missing += [(arm.name, CTRL_C) for arm in todo]
        say("Stopped. What is done is kept: the same command goes on from here.")
    return done, missing, made


def _one(
    bench: Workbench, made: Plan, arm: Arm, start: float, missing: list[tuple[str, str]]
) -> ArmResult | None:
    """The result of one arm, new or kept; None where there is none, with the reason in ``missing``."""
    budget, spent = bench.settings.budget, time.perf_counter() - start
    try:
        key = bench.key_of(arm)
        if kept := bench.results(key):
            return _read(kept[0])
        left = math.inf if budget is None else max(0.0, budget - spent)
        if made.seconds(arm) > max(1.0, left) and not bench.begun(key):
            needs = duration(made.seconds(arm))
            missing.append((arm.name, f"{BUDGET}: it takes about {needs}, and {duration(left)} were left"))
            return None
        bench.begin(key)
        result = arm.evaluate(bench)
    except BudgetSpent:
        ran = time.perf_counter() - start - spent
        missing.append(
            (arm.name, f"{BUDGET}: cut off after {duration(ran)}; the same command goes on from there")
        )
        return None
    except Exception as error:  # one arm that fails must not cost the others
        first = (str(error).split("\n", 1)[0] or type(error).__name__).rstrip(".:")
        known = any(why == first for _, why in missing)
        whole = str(error) if isinstance(error, FetchError) and not known else first
        missing.append((arm.name, first))
        bench.say(f"  {arm.name}: could not be run: {whole}")
        return None
    if bench.cut and arm.needs_model:
        note = f"{len(bench.cut)} texts were too long for a prompt: the model saw their beginning only"
        result = dataclasses.replace(result, notes=[*result.notes, note])
    if arm.name not in bench.lost:
        bench.cache.keep(key, _plain(result))
    return result


def row(result: ArmResult, metric: str) -> str:
    """One arm in one line of text."""
    mean = result.mean(metric)
    told = f"{mean:.3g}" if metric == "score" else f"{mean:.1%}"  # a user's own score need not be a share
    return f"  {result.name:16} {titled(result.name, result.title):48} {told:>7}"


def _hand(bar: Any, expected: float) -> tuple[Callable[[], None], Callable[[], None]]:
    """What moves the bar by the clock while an arm runs, up to what it is expected to take, and what ends its part."""
    before, start, one = bar.n, time.perf_counter(), threading.Lock()

    def move(share: float) -> None:
        with one:  # an endpoint is asked by several threads
            bar.update(before + share * expected - bar.n)

    return lambda: move(min(0.99, (time.perf_counter() - start) / max(expected, 1e-9))), lambda: move(1.0)


def _above(bar: Any, say: Callable[[str], None], line: str) -> None:
    """Print a line without breaking the bar."""
    with bar.external_write_mode():
        say(line)


def _plain(result: ArmResult) -> dict[str, Any]:
    """A result as JSON can hold it."""
    artefact = str(result.artefact) if result.artefact else None
    return dataclasses.asdict(dataclasses.replace(result, artefact=None)) | {"artefact": artefact}


def _read(kept: dict[str, Any]) -> ArmResult:
    """What :func:`_plain` gave."""
    artefact = Path(kept["artefact"]) if kept["artefact"] else None
    return ArmResult(**{**kept, "cost": Cost(**kept["cost"]), "artefact": artefact})


@contextlib.contextmanager
def _alone(data: OwnData, settings: Settings) -> Iterator[None]:
    """Raises Running while another process compares the same data with the same model."""
    name = digest([fingerprint(data), settings.model])[:24]
    try:
        lock = FileLock(paths.cache_dir("locks") / f"{name}.lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise Running(
            f"{data.name} is being compared with {settings.model} by another process: wait for it, or stop it"
        ) from None
    except OSError:  # a read-only cache: nothing is kept that two could disturb
        yield
        return
    with lock:
        yield
