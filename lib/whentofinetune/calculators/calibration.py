"""What contextual calibration does to the answers of the bundled model, from saved label scores (C26). Standard library only.

The same arithmetic as :func:`tunewise.prompting.calibrate`, on ``data/pieces/label_scores.json``.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from whentofinetune.calculators import read
from whentofinetune.calculators.cost import Settings
from whentofinetune.calculators.items_needed import wilson

EXAMPLES = [0, 1, 4, 8, 16]
TAKEN = "The share of the prompt's leaning that is divided out. 0 % is off, 100 % is contextual calibration."


@dataclass(frozen=True)
class Calibrating(Settings):
    """examples: in the prompt. taken: how much of the leaning is divided out, in per cent; 100 is contextual calibration."""

    examples: int = 8
    taken: float = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.examples not in EXAMPLES:
            raise ValueError(f"scores are saved for {EXAMPLES} examples, not for {self.examples:g}")
        if self.taken > 100:
            raise ValueError(f"between 0 and 100 % of the leaning can be divided out; not {self.taken:g} %")


def among(logs: Sequence[float]) -> list[float]:
    """Log-probabilities of the labels among themselves."""
    top = max(logs)
    total = top + math.log(math.fsum(math.exp(x - top) for x in logs))
    return [x - total for x in logs]


def leaning(empty: Sequence[Sequence[float]]) -> list[float]:
    """What the prompt says of texts without content, as log-probabilities: the mean of their probabilities."""
    shares = [[math.exp(x) for x in among(logs)] for logs in empty]
    return [math.log(math.fsum(of_label) / len(empty)) for of_label in zip(*shares, strict=True)]


def answers(scores: Sequence[Sequence[float]], bias: Sequence[float], share: float) -> list[int]:
    """The label that each text gets, when ``share`` of the leaning is divided out."""
    moved = ([x - share * b for x, b in zip(logs, bias, strict=True)] for logs in scores)
    return [logs.index(max(logs)) for logs in moved]


def calibration_json(settings: str) -> str:
    """The piece's front: a JSON object of settings in, ``{"figures", "text"}`` out."""
    s, saved = Calibrating.from_dict(json.loads(settings)), read("label_scores")
    labels, truth, k = saved["labels"], saved["truth"], str(s.examples)
    bias = leaning(saved["empty"][k])
    given = {"as scored": answers(saved["scores"][k], bias, 0)}
    if s.taken:
        name = "calibrated" if s.taken == 100 else f"{s.taken:g} % calibrated"
        given[name] = answers(saved["scores"][k], bias, s.taken / 100)
    n = len(truth)
    shares = {name: [Counter(a)[y] / n for y in range(len(labels))] for name, a in given.items()}
    shares["truth"] = [Counter(truth)[y] / n for y in range(len(labels))]
    leans = ", ".join(f"{label} {100 * math.exp(b):.0f} %" for label, b in zip(labels, bias, strict=True))
    lines = [f"After {s.examples} examples the prompt says of a text without content: {leans}."]
    for name, found in given.items():
        right = sum(a == t for a, t in zip(found, truth, strict=True)) / n
        low, high = wilson(right, n)
        lines.append(
            f"Right, {name}: {100 * right:.0f} % of {n} test tweets (95 % interval {100 * low:.0f} % to {100 * high:.0f} %)."
        )
    return json.dumps({"figures": [_figure(labels, shares, k)], "text": "\n".join(lines)})


def _figure(labels: list[str], shares: dict[str, list[float]], k: str) -> dict:
    patterns = dict(zip(shares, ("", "/", "."), strict=False)) | {"truth": "."}
    data = [
        dict(type="bar", name=name, x=labels, y=values, hovertemplate="%{x}: %{y:.0%}")
        | dict(marker={"pattern": {"shape": patterns[name], "fgcolor": "#ffffff", "fillmode": "overlay"}})
        for name, values in shares.items()
    ]
    y = {"title": {"text": "share of the answers"}, "tickformat": ".0%", "range": [0, 1]}
    layout = dict(title={"text": f"Which label the answers get, {k} examples"}, barmode="group", yaxis=y)
    said = (
        f"{name}: {', '.join(f'{label} {100 * v:.0f} %' for label, v in zip(labels, values, strict=True))}"
        for name, values in shares.items()
    )
    return {"data": data, "layout": layout, "alt": f"Bars. {'; '.join(said)}."}


CONTROLS = [
    dict(name="examples", label="Examples in the prompt", kind="select", options=EXAMPLES, value=8),
    dict(name="taken", label="Calibration", kind="range", min=0, max=100, step=10, value=0, unit="%")
    | dict(help=TAKEN),
]
