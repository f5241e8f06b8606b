"""What all arms of a comparison work with: the data, the model, what was computed before, and the time that is left."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from tunewise.compare.artefact import Artefact
from tunewise.compare.base import TEXT_TOKENS, ArmResult, Cost, Item, OwnData, Settings
from tunewise.data import Task
from tunewise.experiment import Context, context
from tunewise.step_cache import StepCache, digest

# Raise it when an arm changes so that results do: what was kept before is then not found any more.
VERSION = 4
NO_CHANCE = 1e-9  # the probability of a label that training had no text of
CHUNK = 64  # texts that are scored or embedded before they are kept


class BudgetSpent(Exception):
    """The time that the user gave is over; what was computed so far is kept."""


@dataclass(frozen=True)
class Pace:
    """How fast this machine is, by a short trial: ``tokens_a_second`` read by the model, ``text_tokens`` of a mean prompt without examples."""

    tokens_a_second: float
    text_tokens: float

    def reading(self, texts: float) -> float:
        """Seconds to score so many texts (or prompts as long as so many texts)."""
        return texts * self.text_tokens / self.tokens_a_second

    def training(self, texts: float) -> float:
        """Seconds to train on so many texts, repeats counted: forward and back is almost three times the work."""
        return 2.7 * self.reading(texts)


@dataclass(frozen=True)
class Arm:
    """One step of a comparison.

    Parameters
    ----------
    name, title, family
        As in :class:`tunewise.compare.base.ArmResult`.
    evaluate
        Runs it on the test items; what it chooses, it chooses on the validation items.
    seconds
        What it is expected to take, from the machine's pace.
    disk
        Bytes that it keeps, roughly.
    needs_model
        Whether the language model must be loaded.
    inputs
        Gives what it rests on beside data, model, seed, balance and scorer, such as the user's prompt: anything JSON can hold.
    """

    name: str
    title: str
    family: str
    evaluate: Callable[[Workbench], ArmResult]
    seconds: Callable[[Pace], float]
    disk: int = 0
    needs_model: bool = True
    inputs: Callable[[], Any] = lambda: None

    @property
    def base_name(self) -> str:
        """The name without the number of labels of a learning curve."""
        return self.name.partition("@")[0]


@dataclass
class Workbench:
    """What an arm works with.

    Parameters
    ----------
    given
        A context with a model and an encoder, for who has them; else they are loaded when they are first asked for.
    deadline
        On the clock of ``time.perf_counter``, when the budget is spent; None without one.
    key
        What the result of the arm at work is kept under, and what it leaves.
    embedding_seconds
        Mean seconds to embed a text, of all that were embedded.
    tick
        Called between steps of an arm, for who shows progress.
    """

    data: OwnData
    settings: Settings
    say: Callable[[str], None]
    given: Context | None = None
    deadline: float | None = None
    key: str = ""
    embedding_seconds: float = 0.0
    tick: Callable[[], None] = lambda: None
    _vectors: dict[str, np.ndarray] = field(default_factory=dict)
    _short: dict[str, str] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    lost: set[str] = field(
        default_factory=set
    )  # arms whose folder could not be written: they are evaluated again

    @cached_property
    def ctx(self) -> Context:
        """The language model, and the adapters that were trained on it."""
        return self.given or context({"model": self.settings.model}, fresh=self.settings.fresh, say=self.say)

    def on_time(self) -> None:
        """Called between steps of an arm. Raises BudgetSpent when the time is over."""
        self.tick()
        if self.deadline is not None and time.perf_counter() > self.deadline:
            raise BudgetSpent

    def adapter(
        self, pairs: Sequence[tuple[str, str]], recipe: Any, prefix: str = ""
    ) -> contextlib.AbstractContextManager[Any]:
        """The model after training, as :meth:`tunewise.experiment.Context.adapter` gives it."""
        return self.ctx.adapter(pairs, recipe, prefix, each_step=self.on_time)

    @cached_property
    def cache(self) -> StepCache:
        """What was computed before, in this run or an earlier one, unless all is to be computed anew."""
        return StepCache(fresh=self.settings.fresh, say=self.say)

    @cached_property
    def encoder(self) -> Any:
        """The sentence encoder."""
        if self.given:
            return self.given.encoder
        from tunewise.models.encoder import Encoder

        return Encoder()

    @property
    def encoder_revision(self) -> str:
        """Which version of the encoder it is; empty for one that is none of the registry."""
        return getattr(getattr(self.encoder, "spec", None), "revision", "")

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.data)

    def key_of(self, arm: Arm) -> str:
        """What the result of an arm is kept under: a hash of all that it rests on."""
        asked = self.settings
        path, _, function = (asked.scorer or "").rpartition(":")
        scorer = [Path(path).read_text(encoding="utf-8", errors="replace"), function] if path else None
        model = self.ctx.ingredients if arm.needs_model else None
        rests_on = [self._fingerprint, asked.seed, asked.balanced, asked.runs, scorer, model, arm.inputs()]
        return digest(["arm and folder", VERSION, arm.name, *rests_on])

    def results(self, key: str) -> list[dict[str, Any]]:
        """The results that are kept under ``key`` and whose folder is still there."""
        kept = self.cache.find(key)
        return [one for one in kept if one["artefact"] is None or Path(one["artefact"]).exists()]

    def begun(self, key: str) -> bool:
        """Whether the arm whose result belongs under ``key`` was begun, so that steps of it may be kept."""
        return bool(self.cache.find(digest(["begun", key])))

    def begin(self, key: str) -> None:
        """From now on the arm is at work whose result belongs under ``key``."""
        self.key = key
        if not self.begun(key):
            self.cache.keep(digest(["begun", key]), {})

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels; what the arms predict are places in this list."""
        return self.data.labels

    def y(self, items: Sequence[Item]) -> list[int]:
        """The place of each item's label."""
        place = {label: i for i, label in enumerate(self.labels)}
        return [place[item.target or ""] for item in items]

    def of_all_labels(self, found: np.ndarray, places: Sequence[int]) -> np.ndarray:
        """Log-probabilities of the labels at ``places`` [n, places] as those of all [n, labels]: one that training had no text of gets next
        to none."""
        filled = np.full((len(found), len(self.labels)), np.log(NO_CHANCE))
        filled[:, places] = found
        return filled

    @cached_property
    def train(self) -> tuple[Item, ...]:
        """The training items, those that come first in every smaller draw first; as many of each label where the user wants it so.

        By a hash of each text, so that rows that are added leave the others in their order.
        """
        of: dict[str, list[Item]] = defaultdict(list)
        for item in sorted(self.data.train, key=lambda i: hashlib.sha256(i.id.encode()).hexdigest()):
            of[item.target or ""].append(item)
        if self.settings.balanced and self.data.kind == "classification":
            of = defaultdict(
                list, {label: group[: min(map(len, of.values()))] for label, group in of.items()}
            )
        ranked = [(rank / len(group), item) for group in of.values() for rank, item in enumerate(group)]
        return tuple(item for _, item in sorted(ranked, key=lambda pair: pair[0]))

    def draw(self, n: int | None) -> list[Item]:
        """The first ``n`` training items (all for None): of each label its share, and one at least where n allows."""
        return list(self.train[:n])

    def points(self) -> list[int]:
        """The numbers of labels of the learning curve below all: a quarter and a half, where there are two a label."""
        n, least = len(self.train), 2 * max(1, len(self.labels))
        return [part for part in (n // 4, n // 2) if part >= least]

    def shorten(self, text: str) -> str:
        """``text``, or its beginning where it is too long for a prompt."""
        if len(text) * 3 <= TEXT_TOKENS:  # no character takes more than three tokens or so
            return text
        if text not in self._short:
            from tunewise.models.packing import encode

            tokenizer = self.ctx.lm.tokenizer
            ids = encode(tokenizer, text[: 20 * TEXT_TOKENS])
            long = len(ids) > TEXT_TOKENS or len(text) > 20 * TEXT_TOKENS
            self._short[text] = tokenizer.decode(ids[:TEXT_TOKENS]) if long else text
            if long:
                self.cut.add(text)
        return self._short[text]

    @cached_property
    def task(self) -> Task:
        """The labels as prompts know them."""
        from tunewise.control_tokens import inert

        return Task("own", tuple(inert(label) for label in self.labels), (), (), ())

    def once(
        self,
        made_of: Sequence[Any],
        texts: Sequence[str],
        compute: Callable[[list[str]], Sequence[Any]],
        size: int = CHUNK,
    ) -> tuple[list[Any], float]:
        """What ``compute`` gives for each text, as JSON can hold it, and mean seconds a text.

        Each text is computed once for the same ``made_of``, in parts of ``size``, of which each is kept in a file of its own.
        """
        known: dict[str, Any] = {}
        seconds, number = 0.0, 0
        while chunks := self.cache.find(digest([VERSION, made_of, number])):
            for chunk in chunks:
                known |= chunk["texts"]
                seconds += chunk["seconds"]
            number += 1
        names = [_name(text) for text in texts]
        missing = {name: text for name, text in zip(names, texts, strict=True) if name not in known}
        for first in range(0, len(missing), size):
            self.on_time()
            part, start = list(missing)[first : first + size], time.perf_counter()
            found = dict(zip(part, compute([missing[name] for name in part]), strict=True))
            took = time.perf_counter() - start
            self.cache.keep(digest([VERSION, made_of, number]), {"texts": found, "seconds": took})
            known |= found
            seconds, number = seconds + took, number + 1
        return [known[name] for name in names], seconds / max(1, len(known))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Sentence embeddings, float32 [n, 384]; each text of a data set is computed once and kept."""

        def encoded(part: list[str]) -> list[str]:
            return [
                base64.b64encode(v.astype(np.float32).tobytes()).decode() for v in self.encoder.encode(part)
            ]

        if new := [text for text in texts if text not in self._vectors]:
            made_of = ["embeddings", self.encoder_revision, self.data.name]
            held, self.embedding_seconds = self.once(made_of, new, encoded, 4 * CHUNK)
            vectors = (np.frombuffer(base64.b64decode(one), dtype=np.float32) for one in held)
            self._vectors |= zip(new, vectors, strict=True)
        return np.stack([self._vectors[text] for text in texts])

    def end(self, answers: Sequence[str], end: str) -> str:
        """``end`` where one answer's tokens begin another's (bug, bug report): with nothing after them, the longer could never win. Else nothing."""
        from tunewise.models.packing import encode

        ids = sorted(encode(self.ctx.lm.tokenizer, answer) for answer in answers)
        return end if any(b[: len(a)] == a for a, b in itertools.pairwise(ids)) else ""

    def scores(
        self, prefix: str, queries: Sequence[str], answers: Sequence[str], end: str = "", *, tuned: Any = None
    ) -> tuple[np.ndarray, float]:
        """Log-probability of each answer after each prompt, float64 [n, m], and mean seconds a prompt; each is computed once and kept.

        end: what follows an answer, scored with it where :meth:`end` says so. tuned: what :meth:`adapter` gave; None for the model as it is.
        """
        from tunewise.scoring import label_logprobs

        end = self.end(answers, end)
        answers = [answer + end for answer in answers]

        def scored(part: list[str]) -> list[list[float]]:
            found: list[list[float]] = label_logprobs(tuned or self.ctx.lm, prefix, part, answers).tolist()
            return found

        made_of = ["scores", self.ctx.ingredients, tuned.key if tuned else "", prefix, answers]
        rows, seconds = self.once(made_of, queries, scored)
        return np.array(rows).reshape(len(queries), len(answers)), seconds

    def classified(
        self,
        arm: tuple[str, str, str],
        scores: np.ndarray,
        *,
        settings: Mapping[str, Any],
        cost: Cost,
        trials: Sequence[Mapping[str, Any]] = (),
        notes: Sequence[str] = (),
        artefact: Path | None = None,
    ) -> ArmResult:
        """The result of an arm (name, title, family) that gave the test items log-probabilities [n, labels]."""
        best = scores.argmax(axis=1)
        probability = softmax(scores, axis=1).max(axis=1)
        right = [float(p == y) for p, y in zip(best, self.y(self.data.test), strict=True)]
        return ArmResult(
            *arm,
            settings=settings,
            predictions=[self.labels[p] for p in best],
            outcomes={"accuracy": right},
            cost=cost,
            confidences=[float(p) for p in probability],
            trials=trials,
            notes=notes,
            artefact=artefact,
        )

    def leave(self, name: str, made: Artefact, **parts: Any) -> Path | None:
        """The folder with what an arm's users need; None where it cannot be written, which is said and costs no result."""
        folder = self.cache.folder.parent / "arms" / digest([name, self.key])
        from safetensors import SafetensorError

        try:
            return made.save(folder, **parts)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            self.lost.add(name)
            why = getattr(error, "strerror", None) or error
            self.say(f"  {name}: what its users need could not be kept in {folder} ({why})")
            return None


def fingerprint(data: OwnData) -> str:
    """SHA-256 of all items, their splits, and what the label column is called: prompts name it."""
    splits = [[[i.id, i.text, i.target] for i in part] for part in (data.train, data.valid, data.test)]
    return digest(
        [data.columns.kind, data.columns.target, list(data.labels), data.metric, data.schema, splits]
    )


def accuracy(scores: np.ndarray, y: Sequence[int]) -> float:
    """Share of rows [n, labels] whose highest score is the right one."""
    return float(np.mean(scores.argmax(axis=1) == np.asarray(y)))


def log_loss(scores: np.ndarray, y: Sequence[int]) -> float:
    """Mean negative log-probability of the right label (nats): parts settings of equal accuracy."""
    return -float(np.mean(log_softmax(scores, axis=1)[np.arange(len(y)), list(y)]))


def _name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
