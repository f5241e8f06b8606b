"""What an evaluation on own documents found: its rows, and what they say, for a terminal, a page and a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunewise.compare.html_report import rendered
from tunewise.compare.printable import visible
from tunewise.report.numbers import pct, plain
from tunewise.report.tables import Html, table, table_from_lists

K = 4  # passages that the reader is given
DEPTHS = (1, K, 10)  # among how many passages the right one is looked for
AMONG, RANK = "right passage among {}", "mean reciprocal rank"
ALL_RIGHT = "right, of all with an answer"
ALL_WRONG = "wrong, of all with an answer"
FOUND_RIGHT = "right, where the passage was found"
GIVEN_RIGHT = "right, with the right passage given"
GIVEN_WRONG = "wrong, with the right passage given"
GIVEN_REFUSED = "no answer, with the right passage given"
BETTER_SEARCH = "split or title the documents better, or ask with their words"
BETTER_READER = "take a larger model (--model) or an endpoint (--endpoint)"


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
    def met(self) -> bool:
        """Whether the need is surely met; always, where none was named."""
        return self.need is None or self.row("answers", ALL_RIGHT).low >= self.need

    @property
    def verdict(self) -> list[str]:
        """What limits the answers, and what to do, in sentences."""
        overall = self.row("answers", ALL_RIGHT)
        share = f"{pct(vars(overall), n=False)} of {overall.n} questions"
        lines = [f"{self.reader} with {self.how} search answers {share} rightly."]
        if self.need is not None:
            missed = "is missed" if overall.high < self.need else "is met"
            told = missed if self.decided else "may be met or missed: more questions would tell"
            lines.append(f"The need of {pct(self.need)} {told}.")
        lines += self._limit()
        told = f"--how {self.how} --threshold {self.threshold}"
        return [*lines, f'To ask as measured: tunewise ask {told} --docs FOLDER "question"']

    def _limit(self) -> list[str]:
        """What loses most, where it loses more than the margin: the search, the reader, or the other passages beside the right one."""
        measured = {(row.name, row.metric): row.value for row in self.rows}
        found = measured.get((f"search, {self.how}", AMONG.format(K)), 1.0)
        right = measured.get(("answers", GIVEN_RIGHT), 1.0)
        beside = measured.get(("answers", FOUND_RIGHT), right)
        if max(1 - min(found, right), right - beside) <= self.margin:
            return []
        if right - beside > 1 - min(found, right):
            lost = f"with the right passage alone {pct(right)} are answered rightly, with all that was found {pct(beside)}"
            return [
                f"What limits it most is what stands beside the right passage: {lost}; ask with fewer passages (--k)."
            ]
        if found <= right:
            lost = f"the right passage is among the first {K} for {pct(found)} of the questions only"
            return [f"What limits it most is the search: {lost}; {BETTER_SEARCH}."]
        wrong, refused = (pct(measured["answers", metric]) for metric in (GIVEN_WRONG, GIVEN_REFUSED))
        lost = f"with the right passage before it, it answers {wrong} of the questions wrongly and {refused} not at all"
        return [f"What limits it most is the reader: {lost}; {BETTER_READER}."]

    @property
    def text(self) -> str:
        """For a terminal."""
        notes = [f"note: {note}" for note in self.notes]
        return visible(
            "\n\n".join(["\n".join(self.verdict), *(t.text for t in self.tables), "\n".join(notes)])
        )

    @property
    def tables(self) -> list[Html]:
        """Search and answers apart: of the search a row a method, of the answers a row a measured share."""
        searched: dict[str, dict[str, Any]] = {}
        answered = []
        for row in self.rows:
            kind, _, method = row.name.partition(", ")
            if kind == "search":
                searched.setdefault(method, {"search": method})[row.metric] = vars(row)
            else:
                answered.append([f"{row.name}: {row.metric}", vars(row)])
        heads = {"search": "search"} | {AMONG.format(k): f"first {k}" for k in DEPTHS} | {RANK: "MRR"}
        caption = "Search: is the right passage among the first? MRR: mean reciprocal rank, 1 where it always comes first"
        found = [table(list(searched.values()), caption, heads, show={RANK: plain})] if searched else []
        return [*found, table_from_lists(["", "share"], answered, "Answers: shares of the test questions")]

    @property
    def html(self) -> str:
        """For a notebook: one element with its own style; all that came from the user is escaped."""
        return self._rendered(whole=False)

    @property
    def page(self) -> str:
        """The same as a page that needs no other file."""
        return self._rendered(whole=True)

    def _rendered(self, whole: bool) -> str:
        return rendered("documents.html.jinja", whole=whole, found=self)

    def _repr_html_(self) -> str:
        return self.html

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return vars(self) | {"verdict": self.verdict, "rows": [vars(row) for row in self.rows]}
