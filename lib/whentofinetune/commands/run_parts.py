"""``tunewise run EXPERIMENT ... --jobs N``: several processes at once, one a seed, which share what they finish.

What a part has finished is found by the run of the whole, so nothing is computed twice and a run that was stopped goes on. On a
GPU one process leaves most of it idle: sixteen fill it.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from typing import Any, NamedTuple

from tunewise.experiment import Experiment, Params, parameters
from whentofinetune import experiments


class Job(NamedTuple):
    """A process to run: one part of an experiment, or the whole of it, which waits for its parts."""

    name: str
    told: str
    words: list[str]


def seeds_of(experiment: Experiment, params: Mapping[str, Any]) -> list[int]:
    """The seeds by which a run can be split: those of its conditions, where they have several."""
    found = {c.seed for c in experiment.conditions(Params(params)) if isinstance(c.seed, int)}
    return sorted(found) if len(found) > 1 else []


def jobs_of(args: argparse.Namespace, changes: Mapping[str, Any]) -> list[Job]:
    """The parts of all experiments first, then the whole of each."""
    parts, wholes = [], []
    for name in args.experiment:
        experiment = experiments.settled(name, args.scale, changes)
        params = parameters(experiment, args.scale, changes)
        words = [sys.executable, "-m", "tunewise", "run", name, "--scale", args.scale]
        words += ["--model", params["model"]]
        words += [w for k, v in changes.items() if k != "model" for w in ("--set", f"{k}={json.dumps(v)}")]
        seeds = seeds_of(experiment, params)
        parts += [Job(name, f"seed {seed}", [*words, "--part", str(seed)]) for seed in seeds]
        commit = ["--commit"] * args.commit + ["--force-commit"] * args.force_commit
        wholes.append(Job(name, "whole", [*words, *commit]))
    return parts + wholes


def run(jobs: list[Job], at_once: int, say: Callable[[str], None]) -> int:
    """Run them, ``at_once`` at a time; 0 if all whole runs ended well. A failed part is said, and done again by the whole."""
    threads = max(1, (os.cpu_count() or 1) // at_once)
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
    streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "errors": "replace"}
    processes: list[subprocess.Popen[str]] = []
    begun: dict[Future[tuple[str, float]], Job] = {}

    def one(job: Job, before: list[Future[Any]]) -> tuple[str, float]:
        """``done``, or the last line that the process said; and its seconds."""
        wait(before)
        start = time.monotonic()
        process = subprocess.Popen(job.words, env=environment, text=True, **streams)
        processes.append(process)
        said = process.communicate()[1].strip().splitlines()
        outcome = f"failed: {said[-1] if said else 'without a word'}" if process.returncode else "done"
        return outcome, time.monotonic() - start

    failed = 0
    with ThreadPoolExecutor(at_once) as pool:
        for job in jobs:  # those that a job waits for have begun before it
            parts = [future for future, part in begun.items() if part.name == job.name]
            begun[pool.submit(one, job, parts if job.told == "whole" else [])] = job
        try:
            for done, future in enumerate(as_completed(begun), 1):
                job, (outcome, took) = begun[future], future.result()
                say(f"[{done}/{len(jobs)}] {job.name}, {job.told}: {outcome} ({took:.0f} s)")
                failed += outcome != "done" and job.told == "whole"
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()
    return 1 if failed else 0
