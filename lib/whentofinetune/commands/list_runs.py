"""``tunewise list``: the experiments, what they ask, and which of their records exist."""

import argparse

from tunewise.record import Record
from whentofinetune import book_files, experiments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    claims = "also name the claims that each experiment tests"
    parser.add_argument("--claims", action="store_true", help=claims)


def main(args: argparse.Namespace) -> int:
    """Print each experiment with its records, and the command that makes each missing one."""
    for name in experiments.NAMES:
        experiment = experiments.get(name)
        claims = f" ({', '.join(experiment.claims)})" if args.claims else ""
        print(f"{name}: {experiment.question}{claims}")
        models = {scale: params["model"] for scale, params in experiment.scales.items()}
        for scale, model in models.items():
            paths = sorted((book_files.data_dir() / "runs").glob(f"*/{name}.{scale}.json"))
            records = [Record.read(path) for path in paths]
            for r in records:
                minutes = f"{r.duration_s / 60:.0f} min of computing"
                print(f"  {scale:7} recorded {r.date}, {r.model}, {r.device}, {minutes}")
            if model not in ("", *(r.model for r in records)) or not records:
                missing = "not yet measured" if scale in ("full", "gpu") else "run it"
                print(f"  {scale:7} {missing}: tunewise run {name} --scale {scale}")
    return 0
