"""Which option each case of the lab "Decide" leads to, by the lab's own solution: ``python book/lab_decisions.py``.

For markers: one line for each case, number of calls and price of a wrong answer, from the records as they are now.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import nbformat
import numpy as np
import yaml

from whentofinetune import book_files
from whentofinetune.labs import decide_lab

LAB = Path(__file__).resolve().parents[1] / "labs" / "lab_decide.ipynb"


class Drawn:
    """A student whose draws are given, in the order in which the lab draws."""

    def __init__(self, *draws: str | float) -> None:
        self.draws = iter(draws)

    def rng(self, part: str) -> Drawn:
        return self

    def choice(self, among: list) -> np.generic:
        drawn = next(self.draws)
        assert drawn in among
        return np.array(drawn)[()]


def decisions() -> Iterator[tuple[str, int, float, str]]:
    """(title of the case, calls a month, euro a wrong answer, what the lab's rule holds in the end)"""
    cells = [c.source for c in nbformat.read(LAB, 4).cells if c.source.startswith("# lab:dec-")]
    answers = [c for c in cells if not c.split("\n")[0].endswith(("-test", "-answers"))]
    cases = yaml.safe_load((book_files.data_dir() / "labs" / "decide_cases.yml").read_text(encoding="utf-8"))
    for name in sorted(cases):
        for calls, wrong_costs in product(cases[name]["calls"], cases[name]["wrong_costs"]):
            case = decide_lab.case(Drawn(name, calls, wrong_costs))
            lab = {"case": case}
            for source in answers:
                exec(source, lab)
            yield case.title, case.calls, case.wrong_costs, lab["decision"]


if __name__ == "__main__":
    print("case | calls a month | euro a wrong answer | decision")
    for title, calls, wrong_costs, decision in decisions():
        print(f"{title} | {calls:,} | {wrong_costs:.2f} | {decision}")
