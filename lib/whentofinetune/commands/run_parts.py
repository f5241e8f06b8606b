"""``tunewise run EXPERIMENT ... --jobs N``: several processes at once, one a seed, which share what they finish.

What a part has finished is found by the run of the whole, so nothing is computed twice and a run that was stopped goes on. On a
GPU one process leaves most of it idle: sixteen fill it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tunewise.experiment import Experiment, Params, parameters


@dataclass(eq=False)
class Job:
    """A process to run: the whole of an experiment, or one part of it, which the whole waits for."""

    name: str
    told: str
    words: list[str]
    waits_for: list["Job"] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    start: float = 0.0
    errors: Any = None

    def begin(self, environment: Mapping[str, str]) -> None:
        self.errors, self.start = tempfile.TemporaryFile(), time.monotonic()  # noqa: SIM115
        streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": self.errors}
        self.process = subprocess.Popen(self.words, env=environment, **streams)

    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def outcome(self) -> str:
        """``done``, or the last line that the process said."""
        if self.process and self.process.returncode == 0:
            return "done"
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        return f"failed: {said[-1] if said else 'without a word'}"


def seeds_of(experiment: Experiment, params: Mapping[str, Any]) -> list[int]:
    """The seeds by which a run can be split: those of its conditions, where they have several."""
    found = {c.seed for c in experiment.conditions(Params(params)) if isinstance(c.seed, int)}
    return sorted(found) if len(found) > 1 else []


def jobs_of(args: argparse.Namespace, changes: Mapping[str, Any]) -> list[Job]:
    """The parts of all experiments first, each whole after its parts."""
    from whentofinetune import experiments

    found: list[Job] = []
    for name in args.experiment:
        experiment, merged = experiments.settled(name, args.scale, dict(changes))
        params = parameters(experiment, args.scale, merged)
        words = [sys.executable, "-m", "tunewise", "run", name, "--scale", args.scale]
        words += ["--model", params["model"]]
        own = [w for k, v in changes.items() if k != "model" for w in ("--set", f"{k}={json.dumps(v)}")]
        seeds = seeds_of(experiment, params)
        mine = [Job(name, f"seed {seed}", [*words, *own, "--part", str(seed)]) for seed in seeds]
        commit = ["--commit"] * args.commit + ["--force-commit"] * args.force_commit
        found += [*mine, Job(name, "whole", [*words, *own, *commit], mine)]
    return found


def run(jobs: list[Job], at_once: int, say: Callable[[str], None]) -> int:
    """Run them, ``at_once`` at a time; 0 if all whole runs ended well. A failed part is said, and done again by the whole."""
    threads = max(1, (os.cpu_count() or 1) // at_once)
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
    waiting, running, done, failed = list(jobs), list[Job](), 0, 0
    try:
        while waiting or running:
            for job in [j for j in waiting if all(w.ended() for w in j.waits_for)][: at_once - len(running)]:
                waiting.remove(job)
                job.begin(environment)
                running.append(job)
            for job in [j for j in running if j.ended()]:
                running.remove(job)
                done, outcome = done + 1, job.outcome()
                took = time.monotonic() - job.start
                say(f"[{done}/{len(jobs)}] {job.name}, {job.told}: {outcome} ({took:.0f} s)")
                failed += outcome != "done" and job.told == "whole"
            time.sleep(0.2)
    finally:
        for job in running:
            if job.process:
                job.process.terminate()
    return 1 if failed else 0
