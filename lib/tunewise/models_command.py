"""``tunewise models``: the models by name, which of them are here, what they take, and where they come from."""

import argparse

from tunewise.models import registry
from tunewise.models.download import fetch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    told = "download these models now, and convert them: names from the list, ids on the Hub"
    parser.add_argument("--fetch", metavar="NAME", nargs="+", default=[], help=told)


def main(args: argparse.Namespace) -> int:
    """Print the table; 0, or 2 for a name that is not known."""
    import torch

    from tunewise.models.device import choose
    from tunewise.models.load import model_folder, place

    try:
        wanted = [registry.get(name) for name in args.fetch]
    except ValueError as error:
        print(f"tunewise models: {error}")
        return 2
    for spec in wanted:
        if spec.kind == "embedding" and spec.wheel:
            fetch(spec.wheel)
        else:
            model_folder(spec)
    named = {spec.name: spec for spec in wanted}
    print(f"{'name':20} {'parameters':>10} {'on disk':>8} {'memory':>8}  from")
    for spec in (registry.MODELS | named).values():
        folder = place(spec)
        disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder else 0
        dtype = choose(parameters=spec.parameters).dtype
        memory = spec.parameters * torch.empty((), dtype=dtype).element_size()
        held = _gigabytes(disk) if folder else "not here"
        size = f"{spec.parameters / 1e6:>9,.0f}M {held:>8} {_gigabytes(memory):>8}"
        print(f"{spec.name:20} {size}  {_source(spec)}")
    print("\nMemory: the weights alone, in the number format that this machine would use.")
    print("Fetched when first used, or now with --fetch NAME. Any id on the Hub or folder will do as well.")
    return 0


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB"


def _source(spec: registry.Spec) -> str:
    if spec.file:
        first = spec.file.parts[0]
        parts = f"{first.project} to {len(spec.file.parts)}, {first.version}"
        return f"{spec.file.hub} on the Hub, or PyPI: {parts}"
    if spec.wheel:
        return f"PyPI: {spec.wheel.project} {spec.wheel.version}"
    return f"{spec.hub} on the Hub" + (", gated" if spec.gated else "")
