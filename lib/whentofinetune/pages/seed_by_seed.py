"""Training runs one by one, where their mean would hide that some learned nothing."""

from tunewise import report as rp
from tunewise.comparison import Rows
from tunewise.words import counted


def trainings(rows: Rows, constant: float, metric: str = "accuracy") -> str:
    """How many training runs, one a row, are clearly better than a constant answer, and the score of each.

    Clearly: the run's own interval lies above ``constant``, the share that one and the same answer to all items would get.
    """
    found = [row.metric(metric) for row in rows]
    above = sum(m["low"] > constant for m in found)
    each = ", ".join(rp.pct(m["value"]) for m in found)
    verb = "ends" if above == 1 else "end"
    return f"{above} of {counted(len(found), 'training run')} {verb} clearly above a constant answer (one by one: {each})"
