"""The built-in classification tasks, made from the rated texts of :mod:`whentofinetune.datasets.vader`.

task = load_task("tweets")
task.test[0].text, task.labels[task.test[0].label]
"""

from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache

import numpy as np

from tunewise.data import Example, Task
from whentofinetune.book_files import read_yaml
from whentofinetune.datasets import drawn, vader

_TASKS = read_yaml("tasks.yml")["built_in"]
TASKS = tuple(_TASKS)
ABOUT = {name: task["about"] for name, task in _TASKS.items()}  # what a figure calls each task


@lru_cache(maxsize=16)
def load_task(name: str, seed: int = 0) -> Task:
    """A built-in task: ``tweets``, ``products``, ``films``, ``news`` (positive, neutral, negative), ``tweets-polarity``,
    ``tweets-subjectivity`` or ``domain``.

    100 test and 50 validation examples of each label; training takes as many of each as the rarest label has. ``seed`` draws other
    splits. Tasks from one source with one seed share its splits: no training text of one is a test text of another.

    Raises ValueError for an unknown name, :class:`tunewise.models.download.FetchError` when the texts can't be had.
    """
    if name not in TASKS:
        names = f"the names are {', '.join(TASKS)}. Own data: own_data(path, ...)"
        raise ValueError(f"no task is called {name!r}; {names}")
    sources, label_of = _TASKS[name]["sources"], _TASKS[name]["labels"]
    labels = tuple(dict.fromkeys(label_of.values()))
    several = _in_several(sources) if len(sources) > 1 else set()
    splits: dict[str, list[Example]] = {"train": [], "valid": [], "test": []}
    for source in sources:
        for split, rows in vader.split(source, seed).items():
            for row in rows:
                label = label_of.get(row.sentiment, label_of.get(source))
                if label and vader.plain(row.text) not in several:
                    splits[split].append(Example(row.text, labels.index(label), row.id))
    sizes = {"test": vader.TEST_A_CLASS, "valid": vader.VALID_A_CLASS, "train": None}
    rng = np.random.default_rng([seed, TASKS.index(name)])
    balanced = {split: _balanced(splits[split], len(labels), size, rng) for split, size in sizes.items()}
    return Task(name, labels, **balanced)


def _in_several(sources: Sequence[str]) -> set[str]:
    """Texts (without case and punctuation) that stand in more than one source."""
    times = Counter(text for s in sources for text in {vader.plain(row.text) for row in vader.read(s)})
    return {text for text, n in times.items() if n > 1}


def _balanced(examples: list[Example], labels: int, size: int | None, rng) -> tuple[Example, ...]:
    """``size`` examples of each label (as many as the rarest has, for None), in random order."""
    of = [[e for e in examples if e.label == y] for y in range(labels)]
    size = min(len(group) for group in of) if size is None else size
    chosen = [e for group in of for e in group[:size]]
    return tuple(chosen[i] for i in rng.permutation(len(chosen)))


SLICES = ("easy", "hard", "shifted")


def slices(home: Task, away: Task) -> dict[str, Sequence[Example]]:
    """Test items: those of ``home`` in two halves by how far a text's rating is from a threshold of the labels, and those of ``away``."""
    rating = {r.id: r.rating for r in vader.read(home.name)}
    by_distance = sorted(home.test, key=lambda e: (abs(abs(rating[e.id]) - vader.THRESHOLD), e.id))
    half = len(by_distance) // 2
    return dict(zip(SLICES, (by_distance[half:], by_distance[:half], away.test), strict=True))


def unlabelled(task: Task, known: Collection[str], n: int, seed: int) -> list[Example]:
    """``n`` training texts, not balanced, that are not among the texts ``known``; the labels, which are to be hidden, are the human ones."""
    known = set(known)
    rows = [r for r in vader.split(task.name)["train"] if r.text not in known]
    return [Example(r.text, task.labels.index(r.sentiment), r.id) for r in drawn(rows, n, 19, seed)]
