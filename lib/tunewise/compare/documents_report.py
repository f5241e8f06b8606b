"""What an evaluation on own documents found: its rows, and what they say, for a terminal, a page and a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunewise.compare.documents_formats import visible
from tunewise.compare.html_report import rendered

K = 4  # passages that the reader is given
AMONG_K, RANK = f"right passage among {K}", "mean reciprocal rank"
ALL_RIGHT = "right, of all with an answer"
FOUND_RIGHT = "right, where the passage was found"
GIVEN_RIGHT = "right, with the right passage given"
REMEDIES = {
    "search": "the right passage is often not found; split or title the documents better, or ask with their words",
    "reader": "it often answers wrongly with the right passage before it; take a larger model (--model) or an endpoint",
}


@dataclass(frozen=True)
class Row:
    """One measured thing: ``value`` over the ``n`` test questions that it concerns, with its 95 % interval."""

    name: str
    metric: str
    value: float
    low: float
    high: float
    n: int


@dataclass
class DocumentsReport:
    """What came out.

    Parameters
    ----------
    how, threshold
        The search method and the least similarity that were chosen.
    answers
        A dictionary a test question: row, question, right, found (places), outcomes and answers with found and with given passage.
    """

    how: str
    threshold: float
    reader: str
    rows: list[Row]
    notes: list[str]
    answers: list[dict[str, Any]]
    margin: float
    need: float | None

    def row(self, name: str, metric: str) -> Row:
        """One row. KeyError where it was not measured."""
        for row in self.rows:
            if (row.name, row.metric) == (name, metric):
                return row
        raise KeyError(f"no {metric} of {name}")

    @property
    def decided(self) -> bool:
        """Whether it is known that the need is met or missed; always, where none was named."""
        met = self.row("answers", ALL_RIGHT)
        return self.need is None or not met.low < self.need <= met.high

    @property
    def verdict(self) -> list[str]:
        """What limits the answers, and what to do, in sentences."""
        overall = self.row("answers", ALL_RIGHT)
        lines = [
            f"{self.reader} with {self.how} search answers {_percent(overall.value)} rightly "
            f"[{_percent(overall.low)}, {_percent(overall.high)}], n = {overall.n}."
        ]
        if self.need is not None:
            missed = "is missed" if overall.high < self.need else "is met"
            told = missed if self.decided else "may be met or missed: more questions would tell"
            lines.append(f"The need of {_percent(self.need)} {told}.")
        measured = {(row.name, row.metric): row for row in self.rows}
        parts = {"search": (f"search, {self.how}", AMONG_K), "reader": ("answers", GIVEN_RIGHT)}
        lost = {part: 1 - measured[key].value for part, key in parts.items() if key in measured}
        worst = max(lost, key=lambda part: lost[part], default=None)
        if worst and lost[worst] > self.margin:
            lines.append(f"What limits it most is the {worst}: {REMEDIES[worst]}.")
        told = f"--how {self.how} --threshold {self.threshold}"
        return [*lines, f'To ask as measured: tunewise ask {told} --docs FOLDER "question"']

    @property
    def text(self) -> str:
        """For a terminal."""
        wide = max(len(f"{r.name}: {r.metric}") for r in self.rows)
        lines = [
            f"{f'{r.name}: {r.metric}':<{wide}}  {_shown(r):>5}  [{_percent(r.low)}, {_percent(r.high)}]  n = {r.n}"
            for r in self.rows
        ]
        return visible("\n".join([*self.verdict, "", *lines, *(f"note: {note}" for note in self.notes)]))

    @property
    def html(self) -> str:
        """For a notebook: one element with its own style; all that came from the user is escaped."""
        return self._rendered(whole=False)

    @property
    def page(self) -> str:
        """The same as a page that needs no other file."""
        return self._rendered(whole=True)

    def _rendered(self, whole: bool) -> str:
        rows = [
            (f"{r.name}: {r.metric}", _shown(r), f"{_percent(r.low)} to {_percent(r.high)}", r.n)
            for r in self.rows
        ]
        return rendered("documents.html.jinja", whole=whole, found=self, rows=rows)

    def _repr_html_(self) -> str:
        return self.html

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return vars(self) | {"verdict": self.verdict, "rows": [vars(row) for row in self.rows]}


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _shown(row: Row) -> str:
    return f"{row.value:.2f}" if row.metric == RANK else _percent(row.value)
