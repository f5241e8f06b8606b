"""``tunewise list``: the experiments, what they ask, and which of their records exist."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--claims", action="store_true", help="also name the claims that each experiment tests")


def main(args: argparse.Namespace) -> int:
    from tunewise import experiments
    from tunewise.runs import RunRecord, committed

    for name in experiments.NAMES:
        experiment = experiments.get(name)
        print(f"{name}: {experiment.question}" + (f" ({', '.join(experiment.claims)})" if args.claims else ""))
        for scale in experiment.scales:
            path = committed(name, scale)
            if path.exists():
                record = RunRecord.read(path)
                print(f"  {scale:7} recorded {record.date}, {record.device}, {record.duration_s / 60:.0f} min of computing")
            elif scale in ("full", "gpu"):
                print(f"  {scale:7} not yet measured: tunewise run {name} --scale {scale}")
            else:
                print(f"  {scale:7} run it: tunewise run {name} --scale {scale}")
    return 0
