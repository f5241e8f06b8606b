"""What was measured or calculated for claims that no test decides: claim -> name -> metric or text.

Verdict boxes and the page of claims read it here. C8 is left out: its matrices are rounded in the chapter itself.
"""

from collections.abc import Callable, Mapping
from typing import Any

from whentofinetune.book_records import load
from whentofinetune.pages import accuracy, each_size, icl_figures, memory_figures, rag_figures
from whentofinetune.verdicts import title


def citations() -> dict[str, Any]:
    """C39, of the largest model measured."""
    *_, record = each_size.sizes("rag_citations").values()
    found = rag_figures.citations_measured(record)
    return {f"{what}, {title(record.model)}": metric for what, metric in found.items()}


MEASURED: Mapping[str, Callable[[], Mapping[str, Any]]] = {
    "C2": memory_figures.full_by_size,
    "C3": lambda: memory_figures.against_printed(load("memory_table")),
    "C4": lambda: memory_figures.cards(load("memory_table")),
    "C5": memory_figures.qlora_over_lora,
    "C28": lambda: icl_figures.latency_measured(load("prompt_cost")),
    "C37": lambda: accuracy.labels_measured(load("unwritten_rule")),
    "C39": citations,
    "C40": lambda: rag_figures.cost_measured(load("rag_cost")),
}
