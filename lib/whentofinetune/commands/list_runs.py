"""``tunewise list``: the experiments, what they ask, and which of their records exist."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--claims", action="store_true", help="also name the claims that each experiment tests"
    )


def main(args: argparse.Namespace) -> int:
    from whentofinetune import experiments
    from whentofinetune.book_records import SCALES, RunRecord, committed

    for name in experiments.NAMES:
        try:
            experiment = experiments.get(name)
        except ImportError:  # without torch nothing can be run, but the records that there are can be named
            print(name)
            scales = SCALES
        else:
            print(
                f"{name}: {experiment.question}"
                + (f" ({', '.join(experiment.claims)})" if args.claims else "")
            )
            scales = experiment.scales
        for scale in scales:
            path = committed(name, scale)
            if path.exists():
                record = RunRecord.read(path)
                print(
                    f"  {scale:7} recorded {record.date}, {record.device}, {record.duration_s / 60:.0f} min of computing"
                )
            elif scale in ("full", "gpu"):
                print(f"  {scale:7} not yet measured: tunewise run {name} --scale {scale}")
            else:
                print(f"  {scale:7} run it: tunewise run {name} --scale {scale}")
    return 0
