"""Arms that answer from the user's documents: search and a reader, as it is or after RAG fine-tuning. All is chosen on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tunewise import rag
from tunewise.compare import documents_folder, documents_index
from tunewise.compare.arms import tuned as tuning
from tunewise.compare.arms.prompts import model_bytes
from tunewise.compare.arms.training_runs import as_one, attempts, other_seeds, some
from tunewise.compare.base import ArmResult, Cost, Item
from tunewise.compare.documents_reader import KeptReader, LocalReader
from tunewise.compare.documents_report import K
from tunewise.compare.workbench import Arm, Workbench
from tunewise.compare.writing import CHOICE, Writer, first_answer
from tunewise.retrieval import HOWS, Retriever
from tunewise.step_cache import digest
from tunewise.written_answers import contains

if TYPE_CHECKING:
    from tunewise.finetune import Recipe

TITLES = {
    "rag": "Search in your documents, and the model reads",
    "rag_tuned": "Search, and the model fine-tuned to read (after RAFT)",
}
PASSAGE = 120  # tokens, roughly


def arms(bench: Workbench) -> list[Arm]:
    """None without documents, or where no short answers are asked for."""
    docs = bench.settings.docs
    if docs is None or bench.data.kind != "answers":
        return []
    test, valid, train = len(bench.data.test), min(CHOICE, len(bench.data.valid)), len(bench.train)

    def inputs() -> str:
        return digest(Library(bench).texts)

    def passages(questions: int) -> float:
        return (
            2 * questions * (PASSAGE / 30)
        )  # about two passages a question, each as long as so many short texts

    plain = Arm(
        "rag", TITLES["rag"], "retrieval", rag_arm, lambda pace: pace.reading(passages(test)), inputs=inputs
    )
    more, (short, long) = bench.settings.runs - 1, tuning.passes(2 * train)
    seen = 2 * train * (short + (1 + more) * long) * PASSAGE / 30
    asked = (1 + more) * test + (2 + more) * valid
    trained = Arm(
        "rag_tuned",
        TITLES["rag_tuned"],
        "tuned",
        rag_tuned,
        lambda pace: pace.training(seen) + pace.reading(passages(asked)),
        disk=60_000_000,
        inputs=inputs,
    )
    return [plain, trained]


@dataclass
class Library:
    """The documents as an arm uses them."""

    bench: Workbench

    @cached_property
    def texts(self) -> list[str]:
        """All passages."""
        docs = self.bench.settings.docs
        assert docs is not None
        found = documents_folder.read_folder(docs, read=documents_index.remembered)
        return [passage.full for passage in found.passages]

    @cached_property
    def found(self) -> Mapping[str, Mapping[str, list[int]]]:
        """Search method -> item -> places of the passages found, the best first."""
        items = [*self.bench.train, *self.bench.data.valid, *self.bench.data.test]
        places = {}
        for how in HOWS:
            retriever = Retriever(self.texts, self.bench.embed, how)
            hits = retriever.search([i.text for i in items], K)
            retriever.close()
            places[how] = {i.id: [h.index for h in some] for i, some in zip(items, hits, strict=True)}
        return places

    def shown(self, how: str, item: Item) -> list[str]:
        """The passages found for an item."""
        return [self.texts[place] for place in self.found[how][item.id]]

    def trials(self) -> list[dict[str, Any]]:
        """How often each method finds a passage that holds a right answer word for word, on validation."""
        return [
            {"search": how, "score": float(np.mean([self.holds(how, i) for i in self.bench.data.valid]))}
            for how in HOWS
        ]

    def holds(self, how: str, item: Item) -> bool:
        """Is a right answer in a passage that was found?"""
        return any(contains(text, [first_answer(item)]) for text in self.shown(how, item))

    def answers(
        self, reader: LocalReader, how: str, items: Sequence[Item], key: str = ""
    ) -> tuple[list[str], Cost]:
        """What the reader answers (``not stated`` where it reads nothing), and what a call costs."""
        bench = self.bench
        kept = KeptReader(reader, bench.cache, key or str(bench.ctx.ingredients), bench.on_time)
        replies = kept.answers(
            [self.bench.shorten(i.text) for i in items], [self.shown(how, i) for i in items]
        )
        n = len(items)
        read, written, memory = kept.tokens_read / n, kept.tokens_written / n, model_bytes(reader.lm)
        cost = Cost(0, 0.0, kept.seconds / n, read, written, memory)
        return [reply.text or rag.ABSTENTION for reply in replies], cost


def rag_arm(bench: Workbench) -> ArmResult:
    """Search by the method that finds most on validation; the model reads what it found."""
    library, writer = Library(bench), Writer(bench)
    trials = library.trials()
    best = max(trials, key=lambda t: (t["score"], t["search"] == "hybrid"))
    reader = LocalReader(bench.settings.model, bench.ctx.lm)
    said, cost = library.answers(reader, best["search"], bench.data.test)
    settings = {"search": best["search"], "passages": K}
    return writer.result(
        ("rag", TITLES["rag"], "retrieval"), settings, said, cost, trials=trials, notes=_notes(best)
    )


def rag_tuned(bench: Workbench) -> ArmResult:
    """The reader after training on passages that hold the answer and on near ones that do not (after RAFT, Zhang et al. 2024, arXiv 2403.10131)."""
    library, writer = Library(bench), Writer(bench)
    found = max(library.trials(), key=lambda t: (t["score"], t["search"] == "hybrid"))
    how = found["search"]
    reader = LocalReader(bench.settings.model, bench.ctx.lm)
    prefix, pairs = _pairs(reader, library, how)
    valid, metric = bench.data.valid[:CHOICE], bench.data.metric

    def asked(recipe: Recipe, items: Sequence[Item]) -> tuple[list[str], Cost]:
        with bench.adapter(pairs, recipe, prefix) as trained:
            said, cost = library.answers(LocalReader(reader.name, trained), how, items, trained.key)
        return said, replace(cost, labels=len(bench.train), train_seconds=trained.seconds)

    def tried(recipe: Recipe) -> tuple[float, float]:
        said, cost = asked(recipe, valid)
        return float(np.mean(writer.outcomes(valid, said)[metric])), cost.train_seconds

    notes = _notes(found)
    trials = some(attempts(tuning.recipes(len(pairs), bench.settings.seed), tried, notes), notes)
    best, reached = max(trials, key=lambda trial: trial[1][0])
    runs = [(best, reached), *attempts(other_seeds(best, bench.settings.runs), tried, notes)]
    kept = int(np.argmax([score for _, (score, _) in runs]))
    shown = [
        {"epochs": r.epochs, "learning_rate": r.learning_rate, "score": score} for r, (score, _) in trials
    ]
    settings = {"search": how, "passages": K, "epochs": best.epochs, "learning_rate": best.learning_rate}
    arm, results = ("rag_tuned", TITLES["rag_tuned"], "tuned"), []
    for recipe, _ in runs:
        said, cost = asked(recipe, bench.data.test)
        cost = replace(cost, train_seconds=sum(seconds for _, (_, seconds) in trials))
        results.append(writer.result(arm, settings, said, cost, trials=shown, notes=notes))
    return as_one(results, kept, metric)


def _pairs(reader: LocalReader, library: Library, how: str) -> tuple[str, list[tuple[str, str]]]:
    """What all prompts begin with, and for each training question a passage with its answer and a near one without it."""
    prefix, pairs = "", []
    for item in library.bench.train:
        right, shown = first_answer(item), library.shown(how, item)
        holding = [text for text in shown if contains(text, [right])]
        others = [text for text in shown if not contains(text, [right])]
        for text, wanted in ((holding, right), (others, rag.ABSTENTION)):
            if text:
                prefix, asked = reader.prompt(library.bench.shorten(item.text), text[0])
                pairs.append((asked, f"{reader.gap}{wanted}"))
    if not pairs:
        raise ValueError("the search found no passage for any training question: nothing to train on")
    return prefix, pairs


def _notes(best: Mapping[str, Any]) -> list[str]:
    return [
        f"a passage that holds the answer word for word was among {K} for {best['score']:.0%} of the validation questions"
    ]
